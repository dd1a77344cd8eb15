/* test-elementwise.c - swiglu, silu_condition, add_rows, embed, accumulate, blend_rows, convert and 8-bit images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "op-test.h"

static const SwittiDtype activation_dtypes[] = { SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16 };

static double
silu (double x)
{
  return x / (1.0 + exp (-x));
}

/* SiLU's roundings: 2 of the exponential's polynomial, the sum, the quotient and a product. */
static double
silu_bound (double value)
{
  return 8.0 * ROUNDING * fabs (value);
}

static void
test_swiglu (gconstpointer isa)
{
  static const gint64 shapes[][2] = { { 1, 1 }, { 3, 341 }, { 7, 5120 } };
  SwittiKernelContext *context = op_context (isa, 3);

  if (context == NULL)
    return;
  for (gsize s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (int bf16 = 0; bf16 < 2; bf16++)
      {
        g_autoptr (GRand) rand = g_rand_new_with_seed (1);
        const gint64 rows = shapes[s][0], hidden = shapes[s][1], in_stride = 2 * hidden + 3, out_stride = hidden + 1;
        const SwittiDtype dtype = activation_dtypes[bf16];
        Operand in = operand_new (dtype, (gsize) (rows * in_stride), rand);
        Operand out = output_new (dtype, (gsize) (rows * out_stride));

        assert_ok (test_kernels ()->swiglu (context, rows, hidden, dtype, in.data, in_stride, out.data,
                                            out_stride));
        for (gint64 r = 0; r < rows; r++)
          {
            for (gint64 j = 0; j < hidden; j++)
              {
                const double *row = in.value + r * in_stride;
                const double expected = silu (row[j]) * row[hidden + j];
                assert_element (&out, (gsize) (r * out_stride + j), expected, silu_bound (expected));
              }
            /* What lies between the rows is not the op's. */
            g_assert_true (isnan (test_load (dtype, out.data, (gsize) (r * out_stride + hidden))));
          }
        operand_clear (&in);
        operand_clear (&out);
      }
  test_kernels ()->context_free (context);
}

/* SiLU where the exponential overflows and underflows. */
static void
test_silu_range (gconstpointer isa)
{
  enum { COUNT = 4001 };
  SwittiKernelContext *context = op_context (isa, 1);
  float x[COUNT];
  Operand out = output_new (SWITTI_DTYPE_F32, COUNT);

  if (context == NULL)
    {
      operand_clear (&out);
      return;
    }
  for (int i = 0; i < COUNT; i++)
    x[i] = (float) (i - COUNT / 2) * 0.1f;
  assert_ok (test_kernels ()->silu_condition (context, 1, COUNT, x, NULL, NULL, SWITTI_DTYPE_F32, out.data));
  for (gsize i = 0; i < COUNT; i++)
    /* The exponential stops at e^88: below x = -88 the result, under 1e-36, is rough. */
    assert_element (&out, i, silu (x[i]), x[i] > -87.0f ? silu_bound (silu (x[i])) : 1e-35);
  x[0] = NAN;
  assert_ok (test_kernels ()->silu_condition (context, 1, 1, x, NULL, NULL, SWITTI_DTYPE_F32, out.data));
  g_assert_true (isnan (operand_f32 (&out)[0]));
  operand_clear (&out);
  test_kernels ()->context_free (context);
}

static void
test_silu_condition (gconstpointer isa)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);
  const gsize batch = 3, width = 37;
  SwittiKernelContext *context = op_context (isa, 2);
  Operand c = operand_new (SWITTI_DTYPE_F32, batch * width, rand);
  Operand crop = operand_new (SWITTI_DTYPE_F32, batch * width, rand);
  Operand scales = operand_new (SWITTI_DTYPE_F32, width, rand);

  for (int variant = 0; context != NULL && variant < 4; variant++)
    {
      const gboolean cropped = variant & 1;
      Operand out = output_new (activation_dtypes[variant / 2], batch * width);

      assert_ok (test_kernels ()->silu_condition (context, (gint64) batch, (gint64) width, c.data,
                                                  cropped ? crop.data : NULL, cropped ? scales.data : NULL,
                                                  out.dtype, out.data));
      for (gsize i = 0; i < batch * width; i++)
        {
          const double x = c.value[i] + (cropped ? scales.value[i % width] * crop.value[i] : 0.0);
          assert_element (&out, i, silu (x), silu_bound (silu (x)) + 2.0 * ROUNDING * 2.0);
        }
      assert_invalid (test_kernels ()->silu_condition (context, 1, 1, c.data, crop.data, NULL, out.dtype,
                                                       out.data));
      operand_clear (&out);
    }
  operand_clear (&c);
  operand_clear (&crop);
  operand_clear (&scales);
  test_kernels ()->context_free (context);
}

