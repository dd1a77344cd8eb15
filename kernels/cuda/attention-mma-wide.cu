/* attention-mma-wide.cu - attention of bf16 heads of more than 128 columns on tensor cores
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The VAE's one head is as wide as its map has channels. A block has ROWS queries and COLUMNS of their outputs, so that
 * one image's few queries keep a GPU busy; each of a row's blocks makes the scores anew, from pieces of DEPTH columns
 * of queries and keys. Those pieces, and then a tile's values, come through a ring of three stages, two copies ahead.
 */
#include "attention-mma-private.h"
#include "runtime-private.h"

#define ROWS (MMA_WARPS * FRAGMENT)
#define DEPTH 64
#define COLUMNS 128
#define STAGES 3
#define STAGE (2 * ROWS * DEPTH)

static_assert (STAGE == ROWS * COLUMNS, "a stage holds queries and keys, or values");

struct WideOperands
{
  AttentionShape shape;
  const int32_t *group_index, *key_length;
  const Bf16 *q, *k, *v;
  Bf16 *out;
};

/* What a block reads, in steps: for each tile of keys its pieces, then its values. */
struct Ring
{
  HeadRows<Bf16> queries, keys, values; /* values: from the block's columns on */
  int query, d, columns;                /* of the values that are there */
  int pieces, steps;                    /* of a tile; of the block */
};

/* Starts to copy what `step` needs, if there is such a step. */
__device__ __forceinline__ void
copy_step (const Ring &ring, Shared<Bf16> stages, int step)
{
  Shared<Bf16> stage = stages + step % STAGES * STAGE;
  const int key = step / (ring.pieces + 1) * ROWS, column = step % (ring.pieces + 1) * DEPTH;

  if (step < ring.steps && column < ring.pieces * DEPTH)
    {
      const HeadRows<Bf16> queries = { ring.queries.base + column, ring.queries.stride, ring.queries.count };
      const HeadRows<Bf16> keys = { ring.keys.base + column, ring.keys.stride, ring.keys.count };
      copy_rows<DEPTH, ROWS> (stage, queries, ring.query, ring.d - column);
      copy_rows<DEPTH, ROWS> (stage + ROWS * DEPTH, keys, key, ring.d - column);
    }
  else if (step < ring.steps)
    copy_rows<COLUMNS, ROWS> (stage, ring.values, key, ring.columns);
  copy_async_commit ();
}

/* What `step` needs is there; the step after the next is on its way. */
__device__ __forceinline__ Shared<Bf16>
next_step (const Ring &ring, Shared<Bf16> stages, int step)
{
  copy_async_wait<STAGES - 2> ();
  __syncthreads ();
  copy_step (ring, stages, step + STAGES - 1);
  return stages + step % STAGES * STAGE;
}

__global__ void __launch_bounds__ (MMA_THREADS, 2)
attend_wide (WideOperands op)
{
  SWITTI_SHARED (Bf16, stages, STAGES * STAGE);
  const AttentionShape &shape = op.shape;
  const int lane = (int) threadIdx.x % WARP_LANES, warp = (int) threadIdx.x / WARP_LANES;
  const int blocks = (shape.d + COLUMNS - 1) / COLUMNS, first_column = (int) (blockIdx.x % blocks) * COLUMNS;
  const int64_t image = blockIdx.z, query = (int64_t) blockIdx.x / blocks * ROWS, own = query + warp * FRAGMENT;
  const int64_t group = op.group_index != nullptr ? load_index (op.group_index, image) : image;
  const int64_t head = (int64_t) blockIdx.y * shape.d, valid = valid_keys (shape, op.key_length, group);
  const int64_t last = query + ROWS < shape.n ? query + ROWS : shape.n;
  const int keys = (int) visible_keys (shape, valid, last - 1), all_see = (int) visible_keys (shape, valid, query);
  const int pieces = (shape.d + DEPTH - 1) / DEPTH;
  const Ring ring = { head_rows (op.q, shape.q, image, head, shape.n), head_rows (op.k, shape.k, group, head, keys),
                      head_rows (op.v, shape.v, group, head + first_column, keys), (int) query, shape.d,
                      shape.d - first_column, pieces, (keys + ROWS - 1) / ROWS * (pieces + 1) };
  const int visible[2] = { (int) visible_keys (shape, valid, own + lane / 4),
                           (int) visible_keys (shape, valid, own + lane / 4 + 8) };
  float sums[1][COLUMNS / 8][4] = {}, scores[1][ROWS / 8][4], factor[2];
  RowSoftmax softmax;

  start_rows (softmax);
  for (int step = 0; step < STAGES - 1; step++)
    copy_step (ring, stages, step);
  for (int key = 0, step = 0; key < keys; key += ROWS)
    {
      clear_product (scores);
      for (int piece = 0; piece < pieces; piece++, step++)
        {
          Shared<Bf16> stage = next_step (ring, stages, step);

          if (own < shape.n)
            add_rows_mma<DEPTH, 1, ROWS> (stage + warp * FRAGMENT * DEPTH, stage + ROWS * DEPTH, scores);
        }
      Shared<Bf16> values = next_step (ring, stages, step++);

      if (own >= shape.n)
        continue;
      weigh_scores (softmax, scores[0], visible, key, key + ROWS > all_see, shape.scale * LOG2_E, factor);
      scale_rows (sums[0], factor);
      add_values<COLUMNS, 1, ROWS> (scores, values, sums);
    }
  copy_async_wait<0> ();
  __syncthreads ();
  store_outputs<COLUMNS> (op.out + image * shape.out.image_stride + head + first_column, shape.out.row_stride, own,
                          shape.n, ring.columns, sums[0], softmax, stages + warp * FRAGMENT * COLUMNS);
}

SwittiKernelStatus
switti_cuda_attention_wide (SwittiKernelContext *context, const SwittiAttention *a, const int32_t *group_index,
                            const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  const WideOperands op = { attention_shape (a), group_index, key_length, static_cast<const Bf16 *> (q),
                            static_cast<const Bf16 *> (k), static_cast<const Bf16 *> (v), static_cast<Bf16 *> (out) };
  const int64_t blocks = blocks_for (a->n, ROWS) * blocks_for (a->d, COLUMNS);

  if (!is_launchable (blocks))
    return SWITTI_KERNEL_INVALID;
  return SWITTI_LAUNCH (context, attend_wide,
                        dim3 ((unsigned int) blocks, (unsigned int) a->heads, (unsigned int) a->batch),
                        dim3 (MMA_THREADS), 0, op);
}
