/* resample.cu - enlarging and reducing NHWC maps
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A thread makes four channels of an output pixel, from the rows and columns that it reads, with their weights.
 */
#include "runtime-private.h"

#include "device-private.h"

#define RESAMPLE_THREADS 256

/* What one output coordinate of an axis reads: `count` inputs from `first` on, the ends clamped, with weight[i]; AREA
 * weighs all alike and has no weights. */
struct Taps
{
  int first, count;
  float weight[4];
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
  Taps taps = { 0, 1, { 1.0f, 0.0f, 0.0f, 0.0f } };

  if (MODE == SWITTI_RESAMPLE_NEAREST)
    taps.first = (int) ((int64_t) i * in_size / out_size);
  else if (MODE == SWITTI_RESAMPLE_BILINEAR)
    {
      const float clamped = source < 0.0f ? 0.0f : source;
      taps.first = (int) clamped;
      taps.count = 2;
      taps.weight[1] = clamped - (float) taps.first;
      taps.weight[0] = 1.0f - taps.weight[1];
    }
  else if (MODE == SWITTI_RESAMPLE_BICUBIC)
    {
      const float base = floorf (source);
      taps.first = (int) base - 1;
      taps.count = 4;
#pragma unroll
      for (int k = 0; k < 4; k++)
        taps.weight[k] = cubic_weight (fabsf (source - base - (float) (k - 1)));
    }
  else
    {
      taps.first = (int) ((int64_t) i * in_size / out_size);
      taps.count = (int) (((int64_t) (i + 1) * in_size + out_size - 1) / out_size) - taps.first;
    }
  return taps;
}

/* Compile-time counts where there are weights, so that they stay in registers. */
template <int MODE>
__device__ __forceinline__ int
tap_count (const Taps &taps)
{
  return MODE == SWITTI_RESAMPLE_NEAREST    ? 1
         : MODE == SWITTI_RESAMPLE_BILINEAR ? 2
         : MODE == SWITTI_RESAMPLE_BICUBIC  ? 4
                                            : taps.count;
}

template <int MODE, bool VECTOR, typename T>
__global__ void __launch_bounds__ (RESAMPLE_THREADS)
resample_rows (ResampleShape shape, int blocks_per_row, const T *in, T *out)
{
  const int64_t row = blockIdx.x / (unsigned int) blocks_per_row, image = row / shape.out_height;
  const int lanes = (shape.channels + LANE - 1) / LANE;
  const int i = (int) (blockIdx.x % (unsigned int) blocks_per_row) * RESAMPLE_THREADS + (int) threadIdx.x;
  const int x = i / lanes, j = i % lanes * LANE;
  const T *map = in + image * shape.in_height * shape.in_width * shape.channels;
  float sum[LANE] = { 0.0f, 0.0f, 0.0f, 0.0f }, value[LANE];

  if (x >= shape.out_width)
    return;
  const Taps rows = find_taps<MODE> ((int) (row % shape.out_height), shape.in_height, shape.out_height);
  const Taps columns = find_taps<MODE> (x, shape.in_width, shape.out_width);
#pragma unroll
  for (int r = 0; r < tap_count<MODE> (rows); r++)
#pragma unroll
    for (int c = 0; c < tap_count<MODE> (columns); c++)
      {
        const int64_t pixel = (int64_t) clamp_index (rows.first + r, shape.in_height) * shape.in_width
                              + clamp_index (columns.first + c, shape.in_width);
        const float weight = MODE == SWITTI_RESAMPLE_AREA ? 1.0f : rows.weight[r & 3] * columns.weight[c & 3];
        load_lane<VECTOR> (map + pixel * shape.channels, j, shape.channels, value);
#pragma unroll
        for (int e = 0; e < LANE; e++)
          sum[e] += weight * value[e];
      }
  if (MODE == SWITTI_RESAMPLE_AREA)
    for (int e = 0; e < LANE; e++)
      sum[e] /= (float) (rows.count * columns.count);
  store_lane<VECTOR> (out + (row * shape.out_width + x) * shape.channels, j, shape.channels, sum);
}

template <int MODE, typename T>
static SwittiKernelStatus
run_resample (SwittiKernelContext *context, const SwittiResample *r, const void *in, void *out)
{
  const ResampleShape shape = { (int) r->channels, (int) r->in_height, (int) r->in_width, (int) r->out_height,
                                (int) r->out_width };
  const T *from = static_cast<const T *> (in);
  T *to = static_cast<T *> (out);
  const int64_t blocks_per_row = blocks_for (blocks_for (r->channels, LANE) * r->out_width, RESAMPLE_THREADS);
  const int64_t blocks = r->batch * r->out_height * blocks_per_row;

  if (!is_launchable (blocks))
    return SWITTI_KERNEL_INVALID;
  const dim3 grid ((unsigned int) blocks), block (RESAMPLE_THREADS);
  if (is_vector (from, 0, r->channels) && is_vector (to, 0, r->channels))
    return SWITTI_LAUNCH (context, (resample_rows<MODE, true, T>), grid, block, 0, shape, (int) blocks_per_row, from,
                          to);
  return SWITTI_LAUNCH (context, (resample_rows<MODE, false, T>), grid, block, 0, shape, (int) blocks_per_row, from,
                        to);
}

static SwittiKernelStatus
resample (SwittiKernelContext *context, const SwittiResample *r, const void *in, void *out)
{
  const int64_t limit = 1 << 20;

  if (r->channels > limit || r->in_height > limit || r->in_width > limit || r->out_height > limit
      || r->out_width > limit || r->batch > limit || r->channels * r->out_width > INT32_MAX / 2
      || r->batch * r->out_height > INT32_MAX)
    return SWITTI_KERNEL_INVALID;
  if (r->dtype == SWITTI_DTYPE_BF16)
    return r->mode == SWITTI_RESAMPLE_NEAREST ? run_resample<SWITTI_RESAMPLE_NEAREST, Bf16> (context, r, in, out)
                                              : SWITTI_KERNEL_INVALID;
  switch (r->mode)
    {
    case SWITTI_RESAMPLE_NEAREST: return run_resample<SWITTI_RESAMPLE_NEAREST, float> (context, r, in, out);
    case SWITTI_RESAMPLE_BILINEAR: return run_resample<SWITTI_RESAMPLE_BILINEAR, float> (context, r, in, out);
    case SWITTI_RESAMPLE_BICUBIC: return run_resample<SWITTI_RESAMPLE_BICUBIC, float> (context, r, in, out);
    case SWITTI_RESAMPLE_AREA: return run_resample<SWITTI_RESAMPLE_AREA, float> (context, r, in, out);
    }
  return SWITTI_KERNEL_INVALID;
}

void
switti_cuda_resample_fill (SwittiKernels *ops)
{
  ops->resample = resample;
}
