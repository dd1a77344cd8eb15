/* sample.cu - drawing the codes of a scale
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block has a row of logits, in registers, from guidance to draw; nothing of width V is written unless asked for.
 * The k-th largest and the nucleus are found by bisection over the bits of sortable keys, without a sort.
 */
#include "runtime-private.h"

#include "philox-private.h"
#include "rows-private.h"

/* The longest row: what a block's registers hold, logits and weights. */
#define MAX_CODES 8192

/* One call. */
struct SampleShape
{
  int64_t n;
  int v, z;
  int scale_index;
  float guidance, temperature;
  int top_k; /* 0: none */
  float top_p;
  float sharpness, tau;
};

/* Unsigned order of the keys = order of the floats; -0 and 0 are one. */
__device__ __forceinline__ uint32_t
sortable_key (float value)
{
  const uint32_t bits = __float_as_uint (value + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float
value_of_key (uint32_t key)
{
  return __uint_as_float (key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/* Logits of the row, guided; written where `guided` is not NULL. What lies past the row is -inf. */
template <typename Shape>
__device__ __forceinline__ void
guide (const SampleShape &shape, const float *prompt, const float *null_logits, float *guided,
       float (&logits)[Shape::lanes][LANE])
{
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      float null[LANE];

      if (j < shape.v)
        {
          load_lane<Shape::vector> (prompt, j, shape.v, logits[i]);
          if (null_logits != nullptr)
            load_lane<Shape::vector> (null_logits, j, shape.v, null);
        }
#pragma unroll
      for (int e = 0; e < LANE; e++)
        {
          if (j + e >= shape.v)
            logits[i][e] = -INFINITY;
          else if (null_logits != nullptr)
            logits[i][e] = (1.0f + shape.guidance) * logits[i][e] - shape.guidance * null[e];
          else
            logits[i][e] = logits[i][e] / shape.temperature;
        }
      if (guided != nullptr && j < shape.v)
        store_lane<Shape::vector> (guided, j, shape.v, logits[i]);
      SWITTI_IN_ORDER ();
    }
}

/* -- sets of codes ---------------------------------------------------------------------------------------------- */

/* A thread's codes as bits: bit LANE * i + e is element e of lane i. */
template <typename Shape, typename Predicate>
__device__ __forceinline__ uint32_t
select (uint32_t among, Predicate predicate)
{
  uint32_t selected = 0;
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      if ((among >> (LANE * i + e) & 1u) && predicate (i, e))
        selected |= 1u << (LANE * i + e);
  return selected;
}

template <typename Shape>
__device__ __forceinline__ int
block_count (uint32_t selected)
{
  return block_sum<Shape::threads> (__popc (selected));
}

/* Those whose keys reach the k-th largest key. */
template <typename Shape>
__device__ __forceinline__ uint32_t
keep_largest (const uint32_t (&keys)[Shape::lanes][LANE], uint32_t alive, int k)
{
  uint32_t threshold = 0;

  for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1)
    {
      const uint32_t candidate = threshold | bit;
      const int reached = block_count<Shape> (
          select<Shape> (alive, [&] (int i, int e) { return keys[i][e] >= candidate; }));
      if (reached >= k)
        threshold = candidate;
      /* Exactly k: the candidate parts them, wherever between two keys it lies. */
      if (reached == k)
        break;
    }
  return select<Shape> (alive, [&] (int i, int e) { return keys[i][e] >= threshold; });
}

/* The code that a thread's bit stands for. */
template <typename Shape>
__device__ __forceinline__ int
code_of (int i, int e)
{
  return lane_start<Shape> (i) + e;
}

/* `ties` without the first `n` of them in the order of codes. */
template <typename Shape>
__device__ __forceinline__ uint32_t
without_first (uint32_t ties, int n)
{
  int bound = 0;

  /* The greatest bound below which there are at most n. */
  for (int bit = MAX_CODES; bit != 0; bit >>= 1)
    if (block_count<Shape> (select<Shape> (ties, [&] (int i, int e) { return code_of<Shape> (i, e) < bound + bit; }))
        <= n)
      bound += bit;
  return select<Shape> (ties, [&] (int i, int e) { return code_of<Shape> (i, e) >= bound; });
}

/* A thread's few weights are added up in float32, the threads' sums in float64. */
template <typename Shape>
__device__ __forceinline__ double
sum_selected (uint32_t selected, const float (&weights)[Shape::lanes][LANE])
{
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      if (selected >> (LANE * i + e) & 1u)
        sum += weights[i][e];
  return block_sum<Shape::threads> ((double) sum);
}

template <typename Shape>
__device__ __forceinline__ int
greatest_code (uint32_t selected)
{
  float code = -1.0f; /* codes are exact in float32 */
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      if (selected >> (LANE * i + e) & 1u)
        code = fmaxf (code, (float) code_of<Shape> (i, e));
  return (int) block_max<Shape::threads> (code);
}

/* Drops what lies outside the nucleus; equal logits are taken as sorted by code. */
template <typename Shape>
__device__ __forceinline__ uint32_t
keep_nucleus (const uint32_t (&keys)[Shape::lanes][LANE], uint32_t alive, float top_p)
{
  float greatest = -INFINITY, weights[Shape::lanes][LANE];
  uint32_t threshold = 0;

#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      if ((alive >> (LANE * i + e) & 1u) && value_of_key (keys[i][e]) > greatest)
        greatest = value_of_key (keys[i][e]);
  greatest = block_max<Shape::threads> (greatest);
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      weights[i][e] = expf (value_of_key (keys[i][e]) - greatest);
  const double limit = (1.0 - (double) top_p) * sum_selected<Shape> (alive, weights);

  for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1)
    {
      const uint32_t candidate = threshold | bit;
      const uint32_t below = select<Shape> (alive, [&] (int i, int e) { return keys[i][e] < candidate; });
      if (sum_selected<Shape> (below, weights) <= limit)
        threshold = candidate;
    }
  threshold = threshold < sortable_key (greatest) ? threshold : sortable_key (greatest);

  const uint32_t ties = select<Shape> (alive, [&] (int i, int e) { return keys[i][e] == threshold; });
  const uint32_t above = select<Shape> (alive, [&] (int i, int e) { return keys[i][e] > threshold; });
  const double below = sum_selected<Shape> (alive & ~ties & ~above, weights);
  const int n_ties = block_count<Shape> (ties);
  const double each = sum_selected<Shape> (ties, weights) / (n_ties > 0 ? n_ties : 1);
  /* How many of the equal ones the running sum leaves at or below the limit. */
  const double fitting = each > 0.0 ? (limit - below) / each : (double) n_ties;
  const int n_dropped = fitting >= (double) n_ties ? n_ties : fitting > 0.0 ? (int) fitting : 0;
  uint32_t kept = above | (n_dropped == 0 ? ties : without_first<Shape> (ties, n_dropped));

  if (block_count<Shape> (kept) > 0)
    return kept;
  /* Never the largest: of equal ones, the last. */
  const int last = greatest_code<Shape> (n_ties > 0 ? ties : alive);
  return select<Shape> (alive, [&] (int i, int e) { return code_of<Shape> (i, e) == last; });
}

/* -- the draw ---------------------------------------------------------------------------------------------------- */

/* A score and its code. What compares with nothing (NaN) has no score but still a code. */
struct Candidate
{
  float score;
  int code;
};

__device__ __forceinline__ Candidate
better (Candidate a, Candidate b)
{
  return b.score > a.score || (b.score == a.score && b.code < a.code) ? b : a;
}

/* The greatest score, of equal ones the lowest code; of NaNs alone, the lowest code. */
template <int THREADS>
__device__ __forceinline__ Candidate
block_best (Candidate own)
{
#pragma unroll
  for (int distance = WARP_LANES / 2; distance > 0; distance /= 2)
    {
      const Candidate other = { __shfl_xor_sync (FULL_WARP, own.score, distance),
                                __shfl_xor_sync (FULL_WARP, own.code, distance) };
      own = better (own, other);
    }
  if (THREADS == WARP_LANES)
    return own;
  SWITTI_SHARED (float, scores, THREADS / WARP_LANES);
  SWITTI_SHARED (int, codes, THREADS / WARP_LANES);
  if (threadIdx.x % WARP_LANES == 0)
    {
      scores[threadIdx.x / WARP_LANES] = own.score;
      codes[threadIdx.x / WARP_LANES] = own.code;
    }
  __syncthreads ();
  Candidate best = { scores[0], codes[0] };
#pragma unroll
  for (int warp = 1; warp < THREADS / WARP_LANES; warp++)
    best = better (best, Candidate{ scores[warp], codes[warp] });
  __syncthreads ();
  return best;
}

template <typename Shape>
__device__ __forceinline__ Candidate
find_best (const float (&scores)[Shape::lanes][LANE], uint32_t alive)
{
  Candidate best = { -INFINITY, MAX_CODES };
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      if (alive >> (LANE * i + e) & 1u)
        best = better (best, Candidate{ scores[i][e] == scores[i][e] ? scores[i][e] : -INFINITY,
                                        code_of<Shape> (i, e) });
  return block_best<Shape::threads> (best);
}

/* The Gumbel numbers of codes 4 * block to 4 * block + 3. Not inlined: the compiler would work out all of a thread's at
 * once, for which there are not the registers. */
__device__ SWITTI_NOINLINE static float4
gumbel_block (uint32_t block, uint32_t position, uint32_t scale, uint64_t seed)
{
  const uint4 words = philox (uint4{ block, position, scale, 0 }, (uint32_t) seed, (uint32_t) (seed >> 32));
  return float4{ gumbel (words.x), gumbel (words.y), gumbel (words.z), gumbel (words.w) };
}

/* scores += Gumbel numbers of the row */
template <typename Shape>
__device__ __forceinline__ void
add_gumbel (const SampleShape &shape, uint64_t seed, int64_t position, uint32_t alive,
            float (&scores)[Shape::lanes][LANE])
{
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      if ((alive >> (LANE * i) & 15u) == 0)
        continue;
      const float4 numbers = gumbel_block ((uint32_t) lane_start<Shape> (i) / 4, (uint32_t) position,
                                           (uint32_t) shape.scale_index, seed);
      scores[i][0] += numbers.x;
      scores[i][1] += numbers.y;
      scores[i][2] += numbers.z;
      scores[i][3] += numbers.w;
    }
}

