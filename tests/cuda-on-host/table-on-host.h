/* table-on-host.h - CUDA's op table on the host, for tests
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* CUDA's table; ops are done when they return, as on the CPU. Any host memory is device memory to it. */
const SwittiKernels *switti_kernels_cuda_eager (void);

/* CUDA's table; ops are done when something waits for them, in an order that follows from the seed, and take device
 * memory alone: for tests of what is built on the table. */
const SwittiKernels *switti_kernels_cuda_shuffled (uint64_t seed);

/* From now on what is enqueued on a context's stream becomes a graph; which is launched, waited for, and freed. FALSE
 * where that fails. */
bool switti_cuda_on_host_capture (SwittiKernelContext *context);
bool switti_cuda_on_host_replay (SwittiKernelContext *context);

#ifdef __cplusplus
}
#endif
