/* conv2d.cu - 2-D convolution in NHWC as a product whose rows are gathered: planning, packing, and the float32 kernel
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A row of the product is an output pixel, its inner dimension the kernel's taps times the input channels: nothing is
 * materialised, a tile's rows are read where the taps lie, or are 0 outside the map. Upsampling halves coordinates.
 *
 * Packed weights are (c_out, taps, channels), channels padded with zeros to a multiple of PACK_CHANNELS.
 */
#include "conv2d-private.h"

#include <cstdlib>
#include <cstring>

/* Sizes beyond this are refused: products of a map's three sizes must not overflow. */
#define MAX_DIMENSION ((int64_t) 1 << 20)
#define MAX_KERNEL 3

#define CONV_THREADS 256
#define TILE_PIXELS 64
#define TILE_CHANNELS 64
#define TILE_DEPTH 16
/* Elements between the rows of a tile: 4 more than it has, against bank conflicts. */
#define TILE_STRIDE 68

struct SwittiConvPlan
{
  SwittiConv conv;
  ConvShape shape;
};

static bool
is_float (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16;
}

static bool
conv_is_valid (const SwittiConv *c)
{
  if (c == NULL || c->batch < 1 || c->height < 1 || c->width < 1 || c->c_in < 1 || c->c_out < 1)
    return false;
  if (c->batch > MAX_DIMENSION || c->height > MAX_DIMENSION || c->width > MAX_DIMENSION || c->c_in > MAX_DIMENSION
      || c->c_out > MAX_DIMENSION)
    return false;
  if ((c->kernel != 1 && c->kernel != 3) || c->stride < 1 || c->stride > 2 || (c->upsample && c->stride != 1))
    return false;
  if (c->pad_top < 0 || c->pad_left < 0 || c->pad_bottom < 0 || c->pad_right < 0 || c->pad_top >= MAX_KERNEL
      || c->pad_left >= MAX_KERNEL || c->pad_bottom >= MAX_KERNEL || c->pad_right >= MAX_KERNEL)
    return false;
  return is_float (c->x_dtype) && is_float (c->w_dtype) && is_float (c->d_dtype);
}

/* False where the convolution is outside the contract, or larger than a launch. */
static bool
shape_init (const SwittiConv *c, ConvShape *shape)
{
  const int64_t zoom = c != NULL && c->upsample ? 2 : 1;

  if (!conv_is_valid (c))
    return false;
  const int64_t height = c->height * zoom + c->pad_top + c->pad_bottom - c->kernel;
  const int64_t width = c->width * zoom + c->pad_left + c->pad_right - c->kernel;
  if (height < 0 || width < 0)
    return false;
  *shape = ConvShape{ (int) c->height, (int) c->width, (int) c->c_in, (int) c->c_out, c->kernel, c->stride, c->pad_top,
                      c->pad_left, (int) zoom, (int) (height / c->stride + 1), (int) (width / c->stride + 1),
                      (int) (blocks_for (c->c_in, PACK_CHANNELS) * PACK_CHANNELS), 0 };
  const int64_t pixels = (int64_t) shape->out_height * shape->out_width;
  if (pixels > INT32_MAX / c->batch || blocks_for (c->c_out, TILE_CHANNELS) > 65535)
    return false;
  shape->pixels = pixels * c->batch;
  return true;
}

/* -- packing ---------------------------------------------------------------------------------------------------- */

size_t
switti_cuda_conv_packed_bytes (SwittiKernelContext *, const SwittiConv *conv)
{
  ConvShape shape;

  if (!shape_init (conv, &shape))
    return 0;
  return (size_t) shape.c_out * (size_t) (shape.kernel * shape.kernel) * (size_t) shape.c_padded
         * switti_dtype_size (conv->w_dtype);
}

/* The source's elements, on the host, in the order of packed weights; in its own dtype. */
static void
reorder (const ConvShape &shape, size_t element, const char *src, char *packed)
{
  const size_t taps = (size_t) (shape.kernel * shape.kernel), c_in = (size_t) shape.c_in;

  memset (packed, 0, (size_t) shape.c_out * taps * (size_t) shape.c_padded * element);
  for (size_t o = 0; o < (size_t) shape.c_out; o++)
    for (size_t i = 0; i < c_in; i++)
      for (size_t tap = 0; tap < taps; tap++)
        memcpy (packed + ((o * taps + tap) * (size_t) shape.c_padded + i) * element,
                src + ((o * c_in + i) * taps + tap) * element, element);
}

