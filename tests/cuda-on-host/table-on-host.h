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

/* The same, but convolutions, group norms and attention are the CPU's, enqueued as launches are. */
const SwittiKernels *switti_kernels_cuda_quick (uint64_t seed);

/* -- what the runtime below the table does: for tests of errors and of the order of things --------------------- */

/* The order of threads, and of what streams and graphs leave open, from now on. */
void switti_cuda_on_host_set_seed (uint64_t seed);

/* The call'th call of the runtime from now on (0 for the next) that can fail does: it says that there is no memory, or
 * that the device failed. -1: none does. */
void switti_cuda_on_host_fail_call (int64_t call, bool out_of_memory);
/* The function of the runtime that was made to fail; "" where none has been since. */
const char *switti_cuda_on_host_failed_call (void);
/* Calls so far that can fail. */
int64_t switti_cuda_on_host_n_calls (void);

/* Bytes of device memory in use; and streams, events, graphs and pinned buffers. */
size_t switti_cuda_on_host_allocated (void);
size_t switti_cuda_on_host_n_objects (void);
/* Launches and copies so far by threads that had chosen no device. */
size_t switti_cuda_on_host_n_strays (void);
/* What the device has, 8 GiB at first. */
void switti_cuda_on_host_set_memory (size_t bytes);

/* Whether kernels do nothing, which leaves the calls of the runtime as they are. */
void switti_cuda_on_host_set_dry (bool dry);

#ifdef __cplusplus
}
#endif