__device__ __forceinline__ uint64_t
load_seed (const uint64_t *seeds, int64_t image)
{
  check_read (seeds + image, 8, 0);
  return seeds[image];
}

/* The codes that a thread has at all. */
template <typename Shape>
__device__ __forceinline__ uint32_t
all_codes (int v)
{
  return select<Shape> (0xffffffffu, [&] (int i, int e) { return code_of<Shape> (i, e) < v; });
}

template <typename Shape>
__global__ void __launch_bounds__ (Shape::threads, 1)
draw_filtered (SampleShape shape, const uint64_t *seeds, const float *prompt, const float *null_logits, float *guided,
               float *filtered, int32_t *codes)
{
  const int64_t row = blockIdx.x, first = row * shape.v;
  uint32_t alive = all_codes<Shape> (shape.v), keys[Shape::lanes][LANE];
  float logits[Shape::lanes][LANE];

  guide<Shape> (shape, prompt + first, null_logits != nullptr ? null_logits + first : nullptr,
                guided != nullptr ? guided + first : nullptr, logits);
  /* In between, the keys alone are kept: registers are few. */
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      keys[i][e] = sortable_key (logits[i][e]);
  if (shape.top_k > 0 && shape.top_k < shape.v)
    alive = keep_largest<Shape> (keys, alive, shape.top_k);
  if (shape.top_p > 0.0f)
    alive = keep_nucleus<Shape> (keys, alive, shape.top_p);
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      logits[i][e] = value_of_key (keys[i][e]);
  if (filtered != nullptr)
    for (int i = 0; i < Shape::lanes; i++)
      for (int e = 0; e < LANE; e++)
        if (code_of<Shape> (i, e) < shape.v)
          store (filtered + first, code_of<Shape> (i, e),
                 alive >> (LANE * i + e) & 1u ? logits[i][e] : -INFINITY);
  add_gumbel<Shape> (shape, load_seed (seeds, row / shape.n), row % shape.n, alive, logits);
  const Candidate drawn = find_best<Shape> (logits, alive);
  if (threadIdx.x == 0)
    {
      check_write (codes + row, 4);
      codes[row] = drawn.code < shape.v ? drawn.code : 0;
    }
}

