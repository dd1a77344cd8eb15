/* attention-backward.cu - gradients of softmax (q . k^T * scale) . v in float32, for any width of a head
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Three kernels: each query's statistics, into the scratch; gradients of a tile of queries, which goes through the
 * keys; gradients of a tile of keys, which goes through the queries. Scores and weights are made again in each, so
 * that nothing is added by two blocks and sums have one order. Wide heads are divided among blocks as in attention.cu.
 * What tensor cores can do is attention-mma-backward.cu's.
 */
#include "runtime-private.h"

#include "attention-private.h"

/* Tiles of columns that a block has of wide heads; the kernel of keys has two sums of each. */
#define QUERY_COLUMNS 4
#define KEY_COLUMNS 2

template <typename T> struct BackwardOperands
{
  AttentionShape shape;
  SwittiRows dout_rows, dq_rows, dk_rows, dv_rows;
  const int32_t *key_length;
  const T *q, *k, *v, *out, *dout;
  T *dq;
  float *dk, *dv;
  QueryStatistics statistics;
};

/* delta: each of the block's warps takes a row at a time. */
template <typename T>
__device__ __forceinline__ void
sum_products (const BackwardOperands<T> &op, int64_t image, int64_t head, int64_t query, float *delta)
{
  const HeadRows<T> out = head_rows (op.out, op.shape.out, image, head, op.shape.n);
  const HeadRows<T> dout = head_rows (op.dout, op.dout_rows, image, head, op.shape.n);
  const int warp = (int) threadIdx.x / WARP_LANES, lane = (int) threadIdx.x % WARP_LANES;

  for (int64_t row = query + warp; row < query + TILE && row < op.shape.n; row += TILE_THREADS / WARP_LANES)
    {
      float sum = 0.0f;

      for (int x = lane; x < op.shape.d; x += WARP_LANES)
        sum += load (out.base + row * out.stride, x) * load (dout.base + row * dout.stride, x);
      sum = warp_sum (sum);
      if (lane == 0)
        store (delta, row, sum);
    }
}

template <bool VECTOR, typename T>
__global__ void __launch_bounds__ (TILE_THREADS, 2)
find_statistics (BackwardOperands<T> op)
{
  SWITTI_SHARED (float, stage, 2 * TILE_DEPTH * TILE_STRIDE);
  const AttentionShape &shape = op.shape;
  const int64_t image = blockIdx.z, query = (int64_t) blockIdx.x * TILE, head = (int64_t) blockIdx.y * shape.d;
  const int64_t first = (image * shape.heads + blockIdx.y) * shape.n;
  const int64_t valid = valid_keys (shape, op.key_length, image), keys = tile_keys (shape, valid, query);
  const HeadRows<T> queries = head_rows (op.q, shape.q, image, head, shape.n);
  const HeadRows<T> key_rows = head_rows (op.k, shape.k, image, head, keys);
  float scores[LANE][LANE], factor[LANE];
  OnlineSoftmax softmax;

  start_softmax (softmax);
  for (int64_t key = 0; key < keys; key += TILE)
    {
      multiply_rows<VECTOR> (queries, query, key_rows, key, shape.d, stage, scores);
      add_scores (softmax, shape, valid, query, key, scores, factor);
    }
#pragma unroll
  for (int i = 0; i < LANE; i++)
    {
      const int64_t row = query + tile_row () + i;
      const float total = row_sum (softmax.total[i]);

      if (tile_column () == 0 && row < shape.n)
        {
          store (op.statistics.greatest + first, row, softmax.greatest[i]);
          store (op.statistics.inverse + first, row, total == 0.0f ? 0.0f : 1.0f / total);
        }
    }
  sum_products (op, image, head, query, op.statistics.delta + first);
}

