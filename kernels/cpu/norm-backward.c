/* norm-backward.c - gradients of RMSNorm and LayerNorm, and of the residual sum and the modulation around them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Rows are cut into chunks of one image each. A chunk's rows give their gradients one after another and add what they
 * mean for the vectors over C to the chunk's own sums; these are then added up in the order of the chunks, column by
 * column. So the bits do not depend on which thread had which chunk.
 *
 * With n = the normed row without its weight, and z the normed and weighted row that the gate or the modulation meets:
 *   RMS: dv = (u - n mean (u n)) / rms;  LN: dv = (u - mean u - n mean (u n)) / deviation,  u = the gradient of n.
 */
#include "math-private.h"

#define CHUNK_ROWS 32
/* Columns whose sums are added up at a time. */
#define BLOCK_COLUMNS 64

/* The chunk's sums, each over C: of dh n, of dh, and of dx n of y. */
enum
{
  SUM_SCALED,
  SUM_SHIFTED,
  SUM_GATED,
  N_SUMS
};

typedef struct
{
  int64_t c;
  float eps;
  const float *x;
  const void *y;
  const void *dh;
  float *dx;
  void *dy;
  const float *inner; /* what n is multiplied with on its way to h: weight * (1 + scale) */
  const float *outer; /* and n of y on its way to x: post_weight * gate */
  float *sums;        /* (N_SUMS, C) */
} Row;

SWITTI_INLINE void
rms_of_y (const Row *row, SwittiDtype y_dtype)
{
  const int64_t c = row->c;
  const float *restrict dx = row->dx, *restrict outer = row->outer;
  float *restrict gated = row->sums + SUM_GATED * c;
  float squares = 0.0f, dot = 0.0f;

#pragma omp simd reduction(+ : squares, dot)
  for (int64_t j = 0; j < c; j++)
    {
      const float y = switti_load (y_dtype, row->y, j);
      squares += y * y;
      dot += dx[j] * outer[j] * y;
    }
  const float inverse = 1.0f / sqrtf (squares / (float) c + row->eps);
  const float factor = dot * inverse * inverse / (float) c;
#pragma omp simd
  for (int64_t j = 0; j < c; j++)
    {
      const float y = switti_load (y_dtype, row->y, j);
      gated[j] += dx[j] * (y * inverse);
      switti_store (y_dtype, row->dy, j, (dx[j] * outer[j] - y * factor) * inverse);
    }
}

SWITTI_INLINE void
residual_norm_row (const Row *row, SwittiDtype y_dtype, SwittiDtype h_dtype)
{
  const int64_t c = row->c;
  const float *restrict x = row->x, *restrict inner = row->inner;
  float *restrict scaled = row->sums + SUM_SCALED * c, *restrict shifted = row->sums + SUM_SHIFTED * c;
  float *restrict dx = row->dx;
  float squares = 0.0f, dot = 0.0f;

  if (row->dh != NULL)
    {
#pragma omp simd reduction(+ : squares, dot)
      for (int64_t j = 0; j < c; j++)
        {
          squares += x[j] * x[j];
          dot += switti_load (h_dtype, row->dh, j) * inner[j] * x[j];
        }
      const float inverse = 1.0f / sqrtf (squares / (float) c + row->eps);
      const float factor = dot * inverse * inverse / (float) c;
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        {
          const float dh = switti_load (h_dtype, row->dh, j);
          scaled[j] += dh * (x[j] * inverse);
          shifted[j] += dh;
          if (dx != NULL)
            dx[j] += (dh * inner[j] - x[j] * factor) * inverse;
        }
    }
  if (row->y != NULL)
    rms_of_y (row, y_dtype);
}

