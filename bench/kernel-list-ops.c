/* kernel-list-ops.c - entries of a list of op calls: shapes, operands, bytes and operations
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Counts are the op table's (kernels/README.md).
 */
#include "kernel-list-private.h"

#include <math.h>

#define FLOAT_BYTES sizeof (float)

static double
size_of (SwittiDtype dtype)
{
  return (double) switti_dtype_size (dtype);
}

static gsize
bytes_of (SwittiDtype dtype, gint64 count)
{
  return switti_dtype_size (dtype) * (gsize) count;
}

static void
add (BenchList *list, BenchKernel kernel, const char *role, int calls, const gsize *operands, gsize n_operands)
{
  kernel.part = list->part;
  kernel.role = role;
  kernel.scale = list->scale;
  kernel.calls = calls;
  g_assert (n_operands <= BENCH_MAX_OPERANDS);
  for (gsize i = 0; i < n_operands; i++)
    kernel.operand_bytes[i] = operands[i];
  g_array_append_val (list->kernels, kernel);
}

#define ADD(list, kernel, role, calls, ...)                                                                           \
  add (list, kernel, role, calls, (const gsize[]){ __VA_ARGS__ }, sizeof (gsize[]){ __VA_ARGS__ } / sizeof (gsize))

/* -- products -------------------------------------------------------------------------------------------------- */

static void
add_product (BenchList *list, const char *role, int calls, SwittiGemm gemm, gboolean has_bias)
{
  BenchKernel kernel = { .op = BENCH_GEMM, .has_bias = has_bias };
  const double m = (double) gemm.m, n = (double) gemm.n, k = (double) gemm.k;

  gemm.lda = gemm.a_is_km ? gemm.m : gemm.k;
  gemm.ldb = gemm.b_is_kn ? gemm.n : gemm.k;
  gemm.ldd = gemm.n;
  kernel.gemm = gemm;
  kernel.flop = 2 * m * n * k;
  kernel.bytes = m * k * size_of (gemm.a_dtype) + n * k * size_of (gemm.b_dtype)
                 + m * n * size_of (gemm.d_dtype) * (gemm.accumulate ? 2 : 1);
  ADD (list, kernel, role, calls, bytes_of (gemm.a_dtype, gemm.m * gemm.k), bytes_of (gemm.b_dtype, gemm.n * gemm.k),
       has_bias ? bytes_of (SWITTI_DTYPE_F32, gemm.n) : 0, bytes_of (gemm.d_dtype, gemm.m * gemm.n));
}

static SwittiGemm
linear (const BenchList *list, gint64 m, gint64 row_group, gint64 n, gint64 k)
{
  const SwittiDtype dtype = list->work->dtype;

  return (SwittiGemm){ .m = m, .n = n, .k = k, .row_group = row_group, .a_dtype = dtype, .b_dtype = dtype,
                       .d_dtype = dtype, .b_packed = !list->work->training };
}

void
bench_list_product (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n, gint64 k)
{
  add_product (list, role, calls, linear (list, m, row_group, n, k), TRUE);
}

void
bench_list_unbiased_product (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n,
                             gint64 k)
{
  add_product (list, role, calls, linear (list, m, row_group, n, k), FALSE);
}

void
bench_list_activated_product (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n,
                              gint64 k, SwittiActivation activation)
{
  SwittiGemm gemm = linear (list, m, row_group, n, k);

  gemm.activation = activation;
  add_product (list, role, calls, gemm, TRUE);
}

void
bench_list_wide_product (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n, gint64 k)
{
  SwittiGemm gemm = linear (list, m, row_group, n, k);

  gemm.d_dtype = SWITTI_DTYPE_F32;
  add_product (list, role, calls, gemm, TRUE);
}

void
bench_list_float_product (BenchList *list, const char *role, gint64 m, gint64 row_group, gint64 n, gint64 k)
{
  SwittiGemm gemm = linear (list, m, row_group, n, k);

  gemm.a_dtype = gemm.b_dtype = gemm.d_dtype = SWITTI_DTYPE_F32;
  add_product (list, role, 1, gemm, TRUE);
}

