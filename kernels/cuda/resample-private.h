/* resample-private.h - which inputs an output coordinate reads, and with what weight
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "runtime-private.h"

#include "device-private.h"

#define RESAMPLE_THREADS 256

/* What one output coordinate of an axis reads: `count` inputs from `first` on, the ends clamped. `offset` is how far
 * the sample lies past the first of BILINEAR's two, the second of BICUBIC's four. */
struct Taps
{
  int first, count;
  float offset;
};

struct ResampleShape
{
  int channels, in_height, in_width, out_height, out_width;
};

__device__ __forceinline__ int
clamp_index (int i, int size)
{
  return i < 0 ? 0 : (i >= size ? size - 1 : i);
}

/* Keys' cubic with a = -0.75 at distance t. */
__device__ __forceinline__ float
cubic_weight (float t)
{
  const float a = -0.75f;

  return t <= 1.0f ? ((a + 2.0f) * t - (a + 3.0f)) * t * t + 1.0f
                   : ((a * t - 5.0f * a) * t + 8.0f * a) * t - 4.0f * a;
}

template <int MODE>
__device__ __forceinline__ Taps
find_taps (int i, int in_size, int out_size)
{
  const float source = ((float) i + 0.5f) * ((float) in_size / (float) out_size) - 0.5f;
  const int first = (int) ((int64_t) i * in_size / out_size);

  if (MODE == SWITTI_RESAMPLE_NEAREST)
    return Taps{ first, 1, 0.0f };
  if (MODE == SWITTI_RESAMPLE_BILINEAR)
    {
      const float clamped = source < 0.0f ? 0.0f : source;
      return Taps{ (int) clamped, 2, clamped - (float) (int) clamped };
    }
  if (MODE == SWITTI_RESAMPLE_BICUBIC)
    return Taps{ (int) floorf (source) - 1, 4, source - floorf (source) };
  return Taps{ first, (int) (((int64_t) (i + 1) * in_size + out_size - 1) / out_size) - first, 0.0f };
}

template <int MODE>
__device__ __forceinline__ float
tap_weight (const Taps &taps, int k)
{
  if (MODE == SWITTI_RESAMPLE_BILINEAR)
    return k == 0 ? 1.0f - taps.offset : taps.offset;
  if (MODE == SWITTI_RESAMPLE_BICUBIC)
    return cubic_weight (fabsf (taps.offset - (float) (k - 1)));
  return 1.0f;
}

/* False where the ops have no launch for it. */
static inline bool
resample_is_launchable (const SwittiResample *r)
{
  const int64_t limit = 1 << 20;

  return r->channels <= limit && r->in_height <= limit && r->in_width <= limit && r->out_height <= limit
         && r->out_width <= limit && r->batch <= limit && r->channels * r->out_width <= INT32_MAX / 2
         && r->channels * r->in_width <= INT32_MAX / 2 && r->batch * r->out_height <= INT32_MAX
         && r->batch * r->in_height <= INT32_MAX;
}
