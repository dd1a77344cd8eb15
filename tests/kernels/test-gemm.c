/* test-gemm.c - products against sums in double precision
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "product-test.h"

static double
activation (SwittiActivation kind, double x)
{
  switch (kind)
    {
    case SWITTI_ACTIVATION_SILU:
      return x / (1.0 + exp (-x));
    case SWITTI_ACTIVATION_QUICK_GELU:
      return x / (1.0 + exp (-1.702 * x));
    case SWITTI_ACTIVATION_GELU_ERF:
      return 0.5 * x * (1.0 + erf (x / sqrt (2.0)));
    case SWITTI_ACTIVATION_GELU_TANH:
      return 0.5 * x * (1.0 + tanh (sqrt (2.0 / G_PI) * (x + 0.044715 * x * x * x)));
    case SWITTI_ACTIVATION_NONE:
    default:
      return x;
    }
}

/* One product's operands; A, B and D have rows wider than they need where the descriptor says so. */
typedef struct
{
  SwittiGemm gemm;
  Operand a, b, bias, d;
  double *before; /* D before the call */
} Case;

static Case
case_new (const SwittiGemm *gemm, GRand *rand)
{
  Case c = { .gemm = *gemm };
  gint64 b_rows = gemm->b_is_kn ? gemm->k : gemm->n, b_width = gemm->b_is_kn ? gemm->n : gemm->k;
  gint64 a_rows = gemm->a_is_km ? gemm->k : gemm->m, a_width = gemm->a_is_km ? gemm->m : gemm->k;

  /* The last row ends where its elements end. */
  c.a = operand_new (gemm->a_dtype, (gsize) ((a_rows - 1) * gemm->lda + a_width), rand);
  c.b = operand_new (gemm->b_dtype, (gsize) ((b_rows - 1) * gemm->ldb + b_width), rand);
  c.bias = operand_new (SWITTI_DTYPE_F32, (gsize) gemm->n, rand);
  c.d = operand_new (gemm->d_dtype, (gsize) ((gemm->m - 1) * gemm->ldd + gemm->n), rand);
  c.before = g_memdup2 (c.d.value, c.d.count * sizeof (double));
  return c;
}

static void
case_clear (Case *c)
{
  operand_clear (&c->a);
  operand_clear (&c->b);
  operand_clear (&c->bias);
  operand_clear (&c->d);
  g_free (c->before);
}

static void
case_run (SwittiKernelContext *context, Case *c, gboolean with_bias)
{
  const SwittiKernels *kernels = test_kernels ();
  const SwittiGemm *g = &c->gemm;
  SwittiGemmPlan *plan = NULL;
  Operand packed = { 0 };
  const void *b = c->b.data;

  if (g->b_packed)
    {
      gsize bytes = kernels->gemm_packed_bytes (context, g->n, g->k, g->b_dtype);

      g_assert_cmpuint (bytes, >, 0);
      operand_map (&packed, g->b_dtype, bytes / switti_dtype_size (g->b_dtype));
      g_assert_cmpint (kernels->gemm_pack (context, g->n, g->k, g->b_dtype, g->b_dtype, c->b.data, g->ldb, packed.data),
                       ==, SWITTI_KERNEL_OK);
      b = packed.data;
    }
  g_assert_cmpint (kernels->gemm_plan (context, g, &plan), ==, SWITTI_KERNEL_OK);
  /* Twice where D is only written: the second run must not see the first. */
  if (!g->accumulate)
    kernels->gemm (context, plan, c->a.data, b, NULL, c->d.data);
  g_assert_cmpint (kernels->gemm (context, plan, c->a.data, b, with_bias ? c->bias.data : NULL, c->d.data), ==,
                   SWITTI_KERNEL_OK);
  kernels->gemm_plan_free (context, plan);
  if (g->b_packed)
    operand_clear (&packed);
}

