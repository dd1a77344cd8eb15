/* test-norm.c - residual_norm and layer_norm
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "op-test.h"

/* Which of the operands that may be NULL are there. */
enum
{
  HAS_Y = 1,
  HAS_H = 2,
  HAS_POST = 4,  /* residual_norm: post_weight; layer_norm: bias */
  HAS_PRE = 8,   /* the weight of h */
  HAS_GATE = 16,
  HAS_SCALE = 32,
  HAS_SHIFT = 64,
  ALL = 127,
};

typedef struct
{
  SwittiResidualNorm norm;
  int parts;
  const gint32 *group_index;
  Operand x, y, post, pre, gate, scale, shift;
} Case;

static const gint32 reversed_groups[] = { 2, 1, 0 };

static void
case_init (Case *test, gint64 batch, gint64 n, gint64 c, SwittiDtype y_dtype, SwittiDtype h_dtype, int parts)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) (c * 128 + parts));
  const gsize groups = 3, stride = (gsize) c + 5;

  test->norm = (SwittiResidualNorm){ .batch = batch, .n = n, .c = c, .eps = 1e-6f, .y_dtype = y_dtype,
                                     .h_dtype = h_dtype, .modulation_stride = (gint64) stride };
  test->parts = parts;
  test->group_index = batch == 3 ? reversed_groups : NULL;
  test->x = operand_new (SWITTI_DTYPE_F32, (gsize) (batch * n * c), rand);
  test->y = operand_new (y_dtype, (gsize) (batch * n * c), rand);
  test->post = operand_new (SWITTI_DTYPE_F32, (gsize) c, rand);
  test->pre = operand_new (SWITTI_DTYPE_F32, (gsize) c, rand);
  test->gate = operand_new (SWITTI_DTYPE_F32, groups * stride, rand);
  test->scale = operand_new (SWITTI_DTYPE_F32, groups * stride, rand);
  test->shift = operand_new (SWITTI_DTYPE_F32, groups * stride, rand);
}

static void
case_clear (Case *test)
{
  Operand *operands[] = { &test->x, &test->y, &test->post, &test->pre, &test->gate, &test->scale, &test->shift };

  for (gsize i = 0; i < G_N_ELEMENTS (operands); i++)
    operand_clear (operands[i]);
}

static const void *
part (const Case *test, int which, const Operand *operand)
{
  return test->parts & which ? operand->data : NULL;
}

static double
part_value (const Case *test, int which, const Operand *operand, gsize i, double otherwise)
{
  return test->parts & which ? operand->value[i] : otherwise;
}

/* Runs the op on images [first, first + batch); x receives the new x, h the output. */
static void
run (SwittiKernelContext *context, const Case *test, gboolean layer, gint64 first, gint64 batch, Operand *x, Operand *h)
{
  const SwittiKernels *kernels = test_kernels ();
  SwittiResidualNorm norm = test->norm;
  const gsize start = (gsize) (first * norm.n * norm.c), count = (gsize) (batch * norm.n * norm.c);
  const gint32 *groups = test->group_index != NULL ? test->group_index + first : NULL;
  const char *y = part (test, HAS_Y, &test->y);
  gint32 own_groups[3] = { (gint32) first, (gint32) first + 1, (gint32) first + 2 };

  if (groups == NULL && first > 0)
    groups = own_groups;
  norm.batch = batch;
  *x = output_new (SWITTI_DTYPE_F32, count);
  *h = output_new (norm.h_dtype, count);
  memcpy (x->data, operand_f32 (&test->x) + start, count * sizeof (float));
  if (y != NULL)
    y += start * switti_dtype_size (norm.y_dtype);
  if (layer)
    assert_ok (kernels->layer_norm (context, &norm, groups, x->data, y, part (test, HAS_PRE, &test->pre),
                                    part (test, HAS_POST, &test->post), part (test, HAS_SCALE, &test->scale),
                                    part (test, HAS_SHIFT, &test->shift), test->parts & HAS_H ? h->data : NULL));
  else
    assert_ok (kernels->residual_norm (context, &norm, groups, x->data, y, part (test, HAS_POST, &test->post),
                                       part (test, HAS_GATE, &test->gate), part (test, HAS_PRE, &test->pre),
                                       part (test, HAS_SCALE, &test->scale), part (test, HAS_SHIFT, &test->shift),
                                       test->parts & HAS_H ? h->data : NULL));
}

