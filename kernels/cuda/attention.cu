/* attention.cu - softmax (q . k^T * scale) . v in float32, for any width of a head
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block has a tile of queries and some tiles of the head's columns; it goes through the keys once, with running
 * maxima and sums (the "online" softmax of FlashAttention). Heads wider than a block's columns have their scores made
 * by several blocks. What tensor cores can do is attention-mma.cu's.
 */
#include "runtime-private.h"

#include "attention-private.h"
#include "cudnn-private.h"

template <bool VECTOR, int COLUMNS, typename T>
__global__ void __launch_bounds__ (TILE_THREADS, COLUMNS == 1 ? 2 : 1)
attend (AttentionShape shape, const int32_t *group_index, const int32_t *key_length, const T *q, const T *k, const T *v,
        T *out)
{
  SWITTI_SHARED (float, stage, 2 * TILE_DEPTH * TILE_STRIDE);
  SWITTI_SHARED (float, weights, TILE * TILE_STRIDE);
  const int blocks = (shape.d + COLUMNS * TILE - 1) / (COLUMNS * TILE);
  const int64_t image = blockIdx.z, query = (int64_t) blockIdx.x / blocks * TILE;
  const int first_column = (int) (blockIdx.x % blocks) * COLUMNS * TILE;
  const int64_t head = (int64_t) blockIdx.y * shape.d;
  const int64_t group = group_index != nullptr ? load_index (group_index, image) : image;
  const int64_t valid = valid_keys (shape, key_length, group), keys = tile_keys (shape, valid, query);
  const HeadRows<T> queries = head_rows (q, shape.q, image, head, shape.n);
  const HeadRows<T> key_rows = head_rows (k, shape.k, group, head, keys);
  const HeadRows<T> value_rows = head_rows (v, shape.v, group, head, keys);
  float sums[COLUMNS][LANE][LANE] = {}, scores[LANE][LANE], factor[LANE];
  OnlineSoftmax softmax;

  start_softmax (softmax);
  for (int64_t key = 0; key < keys; key += TILE)
    {
      multiply_rows<VECTOR> (queries, query, key_rows, key, shape.d, stage, scores);
      add_scores (softmax, shape, valid, query, key, scores, factor);
      store_tile<true> (weights, scores);
#pragma unroll
      for (int c = 0; c < COLUMNS; c++)
        {
          for (int i = 0; i < LANE; i++)
            for (int j = 0; j < LANE; j++)
              sums[c][i][j] *= factor[i];
          multiply_weights<VECTOR> (weights, value_rows, key, first_column + c * TILE, shape.d, stage, sums[c]);
        }
    }
  out += image * shape.out.image_stride + head;
#pragma unroll
  for (int i = 0; i < LANE; i++)
    {
      const int64_t row = query + tile_row () + i;
      const float total = row_sum (softmax.total[i]), inverse = total == 0.0f ? 0.0f : 1.0f / total;

#pragma unroll
      for (int c = 0; c < COLUMNS; c++)
        {
          const int column = first_column + c * TILE + tile_column ();
          for (int j = 0; j < LANE; j++)
            sums[c][i][j] *= inverse;
          if (row < shape.n && column < shape.d)
            store_lane<VECTOR> (out + row * shape.out.row_stride, column, shape.d, sums[c][i]);
        }
    }
}

template <bool VECTOR, int COLUMNS, typename T>
static SwittiKernelStatus
run_attention (SwittiKernelContext *context, const SwittiAttention *a, const int32_t *group_index,
               const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  const int64_t blocks = blocks_for (a->n, TILE) * blocks_for (a->d, COLUMNS * TILE);
  const dim3 grid ((unsigned int) blocks, (unsigned int) a->heads, (unsigned int) a->batch);

  if (!is_launchable (blocks))
    return SWITTI_KERNEL_INVALID;
  return SWITTI_LAUNCH (context, (attend<VECTOR, COLUMNS, T>), grid, dim3 (TILE_THREADS), 0, attention_shape (a),
                        group_index, key_length, static_cast<const T *> (q), static_cast<const T *> (k),
                        static_cast<const T *> (v), static_cast<T *> (out));
}

template <bool VECTOR, typename T>
static SwittiKernelStatus
run_of_width (SwittiKernelContext *context, const SwittiAttention *a, const int32_t *group_index,
              const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  return a->d <= TILE ? run_attention<VECTOR, 1, T> (context, a, group_index, key_length, q, k, v, out)
                      : run_attention<VECTOR, 4, T> (context, a, group_index, key_length, q, k, v, out);
}

/* Whether four elements of every row can be read at a time. */
template <typename T>
static bool
has_vectors (const SwittiAttention *a, const void *q, const void *k, const void *v, const void *out)
{
  const auto rows_are = [a] (const void *base, const SwittiRows &rows) {
    return is_vector (static_cast<const T *> (base), rows.row_stride, a->d) && rows.image_stride % LANE == 0;
  };
  return rows_are (q, a->q) && rows_are (k, a->k) && rows_are (v, a->v) && rows_are (out, a->out);
}

static SwittiKernelStatus
run_own (SwittiKernelContext *context, const SwittiAttention *a, const int32_t *group_index,
         const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  if (a->d > MAX_HEAD || a->heads > 65535 || a->batch > 65535 || a->n > MAX_POSITIONS || a->m > MAX_POSITIONS)
    return SWITTI_KERNEL_INVALID;
  if (switti_cuda_attention_has_mma (a, q, k, v, out))
    return switti_cuda_attention_mma (context, a, group_index, key_length, q, k, v, out);
  if (a->dtype == SWITTI_DTYPE_BF16)
    return run_of_width<false, Bf16> (context, a, group_index, key_length, q, k, v, out);
  if (has_vectors<float> (a, q, k, v, out))
    return run_of_width<true, float> (context, a, group_index, key_length, q, k, v, out);
  return run_of_width<false, float> (context, a, group_index, key_length, q, k, v, out);
}

static SwittiKernelStatus
attention (SwittiKernelContext *context, const SwittiAttention *a, const int32_t *group_index,
           const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  if (group_index == NULL && key_length == NULL && switti_cuda_cudnn_attention (context, a, q, k, v, out))
    {
      context->profile[SWITTI_KERNEL_OP_ATTENTION].library_calls += context->profile_enabled;
      return SWITTI_KERNEL_OK;
    }
  return run_own (context, a, group_index, key_length, q, k, v, out);
}

/* Against the own kernel for one image. */
static SwittiKernelStatus
attention_plan (SwittiKernelContext *context, const SwittiAttention *a)
{
  SwittiAttention one = *a;

  one.batch = 1;
  switti_cuda_cudnn_attention_plan (context, a, [&] (void *const *o) {
    return run_own (context, &one, NULL, NULL, o[CUDNN_ATTENTION_Q], o[CUDNN_ATTENTION_K], o[CUDNN_ATTENTION_V],
                    o[CUDNN_ATTENTION_OUT]);
  });
  return SWITTI_KERNEL_OK;
}

void
switti_cuda_attention_fill (SwittiKernels *ops)
{
  ops->attention_plan = attention_plan;
  ops->attention = attention;
}
