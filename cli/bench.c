/* bench.c - `switti bench`: how fast a model paints here
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Times are of whole generations, part by part; shares are operations that were run, divided by time and by what the
 * machine's best large product reaches in the same run (bench/ceiling.c).
 */
#include "switti-build-config.h"

#include "bench-kernels.h"
#include "cli.h"
#include "kernel-run.h"
#include "profile-report.h"
#include "switti-bundle-private.h"
#include "switti-device-private.h"
#include "switti-error.h"
#include "switti-generator-private.h"
#include "switti-request-private.h"
#include "switti-sampling-plan-private.h"
#include "switti-transformer-private.h"
#include "switti-vae-private.h"

#include <glib/gi18n.h>
#include <string.h>
#include <sys/resource.h>

typedef struct
{
  CliRuntime runtime;
  CliParameters parameters;
  char *synthetic;
  char *kernels; /* NULL: whole generations */
  char *memory;
  gboolean list_only;
  int n_runs, n_warmup;

  SwittiBundle *bundle;
  SwittiDevice *device;
  SwittiRequest *request;
  SwittiGenerator *generator;
  double load_seconds;
  double ceiling_gflops;
  SwittiTimings *runs;  /* (n_runs) */
  SwittiKernelProfile profile[SWITTI_KERNEL_N_OPS];
} Bench;

static void
bench_clear (Bench *self)
{
  cli_runtime_clear (&self->runtime);
  cli_parameters_clear (&self->parameters);
  g_free (self->synthetic);
  g_free (self->kernels);
  g_free (self->memory);
  g_free (self->runs);
  g_clear_object (&self->generator);
  g_clear_object (&self->request);
  g_clear_object (&self->device);
  g_clear_object (&self->bundle);
}

static SwittiDtype
dtype_of (Bench *self)
{
  return switti_generator_get_precision (self->generator) == SWITTI_PRECISION_BF16 ? SWITTI_DTYPE_BF16
                                                                                   : SWITTI_DTYPE_F32;
}

/* -- measuring ----------------------------------------------------------------------------------------------- */

/* Small text encoders unless clip= says otherwise: making up weights as large as CLIP's takes longer than the rest. */
static SwittiBundle *
make_synthetic (Bench *self, SwittiDtype dtype, GError **error)
{
  g_autofree char *sizes = strstr (self->synthetic, "clip=") ? g_strdup (self->synthetic)
                                                             : g_strconcat (self->synthetic, ",clip=small", NULL);

  return switti_bundle_new_synthetic (sizes, dtype, error);
}

static gboolean
load (Bench *self, GCancellable *cancellable, GError **error)
{
  gint64 began;
  int precision, memory;

  if (!cli_parse_precision (self->runtime.dtype, &precision, error)
      || !cli_parse_memory (self->memory, &memory, error))
    return FALSE;
  self->device = switti_device_new (self->runtime.device ? self->runtime.device : "auto", self->runtime.n_threads,
                                    error);
  if (self->device == NULL)
    return FALSE;
  if (precision == SWITTI_PRECISION_AUTO)
    precision = switti_device_has_fast_bf16 (self->device) ? SWITTI_PRECISION_BF16 : SWITTI_PRECISION_F32;
  cli_progress_show (0, _ ("Loading the model"));
  began = g_get_monotonic_time ();
  if (self->synthetic)
    self->bundle = make_synthetic (self, precision == SWITTI_PRECISION_BF16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32,
                                   error);
  else
    self->bundle = switti_bundle_open (self->runtime.model, error);
  if (self->bundle)
    self->generator = switti_generator_new_with_memory (self->bundle, self->device, (SwittiPrecision) precision,
                                                        (SwittiMemory) memory, cancellable, error);
  self->load_seconds = (double) (g_get_monotonic_time () - began) / G_TIME_SPAN_SECOND;
  if (self->generator == NULL)
    return FALSE;
  switti_generator_set_timed (self->generator, TRUE);
  return TRUE;
}

static void
make_request (Bench *self)
{
  self->request = switti_request_new (self->bundle);
  g_object_set (self->request, "prompt", "a grinning cat, flat style", NULL);
  cli_parameters_apply (&self->parameters, self->request);
}

