/* group-norm.c - GroupNorm and SiLU in NHWC
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Positions are cut into chunks that fit the second-level cache. Each chunk yields a mean and a sum of squared
 * deviations for every group, by two passes over the cached chunk; Chan's formula merges the chunks in their order, in
 * float64. The cut depends on the number of channels alone, so the bits do not depend on the number of threads.
 *
 * scratch: statistics (batch, chunks, groups, 2), then factor and offset (batch, 2, channels), float32.
 */
#include "math-private.h"

#define CHUNK_ELEMENTS 32768

static int64_t
chunk_positions (const SwittiGroupNorm *norm)
{
  const int64_t positions = CHUNK_ELEMENTS / norm->channels;
  return positions < 16 ? 16 : positions;
}

static int64_t
chunk_count (const SwittiGroupNorm *norm)
{
  const int64_t length = chunk_positions (norm);
  return (norm->positions + length - 1) / length;
}

static int64_t
statistics_floats (const SwittiGroupNorm *norm)
{
  return norm->batch * chunk_count (norm) * norm->groups * 2;
}

static size_t
group_norm_scratch_bytes (SwittiKernelContext *context, const SwittiGroupNorm *norm)
{
  return (size_t) (statistics_floats (norm) + norm->batch * norm->channels * 2) * sizeof (float);
}

/* x - mean, or its square where there is a mean. */
SWITTI_INLINE float
deviation (SwittiDtype dtype, const void *row, const float *mean, int64_t j)
{
  const float value = switti_load (dtype, row, j);
  return mean == NULL ? value : (value - mean[j]) * (value - mean[j]);
}

/* Sums over positions, for each channel, of x or of (x - mean)^2. Four positions at a time, so that the sums are read
 * and written once for four. */
SWITTI_INLINE void
sum_positions (SwittiDtype dtype, int64_t positions, int64_t channels, const void *x, const float *mean,
               float *restrict sums)
{
  int64_t p = 0;

  memset (sums, 0, (size_t) channels * sizeof *sums);
  for (; p + 4 <= positions; p += 4)
    {
      const void *a = switti_at (dtype, x, p * channels), *b = switti_at (dtype, a, channels);
      const void *c = switti_at (dtype, b, channels), *d = switti_at (dtype, c, channels);
#pragma omp simd
      for (int64_t j = 0; j < channels; j++)
        sums[j] += (deviation (dtype, a, mean, j) + deviation (dtype, b, mean, j))
                   + (deviation (dtype, c, mean, j) + deviation (dtype, d, mean, j));
    }
  for (; p < positions; p++)
    {
      const void *row = switti_at (dtype, x, p * channels);
#pragma omp simd
      for (int64_t j = 0; j < channels; j++)
        sums[j] += deviation (dtype, row, mean, j);
    }
}

/* statistics (groups, 2) of one chunk: mean and sum of squared deviations. `work` holds 2 * channels floats. */
SWITTI_INLINE void
chunk_statistics (const SwittiGroupNorm *norm, SwittiDtype dtype, int64_t positions, const void *x, float *work,
                  float *statistics)
{
  const int64_t channels = norm->channels, width = channels / norm->groups;
  float *sums = work, *mean = work + channels;

  sum_positions (dtype, positions, channels, x, NULL, sums);
  for (int64_t g = 0; g < norm->groups; g++)
    {
      float sum = 0.0f;
      for (int64_t j = 0; j < width; j++)
        sum += sums[g * width + j];
      statistics[2 * g] = sum / (float) (positions * width);
      for (int64_t j = 0; j < width; j++)
        mean[g * width + j] = statistics[2 * g];
    }
  sum_positions (dtype, positions, channels, x, mean, sums);
  for (int64_t g = 0; g < norm->groups; g++)
    {
      float sum = 0.0f;
      for (int64_t j = 0; j < width; j++)
        sum += sums[g * width + j];
      statistics[2 * g + 1] = sum;
    }
}

/* y = x * factor + offset for the channels of one image, from the statistics of its chunks. */
static void
merge_chunks (const SwittiGroupNorm *norm, const float *statistics, const float *weight, const float *bias,
              float *factor, float *offset)
{
  const int64_t chunks = chunk_count (norm), width = norm->channels / norm->groups;

  for (int64_t g = 0; g < norm->groups; g++)
    {
      double count = 0.0, mean = 0.0, squares = 0.0;
      for (int64_t k = 0; k < chunks; k++)
        {
          const float *chunk = statistics + (k * norm->groups + g) * 2;
          const int64_t start = k * chunk_positions (norm);
          const int64_t left = norm->positions - start;
          const double n = (double) ((left < chunk_positions (norm) ? left : chunk_positions (norm)) * width);
          const double delta = chunk[0] - mean;
          count += n;
          mean += delta * n / count;
          squares += chunk[1] + delta * delta * n * (count - n) / count;
        }
      const double inverse = 1.0 / sqrt (squares / count + norm->eps);
      for (int64_t j = g * width; j < (g + 1) * width; j++)
        {
          const double w = weight != NULL ? weight[j] * inverse : inverse;
          factor[j] = (float) w;
          offset[j] = (float) ((bias != NULL ? bias[j] : 0.0) - mean * w);
        }
    }
}

