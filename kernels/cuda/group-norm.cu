/* group-norm.cu - GroupNorm and SiLU in NHWC
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Positions are cut into chunks, whose number depends on the shape of one image alone. A block finds mean and sum of
 * squared deviations of its chunk's groups, in two passes over the chunk, which the cache holds; a warp merges a
 * group's chunks in float64; the last kernel applies factor and offset to each channel.
 *
 * scratch: statistics (batch, chunks, groups, 2), then factor and offset (batch, 2, channels), float32.
 */
#include "runtime-private.h"

#include "device-private.h"

#define GROUP_THREADS 256
#define CHUNK_ELEMENTS 16384
/* Channels of a position and their sums have to fit shared memory. */
#define MAX_CHANNELS 8192

struct GroupShape
{
  int64_t positions;
  int channels, groups;
  int chunk_positions, chunks;
  float eps;
  bool silu;
};

static GroupShape
group_shape (const SwittiGroupNorm *norm)
{
  const int64_t length = norm->channels < CHUNK_ELEMENTS / 16 ? CHUNK_ELEMENTS / norm->channels : 16;

  return GroupShape{ norm->positions, (int) norm->channels, (int) norm->groups, (int) length,
                     (int) blocks_for (norm->positions, length), norm->eps, norm->silu };
}

static size_t
statistics_floats (const SwittiGroupNorm *norm, const GroupShape &shape)
{
  return (size_t) norm->batch * (size_t) shape.chunks * (size_t) shape.groups * 2;
}

static size_t
group_norm_scratch_bytes (SwittiKernelContext *, const SwittiGroupNorm *norm)
{
  if (norm->channels > MAX_CHANNELS)
    return 0;
  return (statistics_floats (norm, group_shape (norm)) + (size_t) (norm->batch * norm->channels) * 2)
         * sizeof (float);
}

/* A block's threads as `slots` rows of `columns`, each column four channels at a time. */
struct Layout
{
  int columns, slots, lanes;
};

__host__ __device__ static inline Layout
layout_of (int channels)
{
  const int lanes = (channels + LANE - 1) / LANE;
  const int columns = lanes < GROUP_THREADS ? lanes : GROUP_THREADS;

  return Layout{ columns, GROUP_THREADS / columns, lanes };
}

/* sums[group] = over the chunk's positions and the group's channels, of x where `means` is not there yet, or of (x -
 * means[group])^2. `partial` holds slots * lanes * LANE floats. */
template <bool VECTOR, bool SQUARES, typename T>
__device__ __forceinline__ void
chunk_sums (const GroupShape &shape, const T *x, int positions, Shared<float> partial, Shared<float> means,
            Shared<float> sums)
{
  const Layout layout = layout_of (shape.channels);
  const int column = (int) threadIdx.x % layout.columns, slot = (int) threadIdx.x / layout.columns;
  const int padded = layout.lanes * LANE, width = shape.channels / shape.groups;

  for (int lane = column; slot < layout.slots && lane < layout.lanes; lane += layout.columns)
    {
      float sum[LANE] = { 0.0f, 0.0f, 0.0f, 0.0f }, mean[LANE] = { 0.0f, 0.0f, 0.0f, 0.0f }, value[LANE];

      for (int e = 0; SQUARES && e < LANE; e++)
        if (lane * LANE + e < shape.channels)
          mean[e] = means[(lane * LANE + e) / width];
      /* Enough loads in flight; more would not fit the registers. */
#pragma unroll 2
      for (int p = slot; p < positions; p += layout.slots)
        {
          load_lane<VECTOR> (x + (int64_t) p * shape.channels, lane * LANE, shape.channels, value);
#pragma unroll
          for (int e = 0; e < LANE; e++)
            sum[e] += SQUARES ? (value[e] - mean[e]) * (value[e] - mean[e]) : value[e];
        }
#pragma unroll
      for (int e = 0; e < LANE; e++)
        partial[slot * padded + lane * LANE + e] = sum[e];
    }
  __syncthreads ();
  for (int group = (int) threadIdx.x; group < shape.groups; group += GROUP_THREADS)
    {
      float sum = 0.0f;

      for (int channel = group * width; channel < (group + 1) * width; channel++)
        for (int s = 0; s < layout.slots; s++)
          sum += partial[s * padded + channel];
      sums[group] = sum;
    }
  __syncthreads ();
}

