/* kernel-run.c - times the op calls of a list on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The profile of the op table is the clock. Operands hold one small number everywhere, so that no sum overflows;
 * codes and targets are 0.
 */
#include "kernel-run.h"

#include "ceiling.h"
#include "switti-error.h"

#include <glib/gi18n.h>
#include <string.h>

#define LEAST_RUNS 3
#define MOST_RUNS 200
/* 0x3c3c is 0.0115 as bf16, 0x3c3c3c3c as float32. */
#define FILLING 0x3c
#define COPY_BYTES ((gsize) 256 << 20)

typedef struct
{
  const BenchKernel *kernel;
  SwittiDevice *device;
  const SwittiKernels *kernels;
  SwittiKernelContext *context;
  void *operands[BENCH_MAX_OPERANDS];
  SwittiGemmPlan *gemm;
  SwittiConvPlan *conv;
  SwittiOptimizerPlan *optimizer;
  void *scratch;
} Run;

/* -- operands -------------------------------------------------------------------------------------------------- */

static gboolean
holds_numbers (BenchOp op, int operand)
{
  return !((op == BENCH_SAMPLE_FILTERED || op == BENCH_SAMPLE_SMOOTH) && operand == 0)
         && !(op == BENCH_CROSS_ENTROPY && operand == 1);
}

static gboolean
make_operand (Run *run, int index, gsize bytes, GError **error)
{
  g_autofree guint8 *host = NULL;

  if (bytes == 0)
    return TRUE;
  run->operands[index] = switti_device_alloc (run->device, bytes, _ ("a kernel's operands"), error);
  if (run->operands[index] == NULL)
    return FALSE;
  if (!holds_numbers (run->kernel->op, index))
    {
      SWITTI_RUN (run->device, clear, run->operands[index], bytes);
      return TRUE;
    }
  host = g_malloc (bytes);
  memset (host, FILLING, bytes);
  SWITTI_RUN (run->device, upload, run->operands[index], host, bytes);
  return TRUE;
}

static SwittiAttentionBackward
attention_backward (const BenchKernel *kernel)
{
  const SwittiAttention *a = &kernel->attention;

  return (SwittiAttentionBackward){ .attention = *a, .dout = a->out, .dq = a->q, .dk = a->k, .dv = a->v };
}

static gsize
scratch_bytes (Run *run)
{
  const SwittiAttentionBackward backward = attention_backward (run->kernel);

  if (run->kernel->op == BENCH_ATTENTION_BACKWARD)
    return run->kernels->attention_backward_scratch_bytes (run->context, &backward);
  if (run->kernel->op == BENCH_GROUP_NORM)
    return run->kernels->group_norm_scratch_bytes (run->context, &run->kernel->group_norm);
  if (run->kernel->op == BENCH_RESIDUAL_NORM_BACKWARD)
    return run->kernels->norm_backward_scratch_bytes (run->context, &run->kernel->norm);
  return 0;
}

/* One tensor of as many elements as all of the model's. */
static gboolean
make_optimizer_plan (Run *run, GError **error)
{
  void **o = run->operands;
  const gboolean updates = run->kernel->op == BENCH_ADAMW;
  const SwittiOptimizerTensor tensor = {
    .count = run->kernel->map.rows * run->kernel->map.width,
    .parameter = o[0],
    .gradient = updates ? o[1] : o[0],
    .first_moment = updates ? o[2] : NULL,
    .second_moment = updates ? o[3] : NULL,
    .copy = updates && run->kernel->map.dtype == SWITTI_DTYPE_BF16 ? o[4] : NULL,
  };

  SWITTI_RUN (run->device, optimizer_plan, 1, &tensor, &run->optimizer);
  return TRUE;
}

