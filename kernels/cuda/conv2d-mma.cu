/* conv2d-mma.cu - convolution in bf16 on tensor cores, as a product whose rows are gathered
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A block makes a tile of output positions by output channels of one phase. It walks through the taps, and in a tap
 * through the input channels, DEPTH at a time: positions' pixels and channels' weights come to shared memory by
 * asynchronous copies, some steps ahead, zeros where a tap lies outside the map or a channel is past the last. So
 * nothing is materialised.
 *
 * Every tile adds an output's products in the same order: its bits do not depend on which one is taken.
 */
#include "conv2d-mma-private.h"

/* Bit t: whether tap t of a position lies in the map. */
__device__ __forceinline__ uint32_t
find_taps_inside (const ConvShape &shape, const Position &position)
{
  uint32_t columns = 0, inside = 0;

  for (int t = 0; t < shape.taps; t++)
    columns |= (uint32_t) (position.x + t) < (uint32_t) shape.columns.size ? 1u << t : 0u;
  for (int t = 0; t < shape.taps; t++)
    inside |= (uint32_t) (position.y + t) < (uint32_t) shape.rows.size ? columns << t * shape.taps : 0u;
  return inside;
}

/* What a thread copies: the same piece of some positions and of some output channels, step by step. */
template <typename Tile> struct Copies
{
  const Bf16 *x, *weight;
  int64_t weight_row;            /* elements between channels */
  int pixel[Tile::m_copies];     /* of the first tap */
  uint32_t taps[Tile::m_copies]; /* which of them lie in the map */
  uint32_t channels;             /* bit i: output channel i of the copies exists */
  int piece;                     /* first element of the own piece */
  int to;                        /* in a stage's tile of positions, and in that of channels */
  int tap, tap_x, tap_pixel, depth;

  __device__ __forceinline__ void
  start (const ConvShape &shape, int64_t first, int first_channel, int phase, const Bf16 *map, const Bf16 *weights)
  {
    const int row = (int) threadIdx.x / PIECES;

    piece = (int) threadIdx.x % PIECES * PIECE;
    to = piece_at (row, (int) threadIdx.x % PIECES);
    x = map;
    weight_row = (int64_t) shape.taps * shape.taps * shape.c_in;
    weight = weights + ((int64_t) phase * shape.c_out + first_channel + row) * weight_row + piece;
    tap = tap_x = tap_pixel = depth = 0;
    channels = 0;
#pragma unroll
    for (int i = 0; i < Tile::m_copies; i++)
      {
        const Position position
            = position_at (shape, phase / shape.phases, phase % shape.phases, first + row + i * Tile::rows);

        pixel[i] = (int) position.image + position.y * shape.columns.size + position.x;
        taps[i] = find_taps_inside (shape, position);
      }
#pragma unroll
    for (int i = 0; i < Tile::n_copies; i++)
      channels |= first_channel + row + i * Tile::rows < shape.c_out ? 1u << i : 0u;
  }

  /* Copies a step, and goes on to the next. */
  __device__ __forceinline__ void
  copy (const ConvShape &shape, Shared<Bf16> stage)
  {
    const bool has_piece = depth + piece < shape.c_in;
    const int64_t from = (int64_t) tap * shape.c_in + depth;

#pragma unroll
    for (int i = 0; i < Tile::m_copies; i++)
      {
        const bool valid = has_piece && (taps[i] >> tap & 1u) != 0;
        const Bf16 *source = x + (int64_t) (pixel[i] + tap_pixel) * shape.c_in + (depth + piece);

        copy_async_16 (stage + (to + i * Tile::rows * DEPTH), valid ? source : x, valid ? 16 : 0);
      }
#pragma unroll
    for (int i = 0; i < Tile::n_copies; i++)
      {
        const bool valid = has_piece && (channels >> i & 1u) != 0;
        const Bf16 *source = weight + (int64_t) (i * Tile::rows) * weight_row + from;

        if (Tile::n % Tile::rows == 0 || (int) threadIdx.x / PIECES + i * Tile::rows < Tile::n)
          copy_async_16 (stage + (Tile::m * DEPTH + to + i * Tile::rows * DEPTH), valid ? source : x, valid ? 16 : 0);
      }
    depth += DEPTH;
    if (depth < shape.c_in)
      return;
    depth = 0;
    tap++;
    tap_x++;
    tap_pixel++;
    if (tap_x == shape.taps)
      {
        tap_x = 0;
        tap_pixel += shape.columns.size - shape.taps;
      }
  }
};

template <typename Tile, typename D>
__global__ void __launch_bounds__ (Tile::threads, Tile::blocks)
convolve_mma (ConvShape shape, bool paired, const Bf16 *x, const Bf16 *weight, const float *bias, const D *residual,
              D *d)
{
  SWITTI_SHARED_DYNAMIC (Bf16, tiles);
  const int phases = shape.phases * shape.phases, n_tiles = (shape.c_out + Tile::n - 1) / Tile::n;
  const int first_channel = (int) blockIdx.x % n_tiles * Tile::n;
  const int phase = (int) blockIdx.x / n_tiles % phases;
  const int64_t first = (int64_t) ((int) blockIdx.x / n_tiles / phases) * Tile::m;
  const int steps = shape.taps * shape.taps * ((shape.c_in + DEPTH - 1) / DEPTH);
  float sum[Tile::fragments_m][Tile::fragments_n][4] = {};
  int64_t outputs[Tile::fragments_m][2];
  Copies<Tile> copies;

  copies.start (shape, first, first_channel, phase, x, weight);
#pragma unroll
  for (int stage = 0; stage < Tile::stages - 1; stage++)
    {
      if (stage < steps)
        copies.copy (shape, tiles + stage * Tile::stage_elements);
      copy_async_commit ();
    }
  int reading = 0, writing = Tile::stages - 1;
#pragma unroll 1
  for (int step = 0; step < steps; step++)
    {
      copy_async_wait<Tile::stages - 2> ();
      __syncthreads ();
      if (step + Tile::stages - 1 < steps)
        copies.copy (shape, tiles + writing * Tile::stage_elements);
      copy_async_commit ();
      multiply_stage<Tile> (tiles + reading * Tile::stage_elements, sum);
      reading = reading + 1 < Tile::stages ? reading + 1 : 0;
      writing = writing + 1 < Tile::stages ? writing + 1 : 0;
    }
  find_outputs<Tile> (shape, phase, first, outputs);
  store_tile<Tile, D> (shape, first_channel, paired, outputs, sum, bias, residual, d);
}

