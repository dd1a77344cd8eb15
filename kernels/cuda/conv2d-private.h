/* conv2d-private.h - a convolution's shape, which input a tap of an output position reads, and packed weights
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Along each axis an output reads `taps` inputs in a row. Where neighbouring outputs read by different rules there are
 * two phases, of even and odd outputs: upsampling makes two kernel rows of three read the same input, so that each
 * phase has two taps with summed weights (2.25 times fewer operations for both axes); and the gradient of a stride of 2
 * reads every other kernel row.
 *
 * Packed weights are (phases of rows and columns, c_out, taps of rows and columns, channels), channels padded with
 * zeros to a multiple of PACK_CHANNELS.
 */
#pragma once

#include "runtime-private.h"

#include "device-private.h"

/* 16 bytes of bf16. */
#define PACK_CHANNELS 8
#define MAX_PHASES 2
/* A kernel of 3 on an enlarged map, turned round. */
#define MAX_TAPS 4
/* More than a kernel reaches: a position so far outside has no tap in the map. */
#define FAR_OUTSIDE 16

/* One axis. Output `phases` * i + p reads the inputs from step * i + first[p] on. */
struct ConvAxis
{
  int size, out_size;
  int first[MAX_PHASES];
  uint32_t kernel_rows; /* that a tap sums: MAX_TAPS times 3 bits for each phase */
};

struct ConvShape
{
  ConvAxis rows, columns;
  int kernel, taps, phases, step;
  int c_in, c_out, c_padded;
  int grid_height, grid_width; /* positions of a phase; of the second there may be one less */
  int64_t positions;           /* of a phase, of all images */
};

/* What `conv` reads and writes; false where that is larger than a launch. */
bool switti_cuda_conv_shape (const SwittiConv *conv, ConvShape *shape);
/* What the gradient of its input reads and writes: the gradient of its output, by turned weights. */
bool switti_cuda_conv_gradient_shape (const SwittiConv *conv, ConvShape *shape);

/* Elements of packed weights. */
static inline int64_t
conv_packed_count (const ConvShape &shape)
{
  return (int64_t) shape.phases * shape.phases * shape.c_out * shape.taps * shape.taps * shape.c_padded;
}

/* Packs the weight, which is float32 on the device as PyTorch stores it: (shape.c_out, shape.c_in, kernel, kernel), or,
 * `turned`, with channels the other way round. */
SwittiKernelStatus switti_cuda_conv_pack_device (SwittiKernelContext *context, const ConvShape &shape, bool turned,
                                                 SwittiDtype packed_dtype, const float *weight, void *packed);
/* The float32 kernel, for any shape and dtypes. */
SwittiKernelStatus switti_cuda_conv_simt (SwittiKernelContext *context, const ConvShape &shape, SwittiDtype x_dtype,
                                          SwittiDtype w_dtype, SwittiDtype d_dtype, const void *x, const void *packed,
                                          const float *bias, const void *residual, void *d);

/* -- conv2d-mma.cu, conv2d-few-channels.cu: bf16 on tensor cores --------------------------------------------------- */

/* Positions and channels of a block. */
enum ConvTile
{
  CONV_TILE_LARGE,
  CONV_TILE_WIDE,
  CONV_TILE_MIDDLE,
  CONV_TILE_SQUARE,
  CONV_TILE_SMALL,
  CONV_TILE_NARROW,
  CONV_N_TILES,
};

/* Whether the kernel for tensor cores takes a convolution; x and packed weights must then be aligned to 16 bytes. */
bool switti_cuda_conv_takes_mma (const ConvShape &shape, const SwittiConv *conv);
ConvTile switti_cuda_conv_choose_tile (const ConvShape &shape, int n_processors);
SwittiKernelStatus switti_cuda_conv_mma (SwittiKernelContext *context, const ConvShape &shape, ConvTile tile,
                                         SwittiDtype d_dtype, const void *x, const void *packed, const float *bias,
                                         const void *residual, void *d);
/* From few input channels, of any alignment. */
bool switti_cuda_conv_is_from_few (const ConvShape &shape, const SwittiConv *conv);
SwittiKernelStatus switti_cuda_conv_from_few (SwittiKernelContext *context, const ConvShape &shape, SwittiDtype d_dtype,
                                              const void *x, const void *packed, const float *bias,
                                              const void *residual, void *d);
/* To few output channels; aligned as for conv_mma. */
bool switti_cuda_conv_is_to_few (const ConvShape &shape, const SwittiConv *conv);
SwittiKernelStatus switti_cuda_conv_to_few (SwittiKernelContext *context, const ConvShape &shape, SwittiDtype d_dtype,
                                            const void *x, const void *packed, const float *bias, const void *residual,
                                            void *d);

/* Bit ky: whether tap `tap` of a phase sums the kernel's row ky. */
__host__ __device__ inline uint32_t
tap_rows (const ConvAxis &axis, int phase, int tap)
{
  return axis.kernel_rows >> 3 * (phase * MAX_TAPS + tap) & 7u;
}

/* Where a position's first tap is; its image's first pixel; and the output, -1 where the phase has none there. */
struct Position
{
  int y, x;
  int64_t image, output;
};

/* Position `index` of a phase of rows and one of columns. */
__device__ __forceinline__ Position
position_at (const ConvShape &shape, int phase_y, int phase_x, int64_t index)
{
  const int i = (int) index;
  const int column = i % shape.grid_width, row = i / shape.grid_width % shape.grid_height;
  const int64_t image = i / shape.grid_width / shape.grid_height;
  const int out_y = row * shape.phases + phase_y, out_x = column * shape.phases + phase_x;

  if (index >= shape.positions || out_y >= shape.rows.out_size || out_x >= shape.columns.out_size)
    return Position{ -FAR_OUTSIDE, -FAR_OUTSIDE, 0, -1 };
  return Position{ row * shape.step + (phase_y == 0 ? shape.rows.first[0] : shape.rows.first[1]),
                   column * shape.step + (phase_x == 0 ? shape.columns.first[0] : shape.columns.first[1]),
                   image * shape.rows.size * shape.columns.size,
                   (image * shape.rows.out_size + out_y) * shape.columns.out_size + out_x };
}

/* The pixel that a tap reads, -1 outside of the map. */
__device__ __forceinline__ int64_t
tap_pixel (const ConvShape &shape, const Position &position, int tap_y, int tap_x)
{
  const int y = position.y + tap_y, x = position.x + tap_x;

  if (y < 0 || x < 0 || y >= shape.rows.size || x >= shape.columns.size)
    return -1;
  return position.image + (int64_t) y * shape.columns.size + x;
}
