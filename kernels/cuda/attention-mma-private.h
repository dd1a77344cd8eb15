/* attention-mma-private.h - tiles of bf16 heads for the tensor cores, as attention-mma.cu and its backward read them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block has MMA_WARPS warps. A tile's rows (queries or keys) lie in shared memory, D columns each, in pieces of 16
 * bytes whose places are exchanged so that eight rows of a column of pieces lie in different banks. Fragments are those
 * of mma.sync.m16n8k16: a thread of lane 4 * group + member has rows group and group + 8 of a tile of 16.
 */
#pragma once

#include "attention-private.h"

#define MMA_WARPS 4
#define MMA_THREADS (MMA_WARPS * WARP_LANES)
/* Rows, and inner dimensions, of a fragment. */
#define FRAGMENT 16
/* Elements of 16 bytes. */
#define PIECE 8
#define LOG2_E 1.4426950408889634f

static_assert (sizeof (Bf16) == 2, "bf16 is read in pieces of eight");

/* 2^x; of -infinity 0. */
__device__ __forceinline__ float
exp2_approximate (float x)
{
#ifdef __CUDA_ARCH__
  float y;
  asm ("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f (x);
#endif
}

/* Where piece `piece` of a tile's row lies, in elements. */
template <int D>
__device__ __forceinline__ int
piece_at (int row, int piece)
{
  static_assert (D == 32 || D == 64 || D == 128, "rows of 4, 8 or 16 pieces");
  /* Rows of 64 bytes share a line of the banks with their neighbour. */
  return (row * (D / PIECE) + (piece ^ (D == 32 ? row / 2 % 4 : row % 8))) * PIECE;
}

/* Starts to copy rows [first, first + ROWS): d columns, and zeros up to D and behind the last row. */
template <int D, int ROWS>
__device__ __forceinline__ void
copy_rows (Shared<Bf16> tile, const HeadRows<Bf16> &rows, int first, int d)
{
  constexpr int pieces = D / PIECE, step = MMA_THREADS / pieces;
  const int piece = (int) threadIdx.x % pieces, row = (int) threadIdx.x / pieces;
  const int left = piece * PIECE < d ? (int) rows.count - first - row : 0;
  const Bf16 *from = rows.base + (first + row) * rows.stride + piece * PIECE;

  static_assert (ROWS % step == 0, "every thread copies as many pieces");
#pragma unroll
  for (int r = 0; r < ROWS; r += step, from += step * rows.stride)
    {
      copy_async_16 (tile + piece_at<D> (row, piece) + r * D, r < left ? from : rows.base, r < left ? 16 : 0);
    }
}

/* Rows [row, row + 16), columns [16 * step, ...) of a tile as a left operand. */
template <int D>
__device__ __forceinline__ void
load_left (uint32_t (&a)[4], Shared<Bf16> tile, int row, int step)
{
  const int lane = (int) threadIdx.x % WARP_LANES;

  load_matrices (a, tile + piece_at<D> (lane % 16, 2 * step + lane / 16) + row * D);
}

/* Rows [row, row + 16) of a tile are 16 columns of the right operand, the tile's columns [16 * step, ...) its inner
 * dimension: b[0..1] for rows [row, row + 8), b[2..3] for the others. */
template <int D>
__device__ __forceinline__ void
load_right (uint32_t (&b)[4], Shared<Bf16> tile, int row, int step)
{
  const int lane = (int) threadIdx.x % WARP_LANES;

  load_matrices (b, tile + piece_at<D> (lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2) + row * D);
}

/* Rows [row, row + 16) of a tile are the right operand's inner dimension, the tile's columns [16 * column, ...) its
 * columns: b[0..1] for the first 8, b[2..3] for the others. */
template <int D>
__device__ __forceinline__ void
load_right_transposed (uint32_t (&b)[4], Shared<Bf16> tile, int row, int column)
{
  const int lane = (int) threadIdx.x % WARP_LANES;

  load_matrices_transposed (b, tile + piece_at<D> (lane % 16, 2 * column + lane / 16) + row * D);
}

/* Columns [16 * step, ...) of a product as the left operand of the next one. */
template <int COLUMNS>
__device__ __forceinline__ void
pack_left (uint32_t (&a)[4], const float (&product)[COLUMNS][4], int step)
{
  a[0] = pack_bf16 (product[2 * step][0], product[2 * step][1]);
  a[1] = pack_bf16 (product[2 * step][2], product[2 * step][3]);
  a[2] = pack_bf16 (product[2 * step + 1][0], product[2 * step + 1][1]);
  a[3] = pack_bf16 (product[2 * step + 1][2], product[2 * step + 1][3]);
}

/* What that loses: the product less its bf16 in `a`. */
template <int COLUMNS>
__device__ __forceinline__ void
pack_rest (uint32_t (&rest)[4], const float (&product)[COLUMNS][4], int step, const uint32_t (&a)[4])
{
#pragma unroll
  for (int r = 0; r < 4; r++)
    rest[r] = pack_bf16 (product[2 * step + r / 2][r % 2 * 2] - __uint_as_float (a[r] << 16),
                         product[2 * step + r / 2][r % 2 * 2 + 1] - __uint_as_float (a[r] & 0xffff0000u));
}

/* Over the four threads that have a row of a product. */
__device__ __forceinline__ float
quad_max (float value)
{
  value = fmaxf (value, __shfl_xor_sync (FULL_WARP, value, 1));
  return fmaxf (value, __shfl_xor_sync (FULL_WARP, value, 2));
}

__device__ __forceinline__ float
quad_sum (float value)
{
  value += __shfl_xor_sync (FULL_WARP, value, 1);
  return value + __shfl_xor_sync (FULL_WARP, value, 2);
}

template <int GROUPS, int COLUMNS>
__device__ __forceinline__ void
clear_product (float (&product)[GROUPS][COLUMNS][4])
{
#pragma unroll
  for (int g = 0; g < GROUPS; g++)
    for (int j = 0; j < COLUMNS; j++)
      for (int e = 0; e < 4; e++)
        product[g][j][e] = 0.0f;
}

/* product (16 a group, ROWS) += rows [0, 16 * GROUPS) of a tile times rows [0, ROWS) of another. */
template <int D, int GROUPS, int ROWS>
__device__ __forceinline__ void
add_rows_mma (Shared<Bf16> left, Shared<Bf16> right, float (&product)[GROUPS][ROWS / 8][4])
{
#pragma unroll
  for (int step = 0; step < D / FRAGMENT; step++)
    {
      uint32_t a[GROUPS][4], b[4];

#pragma unroll
      for (int g = 0; g < GROUPS; g++)
        load_left<D> (a[g], left, g * FRAGMENT, step);
#pragma unroll
      for (int j = 0; j < ROWS / FRAGMENT; j++)
        {
          load_right<D> (b, right, j * FRAGMENT, step);
#pragma unroll
          for (int g = 0; g < GROUPS; g++)
            {
              multiply_bf16 (product[g][2 * j], a[g], b);
              multiply_bf16 (product[g][2 * j + 1], a[g], b + 2);
            }
        }
    }
}

template <int D, int GROUPS, int ROWS>
__device__ __forceinline__ void
multiply_rows_mma (Shared<Bf16> left, Shared<Bf16> right, float (&product)[GROUPS][ROWS / 8][4])
{
  clear_product (product);
  add_rows_mma<D, GROUPS, ROWS> (left, right, product);
}

/* sums (16 a group, D) += the weights' keys times the tile's values */
template <int D, int GROUPS, int KEYS>
__device__ __forceinline__ void
add_values (const float (&weights)[GROUPS][KEYS / 8][4], Shared<Bf16> values, float (&sums)[GROUPS][D / 8][4])
{
#pragma unroll
  for (int step = 0; step < KEYS / FRAGMENT; step++)
    {
      uint32_t a[GROUPS][4], b[4];

#pragma unroll
      for (int g = 0; g < GROUPS; g++)
        pack_left (a[g], weights[g], step);
#pragma unroll
      for (int c = 0; c < D / FRAGMENT; c++)
        {
          load_right_transposed<D> (b, values, step * FRAGMENT, c);
#pragma unroll
          for (int g = 0; g < GROUPS; g++)
            {
              multiply_bf16 (sums[g][2 * c], a[g], b);
              multiply_bf16 (sums[g][2 * c + 1], a[g], b + 2);
            }
        }
    }
}

/* Of a thread's rows group and group + 8: running maxima of scores, and its share of the weights' sums. */
struct RowSoftmax
{
  float greatest[2], total[2];
};

__device__ __forceinline__ void
start_rows (RowSoftmax &softmax)
{
  softmax.greatest[0] = softmax.greatest[1] = -INFINITY;
  softmax.total[0] = softmax.total[1] = 0.0f;
}

/* Scores of keys from `key` on become weights, 2^(scale * score) below the new maximum. factor: what a row's earlier
 * sums are to be multiplied with. Each product and sum is rounded as it is written here, whatever is unrolled. */
template <int COLUMNS>
__device__ __forceinline__ void
weigh_scores (RowSoftmax &softmax, float (&scores)[COLUMNS][4], const int (&visible)[2], int key, bool is_masked,
              float scale, float (&factor)[2])
{
  const int member = (int) threadIdx.x % 4;

  if (is_masked)
#pragma unroll
    for (int j = 0; j < COLUMNS; j++)
      for (int e = 0; e < 4; e++)
        if (key + 8 * j + 2 * member + e % 2 >= visible[e / 2])
          scores[j][e] = -INFINITY;
#pragma unroll
  for (int half = 0; half < 2; half++)
    {
      const float before = softmax.greatest[half];
      float greatest = before, total = 0.0f;

#pragma unroll
      for (int j = 0; j < COLUMNS; j++)
        greatest = fmaxf (greatest, fmaxf (scores[j][2 * half], scores[j][2 * half + 1]));
      softmax.greatest[half] = greatest = quad_max (greatest);
      /* No key yet, or scores that are NaN. */
      const float base = greatest > -INFINITY ? greatest * scale : 0.0f;
      factor[half] = exp2_approximate (__fmaf_rn (before, scale, -base));
#pragma unroll
      for (int j = 0; j < COLUMNS; j++)
        for (int e = 2 * half; e < 2 * half + 2; e++)
          {
            scores[j][e] = exp2_approximate (__fmaf_rn (scores[j][e], scale, -base));
            total += scores[j][e];
          }
      softmax.total[half] = __fmaf_rn (softmax.total[half], factor[half], total);
    }
}

template <int COLUMNS>
__device__ __forceinline__ void
scale_rows (float (&sums)[COLUMNS][4], const float (&factor)[2])
{
#pragma unroll
  for (int c = 0; c < COLUMNS; c++)
    for (int e = 0; e < 4; e++)
      sums[c][e] *= factor[e / 2];
}

/* A warp's 16 rows of a product, each times its factor, to device memory by way of the warp's 16 rows of `tile`. */
template <int D>
__device__ __forceinline__ void
store_rows (Bf16 *base, int64_t stride, int64_t first, int64_t count, int d, const float (&product)[D / 8][4],
            const float (&factor)[2], Shared<Bf16> tile)
{
  constexpr int pieces = D / PIECE;
  const int lane = (int) threadIdx.x % WARP_LANES, group = lane / 4, member = lane % 4;

  __syncwarp (); /* the warp has read what lay there */
#pragma unroll
  for (int c = 0; c < D / 8; c++)
    for (int half = 0; half < 2; half++)
      shared_store (tile + piece_at<D> (group, c) + 8 * half * D + 2 * member,
                    pack_bf16 (product[c][2 * half] * factor[half], product[c][2 * half + 1] * factor[half]));
  __syncwarp ();
#pragma unroll
  for (int i = lane; i < FRAGMENT * pieces; i += WARP_LANES)
    {
      const int row = i / pieces, piece = i % pieces;

      if (first + row >= count || piece * PIECE >= d)
        continue;
      Bf16 *to = base + (first + row) * stride + piece * PIECE;
      check_write (to, 16);
      *reinterpret_cast<uint4 *> (to) = shared_load<uint4> (tile + piece_at<D> (row, piece));
    }
}

/* A warp's 16 rows of sums of weighted values, over the sums of their weights, as store_rows() stores them. */
template <int D>
__device__ __forceinline__ void
store_outputs (Bf16 *base, int64_t stride, int64_t first, int64_t count, int d, const float (&sums)[D / 8][4],
               const RowSoftmax &softmax, Shared<Bf16> tile)
{
  float factor[2];

#pragma unroll
  for (int half = 0; half < 2; half++)
    {
      const float total = quad_sum (softmax.total[half]);
      factor[half] = total == 0.0f ? 0.0f : 1.0f / total;
    }
  store_rows<D> (base, stride, first, count, d, sums, factor, tile);
}

/* -- on the host --------------------------------------------------------------------------------------------------- */

/* Whether each row of every head begins at 16 bytes, and is made of such pieces. */
static inline bool
has_pieces (const void *base, const SwittiRows &rows, int64_t d)
{
  return reinterpret_cast<uintptr_t> (base) % 16 == 0 && rows.image_stride % PIECE == 0 && rows.row_stride % PIECE == 0
         && d % PIECE == 0;
}
