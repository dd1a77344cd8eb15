/* attention-mma-backward.cu - gradients of attention of bf16 heads of up to 64 columns on tensor cores
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Two kernels. The first has a tile of queries and goes through the keys with running maxima, as the forward does: the
 * gradients of the queries' scores are sums whose weights need no more than the maximum so far. It leaves each query's
 * log-sum-exp and sum of dout * out in the scratch. The second has a tile of keys and goes through the queries; its
 * scores have keys for rows, so that weights and gradients of scores are left operands in registers, too. Gradients of
 * keys and values are float32 sums over scales and images: they get both halves of their weights, where those of the
 * queries, which are stored as bf16, get the first.
 */
#include "attention-mma-private.h"
#include "runtime-private.h"

/* Queries, or keys, of a block. */
#define ROWS (MMA_WARPS * FRAGMENT)
/* Queries that the block of keys has at a time: it has twice the sums and scores of the other. */
#define QUERIES 32

struct MmaBackward
{
  AttentionShape shape;
  SwittiRows dout_rows, dq_rows, dk_rows, dv_rows;
  const int32_t *key_length;
  const Bf16 *q, *k, *v, *out, *dout;
  Bf16 *dq;
  float *dk, *dv;
  /* (B, H, N rounded up to ROWS): log2 of the sum of 2^(scale * score), infinity for queries that see no key and for
   * rows that are none; and sum of dout * out. */
  float *log_sum, *delta;
  int64_t rows; /* N rounded up to ROWS */
};

/* -- queries ------------------------------------------------------------------------------------------------------- */

/* The sum of dout * out for this thread's rows of its warp's 16; four threads share a row. */
template <int D>
__device__ __forceinline__ void
sum_products (const HeadRows<Bf16> &out, const HeadRows<Bf16> &dout, int64_t own, int d, float (&delta)[2])
{
  const int lane = (int) threadIdx.x % WARP_LANES, group = lane / 4, member = lane % 4;

#pragma unroll
  for (int half = 0; half < 2; half++)
    {
      const int64_t row = own + group + 8 * half;
      float sum = 0.0f, x[LANE], y[LANE];

      for (int column = member * LANE; column < d && row < out.count; column += 4 * LANE)
        {
          load_vector (out.base + row * out.stride + column, x);
          load_vector (dout.base + row * dout.stride + column, y);
#pragma unroll
          for (int e = 0; e < LANE; e++)
            sum += x[e] * y[e];
        }
      delta[half] = quad_sum (sum);
    }
}

/* Gradients of weights become weight * (gradient - delta). */
template <int COLUMNS>
__device__ __forceinline__ void
differentiate_scores (const float (&weights)[COLUMNS][4], const float (&delta)[2], float (&gradients)[COLUMNS][4])
{
#pragma unroll
  for (int j = 0; j < COLUMNS; j++)
    for (int e = 0; e < 4; e++)
      gradients[j][e] = weights[j][e] * (gradients[j][e] - delta[e / 2]);
}

/* sums (16, D) += left operands, products of COLUMNS columns, times a tile's rows. EXACT: what a left operand loses
 * when it is rounded to bf16 is multiplied as well. */
template <int D, int COLUMNS, bool EXACT>
__device__ __forceinline__ void
multiply_columns (const float (&left)[COLUMNS / 8][4], Shared<Bf16> tile, float (&sums)[D / 8][4])
{
#pragma unroll
  for (int step = 0; step < COLUMNS / FRAGMENT; step++)
    {
      uint32_t a[4], rest[4], b[4];

      pack_left (a, left, step);
      if (EXACT)
        pack_rest (rest, left, step, a);
#pragma unroll
      for (int c = 0; c < D / FRAGMENT; c++)
        {
          load_right_transposed<D> (b, tile, step * FRAGMENT, c);
          multiply_bf16 (sums[2 * c], a, b);
          multiply_bf16 (sums[2 * c + 1], a, b + 2);
          if (!EXACT)
            continue;
          multiply_bf16 (sums[2 * c], rest, b);
          multiply_bf16 (sums[2 * c + 1], rest, b + 2);
        }
    }
}

/* What the second kernel needs of this thread's rows. */
__device__ __forceinline__ void
store_statistics (const MmaBackward &op, int64_t first, const RowSoftmax &softmax, float scale, const float (&total)[2],
                  const float (&delta)[2])
{
  const int lane = (int) threadIdx.x % WARP_LANES;

#pragma unroll
  for (int half = 0; half < 2; half++)
    if (lane % 4 == 0)
      {
        const float sum = softmax.greatest[half] * scale + log2f (total[half]);
        store (op.log_sum, first + lane / 4 + 8 * half, total[half] == 0.0f ? INFINITY : sum);
        store (op.delta, first + lane / 4 + 8 * half, delta[half]);
      }
}

