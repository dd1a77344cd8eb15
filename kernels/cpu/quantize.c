/* quantize.c - the nearest code of a codebook
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Float32 products rank the codes; a code that comes within their rounding error of the best so far is decided by its
 * exact distance in float64, so the result is that of the exact search.
 */
#include "math-private.h"

/* Codes of one tile, whose vectors are transposed into the thread's scratch. */
#define TILE_CODES 512

typedef struct
{
  int64_t v, z;
  bool cosine;
  const float *f;
  const float *codebook;
} Search;

/* What is minimised, in float64: |f - c|^2, or -f.c / |c| (0 for a code of length 0). */
static double
exact_score (const Search *search, const float *f, int64_t code)
{
  const float *c = search->codebook + code * search->z;
  double distance = 0.0, product = 0.0, norm = 0.0;

  for (int64_t j = 0; j < search->z; j++)
    {
      const double difference = (double) f[j] - c[j];
      distance += difference * difference;
      product += (double) f[j] * c[j];
      norm += (double) c[j] * c[j];
    }
  if (!search->cosine)
    return distance;
  return norm > 0.0 ? -product / sqrt (norm) : 0.0;
}

/* The tile's codes as columns, tile (z, TILE_CODES), and what is added to -f.c to rank them: |c|^2 / 2, or 0 with unit
 * codes. Returns the greatest |c|^2. */
static float
pack_tile (const Search *search, int64_t first, int64_t count, float *tile, float *bias)
{
  float greatest = 0.0f;
  for (int64_t i = 0; i < count; i++)
    {
      const float *c = search->codebook + (first + i) * search->z;
      float norm = 0.0f;
      for (int64_t j = 0; j < search->z; j++)
        norm += c[j] * c[j];
      const float factor = !search->cosine ? 1.0f : (norm > 0.0f ? 1.0f / sqrtf (norm) : 0.0f);
      for (int64_t j = 0; j < search->z; j++)
        tile[j * TILE_CODES + i] = c[j] * factor;
      bias[i] = search->cosine ? 0.0f : 0.5f * norm;
      norm *= factor * factor;
      greatest = norm > greatest ? norm : greatest;
    }
  return greatest;
}

/* Improves on the best code of one row with the codes of one tile. */
static void
search_tile (const Search *search, const float *f, int64_t first, int64_t count, const float *tile, const float *bias,
             float greatest, float *scores, int32_t *code, float *best, double *best_exact)
{
  float norm = 0.0f;
  for (int64_t j = 0; j < search->z; j++)
    norm += f[j] * f[j];
  /* Twice the bound of a float32 sum of z products and a bias. */
  const float margin = (float) (search->z + 8) * 0x1p-22f * (sqrtf (norm * greatest) + greatest);

  memcpy (scores, bias, (size_t) count * sizeof *scores);
  for (int64_t j = 0; j < search->z; j++)
    {
      const float *column = tile + j * TILE_CODES;
      const float value = f[j];
#pragma omp simd
      for (int64_t i = 0; i < count; i++)
        scores[i] -= value * column[i];
    }
  for (int64_t i = 0; i < count; i++)
    {
      if (!(scores[i] < *best + margin))
        continue;
      const double exact = exact_score (search, f, first + i);
      if (exact < *best_exact)
        {
          *best_exact = exact;
          *code = (int32_t) (first + i);
        }
      *best = scores[i] < *best ? scores[i] : *best;
    }
}

/* Rows [start, end): the tiles outside, so that each is packed once for all of them. */
static void
search_rows (const Search *search, int64_t start, int64_t end, float *scratch, int32_t *codes)
{
  enum { ROWS = 64 };
  float *bias = scratch, *scores = bias + TILE_CODES, *tile = scores + TILE_CODES;

  for (int64_t block = start; block < end; block += ROWS)
    {
      const int64_t rows = end - block < ROWS ? end - block : ROWS;
      float best[ROWS];
      double best_exact[ROWS];
      for (int64_t r = 0; r < rows; r++)
        {
          best[r] = INFINITY;
          best_exact[r] = INFINITY;
          codes[block + r] = 0;
        }
      for (int64_t first = 0; first < search->v; first += TILE_CODES)
        {
          const int64_t count = search->v - first < TILE_CODES ? search->v - first : TILE_CODES;
          const float greatest = pack_tile (search, first, count, tile, bias);
          for (int64_t r = 0; r < rows; r++)
            search_tile (search, search->f + (block + r) * search->z, first, count, tile, bias, greatest, scores,
                         &codes[block + r], &best[r], &best_exact[r]);
        }
    }
}

static SwittiKernelStatus
nearest_code (SwittiKernelContext *context, int64_t rows, int64_t v, int64_t z, bool cosine, const float *f,
              const float *codebook, int32_t *codes)
{
  const Search search = { .v = v, .z = z, .cosine = cosine, .f = f, .codebook = codebook };
  const int64_t block = 64;

  if (v <= 0 || v > INT32_MAX || z <= 0 || (size_t) (z + 2) * TILE_CODES > SWITTI_CPU_THREAD_SCRATCH)
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t start = 0; start < rows; start += block)
    search_rows (&search, start, start + block < rows ? start + block : rows,
                 switti_cpu_thread_scratch (context, omp_get_thread_num ()), codes);
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (quantize_fill) (SwittiKernels *ops)
{
  ops->nearest_code = nearest_code;
}
