/* norm.cu - RMSNorm and LayerNorm with the residual sum and the modulation around them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block has a row, in registers: x and y are read once and x and h written once, whatever is fused.
 */
#include "runtime-private.h"

#include "rows-private.h"

/* The operands of a call; any but x may be NULL. */
template <typename Y, typename H> struct NormOperands
{
  int64_t n;
  int c;
  float eps;
  int64_t modulation_stride;
  const int32_t *group_index;
  float *x;
  const Y *y;
  const float *post_weight;
  const float *gate;
  const float *weight;
  const float *bias;
  const float *scale;
  const float *shift;
  H *h;
};

/* values = v[i..], or `otherwise` where v is NULL. */
template <bool VECTOR>
__device__ __forceinline__ void
load_or (const float *v, int i, int count, float otherwise, float values[LANE])
{
  if (v != nullptr)
    load_lane<VECTOR> (v, i, count, values);
  else
    for (int e = 0; e < LANE; e++)
      values[e] = otherwise;
}

/* x += gate * post_weight * RMS (y), or x += y; x is written. */
template <typename Shape, bool RMS, typename Y, typename H>
__device__ __forceinline__ void
add_residual (const NormOperands<Y, H> &op, int64_t row, int64_t group, float (&x)[Shape::lanes][LANE])
{
  const Y *y_row = op.y + row * op.c;
  float y[Shape::lanes][LANE], factor = 1.0f;

#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      if (j < op.c)
        load_lane<Shape::vector> (y_row, j, op.c, y[i]);
      else
        for (int e = 0; e < LANE; e++)
          y[i][e] = 0.0f;
    }
  if (RMS)
    {
      float squares = 0.0f;
#pragma unroll
      for (int i = 0; i < Shape::lanes; i++)
        for (int e = 0; e < LANE; e++)
          squares += y[i][e] * y[i][e];
      factor = 1.0f / sqrtf (block_sum<Shape::threads> (squares) / (float) op.c + op.eps);
    }
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      if (j >= op.c)
        continue;
      float gate[LANE], post[LANE];
      load_or<Shape::vector> (op.gate != nullptr ? op.gate + group : nullptr, j, op.c, 1.0f, gate);
      load_or<Shape::vector> (op.post_weight, j, op.c, 1.0f, post);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        x[i][e] += RMS ? y[i][e] * factor * (gate[e] * post[e]) : y[i][e];
      store_lane<Shape::vector> (op.x + row * op.c, j, op.c, x[i]);
    }
}

/* h = norm (x) * weight * (1 + scale) + bias * (1 + scale) + shift */
template <typename Shape, bool RMS, typename Y, typename H>
__device__ __forceinline__ void
write_normed (const NormOperands<Y, H> &op, int64_t row, int64_t group, const float (&x)[Shape::lanes][LANE])
{
  float sum = 0.0f, squares = 0.0f, mean = 0.0f;

  if (!RMS)
    {
#pragma unroll
      for (int i = 0; i < Shape::lanes; i++)
        for (int e = 0; e < LANE; e++)
          sum += x[i][e];
      mean = block_sum<Shape::threads> (sum) / (float) op.c;
    }
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      if (lane_start<Shape> (i) + e < op.c)
        squares += (x[i][e] - mean) * (x[i][e] - mean);
  const float inverse = 1.0f / sqrtf (block_sum<Shape::threads> (squares) / (float) op.c + op.eps);
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      if (j >= op.c)
        continue;
      float weight[LANE], bias[LANE], scale[LANE], shift[LANE], h[LANE];
      load_or<Shape::vector> (op.weight, j, op.c, 1.0f, weight);
      load_or<Shape::vector> (op.bias, j, op.c, 0.0f, bias);
      load_or<Shape::vector> (op.scale != nullptr ? op.scale + group : nullptr, j, op.c, 0.0f, scale);
      load_or<Shape::vector> (op.shift != nullptr ? op.shift + group : nullptr, j, op.c, 0.0f, shift);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        h[e] = (x[i][e] - mean) * inverse * (weight[e] * (1.0f + scale[e])) + (bias[e] * (1.0f + scale[e]) + shift[e]);
      store_lane<Shape::vector> (op.h + row * op.c, j, op.c, h);
    }
}

