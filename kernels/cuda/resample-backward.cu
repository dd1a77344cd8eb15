/* resample-backward.cu - gradients of enlarging and reducing NHWC maps, float32
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A thread makes four channels of an input pixel: it looks through the outputs that may have read it, and adds those
 * that did in their order.
 */
#include "resample-private.h"

/* Outputs [first, end) of an axis may read an input. */
struct Range
{
  int first, end;
};

template <int MODE>
__device__ __forceinline__ Range
find_readers (int input, int in_size, int out_size)
{
  /* How far the taps reach to either side of the sample; its place is rounded, so look one output further. */
  const int reach = MODE == SWITTI_RESAMPLE_BICUBIC ? 2 : MODE == SWITTI_RESAMPLE_BILINEAR ? 1 : 0;
  const int64_t first = (int64_t) (input - reach) * out_size / in_size - 1;
  const int64_t end = ((int64_t) (input + 1 + reach) * out_size + in_size - 1) / in_size + 1;

  return Range{ first < 0 ? 0 : (int) first, end > out_size ? out_size : (int) end };
}

/* What an output's taps of one axis give to an input. */
template <int MODE>
__device__ __forceinline__ float
weight_of (const Taps &taps, int input, int in_size)
{
  if constexpr (MODE == SWITTI_RESAMPLE_AREA)
    return input >= taps.first && input < taps.first + taps.count ? 1.0f / (float) taps.count : 0.0f;
  else
    {
      float weight = 0.0f;

      for (int k = 0; k < taps.count; k++)
        weight += clamp_index (taps.first + k, in_size) == input ? tap_weight<MODE> (taps, k) : 0.0f;
      return weight;
    }
}

template <int MODE, bool VECTOR>
__global__ void __launch_bounds__ (RESAMPLE_THREADS)
gather_gradients (ResampleShape shape, int blocks_per_row, const float *d_out, float *d_in)
{
  const int64_t row = blockIdx.x / (unsigned int) blocks_per_row, image = row / shape.in_height;
  const int lanes = (shape.channels + LANE - 1) / LANE, y = (int) (row % shape.in_height);
  const int i = (int) (blockIdx.x % (unsigned int) blocks_per_row) * RESAMPLE_THREADS + (int) threadIdx.x;
  const int x = i / lanes, j = i % lanes * LANE;
  const float *map = d_out + image * shape.out_height * shape.out_width * shape.channels;
  float sum[LANE] = { 0.0f, 0.0f, 0.0f, 0.0f }, value[LANE];

  if (x >= shape.in_width)
    return;
  const Range rows = find_readers<MODE> (y, shape.in_height, shape.out_height);
  const Range columns = find_readers<MODE> (x, shape.in_width, shape.out_width);
#pragma unroll 1
  for (int r = rows.first; r < rows.end; r++)
    {
      const float row_weight
          = weight_of<MODE> (find_taps<MODE> (r, shape.in_height, shape.out_height), y, shape.in_height);

      if (row_weight == 0.0f)
        continue;
#pragma unroll 1
      for (int c = columns.first; c < columns.end; c++)
        {
          const float weight
              = row_weight
                * weight_of<MODE> (find_taps<MODE> (c, shape.in_width, shape.out_width), x, shape.in_width);

          if (weight == 0.0f)
            continue;
          load_lane<VECTOR> (map + ((int64_t) r * shape.out_width + c) * shape.channels, j, shape.channels, value);
#pragma unroll
          for (int e = 0; e < LANE; e++)
            sum[e] += weight * value[e];
        }
    }
  store_lane<VECTOR> (d_in + (row * shape.in_width + x) * shape.channels, j, shape.channels, sum);
}

template <int MODE>
static SwittiKernelStatus
run_backward (SwittiKernelContext *context, const SwittiResample *r, const float *d_out, float *d_in)
{
  const ResampleShape shape = { (int) r->channels, (int) r->in_height, (int) r->in_width, (int) r->out_height,
                                (int) r->out_width };
  const int64_t blocks_per_row = blocks_for (blocks_for (r->channels, LANE) * r->in_width, RESAMPLE_THREADS);
  const int64_t blocks = r->batch * r->in_height * blocks_per_row;

  if (!is_launchable (blocks))
    return SWITTI_KERNEL_INVALID;
  const dim3 grid ((unsigned int) blocks), block (RESAMPLE_THREADS);
  if (is_vector (d_out, 0, r->channels) && is_vector (d_in, 0, r->channels))
    return SWITTI_LAUNCH (context, (gather_gradients<MODE, true>), grid, block, 0, shape, (int) blocks_per_row, d_out,
                          d_in);
  return SWITTI_LAUNCH (context, (gather_gradients<MODE, false>), grid, block, 0, shape, (int) blocks_per_row, d_out,
                        d_in);
}

static SwittiKernelStatus
resample_backward (SwittiKernelContext *context, const SwittiResample *r, const float *d_out, float *d_in)
{
  if (!resample_is_launchable (r))
    return SWITTI_KERNEL_INVALID;
  switch (r->mode)
    {
    case SWITTI_RESAMPLE_NEAREST: return run_backward<SWITTI_RESAMPLE_NEAREST> (context, r, d_out, d_in);
    case SWITTI_RESAMPLE_BILINEAR: return run_backward<SWITTI_RESAMPLE_BILINEAR> (context, r, d_out, d_in);
    case SWITTI_RESAMPLE_BICUBIC: return run_backward<SWITTI_RESAMPLE_BICUBIC> (context, r, d_out, d_in);
    case SWITTI_RESAMPLE_AREA: return run_backward<SWITTI_RESAMPLE_AREA> (context, r, d_out, d_in);
    }
  return SWITTI_KERNEL_INVALID;
}

void
switti_cuda_resample_backward_fill (SwittiKernels *ops)
{
  ops->resample_backward = resample_backward;
}
