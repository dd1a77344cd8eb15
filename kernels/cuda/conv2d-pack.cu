/* conv2d-pack.cu - shapes of convolutions and of their gradients, and packed weights
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "conv2d-private.h"

#define PACK_THREADS 256

/* -- shapes ------------------------------------------------------------------------------------------------------ */

static int
floor_div (int a, int b)
{
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static void
add_kernel_row (ConvAxis *axis, int phase, int tap, int row)
{
  axis->kernel_rows |= 1u << row << 3 * (phase * MAX_TAPS + tap);
}

static ConvAxis
forward_axis (const SwittiConv *c, int64_t size, int pad_before, int pad_after)
{
  const int zoom = c->upsample ? 2 : 1;
  ConvAxis axis = {};

  axis.size = (int) size;
  axis.out_size = (int) ((size * zoom + pad_before + pad_after - c->kernel) / c->stride + 1);
  for (int phase = 0; phase < zoom; phase++)
    {
      axis.first[phase] = floor_div (phase - pad_before, zoom);
      for (int row = 0; row < c->kernel; row++)
        add_kernel_row (&axis, phase, floor_div (phase + row - pad_before, zoom) - axis.first[phase], row);
    }
  return axis;
}

/* From the gradient of the output, of `size`, to that of the input. */
static ConvAxis
gradient_axis (const SwittiConv *c, const ConvAxis &forward, int pad_before)
{
  const int zoom = c->upsample ? 2 : 1, last = c->kernel - 1;
  ConvAxis axis = {};

  axis.size = forward.out_size;
  axis.out_size = forward.size;
  /* Input i of the enlarged map was read by output i + pad - row through the kernel's row. */
  if (c->stride == 1)
    {
      axis.first[0] = pad_before - last;
      for (int part = 0; part < zoom; part++)
        for (int row = 0; row < c->kernel; row++)
          add_kernel_row (&axis, 0, part + last - row, row);
      return axis;
    }
  /* Of every other row alone: the output is half of an even i + pad - row. */
  for (int phase = 0; phase < 2; phase++)
    {
      axis.first[phase] = floor_div (phase + pad_before - last + 1, 2);
      for (int row = 0; row < c->kernel; row++)
        if ((phase + pad_before - row) % 2 == 0)
          add_kernel_row (&axis, phase, (phase + pad_before - row) / 2 - axis.first[phase], row);
    }
  return axis;
}

static bool
shape_init (ConvShape *shape, const ConvAxis &rows, const ConvAxis &columns, int64_t batch, int64_t c_in, int64_t c_out)
{
  shape->rows = rows;
  shape->columns = columns;
  shape->c_in = (int) c_in;
  shape->c_out = (int) c_out;
  shape->c_padded = (int) (blocks_for (c_in, PACK_CHANNELS) * PACK_CHANNELS);
  shape->grid_height = (int) blocks_for (rows.out_size, shape->phases);
  shape->grid_width = (int) blocks_for (columns.out_size, shape->phases);
  const int64_t positions = (int64_t) shape->grid_height * shape->grid_width;
  shape->positions = positions * batch;
  return positions <= INT32_MAX / batch;
}

bool
switti_cuda_conv_shape (const SwittiConv *c, ConvShape *shape)
{
  *shape = ConvShape{};
  shape->kernel = c->kernel;
  shape->phases = c->upsample ? 2 : 1;
  shape->taps = c->upsample && c->kernel == 3 ? 2 : c->kernel;
  shape->step = c->stride;
  return shape_init (shape, forward_axis (c, c->height, c->pad_top, c->pad_bottom),
                     forward_axis (c, c->width, c->pad_left, c->pad_right), c->batch, c->c_in, c->c_out);
}

bool
switti_cuda_conv_gradient_shape (const SwittiConv *c, ConvShape *shape)
{
  *shape = ConvShape{};
  shape->kernel = c->kernel;
  shape->phases = c->stride;
  shape->taps = c->upsample ? c->kernel + 1 : (c->kernel + c->stride - 1) / c->stride;
  shape->step = c->upsample ? 2 : 1;
  return shape_init (shape,
                     gradient_axis (c, forward_axis (c, c->height, c->pad_top, c->pad_bottom), c->pad_top),
                     gradient_axis (c, forward_axis (c, c->width, c->pad_left, c->pad_right), c->pad_left), c->batch,
                     c->c_out, c->c_in);
}

/* -- packing ------------------------------------------------------------------------------------------------------ */

/* A thread makes four packed weights of a tap. */
template <typename W>
__global__ void __launch_bounds__ (PACK_THREADS)
pack_weights (ConvShape shape, bool turned, int64_t lanes, const float *weight, W *packed)
{
  const int64_t lane = (int64_t) blockIdx.x * PACK_THREADS + threadIdx.x, at = lane * LANE;
  const int channel = (int) (at % shape.c_padded), taps = shape.taps * shape.taps;
  const int tap = (int) (at / shape.c_padded % taps), area = shape.kernel * shape.kernel;
  const int64_t out = at / shape.c_padded / taps % shape.c_out;
  const int phase = (int) (at / shape.c_padded / taps / shape.c_out);
  const int64_t pair = turned ? channel * (int64_t) shape.c_out + out : out * shape.c_in + channel;
  const int64_t step = (turned ? shape.c_out : 1) * (int64_t) area;
  float sum[LANE] = { 0.0f, 0.0f, 0.0f, 0.0f };

  if (lane >= lanes)
    return;
  const uint32_t rows = tap_rows (shape.rows, phase / shape.phases, tap / shape.taps);
  const uint32_t columns = tap_rows (shape.columns, phase % shape.phases, tap % shape.taps);
  for (int y = 0; y < shape.kernel; y++)
    for (int x = 0; x < shape.kernel; x++)
      if ((rows >> y & columns >> x & 1u) != 0)
        {
#pragma unroll
          for (int e = 0; e < LANE; e++)
            if (channel + e < shape.c_in)
              sum[e] += load (weight, pair * area + e * step + y * shape.kernel + x);
        }
  store_vector (packed + at, sum);
}

SwittiKernelStatus
switti_cuda_conv_pack_device (SwittiKernelContext *context, const ConvShape &shape, bool turned,
                              SwittiDtype packed_dtype, const float *weight, void *packed)
{
  const int64_t lanes = conv_packed_count (shape) / LANE, blocks = blocks_for (lanes, PACK_THREADS);
  const dim3 grid ((unsigned int) blocks), block (PACK_THREADS);

  if (!is_launchable (blocks))
    return SWITTI_KERNEL_INVALID;
  if (packed_dtype == SWITTI_DTYPE_BF16)
    return SWITTI_LAUNCH (context, pack_weights<Bf16>, grid, block, 0, shape, turned, lanes, weight,
                          static_cast<Bf16 *> (packed));
  return SWITTI_LAUNCH (context, pack_weights<float>, grid, block, 0, shape, turned, lanes, weight,
                        static_cast<float *> (packed));
}

size_t
switti_cuda_conv_packed_bytes (SwittiKernelContext *, const SwittiConv *conv)
{
  ConvShape shape;

  if (!switti_cuda_conv_shape (conv, &shape))
    return 0;
  return (size_t) conv_packed_count (shape) * switti_dtype_size (conv->w_dtype);
}

SwittiKernelStatus
switti_cuda_conv_pack (SwittiKernelContext *context, const SwittiConv *conv, SwittiDtype src_dtype, const void *src,
                       void *packed)
{
  const int64_t count = conv->c_out * conv->c_in * conv->kernel * conv->kernel;
  const size_t bytes = (size_t) count * switti_dtype_size (src_dtype);
  SwittiKernelStatus status;
  void *staging = NULL, *floats = NULL;
  ConvShape shape;

  if (!switti_cuda_conv_shape (conv, &shape))
    return SWITTI_KERNEL_INVALID;
  status = switti_cuda_alloc (context, bytes, &staging);
  if (status == SWITTI_KERNEL_OK)
    status = switti_cuda_upload (context, staging, src, bytes);
  if (status == SWITTI_KERNEL_OK && src_dtype != SWITTI_DTYPE_F32)
    {
      status = switti_cuda_alloc (context, (size_t) count * sizeof (float), &floats);
      if (status == SWITTI_KERNEL_OK)
        status = context->ops.convert (context, count, src_dtype, staging, SWITTI_DTYPE_F32, floats);
    }
  if (status == SWITTI_KERNEL_OK)
    status = switti_cuda_conv_pack_device (context, shape, false, conv->w_dtype,
                                           static_cast<const float *> (floats != NULL ? floats : staging), packed);
  switti_cuda_free (context, staging);
  switti_cuda_free (context, floats);
  return status;
}
