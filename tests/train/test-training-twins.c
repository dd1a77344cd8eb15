/* test-training-twins.c - each training op of CUDA's table, on the host, beside its twin of the CPU's
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Both are given the same numbers, all of which bf16 can hold. In float32 they may differ by 1e-5; in bf16 CUDA's
 * error, by the CPU's float32 results, may be twice that of the CPU's bf16: both round the same sums, made in other
 * orders.
 */
#include "op-test.h"

#define F32_TOLERANCE 1e-5
#define BF16_FACTOR 2
/* What float32 sums of thousands of terms differ by; below that errors have nothing to say of bf16. */
#define BF16_FLOOR 1e-6
#define MAX_SLOTS 20
#define MAX_THREADS 2

typedef enum
{
  IN,         /* float32 */
  IN_NARROW,  /* of the call's dtype */
  OUT,        /* float32; holds numbers before the call, for += */
  OUT_NARROW,
} SlotKind;

typedef struct
{
  SlotKind kind;
  gsize count;
} Slot;

typedef struct
{
  const char *name;
  Slot slots[MAX_SLOTS]; /* until a count of 0 */
  SwittiKernelStatus (*call) (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype,
                              void *const *at);
} Twin;

/* -- running --------------------------------------------------------------------------------------------------- */

typedef struct
{
  void *at[MAX_SLOTS];
  SwittiDtype dtype[MAX_SLOTS];
} Run;

static void
run_init (Run *run, const Twin *twin, SwittiDtype dtype)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (21);

  for (int i = 0; i < MAX_SLOTS && twin->slots[i].count > 0; i++)
    {
      const Slot *slot = &twin->slots[i];
      const gboolean narrow = slot->kind == IN_NARROW || slot->kind == OUT_NARROW;

      run->dtype[i] = narrow ? dtype : SWITTI_DTYPE_F32;
      run->at[i] = g_aligned_alloc (slot->count, sizeof (float), 64);
      for (gsize j = 0; j < slot->count; j++)
        {
          const guint16 half = test_bf16_of ((float) test_number (rand));

          if (run->dtype[i] == SWITTI_DTYPE_F32)
            ((float *) run->at[i])[j] = test_bf16_value (half);
          else
            ((guint16 *) run->at[i])[j] = half;
        }
    }
}

static void
run_clear (Run *run)
{
  for (int i = 0; i < MAX_SLOTS; i++)
    g_aligned_free (run->at[i]);
}

static Run
run_new (const Twin *twin, const SwittiKernels *kernels, SwittiDtype dtype)
{
  const SwittiKernelOptions options = { .n_threads = MAX_THREADS };
  SwittiKernelContext *context;
  Run run = { 0 };

  run_init (&run, twin, dtype);
  assert_ok (kernels->context_new (&options, &context));
  assert_ok (twin->call (kernels, context, dtype, run.at));
  kernels->context_free (context);
  return run;
}

/* 2-norm of the difference by that of what it should be. */
static double
difference (const Run *a, const Run *b, int slot, gsize count)
{
  double error = 0, size = 0;

  for (gsize j = 0; j < count; j++)
    {
      const double x = test_load (a->dtype[slot], a->at[slot], j), y = test_load (b->dtype[slot], b->at[slot], j);

      error += (x - y) * (x - y);
      size += y * y;
    }
  return sqrt (error / size);
}

static void
test_twin (gconstpointer data)
{
  const Twin *twin = data;
  Run cpu = run_new (twin, switti_kernels_cpu (), SWITTI_DTYPE_F32);
  Run cuda = run_new (twin, test_kernels (), SWITTI_DTYPE_F32);
  Run narrow_cpu = run_new (twin, switti_kernels_cpu (), SWITTI_DTYPE_BF16);
  Run narrow_cuda = run_new (twin, test_kernels (), SWITTI_DTYPE_BF16);

  for (int i = 0; i < MAX_SLOTS && twin->slots[i].count > 0; i++)
    {
      const gsize count = twin->slots[i].count;
      const double wide = difference (&cuda, &cpu, i, count);
      const double allowed = BF16_FACTOR * difference (&narrow_cpu, &cpu, i, count) + BF16_FLOOR;
      const double narrow = difference (&narrow_cuda, &cpu, i, count);

      if (twin->slots[i].kind != OUT && twin->slots[i].kind != OUT_NARROW)
        continue;
      g_test_message ("output %d: %.2g in float32; %.2g in bf16, allowed %.2g", i, wide, narrow, allowed);
      if (!(wide <= F32_TOLERANCE) || !(narrow <= allowed))
        g_test_fail ();
    }
  run_clear (&cpu);
  run_clear (&cuda);
  run_clear (&narrow_cpu);
  run_clear (&narrow_cuda);
}