static gboolean
generate (Bench *self, GCancellable *cancellable, SwittiTimings *timings, GError **error)
{
  g_autoptr (GPtrArray) images
    = switti_generator_generate (self->generator, self->request, cancellable, NULL, NULL, error);

  if (images == NULL)
    return FALSE;
  if (timings)
    *timings = *switti_generator_get_timings (self->generator);
  return TRUE;
}

/* In a run of its own: keeping the profile takes time. */
static gboolean
measure_profile (Bench *self, GCancellable *cancellable, GError **error)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  SwittiKernelContext *context = switti_device_get_context (self->device);
  gboolean good;

  kernels->profile_reset (context, true);
  good = generate (self, cancellable, NULL, error);
  kernels->profile_read (context, self->profile);
  kernels->profile_reset (context, false);
  return good;
}

static void
measure_ceiling (Bench *self)
{
  double gflops = bench_measure_product (self->device, dtype_of (self));

  self->ceiling_gflops = MAX (self->ceiling_gflops, gflops);
}

static gboolean
measure (GCancellable *cancellable, gpointer data, GError **error)
{
  Bench *self = data;
  int n_total = self->n_warmup + self->n_runs + 1;

  if (!load (self, cancellable, error))
    return FALSE;
  make_request (self);
  self->runs = g_new0 (SwittiTimings, self->n_runs);
  for (int i = 0; i < n_total - 1; i++)
    {
      SwittiTimings *timings = i < self->n_warmup ? NULL : &self->runs[i - self->n_warmup];
      g_autofree char *words = g_strdup_printf (_ ("Run %d of %d"), i + 1, n_total);

      /* Before and after what it is compared with: a shared machine is not equally fast all the time. */
      if (i == self->n_warmup)
        measure_ceiling (self);
      cli_progress_show ((double) i / n_total, words);
      if (!generate (self, cancellable, timings, error))
        return FALSE;
    }
  measure_ceiling (self);
  return measure_profile (self, cancellable, error);
}

/* -- the report ---------------------------------------------------------------------------------------------- */

/* Median, least and most of the doubles at `offset` of every run, in milliseconds. */
static JsonObject *
summarize (Bench *self, gsize offset, double *median_seconds)
{
  g_autofree double *values = g_new (double, self->n_runs);
  JsonObject *object = json_object_new ();
  double median;

  for (int i = 0; i < self->n_runs; i++)
    values[i] = G_STRUCT_MEMBER (double, &self->runs[i], offset);
  median = cli_median (values, self->n_runs);
  json_object_set_double_member (object, "median", median * 1e3);
  json_object_set_double_member (object, "min", values[0] * 1e3);
  json_object_set_double_member (object, "max", values[self->n_runs - 1] * 1e3);
  if (median_seconds)
    *median_seconds = median;
  return object;
}

/* What the transformer ran: each scale for the prompt and, where its result is used, for the null prompt, and what
 * depends on the prompts alone. */
static double
transformer_flop (Bench *self)
{
  const SwittiBundleParts *parts = switti_bundle_get_parts (self->bundle);
  const SwittiParameters *parameters = switti_request_get_parameters (self->request);
  const SwittiTransformerConfig *config = &parts->transformer;
  int n_scales = config->schedule.n_scales;
  SwittiScalePlan plan[SWITTI_MAX_SCALES];
  double flop = 0;

  switti_sampling_plan (parameters, config->ar, n_scales, plan);
  for (int s = 0; s < n_scales; s++)
    flop += switti_transformer_scale_flop (config, s) * (plan[s].run_null ? 2 : 1);
  return flop * parameters->count
         + switti_transformer_condition_flop (config) * (switti_sampling_plan_needs_null (plan, n_scales) ? 2 : 1);
}

static double
vae_flop (Bench *self)
{
  const SwittiBundleParts *parts = switti_bundle_get_parts (self->bundle);
  const SwittiSchedule *schedule = &parts->vae.schedule;

  return switti_vae_decode_flop (&parts->vae, schedule->side[schedule->n_scales - 1])
         * switti_request_get_parameters (self->request)->count;
}

