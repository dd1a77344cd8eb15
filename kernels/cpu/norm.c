/* norm.c - RMSNorm and LayerNorm with the residual sum and the modulation around them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A row is read from memory once: its later passes find it in the first-level cache.
 */
#include "math-private.h"

/* What one row needs; any of the vectors over C may be NULL, for 1 or 0. */
typedef struct
{
  int64_t c;
  float eps;
  float *x;
  const void *y;
  const float *post_weight;
  const float *gate;
  const float *weight;
  const float *bias;
  const float *scale;
  const float *shift;
  void *h;
} NormRow;

SWITTI_INLINE float
mean_of_squares (SwittiDtype dtype, const void *v, int64_t c)
{
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < c; j++)
    {
      const float value = switti_load (dtype, v, j);
      sum += value * value;
    }
  return sum / (float) c;
}

SWITTI_INLINE void
residual_norm_row (const NormRow *row, SwittiDtype y_dtype, SwittiDtype h_dtype)
{
  const int64_t c = row->c;
  float *restrict x = row->x;

  if (row->y != NULL)
    {
      const float rms = 1.0f / sqrtf (mean_of_squares (y_dtype, row->y, c) + row->eps);
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        {
          const float gate = row->gate != NULL ? row->gate[j] : 1.0f;
          const float weight = row->post_weight != NULL ? row->post_weight[j] : 1.0f;
          x[j] += gate * (switti_load (y_dtype, row->y, j) * rms * weight);
        }
    }
  if (row->h != NULL)
    {
      const float rms = 1.0f / sqrtf (mean_of_squares (SWITTI_DTYPE_F32, x, c) + row->eps);
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        {
          const float weight = row->weight != NULL ? row->weight[j] : 1.0f;
          const float scale = row->scale != NULL ? 1.0f + row->scale[j] : 1.0f;
          const float shift = row->shift != NULL ? row->shift[j] : 0.0f;
          switti_store (h_dtype, row->h, j, x[j] * rms * weight * scale + shift);
        }
    }
}

SWITTI_INLINE void
layer_norm_row (const NormRow *row, SwittiDtype y_dtype, SwittiDtype h_dtype)
{
  const int64_t c = row->c;
  float *restrict x = row->x;
  float sum = 0.0f, squares = 0.0f;

  if (row->y != NULL)
    {
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        x[j] += switti_load (y_dtype, row->y, j);
    }
  if (row->h == NULL)
    return;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < c; j++)
    sum += x[j];
  const float mean = sum / (float) c;
#pragma omp simd reduction(+ : squares)
  for (int64_t j = 0; j < c; j++)
    squares += (x[j] - mean) * (x[j] - mean);
  const float inverse = 1.0f / sqrtf (squares / (float) c + row->eps);
#pragma omp simd
  for (int64_t j = 0; j < c; j++)
    {
      const float weight = row->weight != NULL ? row->weight[j] : 1.0f;
      const float bias = row->bias != NULL ? row->bias[j] : 0.0f;
      const float scale = row->scale != NULL ? 1.0f + row->scale[j] : 1.0f;
      const float shift = row->shift != NULL ? row->shift[j] : 0.0f;
      switti_store (h_dtype, row->h, j, ((x[j] - mean) * inverse * weight + bias) * scale + shift);
    }
}

typedef void (*NormRowFunc) (const NormRow *row);

/* One function for each pair of dtypes, so that the loops know them. */
#define DEFINE_ROW_FUNCS(name)                                                                                         \
  static void name##_f32_f32 (const NormRow *row) { name (row, SWITTI_DTYPE_F32, SWITTI_DTYPE_F32); }                  \
  static void name##_f32_bf16 (const NormRow *row) { name (row, SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16); }                \
  static void name##_bf16_f32 (const NormRow *row) { name (row, SWITTI_DTYPE_BF16, SWITTI_DTYPE_F32); }                \
  static void name##_bf16_bf16 (const NormRow *row) { name (row, SWITTI_DTYPE_BF16, SWITTI_DTYPE_BF16); }              \
  static const NormRowFunc name##_funcs[2][2] = { { name##_f32_f32, name##_f32_bf16 },                                 \
                                                  { name##_bf16_f32, name##_bf16_bf16 } };

DEFINE_ROW_FUNCS (residual_norm_row)
DEFINE_ROW_FUNCS (layer_norm_row)

/* `all` holds the operands at row 0 and group 0. */
static SwittiKernelStatus
norm_rows (SwittiKernelContext *context, const SwittiResidualNorm *norm, const int32_t *group_index,
           const NormRow *all, const NormRowFunc funcs[2][2])
{
  if (!switti_is_activation_dtype (norm->y_dtype) || !switti_is_activation_dtype (norm->h_dtype))
    return SWITTI_KERNEL_INVALID;

  const NormRowFunc func = funcs[norm->y_dtype == SWITTI_DTYPE_BF16][norm->h_dtype == SWITTI_DTYPE_BF16];
  const int64_t rows = norm->batch * norm->n;
#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t r = 0; r < rows; r++)
    {
      const int64_t image = r / norm->n;
      const int64_t group = (group_index != NULL ? group_index[image] : image) * norm->modulation_stride;
      NormRow row = *all;
      row.x = all->x + r * norm->c;
      row.y = switti_at (norm->y_dtype, all->y, r * norm->c);
      row.h = switti_at_mutable (norm->h_dtype, all->h, r * norm->c);
      row.gate = all->gate != NULL ? all->gate + group : NULL;
      row.scale = all->scale != NULL ? all->scale + group : NULL;
      row.shift = all->shift != NULL ? all->shift + group : NULL;
      func (&row);
    }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
residual_norm (SwittiKernelContext *context, const SwittiResidualNorm *norm, const int32_t *group_index, float *x,
               const void *y, const float *post_weight, const float *gate, const float *pre_weight,
               const float *scale, const float *shift, void *h)
{
  const NormRow all = { .c = norm->c, .eps = norm->eps, .x = x, .y = y, .post_weight = post_weight, .gate = gate,
                        .weight = pre_weight, .scale = scale, .shift = shift, .h = h };
  return norm_rows (context, norm, group_index, &all, residual_norm_row_funcs);
}

static SwittiKernelStatus
layer_norm (SwittiKernelContext *context, const SwittiLayerNorm *norm, const int32_t *group_index, float *x,
            const void *y, const float *weight, const float *bias, const float *scale, const float *shift, void *h)
{
  const NormRow all = { .c = norm->c, .eps = norm->eps, .x = x, .y = y, .weight = weight, .bias = bias,
                        .scale = scale, .shift = shift, .h = h };
  return norm_rows (context, norm, group_index, &all, layer_norm_row_funcs);
}

void
SWITTI_CPU_SYMBOL (norm_fill) (SwittiKernels *ops)
{
  ops->residual_norm = residual_norm;
  ops->layer_norm = layer_norm;
}