SWITTI_INLINE void
layer_norm_row (const Row *row, SwittiDtype y_dtype, SwittiDtype h_dtype)
{
  const int64_t c = row->c;
  const float *restrict x = row->x, *restrict inner = row->inner;
  float *restrict scaled = row->sums + SUM_SCALED * c, *restrict shifted = row->sums + SUM_SHIFTED * c;
  float *restrict dx = row->dx;
  float sum = 0.0f, squares = 0.0f, gradient = 0.0f, dot = 0.0f;

  if (row->dh != NULL)
    {
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < c; j++)
        sum += x[j];
      const float mean = sum / (float) c;
#pragma omp simd reduction(+ : squares, gradient, dot)
      for (int64_t j = 0; j < c; j++)
        {
          const float centred = x[j] - mean, u = switti_load (h_dtype, row->dh, j) * inner[j];
          squares += centred * centred;
          gradient += u;
          dot += u * centred;
        }
      const float inverse = 1.0f / sqrtf (squares / (float) c + row->eps);
      const float factor = dot * inverse * inverse / (float) c;
      gradient /= (float) c;
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        {
          const float dh = switti_load (h_dtype, row->dh, j), centred = x[j] - mean;
          scaled[j] += dh * (centred * inverse);
          shifted[j] += dh;
          if (dx != NULL)
            dx[j] += (dh * inner[j] - gradient - centred * factor) * inverse;
        }
    }
  if (row->y != NULL)
    {
#pragma omp simd
      for (int64_t j = 0; j < c; j++)
        switti_store (y_dtype, row->dy, j, dx[j]);
    }
}

typedef void (*RowFunc) (const Row *row);

