/* stream.cu - streams and their staging memory, events, graphs
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A stream is made when it is first selected. Each has pinned buffers of its own: what one stream still reads another
 * must not overwrite.
 */
#include "runtime-private.h"

#include <cstring>
#include <new>

struct SwittiKernelEvent
{
  cudaEvent_t event;
};

struct SwittiKernelGraph
{
  cudaGraphExec_t executable;
  SwittiKernelLaunches launches; /* in one replay */
};

/* -- streams ---------------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
open_stream (SwittiKernelContext *context, SwittiCudaStream *self)
{
  SwittiKernelStatus status;

  status = switti_cuda_check (context, cudaStreamCreateWithFlags (&self->stream, cudaStreamNonBlocking),
                              "making a stream");
  for (int i = 0; i < 2 && status == SWITTI_KERNEL_OK; i++)
    {
      status = switti_cuda_check (context, cudaMallocHost (&self->staging[i], STAGING_BYTES), "pinned memory");
      if (status == SWITTI_KERNEL_OK)
        status = switti_cuda_check (context, cudaEventCreateWithFlags (&self->staged[i], cudaEventDisableTiming),
                                    "making an event");
    }
  return status;
}

static void
close_stream (SwittiCudaStream *self)
{
  if (self->stream != NULL)
    cudaStreamSynchronize (self->stream);
  for (int i = 0; i < 2; i++)
    {
      if (self->staged[i] != NULL)
        cudaEventDestroy (self->staged[i]);
      if (self->staging[i] != NULL)
        cudaFreeHost (self->staging[i]);
    }
  if (self->stream != NULL)
    cudaStreamDestroy (self->stream);
  *self = SwittiCudaStream{};
}

SwittiKernelStatus
switti_cuda_select_stream (SwittiKernelContext *context, SwittiKernelStream stream)
{
  SwittiCudaRuntime *runtime = context->runtime;
  SwittiKernelStatus status = switti_cuda_enter (context, "select_stream");
  SwittiCudaStream *selected;

  if (stream < SWITTI_STREAM_MAIN || stream >= SWITTI_N_STREAMS)
    return switti_cuda_fail (context, SWITTI_KERNEL_INVALID, "there is no stream %d", (int) stream);
  selected = &runtime->streams[stream];
  if (status == SWITTI_KERNEL_OK && selected->stream == NULL)
    {
      status = open_stream (context, selected);
      if (status != SWITTI_KERNEL_OK)
        close_stream (selected);
    }
  if (status != SWITTI_KERNEL_OK)
    return status;
  runtime->selected = stream;
  runtime->stream = selected->stream;
  return SWITTI_KERNEL_OK;
}

void
switti_cuda_close_streams (SwittiCudaRuntime *runtime)
{
  for (SwittiCudaStream &stream : runtime->streams)
    close_stream (&stream);
}

SwittiKernelStatus
switti_cuda_synchronize (SwittiKernelContext *context)
{
  SwittiKernelStatus status = switti_cuda_refuse_recording (context, "synchronize");

  for (const SwittiCudaStream &stream : context->runtime->streams)
    if (status == SWITTI_KERNEL_OK && stream.stream != NULL)
      status = switti_cuda_check (context, cudaStreamSynchronize (stream.stream), "waiting for the device");
  return status;
}

/* -- events ----------------------------------------------------------------------------------------------------- */

SwittiKernelStatus
switti_cuda_event_new (SwittiKernelContext *context, SwittiKernelEvent **event)
{
  SwittiKernelEvent *self = new (std::nothrow) SwittiKernelEvent{};
  SwittiKernelStatus status;

  *event = NULL;
  if (self == NULL)
    return switti_cuda_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "an event: no host memory");
  status = switti_cuda_check (context, cudaEventCreateWithFlags (&self->event, cudaEventDisableTiming),
                              "making an event");
  if (status == SWITTI_KERNEL_OK)
    *event = self;
  else
    delete self;
  return status;
}

void
switti_cuda_event_free (SwittiKernelContext *, SwittiKernelEvent *event)
{
  if (event == NULL)
    return;
  cudaEventDestroy (event->event);
  delete event;
}

SwittiKernelStatus
switti_cuda_event_record (SwittiKernelContext *context, SwittiKernelEvent *event)
{
  SwittiKernelStatus status = switti_cuda_refuse_recording (context, "event_record");

  return status != SWITTI_KERNEL_OK
             ? status
             : switti_cuda_check (context, cudaEventRecord (event->event, context->runtime->stream),
                                  "recording an event");
}

SwittiKernelStatus
switti_cuda_event_wait (SwittiKernelContext *context, SwittiKernelEvent *event)
{
  SwittiKernelStatus status = switti_cuda_refuse_recording (context, "event_wait");

  return status != SWITTI_KERNEL_OK
             ? status
             : switti_cuda_check (context, cudaStreamWaitEvent (context->runtime->stream, event->event, 0),
                                  "waiting for an event");
}

SwittiKernelStatus
switti_cuda_event_synchronize (SwittiKernelContext *context, SwittiKernelEvent *event)
{
  SwittiKernelStatus status = switti_cuda_refuse_recording (context, "event_synchronize");

  return status != SWITTI_KERNEL_OK
             ? status
             : switti_cuda_check (context, cudaEventSynchronize (event->event), "waiting for an event");
}

