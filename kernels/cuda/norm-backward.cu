/* norm-backward.cu - gradients of RMSNorm and LayerNorm, and of the residual sum and the modulation around them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block has a chunk of one image's rows, one after another, in registers: x, y, dh and dx are read once, and dx and
 * dy written once. Each thread adds what its columns mean for the vectors over C to sums of its own, which go to the
 * scratch; a second kernel adds the chunks' sums in their order. So the bits of an image do not depend on the others.
 * What is what: kernels/cpu/norm-backward.c.
 */
#include "runtime-private.h"

#include "rows-private.h"

/* The chunk's sums, each over C: of dh n, of dh, and of dx n of y. */
enum
{
  SUM_SCALED,
  SUM_SHIFTED,
  SUM_GATED,
  N_SUMS
};

/* Rows of a chunk; those of MANY_COLUMNS, whose sums would not fit the registers, have one. */
#define CHUNK_ROWS 16
#define MANY_COLUMNS 2048
#define MAX_COLUMNS 8192

struct NormBackwardOperands
{
  int64_t n;
  int c, chunks; /* of an image */
  float eps;
  int64_t modulation_stride;
  SwittiNormGradients g;
  float *sums; /* (B, chunks, N_SUMS, C) */
};

/* What a thread keeps of its columns over the rows of a chunk; of one row, it goes to the scratch at once. */
template <typename Shape, int ROWS> struct ChunkSums
{
  float of[N_SUMS][Shape::lanes][LANE];

  __device__ __forceinline__ static void
  put (const NormBackwardOperands &op, int sum, int i, const float values[LANE])
  {
    store_lane<Shape::vector> (op.sums + ((int64_t) blockIdx.x * N_SUMS + sum) * op.c, lane_start<Shape> (i), op.c,
                               values);
  }

  __device__ __forceinline__ void
  add (const NormBackwardOperands &op, int sum, int i, const float values[LANE])
  {
    if constexpr (ROWS == 1)
      put (op, sum, i, values);
    else
      {
#pragma unroll
        for (int e = 0; e < LANE; e++)
          of[sum][i][e] += values[e];
      }
  }

  /* At the end of the chunk: what add() has not put there. */
  __device__ __forceinline__ void
  finish (const NormBackwardOperands &op) const
  {
#pragma unroll
    for (int sum = 0; sum < N_SUMS; sum++)
      {
        const bool is_there = ROWS == 1 && (sum == SUM_GATED ? op.g.y != nullptr : op.g.dh != nullptr);
#pragma unroll
        for (int i = 0; i < Shape::lanes; i++)
          if (!is_there && lane_start<Shape> (i) < op.c)
            {
              const float none[LANE] = {};
              put (op, sum, i, ROWS == 1 ? none : of[sum][i]);
            }
      }
  }
};

/* element j of `vector` and the next three, or what stands for a vector that is not there. */
template <bool VECTOR>
__device__ __forceinline__ void
load_or (const float *vector, int64_t at, int j, int c, float otherwise, float values[LANE])
{
  if (vector != nullptr)
    load_lane<VECTOR> (vector + at, j, c, values);
  else
    for (int e = 0; e < LANE; e++)
      values[e] = otherwise;
}

template <bool VECTOR>
__device__ __forceinline__ void
load_product (const float *a, const float *b, int64_t b_at, float b_plus, int j, int c, float product[LANE])
{
  float other[LANE];

  load_or<VECTOR> (a, 0, j, c, 1.0f, product);
  load_or<VECTOR> (b, b_at, j, c, 1.0f - b_plus, other);
#pragma unroll
  for (int e = 0; e < LANE; e++)
    product[e] *= b_plus + other[e];
}

