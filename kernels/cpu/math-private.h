/* math-private.h - exponential, logarithm and 16-bit floats, free of branches so that loops over them vectorise
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The polynomials are minimax fits of relative error, found by Remez exchange in 50-digit arithmetic.
 */
#pragma once

#include "cpu-private.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* Everything here is small and called in inner loops: inlining is what lets `omp simd` see through it. */
#define SWITTI_INLINE static inline __attribute__ ((always_inline))

SWITTI_INLINE float
switti_float_from_bits (uint32_t bits)
{
  float value;
  memcpy (&value, &bits, sizeof value);
  return value;
}

SWITTI_INLINE uint32_t
switti_bits_from_float (float value)
{
  uint32_t bits;
  memcpy (&bits, &value, sizeof bits);
  return bits;
}

/* Elements below which waking the other threads costs more than they save. */
#define SWITTI_SERIAL_ELEMENTS 16384

/* condition ? a : b, by a mask: what follows a branch to a constant would be compiled twice, once for the constant. */
SWITTI_INLINE float
switti_select (bool condition, float a, float b)
{
  const uint32_t mask = -(uint32_t) condition;
  return switti_float_from_bits ((switti_bits_from_float (a) & mask) | (switti_bits_from_float (b) & ~mask));
}

/* e^x to 1.2e-7 relative where it is a normal number; 0 below -87.7, e^88 above 88, NaN for NaN. */
SWITTI_INLINE float
switti_exp (float x)
{
  /* Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum. */
  const float shifter = 0x1.8p23f;
  const float floored = switti_select (x < -88.0f, -88.0f, x);
  const float clamped = switti_select (x > 88.0f, 88.0f, floored);
  const float shifted = clamped * 0x1.715476p+0f + shifter;
  const float n = shifted - shifter;
  /* ln 2 in two parts, so that n * ln 2 loses nothing with or without fused operations. */
  const float r = (clamped - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
  float p = 1.3814594e-3f;
  p = p * r + 8.368717e-3f;
  p = p * r + 4.16683881e-2f;
  p = p * r + 1.66665206e-1f;
  p = p * r + 4.99999934e-1f;
  p = (p * r) * r + r;
  p = p + 1.0f;
  /* n = -127 makes the factor 2^n a 0. */
  const uint32_t exponent = switti_bits_from_float (shifted) - switti_bits_from_float (shifter) + 127u;
  return p * switti_float_from_bits (exponent << 23);
}

/* log (1 + f) + e * ln 2 for f in [sqrt 1/2 - 1, sqrt 2 - 1]; exact in its leading term, so small f keep their relative
 * accuracy where e is 0. */
SWITTI_INLINE float
switti_log_of_parts (float f, float e)
{
  float p = 6.7466634e-2f;
  p = p * f - 1.16756402e-1f;
  p = p * f + 1.18881451e-1f;
  p = p * f - 1.24055896e-1f;
  p = p * f + 1.42195549e-1f;
  p = p * f - 1.66679959e-1f;
  p = p * f + 2.00021185e-1f;
  p = p * f - 2.50000096e-1f;
  p = p * f + 3.33333126e-1f;
  p = p * f - 0.5f;
  p = (p * f) * f + e * 0x1.7f7d1cp-20f;
  return (p + f) + e * 0x1.62e4p-1f;
}

/* log x for positive finite x, denormals too, to 2e-7 relative. 0 gives a large negative number, not -inf. */
SWITTI_INLINE float
switti_log (float x)
{
  const bool tiny = x < 0x1p-126f;
  const uint32_t bits = switti_bits_from_float (tiny ? x * 0x1p23f : x);
  /* Offset by the bits of sqrt 1/2: the exponent field then counts from the mantissa range [sqrt 1/2, sqrt 2). */
  const uint32_t offset = bits - 0x3f3504f3u;
  const int32_t exponent = (int32_t) offset >> 23;
  const float mantissa = switti_float_from_bits ((offset & 0x7fffffu) + 0x3f3504f3u);
  return switti_log_of_parts (mantissa - 1.0f, (float) exponent - (tiny ? 23.0f : 0.0f));
}

SWITTI_INLINE float
switti_silu (float x)
{
  return x / (1.0f + switti_exp (-x));
}

/* IEEE half precision, denormals and NaN included. */
SWITTI_INLINE float
switti_f16_to_f32 (uint16_t half)
{
  const uint32_t sign = (uint32_t) (half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  /* Moved into place, the exponent is 112 too small; the product mends it and makes denormals normal. */
  const float scaled = switti_float_from_bits (magnitude << 13) * 0x1p112f;
  const uint32_t bits = magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : switti_bits_from_float (scaled);
  return switti_float_from_bits (bits | sign);
}

/* Round to nearest, ties to even; what is too large becomes inf. */
SWITTI_INLINE uint16_t
switti_f32_to_f16 (float value)
{
  const uint32_t bits = switti_bits_from_float (value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  /* Denormal halves: adding 0.5 puts the rounded mantissa into the low bits. */
  const uint32_t denormal = switti_bits_from_float (switti_float_from_bits (magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  uint32_t half = magnitude < 0x38800000u ? denormal : normal;
  half = magnitude >= 0x47800000u ? 0x7c00u : half;
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  return (uint16_t) (sign | half);
}

/* Element i of an array of F32 or BF16. `dtype` is a constant where this is called, so the branch goes. */
SWITTI_INLINE float
switti_load (SwittiDtype dtype, const void *base, int64_t i)
{
  return dtype == SWITTI_DTYPE_F32 ? ((const float *) base)[i] : switti_bf16_to_f32 (((const uint16_t *) base)[i]);
}

SWITTI_INLINE void
switti_store (SwittiDtype dtype, void *base, int64_t i, float value)
{
  if (dtype == SWITTI_DTYPE_F32)
    ((float *) base)[i] = value;
  else
    ((uint16_t *) base)[i] = switti_f32_to_bf16 (value);
}

/* The address of element i, NULL staying NULL. */
SWITTI_INLINE const void *
switti_at (SwittiDtype dtype, const void *base, int64_t i)
{
  return base == NULL ? NULL : (const char *) base + i * (int64_t) switti_dtype_size (dtype);
}

SWITTI_INLINE void *
switti_at_mutable (SwittiDtype dtype, void *base, int64_t i)
{
  return base == NULL ? NULL : (char *) base + i * (int64_t) switti_dtype_size (dtype);
}

SWITTI_INLINE bool
switti_is_activation_dtype (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16;
}
