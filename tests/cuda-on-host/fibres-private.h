/* fibres-private.h - what the runner's files share
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "cuda-on-host.h"

#include <string>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define ON_HOST_ASAN 1
#else
#define ON_HOST_ASAN 0
#endif

namespace cuda_on_host
{
constexpr int MAX_THREADS = 1024;

/* Counts the barriers that the running block has passed, and those of the current thread's warp: what is ordered. */
uint32_t block_epoch ();
uint32_t warp_epoch (int warp);

/* The running kernel, "" outside. */
const char *kernel_name ();

/* Ends a launch from outside of its threads: the words are kept or printed as with fail(). */
void report (const std::string &words);

/* -- memory.cpp ------------------------------------------------------------------------------------------------ */
void memory_begin_block (size_t dynamic_bytes, uint64_t n_blocks);
/* A thread ends: it must have waited for its copies. */
void memory_end_thread ();
/* The canaries beside each allocation; false after reporting one that was overwritten. */
bool memory_check_canaries ();
} // namespace cuda_on_host
