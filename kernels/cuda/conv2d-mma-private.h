/* conv2d-mma-private.h - tiles in shared memory, their products on tensor cores, and what becomes of the sums
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A row of a tile is DEPTH channels: four pieces of 16 bytes, whose order changes every other row, so that neither
 * copies nor ldmatrix meet in a bank.
 */
#pragma once

#include "conv2d-private.h"

#define DEPTH 32
#define PIECE 8 /* elements of 16 bytes */
#define PIECES (DEPTH / PIECE)

/* M positions by N channels, by WARPS_M by WARPS_N warps; BLOCKS of them share a multiprocessor. */
template <int M, int N, int WARPS_M, int WARPS_N, int STAGES, int BLOCKS> struct MmaTile
{
  static constexpr int m = M, n = N, warps_n = WARPS_N, stages = STAGES, blocks = BLOCKS;
  static constexpr int threads = WARPS_M * WARPS_N * WARP_LANES;
  static constexpr int warp_m = M / WARPS_M, warp_n = N / WARPS_N;
  static constexpr int fragments_m = warp_m / 16, fragments_n = warp_n / 8;
  static constexpr int stage_elements = (M + N) * DEPTH;
  static constexpr size_t shared_bytes = (size_t) STAGES * stage_elements * sizeof (Bf16);
  /* Rows that a block's threads copy at a time, and how often. */
  static constexpr int rows = threads / PIECES;
  static constexpr int m_copies = M / rows, n_copies = (N + rows - 1) / rows;
};

/* Where piece `piece` of a row of a tile is. */
__device__ __forceinline__ int
piece_at (int row, int piece)
{
  return row * DEPTH + (piece ^ (row >> 1 & 3)) * PIECE;
}

