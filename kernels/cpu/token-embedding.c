/* token-embedding.c - what is added to tokens by their place, and its gradients
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "math-private.h"

/* Columns whose gradients one thread has. */
#define BLOCK_COLUMNS 64

static bool
levels_are_valid (const SwittiTokenEmbedding *embedding, const int32_t *level)
{
  for (int64_t t = 0; t < embedding->length; t++)
    if (level[t] < 0 || level[t] >= embedding->n_levels)
      return false;
  return true;
}

static SwittiKernelStatus
token_embedding (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding, const int32_t *level,
                 const float *levels, const float *positions, const float *start, const float *word_bias,
                 const float *c, float *x)
{
  const int64_t length = embedding->length, width = embedding->width;

  if (!levels_are_valid (embedding, level))
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t r = 0; r < embedding->batch * length; r++)
    {
      const int64_t t = r % length;
      const float *restrict by_level = levels + level[t] * width;
      const float *restrict by_position = positions != NULL ? positions + t * width : NULL;
      const float *restrict by_kind = t == 0 ? start : word_bias;
      const float *restrict by_image = t == 0 ? c + r / length * width : NULL;
      float *restrict row = x + r * width;

#pragma omp simd
      for (int64_t j = 0; j < width; j++)
        row[j] += by_level[j] + by_kind[j];
      for (int64_t j = 0; by_position != NULL && j < width; j++)
        row[j] += by_position[j];
      for (int64_t j = 0; by_image != NULL && j < width; j++)
        row[j] += by_image[j];
    }
  return SWITTI_KERNEL_OK;
}

typedef struct
{
  const SwittiTokenEmbedding *embedding;
  const int32_t *level;
  const float *dx;
  float *d_levels, *d_positions, *d_start, *d_word_bias, *dc;
} Gradients;

/* Columns [start, end) of all gradients, token by token: a level's tokens lie side by side. */
static void
add_columns (const Gradients *g, int64_t start, int64_t end)
{
  const int64_t length = g->embedding->length, width = g->embedding->width;
  float words[BLOCK_COLUMNS] = { 0 };

  for (int64_t t = 0; t < length; t++)
    {
      float token[BLOCK_COLUMNS] = { 0 };

      for (int64_t b = 0; b < g->embedding->batch; b++)
        for (int64_t j = start; j < end; j++)
          token[j - start] += g->dx[(b * length + t) * width + j];
      for (int64_t j = start; j < end; j++)
        {
          g->d_levels[g->level[t] * width + j] += token[j - start];
          if (g->d_positions != NULL)
            g->d_positions[t * width + j] += token[j - start];
          if (t == 0)
            g->d_start[j] += token[j - start];
          else
            words[j - start] += token[j - start];
        }
    }
  for (int64_t j = start; j < end; j++)
    {
      g->d_word_bias[j] += words[j - start];
      for (int64_t b = 0; b < g->embedding->batch; b++)
        g->dc[b * width + j] += g->dx[b * length * width + j];
    }
}

static SwittiKernelStatus
token_embedding_backward (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding, const int32_t *level,
                          const float *dx, float *d_levels, float *d_positions, float *d_start, float *d_word_bias,
                          float *dc)
{
  const Gradients gradients = { embedding, level, dx, d_levels, d_positions, d_start, d_word_bias, dc };
  const int64_t width = embedding->width;

  if (!levels_are_valid (embedding, level))
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t start = 0; start < width; start += BLOCK_COLUMNS)
    add_columns (&gradients, start, start + BLOCK_COLUMNS < width ? start + BLOCK_COLUMNS : width);
  return SWITTI_KERNEL_OK;
}

/* Rows of the same entry are added in their order. */
static SwittiKernelStatus
embed_backward (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries, const int32_t *ids,
                const float *dy, float *d_table)
{
  for (int64_t r = 0; r < rows; r++)
    if (ids[r] < 0 || ids[r] >= entries)
      return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t start = 0; start < width; start += BLOCK_COLUMNS)
    for (int64_t r = 0; r < rows; r++)
      for (int64_t j = start; j < width && j < start + BLOCK_COLUMNS; j++)
        d_table[ids[r] * width + j] += dy[r * width + j];
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (token_embedding_fill) (SwittiKernels *ops)
{
  ops->token_embedding = token_embedding;
  ops->token_embedding_backward = token_embedding_backward;
  ops->embed_backward = embed_backward;
}
