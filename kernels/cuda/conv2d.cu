/* conv2d.cu - 2-D convolution in NHWC as a product whose rows are gathered: planning, and the float32 kernel
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A row of the product is an output position, its inner dimension the taps times the input channels: nothing is
 * materialised, a tile's rows are read where the taps lie, or are 0 outside the map.
 */
#include "conv2d-private.h"
#include "cudnn-private.h"

#include <cstdlib>

#define CONV_THREADS 256
#define TILE_POSITIONS 64
#define TILE_CHANNELS 64
#define TILE_DEPTH 16
/* Elements between the rows of a tile: 4 more than it has, against bank conflicts. */
#define TILE_STRIDE 68

enum ConvKernel
{
  CONV_SIMT,
  CONV_MMA,
  CONV_FROM_FEW,
  CONV_TO_FEW,
};

struct SwittiConvPlan
{
  SwittiConv conv;
  ConvShape shape;
  ConvKernel kernel;
  ConvTile tile; /* of CONV_MMA */
  SwittiCudnnPlan *cudnn; /* NULL: the own kernel */
};

static SwittiKernelStatus run_own (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x,
                                   const void *packed, const float *bias, const void *residual, void *d);

/* -- planning --------------------------------------------------------------------------------------------------- */

static ConvKernel
choose_kernel (const ConvShape &shape, const SwittiConv *conv)
{
  if (switti_cuda_conv_is_to_few (shape, conv))
    return CONV_TO_FEW;
  if (switti_cuda_conv_takes_mma (shape, conv))
    return CONV_MMA;
  return switti_cuda_conv_is_from_few (shape, conv) ? CONV_FROM_FEW : CONV_SIMT;
}

/* Against the own kernel for one image. */
static SwittiCudnnPlan *
choose_cudnn (SwittiKernelContext *context, const SwittiConv *conv)
{
  SwittiConvPlan one = {};

  one.conv = *conv;
  one.conv.batch = 1;
  if (!switti_cuda_conv_shape (&one.conv, &one.shape))
    return NULL;
  one.kernel = choose_kernel (one.shape, &one.conv);
  one.tile = switti_cuda_conv_choose_tile (one.shape, context->runtime->n_processors);
  return switti_cuda_cudnn_conv_plan (context, &one.conv, [&] (void *const *o) {
    return run_own (context, &one, o[CUDNN_CONV_X], o[CUDNN_CONV_WEIGHT], static_cast<float *> (o[CUDNN_CONV_BIAS]),
                    conv->residual ? o[CUDNN_CONV_RESIDUAL] : NULL, o[CUDNN_CONV_D]);
  });
}

SwittiKernelStatus
switti_cuda_conv_plan (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvPlan **plan)
{
  SwittiConvPlan *self;
  ConvShape shape;

  if (!switti_cuda_conv_shape (conv, &shape))
    return SWITTI_KERNEL_INVALID;
  self = static_cast<SwittiConvPlan *> (calloc (1, sizeof *self));
  if (self == NULL)
    return switti_cuda_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left for the plan of a convolution");
  self->conv = *conv;
  self->shape = shape;
  self->kernel = choose_kernel (shape, conv);
  self->tile = switti_cuda_conv_choose_tile (shape, context->runtime->n_processors);
  self->cudnn = choose_cudnn (context, conv);
  *plan = self;
  return SWITTI_KERNEL_OK;
}

void
switti_cuda_conv_plan_free (SwittiKernelContext *, SwittiConvPlan *plan)
{
  if (plan != NULL)
    switti_cuda_cudnn_plan_free (plan->cudnn);
  free (plan);
}

const SwittiConv *
switti_cuda_conv_descriptor (const SwittiConvPlan *plan)
{
  return &plan->conv;
}

/* -- the float32 kernel ------------------------------------------------------------------------------------------ */

/* Four values of shared memory at element `at` of a tile. */
__device__ __forceinline__ void
load_tile (Shared<float> tile, int at, float values[LANE])
{
  const float4 v = shared_load<float4> (tile + at);
  values[0] = v.x;
  values[1] = v.y;
  values[2] = v.z;
  values[3] = v.w;
}

