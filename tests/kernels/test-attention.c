/* test-attention.c - attention
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "op-test.h"

/* q (B, N, C); k and v slices of (images, M, 2C), as to_kv writes them. */
typedef struct
{
  SwittiAttention op;
  const gint32 *group_index;
  const gint32 *key_length;
  Operand q, kv;
} Case;

static void
case_init (Case *test, gint64 batch, gint64 heads, gint64 d, gint64 n, gint64 m, gboolean causal, SwittiDtype dtype)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) (n * 1000 + m * 10 + d));
  const gint64 c = heads * d;

  *test = (Case){ 0 };
  /* Scores of a few units: the softmax is neither flat nor one-hot. */
  test->op = (SwittiAttention){ .batch = batch, .heads = heads, .d = d, .n = n, .m = m,
                                .scale = (float) (5.0 / sqrt ((double) d)), .causal = causal, .dtype = dtype,
                                .q = { n * c, c }, .k = { m * 2 * c, 2 * c }, .v = { m * 2 * c, 2 * c },
                                .out = { n * c, c } };
  test->q = operand_new (dtype, (gsize) (batch * n * c), rand);
  test->kv = operand_new (dtype, (gsize) (batch * m * 2 * c), rand);
}

static void
case_clear (Case *test)
{
  operand_clear (&test->q);
  operand_clear (&test->kv);
}

static Operand
run (SwittiKernelContext *context, const Case *test)
{
  const gsize c = (gsize) (test->op.heads * test->op.d);
  Operand out = output_new (test->op.dtype, test->q.count);

  /* So that a GPU's library, where SWITTI_CUDNN=always lets it, is tested, too. */
  if (test_kernels ()->attention_plan != NULL)
    assert_ok (test_kernels ()->attention_plan (context, &test->op));
  assert_ok (test_kernels ()->attention (
context, &test->op, test->group_index, test->key_length, test->q.data, test->kv.data,
(const char *) test->kv.data + c * switti_dtype_size (test->op.dtype), out.data));
  return out;
}

/* Query i of a head: what its d outputs should be, and how far float32 arithmetic may take each from that. q, keys and
 * values are the head's first elements, keys and values 2C apart. */
static void
attend_query (const Case *test, gint64 group, gint64 i, const double *q, const double *kv, double *expected,
              double *bound)
{
  const gint64 c = test->op.heads * test->op.d, m = test->op.m;
  g_autofree double *weight = g_new (double, (gsize) m);
  double total = 0.0, greatest = -G_MAXDOUBLE, score_error = 0.0;
  gint64 keys = m;

  if (test->key_length != NULL)
    keys = MIN (keys, test->key_length[group]);
  if (test->op.causal)
    keys = MAX (0, MIN (keys, i + m - test->op.n + 1));
  for (gint64 j = 0; j < keys; j++)
    {
      double magnitude = 0.0;

      weight[j] = 0.0;
      for (gint64 x = 0; x < test->op.d; x++)
        {
          weight[j] += q[x] * kv[j * 2 * c + x] * test->op.scale;
          magnitude += fabs (q[x] * kv[j * 2 * c + x] * test->op.scale);
        }
      greatest = MAX (greatest, weight[j]);
      score_error = MAX (score_error, (double) (test->op.d + 8) * ROUNDING * magnitude);
    }
  for (gint64 j = 0; j < keys; j++)
    total += weight[j] = exp (weight[j] - greatest);
  for (gint64 x = 0; x < test->op.d; x++)
    {
      /* An error of the scores is a relative error of the weights and of their sum; then the roundings of both sums.
       * bf16 weights keep 8 bits, the first of which is 1: half a unit of the last is up to 2^-8 of the weight. */
      const double relative = 4.0 * score_error + (double) (keys + 16) * ROUNDING
                              + (test->op.dtype == SWITTI_DTYPE_BF16 ? 0x1p-8 : 0.0);
      double magnitude = 0.0;

      expected[x] = 0.0;
      for (gint64 j = 0; j < keys; j++)
        {
          expected[x] += weight[j] / total * kv[j * 2 * c + c + x];
          magnitude += weight[j] / total * fabs (kv[j * 2 * c + c + x]);
        }
      bound[x] = relative * magnitude;
    }
}

