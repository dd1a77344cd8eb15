/* test-attention-backward.c - gradients of attention, against finite differences
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "backward-test.h"

#define START 0.25f /* what the keys' and values' gradients start from */

enum
{
  Q,
  K,
  V,
  DOUT,
  N_INPUTS
};

typedef struct
{
  int batch, heads, d, n, m;
  gboolean causal;
  int length; /* valid keys of the last image; 0: all */
} Shape;

static int
valid_keys (const Shape *s, int image, int query)
{
  int keys = s->length > 0 && image == s->batch - 1 ? s->length : s->m;

  return s->causal ? MIN (keys, query + s->m - s->n + 1) : keys;
}

/* out (B, N, H d) of the forward computation; weights of the keys are worked out twice, but nothing is stored. */
static void
attend (const Shape *s, double *const *in, double *out)
{
  const int c = s->heads * s->d;

  memset (out, 0, sizeof (double) * s->batch * s->n * c);
  for (int b = 0; b < s->batch; b++)
    for (int h = 0; h < s->heads; h++)
      for (int i = 0; i < s->n; i++)
        {
          const double *q = in[Q] + (b * s->n + i) * c + h * s->d;
          double *row = out + (b * s->n + i) * c + h * s->d, sum = 0;

          for (int j = 0; j < valid_keys (s, b, i); j++)
            {
              const double *k = in[K] + (b * s->m + j) * c + h * s->d, *v = in[V] + (b * s->m + j) * c + h * s->d;
              double score = 0, weight;

              for (int x = 0; x < s->d; x++)
                score += q[x] * k[x];
              weight = exp (score / sqrt (s->d));
              sum += weight;
              for (int x = 0; x < s->d; x++)
                row[x] += weight * v[x];
            }
          for (int x = 0; x < s->d && sum > 0; x++)
            row[x] /= sum;
        }
}

static double
attention_loss (double *const *in, const void *data)
{
  const Shape *s = data;
  const gsize count = (gsize) (s->batch * s->n * s->heads * s->d);
  g_autofree double *out = g_new (double, count);
  double total = 0;

  attend (s, in, out);
  for (gsize i = 0; i < count; i++)
    total += out[i] * in[DOUT][i];
  return total;
}

typedef struct
{
  void *dq;
  float *dk, *dv;
} Gradients;

static void
gradients_clear (Gradients *gradients)
{
  g_aligned_free (gradients->dq);
  g_aligned_free (gradients->dk);
  g_aligned_free (gradients->dv);
}

/* What a device's op makes of the operands and `out`, in new memory. */
static Gradients
differentiate (const SwittiKernels *kernels, SwittiKernelContext *context, const Shape *s, SwittiDtype dtype,
               const Operand operands[N_INPUTS], const void *out)
{
  const int c = s->heads * s->d;
  const gsize queries = (gsize) (s->batch * s->n * c), keys = (gsize) (s->batch * s->m * c);
  const SwittiRows query_rows = { s->n * c, c }, key_rows = { s->m * c, c };
  const SwittiAttentionBackward op = {
    .attention = { .batch = s->batch, .heads = s->heads, .d = s->d, .n = s->n, .m = s->m,
                   .scale = (float) (1 / sqrt (s->d)), .causal = s->causal, .dtype = dtype, .q = query_rows,
                   .k = key_rows, .v = key_rows, .out = query_rows },
    .dout = query_rows, .dq = query_rows, .dk = key_rows, .dv = key_rows,
  };
  g_autofree gint32 *lengths = g_new (gint32, s->batch);
  g_autofree void *scratch = test_scratch (kernels->attention_backward_scratch_bytes (context, &op));
  Gradients g = { test_output (dtype, queries), test_sum (keys, START), test_sum (keys, START) };

  for (int b = 0; b < s->batch; b++)
    lengths[b] = valid_keys (&(Shape){ .batch = s->batch, .m = s->m, .length = s->length }, b, 0);
  g_assert_cmpint (kernels->attention_backward (context, &op, s->length > 0 ? lengths : NULL, operands[Q].data,
                                                operands[K].data, operands[V].data, out, operands[DOUT].data, g.dq,
                                                g.dk, g.dv, scratch),
                   ==, SWITTI_KERNEL_OK);
  return g;
}

static void *
rounded_output (const Shape *s, double *const *in, SwittiDtype dtype)
{
  const gsize count = (gsize) (s->batch * s->n * s->heads * s->d);
  g_autofree double *out = g_new (double, count);
  void *stored = test_output (dtype, count);

  attend (s, in, out);
  for (gsize i = 0; i < count; i++)
    if (dtype == SWITTI_DTYPE_F32)
      ((float *) stored)[i] = (float) out[i];
    else
      ((guint16 *) stored)[i] = test_bf16_of ((float) out[i]);
  return stored;
}

