/* philox-private.h - the counter-based random numbers of the sampler
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Philox 4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The same
 * numbers as on the CPU; the logarithms differ in their last bits.
 */
#pragma once

#include "device-private.h"

__device__ __forceinline__ uint4
philox (uint4 counter, uint32_t key0, uint32_t key1)
{
#pragma unroll
  for (int round = 0; round < 10; round++)
    {
      const uint32_t low_a = counter.x * 0xd2511f53u, high_a = __umulhi (counter.x, 0xd2511f53u);
      const uint32_t low_c = counter.z * 0xcd9e8d57u, high_c = __umulhi (counter.z, 0xcd9e8d57u);
      counter = uint4{ high_c ^ counter.y ^ key0, low_c, high_a ^ counter.w ^ key1, low_a };
      key0 += 0x9e3779b9u;
      key1 += 0xbb67ae85u;
    }
  return counter;
}

/* -log (-log u), u = (word >> 8 + 0.5) * 2^-24. Near 1, u is not a float32 but 1 - u is, so that half of the range
 * takes its logarithm from there. */
__device__ __forceinline__ float
gumbel (uint32_t word)
{
  const uint32_t draw = word >> 8;

  if (draw < 0x800000u)
    return -logf (-logf (((float) draw + 0.5f) * 0x1p-24f));
  return -logf (-log1pf (-((float) (0x1000000u - draw) - 0.5f) * 0x1p-24f));
}
