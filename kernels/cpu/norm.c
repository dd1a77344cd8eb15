/* norm.c - RMSNorm and LayerNorm with the residual sum and the modulation around them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A row is read from memory once: its later passes find it in the first-level cache.
 */
#include "math-private.h"

/* The operands of a call; any but x may be NULL. */
typedef struct
{
  const SwittiResidualNorm *norm;
  const int32_t *group_index;
  float *x;
  const void *y;
  const float *post_weight;
  const float *gate;
  const float *weight;
  const float *bias;
  const float *scale;
  const float *shift;
  void *h;
} Operands;

/* One row. The vectors over C are put together once for each image and thread:
 * gate = gate * post_weight, factor = weight * (1 + scale), offset = bias * (1 + scale) + shift. */
typedef struct
{
  int64_t c;
  float eps;
  float *x;
  const void *y;
  void *h;
  const float *gate;
  const float *factor;
  const float *offset;
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
        x[j] += switti_load (y_dtype, row->y, j) * rms * row->gate[j];
    }
  if (row->h != NULL)
    {
      const float rms = 1.0f / sqrtf (mean_of_squares (SWITTI_DTYPE_F32, x, c) + row->eps);
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        switti_store (h_dtype, row->h, j, x[j] * rms * row->factor[j] + row->offset[j]);
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
    switti_store (h_dtype, row->h, j, (x[j] - mean) * inverse * row->factor[j] + row->offset[j]);
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

/* The vectors of `group` into gate, factor and offset (C). */
static void
combine_vectors (const Operands *op, int64_t group, float *restrict gate, float *restrict factor,
                 float *restrict offset)
{
  const int64_t first = group * op->norm->modulation_stride;

  for (int64_t j = 0; j < op->norm->c; j++)
    {
      const float scale = op->scale != NULL ? 1.0f + op->scale[first + j] : 1.0f;
      gate[j] = (op->gate != NULL ? op->gate[first + j] : 1.0f) * (op->post_weight != NULL ? op->post_weight[j] : 1.0f);
      factor[j] = (op->weight != NULL ? op->weight[j] : 1.0f) * scale;
      offset[j] = (op->bias != NULL ? op->bias[j] * scale : 0.0f) + (op->shift != NULL ? op->shift[first + j] : 0.0f);
    }
}

static SwittiKernelStatus
norm_rows (SwittiKernelContext *context, const Operands *op, const NormRowFunc funcs[2][2])
{
  const SwittiResidualNorm *norm = op->norm;
  const int64_t c = norm->c;

  if (!switti_is_activation_dtype (norm->y_dtype) || !switti_is_activation_dtype (norm->h_dtype)
      || (size_t) c * 3 > SWITTI_CPU_THREAD_SCRATCH)
    return SWITTI_KERNEL_INVALID;

  const NormRowFunc func = funcs[norm->y_dtype == SWITTI_DTYPE_BF16][norm->h_dtype == SWITTI_DTYPE_BF16];
#pragma omp parallel num_threads(context->n_threads) if (norm->batch * norm->n * c > SWITTI_SERIAL_ELEMENTS)
  {
    float *gate = switti_cpu_thread_scratch (context, omp_get_thread_num ());
    float *factor = gate + c, *offset = factor + c;
    int64_t combined = -1;
#pragma omp for schedule(static)
    for (int64_t r = 0; r < norm->batch * norm->n; r++)
      {
        const int64_t image = r / norm->n;
        const NormRow row = { .c = c, .eps = norm->eps, .x = op->x + r * c,
                              .y = switti_at (norm->y_dtype, op->y, r * c),
                              .h = switti_at_mutable (norm->h_dtype, op->h, r * c),
                              .gate = gate, .factor = factor, .offset = offset };
        if (combined != image)
          combine_vectors (op, op->group_index != NULL ? op->group_index[image] : image, gate, factor, offset);
        combined = image;
        func (&row);
      }
  }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
residual_norm (SwittiKernelContext *context, const SwittiResidualNorm *norm, const int32_t *group_index, float *x,
               const void *y, const float *post_weight, const float *gate, const float *pre_weight,
               const float *scale, const float *shift, void *h)
{
  const Operands op = { .norm = norm, .group_index = group_index, .x = x, .y = y, .post_weight = post_weight,
                        .gate = gate, .weight = pre_weight, .scale = scale, .shift = shift, .h = h };
  return norm_rows (context, &op, residual_norm_row_funcs);
}

static SwittiKernelStatus
layer_norm (SwittiKernelContext *context, const SwittiLayerNorm *norm, const int32_t *group_index, float *x,
            const void *y, const float *weight, const float *bias, const float *scale, const float *shift, void *h)
{
  const Operands op = { .norm = norm, .group_index = group_index, .x = x, .y = y, .weight = weight, .bias = bias,
                        .scale = scale, .shift = shift, .h = h };
  return norm_rows (context, &op, layer_norm_row_funcs);
}

void
SWITTI_CPU_SYMBOL (norm_fill) (SwittiKernels *ops)
{
  ops->residual_norm = residual_norm;
  ops->layer_norm = layer_norm;
}
