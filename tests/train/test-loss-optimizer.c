/* test-loss-optimizer.c - cross-entropy, the gradient's norm, and AdamW
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "backward-test.h"
#include "op-test.h"

/* -- cross-entropy --------------------------------------------------------------------------------------------- */

typedef struct
{
  int rows, v;
  double smoothing, scale;
  gboolean weighted;
  const gint32 *target;
  const float *weight;
} LossShape;

static double
row_loss (const LossShape *s, const double *logits, int target)
{
  double sum = 0, own = 0, all = 0;

  for (int j = 0; j < s->v; j++)
    sum += exp (logits[j]);
  own = log (sum) - logits[target];
  for (int j = 0; j < s->v; j++)
    all += log (sum) - logits[j];
  return (1 - s->smoothing) * own + s->smoothing / s->v * all;
}

static double
loss (double *const *in, const void *data)
{
  const LossShape *s = data;
  double total = 0;

  for (int r = 0; r < s->rows; r++)
    total += s->scale * (s->weight != NULL ? s->weight[r] : 1) * row_loss (s, in[0] + r * s->v, s->target[r]);
  return total;
}

static void
check_cross_entropy (SwittiKernelContext *context, LossShape s, SwittiDtype dtype)
{
  const gsize count = (gsize) (s.rows * s.v);
  const SwittiCrossEntropy op = { .rows = s.rows, .v = s.v, .smoothing = (float) s.smoothing,
                                  .gradient_scale = (float) s.scale, .d_dtype = dtype };
  g_autoptr (GRand) rand = g_rand_new_with_seed (8);
  g_autofree gint32 *target = g_new (gint32, s.rows), *rank = g_new (gint32, s.rows);
  g_autofree float *losses = g_new (float, s.rows), *weight = s.weighted ? g_new (float, s.rows) : NULL;
  Operand logits = operand_new (SWITTI_DTYPE_F32, count, rand);
  g_autofree double *values = NULL;
  void *gradient = test_output (dtype, count);

  for (gsize i = 0; i < count; i++)
    {
      /* Coarse, so that ranks meet ties. */
      ((float *) logits.data)[i] = roundf (((float *) logits.data)[i] * 50) / 5;
      logits.value[i] = ((float *) logits.data)[i];
    }
  values = test_values (&logits);
  for (int r = 0; r < s.rows; r++)
    {
      target[r] = g_rand_int_range (rand, 0, s.v);
      if (s.weighted)
        weight[r] = (float) g_rand_double_range (rand, 0.25, 4);
    }
  s.target = target;
  s.weight = weight;
  g_assert_cmpint (test_kernels ()->cross_entropy (context, &op, logits.data, target, weight, losses, rank,
                                                         gradient),
                   ==, SWITTI_KERNEL_OK);
  for (int r = 0; r < s.rows; r++)
    {
      const double *row = values + r * s.v;
      int before = 0;

      for (int j = 0; j < s.v; j++)
        before += row[j] > row[target[r]] || (row[j] == row[target[r]] && j < target[r]);
      g_assert_cmpint (rank[r], ==, before);
      g_assert_cmpfloat (fabs (losses[r] - row_loss (&s, row, target[r])), <, 2e-6 * (1 + losses[r]));
    }
  test_gradient ("d_logits", loss, &values, &s, 0, count, dtype, gradient, 0, test_tolerance (dtype));
  if (dtype == SWITTI_DTYPE_F32)
    {
      /* In place, and the loss alone. */
      g_assert_cmpint (test_kernels ()->cross_entropy (context, &op, logits.data, target, weight, losses, rank,
                                                             NULL),
                       ==, SWITTI_KERNEL_OK);
      g_assert_cmpint (test_kernels ()->cross_entropy (context, &op, logits.data, target, weight, losses, rank,
                                                             logits.data),
                       ==, SWITTI_KERNEL_OK);
      g_assert_cmpmem (logits.data, count * sizeof (float), gradient, count * sizeof (float));
    }
  /* Outside the logits: the CPU looks, CUDA tells by the loss. */
  target[0] = s.v;
  if (TEST_SIMULATED)
    {
      assert_ok (test_kernels ()->cross_entropy (context, &op, logits.data, target, NULL, losses, rank, NULL));
      g_assert_true (isnan (losses[0]));
    }
  else
    assert_invalid (test_kernels ()->cross_entropy (context, &op, logits.data, target, NULL, losses, rank, NULL));
  g_aligned_free (gradient);
  operand_clear (&logits);
}

