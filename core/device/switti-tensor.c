/* switti-tensor.c - shapes, and conversion between dtypes on the host
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Inputs of conversions may lie at any address: a safetensors file does not align its tensors. All loads of them go
 * through memcpy(), which compilers turn into plain loads.
 */
#include "switti-tensor-private.h"

#include <math.h>
#include <string.h>

gboolean
switti_shape_count (int n_dims, const gint64 *dims, gsize *count)
{
  gsize product = 1;
  gboolean is_empty = FALSE;

  if (n_dims < 0 || n_dims > SWITTI_TENSOR_MAX_DIMS)
    return FALSE;

  for (int i = 0; i < n_dims; i++)
    {
      if (dims[i] < 0 || (guint64) dims[i] > G_MAXSIZE)
        return FALSE;
      /* A zero must not hide the overflow of the other dimensions: strides are computed from them. */
      if (dims[i] == 0)
        is_empty = TRUE;
      else if (!g_size_checked_mul (&product, product, (gsize) dims[i]))
        return FALSE;
    }

  *count = is_empty ? 0 : product;
  return TRUE;
}

gboolean
switti_shape_bytes (SwittiDtype dtype, int n_dims, const gint64 *dims, gsize *bytes)
{
  gsize count;

  return switti_shape_count (n_dims, dims, &count) && g_size_checked_mul (bytes, count, switti_dtype_size (dtype));
}

char *
switti_shape_to_string (int n_dims, const gint64 *dims)
{
  GString *text = g_string_new ("(");

  for (int i = 0; i < n_dims; i++)
    g_string_append_printf (text, "%s%" G_GINT64_FORMAT, i == 0 ? "" : ", ", dims[i]);
  g_string_append_c (text, ')');
  return g_string_free (text, FALSE);
}

const char *
switti_dtype_to_string (SwittiDtype dtype)
{
  switch (dtype)
    {
    case SWITTI_DTYPE_F32:
      return "F32";
    case SWITTI_DTYPE_BF16:
      return "BF16";
    case SWITTI_DTYPE_F16:
      return "F16";
    case SWITTI_DTYPE_F8_E4M3:
      return "F8_E4M3";
    case SWITTI_DTYPE_F64:
      return "F64";
    case SWITTI_DTYPE_I32:
      return "I32";
    case SWITTI_DTYPE_I64:
      return "I64";
    case SWITTI_DTYPE_U8:
      return "U8";
    case SWITTI_DTYPE_BOOL:
      return "BOOL";
    }
  return "unknown";
}

static inline float
float_from_bits (guint32 bits)
{
  float value;

  memcpy (&value, &bits, sizeof value);
  return value;
}

static inline guint32
bits_from_float (float value)
{
  guint32 bits;

  memcpy (&bits, &value, sizeof bits);
  return bits;
}

/* A binary float of 1 + exponent_bits + mantissa_bits bits with the usual subnormals; has_infinity is FALSE for E4M3,
 * whose only special value is NaN, all bits set. */
static inline float
float_from_small (guint32 bits, int exponent_bits, int mantissa_bits, gboolean has_infinity)
{
  guint32 sign = (bits >> (exponent_bits + mantissa_bits)) & 1;
  guint32 exponent = (bits >> mantissa_bits) & ((1u << exponent_bits) - 1);
  guint32 mantissa = bits & ((1u << mantissa_bits) - 1);
  int bias = (1 << (exponent_bits - 1)) - 1;
  float magnitude;

  if (has_infinity && exponent == (1u << exponent_bits) - 1)
    return float_from_bits (sign << 31 | 0xffu << 23 | mantissa << (23 - mantissa_bits));
  if (!has_infinity && exponent == (1u << exponent_bits) - 1 && mantissa == (1u << mantissa_bits) - 1)
    return float_from_bits (sign << 31 | 0x7fc00000u);

  if (exponent != 0)
    return float_from_bits (sign << 31 | (exponent + 127 - bias) << 23 | mantissa << (23 - mantissa_bits));
  magnitude = ldexpf ((float) mantissa, 1 - bias - mantissa_bits);
  return sign ? -magnitude : magnitude;
}