static void
case_check (const Case *c, gboolean with_bias)
{
  const SwittiGemm *g = &c->gemm;

  for (gint64 i = 0; i < g->m; i++)
    for (gint64 j = 0; j < g->n; j++)
      {
        double sum = with_bias ? c->bias.value[j] : 0.0, magnitude = fabs (sum), expected, got, bound;

        for (gint64 p = 0; p < g->k; p++)
          {
            double product = c->a.value[g->a_is_km ? p * g->lda + i : i * g->lda + p]
                             * c->b.value[g->b_is_kn ? p * g->ldb + j : j * g->ldb + p];

            sum += product;
            magnitude += fabs (product);
          }
        expected = activation (g->activation, sum);
        if (g->accumulate)
          {
            expected += c->before[i * g->ldd + j];
            magnitude += fabs (c->before[i * g->ldd + j]);
          }
        got = test_load (g->d_dtype, c->d.data, (gsize) (i * g->ldd + j));
        /* No activation is steeper than 1.13; the polynomials behind them are good to 3e-7 of x. */
        bound = 1.13 * test_bound ((gsize) g->k, magnitude, expected, g->d_dtype);
        /* A device may round the bias of a bf16 D, which keeps 8 bits: half a unit is 2^-8 of it at most. */
        if (with_bias && g->d_dtype == SWITTI_DTYPE_BF16 && TEST_IS_CUDA)
          bound += 1.13 * 0x1p-8 * fabs (c->bias.value[j]);
        if (g->activation != SWITTI_ACTIVATION_NONE)
          bound += 3e-7 * fabs (sum);
        if (!(fabs (got - expected) <= bound))
          g_error ("(%d, %d): %.9g instead of %.9g, off by more than %.3g", (int) i, (int) j, got, expected, bound);
      }
  /* What lies between the rows of D is not touched. */
  for (gint64 i = 0; i + 1 < g->m; i++)
    for (gint64 j = g->n; j < g->ldd; j++)
      g_assert_cmpfloat (test_load (g->d_dtype, c->d.data, (gsize) (i * g->ldd + j)), ==, c->before[i * g->ldd + j]);
}

static void
check_everywhere (const SwittiGemm *gemm, gboolean with_bias)
{
  for (gsize i = 0; i < G_N_ELEMENTS (test_isas); i++)
    {
      g_autoptr (GRand) rand = g_rand_new_with_seed (7);
      SwittiKernelContext *context = test_context (test_isas[i], 2);
      Case c;

      if (context == NULL)
        continue;
      c = case_new (gemm, rand);
      case_run (context, &c, with_bias);
      case_check (&c, with_bias);
      case_clear (&c);
      test_kernels ()->context_free (context);
    }
}

static SwittiGemm
plain (gint64 m, gint64 n, gint64 k)
{
  SwittiGemm gemm = { .m = m, .n = n, .k = k, .row_group = m, .lda = k, .ldb = k, .ldd = n };

  return gemm;
}

static const SwittiDtype float_dtypes[] = { SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16 };

