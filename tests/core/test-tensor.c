/* test-tensor.c - shapes and conversions
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-tensor-private.h"

#include <math.h>
#include <string.h>

static void
test_shape_count (void)
{
  const gint64 shape[] = { 2, 3, 64, 64 };
  const gint64 negative[] = { 2, -1 };
  const gint64 huge[] = { G_GINT64_CONSTANT (1) << 33, G_GINT64_CONSTANT (1) << 33 };
  const gint64 huge_and_empty[] = { G_GINT64_CONSTANT (1) << 33, 0, G_GINT64_CONSTANT (1) << 33 };
  const gint64 fits_as_count[] = { G_GINT64_CONSTANT (1) << 62 };
  const gint64 empty[] = { 5, 0 };
  gsize count = 7, bytes = 7;

  g_assert_true (switti_shape_count (4, shape, &count));
  g_assert_cmpuint (count, ==, 24576);
  g_assert_true (switti_shape_bytes (SWITTI_DTYPE_BF16, 4, shape, &bytes));
  g_assert_cmpuint (bytes, ==, 49152);
  g_assert_true (switti_shape_count (0, NULL, &count));
  g_assert_cmpuint (count, ==, 1);
  g_assert_true (switti_shape_count (2, empty, &count));
  g_assert_cmpuint (count, ==, 0);

  g_assert_false (switti_shape_count (2, negative, &count));
  g_assert_false (switti_shape_count (2, huge, &count));
  g_assert_false (switti_shape_count (3, huge_and_empty, &count));
  g_assert_false (switti_shape_count (SWITTI_TENSOR_MAX_DIMS + 1, shape, &count));
  g_assert_true (switti_shape_count (1, fits_as_count, &count));
  g_assert_false (switti_shape_bytes (SWITTI_DTYPE_F32, 1, fits_as_count, &bytes));
}

static void
test_shape_to_string (void)
{
  const gint64 shape[] = { 2, 3, 64 };
  g_autofree char *three = switti_shape_to_string (3, shape);
  g_autofree char *one = switti_shape_to_string (1, shape);
  g_autofree char *none = switti_shape_to_string (0, NULL);

  g_assert_cmpstr (three, ==, "(2, 3, 64)");
  g_assert_cmpstr (one, ==, "(2)");
  g_assert_cmpstr (none, ==, "()");
}

/* The value of a small float, by the definition of its format, in double. */
static double
small_float_value (guint bits, int exponent_bits, int mantissa_bits)
{
  int sign = (int) (bits >> (exponent_bits + mantissa_bits)) & 1;
  int exponent = (int) (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  double fraction = (double) (bits & ((1u << mantissa_bits) - 1)) / (double) (1 << mantissa_bits);
  int bias = (1 << (exponent_bits - 1)) - 1;
  double magnitude = exponent == 0 ? pow (2, 1 - bias) * fraction : pow (2, exponent - bias) * (1 + fraction);

  return sign ? -magnitude : magnitude;
}

static void
test_f16_all (void)
{
  for (guint i = 0; i < 65536; i++)
    {
      guint16 half = (guint16) i, back;
      float value;

      g_assert_true (switti_convert_elements (SWITTI_DTYPE_F16, &half, SWITTI_DTYPE_F32, &value, 1));
      g_assert_true (switti_convert_elements (SWITTI_DTYPE_F32, &value, SWITTI_DTYPE_F16, &back, 1));
      if ((i & 0x7c00) != 0x7c00)
        {
          g_assert_true ((double) value == small_float_value (i, 5, 10));
          g_assert_cmphex (back, ==, half);
        }
      else if ((i & 0x3ff) == 0)
        {
          g_assert_true (isinf (value) && !!signbit (value) == !!(i & 0x8000));
          g_assert_cmphex (back, ==, half);
        }
      else
        {
          g_assert_true (isnan (value));
          g_assert_true ((back & 0x7c00) == 0x7c00 && (back & 0x3ff) != 0);
        }
    }
}

static void
test_f8_all (void)
{
  for (guint i = 0; i < 256; i++)
    {
      guint8 bits = (guint8) i;
      float value;

      g_assert_true (switti_convert_elements (SWITTI_DTYPE_F8_E4M3, &bits, SWITTI_DTYPE_F32, &value, 1));
      if ((i & 0x7f) == 0x7f)
        g_assert_true (isnan (value));
      else
        g_assert_true ((double) value == small_float_value (i, 4, 3));
    }
}

/* Rounding restated: of the two neighbours the nearer one, of equally near ones the even one. */
static void
check_rounding (SwittiDtype dtype, int exponent_bits, int mantissa_bits, float value)
{
  guint16 rounded;
  double error, below, above;

  g_assert_true (switti_convert_elements (SWITTI_DTYPE_F32, &value, dtype, &rounded, 1));
  error = fabs (small_float_value (rounded, exponent_bits, mantissa_bits) - (double) value);
  below = (rounded & 0x7fff) == 0
              ? INFINITY
              : fabs (small_float_value (rounded - 1u, exponent_bits, mantissa_bits) - (double) value);
  above = fabs (small_float_value (rounded + 1u, exponent_bits, mantissa_bits) - (double) value);
  g_assert_true (error < below || (error == below && rounded % 2 == 0));
  g_assert_true (error < above || (error == above && rounded % 2 == 0));
}

static void
test_rounding (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (17);

  for (int i = 0; i < 20000; i++)
    {
      float value = (float) ldexp (g_rand_double_range (random, -2, 2), g_rand_int_range (random, -30, 15));

      check_rounding (SWITTI_DTYPE_F16, 5, 10, value);
      check_rounding (SWITTI_DTYPE_BF16, 8, 7, value);
    }
  /* Ties: halfway between neighbours with an even and with an odd lower one, normal and subnormal. */
  for (int i = 0; i < 64; i++)
    {
      check_rounding (SWITTI_DTYPE_BF16, 8, 7, 1.0f + ((float) i + 0.5f) * 0x1p-7f);
      check_rounding (SWITTI_DTYPE_F16, 5, 10, 1.0f + ((float) i + 0.5f) * 0x1p-10f);
      check_rounding (SWITTI_DTYPE_F16, 5, 10, ((float) i + 0.5f) * 0x1p-24f);
    }
}

static void
test_special_values (void)
{
  const float values[] = { INFINITY, -INFINITY, 65520.0f, 65519.996f, 3.4e38f, -0.0f };
  const guint16 halves[] = { 0x7c00, 0xfc00, 0x7c00, 0x7bff, 0x7c00, 0x8000 };
  const guint16 brains[] = { 0x7f80, 0xff80, 0x4780, 0x4780, 0x7f80, 0x8000 };
  guint16 out[6];
  guint32 nan_bits = 0x7f800001; /* its payload is lost when the low half is cut off */
  float nan;

  g_assert_true (switti_convert_elements (SWITTI_DTYPE_F32, values, SWITTI_DTYPE_F16, out, 6));
  g_assert_cmpmem (out, sizeof out, halves, sizeof halves);
  g_assert_true (switti_convert_elements (SWITTI_DTYPE_F32, values, SWITTI_DTYPE_BF16, out, 6));
  g_assert_cmpmem (out, sizeof out, brains, sizeof brains);

  memcpy (&nan, &nan_bits, sizeof nan);
  g_assert_true (switti_convert_elements (SWITTI_DTYPE_F32, &nan, SWITTI_DTYPE_BF16, out, 1));
  g_assert_true ((out[0] & 0x7f80) == 0x7f80 && (out[0] & 0x7f) != 0);
}

static void
test_integers_and_alignment (void)
{
  guint8 bytes[1 + 8 * 3];
  const gint64 longs[] = { -5, 0, 1 << 20 };
  const gint32 ints[] = { -7, 3, 9 };
  const double doubles[] = { 0.5, -1e300, 3 };
  const guint8 booleans[] = { 0, 1, 2 };
  float out[3];

  memcpy (bytes + 1, longs, sizeof longs);
  g_assert_true (switti_convert_elements (SWITTI_DTYPE_I64, bytes + 1, SWITTI_DTYPE_F32, out, 3));
  g_assert_true (out[0] == -5 && out[1] == 0 && out[2] == 1048576);
  memcpy (bytes + 1, ints, sizeof ints);
  g_assert_true (switti_convert_elements (SWITTI_DTYPE_I32, bytes + 1, SWITTI_DTYPE_F32, out, 3));
  g_assert_true (out[0] == -7 && out[1] == 3 && out[2] == 9);
  memcpy (bytes + 1, doubles, sizeof doubles);
  g_assert_true (switti_convert_elements (SWITTI_DTYPE_F64, bytes + 1, SWITTI_DTYPE_F32, out, 3));
  g_assert_true (out[0] == 0.5f && isinf (out[1]) && out[2] == 3);
  g_assert_true (switti_convert_elements (SWITTI_DTYPE_U8, booleans, SWITTI_DTYPE_F32, out, 3));
  g_assert_true (out[0] == 0 && out[1] == 1 && out[2] == 2);
  g_assert_true (switti_convert_elements (SWITTI_DTYPE_BOOL, booleans, SWITTI_DTYPE_F32, out, 3));
  g_assert_true (out[0] == 0 && out[1] == 1 && out[2] == 1);

  g_assert_false (switti_convert_elements (SWITTI_DTYPE_I64, longs, SWITTI_DTYPE_BF16, out, 1));
  g_assert_false (switti_convert_elements (SWITTI_DTYPE_BF16, longs, SWITTI_DTYPE_F16, out, 1));
  g_assert_false (switti_convert_elements ((SwittiDtype) 99, longs, SWITTI_DTYPE_F32, out, 1));
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tensor/shape-count", test_shape_count);
  g_test_add_func ("/tensor/shape-to-string", test_shape_to_string);
  g_test_add_func ("/tensor/f16-all-values", test_f16_all);
  g_test_add_func ("/tensor/f8-all-values", test_f8_all);
  g_test_add_func ("/tensor/rounding", test_rounding);
  g_test_add_func ("/tensor/special-values", test_special_values);
  g_test_add_func ("/tensor/integers-and-alignment", test_integers_and_alignment);
  return g_test_run ();
}
