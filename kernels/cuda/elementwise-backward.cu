/* elementwise-backward.cu - gradients of SwiGLU, activations and conditioning, and sums of columns
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "map-private.h"

#include "activation-private.h"

/* -- SwiGLU ---------------------------------------------------------------------------------------------------- */

template <typename T> struct SwigluBackward
{
  const T *gate_up, *d_out;
  T *d_gate_up;
  int64_t in_stride, out_stride;

  template <bool VECTOR>
  __device__ void
  at (int64_t row, int j, int hidden) const
  {
    float gate[LANE], up[LANE], gradient[LANE];
    load_lane<VECTOR> (gate_up + row * in_stride, j, hidden, gate);
    load_lane<VECTOR> (gate_up + row * in_stride + hidden, j, hidden, up);
    load_lane<VECTOR> (d_out + row * out_stride, j, hidden, gradient);
#pragma unroll
    for (int e = 0; e < LANE; e++)
      {
        const float s = sigmoid (gate[e]);
        const float d_gate = gradient[e] * up[e] * (s * (1.0f + gate[e] * (1.0f - s)));
        up[e] = gradient[e] * gate[e] * s;
        gate[e] = d_gate;
      }
    store_lane<VECTOR> (d_gate_up + row * in_stride, j, hidden, gate);
    store_lane<VECTOR> (d_gate_up + row * in_stride + hidden, j, hidden, up);
  }
};

template <typename T>
static SwittiKernelStatus
run_swiglu_backward (SwittiKernelContext *context, int64_t rows, int64_t hidden, const void *gate_up,
                     int64_t in_stride, const void *d_out, int64_t out_stride, void *d_gate_up)
{
  const SwigluBackward<T> functor = { static_cast<const T *> (gate_up), static_cast<const T *> (d_out),
                                      static_cast<T *> (d_gate_up), in_stride, out_stride };

  return map (context, rows, hidden,
              is_vector (functor.gate_up, in_stride, hidden) && is_vector (functor.d_out, out_stride, hidden)
                  && is_vector (functor.d_gate_up, in_stride, hidden),
              functor);
}

static SwittiKernelStatus
swiglu_backward (SwittiKernelContext *context, int64_t rows, int64_t hidden, SwittiDtype dtype, const void *gate_up,
                 int64_t in_stride, const void *d_out, int64_t out_stride, void *d_gate_up)
{
  if (dtype == SWITTI_DTYPE_F32)
    return run_swiglu_backward<float> (context, rows, hidden, gate_up, in_stride, d_out, out_stride, d_gate_up);
  return run_swiglu_backward<Bf16> (context, rows, hidden, gate_up, in_stride, d_out, out_stride, d_gate_up);
}

/* -- activations ----------------------------------------------------------------------------------------------- */

/* dy NULL: forward. */
template <typename T> struct Activation
{
  SwittiActivation activation;
  const T *x, *dy;
  T *out;

  template <bool VECTOR>
  __device__ void
  at (int64_t start, int j, int count) const
  {
    float values[LANE], gradient[LANE];
    load_lane<VECTOR> (x + start, j, count, values);
    if (dy != nullptr)
      {
        load_lane<VECTOR> (dy + start, j, count, gradient);
#pragma unroll
        for (int e = 0; e < LANE; e++)
          values[e] = gradient[e] * activation_slope (activation, values[e]);
      }
    else
      {
#pragma unroll
        for (int e = 0; e < LANE; e++)
          values[e] = activate (activation, values[e]);
      }
    store_lane<VECTOR> (out + start, j, count, values);
  }
};

template <typename T>
static SwittiKernelStatus
run_activation (SwittiKernelContext *context, SwittiActivation activation, int64_t count, const void *x,
                const void *dy, void *out)
{
  const Activation<T> functor = { activation, static_cast<const T *> (x), static_cast<const T *> (dy),
                                  static_cast<T *> (out) };

  return map_flat (context, count,
                   is_vector (functor.x, 0, count) && is_vector (functor.dy, 0, count)
                       && is_vector (functor.out, 0, count),
                   functor);
}

static SwittiKernelStatus
activation_backward (SwittiKernelContext *context, SwittiActivation activation, int64_t count, SwittiDtype dtype,
                     const void *x, const void *dy, void *dx)
{
  if (dtype == SWITTI_DTYPE_F32)
    return run_activation<float> (context, activation, count, x, dy, dx);
  return run_activation<Bf16> (context, activation, count, x, dy, dx);
}

static SwittiKernelStatus
activation_op (SwittiKernelContext *context, SwittiActivation activation, int64_t count, SwittiDtype dtype,
               const void *x, void *y)
{
  return activation_backward (context, activation, count, dtype, x, nullptr, y);
}

/* -- conditioning ---------------------------------------------------------------------------------------------- */

/* One row for all images: a thread has its columns of each, one after another. */
struct SiluConditionBackward
{
  int64_t batch;
  const float *c, *crop, *crop_scales, *d_out;
  float *dc, *d_crop, *d_crop_scales;

