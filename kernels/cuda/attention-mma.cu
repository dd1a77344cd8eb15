/* attention-mma.cu - attention of bf16 heads of up to 128 columns on tensor cores
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * As in FlashAttention-2: a block has MMA_WARPS * 16 * GROUPS queries in shared memory and goes through the keys and
 * values once. Scores are products in registers; their weights are powers of two below a running maximum, and the left
 * operands of the product with the values, without a way through memory. While a tile of keys and values is multiplied,
 * the next one is copied. Wider heads are attention-mma-wide.cu's.
 */
#include "attention-mma-private.h"
#include "runtime-private.h"

/* Blocks from which on each has twice the queries, as then no multiprocessor of a large GPU is left without one. */
#define MANY_BLOCKS 256

struct MmaOperands
{
  AttentionShape shape;
  const int32_t *group_index, *key_length;
  const Bf16 *q, *k, *v;
  Bf16 *out;
};

template <int D, int GROUPS, int KEYS>
__global__ void __launch_bounds__ (MMA_THREADS, 2)
attend_mma (MmaOperands op)
{
  constexpr int QUERIES = MMA_WARPS * FRAGMENT * GROUPS;
  SWITTI_SHARED (Bf16, queries, QUERIES * D);
  SWITTI_SHARED (Bf16, tiles, 2 * 2 * KEYS * D);
  const AttentionShape &shape = op.shape;
  const int lane = (int) threadIdx.x % WARP_LANES, warp = (int) threadIdx.x / WARP_LANES;
  const int64_t image = blockIdx.z, query = (int64_t) blockIdx.x * QUERIES;
  const int64_t own = query + warp * FRAGMENT * GROUPS, head = (int64_t) blockIdx.y * shape.d;
  const int64_t group = op.group_index != nullptr ? load_index (op.group_index, image) : image;
  const int64_t valid = valid_keys (shape, op.key_length, group);
  const int64_t last = query + QUERIES < shape.n ? query + QUERIES : shape.n;
  const int keys = (int) visible_keys (shape, valid, last - 1), all_see = (int) visible_keys (shape, valid, query);
  const HeadRows<Bf16> key_rows = head_rows (op.k, shape.k, group, head, keys);
  const HeadRows<Bf16> value_rows = head_rows (op.v, shape.v, group, head, keys);
  const float scale = shape.scale * LOG2_E;
  float sums[GROUPS][D / 8][4] = {}, scores[GROUPS][KEYS / 8][4];
  RowSoftmax softmax[GROUPS];
  int visible[GROUPS][2];

#pragma unroll
  for (int g = 0; g < GROUPS; g++)
    {
      start_rows (softmax[g]);
      for (int half = 0; half < 2; half++)
        visible[g][half] = (int) visible_keys (shape, valid, own + g * FRAGMENT + lane / 4 + 8 * half);
    }
  copy_rows<D, QUERIES> (queries, head_rows (op.q, shape.q, image, head, shape.n), (int) query, shape.d);
  copy_rows<D, KEYS> (tiles, key_rows, 0, shape.d);
  copy_rows<D, KEYS> (tiles + KEYS * D, value_rows, 0, shape.d);
  copy_async_commit ();
  for (int key = 0, stage = 0; key < keys; key += KEYS, stage ^= 1)
    {
      Shared<Bf16> tile = tiles + stage * 2 * KEYS * D, next = tiles + (stage ^ 1) * 2 * KEYS * D;

      copy_async_wait<0> ();
      __syncthreads ();
      if (key + KEYS < keys)
        {
          copy_rows<D, KEYS> (next, key_rows, key + KEYS, shape.d);
          copy_rows<D, KEYS> (next + KEYS * D, value_rows, key + KEYS, shape.d);
          copy_async_commit ();
        }
      if (own >= shape.n)
        continue;
      multiply_rows_mma<D, GROUPS, KEYS> (queries + warp * GROUPS * FRAGMENT * D, tile, scores);
#pragma unroll
      for (int g = 0; g < GROUPS; g++)
        {
          float factor[2];

          weigh_scores (softmax[g], scores[g], visible[g], key, key + KEYS > all_see, scale, factor);
          scale_rows (sums[g], factor);
        }
      add_values<D, GROUPS, KEYS> (scores, tile + KEYS * D, sums);
    }
  /* Where there is no key, the queries' copies land here. */
  copy_async_wait<0> ();
  __syncthreads ();
#pragma unroll
  for (int g = 0; g < GROUPS; g++)
    store_outputs<D> (op.out + image * shape.out.image_stride + head, shape.out.row_stride, own + g * FRAGMENT, shape.n,
                      shape.d, sums[g], softmax[g], queries + (warp * GROUPS + g) * FRAGMENT * D);
}

/* -- on the host --------------------------------------------------------------------------------------------------- */

template <int D, int GROUPS, int KEYS>
static SwittiKernelStatus
launch_mma (SwittiKernelContext *context, const SwittiAttention *a, const MmaOperands &op)
{
  const dim3 grid ((unsigned int) blocks_for (a->n, MMA_WARPS * FRAGMENT * GROUPS), (unsigned int) a->heads,
                   (unsigned int) a->batch);

  return SWITTI_LAUNCH (context, (attend_mma<D, GROUPS, KEYS>), grid, dim3 (MMA_THREADS), 0, op);
}

/* The rows of one group or two have the same bits: a row's arithmetic does not depend on the rows beside it. */
template <int D>
static SwittiKernelStatus
launch_groups (SwittiKernelContext *context, const SwittiAttention *a, const MmaOperands &op)
{
  const int64_t blocks = blocks_for (a->n, 2 * MMA_WARPS * FRAGMENT) * a->heads * a->batch;

  return blocks >= MANY_BLOCKS && a->n > MMA_WARPS * FRAGMENT ? launch_mma<D, 2, 64> (context, a, op)
                                                              : launch_mma<D, 1, 64> (context, a, op);
}

bool
switti_cuda_attention_has_mma (const SwittiAttention *a, const void *q, const void *k, const void *v, const void *out)
{
  /* A maximum of scores is one of their multiples by a positive scale alone. */
  return a->dtype == SWITTI_DTYPE_BF16 && a->scale > 0.0f && has_pieces (q, a->q, a->d)
         && has_pieces (k, a->k, a->d) && has_pieces (v, a->v, a->d) && has_pieces (out, a->out, a->d);
}

SwittiKernelStatus
switti_cuda_attention_mma (SwittiKernelContext *context, const SwittiAttention *a, const int32_t *group_index,
                           const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  const MmaOperands op = { attention_shape (a), group_index, key_length, static_cast<const Bf16 *> (q),
                           static_cast<const Bf16 *> (k), static_cast<const Bf16 *> (v), static_cast<Bf16 *> (out) };

  if (a->d <= 32)
    return launch_groups<32> (context, a, op);
  if (a->d <= 64)
    return launch_groups<64> (context, a, op);
  if (a->d <= 128)
    return launch_mma<128, 1, 32> (context, a, op);
  return switti_cuda_attention_wide (context, a, group_index, key_length, q, k, v, out);
}