static void
test_add_rows (gconstpointer isa)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  const gsize batch = 2, n = 5, width = 4097;
  SwittiKernelContext *context = op_context (isa, 2);
  Operand x = operand_new (SWITTI_DTYPE_F32, batch * n * width, rand);
  Operand rows = operand_new (SWITTI_DTYPE_F32, n * width, rand);

  for (int variant = 0; context != NULL && variant < 3; variant++)
    {
      /* Two images; one image for both; in place. */
      const gsize stride = variant == 1 ? 0 : n * width;
      Operand out = variant == 2 ? x : output_new (SWITTI_DTYPE_F32, batch * n * width);

      assert_ok (test_kernels ()->add_rows (context, (gint64) batch, (gint64) n, (gint64) width, x.data,
                                            (gint64) stride, rows.data, out.data));
      for (gsize i = 0; i < out.count; i++)
        assert_element (&out, i, x.value[i / (n * width) * stride + i % (n * width)] + rows.value[i % (n * width)],
                        0.0);
      if (variant != 2)
        operand_clear (&out);
    }
  operand_clear (&x);
  operand_clear (&rows);
  test_kernels ()->context_free (context);
}

static void
test_embed (gconstpointer isa)
{
  static const gint32 ids[7] = { 0, 4, 4, 1, 2, 3, 0 };
  const gint64 entries = 5, width = 33, period = 3;
  SwittiKernelContext *context = op_context (isa, 2);

  for (int variant = 0; context != NULL && variant < 4; variant++)
    {
      g_autoptr (GRand) rand = g_rand_new_with_seed (4);
      Operand table = operand_new (activation_dtypes[variant / 2], (gsize) (entries * width), rand);
      Operand positions = operand_new (SWITTI_DTYPE_F32, (gsize) (period * width), rand);
      Operand out = output_new (SWITTI_DTYPE_F32, (gsize) (7 * width));
      gint32 wrong = (gint32) entries;

      assert_ok (test_kernels ()->embed (context, 7, width, entries, table.dtype, table.data, ids,
                                         variant & 1 ? positions.data : NULL, period, out.data));
      for (gint64 i = 0; i < 7 * width; i++)
        {
          const double position = variant & 1 ? positions.value[i / width % period * width + i % width] : 0.0;
          assert_element (&out, (gsize) i, table.value[ids[i / width] * width + i % width] + position, 0.0);
        }
      for (int low = 0; low < 2 && !TEST_SIMULATED; low++)
        {
          wrong = low ? -1 : (gint32) entries;
          assert_invalid (test_kernels ()->embed (context, 1, width, entries, table.dtype, table.data, &wrong, NULL,
                                            period, out.data));
        }
      operand_clear (&table);
      operand_clear (&positions);
      operand_clear (&out);
    }
  test_kernels ()->context_free (context);
}

