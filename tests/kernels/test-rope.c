/* test-rope.c - qk_norm_rope
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "op-test.h"

/* q, k and v as slices of one (B, N, 3C) operand, written to slices of another. */
typedef struct
{
  SwittiQkNormRope op;
  Operand in, rope;
} Case;

static void
case_init (Case *test, gint64 batch, gint64 n, gint64 heads, gint64 d, SwittiDtype dtype)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) (heads * 1000 + d));
  const SwittiRows in = { n * 3 * heads * d, 3 * heads * d };

  test->op = (SwittiQkNormRope){ .batch = batch, .n = n, .heads = heads, .d = d, .eps = 1e-6f, .dtype = dtype,
                                 .q = in, .k = in, .v = in, .q_out = in, .k_out = in, .v_out = in };
  test->in = operand_new (dtype, (gsize) (batch * n * 3 * heads * d), rand);
  test->rope = operand_new (SWITTI_DTYPE_F32, (gsize) (n * d), rand);
}

static void
case_clear (Case *test)
{
  operand_clear (&test->in);
  operand_clear (&test->rope);
}

static void *
slice (const Case *test, const Operand *operand, gint64 which, gint64 image)
{
  const gint64 c = test->op.heads * test->op.d;

  return (char *) operand->data + (gsize) (image * test->op.n * 3 * c + which * c) * switti_dtype_size (operand->dtype);
}

/* Image `image` and the `batch - 1` after it, from `in` to `out`, which may be one. `parts`: 1 k, 2 v. */
static void
run (SwittiKernelContext *context, const Case *test, gboolean rotate, int parts, gint64 image, gint64 batch,
     const Operand *in, Operand *out)
{
  SwittiQkNormRope op = test->op;

  op.batch = batch;
  assert_ok (test_kernels ()->qk_norm_rope (
context, &op, rotate ? test->rope.data : NULL, slice (test, in, 0, image),
parts & 1 ? slice (test, in, 1, image) : NULL, parts & 2 ? slice (test, in, 2, image) : NULL,
slice (test, out, 0, image), parts & 1 ? slice (test, out, 1, image) : NULL,
parts & 2 ? slice (test, out, 2, image) : NULL));
}

/* `first` is the row's first element, of C. */
static void
check_row (const Case *test, gboolean rotate, gsize position, gsize first, const Operand *out)
{
  const gsize d = (gsize) test->op.d, c = (gsize) test->op.heads * d;
  const double *in = test->in.value + first;
  double mean = 0.0, squares = 0.0;

  for (gsize j = 0; j < c; j++)
    mean += in[j] / (double) c;
  for (gsize j = 0; j < c; j++)
    squares += (in[j] - mean) * (in[j] - mean);
  const double inverse = 1.0 / sqrt (squares / (double) c + test->op.eps);
  for (gsize j = 0; j < c; j++)
    {
      const gsize pair = j % d / 2;
      const double cosine = rotate ? test->rope.value[position * d + 2 * pair] : 1.0;
      const double sine = rotate ? test->rope.value[position * d + 2 * pair + 1] : 0.0;
      const double own = (in[j] - mean) * inverse;
      const double other = rotate ? (in[j ^ 1] - mean) * inverse : 0.0;
      /* The second of a pair takes + sin of the first, the first - sin of the second. */
      const double expected = own * cosine + (j % 2 == 0 ? -sine : sine) * other;

      assert_element (out, first + j, expected,
                      ((double) c / 4.0 + 16.0) * ROUNDING * (2.0 + fabs (own) + fabs (other) + 2.0 * inverse));
    }
}

static void
check (const Case *test, gboolean rotate, int parts, const Operand *out)
{
  const gsize c = (gsize) (test->op.heads * test->op.d), n = (gsize) test->op.n;

  for (gsize row = 0; row < (gsize) test->op.batch * n; row++)
    {
      check_row (test, rotate, row % n, row * 3 * c, out);
      if (parts & 1)
        check_row (test, rotate, row % n, (row * 3 + 1) * c, out);
      for (gsize j = 0; parts & 2 && j < c; j++)
        g_assert_cmpfloat (test_load (out->dtype, out->data, (row * 3 + 2) * c + j), ==,
                           test->in.value[(row * 3 + 2) * c + j]);
    }
}

static void
test_shapes (gconstpointer isa)
{
  static const gint64 shapes[][4]
      = { { 1, 1, 1, 2 }, { 2, 5, 3, 64 }, { 1, 3, 2, 6 }, { 1, 2, 30, 64 }, { 2, 2, 1, 3 }, { 1, 1, 5, 1 } };
  SwittiKernelContext *context = op_context (isa, 2);

  if (context == NULL)
    return;
  for (gsize s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (int variant = 0; variant < 16; variant++)
      {
        const SwittiDtype dtype = variant & 8 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32;
        const gboolean rotate = (variant & 4) != 0;
        const int parts = variant & 3;
        Case test;

        if (rotate && shapes[s][3] % 2 != 0)
          continue;
        case_init (&test, shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3], dtype);
        Operand out = output_new (dtype, test.in.count);
        run (context, &test, rotate, parts, 0, test.op.batch, &test.in, &out);
        check (&test, rotate, parts, &out);
        operand_clear (&out);
        case_clear (&test);
      }
  test_kernels ()->context_free (context);
}

static void
test_in_place (gconstpointer isa)
{
  SwittiKernelContext *context = op_context (isa, 1);
  Case test;

  if (context == NULL)
    return;
  case_init (&test, 2, 3, 2, 10, SWITTI_DTYPE_F32);
  run (context, &test, TRUE, 3, 0, 2, &test.in, &test.in);
  /* test.in.value still has what was there before. */
  check (&test, TRUE, 3, &test.in);
  case_clear (&test);
  test_kernels ()->context_free (context);
}

static void
test_same_bits (gconstpointer isa)
{
  Operand out[4];
  Case test;

  case_init (&test, 3, 7, 3, 22, SWITTI_DTYPE_F32);
  for (int i = 0; i < 4; i++)
    out[i] = output_new (SWITTI_DTYPE_F32, test.in.count);
  for (int threads = 1; threads <= 3; threads++)
    {
      SwittiKernelContext *context = op_context (isa, threads);

      if (context == NULL)
        break;
      run (context, &test, TRUE, 3, 0, 3, &test.in, &out[threads]);
      for (gint64 image = 0; image < 3; image++)
        run (context, &test, TRUE, 3, image, 1, &test.in, &out[0]);
      assert_same_bytes (&out[0], &out[threads]);
      test_kernels ()->context_free (context);
    }
  for (int i = 0; i < 4; i++)
    operand_clear (&out[i]);
  case_clear (&test);
}

static void
test_refused (gconstpointer isa)
{
  SwittiKernelContext *context = op_context (isa, 1);
  Case test;

  if (context == NULL)
    return;
  /* Pairs of an odd head do not come out. */
  case_init (&test, 1, 1, 2, 3, SWITTI_DTYPE_F32);
  assert_invalid (test_kernels ()->qk_norm_rope (context, &test.op, test.rope.data, test.in.data, NULL, NULL,
                                                 test.in.data, NULL, NULL));
  case_clear (&test);
  test_kernels ()->context_free (context);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  op_add ("/rope/shapes", test_shapes);
  op_add ("/rope/in-place", test_in_place);
  op_add ("/rope/same-bits", test_same_bits);
  op_add ("/rope/refused", test_refused);
  return g_test_run ();
}
