/* cross-entropy.c - the loss of rows of logits, the target's rank, and the gradient
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "math-private.h"

/* Terms that are summed in float32 before they are added up in float64: a loss is a difference of like numbers. */
#define BLOCK_CODES 1024

typedef struct
{
  const SwittiCrossEntropy *op;
  const float *logits;
  int32_t target;
  float gradient_scale;
  void *d_logits;
} Row;

/* log (sum e^l), and the sum of the logits. */
static double
log_sum_exp (int64_t v, const float *logits, double *logit_sum)
{
  float greatest = -INFINITY;
  double weights = 0.0;

#pragma omp simd reduction(max : greatest)
  for (int64_t j = 0; j < v; j++)
    greatest = logits[j] > greatest ? logits[j] : greatest;
  *logit_sum = 0.0;
  for (int64_t start = 0; start < v; start += BLOCK_CODES)
    {
      const int64_t end = start + BLOCK_CODES < v ? start + BLOCK_CODES : v;
      float weight = 0.0f, sum = 0.0f;

#pragma omp simd reduction(+ : weight, sum)
      for (int64_t j = start; j < end; j++)
        {
          weight += switti_exp (logits[j] - greatest);
          sum += logits[j];
        }
      weights += (double) weight;
      *logit_sum += (double) sum;
    }
  return (double) greatest + log (weights);
}

static int32_t
rank_of (int64_t v, const float *logits, int32_t target)
{
  const float own = logits[target];
  int32_t rank = 0;

  for (int64_t j = 0; j < target; j++)
    rank += logits[j] >= own;
  for (int64_t j = target + 1; j < v; j++)
    rank += logits[j] > own;
  return rank;
}

SWITTI_INLINE void
store_gradient (const Row *row, SwittiDtype dtype, float log_sum)
{
  const SwittiCrossEntropy *op = row->op;
  const float scale = row->gradient_scale, spread = op->smoothing / (float) op->v;
  const float own = switti_exp (row->logits[row->target] - log_sum);

#pragma omp simd
  for (int64_t j = 0; j < op->v; j++)
    switti_store (dtype, row->d_logits, j, scale * (switti_exp (row->logits[j] - log_sum) - spread));
  switti_store (dtype, row->d_logits, row->target, scale * (own - spread - (1.0f - op->smoothing)));
}

static float
loss_of (const Row *row, int32_t *rank)
{
  const SwittiCrossEntropy *op = row->op;
  double logit_sum;
  const double log_sum = log_sum_exp (op->v, row->logits, &logit_sum);
  const double own = log_sum - (double) row->logits[row->target];
  const double mean = log_sum - logit_sum / (double) op->v;

  *rank = rank_of (op->v, row->logits, row->target);
  if (row->d_logits != NULL && op->d_dtype == SWITTI_DTYPE_F32)
    store_gradient (row, SWITTI_DTYPE_F32, (float) log_sum);
  else if (row->d_logits != NULL)
    store_gradient (row, SWITTI_DTYPE_BF16, (float) log_sum);
  return (float) ((1.0 - (double) op->smoothing) * own + (double) op->smoothing * mean);
}

static SwittiKernelStatus
cross_entropy (SwittiKernelContext *context, const SwittiCrossEntropy *op, const float *logits, const int32_t *target,
               const float *weight, float *loss, int32_t *rank, void *d_logits)
{
  for (int64_t r = 0; r < op->rows; r++)
    if (target[r] < 0 || target[r] >= op->v)
      return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t r = 0; r < op->rows; r++)
    {
      const Row row = {
        .op = op,
        .logits = logits + r * op->v,
        .target = target[r],
        .gradient_scale = op->gradient_scale * (weight != NULL ? weight[r] : 1.0f),
        .d_logits = switti_at_mutable (op->d_dtype, d_logits, r * op->v),
      };

      loss[r] = loss_of (&row, &rank[r]);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (cross_entropy_fill) (SwittiKernels *ops)
{
  ops->cross_entropy = cross_entropy;
}
