/* runtime-on-host.h - the part of CUDA's runtime API that kernels/cuda/ uses
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Work is recorded when it is enqueued and done when something waits for it, or now and then before, in an order drawn
 * at random from those that streams and events allow. A captured graph keeps its nodes' dependencies and is replayed
 * in such an order, too. So a missing dependency shows, and host memory that is freed too early is found by ASan.
 */
#pragma once

#include <tuple>

enum cudaError_t
{
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureUnjoined = 904,
};

enum cudaMemcpyKind
{
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
};

enum cudaStreamCaptureMode
{
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
};

enum cudaStreamCaptureStatus
{
  cudaStreamCaptureStatusNone = 0,
  cudaStreamCaptureStatusActive = 1,
};

constexpr unsigned int cudaStreamNonBlocking = 1;
constexpr unsigned int cudaEventDefault = 0;
constexpr unsigned int cudaEventDisableTiming = 2;

struct cudaDeviceProp
{
  char name[256];
  size_t totalGlobalMem;
  int major, minor;
  int multiProcessorCount;
};

typedef struct OnHostStream *cudaStream_t;
typedef struct OnHostEvent *cudaEvent_t;
typedef struct OnHostGraph *cudaGraph_t;
typedef struct OnHostGraph *cudaGraphExec_t;

const char *cudaGetErrorString (cudaError_t error);
cudaError_t cudaGetLastError ();
cudaError_t cudaGetDeviceCount (int *count);
cudaError_t cudaSetDevice (int device);
cudaError_t cudaGetDeviceProperties (cudaDeviceProp *properties, int device);
cudaError_t cudaMemGetInfo (size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaMalloc (void **memory, size_t bytes);
cudaError_t cudaFree (void *memory);
cudaError_t cudaMallocHost (void **memory, size_t bytes);
cudaError_t cudaFreeHost (void *memory);
cudaError_t cudaMemcpyAsync (void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync (void *to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags (cudaStream_t *stream, unsigned int flags);
cudaError_t cudaStreamDestroy (cudaStream_t stream);
cudaError_t cudaStreamSynchronize (cudaStream_t stream);
cudaError_t cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned int flags);
cudaError_t cudaEventCreateWithFlags (cudaEvent_t *event, unsigned int flags);
cudaError_t cudaEventDestroy (cudaEvent_t event);
cudaError_t cudaEventRecord (cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize (cudaEvent_t event);
cudaError_t cudaEventElapsedTime (float *milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaStreamBeginCapture (cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamIsCapturing (cudaStream_t stream, cudaStreamCaptureStatus *status);
cudaError_t cudaStreamEndCapture (cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate (cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch (cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy (cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy (cudaGraphExec_t executable);
cudaError_t cudaGraphGetNodes (cudaGraph_t graph, void *nodes, size_t *n_nodes);
cudaError_t cudaDeviceSynchronize ();

namespace cuda_on_host
{
/* Work for a stream, or a node of the graph that is captured from it; FALSE ends it with cudaErrorLaunchFailure. */
cudaError_t enqueue (cudaStream_t stream, std::function<bool ()> work);

/* Does all that is enqueued; no call that can fail. */
void finish_all ();

/* Whether work is done as it is enqueued, as on the CPU: tests of single ops look at their results at once. */
void set_eager (bool eager);

/* -- for tests ------------------------------------------------------------------------------------------------- */
void require_device_memory (bool required);

/* Events take their time from a clock that stands still but for what the work in between adds: a millisecond for a
 * launch, and what advance_clock() says. */
void simulate_clock (bool simulated);
void advance_clock (double milliseconds);

/* Bytes of the device; an allocation past them fails. */
void set_device_memory (size_t bytes);
size_t allocated_device_memory ();

/* Streams, events, graphs and pinned buffers that have not been destroyed. */
size_t live_objects ();

/* Kernels are enqueued and keep their places in the order, but do nothing: for tests that go through every call. */
void set_dry (bool dry);
bool is_dry ();

/* What was enqueued by threads that had not chosen a device: CUDA would take it to device 0. */
size_t strays ();

/* No device at all: what a machine without a driver answers. */
void set_driver (bool present);

/* The call'th call from now on (0 for the next) that can fail does, with `error`; -1 for none. */
void fail_call (int64_t call, cudaError_t error);
/* The function that was made to fail; "" where none has been since. */
const char *last_failed_call ();
/* Calls so far that can fail. */
int64_t n_calls ();
} // namespace cuda_on_host

/* kernel<<<grid, block, shared_bytes, stream>>> (arguments...) */
template <typename... Parameters, typename... Arguments>
cudaError_t
launch_kernel (const char *name, void (*kernel) (Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
               cudaStream_t stream, Arguments... arguments)
{
  const std::tuple<Parameters...> values (arguments...);
  return cuda_on_host::enqueue (stream, [=] {
    cuda_on_host::advance_clock (1.0);
    return cuda_on_host::is_dry ()
           || cuda_on_host::run_grid (name, grid, block, shared_bytes, [&] { std::apply (kernel, values); });
  });
}
