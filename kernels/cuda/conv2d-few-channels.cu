/* conv2d-few-channels.cu - convolutions from or to an image, bf16: at full size, with three channels on one side
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Both are bound by what the wide side moves. From few channels, all taps of all of them fit one step of DEPTH: a tile
 * of positions is gathered element by element, once. To few channels, a block makes a rectangle of outputs: its pixels,
 * with those around it, come to shared memory once, and all taps read them there.
 */
#include "conv2d-mma-private.h"

/* -- from few channels --------------------------------------------------------------------------------------------- */

using FromTile = MmaTile<128, 80, 4, 2, 1, 2>;

__device__ __forceinline__ uint32_t
load_bits (const Bf16 *base, int64_t i)
{
  check_read (base + i, sizeof (Bf16), sizeof (Bf16));
  return base[i].bits;
}

/* PIECE elements, of which element(i) gives the bits. */
template <typename Element>
__device__ __forceinline__ void
store_piece (Shared<Bf16> to, Element element)
{
  uint32_t words[PIECE / 2];

#pragma unroll
  for (int i = 0; i < PIECE / 2; i++)
    words[i] = element (2 * i) | element (2 * i + 1) << 16;
  shared_store (to, uint4{ words[0], words[1], words[2], words[3] });
}

template <typename D>
__global__ void __launch_bounds__ (FromTile::threads, FromTile::blocks)
convolve_from_few (ConvShape shape, bool paired, const Bf16 *x, const Bf16 *weight, const float *bias,
                   const D *residual, D *d)
{
  using Tile = FromTile;
  SWITTI_SHARED (Bf16, tile, Tile::stage_elements);
  const int n_tiles = (shape.c_out + Tile::n - 1) / Tile::n, phases = shape.phases * shape.phases;
  const int first_channel = (int) blockIdx.x % n_tiles * Tile::n, phase = (int) blockIdx.x / n_tiles % phases;
  const int64_t first = (int64_t) ((int) blockIdx.x / n_tiles / phases) * Tile::m;
  const int taps = shape.taps * shape.taps, depth = taps * shape.c_in;
  const int own_row = (int) threadIdx.x / PIECES, own_piece = (int) threadIdx.x % PIECES;
  float sum[Tile::fragments_m][Tile::fragments_n][4] = {};
  int64_t outputs[Tile::fragments_m][2];

#pragma unroll 1
  for (int row = own_row; row < Tile::m; row += Tile::rows)
    {
      const Position position = position_at (shape, phase / shape.phases, phase % shape.phases, first + row);

      store_piece (tile + piece_at (row, own_piece), [&] (int i) {
        const int k = own_piece * PIECE + i, tap = k / shape.c_in;
        const int64_t pixel = k < depth ? tap_pixel (shape, position, tap / shape.taps, tap % shape.taps) : -1;
        return pixel >= 0 ? load_bits (x, pixel * shape.c_in + k % shape.c_in) : 0u;
      });
    }
#pragma unroll 1
  for (int row = own_row; row < Tile::n; row += Tile::rows)
    {
      const int channel = first_channel + row;
      const Bf16 *own = weight + ((int64_t) phase * shape.c_out + channel) * taps * shape.c_padded;

      store_piece (tile + (Tile::m * DEPTH + piece_at (row, own_piece)), [&] (int i) {
        const int k = own_piece * PIECE + i;
        return k < depth && channel < shape.c_out ? load_bits (own, k / shape.c_in * shape.c_padded + k % shape.c_in)
                                                  : 0u;
      });
    }
  __syncthreads ();
  multiply_stage<Tile> (tile, sum);
  find_outputs<Tile> (shape, phase, first, outputs);
  store_tile<Tile, D> (shape, first_channel, paired, outputs, sum, bias, residual, d);
}

static int64_t
count_blocks (const ConvShape &shape)
{
  return blocks_for (shape.positions, FromTile::m) * blocks_for (shape.c_out, FromTile::n) * shape.phases
         * shape.phases;
}

bool
switti_cuda_conv_is_from_few (const ConvShape &shape, const SwittiConv *c)
{
  return c->x_dtype == SWITTI_DTYPE_BF16 && c->w_dtype == SWITTI_DTYPE_BF16
         && shape.taps * shape.taps * shape.c_in <= DEPTH && shape.c_out >= 16 && is_launchable (count_blocks (shape));
}

