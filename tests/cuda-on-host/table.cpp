/* table.cpp - CUDA's op table on the host, for tests
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "table-on-host.h"

#include "cuda-on-host.h"
#include "cuda-private.h"

const SwittiKernels *
switti_kernels_cuda_eager (void)
{
  cuda_on_host::set_eager (true);
  cuda_on_host::require_device_memory (false);
  return switti_kernels_cuda ();
}

const SwittiKernels *
switti_kernels_cuda_shuffled (uint64_t seed)
{
  cuda_on_host::set_eager (false);
  cuda_on_host::require_device_memory (true);
  cuda_on_host::set_seed (seed);
  return switti_kernels_cuda ();
}