static void
test_cross_entropy (void)
{
  /* The small ones are compared in full, targets among them. */
  static const LossShape shapes[] = {
    { 1, 1, 0, 1, FALSE, NULL, NULL },   { 3, 7, 0, 0.25, TRUE, NULL, NULL },   { 5, 9, 0.3, 1, FALSE, NULL, NULL },
    { 4, 9, 0.3, 0.5, TRUE, NULL, NULL }, { 5, 2050, 0.1, 1, FALSE, NULL, NULL },
  };

  for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
    for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
      {
        SwittiKernelContext *context = test_context (test_isas[isa], 2);

        if (context == NULL)
          continue;
        check_cross_entropy (context, shapes[i], SWITTI_DTYPE_F32);
        check_cross_entropy (context, shapes[i], SWITTI_DTYPE_BF16);
        test_kernels ()->context_free (context);
      }
}

/* -- optimizer ------------------------------------------------------------------------------------------------- */

#define N_TENSORS 4
#define N_STEPS 3

static const gsize tensor_counts[N_TENSORS] = { 1, 37, 70001, 64 };

/* What the op reads and writes, and the same in float64. */
typedef struct
{
  Operand parameter, gradient;
  float *first, *second, *average;
  guint16 *copy;
  double *p, *m, *v, *mean;
} Tensor;

static void
tensor_init (Tensor *t, gsize count, GRand *rand)
{
  t->parameter = operand_new (SWITTI_DTYPE_F32, count, rand);
  t->gradient = operand_new (SWITTI_DTYPE_F32, count, rand);
  t->first = test_sum (count, 0);
  t->second = test_sum (count, 0);
  t->average = g_aligned_alloc (count, sizeof (float), 64);
  memcpy (t->average, t->parameter.data, count * sizeof (float));
  t->copy = test_output (SWITTI_DTYPE_BF16, count);
  t->p = test_values (&t->parameter);
  t->mean = test_values (&t->parameter);
  t->m = g_new0 (double, count);
  t->v = g_new0 (double, count);
}

static void
tensor_clear (Tensor *t)
{
  operand_clear (&t->parameter);
  operand_clear (&t->gradient);
  g_aligned_free (t->first);
  g_aligned_free (t->second);
  g_aligned_free (t->average);
  g_aligned_free (t->copy);
  g_free (t->p);
  g_free (t->m);
  g_free (t->v);
  g_free (t->mean);
}

/* Loshchilov and Hutter's algorithm, as published. */
static void
step_in_double (Tensor *t, const SwittiAdamw *a, double decay, int step)
{
  const double beta1 = a->beta1, beta2 = a->beta2;

  for (gsize i = 0; i < t->parameter.count; i++)
    {
      double g = t->gradient.value[i] * a->gradient_scale;

      t->m[i] = beta1 * t->m[i] + (1 - beta1) * g;
      t->v[i] = beta2 * t->v[i] + (1 - beta2) * g * g;
      t->p[i] -= a->rate * decay * t->p[i];
      t->p[i] -= a->rate * (t->m[i] / (1 - pow (beta1, step))) / (sqrt (t->v[i] / (1 - pow (beta2, step))) + a->eps);
      t->mean[i] = a->average_decay * t->mean[i] + (1 - a->average_decay) * t->p[i];
    }
}

static void
run_steps (SwittiKernelContext *context, Tensor *tensors, SwittiDtype copy_dtype)
{
  SwittiAdamw adamw = { .rate = 1e-2f, .decay = 0.05f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f,
                        .gradient_scale = 0.5f, .average_decay = 0.75f, .copy_dtype = copy_dtype };
  const double decay = 0.05f;
  SwittiOptimizerTensor list[N_TENSORS];
  SwittiOptimizerPlan *plan;

  for (int i = 0; i < N_TENSORS; i++)
    list[i] = (SwittiOptimizerTensor){ (gint64) tensor_counts[i], tensors[i].parameter.data, tensors[i].gradient.data,
                                       tensors[i].first, tensors[i].second, i == 1 ? NULL : tensors[i].average,
                                       i == 0 ? NULL : tensors[i].copy, i % 2 == 0 };
  assert_ok (test_kernels ()->optimizer_plan (context, N_TENSORS, list, &plan));
  for (int step = 1; step <= N_STEPS; step++)
    {
      adamw.correction1 = (float) (1 - pow (adamw.beta1, step));
      adamw.correction2 = (float) (1 - pow (adamw.beta2, step));
      assert_ok (test_kernels ()->adamw (context, &adamw, plan));
      for (int i = 0; i < N_TENSORS; i++)
        step_in_double (&tensors[i], &adamw, list[i].decays ? decay : 0, step);
    }
  test_kernels ()->optimizer_plan_free (context, plan);
}