template <int D>
__global__ void __launch_bounds__ (MMA_THREADS, 2)
differentiate_queries_mma (MmaBackward op)
{
  SWITTI_SHARED (Bf16, queries, 2 * ROWS * D);
  SWITTI_SHARED (Bf16, tiles, 2 * 2 * ROWS * D);
  const AttentionShape &shape = op.shape;
  const int lane = (int) threadIdx.x % WARP_LANES, warp = (int) threadIdx.x / WARP_LANES;
  const int64_t image = blockIdx.z, query = (int64_t) blockIdx.x * ROWS, own = query + warp * FRAGMENT;
  const int64_t head = (int64_t) blockIdx.y * shape.d, valid = valid_keys (shape, op.key_length, image);
  const int64_t last = query + ROWS < shape.n ? query + ROWS : shape.n;
  const int keys = (int) visible_keys (shape, valid, last - 1), all_see = (int) visible_keys (shape, valid, query);
  const HeadRows<Bf16> key_rows = head_rows (op.k, shape.k, image, head, keys);
  const HeadRows<Bf16> value_rows = head_rows (op.v, shape.v, image, head, keys);
  const HeadRows<Bf16> dout = head_rows (op.dout, op.dout_rows, image, head, shape.n);
  const float scale = shape.scale * LOG2_E;
  float sums[D / 8][4] = {}, scores[1][ROWS / 8][4], gradients[1][ROWS / 8][4], delta[2], factor[2], total[2];
  const int visible[2] = { (int) visible_keys (shape, valid, own + lane / 4),
                           (int) visible_keys (shape, valid, own + lane / 4 + 8) };
  RowSoftmax softmax;

  start_rows (softmax);
  copy_rows<D, ROWS> (queries, head_rows (op.q, shape.q, image, head, shape.n), (int) query, shape.d);
  copy_rows<D, ROWS> (queries + ROWS * D, dout, (int) query, shape.d);
  copy_rows<D, ROWS> (tiles, key_rows, 0, shape.d);
  copy_rows<D, ROWS> (tiles + ROWS * D, value_rows, 0, shape.d);
  copy_async_commit ();
  sum_products<D> (head_rows (op.out, shape.out, image, head, shape.n), dout, own, shape.d, delta);
  for (int key = 0, stage = 0; key < keys; key += ROWS, stage ^= 1)
    {
      Shared<Bf16> tile = tiles + stage * 2 * ROWS * D, next = tiles + (stage ^ 1) * 2 * ROWS * D;

      copy_async_wait<0> ();
      __syncthreads ();
      if (key + ROWS < keys)
        {
          copy_rows<D, ROWS> (next, key_rows, key + ROWS, shape.d);
          copy_rows<D, ROWS> (next + ROWS * D, value_rows, key + ROWS, shape.d);
          copy_async_commit ();
        }
      if (own >= shape.n)
        continue;
      multiply_rows_mma<D, 1, ROWS> (queries + warp * FRAGMENT * D, tile, scores);
      weigh_scores (softmax, scores[0], visible, key, key + ROWS > all_see, scale, factor);
      multiply_rows_mma<D, 1, ROWS> (queries + (ROWS + warp * FRAGMENT) * D, tile + ROWS * D, gradients);
      differentiate_scores (scores[0], delta, gradients[0]);
      scale_rows (sums, factor);
      multiply_columns<D, ROWS, false> (gradients[0], tile, sums);
    }
  /* Where there is no key, the queries' copies land here. */
  copy_async_wait<0> ();
  __syncthreads ();
#pragma unroll
  for (int half = 0; half < 2; half++)
    {
      total[half] = quad_sum (softmax.total[half]);
      factor[half] = total[half] == 0.0f ? 0.0f : shape.scale / total[half];
    }
  store_statistics (op, (image * shape.heads + blockIdx.y) * op.rows + own, softmax, scale, total, delta);
  store_rows<D> (op.dq + image * op.dq_rows.image_stride + head, op.dq_rows.row_stride, own, shape.n, shape.d, sums,
                 factor, queries + warp * FRAGMENT * D);
}

/* -- keys ---------------------------------------------------------------------------------------------------------- */