void
bench_list_product_backward (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n,
                             gint64 k)
{
  SwittiGemm input = linear (list, m, row_group, k, n), weight = linear (list, n, n, k, m);

  input.b_packed = weight.b_packed = false;
  input.b_is_kn = weight.a_is_km = weight.b_is_kn = weight.accumulate = true;
  weight.d_dtype = SWITTI_DTYPE_F32;
  add_product (list, role, calls, input, FALSE);
  add_product (list, role, calls, weight, FALSE);
}

void
bench_list_conv (BenchList *list, const char *role, int calls, SwittiConv conv, SwittiDtype dtype)
{
  BenchKernel kernel = { .op = BENCH_CONV };
  const SwittiDtype d_dtype = conv.d_dtype;
  const gint64 zoom = conv.upsample ? 2 : 1, taps = conv.kernel * conv.kernel;
  const gint64 height = (zoom * conv.height + conv.pad_top + conv.pad_bottom - conv.kernel) / conv.stride + 1;
  const gint64 width = (zoom * conv.width + conv.pad_left + conv.pad_right - conv.kernel) / conv.stride + 1;
  const gint64 in = conv.batch * conv.height * conv.width * conv.c_in, out = conv.batch * height * width * conv.c_out;

  conv.x_dtype = conv.w_dtype = dtype;
  kernel.conv = conv;
  kernel.flop = 2.0 * (double) out * (double) (conv.c_in * taps);
  kernel.bytes = (double) in * size_of (dtype) + (double) (conv.c_in * conv.c_out * taps) * size_of (dtype)
                 + (double) out * size_of (d_dtype) * (conv.residual ? 2 : 1);
  ADD (list, kernel, role, calls, bytes_of (dtype, in), bytes_of (dtype, conv.c_in * conv.c_out * taps),
       bytes_of (SWITTI_DTYPE_F32, conv.c_out), conv.residual ? bytes_of (d_dtype, out) : 0,
       bytes_of (d_dtype, out));
}

/* -- norms ----------------------------------------------------------------------------------------------------- */

void
bench_list_norm (BenchList *list, BenchOp op, const char *role, int calls, gint64 batch, gint64 n, gint64 c,
                 gboolean has_y, gboolean has_h)
{
  const SwittiDtype dtype = list->work->dtype;
  const gint64 count = batch * n * c;
  const gsize stream = bytes_of (SWITTI_DTYPE_F32, count), rows = bytes_of (dtype, count);
  const gsize y = has_y ? rows : 0, h = has_h ? rows : 0, weight = bytes_of (SWITTI_DTYPE_F32, c);
  const gsize modulation = bytes_of (SWITTI_DTYPE_F32, batch * 6 * c);
  BenchKernel kernel = { .op = op, .has_y = has_y, .has_h = has_h };

  kernel.norm = (SwittiResidualNorm){ .batch = batch, .n = n, .c = c, .eps = 1e-6f, .y_dtype = dtype,
                                      .h_dtype = dtype, .modulation_stride = 6 * c };
  if (op == BENCH_RESIDUAL_NORM_BACKWARD)
    {
      kernel.bytes = (8 + (has_h ? 4 + size_of (dtype) : 0) + (has_y ? 2 * size_of (dtype) : 0)) * (double) count;
      ADD (list, kernel, role, calls, stream, y, weight, modulation, h, stream, y, modulation);
      return;
    }
  kernel.bytes = ((has_y ? 8 + size_of (dtype) : 4) + (has_h ? size_of (dtype) : 0)) * (double) count;
  if (op == BENCH_RESIDUAL_NORM)
    ADD (list, kernel, role, calls, stream, y, weight, modulation, weight, modulation, modulation, h);
  else
    ADD (list, kernel, role, calls, stream, y, 0, 0, modulation, modulation, h);
}

