/* rope.c - LayerNorm of queries and keys over all heads, then rotary position embedding
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "math-private.h"

/* out = RoPE (LN (in)); out may be in. Pairs of a head lie side by side, as do the (cos, sin) of rope (d/2, 2). */
SWITTI_INLINE void
norm_rope_row (const SwittiQkNormRope *op, SwittiDtype dtype, const float *rope, const void *in, void *out)
{
  const int64_t c = op->heads * op->d;
  float sum = 0.0f, squares = 0.0f;

#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < c; j++)
    sum += switti_load (dtype, in, j);
  const float mean = sum / (float) c;
#pragma omp simd reduction(+ : squares)
  for (int64_t j = 0; j < c; j++)
    {
      const float centred = switti_load (dtype, in, j) - mean;
      squares += centred * centred;
    }
  const float inverse = 1.0f / sqrtf (squares / (float) c + op->eps);

  if (rope == NULL)
    {
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        switti_store (dtype, out, j, (switti_load (dtype, in, j) - mean) * inverse);
      return;
    }
  for (int64_t h = 0; h < op->heads; h++)
    {
      const int64_t head = h * op->d;
#pragma omp simd
      for (int64_t i = 0; i < op->d / 2; i++)
        {
          const float a = (switti_load (dtype, in, head + 2 * i) - mean) * inverse;
          const float b = (switti_load (dtype, in, head + 2 * i + 1) - mean) * inverse;
          const float cosine = rope[2 * i], sine = rope[2 * i + 1];
          switti_store (dtype, out, head + 2 * i, a * cosine - b * sine);
          switti_store (dtype, out, head + 2 * i + 1, a * sine + b * cosine);
        }
    }
}

SWITTI_INLINE void
qk_norm_rope_row (const SwittiQkNormRope *op, SwittiDtype dtype, int64_t image, int64_t r, const float *rope,
                  const void *const in[3], void *const out[3])
{
  const SwittiRows *in_rows[3] = { &op->q, &op->k, &op->v };
  const SwittiRows *out_rows[3] = { &op->q_out, &op->k_out, &op->v_out };
  const float *angles = rope != NULL ? rope + r * op->d : NULL;

  for (int i = 0; i < 3; i++)
    {
      const int64_t from = image * in_rows[i]->image_stride + r * in_rows[i]->row_stride;
      const int64_t to = image * out_rows[i]->image_stride + r * out_rows[i]->row_stride;
      const void *source = switti_at (dtype, in[i], from);
      void *target = switti_at_mutable (dtype, out[i], to);
      if (source == NULL)
        continue;
      if (i < 2)
        norm_rope_row (op, dtype, angles, source, target);
      else
        memmove (target, source, (size_t) (op->heads * op->d) * switti_dtype_size (dtype));
    }
}

static SwittiKernelStatus
qk_norm_rope (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope, const void *q,
              const void *k, const void *v, void *q_out, void *k_out, void *v_out)
{
  const void *const in[3] = { q, k, v };
  void *const out[3] = { q_out, k_out, v_out };
  const int64_t rows = op->batch * op->n, width = op->heads * op->d;

  if (!switti_is_activation_dtype (op->dtype) || (rope != NULL && op->d % 2 != 0))
    return SWITTI_KERNEL_INVALID;
  for (int i = 0; i < 3; i++)
    if (in[i] != NULL && out[i] == NULL)
      return SWITTI_KERNEL_INVALID;

#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (rows * width > SWITTI_SERIAL_ELEMENTS)
  for (int64_t r = 0; r < rows; r++)
    {
      if (op->dtype == SWITTI_DTYPE_F32)
        qk_norm_rope_row (op, SWITTI_DTYPE_F32, r / op->n, r % op->n, rope, in, out);
      else
        qk_norm_rope_row (op, SWITTI_DTYPE_BF16, r / op->n, r % op->n, rope, in, out);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (rope_fill) (SwittiKernels *ops)
{
  ops->qk_norm_rope = qk_norm_rope;
}
