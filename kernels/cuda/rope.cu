/* rope.cu - LayerNorm of queries and keys over all heads, then rotary position embedding
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block has a row of q, k or v (the grid's y), in registers, so that outputs may be inputs.
 */
#include "runtime-private.h"

#include "rows-private.h"

#include <cstring>

/* One of q, k and v: rows in and out; rotated and normed, or copied. */
template <typename T> struct RopeOperand
{
  const T *in;
  T *out;
  SwittiRows in_rows, out_rows;
  bool normed;
};

template <typename T> struct RopeOperands
{
  RopeOperand<T> operand[3];
  int64_t n;
  int c, d;
  float eps;
  const float *rope;
};

/* (a, b) turned by the angle whose (cos, sin) is pair `i` of `angles`. */
__device__ __forceinline__ void
turn (const float *angles, int i, float *a, float *b)
{
  const float cosine = load (angles, 2 * i), sine = load (angles, 2 * i + 1);
  const float turned = *a * cosine - *b * sine;
  *b = *a * sine + *b * cosine;
  *a = turned;
}

template <typename Shape>
__device__ __forceinline__ void
norm_row (int c, float eps, float (&x)[Shape::lanes][LANE])
{
  float sum = 0.0f, squares = 0.0f;

#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      sum += x[i][e];
  const float mean = block_sum<Shape::threads> (sum) / (float) c;
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      if (lane_start<Shape> (i) + e < c)
        squares += (x[i][e] - mean) * (x[i][e] - mean);
  const float inverse = 1.0f / sqrtf (block_sum<Shape::threads> (squares) / (float) c + eps);
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      x[i][e] = (x[i][e] - mean) * inverse;
}

template <typename Shape, typename T>
__global__ void __launch_bounds__ (Shape::threads)
rope_rows (RopeOperands<T> op)
{
  const RopeOperand<T> &own = op.operand[blockIdx.y];
  const int64_t row = blockIdx.x, image = row / op.n, position = row % op.n;
  float x[Shape::lanes][LANE];

  if (own.in == nullptr)
    return;
  const T *in = own.in + image * own.in_rows.image_stride + position * own.in_rows.row_stride;
  T *out = own.out + image * own.out_rows.image_stride + position * own.out_rows.row_stride;
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      if (j < op.c)
        load_lane<Shape::vector> (in, j, op.c, x[i]);
      else
        for (int e = 0; e < LANE; e++)
          x[i][e] = 0.0f;
    }
  if (own.normed)
    norm_row<Shape> (op.c, op.eps, x);
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      if (j >= op.c)
        continue;
      if (own.normed && op.rope != nullptr)
        for (int e = 0; e < LANE; e += 2)
          if (j + e < op.c)
            turn (op.rope + position * op.d, (j + e) % op.d / 2, &x[i][e], &x[i][e + 1]);
      store_lane<Shape::vector> (out, j, op.c, x[i]);
    }
}

template <typename T>
static SwittiKernelStatus
run_rope (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope, const void *const in[3],
          void *const out[3])
{
  const SwittiRows *in_rows[3] = { &op->q, &op->k, &op->v };
  const SwittiRows *out_rows[3] = { &op->q_out, &op->k_out, &op->v_out };
  RopeOperands<T> operands = {};
  bool vector = true;

  operands.n = op->n;
  operands.c = (int) (op->heads * op->d);
  operands.d = (int) op->d;
  operands.eps = op->eps;
  operands.rope = rope;
  for (int i = 0; i < 3; i++)
    {
      RopeOperand<T> &own = operands.operand[i];
      own = RopeOperand<T>{ static_cast<const T *> (in[i]), static_cast<T *> (out[i]), *in_rows[i], *out_rows[i],
                            i < 2 };
      if (own.in == NULL)
        continue;
      vector = vector && is_vector (own.in, own.in_rows.row_stride, operands.c) && own.in_rows.image_stride % LANE == 0
               && is_vector (own.out, own.out_rows.row_stride, operands.c) && own.out_rows.image_stride % LANE == 0;
    }
  return with_row_shape (operands.c, vector, [&] (auto shape) {
    using Shape = decltype (shape);
    return SWITTI_LAUNCH (context, (rope_rows<Shape, T>), dim3 ((unsigned int) (op->batch * op->n), 3),
                          dim3 (Shape::threads), 0, operands);
  });
}

static SwittiKernelStatus
qk_norm_rope (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope, const void *q, const void *k,
              const void *v, void *q_out, void *k_out, void *v_out)
{
  const void *in[3] = { q, k, v };
  void *out[3] = { q_out, k_out, v_out };

  if (op->heads > MAX_ROW || op->d > MAX_ROW || op->heads * op->d > MAX_ROW || !is_launchable (op->batch * op->n))
    return SWITTI_KERNEL_INVALID;
  /* Values that stay where they are need no pass. */
  if (v != NULL && v == v_out && memcmp (&op->v, &op->v_out, sizeof op->v) == 0)
    in[2] = out[2] = NULL;
  return op->dtype == SWITTI_DTYPE_F32 ? run_rope<float> (context, op, rope, in, out)
                                       : run_rope<Bf16> (context, op, rope, in, out);
}

void
switti_cuda_rope_fill (SwittiKernels *ops)
{
  ops->qk_norm_rope = qk_norm_rope;
}