void
bench_list_group_norm (BenchList *list, int calls, gint64 positions, gint64 channels, gboolean silu)
{
  const SwittiDtype dtype = list->work->dtype;
  const gsize map = bytes_of (dtype, positions * channels), weight = bytes_of (SWITTI_DTYPE_F32, channels);
  BenchKernel kernel = { .op = BENCH_GROUP_NORM };

  kernel.group_norm = (SwittiGroupNorm){ .batch = 1, .positions = positions, .channels = channels, .groups = 32,
                                         .eps = 1e-6f, .silu = silu, .x_dtype = dtype, .y_dtype = dtype };
  kernel.bytes = 2.0 * (double) map;
  ADD (list, kernel, silu ? "group norm, SiLU" : "group norm", calls, map, weight, weight, 0, map);
}

/* -- attention ------------------------------------------------------------------------------------------------- */

static BenchKernel
rope_kernel (const BenchList *list, BenchOp op, gint64 batch, gint64 n, gboolean has_k, gboolean has_rope)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const gint64 c = config->width;
  const SwittiRows rows = has_k ? (SwittiRows){ n * 3 * c, 3 * c } : (SwittiRows){ n * c, c };
  BenchKernel kernel = { .op = op, .has_k = has_k, .has_rope = has_rope };

  kernel.rope = (SwittiQkNormRope){ .batch = batch, .n = n, .heads = config->heads, .d = c / config->heads,
                                    .eps = 1e-6f, .dtype = list->work->dtype, .q = rows, .k = rows, .v = rows,
                                    .q_out = rows, .k_out = rows, .v_out = rows };
  return kernel;
}

void
bench_list_rope (BenchList *list, const char *role, int calls, gint64 batch, gint64 n, gboolean has_k,
                 gboolean has_rope)
{
  BenchKernel kernel = rope_kernel (list, BENCH_QK_NORM_ROPE, batch, n, has_k, has_rope);
  const gint64 c = kernel.rope.heads * kernel.rope.d, rows = batch * n;

  kernel.bytes = 2 * (has_k ? 2 : 1) * size_of (kernel.rope.dtype) * (double) (rows * c);
  ADD (list, kernel, role, calls, has_rope ? bytes_of (SWITTI_DTYPE_F32, n * kernel.rope.d) : 0,
       bytes_of (kernel.rope.dtype, rows * (has_k ? 3 : 1) * c));
}

void
bench_list_rope_backward (BenchList *list, const char *role, int calls, gint64 batch, gint64 n, gboolean has_k,
                          gboolean has_rope)
{
  BenchKernel kernel = rope_kernel (list, BENCH_QK_NORM_ROPE_BACKWARD, batch, n, has_k, has_rope);
  const gint64 c = kernel.rope.heads * kernel.rope.d, rows = batch * n, width = (has_k ? 3 : 1) * c;
  const double element = size_of (kernel.rope.dtype);

  kernel.rope.k_out = kernel.rope.v_out = (SwittiRows){ n * 2 * c, 2 * c };
  kernel.bytes = (3 * element + (has_k ? 3 * element + 8 : 0)) * (double) (rows * c);
  ADD (list, kernel, role, calls, has_rope ? bytes_of (SWITTI_DTYPE_F32, n * kernel.rope.d) : 0,
       bytes_of (kernel.rope.dtype, rows * width), bytes_of (kernel.rope.dtype, rows * width),
       has_k ? bytes_of (SWITTI_DTYPE_F32, rows * 2 * c) : 0);
}

static SwittiAttention
dense_attention (const BenchList *list, SwittiAttention a)
{
  const gint64 c = a.heads * a.d;

  a.scale = 1.0f / sqrtf ((float) a.d);
  a.dtype = list->work->dtype;
  a.q = a.out = (SwittiRows){ a.n * c, c };
  a.k = a.v = (SwittiRows){ a.m * c, c };
  return a;
}