static gboolean
make_plan (Run *run, GError **error)
{
  if (run->kernel->op == BENCH_ADAMW || run->kernel->op == BENCH_SQUARED_NORM)
    return make_optimizer_plan (run, error);
  if (run->kernel->op == BENCH_GEMM)
    SWITTI_RUN (run->device, gemm_plan, &run->kernel->gemm, &run->gemm);
  if (run->kernel->op == BENCH_CONV)
    SWITTI_RUN (run->device, conv_plan, &run->kernel->conv, &run->conv);
  if (run->kernel->op == BENCH_ATTENTION && run->kernels->attention_plan != NULL)
    SWITTI_RUN (run->device, attention_plan, &run->kernel->attention);
  return TRUE;
}

/* Packed weights are of the size that the device wants. */
static gsize
operand_bytes (Run *run, int index)
{
  const BenchKernel *k = run->kernel;

  if (index == 1 && k->op == BENCH_GEMM && k->gemm.b_packed)
    return run->kernels->gemm_packed_bytes (run->context, k->gemm.n, k->gemm.k, k->gemm.b_dtype);
  if (index == 1 && k->op == BENCH_CONV)
    return run->kernels->conv_packed_bytes (run->context, &k->conv);
  return k->operand_bytes[index];
}

static gboolean
has_op (const SwittiKernels *kernels, BenchOp op)
{
  switch (op)
    {
    case BENCH_RESIDUAL_NORM_BACKWARD:
      return kernels->residual_norm_backward != NULL && kernels->norm_backward_scratch_bytes != NULL;
    case BENCH_QK_NORM_ROPE_BACKWARD:
      return kernels->qk_norm_rope_backward != NULL;
    case BENCH_ATTENTION_BACKWARD:
      return kernels->attention_backward != NULL && kernels->attention_backward_scratch_bytes != NULL;
    case BENCH_SWIGLU_BACKWARD:
      return kernels->swiglu_backward != NULL;
    case BENCH_COLUMN_SUM:
      return kernels->column_sum != NULL;
    case BENCH_CROSS_ENTROPY:
      return kernels->cross_entropy != NULL;
    case BENCH_SQUARED_NORM:
      return kernels->squared_norm != NULL;
    case BENCH_ADAMW:
      return kernels->adamw != NULL;
    default:
      return TRUE;
    }
}

static gboolean
run_init (Run *run, const BenchKernel *kernel, SwittiDevice *device, GError **error)
{
  gsize bytes;

  *run = (Run){ .kernel = kernel, .device = device, .kernels = switti_device_get_kernels (device),
                .context = switti_device_get_context (device) };
  if (!has_op (run->kernels, kernel->op))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED, _ ("The device “%s” has no op %s."),
                   switti_device_get_name (device), bench_kernel_get_op_name (kernel));
      return FALSE;
    }
  for (int i = 0; i < BENCH_MAX_OPERANDS; i++)
    if (!make_operand (run, i, operand_bytes (run, i), error))
      return FALSE;
  bytes = scratch_bytes (run);
  run->scratch = bytes > 0 ? switti_device_alloc (device, bytes, _ ("a kernel's operands"), error) : NULL;
  return (bytes == 0 || run->scratch != NULL) && make_plan (run, error);
}

static void
run_clear (Run *run)
{
  if (run->gemm != NULL)
    run->kernels->gemm_plan_free (run->context, run->gemm);
  if (run->conv != NULL)
    run->kernels->conv_plan_free (run->context, run->conv);
  if (run->optimizer != NULL)
    run->kernels->optimizer_plan_free (run->context, run->optimizer);
  for (int i = 0; i < BENCH_MAX_OPERANDS; i++)
    switti_device_free (run->device, run->operands[i]);
  switti_device_free (run->device, run->scratch);
}

/* -- calls ----------------------------------------------------------------------------------------------------- */

/* The k of rows that hold q, k and v. */
static void *
keys_of (const Run *run, void *q)
{
  const SwittiQkNormRope *r = &run->kernel->rope;

  return (guint8 *) q + (gsize) (r->heads * r->d) * switti_dtype_size (r->dtype);
}

