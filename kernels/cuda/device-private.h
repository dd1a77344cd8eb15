/* device-private.h - elements, sums over warps and blocks, and the functions that several kernels apply
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "portable-private.h"

#include <cmath>

#define FULL_WARP 0xffffffffu
#define WARP_LANES 32

/* -- elements -------------------------------------------------------------------------------------------------- */

struct Bf16
{
  uint16_t bits;
};

__device__ __forceinline__ float
to_float (float value)
{
  return value;
}

__device__ __forceinline__ float
to_float (Bf16 value)
{
  return __uint_as_float ((uint32_t) value.bits << 16);
}

/* Two bf16 in a word, the first in the lower half; rounded to nearest even. */
__device__ __forceinline__ uint32_t
pack_bf16 (float low, float high)
{
#ifdef __CUDA_ARCH__
  uint32_t word;
  asm ("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(word) : "f"(high), "f"(low));
  return word;
#else
  uint32_t halves[2] = { __float_as_uint (low), __float_as_uint (high) };
  for (uint32_t &bits : halves)
    bits = (bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return halves[0] | halves[1] << 16;
#endif
}

__device__ __forceinline__ void
from_float (float value, float *element)
{
  *element = value;
}

__device__ __forceinline__ void
from_float (float value, Bf16 *element)
{
  element->bits = (uint16_t) pack_bf16 (value, 0.0f);
}

/* For products' operands alone. */
struct F16
{
  uint16_t bits;
};

/* IEEE half precision, denormals and NaN included. */
__device__ __forceinline__ float
to_float (F16 value)
{
  const uint32_t sign = (uint32_t) (value.bits & 0x8000u) << 16, magnitude = value.bits & 0x7fffu;
  /* Moved into place, the exponent is 112 too small; the product mends it and makes denormals normal. */
  const float scaled = __uint_as_float (magnitude << 13) * 0x1p112f;
  const uint32_t bits = magnitude >= 0x7c00u ? magnitude << 13 | 0x7f800000u : __float_as_uint (scaled);
  return __uint_as_float (bits | sign);
}

/* Rounded to nearest even; what is too large becomes inf. */
__device__ __forceinline__ void
from_float (float value, F16 *element)
{
  const uint32_t bits = __float_as_uint (value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  /* Denormal halves: adding 0.5 puts the rounded mantissa into the low bits. */
  const uint32_t denormal = __float_as_uint (__uint_as_float (magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  uint32_t half = magnitude < 0x38800000u ? denormal : normal;

  half = magnitude >= 0x47800000u ? 0x7c00u : half;
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  element->bits = (uint16_t) (sign | half);
}

/* Element i of device memory. */
template <typename T>
__device__ __forceinline__ float
load (const T *base, int64_t i)
{
  check_read (base + i, sizeof (T), sizeof (T) == 2 || sizeof (T) == 4 ? sizeof (T) : 0);
  return to_float (base[i]);
}

template <typename T>
__device__ __forceinline__ void
store (T *base, int64_t i, float value)
{
  check_write (base + i, sizeof (T));
  from_float (value, base + i);
}

__device__ __forceinline__ int32_t
load_index (const int32_t *base, int64_t i)
{
  check_read (base + i, 4, 0);
  return base[i];
}

/* Elements that a thread takes at a time. */
#define LANE 4

__device__ __forceinline__ void
load_vector (const float *address, float values[LANE])
{
  check_read (address, 16, 4);
  const float4 v = *reinterpret_cast<const float4 *> (address);
  values[0] = v.x;
  values[1] = v.y;
  values[2] = v.z;
  values[3] = v.w;
}

__device__ __forceinline__ void
load_vector (const Bf16 *address, float values[LANE])
{
  check_read (address, 8, 2);
  const uint2 v = *reinterpret_cast<const uint2 *> (address);
  values[0] = __uint_as_float (v.x << 16);
  values[1] = __uint_as_float (v.x & 0xffff0000u);
  values[2] = __uint_as_float (v.y << 16);
  values[3] = __uint_as_float (v.y & 0xffff0000u);
}

__device__ __forceinline__ void
store_vector (float *address, const float values[LANE])
{
  check_write (address, 16);
  *reinterpret_cast<float4 *> (address) = float4{ values[0], values[1], values[2], values[3] };
}

__device__ __forceinline__ void
store_vector (Bf16 *address, const float values[LANE])
{
  check_write (address, 8);
  *reinterpret_cast<uint2 *> (address) = uint2{ pack_bf16 (values[0], values[1]), pack_bf16 (values[2], values[3]) };
}

__device__ __forceinline__ void
store_vector (F16 *address, const float values[LANE])
{
  F16 halves[LANE];
#pragma unroll
  for (int e = 0; e < LANE; e++)
    from_float (values[e], &halves[e]);
  check_write (address, 8);
  *reinterpret_cast<uint2 *> (address) = uint2{ halves[0].bits | (uint32_t) halves[1].bits << 16,
                                                halves[2].bits | (uint32_t) halves[3].bits << 16 };
}

/* Elements i to i + 3 of a row of `count`; those past its end are 0. One access where VECTOR says that rows are aligned
 * and whole, as is_vector() finds on the host. */
template <bool VECTOR, typename T>
__device__ __forceinline__ void
load_lane (const T *row, int i, int count, float values[LANE])
{
  if constexpr (VECTOR)
    load_vector (row + i, values);
  else
    {
#pragma unroll
      for (int e = 0; e < LANE; e++)
        values[e] = i + e < count ? load (row, i + e) : 0.0f;
    }
}

template <bool VECTOR, typename T>
__device__ __forceinline__ void
store_lane (T *row, int i, int count, const float values[LANE])
{
  if constexpr (VECTOR)
    store_vector (row + i, values);
  else
    {
#pragma unroll
      for (int e = 0; e < LANE; e++)
        if (i + e < count)
          store (row, i + e, values[e]);
    }
}

/* On the host: whether rows of `width` elements, `stride` apart, can be read four at a time. NULL can. */
template <typename T>
inline bool
is_vector (const T *base, int64_t stride, int64_t width)
{
  return reinterpret_cast<uintptr_t> (base) % (LANE * sizeof (T)) == 0 && stride % LANE == 0 && width % LANE == 0;
}

/* -- sums ------------------------------------------------------------------------------------------------------- */

/* Each of a warp's threads gets the sum; the order is that of a tree, always the same. */
template <typename T>
__device__ __forceinline__ T
warp_sum (T value)
{
#pragma unroll
  for (int distance = WARP_LANES / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync (FULL_WARP, value, distance);
  return value;
}

__device__ __forceinline__ float
warp_max (float value)
{
#pragma unroll
  for (int distance = WARP_LANES / 2; distance > 0; distance /= 2)
    value = fmaxf (value, __shfl_xor_sync (FULL_WARP, value, distance));
  return value;
}

/* The same over a block of THREADS. */
template <int THREADS, typename T>
__device__ __forceinline__ T
block_sum (T value)
{
  value = warp_sum (value);
  if (THREADS == WARP_LANES)
    return value;
  SWITTI_SHARED (T, partial, THREADS / WARP_LANES);
  if (threadIdx.x % WARP_LANES == 0)
    partial[threadIdx.x / WARP_LANES] = value;
  __syncthreads ();
  T sum = partial[0];
#pragma unroll
  for (int warp = 1; warp < THREADS / WARP_LANES; warp++)
    sum += partial[warp];
  __syncthreads ();
  return sum;
}

/* Several sums at the price of one's barriers. */
template <int THREADS, int COUNT>
__device__ __forceinline__ void
block_sums (float (&values)[COUNT])
{
#pragma unroll
  for (int i = 0; i < COUNT; i++)
    values[i] = warp_sum (values[i]);
  if (THREADS == WARP_LANES)
    return;
  SWITTI_SHARED (float, partial, COUNT * THREADS / WARP_LANES);
  if (threadIdx.x % WARP_LANES == 0)
    {
#pragma unroll
      for (int i = 0; i < COUNT; i++)
        partial[(int) threadIdx.x / WARP_LANES * COUNT + i] = values[i];
    }
  __syncthreads ();
#pragma unroll
  for (int i = 0; i < COUNT; i++)
    {
      values[i] = partial[i];
      for (int warp = 1; warp < THREADS / WARP_LANES; warp++)
        values[i] += partial[warp * COUNT + i];
    }
  __syncthreads ();
}

template <int THREADS>
__device__ __forceinline__ float
block_max (float value)
{
  value = warp_max (value);
  if (THREADS == WARP_LANES)
    return value;
  SWITTI_SHARED (float, partial, THREADS / WARP_LANES);
  if (threadIdx.x % WARP_LANES == 0)
    partial[threadIdx.x / WARP_LANES] = value;
  __syncthreads ();
  float greatest = partial[0];
#pragma unroll
  for (int warp = 1; warp < THREADS / WARP_LANES; warp++)
    greatest = fmaxf (greatest, partial[warp]);
  __syncthreads ();
  return greatest;
}

/* -- functions --------------------------------------------------------------------------------------------------- */

__device__ __forceinline__ float
silu (float x)
{
  return x / (1.0f + expf (-x));
}