/* -- choosing a tile ----------------------------------------------------------------------------------------------- */

using LargeTile = MmaTile<256, 160, 4, 2, 3, 1>;
using WideTile = MmaTile<256, 128, 4, 2, 4, 1>;
using MiddleTile = MmaTile<128, 80, 4, 2, 3, 2>;
using SquareTile = MmaTile<128, 64, 4, 2, 4, 2>;
using SmallTile = MmaTile<64, 64, 2, 2, 4, 3>;
using NarrowTile = MmaTile<128, 8, 4, 1, 4, 3>;

struct TileChoice
{
  int m, n;
  float speed; /* of a multiprocessor that has only such blocks: what larger tiles save in copies */
};

/* In the order of ConvTile. */
static const TileChoice choices[CONV_N_TILES] = {
  { LargeTile::m, LargeTile::n, 1.0f },    { WideTile::m, WideTile::n, 0.95f },
  { MiddleTile::m, MiddleTile::n, 0.75f }, { SquareTile::m, SquareTile::n, 0.7f },
  { SmallTile::m, SmallTile::n, 0.55f },   { NarrowTile::m, NarrowTile::n, 0.25f },
};

static int64_t
count_blocks (const ConvShape &shape, const TileChoice &tile)
{
  return blocks_for (shape.positions, tile.m) * blocks_for (shape.c_out, tile.n) * shape.phases * shape.phases;
}

bool
switti_cuda_conv_takes_mma (const ConvShape &shape, const SwittiConv *c)
{
  return c->x_dtype == SWITTI_DTYPE_BF16 && c->w_dtype == SWITTI_DTYPE_BF16 && c->c_in % PIECE == 0
         && c->batch * c->height <= INT32_MAX / c->width
         && is_launchable (count_blocks (shape, choices[CONV_TILE_SMALL]))
         && is_launchable (count_blocks (shape, choices[CONV_TILE_NARROW]));
}

ConvTile
switti_cuda_conv_choose_tile (const ConvShape &shape, int n_processors)
{
  int best = 0;
  float least = INFINITY;

  for (int i = 0; i < CONV_N_TILES; i++)
    {
      const TileChoice &tile = choices[i];
      const float cost = (float) blocks_for (count_blocks (shape, tile), n_processors) * (float) (tile.m * tile.n)
                         / tile.speed;

      if (cost < least)
        {
          least = cost;
          best = i;
        }
    }
  return (ConvTile) best;
}

template <typename Tile, typename D>
static SwittiKernelStatus
run_tile (SwittiKernelContext *context, const ConvShape &shape, const void *x, const void *packed, const float *bias,
          const void *residual, void *d)
{
  const int64_t blocks = count_blocks (shape, TileChoice{ Tile::m, Tile::n, 1.0f });
  const D *added = static_cast<const D *> (residual);
  D *to = static_cast<D *> (d);

  return SWITTI_LAUNCH (context, (convolve_mma<Tile, D>), dim3 ((unsigned int) blocks), dim3 (Tile::threads),
                        Tile::shared_bytes, shape, is_paired (shape, bias, added, to), static_cast<const Bf16 *> (x),
                        static_cast<const Bf16 *> (packed), bias, added, to);
}

template <typename D>
static SwittiKernelStatus
run_mma (SwittiKernelContext *context, const ConvShape &shape, ConvTile tile, const void *x, const void *packed,
         const float *bias, const void *residual, void *d)
{
  switch (tile)
    {
    case CONV_TILE_LARGE: return run_tile<LargeTile, D> (context, shape, x, packed, bias, residual, d);
    case CONV_TILE_WIDE: return run_tile<WideTile, D> (context, shape, x, packed, bias, residual, d);
    case CONV_TILE_MIDDLE: return run_tile<MiddleTile, D> (context, shape, x, packed, bias, residual, d);
    case CONV_TILE_SQUARE: return run_tile<SquareTile, D> (context, shape, x, packed, bias, residual, d);
    case CONV_TILE_SMALL: return run_tile<SmallTile, D> (context, shape, x, packed, bias, residual, d);
    case CONV_TILE_NARROW: return run_tile<NarrowTile, D> (context, shape, x, packed, bias, residual, d);
    case CONV_N_TILES: break;
    }
  return SWITTI_KERNEL_INVALID;
}

SwittiKernelStatus
switti_cuda_conv_mma (SwittiKernelContext *context, const ConvShape &shape, ConvTile tile, SwittiDtype d_dtype,
                      const void *x, const void *packed, const float *bias, const void *residual, void *d)
{
  if (d_dtype == SWITTI_DTYPE_BF16)
    return run_mma<Bf16> (context, shape, tile, x, packed, bias, residual, d);
  return run_mma<float> (context, shape, tile, x, packed, bias, residual, d);
}
