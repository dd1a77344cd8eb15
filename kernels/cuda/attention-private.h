/* attention-private.h - what the kernels of attention share: its shape, which keys a query sees, and products of tiles
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A tile has TILE queries (or keys) by TILE keys (or columns of a head); a block of TILE_THREADS makes one, a thread
 * LANE by LANE of it: rows tile_row() and on, columns tile_column() and on. Float32 arithmetic, any width of a head.
 */
#pragma once

#include "device-private.h"

#include "switti-kernels.h"

/* What a launch takes: more is refused. Positions are counted in 32 bits, with a tile to spare. */
#define MAX_HEAD 65536
#define MAX_POSITIONS (INT32_MAX - 1024)

#define TILE 64
#define TILE_THREADS 256
#define TILE_DEPTH 16
/* Elements between the rows of a tile in shared memory: 4 more than it has, against bank conflicts. */
#define TILE_STRIDE 68

struct AttentionShape
{
  int64_t n, m;
  int heads, d;
  float scale;
  bool causal;
  SwittiRows q, k, v, out;
};

/* What a query's softmax is made again from, and the sum of dout * out. */
struct QueryStatistics
{
  float *greatest, *inverse, *delta; /* (B, H, N) each: largest score, 1 / sum of the weights below it */
};

static inline AttentionShape
attention_shape (const SwittiAttention *a)
{
  return AttentionShape{ a->n, a->m, (int) a->heads, (int) a->d, a->scale, a->causal, a->q, a->k, a->v, a->out };
}

/* -- attention-mma.cu ---------------------------------------------------------------------------------------------- */

/* Whether tensor cores can do it: bf16 heads whose rows are made of aligned pieces of 16 bytes. */
bool switti_cuda_attention_has_mma (const SwittiAttention *a, const void *q, const void *k, const void *v,
                                    const void *out);
SwittiKernelStatus switti_cuda_attention_mma (SwittiKernelContext *context, const SwittiAttention *a,
                                              const int32_t *group_index, const int32_t *key_length, const void *q,
                                              const void *k, const void *v, void *out);

SwittiKernelStatus switti_cuda_attention_wide (SwittiKernelContext *context, const SwittiAttention *a,
                                               const int32_t *group_index, const int32_t *key_length, const void *q,
                                               const void *k, const void *v, void *out);

/* -- attention-mma-backward.cu ------------------------------------------------------------------------------------- */

/* What the op is given. */
struct AttentionGradients
{
  const void *q, *k, *v, *out, *dout;
  void *dq;
  float *dk, *dv;
  void *scratch;
};

bool switti_cuda_attention_backward_has_mma (const SwittiAttentionBackward *backward,
                                             const AttentionGradients &gradients);
size_t switti_cuda_attention_backward_mma_scratch (const SwittiAttention *a);
SwittiKernelStatus switti_cuda_attention_backward_mma (SwittiKernelContext *context,
                                                       const SwittiAttentionBackward *backward,
                                                       const int32_t *key_length, const AttentionGradients &gradients);

/* -- on the device ------------------------------------------------------------------------------------------------- */

/* The keys that any query of an image sees. */
__device__ __forceinline__ int64_t
valid_keys (const AttentionShape &shape, const int32_t *key_length, int64_t group)
{
  const int64_t length = key_length != nullptr ? load_index (key_length, group) : shape.m;

  return length < shape.m ? length : shape.m;
}

/* Of `valid` keys, those that a query sees. */
__device__ __forceinline__ int64_t
visible_keys (const AttentionShape &shape, int64_t valid, int64_t query)
{
  const int64_t seen = query + shape.m - shape.n + 1;

  return shape.causal && seen < valid ? seen : valid;
}

__device__ __forceinline__ int
tile_row ()
{
  return (int) threadIdx.x / 16 * LANE;
}

__device__ __forceinline__ int
tile_column ()
{
  return (int) threadIdx.x % 16 * LANE;
}

/* Rows of one head of one image; those from `count` on are taken for zeros. */
template <typename T> struct HeadRows
{
  const T *base;
  int64_t stride, count;
};

template <typename T>
__device__ __forceinline__ HeadRows<T>
head_rows (const T *base, const SwittiRows &rows, int64_t image, int64_t head, int64_t count)
{
  return HeadRows<T>{ base + image * rows.image_stride + head, rows.row_stride, count };
}

__device__ __forceinline__ void
load_tile (Shared<float> tile, int at, float values[LANE])
{
  const float4 v = shared_load<float4> (tile + at);
  values[0] = v.x;
  values[1] = v.y;
  values[2] = v.z;
  values[3] = v.w;
}

template <bool VECTOR, typename T>
__device__ __forceinline__ void
load_row (const HeadRows<T> &rows, int64_t row, int column, int d, float values[LANE])
{
#pragma unroll
  for (int e = 0; e < LANE; e++)
    values[e] = 0.0f;
  if (row < rows.count && column < d)
    load_lane<VECTOR> (rows.base + row * rows.stride, column, d, values);
}

/* sum += columns of `a` and `b`, (depth, rows) in shared memory, multiplied with each other. */
__device__ __forceinline__ void
multiply_tiles (Shared<float> a, Shared<float> b, float (&sum)[LANE][LANE])
{
  float x[LANE], y[LANE];

#pragma unroll
  for (int k = 0; k < TILE_DEPTH; k++)
    {
      load_tile (a, k * TILE_STRIDE + tile_row (), x);
      load_tile (b, k * TILE_STRIDE + tile_column (), y);
#pragma unroll
      for (int i = 0; i < LANE; i++)
        for (int j = 0; j < LANE; j++)
          sum[i][j] += x[i] * y[j];
    }
}