SWITTI_INLINE void
apply (SwittiDtype x_dtype, SwittiDtype y_dtype, bool silu, int64_t positions, int64_t channels, const void *x,
       const float *factor, const float *offset, void *y)
{
  for (int64_t p = 0; p < positions; p++)
    {
      const void *row = switti_at (x_dtype, x, p * channels);
      void *out = switti_at_mutable (y_dtype, y, p * channels);
#pragma omp simd
      for (int64_t j = 0; j < channels; j++)
        {
          const float value = switti_load (x_dtype, row, j) * factor[j] + offset[j];
          switti_store (y_dtype, out, j, silu ? switti_silu (value) : value);
        }
    }
}

SWITTI_INLINE void
apply_chunk (const SwittiGroupNorm *norm, int64_t positions, const void *x, const float *factor, const float *offset,
             void *y)
{
  const SwittiDtype f32 = SWITTI_DTYPE_F32, bf16 = SWITTI_DTYPE_BF16;
  const int64_t channels = norm->channels;

  switch ((norm->x_dtype == bf16) * 4 + (norm->y_dtype == bf16) * 2 + norm->silu)
    {
    case 0: apply (f32, f32, false, positions, channels, x, factor, offset, y); break;
    case 1: apply (f32, f32, true, positions, channels, x, factor, offset, y); break;
    case 2: apply (f32, bf16, false, positions, channels, x, factor, offset, y); break;
    case 3: apply (f32, bf16, true, positions, channels, x, factor, offset, y); break;
    case 4: apply (bf16, f32, false, positions, channels, x, factor, offset, y); break;
    case 5: apply (bf16, f32, true, positions, channels, x, factor, offset, y); break;
    case 6: apply (bf16, bf16, false, positions, channels, x, factor, offset, y); break;
    default: apply (bf16, bf16, true, positions, channels, x, factor, offset, y); break;
    }
}

static SwittiKernelStatus
group_norm (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x, const float *weight,
            const float *bias, void *scratch, void *y)
{
  const int64_t chunks = chunk_count (norm), length = chunk_positions (norm), tasks = norm->batch * chunks;
  float *statistics = scratch;
  float *factors = statistics + statistics_floats (norm);

  if (!switti_is_activation_dtype (norm->x_dtype) || !switti_is_activation_dtype (norm->y_dtype) || norm->groups <= 0
      || norm->channels % norm->groups != 0 || (size_t) norm->channels * 2 > SWITTI_CPU_THREAD_SCRATCH)
    return SWITTI_KERNEL_INVALID;

#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (tasks > 1)
  for (int64_t k = 0; k < tasks; k++)
    {
      const int64_t start = (k % chunks) * length;
      const int64_t positions = norm->positions - start < length ? norm->positions - start : length;
      const int64_t first = ((k / chunks) * norm->positions + start) * norm->channels;
      float *work = switti_cpu_thread_scratch (context, omp_get_thread_num ());
      if (norm->x_dtype == SWITTI_DTYPE_F32)
        chunk_statistics (norm, SWITTI_DTYPE_F32, positions, switti_at (SWITTI_DTYPE_F32, x, first), work,
                          statistics + k * norm->groups * 2);
      else
        chunk_statistics (norm, SWITTI_DTYPE_BF16, positions, switti_at (SWITTI_DTYPE_BF16, x, first), work,
                          statistics + k * norm->groups * 2);
    }
  for (int64_t b = 0; b < norm->batch; b++)
    {
      float *factor = factors + b * 2 * norm->channels;
      merge_chunks (norm, statistics + b * chunks * norm->groups * 2, weight, bias, factor, factor + norm->channels);
    }
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (tasks > 1)
  for (int64_t k = 0; k < tasks; k++)
    {
      const int64_t start = (k % chunks) * length;
      const int64_t positions = norm->positions - start < length ? norm->positions - start : length;
      const int64_t first = ((k / chunks) * norm->positions + start) * norm->channels;
      const float *factor = factors + (k / chunks) * 2 * norm->channels;
      apply_chunk (norm, positions, switti_at (norm->x_dtype, x, first), factor, factor + norm->channels,
                   switti_at_mutable (norm->y_dtype, y, first));
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (group_norm_fill) (SwittiKernels *ops)
{
  ops->group_norm_scratch_bytes = group_norm_scratch_bytes;
  ops->group_norm = group_norm;
}