void
bench_list_attention (BenchList *list, const char *role, int calls, SwittiAttention attention)
{
  const SwittiAttention a = dense_attention (list, attention);
  const gint64 c = a.heads * a.d;
  const double width = (double) (a.batch * c);
  BenchKernel kernel = { .op = BENCH_ATTENTION };

  kernel.attention = a;
  kernel.flop = 4 * width * (double) a.n * (double) a.m;
  kernel.bytes = 2 * width * (double) (a.n + a.m) * size_of (a.dtype);
  ADD (list, kernel, role, calls, bytes_of (a.dtype, a.batch * a.n * c), bytes_of (a.dtype, a.batch * a.m * c),
       bytes_of (a.dtype, a.batch * a.m * c), bytes_of (a.dtype, a.batch * a.n * c));
}

void
bench_list_attention_backward (BenchList *list, const char *role, int calls, SwittiAttention attention)
{
  const SwittiAttention a = dense_attention (list, attention);
  const gint64 c = a.heads * a.d;
  const gsize n = bytes_of (a.dtype, a.batch * a.n * c), m = bytes_of (a.dtype, a.batch * a.m * c);
  const gsize sums = bytes_of (SWITTI_DTYPE_F32, a.batch * a.m * c);
  BenchKernel kernel = { .op = BENCH_ATTENTION_BACKWARD };

  kernel.attention = a;
  kernel.flop = 10.0 * (double) (a.batch * c) * (double) a.n * (double) a.m;
  kernel.bytes = (double) (4 * n + 2 * m + 4 * sums);
  ADD (list, kernel, role, calls, n, m, m, n, n, n, sums, sums);
}

/* -- the rest -------------------------------------------------------------------------------------------------- */

/* Operands of an op on (rows, width). */
static void
add_map (BenchList *list, BenchKernel kernel, const char *role, int calls, gint64 rows, gint64 width)
{
  const SwittiDtype dtype = list->work->dtype;
  const gint64 count = rows * width;
  const gsize wide = bytes_of (SWITTI_DTYPE_F32, count), narrow = bytes_of (dtype, count);
  const gsize words = bytes_of (SWITTI_DTYPE_I32, rows), vector = bytes_of (SWITTI_DTYPE_F32, width);

  switch (kernel.op)
    {
    case BENCH_SWIGLU:
      ADD (list, kernel, role, calls, 2 * narrow, narrow);
      break;
    case BENCH_SWIGLU_BACKWARD:
      ADD (list, kernel, role, calls, 2 * narrow, narrow, 2 * narrow);
      break;
    case BENCH_SILU_CONDITION:
      ADD (list, kernel, role, calls, wide, wide, vector, narrow);
      break;
    case BENCH_ACCUMULATE:
      ADD (list, kernel, role, calls, wide, wide, wide);
      break;
    case BENCH_CONVERT:
      ADD (list, kernel, role, calls, wide, narrow);
      break;
    case BENCH_IMAGE_TO_RGB8:
      ADD (list, kernel, role, calls, wide, (gsize) count);
      break;
    case BENCH_COLUMN_SUM:
      ADD (list, kernel, role, calls, narrow, vector);
      break;
    case BENCH_CROSS_ENTROPY:
      ADD (list, kernel, role, calls, wide, words, words, words, narrow);
      break;
    case BENCH_SQUARED_NORM:
      ADD (list, kernel, role, calls, wide, sizeof (double));
      break;
    case BENCH_ADAMW:
      ADD (list, kernel, role, calls, wide, wide, wide, wide, narrow);
      break;
    default:
      g_assert_not_reached ();
    }
}

/* Bytes of an op for each value of its (rows, width). */
static double
map_bytes (BenchOp op, SwittiDtype dtype)
{
  const double element = size_of (dtype);

  switch (op)
    {
    case BENCH_SWIGLU:
      return 3 * element;
    case BENCH_SWIGLU_BACKWARD:
      return 5 * element;
    case BENCH_SILU_CONDITION:
      return 8 + element;
    case BENCH_ACCUMULATE:
      return 16;
    case BENCH_CONVERT:
    case BENCH_CROSS_ENTROPY:
      return 4 + element;
    case BENCH_IMAGE_TO_RGB8:
      return 5;
    case BENCH_COLUMN_SUM:
      return element;
    case BENCH_SQUARED_NORM:
      return 4;
    case BENCH_ADAMW:
      return 28;
    default:
      g_assert_not_reached ();
    }
}