static void
test_accumulate (gconstpointer isa)
{
  static const gsize counts[] = { 1, 31, 4096, 40001 };
  SwittiKernelContext *context = op_context (isa, 2);

  for (gsize c = 0; context != NULL && c < G_N_ELEMENTS (counts); c++)
    for (int with_y = 0; with_y < 2; with_y++)
      {
        g_autoptr (GRand) rand = g_rand_new_with_seed (5);
        Operand x = operand_new (SWITTI_DTYPE_F32, counts[c], rand);
        Operand y = operand_new (SWITTI_DTYPE_F32, counts[c], rand);
        Operand out = operand_new (SWITTI_DTYPE_F32, counts[c], rand);

        assert_ok (test_kernels ()->accumulate (context, (gint64) counts[c], 0.3f, x.data, -0.7f,
                                                with_y ? y.data : NULL, out.data));
        for (gsize i = 0; i < counts[c]; i++)
          /* Three roundings of sums and products below 2. */
          assert_element (&out, i,
                          out.value[i] + (double) 0.3f * x.value[i] + (with_y ? (double) -0.7f * y.value[i] : 0.0),
                          3.0 * ROUNDING * 2.0);
        operand_clear (&x);
        operand_clear (&y);
        operand_clear (&out);
      }
  test_kernels ()->context_free (context);
}

/* Odd sizes, in place and not, with y and without; weights of 0 and 1 among others, which take over the bits. */
static void
test_blend_rows (gconstpointer isa)
{
  static const gsize shapes[][3] = { { 1, 1, 1 }, { 2, 9, 32 }, { 3, 5, 7 }, { 2, 1024, 33 } };
  SwittiKernelContext *context = op_context (isa, 2);

  for (gsize s = 0; context != NULL && s < 4 * G_N_ELEMENTS (shapes); s++)
    {
      const gsize batch = shapes[s / 4][0], n = shapes[s / 4][1], width = shapes[s / 4][2];
      const gboolean with_y = s % 2, in_place = s / 2 % 2;
      g_autoptr (GRand) rand = g_rand_new_with_seed (6);
      Operand weights = operand_new (SWITTI_DTYPE_F32, n, rand);
      Operand x = operand_new (SWITTI_DTYPE_F32, batch * n * width, rand);
      Operand y = operand_new (SWITTI_DTYPE_F32, batch * n * width, rand);
      Operand out = output_new (SWITTI_DTYPE_F32, batch * n * width);
      float *w = operand_f32 (&weights);
      float *target = in_place ? operand_f32 (with_y ? &y : &x) : operand_f32 (&out);

      for (gsize t = 0; t < n; t++)
        w[t] = t % 3 == 0 ? 1.0f : t % 3 == 1 ? 0.0f : fabsf (w[t]);
      assert_ok (test_kernels ()->blend_rows (context, (gint64) batch, (gint64) n, (gint64) width, w, x.data,
                                              with_y ? y.data : NULL, target));
      for (gsize i = 0; i < batch * n * width; i++)
        {
          const double weight = w[i / width % n], other = with_y ? y.value[i] : 0.0;
          const double expected = weight * x.value[i] + (1.0 - weight) * other;

          if (weight == 0.0 || weight == 1.0)
            g_assert_true (target[i] == (float) expected);
          /* Four roundings of values below 1. */
          g_assert_cmpfloat_with_epsilon (target[i], expected, 4.0 * ROUNDING);
        }
      operand_clear (&weights);
      operand_clear (&x);
      operand_clear (&y);
      operand_clear (&out);
    }
  if (context != NULL)
    assert_invalid (test_kernels ()->blend_rows (context, 1, 1, 0, NULL, NULL, NULL, NULL));
  test_kernels ()->context_free (context);
}