SwittiKernelStatus
switti_cuda_conv_pack (SwittiKernelContext *context, const SwittiConv *conv, SwittiDtype src_dtype, const void *src,
                       void *packed)
{
  const size_t bytes = switti_cuda_conv_packed_bytes (context, conv);
  SwittiKernelStatus status = SWITTI_KERNEL_OK;
  void *staging = NULL;
  ConvShape shape;

  context->error[0] = '\0';
  if (bytes == 0 || !shape_init (conv, &shape) || src == NULL || packed == NULL
      || (!is_float (src_dtype) && src_dtype != SWITTI_DTYPE_F16))
    return switti_cuda_fail (context, SWITTI_KERNEL_INVALID,
                             "conv_pack: a shape, dtype or pointer outside its contract");
  const size_t count = bytes / switti_dtype_size (conv->w_dtype);
  char *ordered = static_cast<char *> (malloc (count * switti_dtype_size (src_dtype)));
  if (ordered == NULL)
    return switti_cuda_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left to pack weights");
  reorder (shape, switti_dtype_size (src_dtype), static_cast<const char *> (src), ordered);
  if (src_dtype == conv->w_dtype)
    status = switti_cuda_upload (context, packed, ordered, bytes);
  else
    {
      status = switti_cuda_alloc (context, count * switti_dtype_size (src_dtype), &staging);
      if (status == SWITTI_KERNEL_OK)
        status = switti_cuda_upload (context, staging, ordered, count * switti_dtype_size (src_dtype));
      if (status == SWITTI_KERNEL_OK)
        status = context->ops.convert (context, (int64_t) count, src_dtype, staging, conv->w_dtype, packed);
      switti_cuda_free (context, staging);
    }
  free (ordered);
  return status;
}

/* -- planning --------------------------------------------------------------------------------------------------- */

SwittiKernelStatus
switti_cuda_conv_plan (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvPlan **plan)
{
  SwittiConvPlan *self;
  ConvShape shape;

  context->error[0] = '\0';
  if (plan == NULL || !shape_init (conv, &shape))
    return switti_cuda_fail (context, SWITTI_KERNEL_INVALID, "conv_plan: a shape or dtype outside its contract");
  *plan = NULL;
  self = static_cast<SwittiConvPlan *> (calloc (1, sizeof *self));
  if (self == NULL)
    return switti_cuda_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left for the plan of a convolution");
  self->conv = *conv;
  self->shape = shape;
  *plan = self;
  return SWITTI_KERNEL_OK;
}

