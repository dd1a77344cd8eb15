/* map-private.h - kernels whose threads make four neighbouring elements of a row each
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What an element is made of is the op's functor. Where rows have no meaning, the call is one row, cut into rows of
 * FLAT_ROW elements.
 */
#pragma once

#include "device-private.h"
#include "runtime-private.h"

#define MAP_THREADS 256
#define MAP_ELEMENTS (MAP_THREADS * LANE)

/* functor.at<VECTOR> (row, j, width): makes elements j to j + 3 of a row, as far as it goes. */
template <bool VECTOR, typename Functor>
__global__ void __launch_bounds__ (MAP_THREADS)
map_rows (int width, int blocks_per_row, Functor functor)
{
  const int64_t row = blockIdx.x / (unsigned int) blocks_per_row;
  const int part = (int) (blockIdx.x % (unsigned int) blocks_per_row);
  const int j = part * MAP_ELEMENTS + (int) threadIdx.x * LANE;

  if (j < width)
    functor.template at<VECTOR> (row, j, width);
}

template <typename Functor>
inline SwittiKernelStatus
map (SwittiKernelContext *context, int64_t rows, int64_t width, bool vector, const Functor &functor)
{
  const int64_t blocks_per_row = blocks_for (width, MAP_ELEMENTS);

  if (width > INT32_MAX - MAP_ELEMENTS || !is_launchable (blocks_per_row) || !is_launchable (rows)
      || !is_launchable (rows * blocks_per_row))
    return SWITTI_KERNEL_INVALID;
  const dim3 grid ((unsigned int) (rows * blocks_per_row)), block (MAP_THREADS);
  if (vector)
    return SWITTI_LAUNCH (context, (map_rows<true, Functor>), grid, block, 0, (int) width, (int) blocks_per_row,
                          functor);
  return SWITTI_LAUNCH (context, (map_rows<false, Functor>), grid, block, 0, (int) width, (int) blocks_per_row,
                        functor);
}

/* `count` elements without rows: as rows of this length, the last of which is shorter. */
#define FLAT_ROW ((int64_t) 1 << 20)

/* A functor over a flat array, seen by map_rows() as rows. */
template <typename Functor> struct Flat
{
  int64_t count;
  Functor functor;

  template <bool VECTOR>
  __device__ void
  at (int64_t row, int j, int) const
  {
    const int64_t start = row * FLAT_ROW, left = count - start;
    if (j < left)
      functor.template at<VECTOR> (start, j, left < FLAT_ROW ? (int) left : (int) FLAT_ROW);
  }
};

/* Vectors take whole groups of four: `vector` must say that count is a multiple. */
template <typename Functor>
inline SwittiKernelStatus
map_flat (SwittiKernelContext *context, int64_t count, bool vector, const Functor &functor)
{
  return map (context, blocks_for (count, FLAT_ROW), count < FLAT_ROW ? count : FLAT_ROW, vector,
              Flat<Functor>{ count, functor });
}
