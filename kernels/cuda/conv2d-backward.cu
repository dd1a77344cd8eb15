/* conv2d-backward.cu - gradients of convolutions, float32
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The input's gradient is a convolution of the output's by turned weights. The weight's is a product over positions,
 * whose rows are gathered as the forward kernel gathers them: positions are split among blocks, whose partial sums are
 * added in order by the kernel that takes phases and taps back to the kernel's rows and columns.
 */
#include "conv2d-private.h"

#include <cstdlib>

#define GRADIENT_THREADS 256
#define TILE_SIDE 64
#define TILE_POSITIONS 16
/* Tiles between which running sums are put aside: what is added to a large sum loses bits. */
#define FOLD_TILES 16
/* Blocks that keep a GPU busy, and positions that are worth one. */
#define WANTED_BLOCKS 512
#define SPLIT_POSITIONS 1024

struct SwittiConvBackwardPlan
{
  SwittiConv conv;
  ConvShape forward, gradient;
  int splits, split_positions;
  float *turned;  /* weights for `gradient` */
  float *partial; /* (splits, phases, c_out, taps, c_padded): the weight's gradient in parts */
};

/* -- planning ---------------------------------------------------------------------------------------------------- */

static int64_t
depth_tiles (const ConvShape &shape)
{
  return blocks_for ((int64_t) shape.taps * shape.taps * shape.c_padded, TILE_SIDE);
}

static void
plan_splits (SwittiConvBackwardPlan *self)
{
  const ConvShape &shape = self->forward;
  const int64_t blocks
      = depth_tiles (shape) * blocks_for (shape.c_out, TILE_SIDE) * shape.phases * shape.phases;
  const int64_t useful = blocks_for (shape.positions, SPLIT_POSITIONS), wanted = blocks_for (WANTED_BLOCKS, blocks);
  const int64_t splits = useful < wanted ? useful : wanted;
  const int64_t tiles = blocks_for (blocks_for (shape.positions, splits), TILE_POSITIONS);

  self->split_positions = (int) (tiles * TILE_POSITIONS);
  self->splits = (int) blocks_for (shape.positions, self->split_positions);
}

static SwittiKernelStatus
alloc_floats (SwittiKernelContext *context, int64_t count, float **floats)
{
  void *memory = NULL;
  const SwittiKernelStatus status = switti_cuda_alloc (context, (size_t) count * sizeof (float), &memory);

  *floats = static_cast<float *> (memory);
  return status;
}

void
switti_cuda_conv_backward_plan_free (SwittiKernelContext *context, SwittiConvBackwardPlan *plan)
{
  if (plan == NULL)
    return;
  switti_cuda_free (context, plan->turned);
  switti_cuda_free (context, plan->partial);
  free (plan);
}

SwittiKernelStatus
switti_cuda_conv_backward_plan (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvBackwardPlan **plan)
{
  SwittiKernelStatus status = SWITTI_KERNEL_INVALID;
  SwittiConvBackwardPlan *self = static_cast<SwittiConvBackwardPlan *> (calloc (1, sizeof *self));

  if (self == NULL)
    return switti_cuda_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left for the plan of a convolution");
  self->conv = *conv;
  if (switti_cuda_conv_shape (conv, &self->forward) && switti_cuda_conv_gradient_shape (conv, &self->gradient))
    {
      plan_splits (self);
      status = alloc_floats (context, conv_packed_count (self->gradient), &self->turned);
      if (status == SWITTI_KERNEL_OK)
        status = alloc_floats (context, self->splits * conv_packed_count (self->forward), &self->partial);
    }
  if (status != SWITTI_KERNEL_OK)
    {
      switti_cuda_conv_backward_plan_free (context, self);
      return status;
    }
  *plan = self;
  return SWITTI_KERNEL_OK;
}

const SwittiConv *
switti_cuda_conv_backward_descriptor (const SwittiConvBackwardPlan *plan)
{
  return &plan->conv;
}

/* -- the weight's gradient ----------------------------------------------------------------------------------------- */

