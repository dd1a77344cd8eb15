/* group-norm-backward.cu - gradients of GroupNorm and SiLU in NHWC
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * With n = (x - mean) / deviation, z = n weight + bias and u = dy SiLU' (z) weight:
 *   dx = (u - mean u - n mean (u n)) / deviation,  d_weight = sum of dy SiLU' n,  d_bias = sum of dy SiLU'.
 * After the statistics (group-norm-private.h) blocks sum the gradients of each channel over their chunk; these are
 * added in order, over an image's chunks for the means and over all for the parameters.
 *
 * scratch: statistics (batch, chunks, groups, 2), sums (batch, chunks, 2, C), vectors (batch, 4, C), float32.
 */
#include "group-norm-private.h"

#include "activation-private.h"

/* Threads that share a channel's chunks. */
#define PARAMETER_SLOTS 32

/* Vectors over the channels of one image. */
enum
{
  MEAN,
  INVERSE, /* 1 / deviation */
  MEAN_U,
  MEAN_U_N,
  N_VECTORS
};

static size_t
sums_floats (const SwittiGroupNorm *norm, const GroupShape &shape)
{
  return (size_t) norm->batch * (size_t) shape.chunks * (size_t) shape.channels * 2;
}

static size_t
group_norm_backward_scratch_bytes (SwittiKernelContext *, const SwittiGroupNorm *norm)
{
  if (!group_norm_is_launchable (norm))
    return 0;
  const GroupShape shape = group_shape (norm);
  return (statistics_floats (norm, shape) + sums_floats (norm, shape)
          + (size_t) (norm->batch * norm->channels) * N_VECTORS)
         * sizeof (float);
}

/* A warp has a group. */
__global__ void __launch_bounds__ (GROUP_THREADS)
spread_moments (GroupShape shape, const float *statistics, float *vectors)
{
  const int group = (int) (blockIdx.x * (GROUP_THREADS / WARP_LANES) + threadIdx.x / WARP_LANES);
  const int lane = (int) threadIdx.x % WARP_LANES, width = shape.channels / shape.groups;
  float *mean = vectors + (int64_t) blockIdx.y * N_VECTORS * shape.channels, *inverse = mean + shape.channels;

  if (group >= shape.groups)
    return;
  const Moments moments
      = merge_moments (shape, statistics + (int64_t) blockIdx.y * shape.chunks * shape.groups * 2, group);
  const double root = 1.0 / sqrt (moments.variance + (double) shape.eps);
  for (int j = group * width + lane; j < (group + 1) * width; j += WARP_LANES)
    {
      store (mean, j, (float) moments.mean);
      store (inverse, j, (float) root);
    }
}

/* What four channels of a position need. */
struct Channels
{
  float mean[LANE], inverse[LANE], weight[LANE], bias[LANE];
};

template <bool VECTOR>
__device__ __forceinline__ void
load_channels (const GroupShape &shape, const float *vectors, const float *weight, const float *bias, int j,
               Channels *channels)
{
  load_lane<VECTOR> (vectors + MEAN * shape.channels, j, shape.channels, channels->mean);
  load_lane<VECTOR> (vectors + INVERSE * shape.channels, j, shape.channels, channels->inverse);
  load_lane<VECTOR> (weight, j, shape.channels, channels->weight);
  load_lane<VECTOR> (bias, j, shape.channels, channels->bias);
}

/* n, and in place of dy what it is before the SiLU. */
__device__ __forceinline__ void
normalize (const GroupShape &shape, const Channels &channels, const float x[LANE], float n[LANE], float dy[LANE])
{
#pragma unroll
  for (int e = 0; e < LANE; e++)
    {
      n[e] = (x[e] - channels.mean[e]) * channels.inverse[e];
      if (shape.silu)
        dy[e] *= activation_slope (SWITTI_ACTIVATION_SILU, n[e] * channels.weight[e] + channels.bias[e]);
    }
}

