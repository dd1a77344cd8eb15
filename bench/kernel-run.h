/* kernel-run.h - times the op calls of a list on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "kernel-list.h"
#include "switti-device-private.h"

G_BEGIN_DECLS

/* A kernel's time on a device; what the op table counted while it ran. */
typedef struct
{
  double seconds; /* median; by the device's own clock: events on CUDA */
  int n_runs;
  double flop, bytes;
  gboolean by_library; /* which the device has chosen in place of its own kernel */
} BenchTime;

/* Runs it once, and then for `least_seconds` and three times at least. FALSE with SWITTI_ERROR_OUT_OF_MEMORY where its
 * operands do not fit, with SWITTI_ERROR_UNSUPPORTED where the device has no such op. */
gboolean bench_kernel_time (const BenchKernel *kernel, SwittiDevice *device, double least_seconds, BenchTime *time,
                            GError **error);

/* GB/s that a copy of 256 MiB of device memory reads and writes; the median of some runs. 0 where it cannot be had. */
double bench_measure_copy (SwittiDevice *device);
/* GFLOP/s of the best large product, which shares are taken of: oneDNN's own on a processor (ceiling.h), the device's
 * own on a GPU. 0 where there is none. */
double bench_measure_product (SwittiDevice *device, SwittiDtype dtype);

G_END_DECLS
