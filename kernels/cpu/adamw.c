/* adamw.c - the optimizer's step, and sums of squares: the gradient's norm and squared errors
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * All tensors are cut into blocks that the threads share, so that many small tensors cost what one large one does.
 */
#include "math-private.h"
#include "optimizer-plan-private.h"

#include <stdlib.h>

#define BLOCK_ELEMENTS ((int64_t) 65536)
/* Squares that are summed in float32 before they are added up in float64. */
#define BLOCK_SQUARES 256

/* -- the list of tensors ---------------------------------------------------------------------------------------- */

static void
optimizer_plan_free (SwittiKernelContext *context, SwittiOptimizerPlan *plan)
{
  if (plan == NULL)
    return;
  free (plan->tensors);
  free (plan);
}

static SwittiKernelStatus
optimizer_plan (SwittiKernelContext *context, int64_t n_tensors, const SwittiOptimizerTensor *tensors,
                SwittiOptimizerPlan **plan)
{
  SwittiOptimizerPlan *self = calloc (1, sizeof *self);

  if (self != NULL)
    self->tensors = malloc ((size_t) n_tensors * sizeof *tensors);
  if (self == NULL || self->tensors == NULL)
    {
      free (self);
      return switti_cpu_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left for the list of parameters");
    }
  self->n_tensors = n_tensors;
  memcpy (self->tensors, tensors, (size_t) n_tensors * sizeof *tensors);
  *plan = self;
  return SWITTI_KERNEL_OK;
}

/* -- sums of squares ---------------------------------------------------------------------------------------------- */

static int64_t
blocks_of (const SwittiOptimizerTensor *tensor)
{
  return (tensor->count + BLOCK_ELEMENTS - 1) / BLOCK_ELEMENTS;
}

static double
sum_of_squares (const float *x, int64_t count)
{
  double total = 0.0;

  for (int64_t start = 0; start < count; start += BLOCK_SQUARES)
    {
      const int64_t end = start + BLOCK_SQUARES < count ? start + BLOCK_SQUARES : count;
      float sum = 0.0f;

#pragma omp simd reduction(+ : sum)
      for (int64_t i = start; i < end; i++)
        sum += x[i] * x[i];
      total += (double) sum;
    }
  return total;
}

static SwittiKernelStatus
squared_norm (SwittiKernelContext *context, const SwittiOptimizerPlan *plan, double *sums)
{
  const SwittiOptimizerTensor *tensors = plan->tensors;
  /* The blocks' sums lie in the first thread's scratch until they are added in order. */
  double *parts = (double *) context->thread_scratch;
  const int64_t max_parts = (int64_t) (SWITTI_CPU_THREAD_SCRATCH * sizeof (float) / sizeof (double));

  for (int64_t t = 0; t < plan->n_tensors; t++)
    {
      const int64_t blocks = blocks_of (&tensors[t]), count = tensors[t].count;
      const float *gradient = tensors[t].gradient;

      if (blocks > max_parts)
        return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (blocks > 1)
      for (int64_t i = 0; i < blocks; i++)
        {
          const int64_t start = i * BLOCK_ELEMENTS;
          const int64_t left = count - start;
          parts[i] = sum_of_squares (gradient + start, left < BLOCK_ELEMENTS ? left : BLOCK_ELEMENTS);
        }
      sums[t] = 0.0;
      for (int64_t i = 0; i < blocks; i++)
        sums[t] += parts[i];
    }
  return SWITTI_KERNEL_OK;
}

