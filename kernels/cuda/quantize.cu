/* quantize.cu - the nearest code of a codebook
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block has a row. Float32 products find the best score; codes within the rounding error of it are decided by their
 * exact distance in float64, so the result is that of the exact search.
 */
#include "runtime-private.h"

#include "device-private.h"

#define QUANTIZE_THREADS 256
/* The row is kept in shared memory. */
#define MAX_WIDTH 4096

struct Search
{
  int64_t v;
  int z;
  bool cosine;
  const float *f;
  const float *codebook;
};

/* What is minimised, in float64: |f - c|^2, or -f.c / |c| (0 for a code of length 0). */
__device__ __forceinline__ double
exact_score (const Search &search, Shared<float> f, const float *c)
{
  double distance = 0.0, product = 0.0, norm = 0.0;

  for (int j = 0; j < search.z; j++)
    {
      const double value = (double) (float) f[j], code = (double) load (c, j);
      distance += (value - code) * (value - code);
      product += value * code;
      norm += code * code;
    }
  if (!search.cosine)
    return distance;
  return norm > 0.0 ? -product / sqrt (norm) : 0.0;
}

/* The same in float32 but for |f|^2, halved; and |c|^2. */
__device__ __forceinline__ float
quick_score (const Search &search, Shared<float> f, const float *c, float *norm)
{
  float product = 0.0f, squares = 0.0f;

  for (int j = 0; j < search.z; j++)
    {
      const float code = load (c, j);
      product += (float) f[j] * code;
      squares += code * code;
    }
  *norm = search.cosine ? 1.0f : squares;
  if (search.cosine)
    return squares > 0.0f ? -product / sqrtf (squares) : 0.0f;
  return 0.5f * squares - product;
}

/* Lower score, then lower code. */
__device__ __forceinline__ void
take_better (double score, int32_t code, double *best, int32_t *best_code)
{
  if (score < *best || (score == *best && code < *best_code))
    {
      *best = score;
      *best_code = code;
    }
}

__global__ void __launch_bounds__ (QUANTIZE_THREADS)
nearest_codes (Search search, int32_t *codes)
{
  SWITTI_SHARED (float, f, MAX_WIDTH);
  SWITTI_SHARED (double, scores, QUANTIZE_THREADS / WARP_LANES);
  SWITTI_SHARED (int32_t, candidates, QUANTIZE_THREADS / WARP_LANES);
  const float *row = search.f + (int64_t) blockIdx.x * search.z;
  float best = INFINITY, squares = 0.0f, greatest = 0.0f, norm;
  double exact = INFINITY;
  int32_t code = INT32_MAX;

  for (int j = (int) threadIdx.x; j < search.z; j += QUANTIZE_THREADS)
    {
      const float value = load (row, j);
      f[j] = value;
      squares += value * value;
    }
  __syncthreads ();
  for (int64_t i = threadIdx.x; i < search.v; i += QUANTIZE_THREADS)
    {
      best = fminf (best, quick_score (search, f, search.codebook + i * search.z, &norm));
      greatest = fmaxf (greatest, norm);
    }
  best = -block_max<QUANTIZE_THREADS> (-best);
  greatest = block_max<QUANTIZE_THREADS> (greatest);
  squares = block_sum<QUANTIZE_THREADS> (squares);
  /* Twice the bound of a float32 sum of z products and a bias. */
  const float margin = (float) (search.z + 8) * 0x1p-22f * (sqrtf (squares * greatest) + greatest);
  for (int64_t i = threadIdx.x; i < search.v; i += QUANTIZE_THREADS)
    if (quick_score (search, f, search.codebook + i * search.z, &norm) <= best + margin)
      take_better (exact_score (search, f, search.codebook + i * search.z), (int32_t) i, &exact, &code);

#pragma unroll
  for (int distance = WARP_LANES / 2; distance > 0; distance /= 2)
    {
      const double other = __shfl_xor_sync (FULL_WARP, exact, distance);
      const int32_t other_code = __shfl_xor_sync (FULL_WARP, code, distance);
      take_better (other, other_code, &exact, &code);
    }
  if (threadIdx.x % WARP_LANES == 0)
    {
      scores[threadIdx.x / WARP_LANES] = exact;
      candidates[threadIdx.x / WARP_LANES] = code;
    }
  __syncthreads ();
  if (threadIdx.x != 0)
    return;
  for (int warp = 1; warp < QUANTIZE_THREADS / WARP_LANES; warp++)
    take_better (scores[warp], candidates[warp], &exact, &code);
  check_write (codes + blockIdx.x, 4);
  /* No score compares where the row is NaN. */
  codes[blockIdx.x] = code == INT32_MAX ? 0 : code;
}

static SwittiKernelStatus
nearest_code (SwittiKernelContext *context, int64_t rows, int64_t v, int64_t z, bool cosine, const float *f,
              const float *codebook, int32_t *codes)
{
  const Search search = { v, (int) z, cosine, f, codebook };

  if (v >= INT32_MAX || z > MAX_WIDTH || !is_launchable (rows))
    return SWITTI_KERNEL_INVALID;
  return SWITTI_LAUNCH (context, nearest_codes, dim3 ((unsigned int) rows), dim3 (QUANTIZE_THREADS), 0, search, codes);
}

void
switti_cuda_quantize_fill (SwittiKernels *ops)
{
  ops->nearest_code = nearest_code;
}