/* Elements `values` of row `row` as a column of the tile, which lies (depth, rows). */
__device__ __forceinline__ void
store_column (Shared<float> tile, int depth, int row, const float values[LANE])
{
#pragma unroll
  for (int e = 0; e < LANE; e++)
    tile[(depth + e) * TILE_STRIDE + row] = values[e];
}

/* A block makes TILE_POSITIONS positions of TILE_CHANNELS channels of a phase, a thread 4 by 4 of them. */
template <bool VECTOR, typename X, typename W, typename D>
__global__ void __launch_bounds__ (CONV_THREADS)
convolve (ConvShape shape, const X *x, const W *weight, const float *bias, const D *residual, D *d)
{
  SWITTI_SHARED (float, positions, TILE_DEPTH * TILE_STRIDE);
  SWITTI_SHARED (float, channels, TILE_DEPTH * TILE_STRIDE);
  const int own_row = (int) threadIdx.x / 4, own_depth = (int) threadIdx.x % 4 * LANE;
  const int row = (int) threadIdx.x / 16 * LANE, column = (int) threadIdx.x % 16 * LANE;
  const int64_t first = (int64_t) blockIdx.x * TILE_POSITIONS;
  const int first_channel = (int) blockIdx.y * TILE_CHANNELS, taps = shape.taps * shape.taps;
  const int phase_y = (int) blockIdx.z / shape.phases, phase_x = (int) blockIdx.z % shape.phases;
  const Position position = position_at (shape, phase_y, phase_x, first + own_row);
  const W *own_weight
      = weight + ((int64_t) blockIdx.z * shape.c_out + first_channel + own_row) * taps * shape.c_padded;
  const bool has_weight = first_channel + own_row < shape.c_out, has_sums = first_channel + column < shape.c_out;
  float total[LANE][LANE] = {}, sum[LANE][LANE] = {}, a[LANE], b[LANE];

  for (int tap = 0; tap < taps; tap++)
    {
      const int64_t source = tap_pixel (shape, position, tap / shape.taps, tap % shape.taps);

      for (int depth = 0; depth < shape.c_in; depth += TILE_DEPTH)
        {
          for (int e = 0; e < LANE; e++)
            a[e] = b[e] = 0.0f;
          if (source >= 0 && depth + own_depth < shape.c_in)
            load_lane<VECTOR> (x + source * shape.c_in, depth + own_depth, shape.c_in, a);
          if (has_weight && depth + own_depth < shape.c_padded)
            load_lane<VECTOR> (own_weight + tap * shape.c_padded, depth + own_depth, shape.c_padded, b);
          __syncthreads ();
          store_column (positions, own_depth, own_row, a);
          store_column (channels, own_depth, own_row, b);
          __syncthreads ();
          if (!has_sums)
            continue;
#pragma unroll
          for (int k = 0; k < TILE_DEPTH; k++)
            {
              load_tile (positions, k * TILE_STRIDE + row, a);
              load_tile (channels, k * TILE_STRIDE + column, b);
#pragma unroll
              for (int i = 0; i < LANE; i++)
                for (int j = 0; j < LANE; j++)
                  sum[i][j] += a[i] * b[j];
            }
        }
      /* What is added to a large sum loses bits: each tap has its own. */
#pragma unroll
      for (int i = 0; i < LANE; i++)
        for (int j = 0; j < LANE; j++)
          {
            total[i][j] += sum[i][j];
            sum[i][j] = 0.0f;
          }
    }
#pragma unroll
  for (int i = 0; i < LANE; i++)
    {
      const int64_t at = position_at (shape, phase_y, phase_x, first + row + i).output;
      for (int j = 0; j < LANE; j++)
        {
          const int channel = first_channel + column + j;
          if (at < 0 || channel >= shape.c_out)
            continue;
          float value = total[i][j];
          value += bias != nullptr ? load (bias, channel) : 0.0f;
          value += residual != nullptr ? load (residual, at * shape.c_out + channel) : 0.0f;
          store (d, at * shape.c_out + channel, value);
        }
    }
}

