/* group-norm-backward.c - gradients of GroupNorm and SiLU in NHWC
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * With n = (x - mean) / deviation, z = n weight + bias and u = dy SiLU' (z) weight:
 *   dx = (u - mean u - n mean (u n)) / deviation,  d_weight = sum of dy SiLU' n,  d_bias = sum of dy SiLU'.
 * Three passes make sums over the positions for each channel, in chunks that are added in order: for the mean, for the
 * deviation, for the gradients. The fourth makes dx. The cut into chunks depends on the number of channels alone.
 *
 * scratch: two sums (batch, chunks, 2, C), then four vectors an image (batch, 4, C), float32.
 */
#include "activation-private.h"

#define CHUNK_ELEMENTS 32768

/* Vectors over the channels of one image. */
enum
{
  MEAN,
  INVERSE, /* 1 / deviation */
  MEAN_U,
  MEAN_U_N,
  N_VECTORS
};

typedef struct
{
  const SwittiGroupNorm *norm;
  const void *x, *dy;
  const float *weight, *bias;
  float *d_weight, *d_bias;
  void *dx;
  float *sums, *vectors;
  int64_t chunk_positions, chunks;
} Call;

static int64_t
chunk_positions (const SwittiGroupNorm *norm)
{
  const int64_t positions = CHUNK_ELEMENTS / norm->channels;
  return positions < 16 ? 16 : positions;
}

static int64_t
chunk_count (const SwittiGroupNorm *norm)
{
  return (norm->positions + chunk_positions (norm) - 1) / chunk_positions (norm);
}

static size_t
group_norm_backward_scratch_bytes (SwittiKernelContext *context, const SwittiGroupNorm *norm)
{
  return (size_t) (norm->batch * norm->channels * (2 * chunk_count (norm) + N_VECTORS)) * sizeof (float);
}

/* What a pass does with the rows [first, end) of all images. */
typedef void (*ChunkFunc) (const Call *call, const float *vectors, int64_t first, int64_t end, float *sums);

SWITTI_INLINE void
sum_values (const Call *call, SwittiDtype dtype, int64_t first, int64_t end, float *restrict sums)
{
  const int64_t c = call->norm->channels;

  for (int64_t r = first; r < end; r++)
    {
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        sums[j] += switti_load (dtype, call->x, r * c + j);
    }
}

SWITTI_INLINE void
sum_squares (const Call *call, SwittiDtype dtype, const float *vectors, int64_t first, int64_t end,
             float *restrict sums)
{
  const int64_t c = call->norm->channels;
  const float *restrict mean = vectors + MEAN * c;

  for (int64_t r = first; r < end; r++)
    {
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        {
          const float centred = switti_load (dtype, call->x, r * c + j) - mean[j];
          sums[j] += centred * centred;
        }
    }
}

/* dy before the SiLU. */
SWITTI_INLINE float
inner_gradient (const Call *call, SwittiDtype y_dtype, int64_t i, int64_t j, float n)
{
  const float dy = switti_load (y_dtype, call->dy, i);
  const float slope = switti_activation_slope (SWITTI_ACTIVATION_SILU, n * call->weight[j] + call->bias[j]);

  return call->norm->silu ? dy * slope : dy;
}

SWITTI_INLINE void
sum_gradients (const Call *call, SwittiDtype x_dtype, SwittiDtype y_dtype, const float *vectors, int64_t first,
               int64_t end, float *restrict sums)
{
  const int64_t c = call->norm->channels;
  const float *restrict mean = vectors + MEAN * c, *restrict inverse = vectors + INVERSE * c;
  float *restrict scaled = sums + c;

  for (int64_t r = first; r < end; r++)
    {
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        {
          const float n = (switti_load (x_dtype, call->x, r * c + j) - mean[j]) * inverse[j];
          const float gradient = inner_gradient (call, y_dtype, r * c + j, j, n);
          sums[j] += gradient;
          scaled[j] += gradient * n;
        }
    }
}

SWITTI_INLINE void
store_gradients (const Call *call, SwittiDtype x_dtype, SwittiDtype y_dtype, const float *vectors, int64_t first,
                 int64_t end)
{
  const int64_t c = call->norm->channels;
  const float *restrict mean = vectors + MEAN * c, *restrict inverse = vectors + INVERSE * c;
  const float *restrict mean_u = vectors + MEAN_U * c, *restrict mean_u_n = vectors + MEAN_U_N * c;

  for (int64_t r = first; r < end; r++)
    {
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        {
          const float n = (switti_load (x_dtype, call->x, r * c + j) - mean[j]) * inverse[j];
          const float u = inner_gradient (call, y_dtype, r * c + j, j, n) * call->weight[j];
          switti_store (x_dtype, call->dx, r * c + j, (u - mean_u[j] - n * mean_u_n[j]) * inverse[j]);
        }
    }
}

static void
values_chunk (const Call *call, const float *vectors, int64_t first, int64_t end, float *sums)
{
  if (call->norm->x_dtype == SWITTI_DTYPE_F32)
    sum_values (call, SWITTI_DTYPE_F32, first, end, sums);
  else
    sum_values (call, SWITTI_DTYPE_BF16, first, end, sums);
}