/* dx += the gradient of the row before its norm, from dh. */
template <typename Shape, bool RMS, int ROWS, typename H>
__device__ __forceinline__ void
pull_through_norm (const NormBackwardOperands &op, int64_t row, int64_t modulation, float (&dx)[Shape::lanes][LANE],
                   ChunkSums<Shape, ROWS> &sums)
{
  const H *dh_row = static_cast<const H *> (op.g.dh) + row * op.c;
  float x[Shape::lanes][LANE] = {}, dh[Shape::lanes][LANE] = {};
  float mean = 0.0f, totals[3] = {}; /* of squares, of u n, of u */

#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      if (j >= op.c)
        continue;
      load_lane<Shape::vector> (op.g.x + row * op.c, j, op.c, x[i]);
      load_lane<Shape::vector> (dh_row, j, op.c, dh[i]);
    }
  if (!RMS)
    {
#pragma unroll
      for (int i = 0; i < Shape::lanes; i++)
        for (int e = 0; e < LANE; e++)
          mean += x[i][e];
      mean = block_sum<Shape::threads> (mean) / (float) op.c;
    }
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      float inner[LANE];
      if (j >= op.c)
        continue;
      load_product<Shape::vector> (op.g.weight, op.g.scale, modulation, 1.0f, j, op.c, inner);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        {
          x[i][e] = j + e < op.c ? x[i][e] - mean : 0.0f;
          totals[0] += x[i][e] * x[i][e];
          totals[1] += dh[i][e] * inner[e] * x[i][e];
          totals[2] += RMS ? 0.0f : dh[i][e] * inner[e];
        }
    }
  block_sums<Shape::threads> (totals);
  const float inverse = 1.0f / sqrtf (totals[0] / (float) op.c + op.eps);
  const float factor = totals[1] * inverse * inverse / (float) op.c;
  const float mean_gradient = RMS ? 0.0f : totals[2] / (float) op.c;
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      float inner[LANE], scaled[LANE];
      if (j >= op.c)
        continue;
      load_product<Shape::vector> (op.g.weight, op.g.scale, modulation, 1.0f, j, op.c, inner);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        {
          scaled[e] = dh[i][e] * (x[i][e] * inverse);
          dx[i][e] += (dh[i][e] * inner[e] - mean_gradient - x[i][e] * factor) * inverse;
        }
      sums.add (op, SUM_SCALED, i, scaled);
      sums.add (op, SUM_SHIFTED, i, dh[i]);
    }
}

/* dy, from dx. */
template <typename Shape, bool RMS, int ROWS, typename Y>
__device__ __forceinline__ void
pull_through_residual (const NormBackwardOperands &op, int64_t row, int64_t modulation,
                       float (&dx)[Shape::lanes][LANE], ChunkSums<Shape, ROWS> &sums)
{
  Y *dy_row = static_cast<Y *> (op.g.dy) + row * op.c;
  float y[Shape::lanes][LANE] = {}, totals[2] = {}; /* of squares, of dx y */
  float inverse = 1.0f, factor = 0.0f;

  if (RMS)
    {
#pragma unroll
      for (int i = 0; i < Shape::lanes; i++)
        {
          const int j = lane_start<Shape> (i);
          float outer[LANE];
          if (j >= op.c)
            continue;
          load_lane<Shape::vector> (static_cast<const Y *> (op.g.y) + row * op.c, j, op.c, y[i]);
          load_product<Shape::vector> (op.g.post_weight, op.g.gate, modulation, 0.0f, j, op.c, outer);
#pragma unroll
          for (int e = 0; e < LANE; e++)
            {
              totals[0] += y[i][e] * y[i][e];
              totals[1] += dx[i][e] * outer[e] * y[i][e];
            }
        }
      block_sums<Shape::threads> (totals);
      inverse = 1.0f / sqrtf (totals[0] / (float) op.c + op.eps);
      factor = totals[1] * inverse * inverse / (float) op.c;
    }
#pragma unroll
  for (int i = 0; i < Shape::lanes; i++)
    {
      const int j = lane_start<Shape> (i);
      float outer[LANE] = { 1.0f, 1.0f, 1.0f, 1.0f }, dy[LANE], gated[LANE];
      if (j >= op.c)
        continue;
      if (RMS)
        load_product<Shape::vector> (op.g.post_weight, op.g.gate, modulation, 0.0f, j, op.c, outer);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        {
          gated[e] = dx[i][e] * (y[i][e] * inverse);
          dy[e] = (dx[i][e] * outer[e] - y[i][e] * factor) * inverse;
        }
      sums.add (op, SUM_GATED, i, gated);
      store_lane<Shape::vector> (dy_row, j, op.c, dy);
    }
}

template <typename Shape, bool RMS, int ROWS, typename Y, typename H>
__global__ void __launch_bounds__ (Shape::threads)
norm_backward_rows (NormBackwardOperands op)
{
  const int64_t image = blockIdx.x / (unsigned int) op.chunks, modulation = image * op.modulation_stride;
  const int64_t first = (int64_t) (blockIdx.x % (unsigned int) op.chunks) * ROWS;
  const int64_t end = image * op.n + (first + ROWS < op.n ? first + ROWS : op.n);
  ChunkSums<Shape, ROWS> sums = {};

  for (int64_t row = image * op.n + first; row < end; row++)
    {
      float dx[Shape::lanes][LANE] = {};

#pragma unroll
      for (int i = 0; i < Shape::lanes; i++)
        if (op.g.dx != nullptr && lane_start<Shape> (i) < op.c)
          load_lane<Shape::vector> (op.g.dx + row * op.c, lane_start<Shape> (i), op.c, dx[i]);
      if (op.g.dh != nullptr)
        pull_through_norm<Shape, RMS, ROWS, H> (op, row, modulation, dx, sums);
#pragma unroll
      for (int i = 0; i < Shape::lanes; i++)
        if (op.g.dh != nullptr && op.g.dx != nullptr && lane_start<Shape> (i) < op.c)
          store_lane<Shape::vector> (op.g.dx + row * op.c, lane_start<Shape> (i), op.c, dx[i]);
      if (op.g.y != nullptr)
        pull_through_residual<Shape, RMS, ROWS, Y> (op, row, modulation, dx, sums);
    }
  sums.finish (op);
}