/* One row of new_x: the residual sum. */
static void
naive_residual (const Case *test, gboolean layer, gsize row, gsize group, double *new_x)
{
  const gsize c = (gsize) test->norm.c;
  double squares = 0.0;

  for (gsize j = 0; j < c; j++)
    squares += test->y.value[row * c + j] * test->y.value[row * c + j];
  for (gsize j = 0; j < c; j++)
    {
      double y = part_value (test, HAS_Y, &test->y, row * c + j, 0.0);

      if (!layer)
        y *= part_value (test, HAS_GATE, &test->gate, group + j, 1.0)
             * part_value (test, HAS_POST, &test->post, j, 1.0) / sqrt (squares / (double) c + test->norm.eps);
      new_x[j] = test->x.value[row * c + j] + y;
    }
}

static void
check (const Case *test, gboolean layer, const Operand *x, const Operand *h)
{
  const gsize c = (gsize) test->norm.c;
  const double roundings = (double) c / 4.0 + 16.0;
  g_autofree double *new_x = g_new (double, c);

  for (gsize row = 0; row < (gsize) (test->norm.batch * test->norm.n); row++)
    {
      const gsize image = row / (gsize) test->norm.n;
      const gsize group = (test->group_index != NULL ? (gsize) test->group_index[image] : image)
                          * (gsize) test->norm.modulation_stride;
      double mean = 0.0, squares = 0.0;

      naive_residual (test, layer, row, group, new_x);
      for (gsize j = 0; j < c; j++)
        assert_element (x, row * c + j, new_x[j], roundings * ROUNDING * (fabs (new_x[j]) + 2.0));
      if (!(test->parts & HAS_H))
        continue;
      for (gsize j = 0; layer && j < c; j++)
        mean += new_x[j] / (double) c;
      for (gsize j = 0; j < c; j++)
        squares += (new_x[j] - mean) * (new_x[j] - mean);
      const double inverse = 1.0 / sqrt (squares / (double) c + test->norm.eps);
      for (gsize j = 0; j < c; j++)
        {
          const double scale = 1.0 + part_value (test, HAS_SCALE, &test->scale, group + j, 0.0);
          const double shift = part_value (test, HAS_SHIFT, &test->shift, group + j, 0.0);
          const double bias = layer ? part_value (test, HAS_POST, &test->post, j, 0.0) : 0.0;
          const double factor = part_value (test, HAS_PRE, &test->pre, j, 1.0) * scale;
          const double expected = (new_x[j] - mean) * inverse * factor + bias * scale + shift;
          /* x is off by some roundings of values up to 4, which the norm makes larger by `inverse`. */
          const double magnitude = (fabs (new_x[j]) + fabs (mean) + 4.0) * inverse * fabs (factor);

          assert_element (h, row * c + j, expected, roundings * ROUNDING * (magnitude + fabs (bias * scale) + 2.0));
        }
    }
}