template <typename X, typename W, typename D>
static SwittiKernelStatus
run_simt (SwittiKernelContext *context, const ConvShape &shape, const void *x, const void *packed, const float *bias,
          const void *residual, void *d)
{
  const X *map = static_cast<const X *> (x);
  const W *weight = static_cast<const W *> (packed);
  const D *added = static_cast<const D *> (residual);
  const dim3 grid ((unsigned int) blocks_for (shape.positions, TILE_POSITIONS),
                   (unsigned int) blocks_for (shape.c_out, TILE_CHANNELS),
                   (unsigned int) (shape.phases * shape.phases));
  const dim3 block (CONV_THREADS);

  if (is_vector (map, 0, shape.c_in) && is_vector (weight, 0, shape.c_padded))
    return SWITTI_LAUNCH (context, (convolve<true, X, W, D>), grid, block, 0, shape, map, weight, bias, added,
                          static_cast<D *> (d));
  return SWITTI_LAUNCH (context, (convolve<false, X, W, D>), grid, block, 0, shape, map, weight, bias, added,
                        static_cast<D *> (d));
}

SwittiKernelStatus
switti_cuda_conv_simt (SwittiKernelContext *context, const ConvShape &shape, SwittiDtype x_dtype, SwittiDtype w_dtype,
                       SwittiDtype d_dtype, const void *x, const void *packed, const float *bias, const void *residual,
                       void *d)
{
  switch ((x_dtype == SWITTI_DTYPE_BF16) * 4 + (w_dtype == SWITTI_DTYPE_BF16) * 2 + (d_dtype == SWITTI_DTYPE_BF16))
    {
    case 0: return run_simt<float, float, float> (context, shape, x, packed, bias, residual, d);
    case 1: return run_simt<float, float, Bf16> (context, shape, x, packed, bias, residual, d);
    case 2: return run_simt<float, Bf16, float> (context, shape, x, packed, bias, residual, d);
    case 3: return run_simt<float, Bf16, Bf16> (context, shape, x, packed, bias, residual, d);
    case 4: return run_simt<Bf16, float, float> (context, shape, x, packed, bias, residual, d);
    case 5: return run_simt<Bf16, float, Bf16> (context, shape, x, packed, bias, residual, d);
    case 6: return run_simt<Bf16, Bf16, float> (context, shape, x, packed, bias, residual, d);
    default: return run_simt<Bf16, Bf16, Bf16> (context, shape, x, packed, bias, residual, d);
    }
}

static SwittiKernelStatus
run_own (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x, const void *packed,
         const float *bias, const void *residual, void *d)
{
  const SwittiConv *c = &plan->conv;
  const bool aligned = (reinterpret_cast<uintptr_t> (x) | reinterpret_cast<uintptr_t> (packed)) % 16 == 0;

  if (plan->kernel == CONV_MMA && aligned)
    return switti_cuda_conv_mma (context, plan->shape, plan->tile, c->d_dtype, x, packed, bias, residual, d);
  if (plan->kernel == CONV_TO_FEW && aligned)
    return switti_cuda_conv_to_few (context, plan->shape, c->d_dtype, x, packed, bias, residual, d);
  if (plan->kernel == CONV_FROM_FEW)
    return switti_cuda_conv_from_few (context, plan->shape, c->d_dtype, x, packed, bias, residual, d);
  return switti_cuda_conv_simt (context, plan->shape, c->x_dtype, c->w_dtype, c->d_dtype, x, packed, bias, residual, d);
}

SwittiKernelStatus
switti_cuda_conv (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x, const void *packed,
                  const float *bias, const void *residual, void *d)
{
  if (switti_cuda_cudnn_conv (context, plan->cudnn, &plan->conv, x, packed, bias, residual, d))
    {
      context->profile[SWITTI_KERNEL_OP_CONV].library_calls += context->profile_enabled;
      return SWITTI_KERNEL_OK;
    }
  return run_own (context, plan, x, packed, bias, residual, d);
}