template <typename Shape, bool RMS, typename Y, typename H>
__global__ void __launch_bounds__ (Shape::threads)
norm_rows (NormOperands<Y, H> op)
{
  const int64_t row = blockIdx.x, image = row / op.n;
  const int64_t group = (op.group_index != nullptr ? load_index (op.group_index, image) : image) * op.modulation_stride;
  float x[Shape::lanes][LANE];

#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      if (j < op.c)
        load_lane<Shape::vector> (op.x + row * op.c, j, op.c, x[i]);
      else
        for (int e = 0; e < LANE; e++)
          x[i][e] = 0.0f;
    }
  if (op.y != nullptr)
    add_residual<Shape, RMS> (op, row, group, x);
  if (op.h != nullptr)
    write_normed<Shape, RMS> (op, row, group, x);
}

/* -- the ops --------------------------------------------------------------------------------------------------- */

template <bool RMS, typename Y, typename H>
static SwittiKernelStatus
launch_norm (SwittiKernelContext *context, int64_t rows, const NormOperands<Y, H> &op)
{
  const int64_t c = op.c, stride = op.modulation_stride;
  const bool vector = is_vector (op.x, c, c) && is_vector (op.y, c, c) && is_vector (op.h, c, c)
                      && is_vector (op.post_weight, 0, c) && is_vector (op.weight, 0, c) && is_vector (op.bias, 0, c)
                      && is_vector (op.gate, stride, c) && is_vector (op.scale, stride, c)
                      && is_vector (op.shift, stride, c);

  return with_row_shape (c, vector, [&] (auto shape) {
    using Shape = decltype (shape);
    return SWITTI_LAUNCH (context, (norm_rows<Shape, RMS, Y, H>), dim3 ((unsigned int) rows), dim3 (Shape::threads), 0,
                          op);
  });
}

template <bool RMS, typename Y, typename H>
static SwittiKernelStatus
norm_of (SwittiKernelContext *context, const SwittiResidualNorm *norm, const NormOperands<float, float> &op,
         const void *y, void *h)
{
  const NormOperands<Y, H> typed = { op.n, op.c, op.eps, op.modulation_stride, op.group_index, op.x,
                                     static_cast<const Y *> (y), op.post_weight, op.gate, op.weight, op.bias, op.scale,
                                     op.shift, static_cast<H *> (h) };
  return launch_norm<RMS> (context, norm->batch * norm->n, typed);
}

/* `op` but for y and h, whose types the descriptor tells. */
template <bool RMS>
static SwittiKernelStatus
run_norm (SwittiKernelContext *context, const SwittiResidualNorm *norm, NormOperands<float, float> op, const void *y,
          void *h)
{
  if (norm->c > MAX_ROW || !is_launchable (norm->batch * norm->n))
    return SWITTI_KERNEL_INVALID;
  op.n = norm->n;
  op.c = (int) norm->c;
  op.eps = norm->eps;
  op.modulation_stride = norm->modulation_stride;
  switch ((norm->y_dtype == SWITTI_DTYPE_BF16) * 2 + (norm->h_dtype == SWITTI_DTYPE_BF16))
    {
    case 0: return norm_of<RMS, float, float> (context, norm, op, y, h);
    case 1: return norm_of<RMS, float, Bf16> (context, norm, op, y, h);
    case 2: return norm_of<RMS, Bf16, float> (context, norm, op, y, h);
    default: return norm_of<RMS, Bf16, Bf16> (context, norm, op, y, h);
    }
}

static SwittiKernelStatus
residual_norm (SwittiKernelContext *context, const SwittiResidualNorm *norm, const int32_t *group_index, float *x,
               const void *y, const float *post_weight, const float *gate, const float *pre_weight, const float *scale,
               const float *shift, void *h)
{
  NormOperands<float, float> op = {};

  op.group_index = group_index;
  op.x = x;
  op.post_weight = post_weight;
  op.gate = gate;
  op.weight = pre_weight;
  op.scale = scale;
  op.shift = shift;
  return run_norm<true> (context, norm, op, y, h);
}

static SwittiKernelStatus
layer_norm (SwittiKernelContext *context, const SwittiLayerNorm *norm, const int32_t *group_index, float *x,
            const void *y, const float *weight, const float *bias, const float *scale, const float *shift, void *h)
{
  NormOperands<float, float> op = {};

  op.group_index = group_index;
  op.x = x;
  op.weight = weight;
  op.bias = bias;
  op.scale = scale;
  op.shift = shift;
  return run_norm<false> (context, norm, op, y, h);
}

void
switti_cuda_norm_fill (SwittiKernels *ops)
{
  ops->residual_norm = residual_norm;
  ops->layer_norm = layer_norm;
}