void
bench_list_map (BenchList *list, BenchOp op, const char *role, int calls, gint64 rows, gint64 width)
{
  BenchKernel kernel = { .op = op };

  kernel.map.rows = rows;
  kernel.map.width = width;
  kernel.map.dtype = list->work->dtype;
  kernel.bytes = map_bytes (op, list->work->dtype) * (double) (rows * width);
  add_map (list, kernel, role, calls, rows, width);
}

void
bench_list_resample (BenchList *list, const char *role, SwittiResampleMode mode, gint64 batch, gint64 channels,
                     gint64 in_side, gint64 out_side)
{
  const gint64 in = batch * channels * in_side * in_side, out = batch * channels * out_side * out_side;
  BenchKernel kernel = { .op = BENCH_RESAMPLE };

  kernel.resample = (SwittiResample){ .mode = mode, .batch = batch, .channels = channels, .in_height = in_side,
                                      .in_width = in_side, .out_height = out_side, .out_width = out_side,
                                      .dtype = SWITTI_DTYPE_F32 };
  kernel.bytes = FLOAT_BYTES * (double) (in + out);
  ADD (list, kernel, role, 1, bytes_of (SWITTI_DTYPE_F32, in), bytes_of (SWITTI_DTYPE_F32, out));
}

void
bench_list_sample (BenchList *list, gint64 batch, gint64 n, gboolean has_null, gboolean smooth)
{
  const gint64 v = list->work->vae.vocab, z = list->work->vae.latent, rows = batch * n;
  const gsize seeds = sizeof (guint64) * (gsize) batch, logits = bytes_of (SWITTI_DTYPE_F32, rows * v);
  const gsize codes = bytes_of (SWITTI_DTYPE_I32, rows);
  BenchKernel kernel = { .op = smooth ? BENCH_SAMPLE_SMOOTH : BENCH_SAMPLE_FILTERED };

  kernel.sample = (SwittiSample){ .batch = batch, .n = n, .v = v, .scale_index = list->scale, .guidance = 3,
                                  .temperature = 1, .top_k = MIN (400, v), .top_p = 0.95f, .gumbel_sharpness = 1.5f,
                                  .gumbel_tau = 0.1f, .z = z };
  kernel.bytes = (has_null ? 2.0 : 1.0) * (double) logits;
  if (smooth)
    {
      kernel.flop = 2.0 * (double) rows * (double) (v * z);
      ADD (list, kernel, "draw", 1, seeds, logits, has_null ? logits : 0, bytes_of (SWITTI_DTYPE_F32, v * z),
           bytes_of (SWITTI_DTYPE_F32, rows * z), codes);
    }
  else
    ADD (list, kernel, "draw", 1, seeds, logits, has_null ? logits : 0, codes);
}

/* -- words ----------------------------------------------------------------------------------------------------- */

