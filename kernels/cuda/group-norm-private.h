/* group-norm-private.h - a chunk of positions, and the statistics of its groups
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Positions are cut into chunks, whose number depends on the shape of one image alone. A block finds mean and sum of
 * squared deviations of its chunk's groups, in two passes over the chunk, which the cache holds; a warp merges a
 * group's chunks in float64.
 */
#pragma once

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

static inline GroupShape
group_shape (const SwittiGroupNorm *norm)
{
  const int64_t length = norm->channels < CHUNK_ELEMENTS / 16 ? CHUNK_ELEMENTS / norm->channels : 16;

  return GroupShape{ norm->positions, (int) norm->channels, (int) norm->groups, (int) length,
                     (int) blocks_for (norm->positions, length), norm->eps, norm->silu };
}

static inline size_t
statistics_floats (const SwittiGroupNorm *norm, const GroupShape &shape)
{
  return (size_t) norm->batch * (size_t) shape.chunks * (size_t) shape.groups * 2;
}

/* False where the op has no launch for it. */
static inline bool
group_norm_is_launchable (const SwittiGroupNorm *norm)
{
  return norm->channels <= MAX_CHANNELS && norm->batch <= 65535 && norm->positions <= (int64_t) 1 << 40
         && is_launchable (group_shape (norm).chunks);
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

/* Bytes of shared memory that chunk_statistics() takes. */
static inline size_t
statistics_shared_bytes (const GroupShape &shape)
{
  const Layout layout = layout_of (shape.channels);

  return (size_t) (layout.slots * layout.lanes * LANE + 2 * shape.groups) * sizeof (float);
}

struct Moments
{
  double mean, variance;
};

/* A warp merges a group's chunks: mean = sum n_i mean_i / n, and the squares are those of the chunks and of their
 * means. `statistics` are the image's. */
__device__ __forceinline__ Moments
merge_moments (const GroupShape &shape, const float *statistics, int group)
{
  const int lane = (int) threadIdx.x % WARP_LANES, width = shape.channels / shape.groups;
  double sum = 0.0, squares = 0.0;

  const auto positions_of = [&] (int chunk) {
    const int64_t left = shape.positions - (int64_t) chunk * shape.chunk_positions;
    return (double) (left < shape.chunk_positions ? left : shape.chunk_positions);
  };
  for (int chunk = lane; chunk < shape.chunks; chunk += WARP_LANES)
    sum += positions_of (chunk) * (double) load (statistics, ((int64_t) chunk * shape.groups + group) * 2);
  const double mean = warp_sum (sum) / (double) shape.positions;
  for (int chunk = lane; chunk < shape.chunks; chunk += WARP_LANES)
    {
      const double off = (double) load (statistics, ((int64_t) chunk * shape.groups + group) * 2) - mean;
      squares += (double) load (statistics, ((int64_t) chunk * shape.groups + group) * 2 + 1)
                 + off * off * positions_of (chunk) * (double) width;
    }
  return Moments{ mean, warp_sum (squares) / ((double) shape.positions * (double) width) };
}