static SwittiKernelStatus
call_norm (Run *run)
{
  const BenchKernel *k = run->kernel;
  void **o = run->operands;

  if (k->op == BENCH_RESIDUAL_NORM)
    return run->kernels->residual_norm (run->context, &k->norm, NULL, o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]);
  return run->kernels->layer_norm (run->context, &k->norm, NULL, o[0], o[1], NULL, NULL, o[4], o[5], o[6]);
}

static SwittiKernelStatus
call_sample (Run *run)
{
  const BenchKernel *k = run->kernel;
  void **o = run->operands;

  if (k->op == BENCH_SAMPLE_FILTERED)
    return run->kernels->sample_filtered (run->context, &k->sample, o[0], o[1], o[2], NULL, NULL, o[3]);
  return run->kernels->sample_smooth (run->context, &k->sample, o[0], o[1], o[2], o[3], NULL, NULL, o[4], o[5]);
}

static SwittiKernelStatus
call_map (Run *run)
{
  const BenchKernel *k = run->kernel;
  const SwittiKernels *kernels = run->kernels;
  const gint64 rows = k->map.rows, width = k->map.width;
  const SwittiDtype dtype = k->map.dtype;
  void **o = run->operands;

  switch (k->op)
    {
    case BENCH_SWIGLU:
      return kernels->swiglu (run->context, rows, width, dtype, o[0], 2 * width, o[1], width);
    case BENCH_SILU_CONDITION:
      return kernels->silu_condition (run->context, rows, width, o[0], o[1], o[2], dtype, o[3]);
    case BENCH_ACCUMULATE:
      return kernels->accumulate (run->context, rows * width, 0.5f, o[0], 0.5f, o[1], o[2]);
    case BENCH_CONVERT:
      return kernels->convert (run->context, rows * width, SWITTI_DTYPE_F32, o[0], dtype, o[1]);
    default:
      return kernels->image_to_rgb8 (run->context, rows, SWITTI_DTYPE_F32, o[0], o[1]);
    }
}

static SwittiKernelStatus
call_norm_backward (Run *run)
{
  const BenchKernel *k = run->kernel;
  const gint64 c = k->norm.c;
  void **o = run->operands;
  const float *modulation = o[3];
  float *sums = o[7];
  const SwittiNormGradients gradients = {
    .x = k->has_h ? o[0] : NULL,
    .y = o[1],
    .post_weight = k->has_y ? o[2] : NULL,
    .gate = k->has_y ? modulation : NULL,
    .weight = k->has_h ? o[2] : NULL,
    .scale = k->has_h ? modulation + c : NULL,
    .dh = o[4],
    .dx = o[5],
    .dy = o[6],
    .d_gate = k->has_y ? sums : NULL,
    .d_scale = k->has_h ? sums + c : NULL,
    .d_shift = k->has_h ? sums + 2 * c : NULL,
  };

  return run->kernels->residual_norm_backward (run->context, &k->norm, &gradients, run->scratch);
}

static SwittiKernelStatus
call_attention_backward (Run *run)
{
  const SwittiAttentionBackward backward = attention_backward (run->kernel);
  void **o = run->operands;

  return run->kernels->attention_backward (run->context, &backward, NULL, o[0], o[1], o[2], o[3], o[4], o[5], o[6],
                                           o[7], run->scratch);
}

static SwittiKernelStatus
call_rope_backward (Run *run)
{
  const BenchKernel *k = run->kernel;
  void **o = run->operands;
  float *sums = o[3];
  const gint64 c = k->rope.heads * k->rope.d;

  if (!k->has_k)
    return run->kernels->qk_norm_rope_backward (run->context, &k->rope, o[0], o[1], NULL, o[2], NULL, NULL, o[2], NULL,
                                                NULL);
  return run->kernels->qk_norm_rope_backward (run->context, &k->rope, o[0], o[1], keys_of (run, o[1]), o[2], sums,
                                              sums + c, o[2], keys_of (run, o[2]),
                                              keys_of (run, keys_of (run, o[2])));
}

