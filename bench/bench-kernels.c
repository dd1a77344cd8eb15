/* bench-kernels.c - products and convolutions at the models' shapes, as shares of the machine's ceiling
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * usage: bench-kernels [--isa=ISA] [--threads=N] [--dtype=f32|bf16] [--only=gemm|conv] [--match=TEXT]
 *
 * Prints one JSON object. The ceiling is measured again before each group of shapes, because a shared machine is not
 * equally quick all the time; a share is taken against the ceiling of its own group.
 */
#include "ceiling.h"
#include "switti-kernels.h"

#include <json-glib/json-glib.h>
#include <string.h>

#define SECONDS_PER_SHAPE 0.15
#define LEAST_RUNS 5
#define MOST_RUNS 200

typedef struct
{
  const SwittiKernels *kernels;
  SwittiKernelContext *context;
  SwittiKernelProperties properties;
  SwittiDtype dtype;
  double ceiling;
  const char *match;
  JsonBuilder *json;
} Bench;

typedef struct
{
  const char *group;
  gint64 n, k;
} Weight;

static const gint64 row_counts[] = { 1, 4, 9, 16, 36, 81, 169, 324, 576, 680, 1024, 2240 };

static const Weight weights[] = {
  { "width 1920", 5760, 1920 },  { "width 1920", 1920, 1920 }, { "width 1920", 10240, 1920 },
  { "width 1920", 1920, 5120 },  { "width 1920", 4096, 1920 }, { "width 1024", 3072, 1024 },
  { "width 1024", 1024, 1024 },  { "width 1024", 5460, 1024 }, { "width 1024", 1024, 2730 },
  { "width 1024", 4096, 1024 },  { "width 192", 576, 192 },    { "width 192", 192, 192 },
  { "width 192", 1024, 192 },    { "width 192", 192, 512 },
};

typedef struct
{
  const char *group;
  gint64 side, c_in, c_out;
  int kernel;
  gboolean upsample;
} Map;

static const Map maps[] = {
  { "ch 160", 16, 32, 640, 3, FALSE },   { "ch 160", 16, 640, 640, 3, FALSE },  { "ch 160", 16, 640, 640, 1, FALSE },
  { "ch 160", 16, 640, 640, 3, TRUE },   { "ch 160", 32, 640, 320, 3, FALSE },  { "ch 160", 32, 320, 320, 3, FALSE },
  { "ch 160", 32, 320, 320, 3, TRUE },   { "ch 160", 64, 320, 320, 3, FALSE },  { "ch 160", 64, 320, 320, 3, TRUE },
  { "ch 160", 128, 320, 160, 3, FALSE }, { "ch 160", 128, 320, 160, 1, FALSE }, { "ch 160", 128, 160, 160, 3, FALSE },
  { "ch 160", 128, 160, 160, 3, TRUE },  { "ch 160", 256, 160, 160, 3, FALSE }, { "ch 160", 256, 160, 3, 3, FALSE },
  { "ch 160", 512, 160, 160, 3, FALSE }, { "ch 32", 16, 128, 128, 3, FALSE },   { "ch 32", 64, 64, 64, 3, FALSE },
  { "ch 32", 128, 32, 32, 3, FALSE },    { "ch 32", 256, 32, 32, 3, FALSE },    { "ch 32", 256, 32, 3, 3, FALSE },
};

/* -- one measurement ------------------------------------------------------------------------------------------- */

typedef void (*Run) (Bench *bench, gpointer data);

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static double
median_seconds (Bench *bench, Run run, gpointer data)
{
  double seconds[MOST_RUNS];
  gint64 end = g_get_monotonic_time () + (gint64) (SECONDS_PER_SHAPE * G_USEC_PER_SEC);
  int n = 0;

  run (bench, data);
  while (n < LEAST_RUNS || (n < MOST_RUNS && g_get_monotonic_time () < end))
    {
      gint64 start = g_get_monotonic_time ();

      run (bench, data);
      seconds[n++] = 1e-6 * (double) MAX (g_get_monotonic_time () - start, 1);
    }
  qsort (seconds, (gsize) n, sizeof seconds[0], compare_doubles);
  return seconds[n / 2];
}

/* bf16 that the processor cannot multiply is computed in float32, and measured against that. */
static void
measure_ceiling (Bench *bench)
{
  bench->ceiling = switti_ceiling_measure (bench->properties.n_threads, bench->dtype);
  if (bench->ceiling <= 0.0)
    bench->ceiling = switti_ceiling_measure (bench->properties.n_threads, SWITTI_DTYPE_F32);
}

static void
report (Bench *bench, const char *name, double seconds, double flop, double bytes)
{
  json_builder_begin_object (bench->json);
  json_builder_set_member_name (bench->json, "name");
  json_builder_add_string_value (bench->json, name);
  json_builder_set_member_name (bench->json, "us");
  json_builder_add_double_value (bench->json, 1e6 * seconds);
  json_builder_set_member_name (bench->json, "gflops");
  json_builder_add_double_value (bench->json, 1e-9 * flop / seconds);
  json_builder_set_member_name (bench->json, "gbytes_per_s");
  json_builder_add_double_value (bench->json, 1e-9 * bytes / seconds);
  json_builder_set_member_name (bench->json, "share");
  json_builder_add_double_value (bench->json, 1e-9 * flop / seconds / bench->ceiling);
  json_builder_end_object (bench->json);
}