/* -- smooth ------------------------------------------------------------------------------------------------------ */

/* h (Z) = weights . codebook / their sum. The weights of one lane of all threads lie in shared memory at a time; a warp
 * takes every so many of them, its threads neighbouring columns of the codebook. */
template <typename Shape>
__device__ __forceinline__ void
mix_codes (const SampleShape &shape, const float (&weights)[Shape::lanes][LANE], float inverse, const float *codebook,
           float *h)
{
  constexpr int WARPS = Shape::threads / WARP_LANES, TILE = Shape::threads * LANE;
  SWITTI_SHARED (float, tile, TILE);
  SWITTI_SHARED (float, partial, Shape::threads);
  const int warp = (int) threadIdx.x / WARP_LANES, lane = (int) threadIdx.x % WARP_LANES;

  for (int z = 0; z < shape.z; z += WARP_LANES)
    {
      float sum = 0.0f;

#pragma unroll
      for (int i = 0; i < Shape::lanes; i++)
        {
          __syncthreads ();
          for (int e = 0; e < LANE; e++)
            tile[(int) threadIdx.x * LANE + e] = weights[i][e];
          __syncthreads ();
          for (int code = warp; z + lane < shape.z && code < TILE && TILE * i + code < shape.v; code += WARPS)
            {
              const float weight = tile[code];
              if (weight != 0.0f)
                sum += weight * load (codebook, (int64_t) (TILE * i + code) * shape.z + z + lane);
            }
        }
      partial[threadIdx.x] = sum;
      __syncthreads ();
      if (warp == 0 && z + lane < shape.z)
        {
          float total = 0.0f;
          for (int w = 0; w < WARPS; w++)
            total += partial[w * WARP_LANES + lane];
          store (h, z + lane, total * inverse);
        }
    }
}

