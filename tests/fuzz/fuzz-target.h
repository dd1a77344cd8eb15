/* fuzz-target.h - what libFuzzer, or replay.c in its place, calls
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A target calls code that reads files nobody vouches for, and aborts where that code breaks a promise.
 */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#ifdef G_DISABLE_ASSERT
#error "the fuzz targets check with g_assert()"
#endif

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