/* Device memory filled with halves: neither zeros nor denormals, and no sum overflows. */
static gpointer
make_operand (Bench *bench, gsize count, SwittiDtype dtype)
{
  void *memory = NULL;

  if (bench->kernels->alloc (bench->context, count * switti_dtype_size (dtype), &memory) != SWITTI_KERNEL_OK)
    g_error ("%s", bench->kernels->error_message (bench->context));
  for (gsize i = 0; i < count; i++)
    if (dtype == SWITTI_DTYPE_F32)
      ((float *) memory)[i] = 0.5f;
    else
      ((guint16 *) memory)[i] = 0x3f00;
  return memory;
}

/* -- products -------------------------------------------------------------------------------------------------- */

typedef struct
{
  SwittiGemmPlan *plan;
  gpointer a, b, d;
} Product;

static void
run_product (Bench *bench, gpointer data)
{
  Product *product = data;

  bench->kernels->gemm (bench->context, product->plan, product->a, product->b, NULL, product->d);
}

static void
bench_product (Bench *bench, const Weight *weight, gint64 m)
{
  const SwittiKernels *kernels = bench->kernels;
  const gint64 n = weight->n, k = weight->k;
  const double size = (double) switti_dtype_size (bench->dtype);
  SwittiGemm gemm = { .m = m, .n = n, .k = k, .row_group = m, .lda = k, .ldb = k, .ldd = n, .b_packed = true };
  g_autofree char *name = g_strdup_printf ("%s: m %d, n %d, k %d", weight->group, (int) m, (int) n, (int) k);
  Product product = { NULL };
  gpointer source;

  if (bench->match != NULL && strstr (name, bench->match) == NULL)
    return;
  gemm.a_dtype = gemm.b_dtype = gemm.d_dtype = bench->dtype;
  source = make_operand (bench, (gsize) (n * k), bench->dtype);
  product.a = make_operand (bench, (gsize) (m * k), bench->dtype);
  product.b = make_operand (bench, kernels->gemm_packed_bytes (bench->context, n, k, bench->dtype) / (gsize) size,
                            bench->dtype);
  product.d = make_operand (bench, (gsize) (m * n), bench->dtype);
  kernels->gemm_pack (bench->context, n, k, bench->dtype, bench->dtype, source, k, product.b);
  if (kernels->gemm_plan (bench->context, &gemm, &product.plan) != SWITTI_KERNEL_OK)
    g_error ("%s", kernels->error_message (bench->context));
  report (bench, name, median_seconds (bench, run_product, &product), 2.0 * (double) m * (double) n * (double) k,
          size * (double) (m * k + n * k + m * n));
  kernels->gemm_plan_free (bench->context, product.plan);
  kernels->free (bench->context, source);
  kernels->free (bench->context, product.a);
  kernels->free (bench->context, product.b);
  kernels->free (bench->context, product.d);
}

static void
bench_products (Bench *bench)
{
  for (gsize i = 0; i < G_N_ELEMENTS (weights); i++)
    {
      measure_ceiling (bench);
      for (gsize j = 0; j < G_N_ELEMENTS (row_counts); j++)
        bench_product (bench, &weights[i], row_counts[j]);
    }
}

/* -- convolutions ---------------------------------------------------------------------------------------------- */

typedef struct
{
  SwittiConvPlan *plan;
  gpointer x, packed, residual, d;
  float *bias;
} Convolution;

static void
run_convolution (Bench *bench, gpointer data)
{
  Convolution *c = data;

  bench->kernels->conv (bench->context, c->plan, c->x, c->packed, c->bias, c->residual, c->d);
}