static inline guint16
bf16_from_float (float value)
{
  guint32 bits = bits_from_float (value);

  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return (guint16) (bits >> 16 | 0x40); /* a NaN stays one, even where its payload was in the low half */
  /* To nearest, ties to even. */
  return (guint16) ((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

static inline guint16
f16_from_float (float value)
{
  guint32 bits = bits_from_float (value);
  guint32 sign = (bits >> 16) & 0x8000u;
  guint32 magnitude = bits & 0x7fffffffu;

  if (magnitude > 0x7f800000u)
    return (guint16) (sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) /* 65520, halfway from the largest finite value to 2^16, and above */
    return (guint16) (sign | 0x7c00u);
  if (magnitude < 0x38800000u) /* below 2^-14: a multiple of 2^-24; rintf() rounds ties to even */
    return (guint16) (sign | (guint32) rintf (float_from_bits (magnitude) * 16777216.0f));

  magnitude -= (127u - 15u) << 23;
  return (guint16) (sign | (magnitude + 0xfffu + ((magnitude >> 13) & 1)) >> 13);
}

/* out[i] = expression of `value`, which is element i of `in` read as `type`. */
#define CONVERT_LOOP(type, out_type, expression)                   \
  G_STMT_START                                                     \
  {                                                                \
    const guint8 *bytes = in;                                      \
    out_type *converted = out;                                     \
    for (gsize i = 0; i < count; i++)                              \
      {                                                            \
        type value;                                                \
        memcpy (&value, bytes + i * sizeof (type), sizeof (type)); \
        converted[i] = (expression);                               \
      }                                                            \
  }                                                                \
  G_STMT_END

static void
convert_to_f32 (SwittiDtype in_dtype, const void *in, void *out, gsize count)
{
  switch (in_dtype)
    {
    case SWITTI_DTYPE_F32:
      if (count > 0)
        memcpy (out, in, count * sizeof (float));
      break;
    case SWITTI_DTYPE_BF16:
      CONVERT_LOOP (guint16, float, float_from_bits ((guint32) value << 16));
      break;
    case SWITTI_DTYPE_F16:
      CONVERT_LOOP (guint16, float, float_from_small (value, 5, 10, TRUE));
      break;
    case SWITTI_DTYPE_F8_E4M3:
      CONVERT_LOOP (guint8, float, float_from_small (value, 4, 3, FALSE));
      break;
    case SWITTI_DTYPE_F64:
      CONVERT_LOOP (double, float, (float) value);
      break;
    case SWITTI_DTYPE_I32:
      CONVERT_LOOP (gint32, float, (float) value);
      break;
    case SWITTI_DTYPE_I64:
      CONVERT_LOOP (gint64, float, (float) value);
      break;
    case SWITTI_DTYPE_U8:
      CONVERT_LOOP (guint8, float, (float) value);
      break;
    case SWITTI_DTYPE_BOOL:
      CONVERT_LOOP (guint8, float, value != 0 ? 1.0f : 0.0f);
      break;
    }
}

gboolean
switti_convert_elements (SwittiDtype in_dtype, const void *in, SwittiDtype out_dtype, void *out, gsize count)
{
  if (switti_dtype_size (in_dtype) == 0)
    return FALSE;

  if (out_dtype == SWITTI_DTYPE_F32)
    convert_to_f32 (in_dtype, in, out, count);
  else if (in_dtype == SWITTI_DTYPE_F32 && out_dtype == SWITTI_DTYPE_BF16)
    CONVERT_LOOP (float, guint16, bf16_from_float (value));
  else if (in_dtype == SWITTI_DTYPE_F32 && out_dtype == SWITTI_DTYPE_F16)
    CONVERT_LOOP (float, guint16, f16_from_float (value));
  else
    return FALSE;
  return TRUE;
}
