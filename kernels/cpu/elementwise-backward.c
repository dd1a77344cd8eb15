/* elementwise-backward.c - gradients of SwiGLU, activations and conditioning, and sums of columns
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "activation-private.h"

/* Elements below which waking the other threads costs more than they save. */
#define SERIAL_ELEMENTS 16384
/* Elements that a thread takes at a time where rows have no meaning. */
#define BLOCK_ELEMENTS 4096
/* Columns that a thread sums at a time, and rows that are summed before they are added to the whole: sums of thousands
 * of rows then lose little. */
#define BLOCK_COLUMNS 64
#define BLOCK_ROWS 64

/* -- SwiGLU ---------------------------------------------------------------------------------------------------- */

SWITTI_INLINE void
swiglu_backward_row (SwittiDtype dtype, int64_t hidden, const void *gate_up, const void *d_out, void *d_gate_up)
{
  const void *up = switti_at (dtype, gate_up, hidden);
  void *d_up = switti_at_mutable (dtype, d_gate_up, hidden);

#pragma omp simd
  for (int64_t j = 0; j < hidden; j++)
    {
      const float gate = switti_load (dtype, gate_up, j), gradient = switti_load (dtype, d_out, j);
      const float sigmoid = 1.0f / (1.0f + switti_exp (-gate));
      const float slope = sigmoid * (1.0f + gate * (1.0f - sigmoid));

      switti_store (dtype, d_gate_up, j, gradient * switti_load (dtype, up, j) * slope);
      switti_store (dtype, d_up, j, gradient * gate * sigmoid);
    }
}

static SwittiKernelStatus
swiglu_backward (SwittiKernelContext *context, int64_t rows, int64_t hidden, SwittiDtype dtype, const void *gate_up,
                 int64_t in_stride, const void *d_out, int64_t out_stride, void *d_gate_up)
{
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (rows * hidden > SERIAL_ELEMENTS)
  for (int64_t r = 0; r < rows; r++)
    {
      const void *in = switti_at (dtype, gate_up, r * in_stride);
      const void *gradient = switti_at (dtype, d_out, r * out_stride);
      void *d_in = switti_at_mutable (dtype, d_gate_up, r * in_stride);

      if (dtype == SWITTI_DTYPE_F32)
        swiglu_backward_row (SWITTI_DTYPE_F32, hidden, in, gradient, d_in);
      else
        swiglu_backward_row (SWITTI_DTYPE_BF16, hidden, in, gradient, d_in);
    }
  return SWITTI_KERNEL_OK;
}

/* -- activations ----------------------------------------------------------------------------------------------- */

SWITTI_INLINE void
activation_block (SwittiActivation activation, SwittiDtype dtype, int64_t start, int64_t end, const void *x, void *y)
{
#pragma omp simd
  for (int64_t i = start; i < end; i++)
    switti_store (dtype, y, i, switti_activate (activation, switti_load (dtype, x, i)));
}

SWITTI_INLINE void
activation_backward_block (SwittiActivation activation, SwittiDtype dtype, int64_t start, int64_t end, const void *x,
                           const void *dy, void *dx)
{
#pragma omp simd
  for (int64_t i = start; i < end; i++)
    switti_store (dtype, dx, i,
                  switti_load (dtype, dy, i) * switti_activation_slope (activation, switti_load (dtype, x, i)));
}

/* One function for each activation, so that the loops know it. dy NULL: forward. */
#define DEFINE_ACTIVATION(name, activation)                                                                            \
  static void name (SwittiDtype dtype, int64_t start, int64_t end, const void *x, const void *dy, void *out)           \
  {                                                                                                                    \
    if (dy == NULL && dtype == SWITTI_DTYPE_F32)                                                                       \
      activation_block (activation, SWITTI_DTYPE_F32, start, end, x, out);                                             \
    else if (dy == NULL)                                                                                               \
      activation_block (activation, SWITTI_DTYPE_BF16, start, end, x, out);                                            \
    else if (dtype == SWITTI_DTYPE_F32)                                                                                \
      activation_backward_block (activation, SWITTI_DTYPE_F32, start, end, x, dy, out);                                \
    else                                                                                                               \
      activation_backward_block (activation, SWITTI_DTYPE_BF16, start, end, x, dy, out);                               \
  }