template <bool VECTOR, typename T>
__global__ void __launch_bounds__ (GROUP_THREADS)
chunk_statistics (GroupShape shape, const T *x, float *statistics)
{
  SWITTI_SHARED_DYNAMIC (float, shared);
  const Layout layout = layout_of (shape.channels);
  Shared<float> partial = shared;
  Shared<float> means = shared + layout.slots * layout.lanes * LANE;
  Shared<float> squares = means + shape.groups;
  const int64_t first = (int64_t) blockIdx.x * shape.chunk_positions, left = shape.positions - first;
  const int positions = left < shape.chunk_positions ? (int) left : shape.chunk_positions;
  const T *chunk = x + ((int64_t) blockIdx.y * shape.positions + first) * shape.channels;
  float *out = statistics + ((int64_t) blockIdx.y * shape.chunks + blockIdx.x) * shape.groups * 2;
  const float count = (float) positions * (float) (shape.channels / shape.groups);

  chunk_sums<VECTOR, false> (shape, chunk, positions, partial, means, means);
  for (int group = (int) threadIdx.x; group < shape.groups; group += GROUP_THREADS)
    means[group] *= 1.0f / count;
  __syncthreads ();
  chunk_sums<VECTOR, true> (shape, chunk, positions, partial, means, squares);
  for (int group = (int) threadIdx.x; group < shape.groups; group += GROUP_THREADS)
    {
      store (out, 2 * group, means[group]);
      store (out, 2 * group + 1, squares[group]);
    }
}

/* A warp has a group: mean = sum n_i mean_i / n, and the squares are those of the chunks and of their means. */
__global__ void __launch_bounds__ (GROUP_THREADS)
merge_chunks (GroupShape shape, const float *statistics, const float *weight, const float *bias, float *factors)
{
  const int group = (int) (blockIdx.x * (GROUP_THREADS / WARP_LANES) + threadIdx.x / WARP_LANES);
  const int lane = (int) threadIdx.x % WARP_LANES, width = shape.channels / shape.groups;
  const float *own = statistics + (int64_t) blockIdx.y * shape.chunks * shape.groups * 2;
  float *factor = factors + (int64_t) blockIdx.y * 2 * shape.channels, *offset = factor + shape.channels;
  double sum = 0.0, squares = 0.0;

  if (group >= shape.groups)
    return;
  const auto positions_of = [&] (int chunk) {
    const int64_t left = shape.positions - (int64_t) chunk * shape.chunk_positions;
    return (double) (left < shape.chunk_positions ? left : shape.chunk_positions);
  };
  for (int chunk = lane; chunk < shape.chunks; chunk += WARP_LANES)
    sum += positions_of (chunk) * (double) load (own, ((int64_t) chunk * shape.groups + group) * 2);
  const double mean = warp_sum (sum) / (double) shape.positions;
  for (int chunk = lane; chunk < shape.chunks; chunk += WARP_LANES)
    {
      const double off = (double) load (own, ((int64_t) chunk * shape.groups + group) * 2) - mean;
      squares += (double) load (own, ((int64_t) chunk * shape.groups + group) * 2 + 1)
                 + off * off * positions_of (chunk) * (double) width;
    }
  const double variance = warp_sum (squares) / ((double) shape.positions * (double) width);
  const double inverse = 1.0 / sqrt (variance + (double) shape.eps);
  for (int j = group * width + lane; j < (group + 1) * width; j += WARP_LANES)
    {
      const double w = (double) load (weight, j) * inverse;
      store (factor, j, (float) w);
      store (offset, j, (float) ((double) load (bias, j) - mean * w));
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
  const Layout layout = layout_of (shape.channels);
  const size_t shared_bytes = (size_t) (layout.slots * layout.lanes * LANE + 2 * shape.groups) * sizeof (float);
  float *factors = scratch + statistics_floats (norm, shape);
  const dim3 grid ((unsigned int) shape.chunks, (unsigned int) norm->batch), block (GROUP_THREADS);
  SwittiKernelStatus status;

  status = SWITTI_LAUNCH (context, (chunk_statistics<VECTOR, X>), grid, block, shared_bytes, shape, x, scratch);
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
  if (norm->channels > MAX_CHANNELS || norm->batch > 65535 || norm->positions > (int64_t) 1 << 40 || scratch == NULL
      || !is_launchable (group_shape (norm).chunks))
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
