/* resample.cu - enlarging and reducing NHWC maps
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A thread makes four channels of an output pixel, from the rows and columns that it reads, with their weights.
 */
#include "resample-private.h"

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
#pragma unroll 1
  for (int r = 0; r < rows.count; r++)
#pragma unroll 1
    for (int c = 0; c < columns.count; c++)
      {
        const int64_t pixel = (int64_t) clamp_index (rows.first + r, shape.in_height) * shape.in_width
                              + clamp_index (columns.first + c, shape.in_width);
        const float weight = tap_weight<MODE> (rows, r) * tap_weight<MODE> (columns, c);
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
  if (!resample_is_launchable (r))
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