DEFINE_ACTIVATION (identity, SWITTI_ACTIVATION_NONE)
DEFINE_ACTIVATION (silu, SWITTI_ACTIVATION_SILU)
DEFINE_ACTIVATION (quick_gelu, SWITTI_ACTIVATION_QUICK_GELU)
DEFINE_ACTIVATION (gelu_erf, SWITTI_ACTIVATION_GELU_ERF)
DEFINE_ACTIVATION (gelu_tanh, SWITTI_ACTIVATION_GELU_TANH)

static void (*const activation_funcs[]) (SwittiDtype dtype, int64_t start, int64_t end, const void *x, const void *dy,
                                         void *out)
    = {
        [SWITTI_ACTIVATION_NONE] = identity,
        [SWITTI_ACTIVATION_SILU] = silu,
        [SWITTI_ACTIVATION_QUICK_GELU] = quick_gelu,
        [SWITTI_ACTIVATION_GELU_ERF] = gelu_erf,
        [SWITTI_ACTIVATION_GELU_TANH] = gelu_tanh,
      };

static SwittiKernelStatus
activation_backward (SwittiKernelContext *context, SwittiActivation activation, int64_t count, SwittiDtype dtype,
                     const void *x, const void *dy, void *dx)
{
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (count > SERIAL_ELEMENTS)
  for (int64_t start = 0; start < count; start += BLOCK_ELEMENTS)
    activation_funcs[activation](dtype, start, start + BLOCK_ELEMENTS < count ? start + BLOCK_ELEMENTS : count, x, dy,
                                 dx);
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
activation_op (SwittiKernelContext *context, SwittiActivation activation, int64_t count, SwittiDtype dtype,
               const void *x, void *y)
{
  return activation_backward (context, activation, count, dtype, x, NULL, y);
}

/* -- conditioning ---------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
silu_condition_backward (SwittiKernelContext *context, int64_t batch, int64_t width, const float *c, const float *crop,
                         const float *crop_scales, const float *d_out, float *dc, float *d_crop, float *d_crop_scales)
{
  for (int64_t b = 0; b < batch; b++)
    {
#pragma omp simd
      for (int64_t j = 0; j < width; j++)
        {
          const int64_t i = b * width + j;
          const float condition = crop != NULL ? c[i] + crop_scales[j] * crop[i] : c[i];
          const float gradient = d_out[i] * switti_activation_slope (SWITTI_ACTIVATION_SILU, condition);

          dc[i] += gradient;
          if (crop != NULL)
            {
              d_crop[i] += gradient * crop_scales[j];
              d_crop_scales[j] += gradient * crop[i];
            }
        }
    }
  return SWITTI_KERNEL_OK;
}

/* -- sums of columns ------------------------------------------------------------------------------------------- */

SWITTI_INLINE void
sum_columns (SwittiDtype dtype, int64_t rows, int64_t columns, const void *x, int64_t stride, float *sum)
{
  float total[BLOCK_COLUMNS] = { 0 };

  for (int64_t first = 0; first < rows; first += BLOCK_ROWS)
    {
      const int64_t end = first + BLOCK_ROWS < rows ? first + BLOCK_ROWS : rows;
      float part[BLOCK_COLUMNS] = { 0 };

      for (int64_t r = first; r < end; r++)
        {
          const void *row = switti_at (dtype, x, r * stride);
#pragma omp simd
          for (int64_t j = 0; j < columns; j++)
            part[j] += switti_load (dtype, row, j);
        }
      for (int64_t j = 0; j < columns; j++)
        total[j] += part[j];
    }
  for (int64_t j = 0; j < columns; j++)
    sum[j] += total[j];
}

static SwittiKernelStatus
column_sum (SwittiKernelContext *context, int64_t rows, int64_t width, SwittiDtype dtype, const void *x,
            int64_t stride, float *sum)
{
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (rows * width > SERIAL_ELEMENTS)
  for (int64_t start = 0; start < width; start += BLOCK_COLUMNS)
    {
      const int64_t columns = width - start < BLOCK_COLUMNS ? width - start : BLOCK_COLUMNS;

      if (dtype == SWITTI_DTYPE_F32)
        sum_columns (SWITTI_DTYPE_F32, rows, columns, (const float *) x + start, stride, sum + start);
      else
        sum_columns (SWITTI_DTYPE_BF16, rows, columns, (const uint16_t *) x + start, stride, sum + start);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (elementwise_backward_fill) (SwittiKernels *ops)
{
  ops->swiglu_backward = swiglu_backward;
  ops->activation = activation_op;
  ops->activation_backward = activation_backward;
  ops->silu_condition_backward = silu_condition_backward;
  ops->column_sum = column_sum;
}