static void
report_shares (Bench *self, JsonObject *object, double transformer_seconds, double vae_seconds)
{
  double ceiling = self->ceiling_gflops * 1e9;

  json_object_set_double_member (object, "ceiling_gflops", self->ceiling_gflops);
  json_object_set_double_member (object, "transformer_gflop", transformer_flop (self) / 1e9);
  json_object_set_double_member (object, "vae_gflop", vae_flop (self) / 1e9);
  json_object_set_double_member (object, "transformer_share",
                                 transformer_flop (self) / transformer_seconds / ceiling);
  json_object_set_double_member (object, "vae_share", vae_flop (self) / vae_seconds / ceiling);
}

static void
report_times (Bench *self, JsonObject *object)
{
  static const struct
  {
    const char *name;
    gsize offset;
  } parts[] = {
    { "total_ms", G_STRUCT_OFFSET (SwittiTimings, total) },
    { "text_ms", G_STRUCT_OFFSET (SwittiTimings, text) },
    { "sampling_ms", G_STRUCT_OFFSET (SwittiTimings, sampling) },
    { "pyramid_ms", G_STRUCT_OFFSET (SwittiTimings, pyramid) },
  };
  JsonArray *scales = json_array_new ();
  double conditions, transformer, vae;

  json_object_set_double_member (object, "load_ms", self->load_seconds * 1e3);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    json_object_set_object_member (object, parts[i].name, summarize (self, parts[i].offset, NULL));
  json_object_set_object_member (object, "conditions_ms",
                                 summarize (self, G_STRUCT_OFFSET (SwittiTimings, conditions), &conditions));
  json_object_set_object_member (object, "transformer_ms",
                                 summarize (self, G_STRUCT_OFFSET (SwittiTimings, transformer), &transformer));
  json_object_set_object_member (object, "vae_ms", summarize (self, G_STRUCT_OFFSET (SwittiTimings, vae), &vae));
  for (int s = 0; s < self->runs[0].n_scales; s++)
    json_array_add_object_element (
      scales, summarize (self, G_STRUCT_OFFSET (SwittiTimings, scales) + (gsize) s * sizeof (double), NULL));
  json_object_set_array_member (object, "scales_ms", scales);
  report_shares (self, object, conditions + transformer, vae);
}

/* What a block of the transformer launches at a scale: the library's products and kernels of ours; and what the graphs
 * of all scales hold beside those. */
static void
report_launches (Bench *self, JsonObject *object)
{
  const SwittiTimings *last = &self->runs[self->n_runs - 1];
  JsonObject *launches = json_object_new ();

  json_object_set_int_member (launches, "kernels", last->block_kernels);
  json_object_set_int_member (launches, "products", last->block_products);
  json_object_set_object_member (object, "launches_per_block", launches);
  json_object_set_int_member (object, "other_launches", last->other_launches);
}

static void
print_report (Bench *self)
{
  JsonObject *object = json_object_new ();
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  json_object_set_string_member (object, "model", switti_bundle_get_name (self->bundle));
  json_object_set_string_member (object, "device", switti_device_get_name (self->device));
  json_object_set_string_member (object, "device_description", switti_device_get_description (self->device));
  json_object_set_int_member (object, "threads", switti_device_get_n_threads (self->device));
  json_object_set_string_member (object, "dtype", dtype_of (self) == SWITTI_DTYPE_BF16 ? "bf16" : "f32");
  json_object_set_string_member (object, "memory", self->memory ? self->memory : "auto");
  json_object_set_int_member (object, "resolution", switti_bundle_get_resolution (self->bundle));
  json_object_set_int_member (object, "images", switti_request_get_parameters (self->request)->count);
  json_object_set_int_member (object, "runs", self->n_runs);
  json_object_set_int_member (object, "warmup", self->n_warmup);
  report_times (self, object);
  report_launches (self, object);
  json_object_set_int_member (object, "peak_bytes", (gint64) switti_device_get_peak_bytes (self->device));
  json_object_set_int_member (object, "peak_resident_bytes", (gint64) usage.ru_maxrss * 1024);
  json_object_set_array_member (object, "profile", cli_report_profile (self->profile));
  cli_print_json (object);
}

/* -- the command line ---------------------------------------------------------------------------------------- */