/* -- the chunks' sums to the gradients of the vectors ------------------------------------------------------------- */

/* A block has 32 columns, and every 8th chunk of an image for each of them. */
#define ADD_COLUMNS 32
#define ADD_DOWN 8
#define ADD_THREADS (ADD_COLUMNS * ADD_DOWN)

/* The sums of an image's chunks, for the block's columns; all threads of a column get them. */
__device__ __forceinline__ void
add_chunks (const NormBackwardOperands &op, Shared<float> parts, int64_t image, int column, float total[N_SUMS])
{
  const int down = (int) threadIdx.x / ADD_COLUMNS, across = (int) threadIdx.x % ADD_COLUMNS;
  const float *chunk = op.sums + image * op.chunks * N_SUMS * op.c + column;

  for (int s = 0; s < N_SUMS; s++)
    total[s] = 0.0f;
#pragma unroll 4
  for (int i = down; i < op.chunks; i += ADD_DOWN)
    if (column < op.c)
      {
#pragma unroll
        for (int s = 0; s < N_SUMS; s++)
          total[s] += load (chunk, ((int64_t) i * N_SUMS + s) * op.c);
      }
#pragma unroll
  for (int s = 0; s < N_SUMS; s++)
    parts[s * ADD_THREADS + (int) threadIdx.x] = total[s];
  __syncthreads ();
#pragma unroll
  for (int s = 0; s < N_SUMS; s++)
    {
      total[s] = 0.0f;
      for (int i = 0; i < ADD_DOWN; i++)
        total[s] += parts[s * ADD_THREADS + i * ADD_COLUMNS + across];
    }
  __syncthreads ();
}

__device__ __forceinline__ float
element (const float *vector, int64_t j, float otherwise)
{
  return vector != nullptr ? load (vector, j) : otherwise;
}

__device__ __forceinline__ void
add_to (float *vector, int64_t j, float value)
{
  if (vector != nullptr)
    store (vector, j, load (vector, j) + value);
}

__global__ void __launch_bounds__ (ADD_THREADS)
norm_backward_columns (int64_t batch, NormBackwardOperands op)
{
  SWITTI_SHARED (float, parts, N_SUMS * ADD_THREADS);
  const int j = (int) blockIdx.x * ADD_COLUMNS + (int) threadIdx.x % ADD_COLUMNS;
  const bool own = threadIdx.x < ADD_COLUMNS && j < op.c;
  const float weight = own ? element (op.g.weight, j, 1.0f) : 0.0f, bias = own ? element (op.g.bias, j, 0.0f) : 0.0f;
  const float post_weight = own ? element (op.g.post_weight, j, 1.0f) : 0.0f;
  float d_weight = 0.0f, d_bias = 0.0f, d_post_weight = 0.0f;

  for (int64_t image = 0; image < batch; image++)
    {
      const int64_t at = image * op.modulation_stride + j;
      float total[N_SUMS];

      add_chunks (op, parts, image, j, total);
      if (!own)
        continue;
      const float factor = 1.0f + element (op.g.scale, at, 0.0f);
      d_weight += factor * total[SUM_SCALED];
      d_bias += factor * total[SUM_SHIFTED];
      d_post_weight += element (op.g.gate, at, 1.0f) * total[SUM_GATED];
      if (op.g.d_scale != nullptr)
        store (op.g.d_scale, at, weight * total[SUM_SCALED] + bias * total[SUM_SHIFTED]);
      if (op.g.d_shift != nullptr)
        store (op.g.d_shift, at, total[SUM_SHIFTED]);
      if (op.g.d_gate != nullptr)
        store (op.g.d_gate, at, post_weight * total[SUM_GATED]);
    }
  if (!own)
    return;
  add_to (op.g.d_weight, j, d_weight);
  add_to (op.g.d_bias, j, d_bias);
  add_to (op.g.d_post_weight, j, d_post_weight);
}

/* -- the ops ------------------------------------------------------------------------------------------------------ */

static int64_t
rows_of_chunk (const SwittiResidualNorm *norm)
{
  return norm->c > MANY_COLUMNS ? 1 : CHUNK_ROWS;
}

static size_t
norm_backward_scratch_bytes (SwittiKernelContext *, const SwittiResidualNorm *norm)
{
  return (size_t) (norm->batch * blocks_for (norm->n, rows_of_chunk (norm)) * N_SUMS * norm->c) * sizeof (float);
}

