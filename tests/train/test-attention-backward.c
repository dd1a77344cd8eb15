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
  const SwittiRows query_rows = { s->n * c, c }, key_rows = { s->m * c, c };
  const SwittiAttentionBackward op = {
    .attention = { .batch = s->batch, .heads = s->heads, .d = s->d, .n = s->n, .m = s->m,
                   .scale = (float) (1 / sqrt (s->d)), .causal = s->causal, .dtype = dtype, .q = query_rows,
                   .k = key_rows, .v = key_rows, .out = query_rows },
    .dout = query_rows, .dq = query_rows, .dk = key_rows, .dv = key_rows,
  };
  g_autofree gint32 *lengths = g_new (gint32, s->batch);
  Operand operands[N_INPUTS];
  double *in[N_INPUTS];
  g_autofree void *scratch = NULL;
  void *out, *dq;
  float *dk = test_sum (keys, START), *dv = test_sum (keys, START);

  g_assert_nonnull (context);
  for (int b = 0; b < s->batch; b++)
    lengths[b] = valid_keys (&(Shape){ .batch = s->batch, .m = s->m, .length = s->length }, b, 0);
  for (int i = 0; i < N_INPUTS; i++)
    {
      operands[i] = operand_new (dtype, i == Q || i == DOUT ? queries : keys, rand);
      in[i] = test_values (&operands[i]);
    }
  out = rounded_output (s, in, dtype);
  dq = test_output (dtype, queries);
  scratch = test_scratch (test_kernels ()->attention_backward_scratch_bytes (context, &op));
  g_assert_cmpint (test_kernels ()->attention_backward (context, &op, s->length > 0 ? lengths : NULL,
                                                        operands[Q].data, operands[K].data, operands[V].data, out,
                                                        operands[DOUT].data, dq, dk, dv, scratch),
                   ==, SWITTI_KERNEL_OK);
  if (bits != NULL)
    {
      memcpy (bits, dk, keys * sizeof (float));
      memcpy (bits + keys, dv, keys * sizeof (float));
    }
  else
    {
      test_gradient ("dq", attention_loss, in, s, Q, queries, dtype, dq, 0, test_tolerance (dtype));
      test_gradient ("dk", attention_loss, in, s, K, keys, SWITTI_DTYPE_F32, dk, START, test_tolerance (dtype));
      test_gradient ("dv", attention_loss, in, s, V, keys, SWITTI_DTYPE_F32, dv, START, test_tolerance (dtype));
    }
  for (int i = 0; i < N_INPUTS; i++)
    {
      operand_clear (&operands[i]);
      g_free (in[i]);
    }
  g_aligned_free (out);
  g_aligned_free (dq);
  g_aligned_free (dk);
  g_aligned_free (dv);
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

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/attention-backward/shapes", test_shapes);
  g_test_add_func ("/attention-backward/many-keys", test_many_keys);
  g_test_add_func ("/attention-backward/threads", test_threads);
  return g_test_run ();
}