/* The value of a float of `exponent_bits` and `mantissa_bits`, by the definition; the top exponent is not finite. */
static double
small_float (guint bits, int exponent_bits, int mantissa_bits, int bias)
{
  const int exponent = (int) (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double mantissa = ldexp ((double) (bits & ((1u << mantissa_bits) - 1)), -mantissa_bits);
  const double magnitude = exponent == 0 ? ldexp (mantissa, 1 - bias) : ldexp (1.0 + mantissa, exponent - bias);

  return (bits >> (exponent_bits + mantissa_bits)) & 1 ? -magnitude : magnitude;
}

/* Every half: to float32 and back. */
static void
test_convert_half (gconstpointer isa)
{
  enum { COUNT = 65536 };
  SwittiKernelContext *context = op_context (isa, 2);
  g_autofree guint16 *half = g_new (guint16, COUNT);
  g_autofree guint16 *back = g_new (guint16, COUNT);
  g_autofree float *value = g_new (float, COUNT);

  if (context == NULL)
    return;
  for (guint i = 0; i < COUNT; i++)
    half[i] = (guint16) i;
  /* On host CUDA the last is memory that was never written. */
  half[COUNT - 1] = TEST_SIMULATED ? COUNT - 2 : COUNT - 1;
  assert_ok (test_kernels ()->convert (context, COUNT, SWITTI_DTYPE_F16, half, SWITTI_DTYPE_F32, value));
  assert_ok (test_kernels ()->convert (context, COUNT, SWITTI_DTYPE_F32, value, SWITTI_DTYPE_F16, back));
  for (guint i = 0; i < COUNT; i++)
    if ((i & 0x7fff) > 0x7c00)
      {
        g_assert_true (isnan (value[i]));
        g_assert_cmpuint (back[i] & 0x7fff, >, 0x7c00);
      }
    else
      {
        if ((i & 0x7fff) == 0x7c00)
          g_assert_cmpfloat (value[i], ==, i & 0x8000 ? -INFINITY : INFINITY);
        else
          g_assert_cmpfloat (value[i], ==, small_float (i, 5, 10, 15));
        g_assert_cmpuint (back[i], ==, i);
      }
  test_kernels ()->context_free (context);
}

/* The bits of the nearer half or bf16 of two neighbours, the even one on a tie: float32 at its place between them. */
static void
test_convert_rounding (gconstpointer isa)
{
  static const SwittiDtype dtypes[] = { SWITTI_DTYPE_F16, SWITTI_DTYPE_BF16 };
  SwittiKernelContext *context = op_context (isa, 1);

  for (int d = 0; context != NULL && d < 2; d++)
    for (guint i = 0; i < (d == 0 ? 0x7bffu : 0x7f7fu); i++)
      {
        const double low = d == 0 ? small_float (i, 5, 10, 15) : test_bf16_value ((guint16) i);
        const double high = d == 0 ? small_float (i + 1, 5, 10, 15) : test_bf16_value ((guint16) (i + 1));
        const float middle = (float) (0.5 * (low + high));
        const float in[3] = { nextafterf (middle, -INFINITY), middle, nextafterf (middle, INFINITY) };
        guint16 out[3];

        if ((double) middle != 0.5 * (low + high))
          continue;
        assert_ok (test_kernels ()->convert (context, 3, SWITTI_DTYPE_F32, in, dtypes[d], out));
        g_assert_cmpuint (out[0], ==, i);
        g_assert_cmpuint (out[1], ==, i + (i & 1));
        g_assert_cmpuint (out[2], ==, i + 1);
      }
  test_kernels ()->context_free (context);
}

static void
test_convert_others (gconstpointer isa)
{
  static const float large[] = { 65519.0f, 65520.0f, -1e9f, INFINITY, 1e-30f };
  static const guint16 expected[] = { 0x7bff, 0x7c00, 0xfc00, 0x7c00, 0 };
  SwittiKernelContext *context = op_context (isa, 2);
  guint8 eight[256];
  double wide[256];
  float out[256];
  guint16 half[5];

  if (context == NULL)
    return;
  assert_ok (test_kernels ()->convert (context, 5, SWITTI_DTYPE_F32, large, SWITTI_DTYPE_F16, half));
  for (int i = 0; i < 5; i++)
    g_assert_cmphex (half[i], ==, expected[i]);

  for (int i = 0; i < 256; i++)
    {
      eight[i] = (guint8) i;
      wide[i] = (double) i / 3.0;
    }
  assert_ok (test_kernels ()->convert (context, 256, SWITTI_DTYPE_F8_E4M3, eight, SWITTI_DTYPE_F32, out));
  for (guint i = 0; i < 256; i++)
    if ((i & 0x7f) == 0x7f)
      g_assert_true (isnan (out[i]));
    else
      g_assert_cmpfloat (out[i], ==, small_float (i, 4, 3, 7));
  assert_ok (test_kernels ()->convert (context, 256, SWITTI_DTYPE_F64, wide, SWITTI_DTYPE_F32, out));
  for (int i = 0; i < 256; i++)
    g_assert_cmpfloat (out[i], ==, (float) wide[i]);
  assert_invalid (test_kernels ()->convert (context, 1, SWITTI_DTYPE_I32, wide, SWITTI_DTYPE_F32, out));
  assert_invalid (test_kernels ()->convert (context, 1, SWITTI_DTYPE_F32, wide, SWITTI_DTYPE_F8_E4M3, out));
  test_kernels ()->context_free (context);
}

static void
test_images (gconstpointer isa)
{
  enum { PIXELS = 6001 };
  SwittiKernelContext *context = op_context (isa, 2);

  for (int bf16 = 0; context != NULL && bf16 < 2; bf16++)
    {
      const SwittiDtype dtype = activation_dtypes[bf16];
      g_autoptr (GRand) rand = g_rand_new_with_seed (6);
      g_autofree guint8 *rgb = g_new (guint8, PIXELS * 3);
      Operand x = operand_new (dtype, PIXELS * 3, rand);
      Operand back = output_new (dtype, PIXELS * 3);

      /* Beyond [-1, 1] too. */
      for (gsize i = 0; dtype == SWITTI_DTYPE_F32 && i < x.count; i++)
        {
          operand_f32 (&x)[i] *= 1.5f;
          x.value[i] = operand_f32 (&x)[i];
        }
      assert_ok (test_kernels ()->image_to_rgb8 (context, PIXELS, dtype, x.data, rgb));
      for (gsize i = 0; i < x.count; i++)
        {
          const double level = (CLAMP (x.value[i], -1.0, 1.0) + 1.0) / 2.0 * 255.0;
          /* Where the exact level is an integer but for float32's rounding, both neighbours are right. */
          g_assert_cmpint (rgb[i], >=, (int) floor (level - 255.0 * 2.0 * ROUNDING));
          g_assert_cmpint (rgb[i], <=, (int) floor (level + 255.0 * 2.0 * ROUNDING));
        }
      assert_ok (test_kernels ()->rgb8_to_image (context, PIXELS, rgb, dtype, back.data));
      for (gsize i = 0; i < x.count; i++)
        assert_element (&back, i, rgb[i] / 127.5 - 1.0, 2.0 * ROUNDING * 2.0);
      operand_clear (&x);
      operand_clear (&back);
    }
  if (context != NULL)
    {
      const float x[6] = { NAN, INFINITY, -INFINITY, 1.0f, -1.0f, 0.0f };
      guint8 rgb[6];

      assert_ok (test_kernels ()->image_to_rgb8 (context, 2, SWITTI_DTYPE_F32, x, rgb));
      g_assert_cmpmem (rgb, 6, ((guint8[]){ 0, 255, 0, 255, 0, 127 }), 6);
    }
  test_kernels ()->context_free (context);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  op_add ("/elementwise/swiglu", test_swiglu);
  op_add ("/elementwise/silu-range", test_silu_range);
  op_add ("/elementwise/silu-condition", test_silu_condition);
  op_add ("/elementwise/add-rows", test_add_rows);
  op_add ("/elementwise/embed", test_embed);
  op_add ("/elementwise/accumulate", test_accumulate);
  op_add ("/elementwise/blend-rows", test_blend_rows);
  op_add ("/elementwise/convert/half", test_convert_half);
  op_add ("/elementwise/convert/rounding", test_convert_rounding);
  op_add ("/elementwise/convert/others", test_convert_others);
  op_add ("/elementwise/images", test_images);
  return g_test_run ();
}