/* Starts to copy a tile of queries, of their outputs' gradients, and their statistics. */
template <int D>
__device__ __forceinline__ void
copy_queries (const MmaBackward &op, const HeadRows<Bf16> &queries, const HeadRows<Bf16> &dout, int64_t statistics,
              int query, Shared<Bf16> tile, Shared<float> numbers)
{
  constexpr int pieces = QUERIES / 4;
  const int piece = (int) threadIdx.x % pieces * 4;

  copy_rows<D, QUERIES> (tile, queries, query, op.shape.d);
  copy_rows<D, QUERIES> (tile + QUERIES * D, dout, query, op.shape.d);
  if (threadIdx.x < pieces)
    copy_async_16 (numbers + piece, op.log_sum + statistics + query + piece, 16);
  else if (threadIdx.x < 2 * pieces)
    copy_async_16 (numbers + QUERIES + piece, op.delta + statistics + query + piece, 16);
  copy_async_commit ();
}

/* Scores (16 keys, queries from `query` on) become weights, gradients of weights become those of scores. Key `own` +
 * row is seen by queries from first_seeing on; keys from `valid` on by none. */
__device__ __forceinline__ void
differentiate_columns (const AttentionShape &shape, int own, int valid, int query, Shared<float> numbers,
                       float (&scores)[QUERIES / 8][4], float (&gradients)[QUERIES / 8][4])
{
  const int lane = (int) threadIdx.x % WARP_LANES, group = lane / 4, member = lane % 4;
  const float scale = shape.scale * LOG2_E;
  int first_seeing[2];

#pragma unroll
  for (int half = 0; half < 2; half++)
    {
      const int key = own + group + 8 * half, hidden = shape.causal ? key - (int) (shape.m - shape.n) : 0;
      first_seeing[half] = key < valid ? hidden : INT32_MAX;
    }
#pragma unroll
  for (int j = 0; j < QUERIES / 8; j++)
    {
      const float2 log_sum = shared_load<float2> (numbers + 8 * j + 2 * member);
      const float2 delta = shared_load<float2> (numbers + QUERIES + 8 * j + 2 * member);

#pragma unroll
      for (int e = 0; e < 4; e++)
        {
          const float sum = e % 2 == 0 ? log_sum.x : log_sum.y, part = e % 2 == 0 ? delta.x : delta.y;
          const bool is_seen = query + 8 * j + 2 * member + e % 2 >= first_seeing[e / 2];
          const float weight = is_seen ? exp2_approximate (__fmaf_rn (scores[j][e], scale, -sum)) : 0.0f;

          scores[j][e] = weight;
          gradients[j][e] = weight * (gradients[j][e] - part);
        }
    }
}

/* A warp's 16 rows of sums, times a factor, are added to what is there. */
template <int D>
__device__ __forceinline__ void
add_rows (float *base, int64_t stride, int64_t own, int64_t count, int d, float factor, const float (&sums)[D / 8][4])
{
  const int lane = (int) threadIdx.x % WARP_LANES, group = lane / 4, member = lane % 4;

#pragma unroll
  for (int half = 0; half < 2; half++)
    for (int c = 0; c < D / 8; c++)
      {
        const int64_t row = own + group + 8 * half;
        float *to = base + row * stride + 8 * c + 2 * member;

        if (row >= count || 8 * c >= d)
          continue;
        check_read (to, sizeof (float2), sizeof (float));
        float2 value = *reinterpret_cast<const float2 *> (to);
        value.x += sums[c][2 * half] * factor;
        value.y += sums[c][2 * half + 1] * factor;
        check_write (to, sizeof (float2));
        *reinterpret_cast<float2 *> (to) = value;
      }
}