/* -- the ops ------------------------------------------------------------------------------------------------------ */

#define B 2
#define N 19
#define C 260 /* heads of 20 */
#define ROWS (B * N)
#define V 1111

static SwittiResidualNorm
norm_of (SwittiDtype dtype)
{
  return (SwittiResidualNorm){ .batch = B, .n = N, .c = C, .eps = 1e-6f, .y_dtype = dtype, .h_dtype = dtype,
                               .modulation_stride = C };
}

static SwittiKernelStatus
residual_norm_backward (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype,
                        void *const *at)
{
  const SwittiResidualNorm norm = norm_of (dtype);
  const SwittiNormGradients gradients = {
    .x = at[0], .y = at[1], .dh = at[2], .post_weight = at[3], .weight = at[4], .gate = at[5], .scale = at[6],
    .dx = at[7], .dy = at[8], .d_post_weight = at[9], .d_weight = at[10], .d_gate = at[11], .d_scale = at[12],
    .d_shift = at[13],
  };
  g_autofree void *scratch = g_malloc (kernels->norm_backward_scratch_bytes (context, &norm));

  return kernels->residual_norm_backward (context, &norm, &gradients, scratch);
}

static SwittiKernelStatus
layer_norm_backward (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype, void *const *at)
{
  const SwittiResidualNorm norm = norm_of (dtype);
  const SwittiNormGradients gradients = {
    .x = at[0], .y = at[1], .dh = at[2], .weight = at[3], .bias = at[4], .scale = at[5], .dx = at[6], .dy = at[7],
    .d_weight = at[8], .d_bias = at[9], .d_scale = at[10], .d_shift = at[11],
  };
  g_autofree void *scratch = g_malloc (kernels->norm_backward_scratch_bytes (context, &norm));

  return kernels->layer_norm_backward (context, &norm, &gradients, scratch);
}

static SwittiKernelStatus
qk_norm_rope_backward (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype,
                       void *const *at)
{
  const SwittiRows rows = { N * C, C };
  const SwittiQkNormRope op = { .batch = B, .n = N, .heads = C / 20, .d = 20, .eps = 1e-6f, .dtype = dtype, .q = rows,
                                .k = rows, .v = rows, .q_out = rows, .k_out = rows, .v_out = rows };

  return kernels->qk_norm_rope_backward (context, &op, at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8]);
}

static SwittiKernelStatus
swiglu_backward (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype, void *const *at)
{
  return kernels->swiglu_backward (context, ROWS, C, dtype, at[0], 2 * C, at[1], C, at[2]);
}

