/* philox-private.h - the counter-based random numbers of the sampler
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Philox 4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 * No state: the number for (seed, scale, position, code) can be had at any time, on any device, by any thread.
 */
#pragma once

#include "math-private.h"

typedef struct
{
  uint32_t word[4];
} SwittiPhiloxBlock;

SWITTI_INLINE SwittiPhiloxBlock
switti_philox (SwittiPhiloxBlock counter, uint32_t key0, uint32_t key1)
{
  uint32_t a = counter.word[0], b = counter.word[1], c = counter.word[2], d = counter.word[3];
  for (int round = 0; round < 10; round++)
    {
      const uint64_t product_a = (uint64_t) a * 0xd2511f53u;
      const uint64_t product_c = (uint64_t) c * 0xcd9e8d57u;
      a = (uint32_t) (product_c >> 32) ^ b ^ key0;
      b = (uint32_t) product_c;
      c = (uint32_t) (product_a >> 32) ^ d ^ key1;
      d = (uint32_t) product_a;
      key0 += 0x9e3779b9u;
      key1 += 0xbb67ae85u;
    }
  return (SwittiPhiloxBlock){ { a, b, c, d } };
}

/* -log (-log u), u = (word >> 8 + 0.5) * 2^-24. Near 1, u is not a float32 but 1 - u is, so that half of the range
 * takes its logarithm from there: the largest draws are as accurate as the smallest. */
SWITTI_INLINE float
switti_gumbel (uint32_t word)
{
  const uint32_t draw = word >> 8;
  const bool upper = draw >= 0x800000u;
  const float u = ((float) (int32_t) (upper ? 0x800000u : draw) + 0.5f) * 0x1p-24f;
  const float rest = ((float) (int32_t) (0x1000000u - (upper ? draw : 0x800000u)) - 0.5f) * 0x1p-24f;
  /* 1 - rest is in [1/2, 1): doubled where it is below sqrt 1/2. */
  const bool doubled = rest > 0.29289323f;
  const float upper_log = switti_log_of_parts (doubled ? 1.0f - 2.0f * rest : -rest, doubled ? -1.0f : 0.0f);
  return -switti_log (-(upper ? upper_log : switti_log (u)));
}