template <typename D>
static SwittiKernelStatus
run_from_few (SwittiKernelContext *context, const ConvShape &shape, const void *x, const void *packed,
              const float *bias, const void *residual, void *d)
{
  const D *added = static_cast<const D *> (residual);
  D *to = static_cast<D *> (d);

  return SWITTI_LAUNCH (context, convolve_from_few<D>, dim3 ((unsigned int) count_blocks (shape)),
                        dim3 (FromTile::threads), 0, shape, is_paired (shape, bias, added, to),
                        static_cast<const Bf16 *> (x), static_cast<const Bf16 *> (packed), bias, added, to);
}

SwittiKernelStatus
switti_cuda_conv_from_few (SwittiKernelContext *context, const ConvShape &shape, SwittiDtype d_dtype, const void *x,
                           const void *packed, const float *bias, const void *residual, void *d)
{
  if (d_dtype == SWITTI_DTYPE_BF16)
    return run_from_few<Bf16> (context, shape, x, packed, bias, residual, d);
  return run_from_few<float> (context, shape, x, packed, bias, residual, d);
}

/* -- to few channels ----------------------------------------------------------------------------------------------- */

/* A block's rectangle of outputs, of which each warp has two rows; and the pixels that a kernel of 3 reads for it. */
#define RECTANGLE_HEIGHT 8
#define RECTANGLE_WIDTH 16
#define AROUND_WIDTH (RECTANGLE_WIDTH + 2)
#define AROUND_PIXELS ((RECTANGLE_HEIGHT + 2) * AROUND_WIDTH)
#define KERNEL_TAPS 9

using ToTile = MmaTile<RECTANGLE_HEIGHT * RECTANGLE_WIDTH, 8, RECTANGLE_HEIGHT / 2, 1, 2, 3>;

/* Of a stage: the pixels, then (taps, channels) of weights. */
#define AROUND_STAGE ((AROUND_PIXELS + KERNEL_TAPS * ToTile::n) * DEPTH)

/* What a thread copies of each step: the same piece of some pixels and weights. */
struct RectangleCopies
{
  static constexpr int n_pixels = (AROUND_PIXELS + ToTile::rows - 1) / ToTile::rows;
  static constexpr int n_weights = (KERNEL_TAPS * ToTile::n + ToTile::rows - 1) / ToTile::rows;
  int pixel[n_pixels]; /* -1 outside of the map */

  __device__ __forceinline__ void
  start (const ConvShape &shape, int64_t image, int top, int left)
  {
#pragma unroll
    for (int i = 0; i < n_pixels; i++)
      {
        const int row = (int) threadIdx.x / PIECES + i * ToTile::rows;
        const int y = top + row / AROUND_WIDTH, x = left + row % AROUND_WIDTH;
        const bool inside
            = row < AROUND_PIXELS && y >= 0 && x >= 0 && y < shape.rows.size && x < shape.columns.size;

        pixel[i] = inside ? (int) ((image * shape.rows.size + y) * shape.columns.size + x) : -1;
      }
  }

  __device__ __forceinline__ void
  copy (const ConvShape &shape, const Bf16 *x, const Bf16 *weight, int depth, Shared<Bf16> stage) const
  {
    const int own_row = (int) threadIdx.x / PIECES, own_piece = (int) threadIdx.x % PIECES;
    const int channel = depth + own_piece * PIECE;

#pragma unroll
    for (int i = 0; i < n_pixels; i++)
      {
        const int row = own_row + i * ToTile::rows;
        const bool valid = pixel[i] >= 0 && channel < shape.c_in;

        if (row < AROUND_PIXELS)
          copy_async_16 (stage + piece_at (row, own_piece),
                         valid ? x + (int64_t) pixel[i] * shape.c_in + channel : x, valid ? 16 : 0);
      }
#pragma unroll
    for (int i = 0; i < n_weights; i++)
      {
        const int row = own_row + i * ToTile::rows, tap = row / ToTile::n, out = row % ToTile::n;
        const bool valid = out < shape.c_out && channel < shape.c_in;

        if (row < KERNEL_TAPS * ToTile::n)
          copy_async_16 (stage + (AROUND_PIXELS * DEPTH + piece_at (row, own_piece)),
                         valid ? weight + ((int64_t) out * KERNEL_TAPS + tap) * shape.c_in + channel : x,
                         valid ? 16 : 0);
      }
  }
};