/* With `bits` (2 * keys floats), the gradients of keys and values go there and nothing is compared. */
static void
check_attention (const Shape *s, SwittiDtype dtype, const char *isa, int n_threads, float *bits)
{
  SwittiKernelContext *context = test_context (isa, n_threads);
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  const int c = s->heads * s->d;
  const gsize queries = (gsize) (s->batch * s->n * c), keys = (gsize) (s->batch * s->m * c);
  Operand operands[N_INPUTS];
  double *in[N_INPUTS];
  Gradients g;
  void *out;

  g_assert_nonnull (context);
  for (int i = 0; i < N_INPUTS; i++)
    {
      operands[i] = operand_new (dtype, i == Q || i == DOUT ? queries : keys, rand);
      in[i] = test_values (&operands[i]);
    }
  out = rounded_output (s, in, dtype);
  g = differentiate (test_kernels (), context, s, dtype, operands, out);
  if (bits != NULL)
    {
      memcpy (bits, g.dk, keys * sizeof (float));
      memcpy (bits + keys, g.dv, keys * sizeof (float));
    }
  else
    {
      test_gradient ("dq", attention_loss, in, s, Q, queries, dtype, g.dq, 0, test_tolerance (dtype));
      test_gradient ("dk", attention_loss, in, s, K, keys, SWITTI_DTYPE_F32, g.dk, START, test_tolerance (dtype));
      test_gradient ("dv", attention_loss, in, s, V, keys, SWITTI_DTYPE_F32, g.dv, START, test_tolerance (dtype));
    }
  for (int i = 0; i < N_INPUTS; i++)
    {
      operand_clear (&operands[i]);
      g_free (in[i]);
    }
  g_aligned_free (out);
  gradients_clear (&g);
  test_kernels ()->context_free (context);
}

static gboolean
has_isa (const char *isa)
{
  SwittiKernelContext *context = test_context (isa, 1);

  if (context == NULL)
    return FALSE;
  test_kernels ()->context_free (context);
  return TRUE;
}