static void
check_shapes (gconstpointer isa, gboolean layer)
{
  static const gint64 shapes[][3] = { { 1, 1, 1 }, { 1, 1, 3 }, { 2, 3, 341 }, { 3, 5, 64 }, { 1, 2, 1920 } };
  static const SwittiDtype dtypes[] = { SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16 };
  SwittiKernelContext *context = op_context (isa, 2);

  if (context == NULL)
    return;
  for (gsize s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (int d = 0; d < 4; d++)
      {
        Case test;
        Operand x, h;

        case_init (&test, shapes[s][0], shapes[s][1], shapes[s][2], dtypes[d / 2], dtypes[d % 2], ALL);
        run (context, &test, layer, 0, test.norm.batch, &x, &h);
        check (&test, layer, &x, &h);
        operand_clear (&x);
        operand_clear (&h);
        case_clear (&test);
      }
  test_kernels ()->context_free (context);
}

/* Every set of operands that may be left out. */
static void
check_parts (gconstpointer isa, gboolean layer)
{
  SwittiKernelContext *context = op_context (isa, 1);

  if (context == NULL)
    return;
  for (int parts = 0; parts <= ALL; parts++)
    {
      Case test;
      Operand x, h;

      case_init (&test, 3, 2, 37, SWITTI_DTYPE_BF16, SWITTI_DTYPE_F32, parts);
      run (context, &test, layer, 0, 3, &x, &h);
      check (&test, layer, &x, &h);
      if (!(parts & HAS_Y))
        g_assert_cmpint (memcmp (x.data, test.x.data, x.count * sizeof (float)), ==, 0);
      operand_clear (&x);
      operand_clear (&h);
      case_clear (&test);
    }
  test_kernels ()->context_free (context);
}

/* The bits of an image depend neither on threads nor on the images beside it. */
static void
check_same_bits (gconstpointer isa, gboolean layer)
{
  const gint64 n = 7, c = 341;
  Case test;
  Operand x[3], h[3];

  case_init (&test, 3, n, c, SWITTI_DTYPE_BF16, SWITTI_DTYPE_BF16, ALL);
  for (int threads = 1; threads <= 3; threads++)
    {
      SwittiKernelContext *context = op_context (isa, threads);

      if (context == NULL)
        {
          case_clear (&test);
          return;
        }
      run (context, &test, layer, 0, 3, &x[threads - 1], &h[threads - 1]);
      assert_same_bytes (&x[0], &x[threads - 1]);
      assert_same_bytes (&h[0], &h[threads - 1]);
      for (gint64 image = 0; image < 3; image++)
        {
          Operand own_x, own_h;

          run (context, &test, layer, image, 1, &own_x, &own_h);
          g_assert_cmpint (memcmp (own_h.data, (guint16 *) h[0].data + image * n * c, (gsize) (n * c) * 2), ==, 0);
          operand_clear (&own_x);
          operand_clear (&own_h);
        }
      test_kernels ()->context_free (context);
    }
  for (int i = 0; i < 3; i++)
    {
      operand_clear (&x[i]);
      operand_clear (&h[i]);
    }
  case_clear (&test);
}

/* A mean a thousand times the deviation: E[x^2] - E[x]^2 would keep none of it. */
static void
test_layer_large_mean (gconstpointer isa)
{
  SwittiKernelContext *context = op_context (isa, 1);
  SwittiLayerNorm norm = { .batch = 1, .n = 1, .c = 256, .y_dtype = SWITTI_DTYPE_F32, .h_dtype = SWITTI_DTYPE_F32 };
  float x[256], h[256];

  if (context == NULL)
    return;
  for (int j = 0; j < 256; j++)
    x[j] = 4096.0f + (j % 2 == 0 ? 1.0f : -1.0f);
  assert_ok (test_kernels ()->layer_norm (context, &norm, NULL, x, NULL, NULL, NULL, NULL, NULL, h));
  /* Every number on the way is exact in float32 but for the last division. */
  for (int j = 0; j < 256; j++)
    g_assert_cmpfloat_with_epsilon (h[j], j % 2 == 0 ? 1.0f : -1.0f, 1e-6);
  test_kernels ()->context_free (context);
}

static void
test_refused (gconstpointer isa)
{
  SwittiKernelContext *context = op_context (isa, 1);
  SwittiLayerNorm norm = { .batch = 1, .n = 1, .c = 1, .y_dtype = SWITTI_DTYPE_F32, .h_dtype = SWITTI_DTYPE_I32 };
  float x = 2.0f, h = 3.0f;

  if (context == NULL)
    return;
  assert_invalid (test_kernels ()->layer_norm (context, &norm, NULL, &x, NULL, NULL, NULL, NULL, NULL, &h));
  assert_invalid (test_kernels ()->residual_norm (context, &norm, NULL, &x, NULL, NULL, NULL, NULL, NULL, NULL,
                                                  &h));
  g_assert_cmpfloat (h, ==, 3.0f);
  test_kernels ()->context_free (context);
}

static void test_residual_shapes (gconstpointer isa) { check_shapes (isa, FALSE); }
static void test_residual_parts (gconstpointer isa) { check_parts (isa, FALSE); }
static void test_residual_bits (gconstpointer isa) { check_same_bits (isa, FALSE); }
static void test_layer_shapes (gconstpointer isa) { check_shapes (isa, TRUE); }
static void test_layer_parts (gconstpointer isa) { check_parts (isa, TRUE); }
static void test_layer_bits (gconstpointer isa) { check_same_bits (isa, TRUE); }

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  op_add ("/norm/residual/shapes", test_residual_shapes);
  op_add ("/norm/residual/parts", test_residual_parts);
  op_add ("/norm/residual/same-bits", test_residual_bits);
  op_add ("/norm/layer/shapes", test_layer_shapes);
  op_add ("/norm/layer/parts", test_layer_parts);
  op_add ("/norm/layer/same-bits", test_layer_bits);
  op_add ("/norm/layer/large-mean", test_layer_large_mean);
  op_add ("/norm/refused", test_refused);
  return g_test_run ();
}