static double
sum_of_squared_differences (const float *a, const float *b, int64_t count)
{
  double total = 0.0;

  for (int64_t start = 0; start < count; start += BLOCK_SQUARES)
    {
      const int64_t end = start + BLOCK_SQUARES < count ? start + BLOCK_SQUARES : count;
      float sum = 0.0f;

#pragma omp simd reduction(+ : sum)
      for (int64_t i = start; i < end; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
      total += (double) sum;
    }
  return total;
}

static SwittiKernelStatus
squared_difference (SwittiKernelContext *context, int64_t count, const float *a, const float *b, double *sum)
{
  double *parts = (double *) context->thread_scratch;
  const int64_t blocks = (count + BLOCK_ELEMENTS - 1) / BLOCK_ELEMENTS;

  if (blocks > (int64_t) (SWITTI_CPU_THREAD_SCRATCH * sizeof (float) / sizeof (double)))
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (blocks > 1)
  for (int64_t i = 0; i < blocks; i++)
    {
      const int64_t start = i * BLOCK_ELEMENTS, left = count - start;
      parts[i] = sum_of_squared_differences (a + start, b + start, left < BLOCK_ELEMENTS ? left : BLOCK_ELEMENTS);
    }
  *sum = 0.0;
  for (int64_t i = 0; i < blocks; i++)
    *sum += parts[i];
  return SWITTI_KERNEL_OK;
}

/* -- the step ------------------------------------------------------------------------------------------------------ */

static void
update_block (const SwittiAdamw *a, const SwittiOptimizerTensor *tensor, int64_t start, int64_t end)
{
  float *restrict parameter = tensor->parameter, *restrict first = tensor->first_moment;
  float *restrict second = tensor->second_moment;
  const float *restrict gradient = tensor->gradient;
  const float keep = tensor->decays ? 1.0f - a->rate * a->decay : 1.0f, step = a->rate / a->correction1;
  const float root = 1.0f / sqrtf (a->correction2), follow = 1.0f - a->average_decay;

#pragma omp simd
  for (int64_t i = start; i < end; i++)
    {
      const float g = gradient[i] * a->gradient_scale;
      first[i] += (1.0f - a->beta1) * (g - first[i]);
      second[i] = a->beta2 * second[i] + (1.0f - a->beta2) * (g * g);
      parameter[i] = parameter[i] * keep - step * (first[i] / (sqrtf (second[i]) * root + a->eps));
    }
  if (tensor->average != NULL)
    {
      float *restrict average = tensor->average;
#pragma omp simd
      for (int64_t i = start; i < end; i++)
        average[i] += follow * (parameter[i] - average[i]);
    }
  if (tensor->copy != NULL)
    {
      uint16_t *restrict copy = tensor->copy;
      if (a->copy_dtype == SWITTI_DTYPE_F16)
        {
#pragma omp simd
          for (int64_t i = start; i < end; i++)
            copy[i] = switti_f32_to_f16 (parameter[i]);
        }
      else
        {
#pragma omp simd
          for (int64_t i = start; i < end; i++)
            copy[i] = switti_f32_to_bf16 (parameter[i]);
        }
    }
}

static SwittiKernelStatus
adamw_op (SwittiKernelContext *context, const SwittiAdamw *adamw, const SwittiOptimizerPlan *plan)
{
  const SwittiOptimizerTensor *tensors = plan->tensors;

#pragma omp parallel num_threads(context->n_threads)
  {
    const int64_t n_threads = omp_get_num_threads (), thread = omp_get_thread_num ();
    int64_t block = 0; /* counts through all tensors: each thread takes its turn */

    for (int64_t t = 0; t < plan->n_tensors; t++)
      for (int64_t start = 0; start < tensors[t].count; start += BLOCK_ELEMENTS, block++)
        if (block % n_threads == thread)
          update_block (adamw, &tensors[t], start,
                        tensors[t].count - start < BLOCK_ELEMENTS ? tensors[t].count : start + BLOCK_ELEMENTS);
  }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (adamw_fill) (SwittiKernels *ops)
{
  ops->optimizer_plan = optimizer_plan;
  ops->optimizer_plan_free = optimizer_plan_free;
  ops->squared_norm = squared_norm;
  ops->adamw = adamw_op;
  ops->squared_difference = squared_difference;
}
