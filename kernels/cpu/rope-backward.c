/* rope-backward.c - gradients of the norm of queries and keys and of the rotary position embedding
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "math-private.h"

/* The gradient before the rotation: turned back by the same angles. Elements 2i and 2i + 1 go to `pair`. */
SWITTI_INLINE void
turn_back (SwittiDtype dtype, const float *rope, const void *gradient, int64_t d, int64_t i, float pair[2])
{
  const float a = switti_load (dtype, gradient, 2 * i), b = switti_load (dtype, gradient, 2 * i + 1);
  const int64_t angle = i % (d / 2);
  const float cosine = rope[2 * angle], sine = rope[2 * angle + 1];

  pair[0] = a * cosine + b * sine;
  pair[1] = b * cosine - a * sine;
}

/* LN's gradient over all heads; `turned` (C) is scratch. */
SWITTI_INLINE void
norm_rope_row (const SwittiQkNormRope *op, SwittiDtype dtype, SwittiDtype gradient_dtype, const float *rope,
               const void *in, const void *gradient, float *restrict turned, void *out)
{
  const int64_t c = op->heads * op->d;
  float sum = 0.0f, squares = 0.0f, total = 0.0f, dot = 0.0f;

  if (rope != NULL)
    for (int64_t i = 0; i < c / 2; i++)
      turn_back (gradient_dtype, rope, gradient, op->d, i, turned + 2 * i);
  else
    {
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        turned[j] = switti_load (gradient_dtype, gradient, j);
    }
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < c; j++)
    sum += switti_load (dtype, in, j);
  const float mean = sum / (float) c;
#pragma omp simd reduction(+ : squares, total, dot)
  for (int64_t j = 0; j < c; j++)
    {
      const float centred = switti_load (dtype, in, j) - mean;
      squares += centred * centred;
      total += turned[j];
      dot += turned[j] * centred;
    }
  const float inverse = 1.0f / sqrtf (squares / (float) c + op->eps);
  const float factor = dot * inverse * inverse / (float) c;
  total /= (float) c;
#pragma omp simd
  for (int64_t j = 0; j < c; j++)
    {
      const float centred = switti_load (dtype, in, j) - mean;
      switti_store (dtype, out, j, (turned[j] - total - centred * factor) * inverse);
    }
}

SWITTI_INLINE void
value_row (SwittiDtype dtype, int64_t c, const float *gradient, void *out)
{
#pragma omp simd
  for (int64_t j = 0; j < c; j++)
    switti_store (dtype, out, j, gradient[j]);
}

typedef struct
{
  const SwittiQkNormRope *op;
  const float *rope;
  const void *q, *k;
  const void *dq_out;
  const float *dk_out, *dv_out;
  void *dq, *dk, *dv;
} Operands;

static int64_t
offset (const SwittiRows *rows, int64_t image, int64_t r)
{
  return image * rows->image_stride + r * rows->row_stride;
}

SWITTI_INLINE void
backward_row (const Operands *o, SwittiDtype dtype, int64_t image, int64_t r, float *scratch)
{
  const SwittiQkNormRope *op = o->op;
  const float *angles = o->rope != NULL ? o->rope + r * op->d : NULL;
  const int64_t q = offset (&op->q, image, r), k = offset (&op->k, image, r);

  if (o->dq != NULL)
    norm_rope_row (op, dtype, dtype, angles, switti_at (dtype, o->q, q),
                   switti_at (dtype, o->dq_out, offset (&op->q_out, image, r)), scratch,
                   switti_at_mutable (dtype, o->dq, q));
  if (o->dk != NULL)
    norm_rope_row (op, dtype, SWITTI_DTYPE_F32, angles, switti_at (dtype, o->k, k),
                   o->dk_out + offset (&op->k_out, image, r), scratch, switti_at_mutable (dtype, o->dk, k));
  if (o->dv != NULL)
    value_row (dtype, op->heads * op->d, o->dv_out + offset (&op->v_out, image, r),
               switti_at_mutable (dtype, o->dv, offset (&op->v, image, r)));
}

static SwittiKernelStatus
qk_norm_rope_backward (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope, const void *q,
                       const void *k, const void *dq_out, const float *dk_out, const float *dv_out, void *dq, void *dk,
                       void *dv)
{
  const Operands operands = { op, rope, q, k, dq_out, dk_out, dv_out, dq, dk, dv };
  const int64_t rows = op->batch * op->n;

  if ((size_t) (op->heads * op->d) > SWITTI_CPU_THREAD_SCRATCH)
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t r = 0; r < rows; r++)
    {
      float *scratch = switti_cpu_thread_scratch (context, omp_get_thread_num ());
      if (op->dtype == SWITTI_DTYPE_F32)
        backward_row (&operands, SWITTI_DTYPE_F32, r / op->n, r % op->n, scratch);
      else
        backward_row (&operands, SWITTI_DTYPE_BF16, r / op->n, r % op->n, scratch);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (rope_backward_fill) (SwittiKernels *ops)
{
  ops->qk_norm_rope_backward = qk_norm_rope_backward;
}