/* Scores become weights; gradients of weights become those of scores. */
template <typename T>
__device__ __forceinline__ void
differentiate_softmax (const BackwardOperands<T> &op, int64_t first, int64_t valid, int64_t query, int64_t key,
                       float (&scores)[LANE][LANE], float (&gradients)[LANE][LANE])
{
#pragma unroll
  for (int i = 0; i < LANE; i++)
    {
      const int64_t row = query + tile_row () + i;
      const int64_t keys = row < op.shape.n ? visible_keys (op.shape, valid, row) : 0;
      const float greatest = keys > 0 ? load (op.statistics.greatest + first, row) : 0.0f;
      const float inverse = keys > 0 ? load (op.statistics.inverse + first, row) : 0.0f;
      const float delta = keys > 0 ? load (op.statistics.delta + first, row) : 0.0f;

#pragma unroll
      for (int j = 0; j < LANE; j++)
        {
          const bool seen = key + tile_column () + j < keys;
          const float weight = seen ? expf (scores[i][j] * op.shape.scale - greatest) * inverse : 0.0f;
          scores[i][j] = weight;
          gradients[i][j] = seen ? weight * (gradients[i][j] - delta) * op.shape.scale : 0.0f;
        }
    }
}

template <bool VECTOR, int COLUMNS, typename T>
__global__ void __launch_bounds__ (TILE_THREADS)
differentiate_queries (BackwardOperands<T> op)
{
  SWITTI_SHARED (float, stage, 2 * TILE_DEPTH * TILE_STRIDE);
  SWITTI_SHARED (float, tile, TILE * TILE_STRIDE);
  const AttentionShape &shape = op.shape;
  const int blocks = (shape.d + COLUMNS * TILE - 1) / (COLUMNS * TILE);
  const int64_t image = blockIdx.z, query = (int64_t) blockIdx.x / blocks * TILE;
  const int first_column = (int) (blockIdx.x % blocks) * COLUMNS * TILE;
  const int64_t head = (int64_t) blockIdx.y * shape.d, first = (image * shape.heads + blockIdx.y) * shape.n;
  const int64_t valid = valid_keys (shape, op.key_length, image), keys = tile_keys (shape, valid, query);
  const HeadRows<T> queries = head_rows (op.q, shape.q, image, head, shape.n);
  const HeadRows<T> dout = head_rows (op.dout, op.dout_rows, image, head, shape.n);
  const HeadRows<T> key_rows = head_rows (op.k, shape.k, image, head, keys);
  const HeadRows<T> value_rows = head_rows (op.v, shape.v, image, head, keys);
  float sums[COLUMNS][LANE][LANE] = {}, scores[LANE][LANE], gradients[LANE][LANE];

  for (int64_t key = 0; key < keys; key += TILE)
    {
      multiply_rows<VECTOR> (queries, query, key_rows, key, shape.d, stage, scores);
      multiply_rows<VECTOR> (dout, query, value_rows, key, shape.d, stage, gradients);
      differentiate_softmax (op, first, valid, query, key, scores, gradients);
      store_tile<true> (tile, gradients);
#pragma unroll
      for (int c = 0; c < COLUMNS; c++)
        multiply_weights<VECTOR> (tile, key_rows, key, first_column + c * TILE, shape.d, stage, sums[c]);
    }
#pragma unroll
  for (int i = 0; i < LANE; i++)
    {
      const int64_t row = query + tile_row () + i;
      T *dq = op.dq + image * op.dq_rows.image_stride + head + row * op.dq_rows.row_stride;

#pragma unroll
      for (int c = 0; c < COLUMNS; c++)
        if (row < shape.n && first_column + c * TILE + tile_column () < shape.d)
          store_lane<VECTOR> (dq, first_column + c * TILE + tile_column (), shape.d, sums[c][i]);
    }
}

/* A tile of keys' or values' gradients is added to what is there. */
template <bool VECTOR>
__device__ __forceinline__ void
add_tile (float *base, const SwittiRows &rows, int64_t first, int64_t count, int column, int d,
          const float (&sums)[LANE][LANE])
{
#pragma unroll
  for (int i = 0; i < LANE; i++)
    {
      const int64_t row = first + tile_row () + i;
      float values[LANE];

      if (row >= count || column >= d)
        continue;
      load_lane<VECTOR> (base + row * rows.row_stride, column, d, values);
#pragma unroll
      for (int j = 0; j < LANE; j++)
        values[j] += sums[i][j];
      store_lane<VECTOR> (base + row * rows.row_stride, column, d, values);
    }
}