static SwittiKernelStatus
call_optimizer (Run *run)
{
  const SwittiAdamw adamw = { .rate = 1e-4f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .correction1 = 1,
                              .correction2 = 1, .gradient_scale = 1, .copy_dtype = SWITTI_DTYPE_BF16 };

  return run->kernel->op == BENCH_ADAMW
             ? run->kernels->adamw (run->context, &adamw, run->optimizer)
             : run->kernels->squared_norm (run->context, run->optimizer, run->operands[1]);
}

static SwittiKernelStatus
call_training (Run *run)
{
  const BenchKernel *k = run->kernel;
  const gint64 rows = k->map.rows, width = k->map.width;
  void **o = run->operands;

  switch (k->op)
    {
    case BENCH_RESIDUAL_NORM_BACKWARD:
      return call_norm_backward (run);
    case BENCH_QK_NORM_ROPE_BACKWARD:
      return call_rope_backward (run);
    case BENCH_ATTENTION_BACKWARD:
      return call_attention_backward (run);
    case BENCH_SWIGLU_BACKWARD:
      return run->kernels->swiglu_backward (run->context, rows, width, k->map.dtype, o[0], 2 * width, o[1], width,
                                            o[2]);
    case BENCH_COLUMN_SUM:
      return run->kernels->column_sum (run->context, rows, width, k->map.dtype, o[0], width, o[1]);
    case BENCH_CROSS_ENTROPY:
      {
        const SwittiCrossEntropy loss = { .rows = rows, .v = width, .gradient_scale = 1, .d_dtype = k->map.dtype };

        return run->kernels->cross_entropy (run->context, &loss, o[0], o[1], NULL, o[2], o[3], o[4]);
      }
    default:
      return call_optimizer (run);
    }
}

static SwittiKernelStatus
call (Run *run)
{
  const BenchKernel *k = run->kernel;
  const SwittiKernels *kernels = run->kernels;
  void **o = run->operands;

  switch (k->op)
    {
    case BENCH_GEMM:
      return kernels->gemm (run->context, run->gemm, o[0], o[1], o[2], o[3]);
    case BENCH_CONV:
      return kernels->conv (run->context, run->conv, o[0], o[1], o[2], o[3], o[4]);
    case BENCH_RESIDUAL_NORM:
    case BENCH_LAYER_NORM:
      return call_norm (run);
    case BENCH_QK_NORM_ROPE:
      return kernels->qk_norm_rope (run->context, &k->rope, o[0], o[1], k->has_k ? keys_of (run, o[1]) : NULL, NULL,
                                    o[1], k->has_k ? keys_of (run, o[1]) : NULL, NULL);
    case BENCH_ATTENTION:
      return kernels->attention (run->context, &k->attention, NULL, NULL, o[0], o[1], o[2], o[3]);
    case BENCH_GROUP_NORM:
      return kernels->group_norm (run->context, &k->group_norm, o[0], o[1], o[2], run->scratch, o[4]);
    case BENCH_RESAMPLE:
      return kernels->resample (run->context, &k->resample, o[0], o[1]);
    case BENCH_SAMPLE_FILTERED:
    case BENCH_SAMPLE_SMOOTH:
      return call_sample (run);
    case BENCH_SWIGLU:
    case BENCH_SILU_CONDITION:
    case BENCH_ACCUMULATE:
    case BENCH_CONVERT:
    case BENCH_IMAGE_TO_RGB8:
      return call_map (run);
    default:
      return call_training (run);
    }
}

/* -- timing ---------------------------------------------------------------------------------------------------- */

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static gboolean
call_once (Run *run, BenchTime *time, GError **error)
{
  SwittiKernelProfile rows[SWITTI_KERNEL_N_OPS];
  SwittiKernelStatus status;

  run->kernels->profile_reset (run->context, true);
  status = call (run);
  run->kernels->profile_read (run->context, rows);
  run->kernels->profile_reset (run->context, false);
  *time = (BenchTime){ .n_runs = 1 };
  for (int i = 0; i < SWITTI_KERNEL_N_OPS; i++)
    {
      time->seconds += rows[i].seconds;
      time->flop += rows[i].flop;
      time->bytes += rows[i].bytes;
      time->by_library |= rows[i].library_calls > 0;
    }
  return switti_device_check (run->device, status, bench_kernel_get_op_name (run->kernel), error);
}