/* sums: of a chunk's gradients and of gradients times n, for each channel. */
template <bool VECTOR, typename T>
__global__ void __launch_bounds__ (GROUP_THREADS)
chunk_gradients (GroupShape shape, const T *x, const float *weight, const float *bias, const T *dy,
                 const float *vectors, float *sums)
{
  SWITTI_SHARED (float, partial, 2 * GROUP_THREADS * LANE);
  const Layout layout = layout_of (shape.channels);
  const int column = (int) threadIdx.x % layout.columns, slot = (int) threadIdx.x / layout.columns;
  const int64_t first = (int64_t) blockIdx.x * shape.chunk_positions, left = shape.positions - first;
  const int positions = left < shape.chunk_positions ? (int) left : shape.chunk_positions;
  const int64_t start = ((int64_t) blockIdx.y * shape.positions + first) * shape.channels;
  const int half = layout.slots * layout.columns * LANE;

  vectors += (int64_t) blockIdx.y * N_VECTORS * shape.channels;
  sums += ((int64_t) blockIdx.y * shape.chunks + blockIdx.x) * 2 * shape.channels;
  for (int lane = column; slot < layout.slots && lane < layout.lanes; lane += layout.columns)
    {
      float sum[2][LANE] = {}, value[LANE], n[LANE], gradient[LANE];
      Channels channels;

      load_channels<VECTOR> (shape, vectors, weight, bias, lane * LANE, &channels);
      for (int p = slot; p < positions; p += layout.slots)
        {
          load_lane<VECTOR> (x + start + (int64_t) p * shape.channels, lane * LANE, shape.channels, value);
          load_lane<VECTOR> (dy + start + (int64_t) p * shape.channels, lane * LANE, shape.channels, gradient);
          normalize (shape, channels, value, n, gradient);
#pragma unroll
          for (int e = 0; e < LANE; e++)
            {
              sum[0][e] += gradient[e];
              sum[1][e] += gradient[e] * n[e];
            }
        }
      if (layout.slots == 1)
        {
          store_lane<VECTOR> (sums, lane * LANE, shape.channels, sum[0]);
          store_lane<VECTOR> (sums + shape.channels, lane * LANE, shape.channels, sum[1]);
          continue;
        }
#pragma unroll
      for (int e = 0; e < LANE; e++)
        for (int which = 0; which < 2; which++)
          partial[which * half + (slot * layout.columns + column) * LANE + e] = sum[which][e];
    }
  if (layout.slots == 1)
    return;
  __syncthreads ();
  for (int i = (int) threadIdx.x; i < 2 * shape.channels; i += GROUP_THREADS)
    {
      const int from = i / shape.channels * half + i % shape.channels;
      float sum = 0.0f;

      for (int s = 0; s < layout.slots; s++)
        sum += partial[from + s * layout.columns * LANE];
      store (sums, i, sum);
    }
}

/* A warp has a group: the means of u and u n over it. */
__global__ void __launch_bounds__ (GROUP_THREADS)
merge_gradients (GroupShape shape, const float *weight, const float *sums, float *vectors)
{
  const int group = (int) (blockIdx.x * (GROUP_THREADS / WARP_LANES) + threadIdx.x / WARP_LANES);
  const int lane = (int) threadIdx.x % WARP_LANES, width = shape.channels / shape.groups;
  const double count = (double) shape.positions * (double) width;
  double u = 0.0, u_n = 0.0;

  if (group >= shape.groups)
    return;
  vectors += (int64_t) blockIdx.y * N_VECTORS * shape.channels;
  sums += (int64_t) blockIdx.y * shape.chunks * 2 * shape.channels;
  for (int64_t i = lane; i < (int64_t) shape.chunks * width; i += WARP_LANES)
    {
      const int j = group * width + (int) (i % width);
      const int64_t chunk = i / width * 2 * shape.channels;
      const double w = (double) load (weight, j);

      u += w * (double) load (sums, chunk + j);
      u_n += w * (double) load (sums, chunk + shape.channels + j);
    }
  u = warp_sum (u) / count;
  u_n = warp_sum (u_n) / count;
  for (int j = group * width + lane; j < (group + 1) * width; j += WARP_LANES)
    {
      store (vectors, MEAN_U * shape.channels + j, (float) u);
      store (vectors, MEAN_U_N * shape.channels + j, (float) u_n);
    }
}