static SwittiKernelStatus
activations (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype, void *const *at)
{
  for (int i = 0; i < 4; i++)
    {
      const SwittiActivation activation = SWITTI_ACTIVATION_SILU + i;
      SwittiKernelStatus status = kernels->activation (context, activation, ROWS * C, dtype, at[0], at[2 + i]);

      if (status == SWITTI_KERNEL_OK)
        status = kernels->activation_backward (context, activation, ROWS * C, dtype, at[0], at[1], at[6 + i]);
      if (status != SWITTI_KERNEL_OK)
        return status;
    }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
column_sum (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype, void *const *at)
{
  return kernels->column_sum (context, ROWS, C, dtype, at[0], C, at[1]);
}

static SwittiKernelStatus
cross_entropy (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype, void *const *at)
{
  const SwittiCrossEntropy op = { .rows = ROWS, .v = V, .smoothing = 0.1f, .gradient_scale = 0.5f, .d_dtype = dtype };
  gint32 target[ROWS], rank[ROWS];

  for (int r = 0; r < ROWS; r++)
    target[r] = r * 29 % V;
  return kernels->cross_entropy (context, &op, at[0], target, at[1], at[2], rank, at[3]);
}

static SwittiKernelStatus
condition_backward (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype, void *const *at)
{
  return kernels->silu_condition_backward (context, ROWS, C, at[0], at[1], at[2], at[3], at[4], at[5], at[6]);
}

static SwittiKernelStatus
tokens (const SwittiKernels *kernels, SwittiKernelContext *context, SwittiDtype dtype, void *const *at)
{
  const SwittiTokenEmbedding op = { .batch = B, .length = N, .width = C, .n_levels = 3 };
  gint32 level[N];
  SwittiKernelStatus status;

  for (int t = 0; t < N; t++)
    level[t] = t < 1 ? 0 : t < 5 ? 1 : 2;
  status = kernels->token_embedding (context, &op, level, at[0], at[1], at[2], at[3], at[4], at[6]);
  if (status == SWITTI_KERNEL_OK)
    status = kernels->token_embedding_backward (context, &op, level, at[5], at[7], at[8], at[9], at[10], at[11]);
  for (int t = 0; t < N; t++)
    level[t] = t % 5;
  return status == SWITTI_KERNEL_OK ? kernels->embed_backward (context, N, C, 5, level, at[5], at[12]) : status;
}

static const Twin twins[] = {
  { "residual-norm",
    { { IN, ROWS * C }, { IN_NARROW, ROWS * C }, { IN_NARROW, ROWS * C }, { IN, C }, { IN, C }, { IN, B * C },
      { IN, B * C }, { OUT, ROWS * C }, { OUT_NARROW, ROWS * C }, { OUT, C }, { OUT, C }, { OUT, B * C },
      { OUT, B * C }, { OUT, B * C } },
    residual_norm_backward },
  { "layer-norm",
    { { IN, ROWS * C }, { IN_NARROW, ROWS * C }, { IN_NARROW, ROWS * C }, { IN, C }, { IN, C }, { IN, B * C },
      { OUT, ROWS * C }, { OUT_NARROW, ROWS * C }, { OUT, C }, { OUT, C }, { OUT, B * C }, { OUT, B * C } },
    layer_norm_backward },
  { "qk-norm-rope",
    { { IN, N * 20 }, { IN_NARROW, ROWS * C }, { IN_NARROW, ROWS * C }, { IN_NARROW, ROWS * C }, { IN, ROWS * C },
      { IN, ROWS * C }, { OUT_NARROW, ROWS * C }, { OUT_NARROW, ROWS * C }, { OUT_NARROW, ROWS * C } },
    qk_norm_rope_backward },
  { "swiglu", { { IN_NARROW, 2 * ROWS * C }, { IN_NARROW, ROWS * C }, { OUT_NARROW, 2 * ROWS * C } }, swiglu_backward },
  { "activations",
    { { IN_NARROW, ROWS * C }, { IN_NARROW, ROWS * C }, { OUT_NARROW, ROWS * C }, { OUT_NARROW, ROWS * C },
      { OUT_NARROW, ROWS * C }, { OUT_NARROW, ROWS * C }, { OUT_NARROW, ROWS * C }, { OUT_NARROW, ROWS * C },
      { OUT_NARROW, ROWS * C }, { OUT_NARROW, ROWS * C } },
    activations },
  { "column-sum", { { IN_NARROW, ROWS * C }, { OUT, C } }, column_sum },
  { "cross-entropy", { { IN, ROWS * V }, { IN, ROWS }, { OUT, ROWS }, { OUT_NARROW, ROWS * V } }, cross_entropy },
  { "condition",
    { { IN, ROWS * C }, { IN, ROWS * C }, { IN, C }, { IN, ROWS * C }, { OUT, ROWS * C }, { OUT, ROWS * C },
      { OUT, C } },
    condition_backward },
  { "tokens",
    { { IN, 3 * C }, { IN, N * C }, { IN, C }, { IN, C }, { IN, B * C }, { IN, ROWS * C }, { OUT, ROWS * C },
      { OUT, 3 * C }, { OUT, N * C }, { OUT, C }, { OUT, C }, { OUT, B * C }, { OUT, 5 * C } },
    tokens },
};

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (twins); i++)
    {
      g_autofree char *path = g_strconcat ("/training-twins/", twins[i].name, NULL);

      g_test_add_data_func (path, &twins[i], test_twin);
    }
  return g_test_run ();
}