/* A warp's products of one step; of an even number of fragments of channels, so that one ldmatrix gets two of them. */
template <typename Tile>
__device__ __forceinline__ void
multiply_pairs (Shared<Bf16> stage, int first_m, int first_n, float (&sum)[Tile::fragments_m][Tile::fragments_n][4])
{
  const int lane = (int) threadIdx.x % WARP_LANES;
  uint32_t a[Tile::fragments_m][4], b[4];

#pragma unroll
  for (int k = 0; k < 2; k++)
    {
#pragma unroll
      for (int i = 0; i < Tile::fragments_m; i++)
        load_matrices (a[i], stage + piece_at (first_m + i * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
      for (int j = 0; j < Tile::fragments_n; j += 2)
        {
          load_matrices (b, stage
                                + (Tile::m * DEPTH
                                   + piece_at (first_n + j * 8 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2)));
#pragma unroll
          for (int half = 0; half < 2; half++)
#pragma unroll
            for (int i = 0; i < Tile::fragments_m; i++)
              multiply_bf16 (sum[i][j + half], a[i], b + 2 * half);
        }
    }
}

/* The same of any number; an ldmatrix gets one fragment in the step's whole depth. */
template <typename Tile>
__device__ __forceinline__ void
multiply_single (Shared<Bf16> stage, int first_m, int first_n, float (&sum)[Tile::fragments_m][Tile::fragments_n][4])
{
  const int lane = (int) threadIdx.x % WARP_LANES;
  uint32_t a[Tile::fragments_m][2][4], b[4];

#pragma unroll
  for (int i = 0; i < Tile::fragments_m; i++)
#pragma unroll
    for (int k = 0; k < 2; k++)
      load_matrices (a[i][k], stage + piece_at (first_m + i * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
  for (int j = 0; j < Tile::fragments_n; j++)
    {
      load_matrices (b, stage + (Tile::m * DEPTH + piece_at (first_n + j * 8 + lane % 8, lane / 8)));
#pragma unroll
      for (int k = 0; k < 2; k++)
#pragma unroll
        for (int i = 0; i < Tile::fragments_m; i++)
          multiply_bf16 (sum[i][j], a[i][k], b + 2 * k);
    }
}

template <typename Tile>
__device__ __forceinline__ void
multiply_stage (Shared<Bf16> stage, float (&sum)[Tile::fragments_m][Tile::fragments_n][4])
{
  const int warp = (int) threadIdx.x / WARP_LANES;
  const int first_m = warp / Tile::warps_n * Tile::warp_m, first_n = warp % Tile::warps_n * Tile::warp_n;

  if constexpr (Tile::fragments_n % 2 == 0)
    multiply_pairs<Tile> (stage, first_m, first_n, sum);
  else
    multiply_single<Tile> (stage, first_m, first_n, sum);
}

/* Two neighbouring elements, of which the second may be past the row's end; one access where `paired`. */
__device__ __forceinline__ void
load_pair (const float *from, int count, bool paired, float values[2])
{
  if (paired)
    {
      check_read (from, 8, 4);
      const float2 pair = *reinterpret_cast<const float2 *> (from);
      values[0] = pair.x;
      values[1] = pair.y;
      return;
    }
  values[0] = load (from, 0);
  values[1] = count > 1 ? load (from, 1) : 0.0f;
}

__device__ __forceinline__ void
load_pair (const Bf16 *from, int count, bool paired, float values[2])
{
  if (paired)
    {
      check_read (from, 4, 2);
      const uint32_t pair = *reinterpret_cast<const uint32_t *> (from);
      values[0] = __uint_as_float (pair << 16);
      values[1] = __uint_as_float (pair & 0xffff0000u);
      return;
    }
  values[0] = load (from, 0);
  values[1] = count > 1 ? load (from, 1) : 0.0f;
}

__device__ __forceinline__ void
store_whole_pair (float *to, const float values[2])
{
  check_write (to, 8);
  *reinterpret_cast<float2 *> (to) = float2{ values[0], values[1] };
}

__device__ __forceinline__ void
store_whole_pair (Bf16 *to, const float values[2])
{
  check_write (to, 4);
  *reinterpret_cast<uint32_t *> (to) = pack_bf16 (values[0], values[1]);
}

template <typename D>
__device__ __forceinline__ void
store_pair (D *to, int count, bool paired, const float values[2])
{
  if (paired)
    {
      store_whole_pair (to, values);
      return;
    }
  store (to, 0, values[0]);
  if (count > 1)
    store (to, 1, values[1]);
}

/* On the host: whether outputs can be written, and what is added to them read, two at a time. */
template <typename D>
static inline bool
is_paired (const ConvShape &shape, const float *bias, const D *residual, const D *d)
{
  return shape.c_out % 2 == 0 && reinterpret_cast<uintptr_t> (bias) % (2 * sizeof (float)) == 0
         && (reinterpret_cast<uintptr_t> (residual) | reinterpret_cast<uintptr_t> (d)) % (2 * sizeof (D)) == 0;
}

/* The outputs of the rows that a thread's fragments hold, two each; -1 for none. */
template <typename Tile>
__device__ __forceinline__ void
find_outputs (const ConvShape &shape, int phase, int64_t first, int64_t (&outputs)[Tile::fragments_m][2])
{
  const int lane = (int) threadIdx.x % WARP_LANES, warp = (int) threadIdx.x / WARP_LANES;

#pragma unroll
  for (int i = 0; i < Tile::fragments_m; i++)
#pragma unroll
    for (int half = 0; half < 2; half++)
      {
        const int row = warp / Tile::warps_n * Tile::warp_m + i * 16 + half * 8 + lane / 4;

        outputs[i][half] = position_at (shape, phase / shape.phases, phase % shape.phases, first + row).output;
      }
}

/* Adds bias and residual, and stores. */
template <typename Tile, typename D>
__device__ __forceinline__ void
store_tile (const ConvShape &shape, int first_channel, bool paired, const int64_t (&outputs)[Tile::fragments_m][2],
            const float (&sum)[Tile::fragments_m][Tile::fragments_n][4], const float *bias, const D *residual, D *d)
{
  const int lane = (int) threadIdx.x % WARP_LANES, warp = (int) threadIdx.x / WARP_LANES;

#pragma unroll
  for (int j = 0; j < Tile::fragments_n; j++)
    {
      const int channel = first_channel + warp % Tile::warps_n * Tile::warp_n + j * 8 + lane % 4 * 2;
      const int count = shape.c_out - channel;
      float added[2] = { 0.0f, 0.0f }, value[2];

      if (count < 1)
        continue;
      if (bias != nullptr)
        load_pair (bias + channel, count, paired, added);
#pragma unroll
      for (int i = 0; i < Tile::fragments_m; i++)
#pragma unroll
        for (int half = 0; half < 2; half++)
          {
            const int64_t at = outputs[i][half] * shape.c_out + channel;

            if (outputs[i][half] < 0)
              continue;
            value[0] = value[1] = 0.0f;
            if (residual != nullptr)
              load_pair (residual + at, count, paired, value);
            value[0] += sum[i][j][2 * half] + added[0];
            value[1] += sum[i][j][2 * half + 1] + added[1];
            store_pair (d + at, count, paired, value);
          }
    }
}