void
switti_cuda_conv_plan_free (SwittiKernelContext *, SwittiConvPlan *plan)
{
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

/* A block makes TILE_PIXELS pixels of TILE_CHANNELS channels, a thread 4 by 4 of them. */
template <bool VECTOR, typename X, typename W, typename D>
__global__ void __launch_bounds__ (CONV_THREADS)
convolve (ConvShape shape, const X *x, const W *weight, const float *bias, const D *residual, D *d)
{
  SWITTI_SHARED (float, pixels, TILE_DEPTH * TILE_STRIDE);
  SWITTI_SHARED (float, channels, TILE_DEPTH * TILE_STRIDE);
  const int own_row = (int) threadIdx.x / 4, own_depth = (int) threadIdx.x % 4 * LANE;
  const int row = (int) threadIdx.x / 16 * LANE, column = (int) threadIdx.x % 16 * LANE;
  const int64_t first_pixel = (int64_t) blockIdx.x * TILE_PIXELS;
  const int first_channel = (int) blockIdx.y * TILE_CHANNELS, taps = shape.kernel * shape.kernel;
  const Pixel pixel = pixel_at (shape, first_pixel + own_row);
  const W *own_weight = weight + (int64_t) (first_channel + own_row) * taps * shape.c_padded;
  const bool has_weight = first_channel + own_row < shape.c_out;
  float sum[LANE][LANE] = {}, a[LANE], b[LANE];

  for (int tap = 0; tap < taps; tap++)
    {
      const int64_t source = tap_pixel (shape, pixel, tap);

      for (int depth = 0; depth < shape.c_in; depth += TILE_DEPTH)
        {
          for (int e = 0; e < LANE; e++)
            a[e] = b[e] = 0.0f;
          if (source >= 0 && depth + own_depth < shape.c_in)
            load_lane<VECTOR> (x + source * shape.c_in, depth + own_depth, shape.c_in, a);
          if (has_weight && depth + own_depth < shape.c_padded)
            load_lane<VECTOR> (own_weight + tap * shape.c_padded, depth + own_depth, shape.c_padded, b);
          __syncthreads ();
          store_column (pixels, own_depth, own_row, a);
          store_column (channels, own_depth, own_row, b);
          __syncthreads ();
#pragma unroll
          for (int k = 0; k < TILE_DEPTH; k++)
            {
              load_tile (pixels, k * TILE_STRIDE + row, a);
              load_tile (channels, k * TILE_STRIDE + column, b);
#pragma unroll
              for (int i = 0; i < LANE; i++)
                for (int j = 0; j < LANE; j++)
                  sum[i][j] += a[i] * b[j];
            }
        }
    }
#pragma unroll
  for (int i = 0; i < LANE; i++)
    {
      const int64_t at = first_pixel + row + i;
      for (int j = 0; j < LANE; j++)
        {
          const int channel = first_channel + column + j;
          if (at >= shape.pixels || channel >= shape.c_out)
            continue;
          float value = sum[i][j];
          value += bias != nullptr ? load (bias, channel) : 0.0f;
          value += residual != nullptr ? load (residual, at * shape.c_out + channel) : 0.0f;
          store (d, at * shape.c_out + channel, value);
        }
    }
}

template <typename X, typename W, typename D>
static SwittiKernelStatus
run_conv (SwittiKernelContext *context, const ConvShape &shape, const void *x, const void *packed, const float *bias,
          const void *residual, void *d)
{
  const X *map = static_cast<const X *> (x);
  const W *weight = static_cast<const W *> (packed);
  const D *added = static_cast<const D *> (residual);
  const dim3 grid ((unsigned int) blocks_for (shape.pixels, TILE_PIXELS),
                   (unsigned int) blocks_for (shape.c_out, TILE_CHANNELS));
  const dim3 block (CONV_THREADS);

  if (is_vector (map, 0, shape.c_in) && is_vector (weight, 0, shape.c_padded))
    return SWITTI_LAUNCH (context, (convolve<true, X, W, D>), grid, block, 0, shape, map, weight, bias, added,
                          static_cast<D *> (d));
  return SWITTI_LAUNCH (context, (convolve<false, X, W, D>), grid, block, 0, shape, map, weight, bias, added,
                        static_cast<D *> (d));
}

SwittiKernelStatus
switti_cuda_conv (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x, const void *packed,
                  const float *bias, const void *residual, void *d)
{
  const SwittiConv *c = &plan->conv;
  const ConvShape &shape = plan->shape;

  switch ((c->x_dtype == SWITTI_DTYPE_BF16) * 4 + (c->w_dtype == SWITTI_DTYPE_BF16) * 2
          + (c->d_dtype == SWITTI_DTYPE_BF16))
    {
    case 0: return run_conv<float, float, float> (context, shape, x, packed, bias, residual, d);
    case 1: return run_conv<float, float, Bf16> (context, shape, x, packed, bias, residual, d);
    case 2: return run_conv<float, Bf16, float> (context, shape, x, packed, bias, residual, d);
    case 3: return run_conv<float, Bf16, Bf16> (context, shape, x, packed, bias, residual, d);
    case 4: return run_conv<Bf16, float, float> (context, shape, x, packed, bias, residual, d);
    case 5: return run_conv<Bf16, float, Bf16> (context, shape, x, packed, bias, residual, d);
    case 6: return run_conv<Bf16, Bf16, float> (context, shape, x, packed, bias, residual, d);
    default: return run_conv<Bf16, Bf16, Bf16> (context, shape, x, packed, bias, residual, d);
    }
}