static void
squares_chunk (const Call *call, const float *vectors, int64_t first, int64_t end, float *sums)
{
  if (call->norm->x_dtype == SWITTI_DTYPE_F32)
    sum_squares (call, SWITTI_DTYPE_F32, vectors, first, end, sums);
  else
    sum_squares (call, SWITTI_DTYPE_BF16, vectors, first, end, sums);
}

static void
gradients_chunk (const Call *call, const float *vectors, int64_t first, int64_t end, float *sums)
{
  if (call->norm->x_dtype == SWITTI_DTYPE_F32)
    sum_gradients (call, SWITTI_DTYPE_F32, SWITTI_DTYPE_F32, vectors, first, end, sums);
  else
    sum_gradients (call, SWITTI_DTYPE_BF16, SWITTI_DTYPE_BF16, vectors, first, end, sums);
}

static void
store_chunk (const Call *call, const float *vectors, int64_t first, int64_t end, float *sums)
{
  if (call->norm->x_dtype == SWITTI_DTYPE_F32)
    store_gradients (call, SWITTI_DTYPE_F32, SWITTI_DTYPE_F32, vectors, first, end);
  else
    store_gradients (call, SWITTI_DTYPE_BF16, SWITTI_DTYPE_BF16, vectors, first, end);
}

static void
for_each_chunk (SwittiKernelContext *context, const Call *call, ChunkFunc func)
{
  const int64_t c = call->norm->channels, positions = call->norm->positions;

#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t i = 0; i < call->norm->batch * call->chunks; i++)
    {
      const int64_t image = i / call->chunks, first = i % call->chunks * call->chunk_positions;
      const int64_t end = first + call->chunk_positions < positions ? first + call->chunk_positions : positions;
      float *sums = call->sums + i * 2 * c;

      if (func != store_chunk)
        memset (sums, 0, (size_t) (2 * c) * sizeof (float));
      func (call, call->vectors + image * N_VECTORS * c, image * positions + first, image * positions + end, sums);
    }
}

/* The image's sum `which` of a channel, times factor (channels) or 1, added over a group. */
static double
group_sum (const Call *call, int64_t image, int64_t group, int which, const float *factor)
{
  const int64_t c = call->norm->channels, width = c / call->norm->groups;
  double total = 0.0;

  for (int64_t j = group * width; j < (group + 1) * width; j++)
    {
      double sum = 0.0;

      for (int64_t i = image * call->chunks; i < (image + 1) * call->chunks; i++)
        sum += (double) call->sums[(i * 2 + which) * c + j];
      total += factor != NULL ? sum * (double) factor[j] : sum;
    }
  return total;
}

static void
set_group (const Call *call, int64_t image, int64_t group, int vector, double value)
{
  const int64_t c = call->norm->channels, width = c / call->norm->groups;

  for (int64_t j = group * width; j < (group + 1) * width; j++)
    call->vectors[(image * N_VECTORS + vector) * c + j] = (float) value;
}

static void
add_parameter_gradients (const Call *call)
{
  const int64_t c = call->norm->channels;

  for (int64_t j = 0; j < c; j++)
    {
      double bias = 0.0, weight = 0.0;

      for (int64_t i = 0; i < call->norm->batch * call->chunks; i++)
        {
          bias += (double) call->sums[i * 2 * c + j];
          weight += (double) call->sums[(i * 2 + 1) * c + j];
        }
      call->d_bias[j] += (float) bias;
      call->d_weight[j] += (float) weight;
    }
}

static SwittiKernelStatus
group_norm_backward (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x, const float *weight,
                     const float *bias, const void *dy, void *scratch, void *dx, float *d_weight, float *d_bias)
{
  const double count = (double) (norm->positions * (norm->channels / norm->groups));
  const int64_t chunks = chunk_count (norm);
  const Call call = {
    norm, x, dy, weight, bias, d_weight, d_bias, dx, scratch,
    (float *) scratch + norm->batch * chunks * 2 * norm->channels, chunk_positions (norm), chunks,
  };

  for_each_chunk (context, &call, values_chunk);
  for (int64_t i = 0; i < norm->batch * norm->groups; i++)
    set_group (&call, i / norm->groups, i % norm->groups, MEAN,
               group_sum (&call, i / norm->groups, i % norm->groups, 0, NULL) / count);
  for_each_chunk (context, &call, squares_chunk);
  for (int64_t i = 0; i < norm->batch * norm->groups; i++)
    set_group (&call, i / norm->groups, i % norm->groups, INVERSE,
               1.0 / sqrt (group_sum (&call, i / norm->groups, i % norm->groups, 0, NULL) / count
                           + (double) norm->eps));
  for_each_chunk (context, &call, gradients_chunk);
  for (int64_t i = 0; i < norm->batch * norm->groups; i++)
    {
      const int64_t image = i / norm->groups, group = i % norm->groups;

      set_group (&call, image, group, MEAN_U, group_sum (&call, image, group, 0, weight) / count);
      set_group (&call, image, group, MEAN_U_N, group_sum (&call, image, group, 1, weight) / count);
    }
  for_each_chunk (context, &call, store_chunk);
  add_parameter_gradients (&call);
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (group_norm_backward_fill) (SwittiKernels *ops)
{
  ops->group_norm_backward_scratch_bytes = group_norm_backward_scratch_bytes;
  ops->group_norm_backward = group_norm_backward;
}
