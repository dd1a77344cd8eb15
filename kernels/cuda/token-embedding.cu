/* token-embedding.cu - what is added to tokens by their place, and its gradients
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "map-private.h"

#include "device-private.h"

/* A level outside the table is the caller's mistake, as an id is: its nearest row is read. */
__device__ __forceinline__ int64_t
within (int64_t i, int64_t count)
{
  return i < 0 ? 0 : i < count ? i : count - 1;
}

struct TokenEmbedding
{
  int64_t length, n_levels;
  const int32_t *level;
  const float *levels, *positions, *start, *word_bias, *c;
  float *x;

  template <bool VECTOR>
  __device__ __forceinline__ void
  add (const float *row, int j, int width, float sum[LANE]) const
  {
    float added[LANE];
    load_lane<VECTOR> (row, j, width, added);
#pragma unroll
    for (int e = 0; e < LANE; e++)
      sum[e] += added[e];
  }

  template <bool VECTOR>
  __device__ void
  at (int64_t row, int j, int width) const
  {
    const int64_t token = row % length;
    float sum[LANE];

    load_lane<VECTOR> (x + row * width, j, width, sum);
    add<VECTOR> (levels + within (load_index (level, token), n_levels) * width, j, width, sum);
    add<VECTOR> (token == 0 ? start : word_bias, j, width, sum);
    if (positions != nullptr)
      add<VECTOR> (positions + token * width, j, width, sum);
    if (token == 0)
      add<VECTOR> (c + row / length * width, j, width, sum);
    store_lane<VECTOR> (x + row * width, j, width, sum);
  }
};

static SwittiKernelStatus
token_embedding (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding, const int32_t *level,
                 const float *levels, const float *positions, const float *start, const float *word_bias,
                 const float *c, float *x)
{
  const int64_t width = embedding->width;
  bool vector = true;

  for (const float *operand : { levels, positions, start, word_bias, c, static_cast<const float *> (x) })
    vector = vector && is_vector (operand, width, width);
  return map (context, embedding->batch * embedding->length, width, vector,
              TokenEmbedding{ embedding->length, embedding->n_levels, level, levels, positions, start, word_bias, c,
                              x });
}

/* -- gradients --------------------------------------------------------------------------------------------------- */

/* A block has 32 columns, and every 16th token for each of them. */
#define TOKEN_COLUMNS 32
#define TOKEN_DOWN 16
#define TOKEN_THREADS (TOKEN_COLUMNS * TOKEN_DOWN)

struct TokenGradients
{
  int64_t batch, length, n_levels;
  int width;
  const int32_t *level;
  const float *dx;
  float *d_levels, *d_positions, *d_start, *d_word_bias, *dc;
};

/* The sum over the block's rows of threads, for the first of them. */
__device__ __forceinline__ float
sum_down (Shared<float> parts, float value)
{
  parts[threadIdx.x] = value;
  for (int left = TOKEN_DOWN / 2; left > 0; left /= 2)
    {
      __syncthreads ();
      if ((int) threadIdx.x < left * TOKEN_COLUMNS)
        {
          const float other = parts[threadIdx.x + left * TOKEN_COLUMNS];
          parts[threadIdx.x] += other;
        }
    }
  __syncthreads ();
  const float sum = parts[threadIdx.x % TOKEN_COLUMNS];
  __syncthreads ();
  return sum;
}

/* A token's gradient over all images; what it alone decides is written. */
__device__ __forceinline__ float
take_token (const TokenGradients &g, int64_t token, int column)
{
  float sum = 0.0f;

  for (int64_t b = 0; b < g.batch; b++)
    {
      const float value = load (g.dx, (b * g.length + token) * g.width + column);
      sum += value;
      if (token == 0)
        store (g.dc, b * g.width + column, load (g.dc, b * g.width + column) + value);
    }
  if (g.d_positions != nullptr)
    store (g.d_positions, token * g.width + column, load (g.d_positions, token * g.width + column) + sum);
  if (token == 0)
    store (g.d_start, column, load (g.d_start, column) + sum);
  return sum;
}