__device__ __forceinline__ void
load_tile_lane (Shared<float> tile, int at, float values[LANE])
{
  const float4 v = shared_load<float4> (tile + at);
  values[0] = v.x;
  values[1] = v.y;
  values[2] = v.z;
  values[3] = v.w;
}

/* A block makes TILE_SIDE output channels by TILE_SIDE of (taps, c_padded) of a phase and a split, a thread 4 by 4. */
template <bool VECTOR>
__global__ void __launch_bounds__ (GRADIENT_THREADS)
sum_positions (ConvShape shape, int splits, int split_positions, const float *x, const float *dy, float *partial)
{
  SWITTI_SHARED (float, outputs, TILE_POSITIONS * TILE_SIDE);
  SWITTI_SHARED (float, inputs, TILE_POSITIONS * TILE_SIDE);
  const int phase = (int) blockIdx.z / splits, split = (int) blockIdx.z % splits;
  const int own_row = (int) threadIdx.x / 16, own_lane = (int) threadIdx.x % 16 * LANE;
  const int row = own_row * LANE, column = own_lane, depth = shape.taps * shape.taps * shape.c_padded;
  const int first_out = (int) blockIdx.y * TILE_SIDE, first_depth = (int) blockIdx.x * TILE_SIDE;
  const int own_out = first_out + own_lane, tap = (first_depth + own_lane) / shape.c_padded;
  const int own_in = (first_depth + own_lane) % shape.c_padded;
  const bool has_in = first_depth + own_lane < depth && own_in < shape.c_in;
  const bool has_sums = first_out + row < shape.c_out && first_depth + column < depth;
  const int64_t first = (int64_t) split * split_positions;
  const int64_t end = first + split_positions < shape.positions ? first + split_positions : shape.positions;
  float total[LANE][LANE] = {}, sum[LANE][LANE] = {}, a[LANE], b[LANE];
  int tiles = 0;

  for (int64_t p = first; p < end; p += TILE_POSITIONS)
    {
      /* A split ends within a tile only where the positions do. */
      const Position position = position_at (shape, phase / shape.phases, phase % shape.phases, p + own_row);
      const int64_t source = tap_pixel (shape, position, tap / shape.taps, tap % shape.taps);

      for (int e = 0; e < LANE; e++)
        a[e] = b[e] = 0.0f;
      if (position.output >= 0 && own_out < shape.c_out)
        load_lane<VECTOR> (dy + position.output * shape.c_out, own_out, shape.c_out, a);
      if (source >= 0 && has_in)
        load_lane<VECTOR> (x + source * shape.c_in, own_in, shape.c_in, b);
      __syncthreads ();
      shared_store (outputs + (own_row * TILE_SIDE + own_lane), float4{ a[0], a[1], a[2], a[3] });
      shared_store (inputs + (own_row * TILE_SIDE + own_lane), float4{ b[0], b[1], b[2], b[3] });
      __syncthreads ();
      if (!has_sums)
        continue;
#pragma unroll
      for (int k = 0; k < TILE_POSITIONS; k++)
        {
          load_tile_lane (outputs, k * TILE_SIDE + row, a);
          load_tile_lane (inputs, k * TILE_SIDE + column, b);
#pragma unroll
          for (int i = 0; i < LANE; i++)
            for (int j = 0; j < LANE; j++)
              sum[i][j] += a[i] * b[j];
        }
      if (++tiles % FOLD_TILES != 0 && p + TILE_POSITIONS < end)
        continue;
#pragma unroll
      for (int i = 0; i < LANE; i++)
        for (int j = 0; j < LANE; j++)
          {
            total[i][j] += sum[i][j];
            sum[i][j] = 0.0f;
          }
    }
  partial += ((int64_t) split * shape.phases * shape.phases + phase) * shape.c_out * depth;
#pragma unroll
  for (int i = 0; i < LANE; i++)
    if (first_out + row + i < shape.c_out && first_depth + column < depth)
      store_vector (partial + (int64_t) (first_out + row + i) * depth + first_depth + column, total[i]);
}

