/* device-memory-private.h - allocations between red zones
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <cstddef>

namespace cuda_on_host
{
constexpr size_t RED_ZONE = 256;

/* Behind an allocation, up to where the next 256 bytes begin. */
constexpr size_t
red_zone_behind (size_t bytes)
{
  return RED_ZONE + (256 - bytes % 256) % 256;
}

/* `bytes`, 256-byte aligned and filled with NaN; NULL where there is no memory. */
void *device_allocate (size_t bytes);

/* Whether `memory` was an allocation. */
bool device_release (void *memory);

/* Whether kernels that are given other memory than that of device_allocate() fail. Tests of single ops pass memory of
 * their own, with guard pages. */
void require_device_memory (bool required);

void global_bounds (const void *address, size_t bytes);
} // namespace cuda_on_host
