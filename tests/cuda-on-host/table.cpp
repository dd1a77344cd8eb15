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

bool
switti_cuda_on_host_capture (SwittiKernelContext *context)
{
  return cudaStreamBeginCapture (static_cast<cudaStream_t> (switti_cuda_native_stream (context)),
                                 cudaStreamCaptureModeGlobal)
         == cudaSuccess;
}

bool
switti_cuda_on_host_replay (SwittiKernelContext *context)
{
  cudaStream_t stream = static_cast<cudaStream_t> (switti_cuda_native_stream (context));
  cudaGraph_t graph;
  cudaGraphExec_t executable;

  if (cudaStreamEndCapture (stream, &graph) != cudaSuccess)
    return false;
  const bool launched = cudaGraphInstantiate (&executable, graph, 0) == cudaSuccess
                        && cudaGraphLaunch (executable, stream) == cudaSuccess
                        && cudaStreamSynchronize (stream) == cudaSuccess;
  cudaGraphDestroy (graph);
  if (launched)
    cudaGraphExecDestroy (executable);
  return launched;
}

void
switti_cuda_on_host_set_seed (uint64_t seed)
{
  cuda_on_host::set_seed (seed);
}

void
switti_cuda_on_host_fail_call (int64_t call, bool out_of_memory)
{
  cuda_on_host::fail_call (call, out_of_memory ? cudaErrorMemoryAllocation : cudaErrorLaunchFailure);
}

const char *
switti_cuda_on_host_failed_call (void)
{
  return cuda_on_host::last_failed_call ();
}

int64_t
switti_cuda_on_host_n_calls (void)
{
  return cuda_on_host::n_calls ();
}

size_t
switti_cuda_on_host_allocated (void)
{
  return cuda_on_host::allocated_device_memory ();
}

size_t
switti_cuda_on_host_n_objects (void)
{
  return cuda_on_host::live_objects ();
}

void
switti_cuda_on_host_set_memory (size_t bytes)
{
  cuda_on_host::set_device_memory (bytes);
}

void
switti_cuda_on_host_set_dry (bool dry)
{
  cuda_on_host::set_dry (dry);
}

size_t
switti_cuda_on_host_n_strays (void)
{
  return cuda_on_host::strays ();
}