template <typename Shape>
__global__ void __launch_bounds__ (Shape::threads, 1)
draw_smooth (SampleShape shape, const uint64_t *seeds, const float *prompt, const float *null_logits,
             const float *codebook, const float *given_gumbel, float *guided, float *h, int32_t *codes)
{
  const int64_t row = blockIdx.x, first = row * shape.v;
  const uint32_t alive = all_codes<Shape> (shape.v);
  float scores[Shape::lanes][LANE], sum = 0.0f;

  guide<Shape> (shape, prompt + first, null_logits != nullptr ? null_logits + first : nullptr,
                guided != nullptr ? guided + first : nullptr, scores);
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      {
        scores[i][e] *= shape.sharpness;
        if (given_gumbel != nullptr && code_of<Shape> (i, e) < shape.v)
          scores[i][e] += load (given_gumbel + first, code_of<Shape> (i, e));
      }
  if (given_gumbel == nullptr)
    add_gumbel<Shape> (shape, load_seed (seeds, row / shape.n), row % shape.n, alive, scores);
  const Candidate best = find_best<Shape> (scores, alive);
  const float inverse_tau = 1.0f / shape.tau;
  /* The largest is taken off before the division by a small tau, where the difference is still exact. */
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    for (int e = 0; e < LANE; e++)
      {
        scores[i][e] = code_of<Shape> (i, e) < shape.v ? expf ((scores[i][e] - best.score) * inverse_tau) : 0.0f;
        sum += scores[i][e];
      }
  sum = block_sum<Shape::threads> (sum);
  mix_codes<Shape> (shape, scores, 1.0f / sum, codebook, h + row * shape.z);
  if (threadIdx.x == 0)
    {
      check_write (codes + row, 4);
      codes[row] = best.code < shape.v ? best.code : 0;
    }
}

