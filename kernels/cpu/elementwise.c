/* elementwise.c - SwiGLU, conditioning, embeddings, dtype conversion and 8-bit images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "math-private.h"

/* Elements that a thread takes at a time where rows have no meaning. */
#define BLOCK_ELEMENTS 4096

SWITTI_INLINE int64_t
block_end (int64_t start, int64_t count)
{
  return start + BLOCK_ELEMENTS < count ? start + BLOCK_ELEMENTS : count;
}

SWITTI_INLINE void
swiglu_row (SwittiDtype dtype, int64_t hidden, const void *gate_up, void *out)
{
  const void *up = switti_at (dtype, gate_up, hidden);
#pragma omp simd
  for (int64_t j = 0; j < hidden; j++)
    switti_store (dtype, out, j, switti_silu (switti_load (dtype, gate_up, j)) * switti_load (dtype, up, j));
}

static SwittiKernelStatus
swiglu (SwittiKernelContext *context, int64_t rows, int64_t hidden, SwittiDtype dtype, const void *gate_up,
        int64_t in_stride, void *out, int64_t out_stride)
{
  if (!switti_is_activation_dtype (dtype))
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (rows * hidden > SWITTI_SERIAL_ELEMENTS)
  for (int64_t r = 0; r < rows; r++)
    {
      const void *row_in = switti_at (dtype, gate_up, r * in_stride);
      void *row_out = switti_at_mutable (dtype, out, r * out_stride);
      if (dtype == SWITTI_DTYPE_F32)
        swiglu_row (SWITTI_DTYPE_F32, hidden, row_in, row_out);
      else
        swiglu_row (SWITTI_DTYPE_BF16, hidden, row_in, row_out);
    }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
silu_condition (SwittiKernelContext *context, int64_t batch, int64_t width, const float *c, const float *crop,
                const float *crop_scales, SwittiDtype out_dtype, void *out)
{
  if (!switti_is_activation_dtype (out_dtype) || (crop == NULL) != (crop_scales == NULL))
    return SWITTI_KERNEL_INVALID;
  for (int64_t b = 0; b < batch; b++)
    {
#pragma omp simd
      for (int64_t j = 0; j < width; j++)
        {
          const int64_t i = b * width + j;
          const float x = crop != NULL ? c[i] + crop_scales[j] * crop[i] : c[i];
          switti_store (out_dtype, out, i, switti_silu (x));
        }
    }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
add_rows (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width, const float *x,
          int64_t x_image_stride, const float *rows, float *out)
{
  const int64_t rows_out = batch * n;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (rows_out * width > SWITTI_SERIAL_ELEMENTS)
  for (int64_t r = 0; r < rows_out; r++)
    {
      const float *x_row = x + (r / n) * x_image_stride + (r % n) * width;
      const float *added = rows + (r % n) * width;
      float *out_row = out + r * width;
#pragma omp simd
      for (int64_t j = 0; j < width; j++)
        out_row[j] = x_row[j] + added[j];
    }
  return SWITTI_KERNEL_OK;
}

/* 1.0 is 0x38, no infinities, 0x7f is NaN. */
SWITTI_INLINE float
f8_e4m3_to_f32 (uint8_t bits)
{
  const uint32_t sign = (uint32_t) (bits & 0x80u) << 24;
  const uint32_t magnitude = bits & 0x7fu;
  const float value = switti_float_from_bits (magnitude << 20) * 0x1p120f;
  return switti_float_from_bits ((magnitude == 0x7fu ? 0x7fc00000u : switti_bits_from_float (value)) | sign);
}

static bool
is_readable (SwittiDtype dtype)
{
  return switti_is_activation_dtype (dtype) || dtype == SWITTI_DTYPE_F16 || dtype == SWITTI_DTYPE_F8_E4M3
         || dtype == SWITTI_DTYPE_F64;
}

static bool
is_writable (SwittiDtype dtype)
{
  return switti_is_activation_dtype (dtype) || dtype == SWITTI_DTYPE_F16;
}

static void
read_as_f32 (SwittiDtype dtype, const void *in, int64_t count, float *out)
{
  switch (dtype)
    {
    case SWITTI_DTYPE_BF16:
#pragma omp simd
      for (int64_t i = 0; i < count; i++)
        out[i] = switti_bf16_to_f32 (((const uint16_t *) in)[i]);
      break;
    case SWITTI_DTYPE_F16:
#pragma omp simd
      for (int64_t i = 0; i < count; i++)
        out[i] = switti_f16_to_f32 (((const uint16_t *) in)[i]);
      break;
    case SWITTI_DTYPE_F8_E4M3:
#pragma omp simd
      for (int64_t i = 0; i < count; i++)
        out[i] = f8_e4m3_to_f32 (((const uint8_t *) in)[i]);
      break;
    case SWITTI_DTYPE_F64:
#pragma omp simd
      for (int64_t i = 0; i < count; i++)
        out[i] = (float) ((const double *) in)[i];
      break;
    default:
      memcpy (out, in, (size_t) count * sizeof *out);
    }
}

static void
write_from_f32 (SwittiDtype dtype, const float *in, int64_t count, void *out)
{
  switch (dtype)
    {
    case SWITTI_DTYPE_BF16:
#pragma omp simd
      for (int64_t i = 0; i < count; i++)
        ((uint16_t *) out)[i] = switti_f32_to_bf16 (in[i]);
      break;
    case SWITTI_DTYPE_F16:
#pragma omp simd
      for (int64_t i = 0; i < count; i++)
        ((uint16_t *) out)[i] = switti_f32_to_f16 (in[i]);
      break;
    default:
      memcpy (out, in, (size_t) count * sizeof *in);
    }
}

static SwittiKernelStatus
convert (SwittiKernelContext *context, int64_t count, SwittiDtype in_dtype, const void *in, SwittiDtype out_dtype,
         void *out)
{
  if (!is_readable (in_dtype) || !is_writable (out_dtype))
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (count > SWITTI_SERIAL_ELEMENTS)
  for (int64_t start = 0; start < count; start += BLOCK_ELEMENTS)
    {
      float block[BLOCK_ELEMENTS];
      const int64_t length = block_end (start, count) - start;
      read_as_f32 (in_dtype, switti_at (in_dtype, in, start), length, block);
      write_from_f32 (out_dtype, block, length, switti_at_mutable (out_dtype, out, start));
    }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
embed (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries, SwittiDtype table_dtype,
       const void *table, const int32_t *ids, const float *positions, int64_t period, float *out)
{
  if (!is_readable (table_dtype) || (positions != NULL && period <= 0))
    return SWITTI_KERNEL_INVALID;
  for (int64_t r = 0; r < rows; r++)
    if (ids[r] < 0 || ids[r] >= entries)
      return SWITTI_KERNEL_INVALID;

#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (rows * width > SWITTI_SERIAL_ELEMENTS)
  for (int64_t r = 0; r < rows; r++)
    {
      float *out_row = out + r * width;
      read_as_f32 (table_dtype, switti_at (table_dtype, table, ids[r] * width), width, out_row);
      if (positions == NULL)
        continue;
      const float *position = positions + (r % period) * width;
#pragma omp simd
      for (int64_t j = 0; j < width; j++)
        out_row[j] += position[j];
    }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
accumulate (SwittiKernelContext *context, int64_t count, float a, const float *x, float b, const float *y, float *out)
{
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (count > SWITTI_SERIAL_ELEMENTS)
  for (int64_t start = 0; start < count; start += BLOCK_ELEMENTS)
    {
      const int64_t end = block_end (start, count);
      if (y != NULL)
        {
#pragma omp simd
          for (int64_t i = start; i < end; i++)
            out[i] += a * x[i] + b * y[i];
        }
      else
        {
#pragma omp simd
          for (int64_t i = start; i < end; i++)
            out[i] += a * x[i];
        }
    }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
blend_rows (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width, const float *weights,
            const float *x, const float *y, float *out)
{
  const int64_t rows = batch * n;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (rows * width > SWITTI_SERIAL_ELEMENTS)
  for (int64_t r = 0; r < rows; r++)
    {
      const float w = weights[r % n], rest = 1.0f - w;
      const int64_t start = r * width, end = start + width;
      if (y != NULL)
        {
#pragma omp simd
          for (int64_t i = start; i < end; i++)
            out[i] = w * x[i] + rest * y[i];
        }
      else
        {
#pragma omp simd
          for (int64_t i = start; i < end; i++)
            out[i] = w * x[i];
        }
    }
  return SWITTI_KERNEL_OK;
}

SWITTI_INLINE void
image_to_rgb8_block (SwittiDtype dtype, const void *x, int64_t start, int64_t end, uint8_t *rgb)
{
#pragma omp simd
  for (int64_t i = start; i < end; i++)
    {
      const float value = switti_load (dtype, x, i);
      /* Written so that NaN becomes 0. */
      const float clamped = value > -1.0f ? (value < 1.0f ? value : 1.0f) : -1.0f;
      rgb[i] = (uint8_t) (int32_t) ((clamped + 1.0f) * 0.5f * 255.0f);
    }
}

static SwittiKernelStatus
image_to_rgb8 (SwittiKernelContext *context, int64_t pixels, SwittiDtype x_dtype, const void *x, uint8_t *rgb)
{
  const int64_t count = pixels * 3;
  if (!switti_is_activation_dtype (x_dtype))
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (count > SWITTI_SERIAL_ELEMENTS)
  for (int64_t start = 0; start < count; start += BLOCK_ELEMENTS)
    {
      if (x_dtype == SWITTI_DTYPE_F32)
        image_to_rgb8_block (SWITTI_DTYPE_F32, x, start, block_end (start, count), rgb);
      else
        image_to_rgb8_block (SWITTI_DTYPE_BF16, x, start, block_end (start, count), rgb);
    }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
rgb8_to_image (SwittiKernelContext *context, int64_t pixels, const uint8_t *rgb, SwittiDtype x_dtype, void *x)
{
  const int64_t count = pixels * 3;
  if (!switti_is_activation_dtype (x_dtype))
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (count > SWITTI_SERIAL_ELEMENTS)
  for (int64_t start = 0; start < count; start += BLOCK_ELEMENTS)
    {
#pragma omp simd
      for (int64_t i = start; i < block_end (start, count); i++)
        switti_store (x_dtype, x, i, (float) rgb[i] / 127.5f - 1.0f);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (elementwise_fill) (SwittiKernels *ops)
{
  ops->swiglu = swiglu;
  ops->silu_condition = silu_condition;
  ops->add_rows = add_rows;
  ops->embed = embed;
  ops->accumulate = accumulate;
  ops->blend_rows = blend_rows;
  ops->convert = convert;
  ops->image_to_rgb8 = image_to_rgb8;
  ops->rgb8_to_image = rgb8_to_image;
}
