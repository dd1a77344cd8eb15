/* squared-difference.cu - the sum of squares of what two arrays differ by
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Blocks leave a float64 sum each in the context's partial sums, in an order that the count alone decides; one block
 * adds them.
 */
#include "runtime-private.h"

#include "device-private.h"

#define DIFFERENCE_THREADS 256
#define DIFFERENCE_LANES 16
#define BLOCK_ELEMENTS (DIFFERENCE_THREADS * DIFFERENCE_LANES * LANE)

template <bool VECTOR>
__global__ void __launch_bounds__ (DIFFERENCE_THREADS)
sum_differences (int64_t count, const float *a, const float *b, double *partial)
{
  double total = 0.0;

  for (int64_t start = (int64_t) blockIdx.x * BLOCK_ELEMENTS; start < count;
       start += (int64_t) gridDim.x * BLOCK_ELEMENTS)
    {
      const int left = count - start < BLOCK_ELEMENTS ? (int) (count - start) : BLOCK_ELEMENTS;
      float sum = 0.0f, x[LANE], y[LANE];

#pragma unroll 4
      for (int i = (int) threadIdx.x * LANE; i < left; i += DIFFERENCE_THREADS * LANE)
        {
          load_lane<VECTOR> (a + start, i, left, x);
          load_lane<VECTOR> (b + start, i, left, y);
#pragma unroll
          for (int e = 0; e < LANE; e++)
            sum += (x[e] - y[e]) * (x[e] - y[e]);
        }
      total += (double) sum;
    }
  total = block_sum<DIFFERENCE_THREADS> (total);
  if (threadIdx.x == 0)
    {
      check_write (partial + blockIdx.x, sizeof (double));
      partial[blockIdx.x] = total;
    }
}

__global__ void __launch_bounds__ (DIFFERENCE_THREADS)
sum_partial (int blocks, const double *partial, double *sum)
{
  double total = 0.0;

  for (int i = (int) threadIdx.x; i < blocks; i += DIFFERENCE_THREADS)
    {
      check_read (partial + i, sizeof (double), 0);
      total += partial[i];
    }
  total = block_sum<DIFFERENCE_THREADS> (total);
  if (threadIdx.x == 0)
    {
      check_write (sum, sizeof (double));
      *sum = total;
    }
}

static SwittiKernelStatus
squared_difference (SwittiKernelContext *context, int64_t count, const float *a, const float *b, double *sum)
{
  const int64_t wanted = blocks_for (count, BLOCK_ELEMENTS);
  const int blocks = wanted < PARTIAL_SUMS ? (int) wanted : PARTIAL_SUMS;
  double *partial = context->runtime->partial_sums;
  const dim3 grid ((unsigned int) blocks), block (DIFFERENCE_THREADS);
  SwittiKernelStatus status;

  if (is_vector (a, 0, count) && is_vector (b, 0, count))
    status = SWITTI_LAUNCH (context, sum_differences<true>, grid, block, 0, count, a, b, partial);
  else
    status = SWITTI_LAUNCH (context, sum_differences<false>, grid, block, 0, count, a, b, partial);
  if (status != SWITTI_KERNEL_OK)
    return status;
  return SWITTI_LAUNCH (context, sum_partial, dim3 (1), block, 0, blocks, partial, sum);
}

void
switti_cuda_squared_difference_fill (SwittiKernels *ops)
{
  ops->squared_difference = squared_difference;
}