gboolean
bench_kernel_time (const BenchKernel *kernel, SwittiDevice *device, double least_seconds, BenchTime *time,
                   GError **error)
{
  double seconds[MOST_RUNS], total = 0;
  int n = 0;
  gboolean good;
  Run run;

  good = run_init (&run, kernel, device, error) && call_once (&run, time, error);
  while (good && (n < LEAST_RUNS || (n < MOST_RUNS && total < least_seconds)))
    {
      good = call_once (&run, time, error);
      seconds[n++] = time->seconds;
      total += time->seconds;
    }
  if (good)
    {
      qsort (seconds, (gsize) n, sizeof *seconds, compare_doubles);
      time->seconds = MAX (seconds[n / 2], 1e-9);
      time->n_runs = n;
    }
  run_clear (&run);
  return good;
}

/* -- ceilings -------------------------------------------------------------------------------------------------- */

/* A copy is no op that the profile counts: copies between two waits, by the host's clock. */
static double
time_copy (const SwittiKernels *kernels, SwittiKernelContext *context, void *to, const void *from)
{
  const int copies = 8;
  gint64 began;

  kernels->synchronize (context);
  began = g_get_monotonic_time ();
  for (int i = 0; i < copies; i++)
    if (kernels->copy (context, to, from, COPY_BYTES) != SWITTI_KERNEL_OK)
      return 0;
  if (kernels->synchronize (context) != SWITTI_KERNEL_OK)
    return 0;
  return (double) (g_get_monotonic_time () - began) / copies / G_TIME_SPAN_SECOND;
}

double
bench_measure_copy (SwittiDevice *device)
{
  const SwittiKernels *kernels = switti_device_get_kernels (device);
  SwittiKernelContext *context = switti_device_get_context (device);
  void *from = switti_device_alloc (device, COPY_BYTES, "", NULL), *to = NULL;
  double best = 0;

  if (from != NULL)
    to = switti_device_alloc (device, COPY_BYTES, "", NULL);
  if (to != NULL && kernels->clear (context, from, COPY_BYTES) == SWITTI_KERNEL_OK)
    for (int i = 0; i < LEAST_RUNS; i++)
      {
        const double seconds = time_copy (kernels, context, to, from);

        if (seconds > 0)
          best = MAX (best, 2.0 * (double) COPY_BYTES / seconds * 1e-9);
      }
  switti_device_free (device, from);
  switti_device_free (device, to);
  return best;
}

double
bench_measure_product (SwittiDevice *device, SwittiDtype dtype)
{
  static const gint64 shapes[][3] = { { 4096, 4096, 4096 }, { 8192, 8192, 2048 }, { 8192, 5760, 1920 } };
  double best = 0;

  if (g_str_equal (switti_device_get_kernels (device)->name, "cpu"))
    return switti_ceiling_measure (switti_device_get_n_threads (device), dtype);
  for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      const gint64 m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
      BenchKernel kernel = { .op = BENCH_GEMM };
      BenchTime time;

      kernel.gemm = (SwittiGemm){ .m = m, .n = n, .k = k, .row_group = m, .lda = k, .ldb = k, .ldd = n,
                                  .a_dtype = dtype, .b_dtype = dtype, .d_dtype = dtype, .b_packed = true };
      kernel.operand_bytes[0] = (gsize) (m * k) * switti_dtype_size (dtype);
      kernel.operand_bytes[3] = (gsize) (m * n) * switti_dtype_size (dtype);
      if (bench_kernel_time (&kernel, device, 0.02, &time, NULL))
        best = MAX (best, time.flop / time.seconds * 1e-9);
    }
  return best;
}