template <typename Y, typename H>
static bool
operands_are_vectors (const NormBackwardOperands &op)
{
  const SwittiNormGradients &g = op.g;
  const int64_t c = op.c, stride = op.modulation_stride;

  return is_vector (g.x, c, c) && is_vector (static_cast<const Y *> (g.y), c, c)
         && is_vector (static_cast<const H *> (g.dh), c, c) && is_vector (g.dx, c, c)
         && is_vector (static_cast<const Y *> (g.dy), c, c) && is_vector (g.post_weight, 0, c)
         && is_vector (g.weight, 0, c) && is_vector (g.gate, stride, c) && is_vector (g.scale, stride, c)
         && is_vector (op.sums, c, c);
}

template <typename Shape, int ROWS, bool RMS, typename Y, typename H>
static SwittiKernelStatus
launch_rows (SwittiKernelContext *context, unsigned int chunks, const NormBackwardOperands &op)
{
  return SWITTI_LAUNCH (context, (norm_backward_rows<Shape, RMS, ROWS, Y, H>), dim3 (chunks), dim3 (Shape::threads), 0,
                        op);
}

template <bool RMS, bool VECTOR, typename Y, typename H>
static SwittiKernelStatus
run_rows (SwittiKernelContext *context, unsigned int chunks, const NormBackwardOperands &op)
{
  if (op.c <= 128 * LANE)
    return launch_rows<RowShape<128, 1, VECTOR>, CHUNK_ROWS, RMS, Y, H> (context, chunks, op);
  if (op.c <= MANY_COLUMNS)
    return launch_rows<RowShape<256, MANY_COLUMNS / 256 / LANE, VECTOR>, CHUNK_ROWS, RMS, Y, H> (context, chunks, op);
  return launch_rows<RowShape<1024, MAX_COLUMNS / 1024 / LANE, VECTOR>, 1, RMS, Y, H> (context, chunks, op);
}

template <bool RMS, typename Y, typename H>
static SwittiKernelStatus
run_norm_backward (SwittiKernelContext *context, int64_t batch, const NormBackwardOperands &op)
{
  const unsigned int chunks = (unsigned int) (batch * op.chunks);
  const dim3 grid ((unsigned int) blocks_for (op.c, ADD_COLUMNS)), block (ADD_THREADS);
  const SwittiKernelStatus status = operands_are_vectors<Y, H> (op)
                                        ? run_rows<RMS, true, Y, H> (context, chunks, op)
                                        : run_rows<RMS, false, Y, H> (context, chunks, op);

  return status == SWITTI_KERNEL_OK ? SWITTI_LAUNCH (context, norm_backward_columns, grid, block, 0, batch, op)
                                    : status;
}

template <bool RMS>
static SwittiKernelStatus
norm_backward (SwittiKernelContext *context, const SwittiResidualNorm *norm, const SwittiNormGradients *gradients,
               void *scratch)
{
  const int64_t chunks = blocks_for (norm->n, rows_of_chunk (norm));
  NormBackwardOperands op = {};

  if (norm->c > MAX_COLUMNS || !is_launchable (chunks) || !is_launchable (norm->batch)
      || !is_launchable (norm->batch * chunks))
    return SWITTI_KERNEL_INVALID;
  op = NormBackwardOperands{ norm->n, (int) norm->c, (int) chunks, norm->eps, norm->modulation_stride, *gradients,
                             static_cast<float *> (scratch) };
  switch ((norm->y_dtype == SWITTI_DTYPE_BF16) * 2 + (norm->h_dtype == SWITTI_DTYPE_BF16))
    {
    case 0: return run_norm_backward<RMS, float, float> (context, norm->batch, op);
    case 1: return run_norm_backward<RMS, float, Bf16> (context, norm->batch, op);
    case 2: return run_norm_backward<RMS, Bf16, float> (context, norm->batch, op);
    default: return run_norm_backward<RMS, Bf16, Bf16> (context, norm->batch, op);
    }
}

static SwittiKernelStatus
residual_norm_backward (SwittiKernelContext *context, const SwittiResidualNorm *norm,
                        const SwittiNormGradients *gradients, void *scratch)
{
  return norm_backward<true> (context, norm, gradients, scratch);
}

static SwittiKernelStatus
layer_norm_backward (SwittiKernelContext *context, const SwittiLayerNorm *norm, const SwittiNormGradients *gradients,
                     void *scratch)
{
  return norm_backward<false> (context, norm, gradients, scratch);
}

void
switti_cuda_norm_backward_fill (SwittiKernels *ops)
{
  ops->norm_backward_scratch_bytes = norm_backward_scratch_bytes;
  ops->residual_norm_backward = residual_norm_backward;
  ops->layer_norm_backward = layer_norm_backward;
}