template <bool VECTOR, typename T>
__global__ void __launch_bounds__ (GROUP_THREADS)
store_gradients (GroupShape shape, const T *x, const float *weight, const float *bias, const T *dy,
                 const float *vectors, T *dx)
{
  const int lanes = (shape.channels + LANE - 1) / LANE;
  const int64_t first = (int64_t) blockIdx.x * shape.chunk_positions, left = shape.positions - first;
  const int positions = left < shape.chunk_positions ? (int) left : shape.chunk_positions;
  const int64_t start = ((int64_t) blockIdx.y * shape.positions + first) * shape.channels;

  vectors += (int64_t) blockIdx.y * N_VECTORS * shape.channels;
  for (int i = (int) threadIdx.x; i < positions * lanes; i += GROUP_THREADS)
    {
      const int j = i % lanes * LANE;
      const int64_t row = start + (int64_t) (i / lanes) * shape.channels;
      float value[LANE], n[LANE], u[LANE], mean_u[LANE], mean_u_n[LANE];
      Channels channels;

      load_channels<VECTOR> (shape, vectors, weight, bias, j, &channels);
      load_lane<VECTOR> (vectors + MEAN_U * shape.channels, j, shape.channels, mean_u);
      load_lane<VECTOR> (vectors + MEAN_U_N * shape.channels, j, shape.channels, mean_u_n);
      load_lane<VECTOR> (x + row, j, shape.channels, value);
      load_lane<VECTOR> (dy + row, j, shape.channels, u);
      normalize (shape, channels, value, n, u);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        value[e] = (u[e] * channels.weight[e] - mean_u[e] - n[e] * mean_u_n[e]) * channels.inverse[e];
      store_lane<VECTOR> (dx + row, j, shape.channels, value);
    }
}

/* A block has 32 channels; its threads share the chunks of all images. */
__global__ void __launch_bounds__ (WARP_LANES *PARAMETER_SLOTS)
add_parameter_gradients (int channels, int64_t chunks, const float *sums, float *d_weight, float *d_bias)
{
  SWITTI_SHARED (double, partial, 2 * WARP_LANES * PARAMETER_SLOTS);
  const int lane = (int) threadIdx.x % WARP_LANES, slot = (int) threadIdx.x / WARP_LANES;
  const int j = (int) blockIdx.x * WARP_LANES + lane;
  double bias = 0.0, weight = 0.0;

  for (int64_t chunk = slot; j < channels && chunk < chunks; chunk += PARAMETER_SLOTS)
    {
      bias += (double) load (sums, chunk * 2 * channels + j);
      weight += (double) load (sums, (chunk * 2 + 1) * channels + j);
    }
  partial[(int) threadIdx.x] = bias;
  partial[WARP_LANES * PARAMETER_SLOTS + (int) threadIdx.x] = weight;
  __syncthreads ();
  if (slot > 0 || j >= channels)
    return;
  for (int s = 1; s < PARAMETER_SLOTS; s++)
    {
      bias += partial[s * WARP_LANES + lane];
      weight += partial[(PARAMETER_SLOTS + s) * WARP_LANES + lane];
    }
  store (d_bias, j, load (d_bias, j) + (float) bias);
  store (d_weight, j, load (d_weight, j) + (float) weight);
}

template <typename T> struct Operands
{
  const T *x;
  const float *weight, *bias;
  const T *dy;
  T *dx;
  float *d_weight, *d_bias;
};