template <bool VECTOR, int COLUMNS, typename T>
__global__ void __launch_bounds__ (TILE_THREADS)
differentiate_keys (BackwardOperands<T> op)
{
  SWITTI_SHARED (float, stage, 2 * TILE_DEPTH * TILE_STRIDE);
  SWITTI_SHARED (float, tile, TILE * TILE_STRIDE);
  const AttentionShape &shape = op.shape;
  const int blocks = (shape.d + COLUMNS * TILE - 1) / (COLUMNS * TILE);
  const int64_t image = blockIdx.z, key = (int64_t) blockIdx.x / blocks * TILE;
  const int first_column = (int) (blockIdx.x % blocks) * COLUMNS * TILE;
  const int64_t head = (int64_t) blockIdx.y * shape.d, first = (image * shape.heads + blockIdx.y) * shape.n;
  const int64_t valid = valid_keys (shape, op.key_length, image), hidden = shape.causal ? key - (shape.m - shape.n) : 0;
  const HeadRows<T> queries = head_rows (op.q, shape.q, image, head, shape.n);
  const HeadRows<T> dout = head_rows (op.dout, op.dout_rows, image, head, shape.n);
  const HeadRows<T> key_rows = head_rows (op.k, shape.k, image, head, valid);
  const HeadRows<T> value_rows = head_rows (op.v, shape.v, image, head, valid);
  float key_sums[COLUMNS][LANE][LANE] = {}, value_sums[COLUMNS][LANE][LANE] = {};
  float scores[LANE][LANE], gradients[LANE][LANE];

  for (int64_t query = hidden > 0 ? hidden / TILE * TILE : 0; query < shape.n && key < valid; query += TILE)
    {
      multiply_rows<VECTOR> (queries, query, key_rows, key, shape.d, stage, scores);
      multiply_rows<VECTOR> (dout, query, value_rows, key, shape.d, stage, gradients);
      differentiate_softmax (op, first, valid, query, key, scores, gradients);
      store_tile<false> (tile, scores);
#pragma unroll
      for (int c = 0; c < COLUMNS; c++)
        multiply_weights<VECTOR> (tile, dout, query, first_column + c * TILE, shape.d, stage, value_sums[c]);
      __syncthreads ();
      store_tile<false> (tile, gradients);
#pragma unroll
      for (int c = 0; c < COLUMNS; c++)
        multiply_weights<VECTOR> (tile, queries, query, first_column + c * TILE, shape.d, stage, key_sums[c]);
    }
  float *dk = op.dk + image * op.dk_rows.image_stride + head, *dv = op.dv + image * op.dv_rows.image_stride + head;
#pragma unroll
  for (int c = 0; c < COLUMNS; c++)
    {
      const int column = first_column + c * TILE + tile_column ();
      add_tile<VECTOR> (dk, op.dk_rows, key, valid, column, shape.d, key_sums[c]);
      add_tile<VECTOR> (dv, op.dv_rows, key, valid, column, shape.d, value_sums[c]);
    }
}

/* -- launches ----------------------------------------------------------------------------------------------------- */

template <bool VECTOR, int WIDTH, typename T>
static SwittiKernelStatus
run_backward (SwittiKernelContext *context, int64_t batch, const BackwardOperands<T> &op)
{
  constexpr int query_columns = WIDTH < QUERY_COLUMNS ? WIDTH : QUERY_COLUMNS;
  constexpr int key_columns = WIDTH < KEY_COLUMNS ? WIDTH : KEY_COLUMNS;
  const int64_t queries = blocks_for (op.shape.n, TILE);
  const int64_t query_blocks = queries * blocks_for (op.shape.d, query_columns * TILE);
  const int64_t key_blocks = blocks_for (op.shape.m, TILE) * blocks_for (op.shape.d, key_columns * TILE);
  const auto grid = [&] (int64_t blocks) {
    return dim3 ((unsigned int) blocks, (unsigned int) op.shape.heads, (unsigned int) batch);
  };
  SwittiKernelStatus status;

  if (!is_launchable (query_blocks) || !is_launchable (key_blocks))
    return SWITTI_KERNEL_INVALID;
  status = SWITTI_LAUNCH (context, (find_statistics<VECTOR, T>), grid (queries), dim3 (TILE_THREADS), 0, op);
  if (status == SWITTI_KERNEL_OK)
    status = SWITTI_LAUNCH (context, (differentiate_queries<VECTOR, query_columns, T>), grid (query_blocks),
                            dim3 (TILE_THREADS), 0, op);
  if (status == SWITTI_KERNEL_OK)
    status = SWITTI_LAUNCH (context, (differentiate_keys<VECTOR, key_columns, T>), grid (key_blocks),
                            dim3 (TILE_THREADS), 0, op);
  return status;
}

