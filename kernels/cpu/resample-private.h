/* resample-private.h - which inputs an output coordinate reads, and with what weight
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every mode is a weighted sum of `count` input rows, and in each of them of `count` pixels; the weights of one axis
 * are worked out for each output coordinate.
 */
#pragma once

#include "math-private.h"

/* The inputs that one output coordinate of one axis reads. AREA reads `count` from `first` on, with equal weights. */
typedef struct
{
  int64_t first;
  int64_t count;
  int64_t index[4];
  float weight[4];
} Taps;

static inline int64_t
clamp_index (int64_t i, int64_t size)
{
  return i < 0 ? 0 : (i >= size ? size - 1 : i);
}

/* Keys' cubic with a = -0.75, for a sample `offset` in [0, 1) past the second tap. */
static inline void
cubic_weights (float offset, float weight[4])
{
  const float a = -0.75f;
  for (int i = 0; i < 4; i++)
    {
      const float t = fabsf (offset - (float) (i - 1));
      weight[i] = t <= 1.0f ? ((a + 2.0f) * t - (a + 3.0f)) * t * t + 1.0f
                            : ((a * t - 5.0f * a) * t + 8.0f * a) * t - 4.0f * a;
    }
}

static inline void
find_taps (SwittiResampleMode mode, int64_t i, int64_t in_size, int64_t out_size, Taps *taps)
{
  const float source = ((float) i + 0.5f) * ((float) in_size / (float) out_size) - 0.5f;
  int64_t base;
  float offset;

  *taps = (Taps){ 0 };
  switch (mode)
    {
    case SWITTI_RESAMPLE_NEAREST:
      taps->count = 1;
      taps->index[0] = i * in_size / out_size;
      taps->weight[0] = 1.0f;
      break;
    case SWITTI_RESAMPLE_BILINEAR:
      offset = source < 0.0f ? 0.0f : source;
      base = (int64_t) offset;
      offset -= (float) base;
      taps->count = 2;
      taps->index[0] = clamp_index (base, in_size);
      taps->index[1] = clamp_index (base + 1, in_size);
      taps->weight[0] = 1.0f - offset;
      taps->weight[1] = offset;
      break;
    case SWITTI_RESAMPLE_BICUBIC:
      base = (int64_t) floorf (source);
      taps->count = 4;
      for (int k = 0; k < 4; k++)
        taps->index[k] = clamp_index (base + k - 1, in_size);
      cubic_weights (source - (float) base, taps->weight);
      break;
    case SWITTI_RESAMPLE_AREA:
      taps->first = i * in_size / out_size;
      taps->count = ((i + 1) * in_size + out_size - 1) / out_size - taps->first;
      break;
    }
}
