/* ceiling.h - what this machine's products reach at best
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-kernels.h"

/* GFLOP/s of oneDNN's best large product of `dtype` (F32 or BF16) with `n_threads` threads: the median of some runs of
 * a few shapes, the best shape; under a second. 0 where oneDNN has no product of that dtype on this processor. */
double switti_ceiling_measure (int n_threads, SwittiDtype dtype);
