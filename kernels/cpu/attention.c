/* attention.c - softmax (q . k^T * scale) . v
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "math-private.h"

typedef struct
{
  const SwittiAttention *attention;
  const int32_t *group_index;
  const int32_t *key_length;
  const void *q;
  const void *k;
  const void *v;
  void *out;
} Operands;

/* Keys that query i of the image sees. */
static int64_t
visible_keys (const Operands *op, int64_t group, int64_t i)
{
  const SwittiAttention *attention = op->attention;
  int64_t keys = attention->m;
  if (op->key_length != NULL && op->key_length[group] < keys)
    keys = op->key_length[group];
  if (attention->causal && i + attention->m - attention->n + 1 < keys)
    keys = i + attention->m - attention->n + 1;
  return keys > 0 ? keys : 0;
}

SWITTI_INLINE void
attend (const Operands *op, SwittiDtype dtype, int64_t image, int64_t head, int64_t i, float *scores)
{
  const SwittiAttention *attention = op->attention;
  const int64_t d = attention->d;
  const int64_t group = op->group_index != NULL ? op->group_index[image] : image;
  const int64_t keys = visible_keys (op, group, i);
  const void *q = switti_at (dtype, op->q,
                             image * attention->q.image_stride + i * attention->q.row_stride + head * d);
  void *out = switti_at_mutable (dtype, op->out,
                                 image * attention->out.image_stride + i * attention->out.row_stride + head * d);
  float *sums = scores + keys, greatest = -INFINITY, total = 0.0f;

  for (int64_t j = 0; j < keys; j++)
    {
      const void *k = switti_at (dtype, op->k,
                                 group * attention->k.image_stride + j * attention->k.row_stride + head * d);
      float score = 0.0f;
#pragma omp simd reduction(+ : score)
      for (int64_t x = 0; x < d; x++)
        score += switti_load (dtype, q, x) * switti_load (dtype, k, x);
      scores[j] = score * attention->scale;
      greatest = scores[j] > greatest ? scores[j] : greatest;
    }
  memset (sums, 0, (size_t) d * sizeof *sums);
  for (int64_t j = 0; j < keys; j++)
    {
      const void *v = switti_at (dtype, op->v,
                                 group * attention->v.image_stride + j * attention->v.row_stride + head * d);
      const float weight = switti_exp (scores[j] - greatest);
      total += weight;
#pragma omp simd
      for (int64_t x = 0; x < d; x++)
        sums[x] += weight * switti_load (dtype, v, x);
    }
  const float inverse = keys > 0 ? 1.0f / total : 0.0f;
  for (int64_t x = 0; x < d; x++)
    switti_store (dtype, out, x, sums[x] * inverse);
}

static SwittiKernelStatus
attention_op (SwittiKernelContext *context, const SwittiAttention *attention, const int32_t *group_index,
              const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  const Operands op = { attention, group_index, key_length, q, k, v, out };
  const int64_t rows = attention->batch * attention->heads * attention->n;

  if (!switti_is_activation_dtype (attention->dtype)
      || (size_t) (attention->m + attention->d) > SWITTI_CPU_THREAD_SCRATCH)
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t r = 0; r < rows; r++)
    {
      const int64_t image = r / (attention->heads * attention->n);
      const int64_t head = r / attention->n % attention->heads;
      float *scores = switti_cpu_thread_scratch (context, omp_get_thread_num ());
      if (attention->dtype == SWITTI_DTYPE_F32)
        attend (&op, SWITTI_DTYPE_F32, image, head, r % attention->n, scores);
      else
        attend (&op, SWITTI_DTYPE_BF16, image, head, r % attention->n, scores);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (attention_fill) (SwittiKernels *ops)
{
  ops->attention = attention_op;
}