const char *
bench_kernel_get_op_name (const BenchKernel *kernel)
{
  static const char *const names[] = {
    [BENCH_GEMM] = "gemm",
    [BENCH_CONV] = "conv",
    [BENCH_RESIDUAL_NORM] = "residual_norm",
    [BENCH_LAYER_NORM] = "layer_norm",
    [BENCH_QK_NORM_ROPE] = "qk_norm_rope",
    [BENCH_ATTENTION] = "attention",
    [BENCH_SWIGLU] = "swiglu",
    [BENCH_SILU_CONDITION] = "silu_condition",
    [BENCH_GROUP_NORM] = "group_norm",
    [BENCH_RESAMPLE] = "resample",
    [BENCH_ACCUMULATE] = "accumulate",
    [BENCH_CONVERT] = "convert",
    [BENCH_IMAGE_TO_RGB8] = "image_to_rgb8",
    [BENCH_SAMPLE_FILTERED] = "sample_filtered",
    [BENCH_SAMPLE_SMOOTH] = "sample_smooth",
    [BENCH_RESIDUAL_NORM_BACKWARD] = "residual_norm_backward",
    [BENCH_QK_NORM_ROPE_BACKWARD] = "qk_norm_rope_backward",
    [BENCH_ATTENTION_BACKWARD] = "attention_backward",
    [BENCH_SWIGLU_BACKWARD] = "swiglu_backward",
    [BENCH_COLUMN_SUM] = "column_sum",
    [BENCH_CROSS_ENTROPY] = "cross_entropy",
    [BENCH_SQUARED_NORM] = "squared_norm",
    [BENCH_ADAMW] = "adamw",
  };

  return names[kernel->op];
}

static char *
describe_conv (const SwittiConv *c)
{
  return g_strdup_printf ("%d x %d x %d, %d to %d, %dx%d%s%s", (int) c->batch, (int) c->height, (int) c->width,
                          (int) c->c_in, (int) c->c_out, c->kernel, c->kernel, c->upsample ? ", upsampled" : "",
                          c->residual ? ", residual" : "");
}

char *
bench_kernel_describe (const BenchKernel *kernel)
{
  const SwittiGemm *g = &kernel->gemm;

  switch (kernel->op)
    {
    case BENCH_GEMM:
      return g_strdup_printf ("m %d, n %d, k %d%s%s", (int) g->m, (int) g->n, (int) g->k,
                              g->a_is_km ? ", A transposed" : g->b_is_kn ? ", B transposed" : "",
                              g->accumulate ? ", added" : "");
    case BENCH_CONV:
      return describe_conv (&kernel->conv);
    case BENCH_RESIDUAL_NORM:
    case BENCH_RESIDUAL_NORM_BACKWARD:
    case BENCH_LAYER_NORM:
      return g_strdup_printf ("%d x %d x %d%s%s", (int) kernel->norm.batch, (int) kernel->norm.n, (int) kernel->norm.c,
                              kernel->has_y ? ", y" : "", kernel->has_h ? ", h" : "");
    case BENCH_QK_NORM_ROPE:
    case BENCH_QK_NORM_ROPE_BACKWARD:
      return g_strdup_printf ("%d x %d, %d heads of %d%s", (int) kernel->rope.batch, (int) kernel->rope.n,
                              (int) kernel->rope.heads, (int) kernel->rope.d, kernel->has_k ? ", q and k" : ", q");
    case BENCH_ATTENTION:
    case BENCH_ATTENTION_BACKWARD:
      return g_strdup_printf ("%d x %d heads of %d, %d to %d", (int) kernel->attention.batch,
                              (int) kernel->attention.heads, (int) kernel->attention.d, (int) kernel->attention.n,
                              (int) kernel->attention.m);
    case BENCH_GROUP_NORM:
      return g_strdup_printf ("%d positions, %d channels", (int) kernel->group_norm.positions,
                              (int) kernel->group_norm.channels);
    case BENCH_RESAMPLE:
      return g_strdup_printf ("%d x %d channels, %d to %d", (int) kernel->resample.batch,
                              (int) kernel->resample.channels, (int) kernel->resample.in_height,
                              (int) kernel->resample.out_height);
    case BENCH_SAMPLE_FILTERED:
    case BENCH_SAMPLE_SMOOTH:
      return g_strdup_printf ("%d x %d, V %d%s", (int) kernel->sample.batch, (int) kernel->sample.n,
                              (int) kernel->sample.v, kernel->operand_bytes[2] > 0 ? ", guided" : "");
    default:
      return g_strdup_printf ("%" G_GINT64_FORMAT " x %" G_GINT64_FORMAT, kernel->map.rows, kernel->map.width);
    }
}