static gboolean
parse (Bench *self, char ***argv)
{
  const GOptionEntry own[] = {
    { "model", 'm', 0, G_OPTION_ARG_STRING, &self->runtime.model, N_ ("Name or folder of the model"), N_ ("MODEL") },
    { "synthetic", 0, 0, G_OPTION_ARG_STRING, &self->synthetic,
      N_ ("Made-up weights of these sizes, such as depth=30,reso=512"), N_ ("SIZES") },
    { "kernels", 0, 0, G_OPTION_ARG_STRING, &self->kernels,
      N_ ("Time each operation at the shapes of 512, 1024, 512-8, ar, train, …"), N_ ("NAME,...") },
    { "list", 0, 0, G_OPTION_ARG_NONE, &self->list_only,
      N_ ("With --kernels: say what there is to time, and run nothing"), NULL },
    { "runs", 0, 0, G_OPTION_ARG_INT, &self->n_runs, N_ ("Runs to measure (default: 5)"), N_ ("N") },
    { "warmup", 0, 0, G_OPTION_ARG_INT, &self->n_warmup, N_ ("Runs before them (default: 1)"), N_ ("N") },
    { "device", 0, 0, G_OPTION_ARG_STRING, &self->runtime.device, N_ ("auto, cpu, cuda or cuda:N"), N_ ("DEVICE") },
    { "dtype", 0, 0, G_OPTION_ARG_STRING, &self->runtime.dtype, N_ ("auto, f32 or bf16"), N_ ("TYPE") },
    { "memory", 0, 0, G_OPTION_ARG_STRING, &self->memory, N_ ("auto, or low for a GPU of little memory"),
      N_ ("MODE") },
    { "threads", 0, 0, G_OPTION_ARG_INT, &self->runtime.n_threads, N_ ("Threads of the processor; 0: all"), N_ ("N") },
    { NULL },
  };
  const GOptionEntry *const entries[] = { own, cli_parameter_entries, NULL };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  GOptionGroup *group = g_option_group_new ("bench", NULL, NULL, &self->parameters, NULL);

  g_option_group_add_entries (group, own);
  g_option_group_add_entries (group, cli_parameter_entries);
  g_option_group_set_translation_domain (group, GETTEXT_PACKAGE);
  g_option_context_set_main_group (context, group);
  g_option_context_set_summary (context, _ ("Measures how fast a model paints here, and says it as JSON."));
  g_option_context_set_description (context, _ ("Examples:\n"
                                                "  switti bench --model icons\n"
                                                "  switti bench --synthetic depth=30,reso=512 --dtype bf16 --runs 3\n"
                                                "  switti bench --kernels 512,1024 --device cuda"));
  return cli_parse_options (context, entries, "switti bench", argv);
}

static const char *
find_conflict (Bench *self, char **arguments)
{
  if (arguments[1])
    return _ ("“switti bench” takes options only; “switti bench --help” lists them.");
  if (self->synthetic && self->runtime.model)
    return _ ("--model and --synthetic exclude each other; leave one out.");
  if (self->kernels && (self->synthetic || self->runtime.model))
    return _ ("--kernels has shapes of its own: leave --model and --synthetic out.");
  if (self->kernels && self->memory)
    return _ ("--memory is of whole pictures: leave it or --kernels out.");
  if (self->list_only && !self->kernels)
    return _ ("--list belongs to --kernels: add it.");
  if (self->n_runs < 1 || self->n_runs > 1000 || self->n_warmup < 0 || self->n_warmup > 1000)
    return _ ("--runs takes 1 to 1000, and --warmup 0 to 1000.");
  if (self->runtime.n_threads < 0)
    return _ ("--threads takes 0 or more.");
  return NULL;
}

int
cli_bench (int argc, char **argv)
{
  Bench self = { .n_runs = 5, .n_warmup = 1 };
  g_auto (GStrv) arguments = g_strdupv (argv);
  const char *conflict = NULL;
  int status = CLI_USAGE;

  cli_parameters_init (&self.parameters);
  if (parse (&self, &arguments))
    {
      conflict = find_conflict (&self, arguments);
      if (conflict)
        cli_report (conflict);
      else if (self.kernels)
        status = cli_bench_kernels (&self.runtime, self.kernels, self.list_only);
      else
        status = cli_run (measure, &self);
    }
  if (status == CLI_SUCCESS && !self.kernels)
    print_report (&self);
  bench_clear (&self);
  return status;
}
