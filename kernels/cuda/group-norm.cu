/* group-norm.cu - GroupNorm and SiLU in NHWC
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * After the statistics (group-norm-private.h) a kernel applies factor and offset to each channel.
 *
 * scratch: statistics (batch, chunks, groups, 2), then factor and offset (batch, 2, channels), float32.
 */
#include "group-norm-private.h"

static size_t
group_norm_scratch_bytes (SwittiKernelContext *, const SwittiGroupNorm *norm)
{
  if (norm->channels > MAX_CHANNELS)
    return 0;
  return (statistics_floats (norm, group_shape (norm)) + (size_t) (norm->batch * norm->channels) * 2)
         * sizeof (float);
}

/* A warp has a group. */
__global__ void __launch_bounds__ (GROUP_THREADS)
merge_chunks (GroupShape shape, const float *statistics, const float *weight, const float *bias, float *factors)
{
  const int group = (int) (blockIdx.x * (GROUP_THREADS / WARP_LANES) + threadIdx.x / WARP_LANES);
  const int lane = (int) threadIdx.x % WARP_LANES, width = shape.channels / shape.groups;
  float *factor = factors + (int64_t) blockIdx.y * 2 * shape.channels, *offset = factor + shape.channels;

  if (group >= shape.groups)
    return;
  const Moments moments
      = merge_moments (shape, statistics + (int64_t) blockIdx.y * shape.chunks * shape.groups * 2, group);
  const double inverse = 1.0 / sqrt (moments.variance + (double) shape.eps);
  for (int j = group * width + lane; j < (group + 1) * width; j += WARP_LANES)
    {
      const double w = (double) load (weight, j) * inverse;
      store (factor, j, (float) w);
      store (offset, j, (float) ((double) load (bias, j) - moments.mean * w));
    }
}

template <bool VECTOR, typename X, typename Y>
__global__ void __launch_bounds__ (GROUP_THREADS)
apply_factors (GroupShape shape, const X *x, const float *factors, Y *y)
{
  const int lanes = (shape.channels + LANE - 1) / LANE;
  const int64_t first = (int64_t) blockIdx.x * shape.chunk_positions, left = shape.positions - first;
  const int positions = left < shape.chunk_positions ? (int) left : shape.chunk_positions;
  const int64_t start = ((int64_t) blockIdx.y * shape.positions + first) * shape.channels;
  const float *factor = factors + (int64_t) blockIdx.y * 2 * shape.channels, *offset = factor + shape.channels;

  for (int i = (int) threadIdx.x; i < positions * lanes; i += GROUP_THREADS)
    {
      const int j = i % lanes * LANE;
      const int64_t row = start + (int64_t) (i / lanes) * shape.channels;
      float value[LANE], a[LANE], b[LANE];

      load_lane<VECTOR> (x + row, j, shape.channels, value);
      load_lane<VECTOR> (factor, j, shape.channels, a);
      load_lane<VECTOR> (offset, j, shape.channels, b);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        {
          value[e] = value[e] * a[e] + b[e];
          value[e] = shape.silu ? silu (value[e]) : value[e];
        }
      store_lane<VECTOR> (y + row, j, shape.channels, value);
    }
}

template <bool VECTOR, typename X, typename Y>
static SwittiKernelStatus
run_group_norm (SwittiKernelContext *context, const SwittiGroupNorm *norm, const X *x, const float *weight,
                const float *bias, float *scratch, Y *y)
{
  const GroupShape shape = group_shape (norm);
  float *factors = scratch + statistics_floats (norm, shape);
  const dim3 grid ((unsigned int) shape.chunks, (unsigned int) norm->batch), block (GROUP_THREADS);
  SwittiKernelStatus status;

  status = SWITTI_LAUNCH (context, (chunk_statistics<VECTOR, X>), grid, block,
                          statistics_shared_bytes (shape), shape, x, scratch);
  if (status == SWITTI_KERNEL_OK)
    status = SWITTI_LAUNCH (context, merge_chunks,
                            dim3 ((unsigned int) blocks_for (shape.groups, GROUP_THREADS / WARP_LANES),
                                  (unsigned int) norm->batch),
                            block, 0, shape, scratch, weight, bias, factors);
  if (status == SWITTI_KERNEL_OK)
    status = SWITTI_LAUNCH (context, (apply_factors<VECTOR, X, Y>), grid, block, 0, shape, x, factors, y);
  return status;
}

template <typename X, typename Y>
static SwittiKernelStatus
group_norm_of (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x, const float *weight,
               const float *bias, void *scratch, void *y)
{
  const X *in = static_cast<const X *> (x);
  Y *out = static_cast<Y *> (y);
  float *floats = static_cast<float *> (scratch);

  if (is_vector (in, 0, norm->channels) && is_vector (out, 0, norm->channels) && is_vector (floats, 0, norm->channels)
      && statistics_floats (norm, group_shape (norm)) % LANE == 0)
    return run_group_norm<true> (context, norm, in, weight, bias, floats, out);
  return run_group_norm<false> (context, norm, in, weight, bias, floats, out);
}

static SwittiKernelStatus
group_norm (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x, const float *weight,
            const float *bias, void *scratch, void *y)
{
  if (!group_norm_is_launchable (norm) || scratch == NULL)
    return SWITTI_KERNEL_INVALID;
  switch ((norm->x_dtype == SWITTI_DTYPE_BF16) * 2 + (norm->y_dtype == SWITTI_DTYPE_BF16))
    {
    case 0: return group_norm_of<float, float> (context, norm, x, weight, bias, scratch, y);
    case 1: return group_norm_of<float, Bf16> (context, norm, x, weight, bias, scratch, y);
    case 2: return group_norm_of<Bf16, float> (context, norm, x, weight, bias, scratch, y);
    default: return group_norm_of<Bf16, Bf16> (context, norm, x, weight, bias, scratch, y);
    }
}

void
switti_cuda_group_norm_fill (SwittiKernels *ops)
{
  ops->group_norm_scratch_bytes = group_norm_scratch_bytes;
  ops->group_norm = group_norm;
}
