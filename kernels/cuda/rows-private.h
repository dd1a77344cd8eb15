/* rows-private.h - kernels that give a block one row, and keep it in registers
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "device-private.h"

/* A row of up to THREADS * LANES * LANE elements: thread t has elements LANE * (t + THREADS * i) and the next three. */
template <int THREADS, int LANES, bool VECTOR> struct RowShape
{
  static constexpr int threads = THREADS;
  static constexpr int lanes = LANES;
  static constexpr bool vector = VECTOR;
};

/* Element 0 of lane i of the calling thread. */
template <typename Shape>
__device__ __forceinline__ int
lane_start (int i)
{
  return LANE * ((int) threadIdx.x + Shape::threads * i);
}

/* The longest row that any shape takes. */
#define MAX_ROW 16384

/* Calls `launch` with the smallest shape for rows of `width`, all of whose operands are vectors or not. */
template <typename Launch>
inline SwittiKernelStatus
with_row_shape (int64_t width, bool vector, Launch launch)
{
  if (width <= 128 * 4 * LANE)
    return vector ? launch (RowShape<128, 4, true>{}) : launch (RowShape<128, 4, false>{});
  return vector ? launch (RowShape<1024, 4, true>{}) : launch (RowShape<1024, 4, false>{});
}