template <bool VECTOR, typename T>
static SwittiKernelStatus
run_backward (SwittiKernelContext *context, const SwittiGroupNorm *norm, const Operands<T> &o, float *scratch)
{
  const GroupShape shape = group_shape (norm);
  const int64_t chunks = norm->batch * shape.chunks;
  float *sums = scratch + statistics_floats (norm, shape), *vectors = sums + sums_floats (norm, shape);
  const dim3 grid ((unsigned int) shape.chunks, (unsigned int) norm->batch), block (GROUP_THREADS);
  const dim3 groups ((unsigned int) blocks_for (shape.groups, GROUP_THREADS / WARP_LANES),
                     (unsigned int) norm->batch);
  SwittiKernelStatus status;

  status = SWITTI_LAUNCH (context, (chunk_statistics<VECTOR, T>), grid, block, statistics_shared_bytes (shape), shape,
                          o.x, scratch);
  if (status == SWITTI_KERNEL_OK)
    status = SWITTI_LAUNCH (context, spread_moments, groups, block, 0, shape, scratch, vectors);
  if (status == SWITTI_KERNEL_OK)
    status = SWITTI_LAUNCH (context, (chunk_gradients<VECTOR, T>), grid, block, 0, shape, o.x, o.weight, o.bias, o.dy,
                            vectors, sums);
  if (status == SWITTI_KERNEL_OK)
    status = SWITTI_LAUNCH (context, merge_gradients, groups, block, 0, shape, o.weight, sums, vectors);
  if (status == SWITTI_KERNEL_OK)
    status = SWITTI_LAUNCH (context, (store_gradients<VECTOR, T>), grid, block, 0, shape, o.x, o.weight, o.bias, o.dy,
                            vectors, o.dx);
  if (status != SWITTI_KERNEL_OK)
    return status;
  return SWITTI_LAUNCH (context, add_parameter_gradients,
                        dim3 ((unsigned int) blocks_for (shape.channels, WARP_LANES)),
                        dim3 (WARP_LANES * PARAMETER_SLOTS), 0, shape.channels, chunks, sums, o.d_weight, o.d_bias);
}

template <typename T>
static SwittiKernelStatus
backward_of (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x, const float *weight,
             const float *bias, const void *dy, void *scratch, void *dx, float *d_weight, float *d_bias)
{
  const Operands<T> o = { static_cast<const T *> (x), weight, bias, static_cast<const T *> (dy), static_cast<T *> (dx),
                          d_weight, d_bias };
  const int64_t channels = norm->channels;
  float *floats = static_cast<float *> (scratch);

  if (is_vector (o.x, 0, channels) && is_vector (o.dy, 0, channels) && is_vector (o.dx, 0, channels)
      && is_vector (weight, 0, channels) && is_vector (bias, 0, channels) && is_vector (floats, 0, channels)
      && statistics_floats (norm, group_shape (norm)) % LANE == 0)
    return run_backward<true> (context, norm, o, floats);
  return run_backward<false> (context, norm, o, floats);
}

static SwittiKernelStatus
group_norm_backward (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x, const float *weight,
                     const float *bias, const void *dy, void *scratch, void *dx, float *d_weight, float *d_bias)
{
  if (!group_norm_is_launchable (norm))
    return SWITTI_KERNEL_INVALID;
  if (norm->x_dtype == SWITTI_DTYPE_BF16)
    return backward_of<Bf16> (context, norm, x, weight, bias, dy, scratch, dx, d_weight, d_bias);
  return backward_of<float> (context, norm, x, weight, bias, dy, scratch, dx, d_weight, d_bias);
}

void
switti_cuda_group_norm_backward_fill (SwittiKernels *ops)
{
  ops->group_norm_backward_scratch_bytes = group_norm_backward_scratch_bytes;
  ops->group_norm_backward = group_norm_backward;
}