/* A warp's products of one step: of each tap, two rows of 16 outputs. */
__device__ __forceinline__ void
multiply_rectangle (Shared<Bf16> stage, float (&sum)[ToTile::fragments_m][ToTile::fragments_n][4])
{
  const int lane = (int) threadIdx.x % WARP_LANES, first = (int) threadIdx.x / WARP_LANES * ToTile::fragments_m;

#pragma unroll
  for (int tap = 0; tap < KERNEL_TAPS; tap++)
    {
      uint32_t a[4], b[4];

      load_matrices (b, stage + (AROUND_PIXELS * DEPTH + piece_at (tap * ToTile::n + lane % 8, lane / 8)));
#pragma unroll
      for (int i = 0; i < ToTile::fragments_m; i++)
#pragma unroll
        for (int k = 0; k < 2; k++)
          {
            const int row = (first + i + tap / 3) * AROUND_WIDTH + tap % 3 + lane % 16;

            load_matrices (a, stage + piece_at (row, k * 2 + lane / 16));
            multiply_bf16 (sum[i][0], a, b + 2 * k);
          }
    }
}

template <typename D>
__global__ void __launch_bounds__ (ToTile::threads, ToTile::blocks)
convolve_to_few (ConvShape shape, bool paired, const Bf16 *x, const Bf16 *weight, const float *bias, const D *residual,
                 D *d)
{
  SWITTI_SHARED (Bf16, tiles, 2 * AROUND_STAGE);
  const int across = (shape.grid_width + RECTANGLE_WIDTH - 1) / RECTANGLE_WIDTH;
  const int down = (shape.grid_height + RECTANGLE_HEIGHT - 1) / RECTANGLE_HEIGHT;
  const int left = (int) blockIdx.x % across * RECTANGLE_WIDTH;
  const int top = (int) blockIdx.x / across % down * RECTANGLE_HEIGHT;
  const int64_t image = (int) blockIdx.x / across / down;
  const int lane = (int) threadIdx.x % WARP_LANES, warp = (int) threadIdx.x / WARP_LANES;
  float sum[ToTile::fragments_m][ToTile::fragments_n][4] = {};
  int64_t outputs[ToTile::fragments_m][2];
  RectangleCopies copies;

  copies.start (shape, image, top + shape.rows.first[0], left + shape.columns.first[0]);
  copies.copy (shape, x, weight, 0, tiles);
  copy_async_commit ();
  int stage = 0;
#pragma unroll 1
  for (int depth = 0; depth < shape.c_in; depth += DEPTH)
    {
      copy_async_wait<0> ();
      __syncthreads ();
      if (depth + DEPTH < shape.c_in)
        copies.copy (shape, x, weight, depth + DEPTH, tiles + (1 - stage) * AROUND_STAGE);
      copy_async_commit ();
      multiply_rectangle (tiles + stage * AROUND_STAGE, sum);
      stage = 1 - stage;
    }
#pragma unroll
  for (int i = 0; i < ToTile::fragments_m; i++)
#pragma unroll
    for (int half = 0; half < 2; half++)
      {
        const int out_y = top + warp * ToTile::fragments_m + i, out_x = left + half * 8 + lane / 4;

        outputs[i][half] = out_y < shape.rows.out_size && out_x < shape.columns.out_size
                               ? (image * shape.rows.out_size + out_y) * shape.columns.out_size + out_x
                               : -1;
      }
  store_tile<ToTile, D> (shape, 0, paired, outputs, sum, bias, residual, d);
}

static int64_t
count_rectangles (const ConvShape &shape)
{
  return blocks_for (shape.grid_height, RECTANGLE_HEIGHT) * blocks_for (shape.grid_width, RECTANGLE_WIDTH)
         * (shape.positions / ((int64_t) shape.grid_height * shape.grid_width));
}

bool
switti_cuda_conv_is_to_few (const ConvShape &shape, const SwittiConv *c)
{
  return switti_cuda_conv_takes_mma (shape, c) && shape.c_out <= ToTile::n && shape.taps == 3 && shape.step == 1
         && is_launchable (count_rectangles (shape));
}

template <typename D>
static SwittiKernelStatus
run_to_few (SwittiKernelContext *context, const ConvShape &shape, const void *x, const void *packed, const float *bias,
            const void *residual, void *d)
{
  const D *added = static_cast<const D *> (residual);
  D *to = static_cast<D *> (d);

  return SWITTI_LAUNCH (context, convolve_to_few<D>, dim3 ((unsigned int) count_rectangles (shape)),
                        dim3 (ToTile::threads), 0, shape, is_paired (shape, bias, added, to),
                        static_cast<const Bf16 *> (x), static_cast<const Bf16 *> (packed), bias, added, to);
}

SwittiKernelStatus
switti_cuda_conv_to_few (SwittiKernelContext *context, const ConvShape &shape, SwittiDtype d_dtype, const void *x,
                         const void *packed, const float *bias, const void *residual, void *d)
{
  if (d_dtype == SWITTI_DTYPE_BF16)
    return run_to_few<Bf16> (context, shape, x, packed, bias, residual, d);
  return run_to_few<float> (context, shape, x, packed, bias, residual, d);
}