__global__ void __launch_bounds__ (TOKEN_THREADS, 1)
token_gradients (TokenGradients g)
{
  SWITTI_SHARED (float, parts, TOKEN_THREADS);
  const int down = (int) threadIdx.x / TOKEN_COLUMNS;
  const int column = (int) blockIdx.x * TOKEN_COLUMNS + (int) threadIdx.x % TOKEN_COLUMNS;
  float words = 0.0f;

  for (int64_t level = 0; level < g.n_levels; level++)
    {
      float sum = 0.0f;

      for (int64_t token = down; token < g.length && column < g.width; token += TOKEN_DOWN)
        if (within (load_index (g.level, token), g.n_levels) == level)
          {
            const float own = take_token (g, token, column);
            sum += own;
            words += token == 0 ? 0.0f : own;
          }
      sum = sum_down (parts, sum);
      if (down == 0 && column < g.width)
        store (g.d_levels, level * g.width + column, load (g.d_levels, level * g.width + column) + sum);
    }
  words = sum_down (parts, words);
  if (down == 0 && column < g.width)
    store (g.d_word_bias, column, load (g.d_word_bias, column) + words);
}

static SwittiKernelStatus
token_embedding_backward (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding, const int32_t *level,
                          const float *dx, float *d_levels, float *d_positions, float *d_start, float *d_word_bias,
                          float *dc)
{
  const TokenGradients gradients = { embedding->batch, embedding->length, embedding->n_levels,
                                     (int) embedding->width, level, dx, d_levels, d_positions, d_start, d_word_bias,
                                     dc };

  if (embedding->width > INT32_MAX - TOKEN_COLUMNS)
    return SWITTI_KERNEL_INVALID;
  return SWITTI_LAUNCH (context, token_gradients,
                        dim3 ((unsigned int) blocks_for (embedding->width, TOKEN_COLUMNS)), dim3 (TOKEN_THREADS), 0,
                        gradients);
}

/* -- tables of embeddings ---------------------------------------------------------------------------------------- */

#define EMBED_THREADS 128

/* A block has a row, and goes on where no row before has the same id: it then adds the rows of that id in their order.
 * Ids outside the table, which are the caller's to check, are left out. */
template <bool VECTOR>
__global__ void __launch_bounds__ (EMBED_THREADS)
embed_gradients (int64_t rows, int width, int64_t entries, const int32_t *ids, const float *dy, float *d_table)
{
  const int64_t first = blockIdx.x;
  const int32_t id = load_index (ids, first);
  bool seen = id < 0 || id >= entries;

  for (int64_t r = threadIdx.x; r < first; r += EMBED_THREADS)
    seen = seen || load_index (ids, r) == id;
  if (__syncthreads_or (seen))
    return;
  for (int64_t start = first; start < rows; start += EMBED_THREADS)
    {
      const int64_t own = start + threadIdx.x, left = rows - start;
      if (!__syncthreads_or (own < rows && load_index (ids, own) == id))
        continue;
      for (int64_t r = start; r < start + (left < EMBED_THREADS ? left : EMBED_THREADS); r++)
        {
          if (load_index (ids, r) != id)
            continue;
          for (int j = (int) threadIdx.x * LANE; j < width; j += EMBED_THREADS * LANE)
            {
              float sum[LANE], added[LANE];
              load_lane<VECTOR> (d_table + id * (int64_t) width, j, width, sum);
              load_lane<VECTOR> (dy + r * width, j, width, added);
#pragma unroll
              for (int e = 0; e < LANE; e++)
                sum[e] += added[e];
              store_lane<VECTOR> (d_table + id * (int64_t) width, j, width, sum);
            }
        }
    }
}

static SwittiKernelStatus
embed_backward (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries, const int32_t *ids,
                const float *dy, float *d_table)
{
  const dim3 grid ((unsigned int) rows), block (EMBED_THREADS);

  if (!is_launchable (rows) || width > INT32_MAX - EMBED_THREADS * LANE)
    return SWITTI_KERNEL_INVALID;
  if (is_vector (dy, width, width) && is_vector (d_table, width, width))
    return SWITTI_LAUNCH (context, embed_gradients<true>, grid, block, 0, rows, (int) width, entries, ids, dy, d_table);
  return SWITTI_LAUNCH (context, embed_gradients<false>, grid, block, 0, rows, (int) width, entries, ids, dy, d_table);
}

void
switti_cuda_token_embedding_fill (SwittiKernels *ops)
{
  ops->token_embedding = token_embedding;
  ops->token_embedding_backward = token_embedding_backward;
  ops->embed_backward = embed_backward;
}