template <int D>
__global__ void __launch_bounds__ (MMA_THREADS, 2)
differentiate_keys_mma (MmaBackward op)
{
  SWITTI_SHARED (Bf16, rows, 2 * ROWS * D);
  SWITTI_SHARED (Bf16, tiles, 2 * 2 * QUERIES * D);
  SWITTI_SHARED (float, numbers, 2 * 2 * QUERIES);
  const AttentionShape &shape = op.shape;
  const int warp = (int) threadIdx.x / WARP_LANES;
  const int64_t image = blockIdx.z, key = (int64_t) blockIdx.x * ROWS, own = key + warp * FRAGMENT;
  const int64_t head = (int64_t) blockIdx.y * shape.d, valid = valid_keys (shape, op.key_length, image);
  const int64_t statistics = (image * shape.heads + blockIdx.y) * op.rows;
  const int64_t hidden = shape.causal && key > shape.m - shape.n ? key - (shape.m - shape.n) : 0;
  const HeadRows<Bf16> queries = head_rows (op.q, shape.q, image, head, shape.n);
  const HeadRows<Bf16> dout = head_rows (op.dout, op.dout_rows, image, head, shape.n);
  float key_sums[D / 8][4] = {}, value_sums[D / 8][4] = {}, scores[1][QUERIES / 8][4], gradients[1][QUERIES / 8][4];
  int query = (int) (hidden / QUERIES * QUERIES);

  if (key >= valid)
    return;
  copy_rows<D, ROWS> (rows, head_rows (op.k, shape.k, image, head, valid), (int) key, shape.d);
  copy_rows<D, ROWS> (rows + ROWS * D, head_rows (op.v, shape.v, image, head, valid), (int) key, shape.d);
  copy_queries<D> (op, queries, dout, statistics, query, tiles, numbers);
  for (int stage = 0; query < shape.n; query += QUERIES, stage ^= 1)
    {
      Shared<Bf16> tile = tiles + stage * 2 * QUERIES * D, next = tiles + (stage ^ 1) * 2 * QUERIES * D;

      copy_async_wait<0> ();
      __syncthreads ();
      if (query + QUERIES < shape.n)
        copy_queries<D> (op, queries, dout, statistics, query + QUERIES, next, numbers + (stage ^ 1) * 2 * QUERIES);
      if (own >= valid)
        continue;
      multiply_rows_mma<D, 1, QUERIES> (rows + warp * FRAGMENT * D, tile, scores);
      multiply_rows_mma<D, 1, QUERIES> (rows + (ROWS + warp * FRAGMENT) * D, tile + QUERIES * D, gradients);
      differentiate_columns (shape, (int) own, (int) valid, query, numbers + stage * 2 * QUERIES, scores[0],
                             gradients[0]);
      multiply_columns<D, QUERIES, true> (scores[0], tile + QUERIES * D, value_sums);
      multiply_columns<D, QUERIES, true> (gradients[0], tile, key_sums);
    }
  add_rows<D> (op.dk + image * op.dk_rows.image_stride + head, op.dk_rows.row_stride, own, valid, shape.d, shape.scale,
               key_sums);
  add_rows<D> (op.dv + image * op.dv_rows.image_stride + head, op.dv_rows.row_stride, own, valid, shape.d, 1.0f,
               value_sums);
}

/* -- on the host --------------------------------------------------------------------------------------------------- */

template <int D>
static SwittiKernelStatus
launch_backward (SwittiKernelContext *context, const SwittiAttention *a, const MmaBackward &op)
{
  const auto grid = [a] (int64_t rows) {
    return dim3 ((unsigned int) blocks_for (rows, ROWS), (unsigned int) a->heads, (unsigned int) a->batch);
  };
  const SwittiKernelStatus status
      = SWITTI_LAUNCH (context, (differentiate_queries_mma<D>), grid (a->n), dim3 (MMA_THREADS), 0, op);

  if (status != SWITTI_KERNEL_OK)
    return status;
  return SWITTI_LAUNCH (context, (differentiate_keys_mma<D>), grid (a->m), dim3 (MMA_THREADS), 0, op);
}

static bool
has_pairs (const float *base, const SwittiRows &rows)
{
  return reinterpret_cast<uintptr_t> (base) % sizeof (float2) == 0 && rows.image_stride % 2 == 0
         && rows.row_stride % 2 == 0;
}

bool
switti_cuda_attention_backward_has_mma (const SwittiAttentionBackward *backward, const AttentionGradients &g)
{
  const SwittiAttention *a = &backward->attention;

  return a->d <= 64 && switti_cuda_attention_has_mma (a, g.q, g.k, g.v, g.out)
         && has_pieces (g.dout, backward->dout, a->d) && has_pieces (g.dq, backward->dq, a->d)
         && has_pairs (g.dk, backward->dk) && has_pairs (g.dv, backward->dv)
         && reinterpret_cast<uintptr_t> (g.scratch) % 16 == 0;
}

size_t
switti_cuda_attention_backward_mma_scratch (const SwittiAttention *a)
{
  return (size_t) (2 * a->batch * a->heads * blocks_for (a->n, ROWS) * ROWS) * sizeof (float);
}

SwittiKernelStatus
switti_cuda_attention_backward_mma (SwittiKernelContext *context, const SwittiAttentionBackward *backward,
                                    const int32_t *key_length, const AttentionGradients &g)
{
  const SwittiAttention *a = &backward->attention;
  const int64_t rows = blocks_for (a->n, ROWS) * ROWS;
  float *log_sum = static_cast<float *> (g.scratch);
  const MmaBackward op = { attention_shape (a), backward->dout, backward->dq, backward->dk, backward->dv, key_length,
                           static_cast<const Bf16 *> (g.q), static_cast<const Bf16 *> (g.k),
                           static_cast<const Bf16 *> (g.v), static_cast<const Bf16 *> (g.out),
                           static_cast<const Bf16 *> (g.dout), static_cast<Bf16 *> (g.dq), g.dk, g.dv, log_sum,
                           log_sum + a->batch * a->heads * rows, rows };

  return a->d <= 32 ? launch_backward<32> (context, a, op) : launch_backward<64> (context, a, op);
}
