/* eager.cpp - CUDA's op table on the host, for tests of single ops
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "eager-on-host.h"

#include "cuda-on-host.h"
#include "cuda-private.h"

const SwittiKernels *
switti_kernels_cuda_eager (void)
{
  cuda_on_host::set_eager (true);
  return switti_kernels_cuda ();
}
