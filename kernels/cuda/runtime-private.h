/* runtime-private.h - a context's streams, staging memory and events; and how ops launch kernels
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "cuda-private.h"
#include "portable-private.h"

#include <vector>

/* Bytes of one of a stream's two pinned buffers, which uploads and downloads go through. */
#define STAGING_BYTES ((size_t) 8 << 20)

/* Of the blocks of a reduction that has no scratch memory of its own. */
#define PARTIAL_SUMS 1024

/* What profile_stop() leaves for profile_read(): events[start] and the one after. */
struct SwittiCudaTiming
{
  SwittiKernelOp op;
  size_t start;
};

struct SwittiCudaProducts;
struct SwittiCudnn;

/* All NULL until it is selected for the first time. */
struct SwittiCudaStream
{
  cudaStream_t stream;
  void *staging[2];
  cudaEvent_t staged[2]; /* when a buffer is free again */
};

struct SwittiCudaRuntime
{
  int device;
  int n_processors; /* multiprocessors */
  SwittiCudaStream streams[SWITTI_N_STREAMS];
  SwittiKernelStream selected;
  cudaStream_t stream; /* the selected one's, which ops go to */
  bool recording;      /* between graph_begin() and graph_end() */
  SwittiKernelLaunches before_recording;
  double *partial_sums; /* device memory (PARTIAL_SUMS), for one op at a time */
  SwittiCudaProducts *products; /* products-private.h */
  SwittiCudnn *cudnn;           /* cudnn-private.h; NULL where there is none */
  std::vector<cudaEvent_t> events;
  std::vector<SwittiCudaTiming> timings;
  size_t n_events; /* in use */
};

/* INVALID, with words, while a graph is recorded; OK otherwise. */
SwittiKernelStatus switti_cuda_refuse_recording (SwittiKernelContext *context, const char *what);

/* The same, and makes the context's device that of the calling thread: CUDA keeps one for each thread, device 0 at
 * first. What a thread may begin with calls this: memory, transfers, streams. */
SwittiKernelStatus switti_cuda_enter (SwittiKernelContext *context, const char *what);

/* Waits for all streams and frees them. */
void switti_cuda_close_streams (SwittiCudaRuntime *runtime);

/* OK for cudaSuccess; else puts "<what>: <CUDA's words>" and returns what the error means. */
SwittiKernelStatus switti_cuda_check (SwittiKernelContext *context, cudaError_t error, const char *what);

/* Blocks of `size` that cover `count`; a grid's x goes to 2^31 - 1, which callers have checked by is_launchable(). */
static inline int64_t
blocks_for (int64_t count, int64_t size)
{
  return (count + size - 1) / size;
}

static inline bool
is_launchable (int64_t blocks)
{
  return blocks >= 1 && blocks <= INT32_MAX;
}

/* Enqueues a kernel on the selected stream; a status. A kernel with template arguments is put in parentheses. */
#define SWITTI_LAUNCH(context, kernel, grid, block, shared_bytes, ...) \
  ((context)->launches.kernels++, \
   switti_cuda_check ((context), \
                      launch_kernel (#kernel, kernel, grid, block, shared_bytes, (context)->runtime->stream, \
                                     __VA_ARGS__), \
                      #kernel))
