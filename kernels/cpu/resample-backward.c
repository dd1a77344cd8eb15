/* resample-backward.c - gradients of enlarging and reducing NHWC maps
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "resample-private.h"

/* Channels that one thread adds up: a cache line. */
#define BLOCK_CHANNELS 16

/* Area's taps are as many as the ratio of the sides asks, with equal weights; the other modes list theirs. */
SWITTI_INLINE int64_t
tap_index (const SwittiResample *resample, const Taps *taps, int64_t i)
{
  return resample->mode == SWITTI_RESAMPLE_AREA ? taps->first + i : taps->index[i];
}

SWITTI_INLINE float
tap_weight (const SwittiResample *resample, const Taps *taps, int64_t i)
{
  return resample->mode == SWITTI_RESAMPLE_AREA ? 1.0f / (float) taps->count : taps->weight[i];
}

/* Channels [0, count) of one image; `d_out` and `d_in` start at the first of them. */
static void
scatter_image (const SwittiResample *resample, const float *d_out, float *d_in, int64_t count)
{
  const int64_t channels = resample->channels;
  Taps rows, columns;

  for (int64_t i = 0; i < resample->in_height * resample->in_width; i++)
    memset (d_in + i * channels, 0, (size_t) count * sizeof *d_in);
  for (int64_t y = 0; y < resample->out_height; y++)
    {
      find_taps (resample->mode, y, resample->in_height, resample->out_height, &rows);
      for (int64_t x = 0; x < resample->out_width; x++)
        {
          const float *restrict gradient = d_out + (y * resample->out_width + x) * channels;
          find_taps (resample->mode, x, resample->in_width, resample->out_width, &columns);
          for (int64_t i = 0; i < rows.count; i++)
            for (int64_t j = 0; j < columns.count; j++)
              {
                const float weight = tap_weight (resample, &rows, i) * tap_weight (resample, &columns, j);
                float *restrict pixel = d_in
                                        + (tap_index (resample, &rows, i) * resample->in_width
                                           + tap_index (resample, &columns, j))
                                              * channels;
#pragma omp simd
                for (int64_t k = 0; k < count; k++)
                  pixel[k] += weight * gradient[k];
              }
        }
    }
}

static SwittiKernelStatus
resample_backward (SwittiKernelContext *context, const SwittiResample *resample, const float *d_out, float *d_in)
{
  const int64_t channels = resample->channels, blocks = (channels + BLOCK_CHANNELS - 1) / BLOCK_CHANNELS;
  const int64_t in_image = resample->in_height * resample->in_width * channels;
  const int64_t out_image = resample->out_height * resample->out_width * channels;

#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t i = 0; i < resample->batch * blocks; i++)
    {
      const int64_t image = i / blocks, first = i % blocks * BLOCK_CHANNELS;
      const int64_t count = channels - first < BLOCK_CHANNELS ? channels - first : BLOCK_CHANNELS;

      scatter_image (resample, d_out + image * out_image + first, d_in + image * in_image + first, count);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (resample_backward_fill) (SwittiKernels *ops)
{
  ops->resample_backward = resample_backward;
}