/* The whole of it; `bound` of as many elements. */
static void
attend (const Case *test, double *expected, double *bound)
{
  const gint64 c = test->op.heads * test->op.d;

  for (gint64 b = 0; b < test->op.batch; b++)
    for (gint64 i = 0; i < test->op.n; i++)
      for (gint64 h = 0; h < test->op.heads; h++)
        {
          const gint64 group = test->group_index != NULL ? test->group_index[b] : b;
          const gint64 first = (b * test->op.n + i) * c + h * test->op.d;

          attend_query (test, group, i, test->q.value + first,
                        test->kv.value + group * test->op.m * 2 * c + h * test->op.d, expected + first, bound + first);
        }
}

static void
check (const Case *test, const Operand *out)
{
  g_autofree double *expected = g_new (double, out->count), *bound = g_new (double, out->count);

  attend (test, expected, bound);
  for (gsize i = 0; i < out->count; i++)
    assert_element (out, i, expected[i], bound[i]);
}

static void
test_shapes (gconstpointer isa)
{
  static const gint64 shapes[][6] = {
    /* B, H, d, N, M, causal */
    { 1, 1, 1, 1, 1, 0 },     { 2, 3, 64, 4, 4, 0 },    { 1, 2, 64, 65, 129, 0 }, { 2, 1, 3, 17, 70, 0 },
    { 1, 1, 640, 20, 66, 0 }, { 1, 2, 5, 130, 33, 0 },  { 2, 2, 64, 77, 77, 1 },  { 1, 1, 63, 9, 30, 1 },
    { 1, 1, 16, 30, 9, 1 },   { 1, 1, 1030, 19, 21, 0 }, { 1, 1, 4096, 2, 3, 0 }, { 1, 1, 64, 100, 300, 1 },
    { 1, 1, 64, 1, 1, 0 },    { 1, 1, 128, 70, 45, 0 },  { 1, 2, 80, 33, 66, 1 },   { 1, 1, 32, 66, 70, 1 },
  };
  SwittiKernelContext *context = op_context (isa, 2);

  if (context == NULL)
    return;
  for (gsize s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (int bf16 = 0; bf16 < 2; bf16++)
      {
        const gint64 *shape = shapes[s];
        Case test;

        case_init (&test, shape[0], shape[1], shape[2], shape[3], shape[4], shape[5] != 0,
                   bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32);
        Operand out = run (context, &test);
        check (&test, &out);
        operand_clear (&out);
        case_clear (&test);
      }
  test_kernels ()->context_free (context);
}

static void
set_nan (Operand *operand, gsize i)
{
  if (operand->dtype == SWITTI_DTYPE_F32)
    ((float *) operand->data)[i] = NAN;
  else
    ((guint16 *) operand->data)[i] = 0x7fc0;
}

/* Every length, with NaN in the keys and values behind it: they must not be touched. 0 valid keys give zeros. */
static void
test_key_length (gconstpointer isa)
{
  SwittiKernelContext *context = op_context (isa, 2);

  if (context == NULL)
    return;
  for (gint32 length = 0; length <= 77; length++)
    for (int bf16 = 0; bf16 < 2; bf16++)
      {
        const gint32 lengths[2] = { length, 77 - length };
        Case test;

        case_init (&test, 2, 2, 8, 3, 77, FALSE, bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32);
        test.key_length = lengths;
        for (gsize b = 0; b < 2; b++)
          for (gsize i = (b * 77 + (gsize) lengths[b]) * 32; i < (b + 1) * 77 * 32; i++)
            set_nan (&test.kv, i);
        Operand out = run (context, &test);
        check (&test, &out);
        for (gsize i = 0; length == 0 && i < 3 * 16; i++)
          g_assert_cmpfloat (test_load (out.dtype, out.data, i), ==, 0.0);
        operand_clear (&out);
        case_clear (&test);
      }
  test_kernels ()->context_free (context);
}

/* Four images that read the keys of two. */
static void
test_group_index (gconstpointer isa)
{
  static const gint32 groups[4] = { 1, 0, 1, 1 }, lengths[2] = { 5, 12 };
  SwittiKernelContext *context = op_context (isa, 3);

  if (context == NULL)
    return;
  for (int bf16 = 0; bf16 < 2; bf16++)
    {
      Case test;

      case_init (&test, 4, 2, 64, 6, 12, FALSE, bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32);
      test.group_index = groups;
      test.key_length = lengths;
      Operand out = run (context, &test);
      check (&test, &out);
      operand_clear (&out);
      case_clear (&test);
    }
  test_kernels ()->context_free (context);
}

/* What CUDA's tensor cores do not take: rows that do not begin at 16 bytes, and scores that a scale turns around. */
static void
test_unaligned (gconstpointer isa)
{
  SwittiKernelContext *context = op_context (isa, 2);

  if (context == NULL)
    return;
  for (int bf16 = 0; bf16 < 2; bf16++)
    {
      const gint64 n = 9, stride = 64 + 3;
      Case test;

      case_init (&test, 1, 1, 64, n, 66, FALSE, bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32);
      test.op.scale = -test.op.scale;
      Operand out = run (context, &test);
      check (&test, &out);
      operand_clear (&out);
      test.op.out = (SwittiRows){ n * stride, stride };
      out = output_new (test.op.dtype, (gsize) (n * stride));
      Operand dense = output_new (test.op.dtype, (gsize) (n * 64));
      const char *kv = test.kv.data;
      assert_ok (test_kernels ()->attention (context, &test.op, NULL, NULL, test.q.data, kv,
                                             kv + 64 * switti_dtype_size (test.op.dtype), out.data));
      for (gsize i = 0; i < (gsize) n; i++)
        memcpy ((char *) dense.data + i * 64 * switti_dtype_size (dense.dtype),
                (const char *) out.data + i * (gsize) stride * switti_dtype_size (dense.dtype),
                64 * switti_dtype_size (dense.dtype));
      check (&test, &dense);
      operand_clear (&dense);
      operand_clear (&out);
      case_clear (&test);
    }
  test_kernels ()->context_free (context);
}

/* So many images and heads that CUDA's blocks take more queries each: an image's bits are those that it has alone. */
static void
test_many_images (gconstpointer isa)
{
  const gint64 batch = 16, heads = 16, d = 64, n = 65, c = heads * d;
  static const gint32 last = 15;
  SwittiKernelContext *context = op_context (isa, 2);
  Case test;

  if (context == NULL)
    return;
  case_init (&test, batch, heads, d, n, 67, FALSE, SWITTI_DTYPE_BF16);
  Operand out = run (context, &test);
  Case alone = test;
  alone.group_index = &last;
  alone.op.batch = 1;
  alone.q.count = (gsize) (n * c);
  alone.q.data = (guint16 *) test.q.data + (batch - 1) * n * c;
  alone.q.value = test.q.value + (batch - 1) * n * c;
  Operand own = run (context, &alone);
  check (&alone, &own);
  g_assert_cmpmem (own.data, own.count * 2, (guint16 *) out.data + (batch - 1) * n * c, own.count * 2);
  operand_clear (&own);
  operand_clear (&out);
  case_clear (&test);
  test_kernels ()->context_free (context);
}

#if defined(SWITTI_TEST_CUDA_ON_HOST)
/* Another table's result for the same operands. */
static Operand
run_on_cpu (const Case *test)
{
  const SwittiKernelOptions options = { .n_threads = 1 };
  const char *kv = test->kv.data;
  SwittiKernelContext *context = NULL;
  Operand out = output_new (test->op.dtype, test->q.count);

  assert_ok (switti_kernels_cpu ()->context_new (&options, &context));
  assert_ok (switti_kernels_cpu ()->attention (
      context, &test->op, test->group_index, test->key_length, test->q.data, kv,
      kv + (gsize) (test->op.heads * test->op.d) * switti_dtype_size (test->op.dtype), out.data));
  switti_kernels_cpu ()->context_free (context);
  return out;
}

static double
greatest_error (const Operand *out, const double *expected)
{
  double greatest = 0.0;

  for (gsize i = 0; i < out->count; i++)
    greatest = MAX (greatest, fabs (test_load (out->dtype, out->data, i) - expected[i]));
  return greatest;
}

/* float32 within 1e-5 of the CPU's, values being below 1; in bf16 at most twice as far from the truth as the CPU. */
static void
test_twin (gconstpointer isa)
{
  static const gint64 shapes[][6] = {
    /* B, H, d, N, M, causal */
    { 1, 2, 64, 70, 133, 0 }, { 2, 1, 64, 77, 77, 1 }, { 1, 1, 32, 40, 90, 0 }, { 1, 1, 128, 20, 77, 0 },
    { 1, 1, 200, 20, 70, 0 }, { 1, 1, 136, 70, 9, 1 },
  };
  SwittiKernelContext *context = op_context (isa, 1);

  for (gsize s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (int bf16 = 0; bf16 < 2; bf16++)
      {
        const gint64 *shape = shapes[s];
        Case test;

        case_init (&test, shape[0], shape[1], shape[2], shape[3], shape[4], shape[5] != 0,
                   bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32);
        Operand out = run (context, &test), twin = run_on_cpu (&test);
        g_autofree double *expected = g_new (double, out.count), *bound = g_new (double, out.count);
        attend (&test, expected, bound);
        if (bf16)
          g_assert_cmpfloat (greatest_error (&out, expected), <=, 2.0 * greatest_error (&twin, expected));
        for (gsize i = 0; !bf16 && i < out.count; i++)
          g_assert_cmpfloat (fabs (operand_f32 (&out)[i] - operand_f32 (&twin)[i]), <=, 1e-5);
        operand_clear (&twin);
        operand_clear (&out);
        case_clear (&test);
      }
  test_kernels ()->context_free (context);
}

/* Each launch runs its threads in another order: 50 of them give the same bits, on tensor cores of each width. */
static void
test_orders (gconstpointer isa)
{
  static const gint64 widths[] = { 32, 64, 128, 136 };
  SwittiKernelContext *context = op_context (isa, 1);

  for (gsize w = 0; w < G_N_ELEMENTS (widths); w++)
    {
      Case test;

      case_init (&test, 1, 1, widths[w], 17, 70, TRUE, SWITTI_DTYPE_BF16);
      Operand first = run (context, &test);
      for (int i = 1; i < 50; i++)
        {
          Operand again = run (context, &test);

          assert_same_bytes (&first, &again);
          operand_clear (&again);
        }
      operand_clear (&first);
      case_clear (&test);
    }
  test_kernels ()->context_free (context);
}
#endif

static void
test_same_bits (gconstpointer isa)
{
  for (int bf16 = 0; bf16 < 2; bf16++)
    {
      const gint64 n = 70, c = 3 * 24;
      Operand out[3] = { 0 };
      Case test;

      case_init (&test, 3, 3, 24, n, 150, FALSE, bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32);
      for (int threads = 1; threads <= 3; threads++)
        {
          SwittiKernelContext *context = op_context (isa, threads);

          if (context == NULL)
            break;
          out[threads - 1] = run (context, &test);
          assert_same_bytes (&out[0], &out[threads - 1]);
          /* The last image alone; and its last query alone, which is then in another tile. */
          Case alone = test;
          const gint32 last = 2;
          alone.group_index = &last;
          alone.op.batch = 1;
          alone.op.n = 1;
          alone.q.count = (gsize) c;
          alone.q.data = (char *) test.q.data + (gsize) ((3 * n - 1) * c) * switti_dtype_size (test.op.dtype);
          Operand own = run (context, &alone);
          for (gsize i = 0; i < own.count; i++)
            g_assert_cmpfloat (test_load (own.dtype, own.data, i), ==,
                               test_load (own.dtype, out[0].data, (gsize) ((3 * n - 1) * c) + i));
          operand_clear (&own);
          test_kernels ()->context_free (context);
        }
      for (int i = 0; i < 3; i++)
        operand_clear (&out[i]);
      case_clear (&test);
    }
}

/* A query of NaN spoils its own row alone; scores far apart neither overflow nor divide by zero. */
static void
test_extremes (gconstpointer isa)
{
  SwittiKernelContext *context = op_context (isa, 1);

  if (context == NULL)
    return;
  for (int bf16 = 0; bf16 < 2; bf16++)
    {
      Case test;

      case_init (&test, 1, 1, 8, 5, 100, FALSE, bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32);
      test.op.scale = 1e4f;
      set_nan (&test.q, 2 * 8);
      Operand out = run (context, &test);
      for (gsize i = 0; i < 5 * 8; i++)
        {
          const double value = test_load (out.dtype, out.data, i);
          if (i / 8 == 2)
            g_assert_true (isnan (value));
          else
            g_assert_cmpfloat (fabs (value), <=, 1.0);
        }
      operand_clear (&out);
      case_clear (&test);
    }
  test_kernels ()->context_free (context);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  op_add ("/attention/shapes", test_shapes);
  op_add ("/attention/key-length", test_key_length);
  op_add ("/attention/group-index", test_group_index);
  op_add ("/attention/same-bits", test_same_bits);
  op_add ("/attention/extremes", test_extremes);
  op_add ("/attention/unaligned", test_unaligned);
  op_add ("/attention/many-images", test_many_images);
#if defined(SWITTI_TEST_CUDA_ON_HOST)
  op_add ("/attention/twin", test_twin);
  op_add ("/attention/orders", test_orders);
#endif
  return g_test_run ();
}