static void
compare_tensors (const Tensor *tensors, SwittiDtype copy_dtype)
{
  for (int i = 0; i < N_TENSORS; i++)
    for (gsize j = 0; j < tensor_counts[i]; j++)
      {
        const float p = ((float *) tensors[i].parameter.data)[j];

        /* Roundings of some units in the last place in each of the steps, on numbers up to 1. */
        g_assert_cmpfloat (fabs (p - tensors[i].p[j]), <, 1e-6);
        if (i != 1)
          g_assert_cmpfloat (fabs (tensors[i].average[j] - tensors[i].mean[j]), <, 1e-6);
        if (i != 0)
          g_assert_cmpuint (tensors[i].copy[j], ==,
                            copy_dtype == SWITTI_DTYPE_BF16 ? test_bf16_of (p) : test_f16_of (p));
      }
}

static void
test_adamw (void)
{
  g_autofree float *first = NULL;

  for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
    for (int n_threads = 1; n_threads <= 3; n_threads++)
      {
        SwittiKernelContext *context = test_context (test_isas[isa], n_threads);
        g_autoptr (GRand) rand = g_rand_new_with_seed (9);
        Tensor tensors[N_TENSORS];
        const gsize bytes = tensor_counts[2] * sizeof (float);
        const SwittiDtype copy_dtype = n_threads == 2 ? SWITTI_DTYPE_F16 : SWITTI_DTYPE_BF16;

        if (context == NULL)
          continue;
        for (int i = 0; i < N_TENSORS; i++)
          tensor_init (&tensors[i], tensor_counts[i], rand);
        run_steps (context, tensors, copy_dtype);
        compare_tensors (tensors, copy_dtype);
        if (n_threads == 1)
          {
            g_free (first);
            first = g_memdup2 (tensors[2].parameter.data, bytes);
          }
        g_assert_cmpmem (first, bytes, tensors[2].parameter.data, bytes);
        for (int i = 0; i < N_TENSORS; i++)
          tensor_clear (&tensors[i]);
        test_kernels ()->context_free (context);
      }
}

static void
test_squared_norm (void)
{
  for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
    {
      double one[2] = { 0 };

      for (int n_threads = 1; n_threads <= 3; n_threads++)
        {
          SwittiKernelContext *context = test_context (test_isas[isa], n_threads);
          g_autoptr (GRand) rand = g_rand_new_with_seed (10);
          Operand a, b;
          const SwittiAdamw adamw = { .correction1 = 1, .correction2 = 1 };
          SwittiOptimizerPlan *plan;
          double sums[2], expected = 0;

          if (context == NULL)
            continue;
          a = operand_new (SWITTI_DTYPE_F32, 200003, rand);
          b = operand_new (SWITTI_DTYPE_F32, 1, rand);
          const SwittiOptimizerTensor list[] = { { .count = 200003, .gradient = a.data },
                                                 { .count = 1, .gradient = b.data } };
          assert_ok (test_kernels ()->optimizer_plan (context, 2, list, &plan));
          assert_ok (test_kernels ()->squared_norm (context, plan, sums));
          assert_invalid (test_kernels ()->adamw (context, &adamw, plan)); /* there is nothing to step */
          test_kernels ()->optimizer_plan_free (context, plan);
          for (gsize i = 0; i < a.count; i++)
            expected += a.value[i] * a.value[i];
          /* 256 squares at a time in float32 */
          g_assert_cmpfloat (fabs (sums[0] - expected), <, 256 * 0x1p-24 * expected);
          g_assert_cmpfloat (fabs (sums[1] - b.value[0] * b.value[0]), <, 0x1p-23 * sums[1]);
          if (n_threads == 1)
            memcpy (one, sums, sizeof one);
          g_assert_cmpmem (one, sizeof one, sums, sizeof sums);
          operand_clear (&a);
          operand_clear (&b);
          test_kernels ()->context_free (context);
        }
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/loss-optimizer/cross-entropy", test_cross_entropy);
  g_test_add_func ("/loss-optimizer/adamw", test_adamw);
  g_test_add_func ("/loss-optimizer/squared-norm", test_squared_norm);
  return g_test_run ();
}