static void
bench_convolution (Bench *bench, const Map *map)
{
  const SwittiKernels *kernels = bench->kernels;
  const gint64 taps = map->kernel * map->kernel, zoom = map->upsample ? 2 : 1, side = zoom * map->side;
  const double size = (double) switti_dtype_size (bench->dtype);
  SwittiConv conv = { .batch = 1, .height = map->side, .width = map->side, .c_in = map->c_in, .c_out = map->c_out };
  g_autofree char *name = g_strdup_printf ("%s: %d x %d, %d to %d, %dx%d%s", map->group, (int) map->side,
                                           (int) map->side, (int) map->c_in, (int) map->c_out, map->kernel,
                                           map->kernel, map->upsample ? ", upsampled" : "");
  Convolution c = { NULL };
  gpointer source;

  if (bench->match != NULL && strstr (name, bench->match) == NULL)
    return;
  conv.kernel = map->kernel;
  conv.stride = 1;
  conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = map->kernel / 2;
  conv.upsample = map->upsample;
  conv.residual = map->c_in == map->c_out;
  conv.x_dtype = conv.w_dtype = conv.d_dtype = bench->dtype;
  source = make_operand (bench, (gsize) (map->c_out * map->c_in * taps), bench->dtype);
  c.packed = make_operand (bench, kernels->conv_packed_bytes (bench->context, &conv) / (gsize) size, bench->dtype);
  c.x = make_operand (bench, (gsize) (map->side * map->side * map->c_in), bench->dtype);
  c.d = make_operand (bench, (gsize) (side * side * map->c_out), bench->dtype);
  c.residual = conv.residual ? make_operand (bench, (gsize) (side * side * map->c_out), bench->dtype) : NULL;
  c.bias = make_operand (bench, (gsize) map->c_out, SWITTI_DTYPE_F32);
  kernels->conv_pack (bench->context, &conv, bench->dtype, source, c.packed);
  if (kernels->conv_plan (bench->context, &conv, &c.plan) != SWITTI_KERNEL_OK)
    g_error ("%s", kernels->error_message (bench->context));
  measure_ceiling (bench);
  report (bench, name, median_seconds (bench, run_convolution, &c),
          2.0 * (double) (side * side) * (double) (map->c_in * map->c_out * taps),
          size
              * (double) (map->side * map->side * map->c_in + map->c_out * map->c_in * taps
                          + side * side * map->c_out * (conv.residual ? 2 : 1)));
  kernels->conv_plan_free (bench->context, c.plan);
  kernels->free (bench->context, source);
  kernels->free (bench->context, c.packed);
  kernels->free (bench->context, c.x);
  kernels->free (bench->context, c.d);
  kernels->free (bench->context, c.residual);
  kernels->free (bench->context, c.bias);
}

/* -- the program ----------------------------------------------------------------------------------------------- */

static void
print_json (Bench *bench)
{
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autoptr (JsonNode) root = json_builder_get_root (bench->json);
  g_autofree char *text = NULL;

  json_generator_set_root (generator, root);
  json_generator_set_pretty (generator, TRUE);
  text = json_generator_to_data (generator, NULL);
  g_print ("%s\n", text);
}

static void
bench_all (Bench *bench, const char *only)
{
  json_builder_begin_object (bench->json);
  json_builder_set_member_name (bench->json, "device");
  json_builder_add_string_value (bench->json, bench->properties.description);
  json_builder_set_member_name (bench->json, "dtype");
  json_builder_add_string_value (bench->json, bench->dtype == SWITTI_DTYPE_BF16 ? "bf16" : "f32");
  json_builder_set_member_name (bench->json, "ceiling_gflops");
  json_builder_add_double_value (bench->json, bench->ceiling);
  json_builder_set_member_name (bench->json, "gemm");
  json_builder_begin_array (bench->json);
  if (only == NULL || strcmp (only, "gemm") == 0)
    bench_products (bench);
  json_builder_end_array (bench->json);
  json_builder_set_member_name (bench->json, "conv");
  json_builder_begin_array (bench->json);
  if (only == NULL || strcmp (only, "conv") == 0)
    for (gsize i = 0; i < G_N_ELEMENTS (maps); i++)
      bench_convolution (bench, &maps[i]);
  json_builder_end_array (bench->json);
  json_builder_end_object (bench->json);
}

int
main (int argc, char **argv)
{
  g_autofree char *isa = NULL, *dtype = NULL, *only = NULL, *match = NULL;
  int n_threads = 0;
  const GOptionEntry entries[] = {
    { "isa", 0, 0, G_OPTION_ARG_STRING, &isa, "Instruction set: generic, avx2, avx512", "ISA" },
    { "threads", 0, 0, G_OPTION_ARG_INT, &n_threads, "Number of threads (0: all)", "N" },
    { "dtype", 0, 0, G_OPTION_ARG_STRING, &dtype, "f32 or bf16 (the quicker one)", "DTYPE" },
    { "only", 0, 0, G_OPTION_ARG_STRING, &only, "gemm or conv", "OP" },
    { "match", 0, 0, G_OPTION_ARG_STRING, &match, "Only shapes whose name has this in it", "TEXT" },
    { NULL },
  };
  g_autoptr (GOptionContext) options = g_option_context_new ("- products as shares of the machine's ceiling");
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonBuilder) json = json_builder_new ();
  Bench bench = { .kernels = switti_kernels_cpu (), .json = json };
  SwittiKernelOptions kernel_options;

  g_option_context_add_main_entries (options, entries, NULL);
  if (!g_option_context_parse (options, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  kernel_options = (SwittiKernelOptions) { .n_threads = n_threads, .isa = isa };
  if (bench.kernels->context_new (&kernel_options, &bench.context) != SWITTI_KERNEL_OK)
    {
      g_printerr ("%s\n", bench.kernels->error_message (NULL));
      return 1;
    }
  bench.kernels->properties (bench.context, &bench.properties);
  bench.match = match;
  bench.dtype = bench.properties.fast_bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32;
  if (dtype != NULL)
    bench.dtype = strcmp (dtype, "bf16") == 0 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32;
  measure_ceiling (&bench);
  bench_all (&bench, only);
  print_json (&bench);
  bench.kernels->context_free (bench.context);
  return 0;
}