/* One function for each pair of dtypes, so that the loops know them. */
#define DEFINE_ROW_FUNCS(name)                                                                                         \
  static void name##_f32_f32 (const Row *row) { name (row, SWITTI_DTYPE_F32, SWITTI_DTYPE_F32); }                      \
  static void name##_f32_bf16 (const Row *row) { name (row, SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16); }                    \
  static void name##_bf16_f32 (const Row *row) { name (row, SWITTI_DTYPE_BF16, SWITTI_DTYPE_F32); }                    \
  static void name##_bf16_bf16 (const Row *row) { name (row, SWITTI_DTYPE_BF16, SWITTI_DTYPE_BF16); }                  \
  static const RowFunc name##_funcs[2][2] = { { name##_f32_f32, name##_f32_bf16 },                                     \
                                              { name##_bf16_f32, name##_bf16_bf16 } };

DEFINE_ROW_FUNCS (residual_norm_row)
DEFINE_ROW_FUNCS (layer_norm_row)

static int64_t
chunks_of_image (const SwittiResidualNorm *norm)
{
  return (norm->n + CHUNK_ROWS - 1) / CHUNK_ROWS;
}

static size_t
norm_backward_scratch_bytes (SwittiKernelContext *context, const SwittiResidualNorm *norm)
{
  return (size_t) (norm->batch * chunks_of_image (norm) * N_SUMS * norm->c) * sizeof (float);
}

/* The element, or what stands for a vector that is not there. */
SWITTI_INLINE float
element (const float *vector, int64_t j, float otherwise)
{
  return vector != NULL ? vector[j] : otherwise;
}

static void
run_chunk (const SwittiResidualNorm *norm, const SwittiNormGradients *g, int64_t chunk, RowFunc func, float *sums,
           float *factors)
{
  const int64_t c = norm->c, image = chunk / chunks_of_image (norm), modulation = image * norm->modulation_stride;
  const int64_t first = chunk % chunks_of_image (norm) * CHUNK_ROWS;
  const int64_t end = first + CHUNK_ROWS < norm->n ? first + CHUNK_ROWS : norm->n;

  memset (sums, 0, (size_t) (N_SUMS * c) * sizeof (float));
  for (int64_t j = 0; j < c; j++)
    {
      factors[j] = element (g->weight, j, 1.0f) * (1.0f + element (g->scale, modulation + j, 0.0f));
      factors[c + j] = element (g->post_weight, j, 1.0f) * element (g->gate, modulation + j, 1.0f);
    }
  for (int64_t r = image * norm->n + first; r < image * norm->n + end; r++)
    {
      const Row row = {
        .c = c,
        .eps = norm->eps,
        .x = g->x != NULL ? g->x + r * c : NULL,
        .y = switti_at (norm->y_dtype, g->y, r * c),
        .dh = switti_at (norm->h_dtype, g->dh, r * c),
        .dx = g->dx != NULL ? g->dx + r * c : NULL,
        .dy = switti_at_mutable (norm->y_dtype, g->dy, r * c),
        .inner = factors,
        .outer = factors + c,
        .sums = sums,
      };
      func (&row);
    }
}

/* Columns [start, end): the chunks' sums to the gradients of the vectors. */
static void
add_columns (const SwittiResidualNorm *norm, const SwittiNormGradients *g, const float *scratch, int64_t start,
             int64_t end)
{
  const int64_t c = norm->c, chunks = chunks_of_image (norm);
  float weight[BLOCK_COLUMNS] = { 0 }, bias[BLOCK_COLUMNS] = { 0 }, post_weight[BLOCK_COLUMNS] = { 0 };

  for (int64_t image = 0; image < norm->batch; image++)
    {
      const int64_t modulation = image * norm->modulation_stride;
      float sums[N_SUMS][BLOCK_COLUMNS] = { 0 };

      for (int64_t i = image * chunks * N_SUMS; i < (image + 1) * chunks * N_SUMS; i++)
        for (int64_t j = start; j < end; j++)
          sums[i % N_SUMS][j - start] += scratch[i * c + j];
      for (int64_t j = start; j < end; j++)
        {
          const float scaled = sums[SUM_SCALED][j - start], shifted = sums[SUM_SHIFTED][j - start];
          const float gated = sums[SUM_GATED][j - start];
          const float factor = 1.0f + element (g->scale, modulation + j, 0.0f);

          weight[j - start] += factor * scaled;
          bias[j - start] += factor * shifted;
          post_weight[j - start] += element (g->gate, modulation + j, 1.0f) * gated;
          if (g->d_scale != NULL)
            g->d_scale[modulation + j] = element (g->weight, j, 1.0f) * scaled + element (g->bias, j, 0.0f) * shifted;
          if (g->d_shift != NULL)
            g->d_shift[modulation + j] = shifted;
          if (g->d_gate != NULL)
            g->d_gate[modulation + j] = element (g->post_weight, j, 1.0f) * gated;
        }
    }
  for (int64_t j = start; j < end; j++)
    {
      if (g->d_weight != NULL)
        g->d_weight[j] += weight[j - start];
      if (g->d_bias != NULL)
        g->d_bias[j] += bias[j - start];
      if (g->d_post_weight != NULL)
        g->d_post_weight[j] += post_weight[j - start];
    }
}

static SwittiKernelStatus
norm_backward (SwittiKernelContext *context, const SwittiResidualNorm *norm, const SwittiNormGradients *gradients,
               float *scratch, const RowFunc funcs[2][2])
{
  const RowFunc func = funcs[norm->y_dtype == SWITTI_DTYPE_BF16][norm->h_dtype == SWITTI_DTYPE_BF16];
  const int64_t chunks = norm->batch * chunks_of_image (norm), c = norm->c;

  if ((size_t) (2 * c) > SWITTI_CPU_THREAD_SCRATCH)
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel num_threads(context->n_threads)
  {
    float *factors = switti_cpu_thread_scratch (context, omp_get_thread_num ());

#pragma omp for schedule(static)
    for (int64_t chunk = 0; chunk < chunks; chunk++)
      run_chunk (norm, gradients, chunk, func, scratch + chunk * N_SUMS * c, factors);
#pragma omp for schedule(static)
    for (int64_t start = 0; start < c; start += BLOCK_COLUMNS)
      add_columns (norm, gradients, scratch, start, start + BLOCK_COLUMNS < c ? start + BLOCK_COLUMNS : c);
  }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
residual_norm_backward (SwittiKernelContext *context, const SwittiResidualNorm *norm,
                        const SwittiNormGradients *gradients, void *scratch)
{
  return norm_backward (context, norm, gradients, scratch, residual_norm_row_funcs);
}

static SwittiKernelStatus
layer_norm_backward (SwittiKernelContext *context, const SwittiLayerNorm *norm, const SwittiNormGradients *gradients,
                     void *scratch)
{
  return norm_backward (context, norm, gradients, scratch, layer_norm_row_funcs);
}

void
SWITTI_CPU_SYMBOL (norm_backward_fill) (SwittiKernels *ops)
{
  ops->norm_backward_scratch_bytes = norm_backward_scratch_bytes;
  ops->residual_norm_backward = residual_norm_backward;
  ops->layer_norm_backward = layer_norm_backward;
}