/* sum = rows of `a` from first_a on times rows of `b` from first_b on, over the d columns of a head. `stage`: two
 * pieces of TILE_DEPTH columns. */
template <bool VECTOR, typename T>
__device__ __forceinline__ void
multiply_rows (const HeadRows<T> &a, int64_t first_a, const HeadRows<T> &b, int64_t first_b, int d,
               Shared<float> stage, float (&sum)[LANE][LANE])
{
  const int row = (int) threadIdx.x / 4, depth = (int) threadIdx.x % 4 * LANE;
  Shared<float> other = stage + TILE_DEPTH * TILE_STRIDE;
  float x[LANE], y[LANE];

#pragma unroll
  for (int i = 0; i < LANE; i++)
    for (int j = 0; j < LANE; j++)
      sum[i][j] = 0.0f;
  for (int column = 0; column < d; column += TILE_DEPTH)
    {
      load_row<VECTOR> (a, first_a + row, column + depth, d, x);
      load_row<VECTOR> (b, first_b + row, column + depth, d, y);
      __syncthreads ();
#pragma unroll
      for (int e = 0; e < LANE; e++)
        {
          stage[(depth + e) * TILE_STRIDE + row] = x[e];
          other[(depth + e) * TILE_STRIDE + row] = y[e];
        }
      __syncthreads ();
      multiply_tiles (stage, other, sum);
    }
}

/* sum += the tile's columns, which lie (TILE, TILE_STRIDE) in shared memory, times rows from `first` on of `b`, of
 * which columns [column, column + TILE) are taken. The tile may have been written just before. */
template <bool VECTOR, typename T>
__device__ __forceinline__ void
multiply_weights (Shared<float> tile, const HeadRows<T> &b, int64_t first, int column, int d, Shared<float> stage,
                  float (&sum)[LANE][LANE])
{
  const int row = (int) threadIdx.x / 16;
  float y[LANE];

  for (int k = 0; k < TILE && first + k < b.count; k += TILE_DEPTH)
    {
      load_row<VECTOR> (b, first + k + row, column + tile_column (), d, y);
      __syncthreads ();
      shared_store (stage + row * TILE_STRIDE + tile_column (), float4{ y[0], y[1], y[2], y[3] });
      __syncthreads ();
      multiply_tiles (tile + k * TILE_STRIDE, stage, sum);
    }
}

/* The tile as it is, or with rows and columns exchanged. */
template <bool EXCHANGED>
__device__ __forceinline__ void
store_tile (Shared<float> tile, const float (&values)[LANE][LANE])
{
#pragma unroll
  for (int i = 0; i < LANE; i++)
    if (EXCHANGED)
      shared_store (tile + (tile_column () + i) * TILE_STRIDE + tile_row (),
                    float4{ values[0][i], values[1][i], values[2][i], values[3][i] });
    else
      shared_store (tile + (tile_row () + i) * TILE_STRIDE + tile_column (),
                    float4{ values[i][0], values[i][1], values[i][2], values[i][3] });
}

/* Over the 16 threads that have a tile's row. */
__device__ __forceinline__ float
row_max (float value)
{
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2)
    value = fmaxf (value, __shfl_xor_sync (FULL_WARP, value, distance));
  return value;
}

__device__ __forceinline__ float
row_sum (float value)
{
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2)
    value += __shfl_xor_sync (FULL_WARP, value, distance);
  return value;
}

/* The running maximum and this thread's share of the sum of weights, for each of its rows. */
struct OnlineSoftmax
{
  float greatest[LANE], total[LANE];
};

__device__ __forceinline__ void
start_softmax (OnlineSoftmax &softmax)
{
#pragma unroll
  for (int i = 0; i < LANE; i++)
    {
      softmax.greatest[i] = -INFINITY;
      softmax.total[i] = 0.0f;
    }
}

/* Scores of queries from `query` on and keys from `key` on become weights below the new maximum; factor: what earlier
 * sums of a row are to be multiplied with. */
__device__ __forceinline__ void
add_scores (OnlineSoftmax &softmax, const AttentionShape &shape, int64_t valid, int64_t query, int64_t key,
            float (&scores)[LANE][LANE], float (&factor)[LANE])
{
#pragma unroll
  for (int i = 0; i < LANE; i++)
    {
      const int64_t keys = visible_keys (shape, valid, query + tile_row () + i);
      const float before = softmax.greatest[i];
      float greatest = before;

#pragma unroll
      for (int j = 0; j < LANE; j++)
        {
          scores[i][j] = key + tile_column () + j < keys ? scores[i][j] * shape.scale : -INFINITY;
          greatest = fmaxf (greatest, scores[i][j]);
        }
      softmax.greatest[i] = greatest = row_max (greatest);
      /* A query of NaN has only scores that are, of which none is the greatest. */
      factor[i] = before > -INFINITY ? expf (before - greatest) : 0.0f;
      softmax.total[i] *= factor[i];
#pragma unroll
      for (int j = 0; j < LANE; j++)
        {
          scores[i][j] = key + tile_column () + j < keys ? expf (scores[i][j] - greatest) : 0.0f;
          softmax.total[i] += scores[i][j];
        }
    }
}

/* The keys that the queries of a tile see between them. */
__device__ __forceinline__ int64_t
tile_keys (const AttentionShape &shape, int64_t valid, int64_t query)
{
  const int64_t last = query + TILE < shape.n ? query + TILE - 1 : shape.n - 1;

  return visible_keys (shape, valid, last);
}