/* -- graphs ----------------------------------------------------------------------------------------------------- */

SwittiKernelStatus
switti_cuda_refuse_recording (SwittiKernelContext *context, const char *what)
{
  if (!context->runtime->recording)
    return SWITTI_KERNEL_OK;
  return switti_cuda_fail (context, SWITTI_KERNEL_INVALID, "%s: not while a graph is recorded", what);
}

SwittiKernelStatus
switti_cuda_enter (SwittiKernelContext *context, const char *what)
{
  SwittiKernelStatus status = switti_cuda_refuse_recording (context, what);

  return status != SWITTI_KERNEL_OK ? status
                                    : switti_cuda_check (context, cudaSetDevice (context->runtime->device), what);
}

bool
switti_cuda_wants_graphs (SwittiKernelContext *context)
{
  return !context->profile_enabled;
}

SwittiKernelStatus
switti_cuda_graph_begin (SwittiKernelContext *context)
{
  SwittiCudaRuntime *runtime = context->runtime;
  SwittiKernelStatus status = switti_cuda_refuse_recording (context, "graph_begin");

  if (status != SWITTI_KERNEL_OK)
    return status;
  if (context->profile_enabled)
    return switti_cuda_fail (context, SWITTI_KERNEL_INVALID, "graph_begin: not while a profile is kept");
  status = switti_cuda_check (context, cudaStreamBeginCapture (runtime->stream, cudaStreamCaptureModeThreadLocal),
                              "recording a graph");
  if (status != SWITTI_KERNEL_OK)
    return status;
  runtime->recording = true;
  runtime->before_recording = context->launches;
  return SWITTI_KERNEL_OK;
}

/* What was recorded beside the launches that were counted. */
static SwittiKernelStatus
count_others (SwittiKernelContext *context, cudaGraph_t captured, SwittiKernelLaunches *launches)
{
  size_t n_nodes = 0;
  const SwittiKernelStatus status
      = switti_cuda_check (context, cudaGraphGetNodes (captured, NULL, &n_nodes), "looking at a graph");

  if (n_nodes > launches->kernels + launches->products)
    launches->others = n_nodes - launches->kernels - launches->products;
  return status;
}

static SwittiKernelStatus
instantiate (SwittiKernelContext *context, cudaGraph_t captured, const SwittiKernelLaunches *launches,
             SwittiKernelGraph **graph)
{
  SwittiKernelGraph *self = new (std::nothrow) SwittiKernelGraph{};
  SwittiKernelStatus status;

  if (self == NULL)
    return switti_cuda_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "a graph: no host memory");
  self->launches = *launches;
  status = count_others (context, captured, &self->launches);
  if (status == SWITTI_KERNEL_OK)
    status = switti_cuda_check (context, cudaGraphInstantiate (&self->executable, captured, 0), "making a graph");
  if (status == SWITTI_KERNEL_OK)
    *graph = self;
  else
    delete self;
  return status;
}

SwittiKernelStatus
switti_cuda_graph_end (SwittiKernelContext *context, SwittiKernelGraph **graph)
{
  SwittiCudaRuntime *runtime = context->runtime;
  const SwittiKernelLaunches now = context->launches, before = runtime->before_recording;
  const SwittiKernelLaunches recorded = { now.kernels - before.kernels, now.products - before.products, 0, 0 };
  cudaGraph_t captured = NULL;
  SwittiKernelStatus status;

  if (graph != NULL)
    *graph = NULL;
  if (!runtime->recording)
    return switti_cuda_fail (context, SWITTI_KERNEL_INVALID, "graph_end: nothing is recorded");
  runtime->recording = false;
  context->launches = before;
  status = switti_cuda_check (context, cudaStreamEndCapture (runtime->stream, &captured), "recording a graph");
  if (status == SWITTI_KERNEL_OK && graph != NULL)
    status = instantiate (context, captured, &recorded, graph);
  if (captured != NULL)
    cudaGraphDestroy (captured);
  return status;
}

SwittiKernelStatus
switti_cuda_graph_launch (SwittiKernelContext *context, const SwittiKernelGraph *graph)
{
  SwittiKernelStatus status = switti_cuda_refuse_recording (context, "graph_launch");

  if (status == SWITTI_KERNEL_OK)
    status = switti_cuda_check (context, cudaGraphLaunch (graph->executable, context->runtime->stream),
                                "launching a graph");
  if (status != SWITTI_KERNEL_OK)
    return status;
  context->launches.kernels += graph->launches.kernels;
  context->launches.products += graph->launches.products;
  context->launches.others += graph->launches.others;
  context->launches.graphs++;
  return SWITTI_KERNEL_OK;
}

void
switti_cuda_graph_free (SwittiKernelContext *, SwittiKernelGraph *graph)
{
  if (graph == NULL)
    return;
  cudaGraphExecDestroy (graph->executable);
  delete graph;
}

void
switti_cuda_count_launches (SwittiKernelContext *context, SwittiKernelLaunches *launches)
{
  *launches = context->launches;
}