/* Whether four elements of every row can be read and written at a time. */
template <typename T>
static bool
has_vectors (const BackwardOperands<T> &op)
{
  const int64_t d = op.shape.d;
  const auto rows_are = [d] (const auto *base, const SwittiRows &rows) {
    return is_vector (base, rows.row_stride, d) && rows.image_stride % LANE == 0;
  };
  return rows_are (op.q, op.shape.q) && rows_are (op.k, op.shape.k) && rows_are (op.v, op.shape.v)
         && rows_are (op.out, op.shape.out) && rows_are (op.dout, op.dout_rows) && rows_are (op.dq, op.dq_rows)
         && rows_are (op.dk, op.dk_rows) && rows_are (op.dv, op.dv_rows);
}

template <typename T>
static SwittiKernelStatus
backward_of (SwittiKernelContext *context, const SwittiAttentionBackward *backward, const int32_t *key_length,
             const AttentionGradients &g)
{
  const SwittiAttention *a = &backward->attention;
  const int64_t queries = a->batch * a->heads * a->n;
  float *scratch = static_cast<float *> (g.scratch);
  const BackwardOperands<T> op = { attention_shape (a), backward->dout, backward->dq, backward->dk, backward->dv,
                                   key_length, static_cast<const T *> (g.q), static_cast<const T *> (g.k),
                                   static_cast<const T *> (g.v), static_cast<const T *> (g.out),
                                   static_cast<const T *> (g.dout), static_cast<T *> (g.dq), g.dk, g.dv,
                                   { scratch, scratch + queries, scratch + 2 * queries } };
  const bool narrow = a->d <= TILE;

  if constexpr (sizeof (T) == sizeof (float))
    if (has_vectors (op))
      return narrow ? run_backward<true, 1> (context, a->batch, op)
                    : run_backward<true, QUERY_COLUMNS> (context, a->batch, op);
  return narrow ? run_backward<false, 1> (context, a->batch, op)
                : run_backward<false, QUERY_COLUMNS> (context, a->batch, op);
}

/* Enough for whichever kernels the operands will be fit for. */
static size_t
attention_backward_scratch_bytes (SwittiKernelContext *, const SwittiAttentionBackward *backward)
{
  const SwittiAttention *a = &backward->attention;
  const size_t tiles = switti_cuda_attention_backward_mma_scratch (a);
  const size_t statistics = (size_t) a->batch * (size_t) a->heads * (size_t) a->n * 3 * sizeof (float);

  return tiles > statistics ? tiles : statistics;
}

static SwittiKernelStatus
attention_backward (SwittiKernelContext *context, const SwittiAttentionBackward *backward, const int32_t *key_length,
                    const void *q, const void *k, const void *v, const void *out, const void *dout, void *dq, float *dk,
                    float *dv, void *scratch)
{
  const AttentionGradients gradients = { q, k, v, out, dout, dq, dk, dv, scratch };
  const SwittiAttention *a = &backward->attention;

  if (a->d > MAX_HEAD || a->heads > 65535 || a->batch > 65535 || a->n > MAX_POSITIONS || a->m > MAX_POSITIONS)
    return SWITTI_KERNEL_INVALID;
  if (switti_cuda_attention_backward_has_mma (backward, gradients))
    return switti_cuda_attention_backward_mma (context, backward, key_length, gradients);
  if (a->dtype == SWITTI_DTYPE_BF16)
    return backward_of<Bf16> (context, backward, key_length, gradients);
  return backward_of<float> (context, backward, key_length, gradients);
}

void
switti_cuda_attention_backward_fill (SwittiKernels *ops)
{
  ops->attention_backward_scratch_bytes = attention_backward_scratch_bytes;
  ops->attention_backward = attention_backward;
}
