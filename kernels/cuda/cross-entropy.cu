/* cross-entropy.cu - the loss of rows of logits, the target's rank, and the gradient
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block has a row of any length: one pass for the greatest logit, the sum of exponentials (which is rescaled where a
 * greater one is met), the sum of logits and the rank; one more for the gradient, which finds the row in the cache.
 */
#include "runtime-private.h"

#include "device-private.h"

#define LOSS_THREADS 256

struct CrossEntropyOperands
{
  int v;
  float smoothing, gradient_scale;
  const float *logits;
  const int32_t *target;
  const float *weight;
  float *loss;
  int32_t *rank;
};

/* What a pass over a row's logits finds. */
struct RowStatistics
{
  float greatest, exponentials, sum;
  int before; /* logits that come before the target's */
};

/* Four of the row's logits, from code j. */
__device__ __forceinline__ void
take_logits (const float logits[LANE], int j, int v, int target, float own, RowStatistics *s)
{
  float greatest = s->greatest, sum = 0.0f;

#pragma unroll
  for (int e = 0; e < LANE; e++)
    if (j + e < v)
      {
        greatest = fmaxf (greatest, logits[e]);
        s->sum += logits[e];
        s->before += logits[e] > own || (logits[e] == own && j + e < target);
      }
#pragma unroll
  for (int e = 0; e < LANE; e++)
    if (j + e < v)
      sum += expf (logits[e] - greatest);
  s->exponentials = s->exponentials * expf (s->greatest - greatest) + sum;
  s->greatest = greatest;
}

template <bool VECTOR>
__device__ __forceinline__ RowStatistics
look_at_row (const float *row, int v, int target, float own)
{
  /* The least number, not -inf: differences stay numbers where a thread has no logit. */
  RowStatistics s = { -3.402823466e38f, 0.0f, 0.0f, 0 };

  for (int j = (int) threadIdx.x * LANE; j < v; j += LOSS_THREADS * LANE)
    {
      float logits[LANE];
      load_lane<VECTOR> (row, j, v, logits);
      take_logits (logits, j, v, target, own, &s);
    }
  const float greatest = block_max<LOSS_THREADS> (s.greatest);
  s.exponentials = block_sum<LOSS_THREADS> (s.exponentials * expf (s.greatest - greatest));
  s.sum = block_sum<LOSS_THREADS> (s.sum);
  s.before = block_sum<LOSS_THREADS> (s.before);
  s.greatest = greatest;
  return s;
}

template <bool VECTOR, typename D>
__global__ void __launch_bounds__ (LOSS_THREADS)
cross_entropy_rows (CrossEntropyOperands op, D *d_logits)
{
  const int64_t r = blockIdx.x;
  const float *row = op.logits + r * op.v;
  const int target = load_index (op.target, r);
  const bool valid = target >= 0 && target < op.v;
  const float own = valid ? load (row, target) : 0.0f;
  const RowStatistics s = look_at_row<VECTOR> (row, op.v, target, own);
  const float rest = logf (s.exponentials); /* of log (sum e^l) - greatest */

  if (threadIdx.x == 0)
    {
      const float mean = (s.greatest - s.sum / (float) op.v) + rest;
      /* A target outside the logits is the caller's mistake, which shows. */
      store (op.loss, r, valid ? (1.0f - op.smoothing) * ((s.greatest - own) + rest) + op.smoothing * mean : NAN);
      check_write (op.rank + r, 4);
      op.rank[r] = s.before;
    }
  if (d_logits == nullptr)
    return;
  const float scale = op.gradient_scale * (op.weight != nullptr ? load (op.weight, r) : 1.0f);
  const float spread = op.smoothing / (float) op.v, share = 1.0f / s.exponentials;
  for (int j = (int) threadIdx.x * LANE; j < op.v; j += LOSS_THREADS * LANE)
    {
      float logits[LANE];
      load_lane<VECTOR> (row, j, op.v, logits);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        {
          const float aim = spread + (j + e == target ? 1.0f - op.smoothing : 0.0f);
          logits[e] = scale * (expf (logits[e] - s.greatest) * share - aim);
        }
      store_lane<VECTOR> (d_logits + r * op.v, j, op.v, logits);
    }
}

template <typename D>
static SwittiKernelStatus
run_cross_entropy (SwittiKernelContext *context, int64_t rows, const CrossEntropyOperands &op, D *d_logits)
{
  const dim3 grid ((unsigned int) rows), block (LOSS_THREADS);

  if (is_vector (op.logits, op.v, op.v) && is_vector (d_logits, op.v, op.v))
    return SWITTI_LAUNCH (context, (cross_entropy_rows<true, D>), grid, block, 0, op, d_logits);
  return SWITTI_LAUNCH (context, (cross_entropy_rows<false, D>), grid, block, 0, op, d_logits);
}

static SwittiKernelStatus
cross_entropy (SwittiKernelContext *context, const SwittiCrossEntropy *op, const float *logits, const int32_t *target,
               const float *weight, float *loss, int32_t *rank, void *d_logits)
{
  const CrossEntropyOperands operands = { (int) op->v, op->smoothing, op->gradient_scale, logits, target, weight, loss,
                                          rank };

  if (!is_launchable (op->rows) || op->v > INT32_MAX - LOSS_THREADS * LANE)
    return SWITTI_KERNEL_INVALID;
  if (op->d_dtype == SWITTI_DTYPE_BF16)
    return run_cross_entropy (context, op->rows, operands, static_cast<Bf16 *> (d_logits));
  return run_cross_entropy (context, op->rows, operands, static_cast<float *> (d_logits));
}

void
switti_cuda_cross_entropy_fill (SwittiKernels *ops)
{
  ops->cross_entropy = cross_entropy;
}
