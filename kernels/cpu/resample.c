/* resample.c - enlarging and reducing NHWC maps, vectorised over channels
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "resample-private.h"

/* One row of the output. `in` is the image, `out` the row. */
static void
weighted_row (const SwittiResample *resample, const float *in, int64_t y, float *out)
{
  const int64_t channels = resample->channels;
  Taps rows, columns;

  find_taps (resample->mode, y, resample->in_height, resample->out_height, &rows);
  for (int64_t x = 0; x < resample->out_width; x++)
    {
      float *restrict pixel = out + x * channels;
      find_taps (resample->mode, x, resample->in_width, resample->out_width, &columns);
      memset (pixel, 0, (size_t) channels * sizeof *pixel);
      for (int64_t i = 0; i < rows.count; i++)
        for (int64_t j = 0; j < columns.count; j++)
          {
            const float weight = rows.weight[i] * columns.weight[j];
            const float *source = in + (rows.index[i] * resample->in_width + columns.index[j]) * channels;
#pragma omp simd
            for (int64_t k = 0; k < channels; k++)
              pixel[k] += weight * source[k];
          }
    }
}

static void
area_row (const SwittiResample *resample, const float *in, int64_t y, float *out)
{
  const int64_t channels = resample->channels;
  Taps rows, columns;

  find_taps (SWITTI_RESAMPLE_AREA, y, resample->in_height, resample->out_height, &rows);
  for (int64_t x = 0; x < resample->out_width; x++)
    {
      float *restrict pixel = out + x * channels;
      find_taps (SWITTI_RESAMPLE_AREA, x, resample->in_width, resample->out_width, &columns);
      memset (pixel, 0, (size_t) channels * sizeof *pixel);
      for (int64_t i = rows.first; i < rows.first + rows.count; i++)
        for (int64_t j = columns.first; j < columns.first + columns.count; j++)
          {
            const float *source = in + (i * resample->in_width + j) * channels;
#pragma omp simd
            for (int64_t k = 0; k < channels; k++)
              pixel[k] += source[k];
          }
      const float cells = (float) (rows.count * columns.count);
#pragma omp simd
      for (int64_t k = 0; k < channels; k++)
        pixel[k] /= cells;
    }
}

static void
nearest_row (const SwittiResample *resample, const char *in, int64_t y, char *out)
{
  const size_t pixel = (size_t) resample->channels * switti_dtype_size (resample->dtype);
  Taps row, column;

  find_taps (SWITTI_RESAMPLE_NEAREST, y, resample->in_height, resample->out_height, &row);
  for (int64_t x = 0; x < resample->out_width; x++)
    {
      find_taps (SWITTI_RESAMPLE_NEAREST, x, resample->in_width, resample->out_width, &column);
      memcpy (out + (size_t) x * pixel,
              in + (size_t) (row.index[0] * resample->in_width + column.index[0]) * pixel, pixel);
    }
}

static SwittiKernelStatus
resample_map (SwittiKernelContext *context, const SwittiResample *resample, const void *in, void *out)
{
  const int64_t in_image = resample->in_height * resample->in_width * resample->channels;
  const int64_t out_row = resample->out_width * resample->channels;
  const int64_t rows = resample->batch * resample->out_height;
  const bool nearest = resample->mode == SWITTI_RESAMPLE_NEAREST;

  if (resample->dtype != SWITTI_DTYPE_F32 && !(nearest && resample->dtype == SWITTI_DTYPE_BF16))
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t r = 0; r < rows; r++)
    {
      const int64_t y = r % resample->out_height;
      const void *image = switti_at (resample->dtype, in, r / resample->out_height * in_image);
      void *row = switti_at_mutable (resample->dtype, out, r * out_row);
      if (nearest)
        nearest_row (resample, image, y, row);
      else if (resample->mode == SWITTI_RESAMPLE_AREA)
        area_row (resample, image, y, row);
      else
        weighted_row (resample, image, y, row);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (resample_fill) (SwittiKernels *ops)
{
  ops->resample = resample_map;
}