static void
test_shapes (void)
{
  static const Shape shapes[] = {
    { 1, 1, 1, 1, 1, FALSE, 0 },   { 2, 2, 6, 3, 5, FALSE, 0 },    { 2, 1, 7, 5, 9, FALSE, 4 },
    { 1, 2, 16, 70, 67, FALSE, 0 }, { 1, 1, 5, 4, 9, TRUE, 0 },    { 2, 1, 20, 66, 130, TRUE, 100 },
    { 1, 1, 300, 18, 19, FALSE, 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
    for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
      if (has_isa (test_isas[isa]))
        {
          g_test_message ("shape %" G_GSIZE_FORMAT ", %s", i, test_isas[isa]);
          check_attention (&shapes[i], SWITTI_DTYPE_F32, test_isas[isa], 2, NULL);
          check_attention (&shapes[i], SWITTI_DTYPE_BF16, test_isas[isa], 2, NULL);
        }
}

/* So many keys that the scores do not fit a thread's scratch and are made twice. */
static void
test_many_keys (void)
{
  const Shape shape = { 1, 1, 4, 3, TEST_SIMULATED ? 500 : 17000, FALSE, 0 };

  check_attention (&shape, SWITTI_DTYPE_F32, NULL, 2, NULL);
}

static void
test_threads (void)
{
  const Shape shape = { 2, 3, 16, 70, 90, FALSE, 33 };
  const gsize count = 2 * 2 * 90 * 48;
  g_autofree float *one = g_new (float, count), *three = g_new (float, count);

  check_attention (&shape, SWITTI_DTYPE_F32, NULL, 1, one);
  check_attention (&shape, SWITTI_DTYPE_F32, NULL, 3, three);
  g_assert_cmpmem (one, count * sizeof (float), three, count * sizeof (float));
}

#if defined(SWITTI_TEST_CUDA_ON_HOST)
/* The gradients of one query, in float64, added to those of all; weights and their gradients have M places. */
static void
differentiate_query (const Shape *s, double *const *in, int b, int h, int i, double *weight, double *gradient,
                     double *sums[3])
{
  const int c = s->heads * s->d, keys = valid_keys (s, b, i), query = (b * s->n + i) * c + h * s->d;
  const double scale = 1 / sqrt (s->d);
  double total = 0, delta = 0;

  for (int j = 0; j < keys; j++)
    {
      const int key = (b * s->m + j) * c + h * s->d;
      double score = 0;

      gradient[j] = 0;
      for (int x = 0; x < s->d; x++)
        {
          score += in[Q][query + x] * in[K][key + x];
          gradient[j] += in[DOUT][query + x] * in[V][key + x];
        }
      total += weight[j] = exp (score * scale);
    }
  for (int j = 0; j < keys; j++)
    delta += weight[j] / total * gradient[j];
  for (int j = 0; j < keys; j++)
    for (int x = 0; x < s->d; x++)
      {
        const int key = (b * s->m + j) * c + h * s->d;
        const double of_score = weight[j] / total * (gradient[j] - delta) * scale;

        sums[Q][query + x] += of_score * in[K][key + x];
        sums[K][key + x] += of_score * in[Q][query + x];
        sums[V][key + x] += weight[j] / total * in[DOUT][query + x];
      }
}

static double
greatest_error (const double *expected, gsize count, SwittiDtype dtype, const void *got)
{
  double greatest = 0;

  for (gsize i = 0; i < count; i++)
    greatest = MAX (greatest, fabs (test_load (dtype, got, i) - expected[i]));
  return greatest;
}

/* float32 within 1e-5 of the CPU's; bf16 at most twice as far from the truth as the CPU, or as near to the CPU as
 * float32 where it rounds nothing to bf16. */
static void
compare_twins (const char *what, const double *expected, gsize count, SwittiDtype in, SwittiDtype dtype,
               const void *got, const void *twin)
{
  double apart = 0;

  for (gsize i = 0; i < count; i++)
    apart = MAX (apart, fabs (test_load (dtype, got, i) - test_load (dtype, twin, i)));
  g_test_message ("%s: off by %.3g, the CPU by %.3g, apart by %.3g", what,
                  greatest_error (expected, count, dtype, got), greatest_error (expected, count, dtype, twin), apart);
  if (in == SWITTI_DTYPE_F32)
    g_assert_cmpfloat (apart, <=, 1e-5);
  else if (apart > 1e-5)
    g_assert_cmpfloat (greatest_error (expected, count, dtype, got), <=,
                       2 * greatest_error (expected, count, dtype, twin));
}

static void
check_twin (const Shape *s, SwittiDtype dtype)
{
  const SwittiKernelOptions options = { .n_threads = 1 };
  SwittiKernelContext *context = test_context (NULL, 1), *cpu = NULL;
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  g_autofree double *weight = g_new (double, s->m), *gradient = g_new (double, s->m);
  const int c = s->heads * s->d;
  const gsize queries = (gsize) (s->batch * s->n * c), keys = (gsize) (s->batch * s->m * c);
  Operand operands[N_INPUTS];
  double *in[N_INPUTS], *sums[3];
  Gradients g, twin;
  void *out;

  g_assert_cmpint (switti_kernels_cpu ()->context_new (&options, &cpu), ==, SWITTI_KERNEL_OK);
  for (int i = 0; i < N_INPUTS; i++)
    {
      operands[i] = operand_new (dtype, i == Q || i == DOUT ? queries : keys, rand);
      in[i] = test_values (&operands[i]);
    }
  for (int i = 0; i < 3; i++)
    {
      sums[i] = g_new (double, i == Q ? queries : keys);
      for (gsize j = 0; j < (i == Q ? queries : keys); j++)
        sums[i][j] = i == Q ? 0 : START;
    }
  for (int b = 0; b < s->batch; b++)
    for (int h = 0; h < s->heads; h++)
      for (int i = 0; i < s->n; i++)
        differentiate_query (s, in, b, h, i, weight, gradient, sums);
  out = rounded_output (s, in, dtype);
  g = differentiate (test_kernels (), context, s, dtype, operands, out);
  twin = differentiate (switti_kernels_cpu (), cpu, s, dtype, operands, out);
  compare_twins ("dq", sums[Q], queries, dtype, dtype, g.dq, twin.dq);
  compare_twins ("dk", sums[K], keys, dtype, SWITTI_DTYPE_F32, g.dk, twin.dk);
  compare_twins ("dv", sums[V], keys, dtype, SWITTI_DTYPE_F32, g.dv, twin.dv);
  for (int i = 0; i < N_INPUTS; i++)
    {
      operand_clear (&operands[i]);
      g_free (in[i]);
    }
  for (int i = 0; i < 3; i++)
    g_free (sums[i]);
  g_aligned_free (out);
  gradients_clear (&g);
  gradients_clear (&twin);
  test_kernels ()->context_free (context);
  switti_kernels_cpu ()->context_free (cpu);
}

/* Tiles that are whole and not, of heads of 32 and 64 columns and of fewer; queries that see no key; 63 columns, which
 * tensor cores do not take. */
static void
test_twin (void)
{
  static const Shape shapes[] = {
    { 1, 1, 64, 1, 1, FALSE, 0 },  { 1, 2, 64, 70, 67, FALSE, 0 }, { 2, 1, 64, 66, 130, TRUE, 100 },
    { 2, 1, 64, 33, 77, FALSE, 10 }, { 1, 1, 32, 20, 40, TRUE, 0 },  { 1, 1, 16, 70, 9, TRUE, 0 },
    { 1, 1, 63, 9, 20, FALSE, 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
    for (int bf16 = 0; bf16 < 2; bf16++)
      check_twin (&shapes[i], bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32);
}

/* An image's gradients are those that it has alone, to the bit. */
static void
test_alone (void)
{
  const Shape both = { 2, 2, 64, 40, 70, FALSE, 0 }, alone = { 1, 2, 64, 40, 70, FALSE, 0 };
  SwittiKernelContext *context = test_context (NULL, 1);
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  const gsize queries = 40 * 128, keys = 70 * 128;
  Operand operands[N_INPUTS], second[N_INPUTS];
  double *in[N_INPUTS];
  Gradients g, own;
  guint16 *out;

  for (int i = 0; i < N_INPUTS; i++)
    {
      second[i] = operands[i] = operand_new (SWITTI_DTYPE_BF16, 2 * (i == Q || i == DOUT ? queries : keys), rand);
      in[i] = test_values (&operands[i]);
      second[i].data = (guint16 *) operands[i].data + (i == Q || i == DOUT ? queries : keys);
    }
  out = rounded_output (&both, in, SWITTI_DTYPE_BF16);
  g = differentiate (test_kernels (), context, &both, SWITTI_DTYPE_BF16, operands, out);
  own = differentiate (test_kernels (), context, &alone, SWITTI_DTYPE_BF16, second, out + queries);
  g_assert_cmpmem (own.dq, queries * 2, (guint16 *) g.dq + queries, queries * 2);
  g_assert_cmpmem (own.dk, keys * sizeof (float), g.dk + keys, keys * sizeof (float));
  g_assert_cmpmem (own.dv, keys * sizeof (float), g.dv + keys, keys * sizeof (float));
  for (int i = 0; i < N_INPUTS; i++)
    {
      operand_clear (&operands[i]);
      g_free (in[i]);
    }
  g_aligned_free (out);
  gradients_clear (&g);
  gradients_clear (&own);
  test_kernels ()->context_free (context);
}

/* Each launch runs its threads in another order: 50 of them give the same bits. */
static void
test_orders (void)
{
  const Shape shape = { 1, 1, 64, 17, 35, TRUE, 0 };
  const gsize queries = 17 * 64, keys = 35 * 64;
  SwittiKernelContext *context = test_context (NULL, 1);
  g_autoptr (GRand) rand = g_rand_new_with_seed (9);
  Operand operands[N_INPUTS];
  double *in[N_INPUTS];
  Gradients first;
  void *out;

  for (int i = 0; i < N_INPUTS; i++)
    {
      operands[i] = operand_new (SWITTI_DTYPE_BF16, i == Q || i == DOUT ? queries : keys, rand);
      in[i] = test_values (&operands[i]);
    }
  out = rounded_output (&shape, in, SWITTI_DTYPE_BF16);
  first = differentiate (test_kernels (), context, &shape, SWITTI_DTYPE_BF16, operands, out);
  for (int i = 1; i < 50; i++)
    {
      Gradients again = differentiate (test_kernels (), context, &shape, SWITTI_DTYPE_BF16, operands, out);

      g_assert_cmpmem (again.dq, queries * 2, first.dq, queries * 2);
      g_assert_cmpmem (again.dk, keys * sizeof (float), first.dk, keys * sizeof (float));
      g_assert_cmpmem (again.dv, keys * sizeof (float), first.dv, keys * sizeof (float));
      gradients_clear (&again);
    }
  for (int i = 0; i < N_INPUTS; i++)
    {
      operand_clear (&operands[i]);
      g_free (in[i]);
    }
  g_aligned_free (out);
  gradients_clear (&first);
  test_kernels ()->context_free (context);
}
#endif

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/attention-backward/shapes", test_shapes);
  g_test_add_func ("/attention-backward/many-keys", test_many_keys);
  g_test_add_func ("/attention-backward/threads", test_threads);
#if defined(SWITTI_TEST_CUDA_ON_HOST)
  g_test_add_func ("/attention-backward/twin", test_twin);
  g_test_add_func ("/attention-backward/alone", test_alone);
  g_test_add_func ("/attention-backward/orders", test_orders);
#endif
  return g_test_run ();
}
