/* rope-backward.cu - gradients of the norm of queries and keys and of the rotary position embedding
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block has a row of q, k or v (the grid's y), in registers, so that dq may be dq_out.
 */
#include "runtime-private.h"

#include "rows-private.h"

/* One of q, k and v. Queries' gradients come in T, those of keys and values in float32. */
template <typename T> struct RopeGradient
{
  const T *in;
  const void *gradient;
  T *out; /* NULL: not asked for */
  SwittiRows rows, gradient_rows;
};

template <typename T> struct RopeGradients
{
  RopeGradient<T> of[3];
  int64_t n;
  int c, d;
  float eps;
  const float *rope;
};

/* (a, b) turned back by the angle whose (cos, sin) is pair `i` of `angles`. */
__device__ __forceinline__ void
turn_back (const float *angles, int i, float *a, float *b)
{
  const float cosine = load (angles, 2 * i), sine = load (angles, 2 * i + 1);
  const float turned = *a * cosine + *b * sine;
  *b = *b * cosine - *a * sine;
  *a = turned;
}

/* gradient = that of the row before its LayerNorm; x is the row. */
template <typename Shape>
__device__ __forceinline__ void
pull_through_norm (int c, float eps, float (&x)[Shape::lanes][LANE], float (&gradient)[Shape::lanes][LANE])
{
  float sum[1] = {}, sums[3] = {}; /* of x; of its squares, of the gradient, of their product */

#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      sum[0] += x[i][e];
  block_sums<Shape::threads> (sum);
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      {
        x[i][e] = lane_start<Shape> (i) + e < c ? x[i][e] - sum[0] / (float) c : 0.0f;
        sums[0] += x[i][e] * x[i][e];
        sums[1] += gradient[i][e];
        sums[2] += gradient[i][e] * x[i][e];
      }
  block_sums<Shape::threads> (sums);
  const float inverse = 1.0f / sqrtf (sums[0] / (float) c + eps);
  const float factor = sums[2] * inverse * inverse / (float) c, mean = sums[1] / (float) c;
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      gradient[i][e] = (gradient[i][e] - mean - x[i][e] * factor) * inverse;
}

template <typename Shape, typename T>
__global__ void __launch_bounds__ (Shape::threads)
rope_gradient_rows (RopeGradients<T> op)
{
  const RopeGradient<T> &own = op.of[blockIdx.y];
  const int64_t row = blockIdx.x, image = row / op.n, position = row % op.n;
  float x[Shape::lanes][LANE] = {}, gradient[Shape::lanes][LANE] = {};

  if (own.out == nullptr)
    return;
  const int64_t at = image * own.rows.image_stride + position * own.rows.row_stride;
  const int64_t from = image * own.gradient_rows.image_stride + position * own.gradient_rows.row_stride;
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      if (j >= op.c)
        continue;
      if (blockIdx.y == 0)
        load_lane<Shape::vector> (static_cast<const T *> (own.gradient) + from, j, op.c, gradient[i]);
      else
        load_lane<Shape::vector> (static_cast<const float *> (own.gradient) + from, j, op.c, gradient[i]);
      if (blockIdx.y == 2)
        continue;
      load_lane<Shape::vector> (own.in + at, j, op.c, x[i]);
      for (int e = 0; e < LANE && op.rope != nullptr; e += 2)
        if (j + e < op.c)
          turn_back (op.rope + position * op.d, (j + e) % op.d / 2, &gradient[i][e], &gradient[i][e + 1]);
    }
  if (blockIdx.y != 2)
    pull_through_norm<Shape> (op.c, op.eps, x, gradient);
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    if (lane_start<Shape> (i) < op.c)
      store_lane<Shape::vector> (own.out + at, lane_start<Shape> (i), op.c, gradient[i]);
}

template <typename T>
static bool
is_vector_gradient (const RopeGradient<T> &own, bool is_float, int64_t c)
{
  const int64_t stride = own.gradient_rows.row_stride;

  return own.out == nullptr
         || (is_vector (own.in, own.rows.row_stride, c) && is_vector (own.out, own.rows.row_stride, c)
             && (is_float ? is_vector (static_cast<const float *> (own.gradient), stride, c)
                          : is_vector (static_cast<const T *> (own.gradient), stride, c))
             && own.rows.image_stride % LANE == 0 && own.gradient_rows.image_stride % LANE == 0);
}

template <typename T>
static SwittiKernelStatus
run_rope_backward (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope,
                   const void *const in[3], const void *const gradient[3], void *const out[3])
{
  const SwittiRows *rows[3] = { &op->q, &op->k, &op->v };
  const SwittiRows *gradient_rows[3] = { &op->q_out, &op->k_out, &op->v_out };
  RopeGradients<T> operands = {};
  bool vector = true;

  operands.n = op->n;
  operands.c = (int) (op->heads * op->d);
  operands.d = (int) op->d;
  operands.eps = op->eps;
  operands.rope = rope;
  for (int i = 0; i < 3; i++)
    {
      operands.of[i] = RopeGradient<T>{ static_cast<const T *> (in[i]), gradient[i], static_cast<T *> (out[i]),
                                        *rows[i], *gradient_rows[i] };
      vector = vector && is_vector_gradient (operands.of[i], i > 0, operands.c);
    }
  return with_row_shape (operands.c, vector, [&] (auto shape) {
    using Shape = decltype (shape);
    return SWITTI_LAUNCH (context, (rope_gradient_rows<Shape, T>), dim3 ((unsigned int) (op->batch * op->n), 3),
                          dim3 (Shape::threads), 0, operands);
  });
}

static SwittiKernelStatus
qk_norm_rope_backward (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope, const void *q,
                       const void *k, const void *dq_out, const float *dk_out, const float *dv_out, void *dq, void *dk,
                       void *dv)
{
  const void *in[3] = { q, k, nullptr }, *gradient[3] = { dq_out, dk_out, dv_out };
  void *out[3] = { dq, dk, dv };

  if (op->heads > MAX_ROW || op->d > MAX_ROW || op->heads * op->d > MAX_ROW || !is_launchable (op->batch * op->n))
    return SWITTI_KERNEL_INVALID;
  return op->dtype == SWITTI_DTYPE_F32 ? run_rope_backward<float> (context, op, rope, in, gradient, out)
                                       : run_rope_backward<Bf16> (context, op, rope, in, gradient, out);
}

void
switti_cuda_rope_backward_fill (SwittiKernels *ops)
{
  ops->qk_norm_rope_backward = qk_norm_rope_backward;
}