/* The tap of a phase that sums the kernel's row. */
__device__ __forceinline__ int
tap_of (const ConvAxis &axis, int phase, int taps, int row)
{
  int tap = 0;

  while (tap + 1 < taps && (tap_rows (axis, phase, tap) >> row & 1u) == 0)
    tap++;
  return tap;
}

/* A thread adds the parts of the gradients of a kernel: of the weights between two channels. */
__global__ void __launch_bounds__ (GRADIENT_THREADS)
add_parts (ConvShape shape, int parts, int64_t kernels, const float *partial, float *d_weight)
{
  const int64_t at = (int64_t) blockIdx.x * GRADIENT_THREADS + threadIdx.x;
  const int64_t in = at % shape.c_in, out = at / shape.c_in;
  const int area = shape.kernel * shape.kernel, phases = shape.phases * shape.phases;

  if (at >= kernels)
    return;
  for (int weight = 0; weight < area; weight++)
    {
      float sum = 0.0f;

      for (int part = 0; part < parts; part++)
        {
          const int phase = part % phases;
          const int tap_y = tap_of (shape.rows, phase / shape.phases, shape.taps, weight / shape.kernel);
          const int tap_x = tap_of (shape.columns, phase % shape.phases, shape.taps, weight % shape.kernel);
          const int64_t row = (int64_t) part * shape.c_out + out, tap = tap_y * shape.taps + tap_x;

          sum += load (partial, (row * shape.taps * shape.taps + tap) * shape.c_padded + in);
        }
      store (d_weight, at * area + weight, load (d_weight, at * area + weight) + sum);
    }
}

static SwittiKernelStatus
weight_gradient (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan, const float *x, const float *dy,
                 float *d_weight)
{
  const ConvShape &shape = plan->forward;
  const int64_t kernels = (int64_t) shape.c_out * shape.c_in;
  const dim3 grid ((unsigned int) depth_tiles (shape), (unsigned int) blocks_for (shape.c_out, TILE_SIDE),
                   (unsigned int) (shape.phases * shape.phases * plan->splits));
  const dim3 block (GRADIENT_THREADS);
  SwittiKernelStatus status;

  if (is_vector (x, 0, shape.c_in) && is_vector (dy, 0, shape.c_out))
    status = SWITTI_LAUNCH (context, sum_positions<true>, grid, block, 0, shape, plan->splits, plan->split_positions, x,
                            dy, plan->partial);
  else
    status = SWITTI_LAUNCH (context, sum_positions<false>, grid, block, 0, shape, plan->splits, plan->split_positions,
                            x, dy, plan->partial);
  if (status != SWITTI_KERNEL_OK)
    return status;
  return SWITTI_LAUNCH (context, add_parts, dim3 ((unsigned int) blocks_for (kernels, GRADIENT_THREADS)), block, 0,
                        shape, shape.phases * shape.phases * plan->splits, kernels, plan->partial, d_weight);
}

SwittiKernelStatus
switti_cuda_conv_backward (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan, const float *x,
                           const float *weight, const float *dy, float *dx, float *d_weight, float *d_bias)
{
  const ConvShape &shape = plan->forward;
  const int64_t outputs = plan->conv.batch * shape.rows.out_size * shape.columns.out_size;
  const SwittiDtype f32 = SWITTI_DTYPE_F32;
  SwittiKernelStatus status = weight_gradient (context, plan, x, dy, d_weight);

  if (status == SWITTI_KERNEL_OK)
    status = context->ops.column_sum (context, outputs, shape.c_out, f32, dy, shape.c_out, d_bias);
  if (status != SWITTI_KERNEL_OK || dx == NULL)
    return status;
  status = switti_cuda_conv_pack_device (context, plan->gradient, true, f32, weight, plan->turned);
  if (status != SWITTI_KERNEL_OK)
    return status;
  return switti_cuda_conv_simt (context, plan->gradient, f32, f32, f32, dy, plan->turned, NULL, NULL, dx);
}