  template <bool VECTOR>
  __device__ void
  at (int64_t, int j, int width) const
  {
    float scales[LANE] = {}, d_scales[LANE] = {};

    if (crop != nullptr)
      {
        load_lane<VECTOR> (crop_scales, j, width, scales);
        load_lane<VECTOR> (d_crop_scales, j, width, d_scales);
      }
    for (int64_t row = 0; row < batch * width; row += width)
      {
        float x[LANE], cropped[LANE] = {}, gradient[LANE], sum[LANE];
        load_lane<VECTOR> (c + row, j, width, x);
        if (crop != nullptr)
          load_lane<VECTOR> (crop + row, j, width, cropped);
        load_lane<VECTOR> (d_out + row, j, width, gradient);
        load_lane<VECTOR> (dc + row, j, width, sum);
#pragma unroll
        for (int e = 0; e < LANE; e++)
          {
            gradient[e] *= activation_slope (SWITTI_ACTIVATION_SILU, x[e] + scales[e] * cropped[e]);
            sum[e] += gradient[e];
            d_scales[e] += gradient[e] * cropped[e];
          }
        store_lane<VECTOR> (dc + row, j, width, sum);
        if (crop == nullptr)
          continue;
        load_lane<VECTOR> (d_crop + row, j, width, sum);
#pragma unroll
        for (int e = 0; e < LANE; e++)
          sum[e] += gradient[e] * scales[e];
        store_lane<VECTOR> (d_crop + row, j, width, sum);
      }
    if (crop != nullptr)
      store_lane<VECTOR> (d_crop_scales, j, width, d_scales);
  }
};

static SwittiKernelStatus
silu_condition_backward (SwittiKernelContext *context, int64_t batch, int64_t width, const float *c, const float *crop,
                         const float *crop_scales, const float *d_out, float *dc, float *d_crop, float *d_crop_scales)
{
  bool vector = true;

  for (const float *operand : { c, crop, crop_scales, d_out, static_cast<const float *> (dc),
                                static_cast<const float *> (d_crop), static_cast<const float *> (d_crop_scales) })
    vector = vector && is_vector (operand, width, width);
  return map (context, 1, width, vector,
              SiluConditionBackward{ batch, c, crop, crop_scales, d_out, dc, d_crop, d_crop_scales });
}

/* -- sums of columns ------------------------------------------------------------------------------------------- */

/* A block has 32 columns: eight threads side by side, and every 64th row for each of them. */
#define SUM_COLUMNS 32
#define SUM_ACROSS (SUM_COLUMNS / LANE)
#define SUM_DOWN 64
#define SUM_THREADS (SUM_ACROSS * SUM_DOWN)

template <bool VECTOR, typename T>
__global__ void __launch_bounds__ (SUM_THREADS)
sum_columns (int64_t rows, int width, const T *x, int64_t stride, float *sum)
{
  SWITTI_SHARED (float, parts, SUM_DOWN * SUM_COLUMNS);
  const int across = (int) threadIdx.x % SUM_ACROSS, down = (int) threadIdx.x / SUM_ACROSS;
  const int j = (int) blockIdx.x * SUM_COLUMNS + across * LANE;
  float total[LANE] = {};

  if (j < width)
    {
#pragma unroll 4
      for (int64_t r = down; r < rows; r += SUM_DOWN)
        {
          float values[LANE];
          load_lane<VECTOR> (x + r * stride, j, width, values);
#pragma unroll
          for (int e = 0; e < LANE; e++)
            total[e] += values[e];
        }
    }
#pragma unroll
  for (int e = 0; e < LANE; e++)
    parts[down * SUM_COLUMNS + across * LANE + e] = total[e];
  for (int left = SUM_DOWN / 2; left > 0; left /= 2)
    {
      __syncthreads ();
      for (int i = (int) threadIdx.x; i < left * SUM_COLUMNS; i += SUM_THREADS)
        {
          const float other = parts[left * SUM_COLUMNS + i];
          parts[i] += other;
        }
    }
  __syncthreads ();
  const int column = (int) blockIdx.x * SUM_COLUMNS + (int) threadIdx.x;
  if (threadIdx.x < SUM_COLUMNS && column < width)
    {
      const float own = parts[threadIdx.x];
      store (sum, column, load (sum, column) + own);
    }
}

template <typename T>
static SwittiKernelStatus
run_column_sum (SwittiKernelContext *context, int64_t rows, int64_t width, const T *x, int64_t stride, float *sum)
{
  const dim3 grid ((unsigned int) blocks_for (width, SUM_COLUMNS)), block (SUM_THREADS);

  if (is_vector (x, stride, width))
    return SWITTI_LAUNCH (context, (sum_columns<true, T>), grid, block, 0, rows, (int) width, x, stride, sum);
  return SWITTI_LAUNCH (context, (sum_columns<false, T>), grid, block, 0, rows, (int) width, x, stride, sum);
}

static SwittiKernelStatus
column_sum (SwittiKernelContext *context, int64_t rows, int64_t width, SwittiDtype dtype, const void *x,
            int64_t stride, float *sum)
{
  if (width > INT32_MAX - SUM_COLUMNS)
    return SWITTI_KERNEL_INVALID;
  if (dtype == SWITTI_DTYPE_F32)
    return run_column_sum (context, rows, width, static_cast<const float *> (x), stride, sum);
  return run_column_sum (context, rows, width, static_cast<const Bf16 *> (x), stride, sum);
}

void
switti_cuda_elementwise_backward_fill (SwittiKernels *ops)
{
  ops->swiglu_backward = swiglu_backward;
  ops->activation = activation_op;
  ops->activation_backward = activation_backward;
  ops->silu_condition_backward = silu_condition_backward;
  ops->column_sum = column_sum;
}
