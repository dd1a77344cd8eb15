/* eager-on-host.h - CUDA's op table on the host, for tests of single ops
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

#ifdef __cplusplus
}
#endif
