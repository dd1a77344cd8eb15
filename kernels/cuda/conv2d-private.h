/* conv2d-private.h - a convolution's shape, and which input a tap of an output pixel reads
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "runtime-private.h"

#include "device-private.h"

/* Packed weights have channels in multiples of this: 16 bytes of bf16. */
#define PACK_CHANNELS 8
/* More than a kernel reaches: a pixel so far outside has no tap in the map. */
#define MAX_PAD 16

struct ConvShape
{
  int height, width, c_in, c_out;
  int kernel, stride, pad_top, pad_left, zoom;
  int out_height, out_width;
  int c_padded;
  int64_t pixels; /* outputs of all images */
};

/* Where an output pixel's first tap is, in the enlarged map; and its image's first pixel. Past the last pixel it is
 * never inside. */
struct Pixel
{
  int y, x;
  int64_t image;
};

__device__ __forceinline__ Pixel
pixel_at (const ConvShape &shape, int64_t index)
{
  const int i = (int) index;

  if (index >= shape.pixels)
    return Pixel{ -MAX_PAD, -MAX_PAD, 0 };
  return Pixel{ i / shape.out_width % shape.out_height * shape.stride - shape.pad_top,
                i % shape.out_width * shape.stride - shape.pad_left,
                (int64_t) (i / shape.out_width / shape.out_height) * shape.height * shape.width };
}

/* The pixel that a tap reads, -1 outside of the map. */
__device__ __forceinline__ int64_t
tap_pixel (const ConvShape &shape, const Pixel &pixel, int tap)
{
  const int y = pixel.y + tap / shape.kernel, x = pixel.x + tap % shape.kernel;

  if (y < 0 || x < 0 || y >= shape.height * shape.zoom || x >= shape.width * shape.zoom)
    return -1;
  return pixel.image + (int64_t) (y / shape.zoom) * shape.width + x / shape.zoom;
}