/* Every combination of dtypes, packed and not, for sizes on both sides of every block's edge. */
static void
test_sizes (void)
{
  static const gint64 sizes[][3] = {
    { 1, 1, 1 },    { 1, 64, 16 },  { 1, 341, 33 },  { 2, 65, 2 },    { 5, 63, 1 },      { 7, 21, 341 },
    { 16, 128, 64 }, { 17, 129, 65 }, { 49, 31, 1025 }, { 97, 3, 255 }, { 3, 66, 2730 }, { 513, 70, 37 },
    { 1030, 8, 24 }, { 2, 40, 5121 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (int choice = 0; choice < 16; choice++)
      {
        SwittiGemm gemm = plain (sizes[i][0], sizes[i][1], sizes[i][2]);

        gemm.a_dtype = float_dtypes[choice & 1];
        gemm.b_dtype = float_dtypes[choice >> 1 & 1];
        gemm.d_dtype = float_dtypes[choice >> 2 & 1];
        gemm.b_packed = choice >> 3 & 1;
        check_everywhere (&gemm, TRUE);
      }
}

static void
test_layouts (void)
{
  for (int choice = 0; choice < 64; choice++)
    {
      SwittiGemm gemm = plain (35, 77, 51);

      gemm.a_is_km = choice & 1;
      gemm.b_is_kn = choice >> 1 & 1;
      gemm.a_dtype = float_dtypes[choice >> 2 & 1];
      gemm.b_dtype = float_dtypes[choice >> 3 & 1];
      gemm.d_dtype = float_dtypes[choice >> 4 & 1];
      gemm.lda = (gemm.a_is_km ? gemm.m : gemm.k) + (choice >> 5 & 1) * 5;
      gemm.ldb = (gemm.b_is_kn ? gemm.n : gemm.k) + (choice >> 5 & 1) * 3;
      gemm.ldd = gemm.n + (choice >> 5 & 1) * 9;
      check_everywhere (&gemm, choice % 3 == 0);
    }
}

static void
test_accumulate (void)
{
  for (int choice = 0; choice < 8; choice++)
    {
      SwittiGemm gemm = plain (33, 100, choice >> 2 & 1 ? 2100 : 60);

      gemm.accumulate = true;
      gemm.ldd = 104;
      gemm.a_dtype = gemm.b_dtype = float_dtypes[choice & 1];
      check_everywhere (&gemm, choice >> 1 & 1);
    }
}

/* float16 operands, in every layout that a layer's three products have. */
static void
test_float16 (void)
{
  static const int sizes[][3] = { { 1, 1, 1 }, { 37, 41, 29 }, { 64, 130, 96 } };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (int layout = 0; layout < 4; layout++)
      {
        const gint64 m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
        const gboolean km = layout & 1, kn = layout >> 1;
        const SwittiGemm gemm = { .m = m, .n = n, .k = k, .row_group = m, .lda = km ? m : k, .ldb = kn ? n : k,
                                  .ldd = n, .a_dtype = SWITTI_DTYPE_F16, .b_dtype = SWITTI_DTYPE_F16,
                                  .d_dtype = SWITTI_DTYPE_F32, .a_is_km = km, .b_is_kn = kn,
                                  .accumulate = layout == 3 };

        check_everywhere (&gemm, layout == 0);
      }
}

static void
test_activations (void)
{
  for (int kind = SWITTI_ACTIVATION_NONE; kind <= SWITTI_ACTIVATION_GELU_TANH; kind++)
    for (int choice = 0; choice < 32; choice++)
      {
        /* n on which host CUDA's library can or cannot add a bias and take GELU itself. */
        SwittiGemm gemm = plain (21, 88 + choice / 8, 40);

        gemm.activation = kind;
        gemm.a_dtype = gemm.b_dtype = float_dtypes[choice & 1];
        gemm.d_dtype = float_dtypes[choice >> 1 & 1];
        gemm.b_packed = true;
        check_everywhere (&gemm, choice >> 2 & 1);
      }
}

/* Weights of each dtype of a file, packed as float32 and as bf16, must multiply as the rounded values do. */
static void
test_pack_sources (void)
{
  static const guint16 halves[] = { 0x3c00, 0xc000, 0x3555, 0x0001, 0x83ff, 0x7bff, 0x0000, 0x2e66 };
  static const float values[] = {
    1.0f, -2.0f, 0.333251953125f, 5.9604644775390625e-8f, -6.09755516052246e-5f, 65504.0f, 0.0f, 0.0999755859375f,
  };
  const SwittiKernels *kernels = test_kernels ();

  for (int choice = 0; choice < 2 * (int) G_N_ELEMENTS (test_isas); choice++)
    {
      SwittiKernelContext *context = test_context (test_isas[choice / 2], 1);
      SwittiDtype b_dtype = float_dtypes[choice % 2];
      SwittiGemm gemm = plain (8, 1, 8);
      SwittiGemmPlan *plan = NULL;
      void *packed = NULL;
      float identity[64] = { 0 }, d[8];

      if (context == NULL)
        continue;
      for (int i = 0; i < 8; i++)
        identity[9 * i] = 1.0f;
      gemm.b_dtype = b_dtype;
      gemm.b_packed = true;
      kernels->alloc (context, kernels->gemm_packed_bytes (context, 1, 8, b_dtype), &packed);
      g_assert_cmpint (kernels->gemm_plan (context, &gemm, &plan), ==, SWITTI_KERNEL_OK);
      g_assert_cmpint (kernels->gemm_pack (context, 1, 8, b_dtype, SWITTI_DTYPE_F16, halves, 8, packed), ==,
                       SWITTI_KERNEL_OK);
      g_assert_cmpint (kernels->gemm (context, plan, identity, packed, NULL, d), ==, SWITTI_KERNEL_OK);
      for (int i = 0; i < 8; i++)
        g_assert_cmpfloat (
            d[i], ==, b_dtype == SWITTI_DTYPE_F32 ? values[i] : test_bf16_value (test_bf16_of (values[i])));
      g_assert_cmpint (kernels->gemm_pack (context, 1, 8, b_dtype, SWITTI_DTYPE_F32, values, 8, packed), ==,
                       SWITTI_KERNEL_OK);
      g_assert_cmpint (kernels->gemm (context, plan, identity, packed, NULL, d), ==, SWITTI_KERNEL_OK);
      for (int i = 0; i < 8; i++)
        g_assert_cmpfloat (
            d[i], ==, b_dtype == SWITTI_DTYPE_F32 ? values[i] : test_bf16_value (test_bf16_of (values[i])));
      kernels->gemm_plan_free (context, plan);
      kernels->free (context, packed);
      kernels->context_free (context);
    }
}

/* The first image's rows have the same bits alone and among others, with 1, 2 and 5 threads. */
static void
test_reproducible (void)
{
  static const gint64 images[] = { 1, 2, 7 };
  static const int threads[] = { 1, 2, 5 };

  for (int choice = 0; choice < 16; choice++)
    {
      g_autofree void *reference = NULL;
      SwittiGemm gemm = plain (0, 70, 2731);
      gsize bytes;

      gemm.row_group = 23;
      gemm.a_dtype = float_dtypes[choice & 1];
      gemm.b_dtype = float_dtypes[choice >> 1 & 1];
      gemm.d_dtype = float_dtypes[choice >> 2 & 1];
      gemm.b_packed = choice >> 3 & 1;
      bytes = (gsize) (gemm.row_group * gemm.n) * switti_dtype_size (gemm.d_dtype);
      for (gsize i = 0; i < G_N_ELEMENTS (images) * G_N_ELEMENTS (threads); i++)
        {
          g_autoptr (GRand) rand = g_rand_new_with_seed (11);
          g_autoptr (GRand) b_rand = g_rand_new_with_seed (12);
          SwittiKernelContext *context = test_context (NULL, threads[i % 3]);
          Case c;

          gemm.m = images[i / 3] * gemm.row_group;
          c = case_new (&gemm, rand);
          operand_clear (&c.b);
          c.b = operand_new (gemm.b_dtype, (gsize) (gemm.n * gemm.k), b_rand);
          memset (c.bias.data, 0, (gsize) gemm.n * sizeof (float));
          case_run (context, &c, TRUE);
          if (reference == NULL)
            reference = g_memdup2 (c.d.data, bytes);
          else
            g_assert_cmpmem (reference, bytes, c.d.data, bytes);
          case_clear (&c);
          test_kernels ()->context_free (context);
        }
    }
}

/* Infinities reach only the elements that they are terms of: nothing leaks from the padding of blocks. */
static void
test_no_leaks (void)
{
  for (int choice = 0; choice < 8; choice++)
    {
      g_autoptr (GRand) rand = g_rand_new_with_seed (3);
      SwittiKernelContext *context = test_context (NULL, 1);
      SwittiGemm gemm = plain (9, 70, 33);
      Case c;

      gemm.a_dtype = float_dtypes[choice & 1];
      gemm.b_dtype = float_dtypes[choice >> 1 & 1];
      gemm.b_packed = choice >> 2 & 1;
      c = case_new (&gemm, rand);
      /* The first element of A's second row follows the last of its first. */
      if (gemm.a_dtype == SWITTI_DTYPE_F32)
        ((float *) c.a.data)[gemm.k] = INFINITY;
      else
        ((guint16 *) c.a.data)[gemm.k] = 0x7f80;
      case_run (context, &c, FALSE);
      for (gint64 i = 0; i < gemm.m; i++)
        for (gint64 j = 0; j < gemm.n; j++)
          g_assert_cmpint (isfinite (((float *) c.d.data)[i * gemm.n + j]) != 0, ==, i != 1);
      case_clear (&c);
      test_kernels ()->context_free (context);
    }
}

static void
test_invalid (void)
{
  const SwittiKernels *kernels = test_kernels ();
  SwittiKernelContext *context = test_context (NULL, 1);
  SwittiGemm good = plain (4, 5, 6), bad[13];
  float numbers[64] = { 0 };
  SwittiGemmPlan *plan = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    bad[i] = good;
  bad[0].m = 0;
  bad[1].n = -1;
  bad[2].k = 0;
  bad[3].row_group = 3;
  bad[4].row_group = 0;
  bad[5].lda = 5;
  bad[6].ldb = 5;
  bad[7].ldd = 4;
  bad[8].a_dtype = SWITTI_DTYPE_F16;
  bad[9].d_dtype = SWITTI_DTYPE_I32;
  bad[10].accumulate = true;
  bad[10].d_dtype = SWITTI_DTYPE_BF16;
  bad[11].accumulate = true;
  bad[11].activation = SWITTI_ACTIVATION_SILU;
  bad[12].m = G_MAXINT64 / 2;
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_cmpint (kernels->gemm_plan (context, &bad[i], &plan), ==, SWITTI_KERNEL_INVALID);
      g_assert_null (plan);
      g_assert_cmpstr (kernels->error_message (context), !=, "");
    }
  g_assert_cmpuint (kernels->gemm_packed_bytes (context, 0, 6, SWITTI_DTYPE_F32), ==, 0);
  g_assert_cmpuint (kernels->gemm_packed_bytes (context, 5, 6, SWITTI_DTYPE_I32), ==, 0);
  g_assert_cmpuint (kernels->gemm_packed_bytes (context, G_MAXINT64, G_MAXINT64, SWITTI_DTYPE_F32), ==, 0);
  g_assert_cmpint (kernels->gemm_pack (context, 5, 6, SWITTI_DTYPE_F32, SWITTI_DTYPE_F32, numbers, 5, numbers), ==,
                   SWITTI_KERNEL_INVALID);
  g_assert_cmpint (kernels->gemm_pack (context, 5, 6, SWITTI_DTYPE_F32, SWITTI_DTYPE_I64, numbers, 6, numbers), ==,
                   SWITTI_KERNEL_INVALID);
  g_assert_cmpint (kernels->gemm_plan (context, &good, &plan), ==, SWITTI_KERNEL_OK);
  g_assert_cmpint (kernels->gemm (context, plan, NULL, numbers, NULL, numbers), ==, SWITTI_KERNEL_INVALID);
  g_assert_cmpint (kernels->gemm (context, NULL, numbers, numbers, NULL, numbers), ==, SWITTI_KERNEL_INVALID);
  kernels->gemm_plan_free (context, plan);
  kernels->gemm_plan_free (context, NULL);
  kernels->context_free (context);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gemm/sizes", test_sizes);
  g_test_add_func ("/gemm/layouts", test_layouts);
  g_test_add_func ("/gemm/accumulate", test_accumulate);
  g_test_add_func ("/gemm/float16", test_float16);
  g_test_add_func ("/gemm/activations", test_activations);
  g_test_add_func ("/gemm/pack-sources", test_pack_sources);
  g_test_add_func ("/gemm/reproducible", test_reproducible);
  g_test_add_func ("/gemm/no-leaks", test_no_leaks);
  g_test_add_func ("/gemm/invalid", test_invalid);
  return g_test_run ();
}