/* -- the ops ------------------------------------------------------------------------------------------------------ */

/* Few codes are a warp's, most a block's of 256 or 512. */
template <typename Launch>
static SwittiKernelStatus
with_sample_shape (int64_t v, bool vector, Launch launch)
{
  if (v <= 32 * LANE)
    return vector ? launch (RowShape<32, 1, true>{}) : launch (RowShape<32, 1, false>{});
  if (v <= 256 * 4 * LANE)
    return vector ? launch (RowShape<256, 4, true>{}) : launch (RowShape<256, 4, false>{});
  return vector ? launch (RowShape<512, 4, true>{}) : launch (RowShape<512, 4, false>{});
}

static bool
sample_fits (const SwittiSample *sample)
{
  return sample->v <= MAX_CODES && sample->n <= INT32_MAX && sample->batch <= INT32_MAX
         && is_launchable (sample->batch * sample->n);
}

static SampleShape
sample_shape (const SwittiSample *sample)
{
  SampleShape shape = {};

  shape.n = sample->n;
  shape.v = (int) sample->v;
  shape.scale_index = sample->scale_index;
  shape.guidance = sample->guidance;
  shape.temperature = sample->temperature;
  shape.top_k = (int) (sample->top_k < sample->v ? sample->top_k : sample->v);
  shape.top_p = sample->top_p;
  return shape;
}

static SwittiKernelStatus
sample_filtered (SwittiKernelContext *context, const SwittiSample *sample, const uint64_t *seeds, const float *prompt,
                 const float *null_logits, float *guided, float *filtered, int32_t *codes)
{
  if (!sample_fits (sample))
    return SWITTI_KERNEL_INVALID;
  const bool vector = is_vector (prompt, 0, sample->v) && is_vector (null_logits, 0, sample->v)
                      && is_vector (guided, 0, sample->v);
  const dim3 grid ((unsigned int) (sample->batch * sample->n));
  return with_sample_shape (sample->v, vector, [&] (auto shape) {
    using Shape = decltype (shape);
    return SWITTI_LAUNCH (context, draw_filtered<Shape>, grid, dim3 (Shape::threads), 0, sample_shape (sample), seeds,
                          prompt, null_logits, guided, filtered, codes);
  });
}

static SwittiKernelStatus
sample_smooth (SwittiKernelContext *context, const SwittiSample *sample, const uint64_t *seeds, const float *prompt,
               const float *null_logits, const float *codebook, const float *gumbel, float *guided, float *h,
               int32_t *codes)
{
  if (!sample_fits (sample) || sample->z > INT32_MAX)
    return SWITTI_KERNEL_INVALID;
  const bool vector = is_vector (prompt, 0, sample->v) && is_vector (null_logits, 0, sample->v)
                      && is_vector (guided, 0, sample->v);
  const dim3 grid ((unsigned int) (sample->batch * sample->n));
  SampleShape values = sample_shape (sample);
  values.z = (int) sample->z;
  values.sharpness = sample->gumbel_sharpness;
  values.tau = sample->gumbel_tau;
  return with_sample_shape (sample->v, vector, [&] (auto shape) {
    using Shape = decltype (shape);
    return SWITTI_LAUNCH (context, draw_smooth<Shape>, grid, dim3 (Shape::threads), 0, values, seeds, prompt,
                          null_logits, codebook, gumbel, guided, h, codes);
  });
}

void
switti_cuda_sample_fill (SwittiKernels *ops)
{
  ops->sample_filtered = sample_filtered;
  ops->sample_smooth = sample_smooth;
}
