/* runtime.cpp - streams, events, graphs and device memory on the host
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "device-memory-private.h"
#include "fibres-private.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

using cuda_on_host::random_below;

/* One thing to do. A stream's are done in their order; `after` must be done before, whichever stream they are in. */
struct Operation
{
  uint64_t id;
  std::function<bool ()> work;
  std::vector<uint64_t> after;
};

/* A node of a graph, which is done after those of lower number that it names. */
struct Node
{
  std::function<bool ()> work;
  std::vector<size_t> after;
};

struct OnHostGraph
{
  std::vector<Node> nodes;
};

struct OnHostStream
{
  std::deque<Operation> queue;
  OnHostGraph *capture;           /* the graph that is being captured from it */
  std::vector<size_t> frontier;   /* nodes that the next one comes after */
};

struct OnHostEvent
{
  bool timing, recorded;
  uint64_t id;                  /* of the operation that records it; 0: done, or never recorded */
  OnHostGraph *capture;
  std::vector<size_t> frontier; /* where it was recorded in a capture */
  std::shared_ptr<double> time; /* when it was reached, milliseconds */
};

namespace
{
std::recursive_mutex lock;
std::set<OnHostStream *> streams;
std::set<uint64_t> outstanding; /* operations not done */
uint64_t last_id;
OnHostStream *capturing;
cudaError_t sticky = cudaSuccess; /* of work that failed: the context is lost, as on a GPU */
bool driver = true, eager_work, dry;
size_t objects;
size_t device_bytes = (size_t) 8 << 30, allocated_bytes;
std::map<void *, size_t> sizes;
bool clock_is_simulated;
double simulated_milliseconds;
int64_t failing_call = -1, calls;
cudaError_t failing_error;
thread_local bool has_device; /* whether this thread has chosen one */
size_t n_strays;
const char *failed_call = ""; /* the name of the one that was made to fail */

using Lock = std::lock_guard<std::recursive_mutex>;

/* At the start of every call that can fail. */
cudaError_t
begin_call (const char *name)
{
  calls++;
  if (failing_call >= 0 && failing_call-- == 0)
    {
      failed_call = name;
      return failing_error;
    }
  if (!driver)
    return cudaErrorInsufficientDriver;
  return sticky;
}

#define BEGIN_CALL() \
  Lock locked (lock); \
  if (const cudaError_t begun = begin_call (__func__); begun != cudaSuccess) \
    return begun

bool
is_ready (const OnHostStream *stream)
{
  if (stream->queue.empty ())
    return false;
  const std::vector<uint64_t> &after = stream->queue.front ().after;
  return std::none_of (after.begin (), after.end (), [] (uint64_t id) { return outstanding.count (id) != 0; });
}

/* Does one thing that is ready, of any stream; FALSE where nothing is. */
bool
step ()
{
  std::vector<OnHostStream *> ready;
  std::copy_if (streams.begin (), streams.end (), std::back_inserter (ready), is_ready);
  if (ready.empty ())
    return false;
  OnHostStream *stream = ready[random_below ((uint32_t) ready.size ())];
  Operation operation = std::move (stream->queue.front ());
  stream->queue.pop_front ();
  outstanding.erase (operation.id);
  if (sticky == cudaSuccess && operation.work && !operation.work ())
    sticky = cudaErrorLaunchFailure;
  return true;
}

cudaError_t
finish (const std::function<bool ()> &is_done)
{
  while (!is_done ())
    if (!step ())
      {
        cuda_on_host::report ("streams wait for each other");
        return cudaErrorLaunchFailure;
      }
  return sticky;
}

uint64_t
append (OnHostStream *stream, std::function<bool ()> work, std::vector<uint64_t> after)
{
  const uint64_t id = ++last_id;
  outstanding.insert (id);
  stream->queue.push_back (Operation{ id, std::move (work), std::move (after) });
  /* A GPU may be quick, too. */
  for (uint32_t n = random_below (4) == 0 ? random_below (4) : 0; n > 0; n--)
    step ();
  return id;
}

bool
run_graph (const OnHostGraph *graph)
{
  std::vector<bool> done (graph->nodes.size (), false);
  for (size_t n = 0; n < graph->nodes.size (); n++)
    {
      std::vector<size_t> ready;
      for (size_t i = 0; i < graph->nodes.size (); i++)
        {
          const std::vector<size_t> &after = graph->nodes[i].after;
          if (!done[i] && std::all_of (after.begin (), after.end (), [&] (size_t j) { return done[j]; }))
            ready.push_back (i);
        }
      const size_t pick = ready[random_below ((uint32_t) ready.size ())];
      if (!graph->nodes[pick].work ())
        return false;
      done[pick] = true;
    }
  return true;
}

double
now_milliseconds ()
{
  if (clock_is_simulated)
    return simulated_milliseconds;
  return std::chrono::duration<double, std::milli> (std::chrono::steady_clock::now ().time_since_epoch ()).count ();
}
} // namespace

namespace cuda_on_host
{
cudaError_t
enqueue (cudaStream_t stream, std::function<bool ()> work)
{
  BEGIN_CALL ();
  n_strays += !has_device;
  if (stream == nullptr || streams.count (stream) == 0)
    return cudaErrorInvalidResourceHandle;
  if (stream->capture != nullptr)
    {
      stream->capture->nodes.push_back (Node{ std::move (work), stream->frontier });
      stream->frontier.assign (1, stream->capture->nodes.size () - 1);
      return cudaSuccess;
    }
  append (stream, std::move (work), {});
  return eager_work ? finish ([=] { return stream->queue.empty (); }) : cudaSuccess;
}

void
finish_all ()
{
  Lock locked (lock);
  finish ([] { return outstanding.empty (); });
}

void
set_eager (bool eager)
{
  eager_work = eager;
}

void
simulate_clock (bool simulated)
{
  clock_is_simulated = simulated;
}

void
advance_clock (double milliseconds)
{
  simulated_milliseconds += milliseconds;
}

void
set_device_memory (size_t bytes)
{
  device_bytes = bytes;
}

size_t
strays ()
{
  return n_strays;
}

size_t
live_objects ()
{
  return objects;
}

void
set_dry (bool now_dry)
{
  dry = now_dry;
}

bool
is_dry ()
{
  return dry;
}

size_t
allocated_device_memory ()
{
  return allocated_bytes;
}

void
set_driver (bool present)
{
  driver = present;
}

void
fail_call (int64_t call, cudaError_t error)
{
  failing_call = call;
  failing_error = error;
  failed_call = "";
  if (call < 0)
    sticky = cudaSuccess;
}

const char *
last_failed_call ()
{
  return failed_call;
}

int64_t
n_calls ()
{
  return calls;
}
} // namespace cuda_on_host

const char *
cudaGetErrorString (cudaError_t error)
{
  switch (error)
    {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    default: return "invalid argument";
    }
}

cudaError_t
cudaGetLastError ()
{
  return sticky;
}

cudaError_t
cudaGetDeviceCount (int *count)
{
  *count = 0;
  BEGIN_CALL ();
  *count = 1;
  return cudaSuccess;
}

cudaError_t
cudaSetDevice (int device)
{
  BEGIN_CALL ();
  if (device != 0)
    return cudaErrorInvalidDevice;
  has_device = true;
  return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties (cudaDeviceProp *properties, int device)
{
  BEGIN_CALL ();
  if (device != 0)
    return cudaErrorInvalidDevice;
  *properties = cudaDeviceProp{ "host CUDA", device_bytes, 8, 0, 4 };
  return cudaSuccess;
}

cudaError_t
cudaMemGetInfo (size_t *free_bytes, size_t *total_bytes)
{
  BEGIN_CALL ();
  *free_bytes = device_bytes > allocated_bytes ? device_bytes - allocated_bytes : 0;
  *total_bytes = device_bytes;
  return cudaSuccess;
}

/* -- memory ---------------------------------------------------------------------------------------------------- */

cudaError_t
cudaMalloc (void **memory, size_t bytes)
{
  *memory = nullptr;
  BEGIN_CALL ();
  if (capturing != nullptr)
    return cudaErrorStreamCaptureUnsupported;
  if (bytes > device_bytes || allocated_bytes > device_bytes - bytes)
    return cudaErrorMemoryAllocation;
  *memory = cuda_on_host::device_allocate (bytes);
  if (*memory == nullptr)
    return cudaErrorMemoryAllocation;
  sizes[*memory] = bytes;
  allocated_bytes += bytes;
  return cudaSuccess;
}

/* Waits for everything, as CUDA does. */
cudaError_t
cudaFree (void *memory)
{
  Lock locked (lock);
  if (memory == nullptr)
    return cudaSuccess;
  finish ([] { return outstanding.empty (); });
  if (!cuda_on_host::device_release (memory))
    return cudaErrorInvalidValue;
  allocated_bytes -= sizes[memory];
  sizes.erase (memory);
  return cudaSuccess;
}

cudaError_t
cudaMallocHost (void **memory, size_t bytes)
{
  *memory = nullptr;
  BEGIN_CALL ();
  if (posix_memalign (memory, 64, bytes) != 0)
    return cudaErrorMemoryAllocation;
  objects++;
  return cudaSuccess;
}

cudaError_t
cudaFreeHost (void *memory)
{
  Lock locked (lock);
  if (memory == nullptr)
    return cudaSuccess;
  finish ([] { return outstanding.empty (); });
  objects--;
  free (memory);
  return cudaSuccess;
}

cudaError_t
cudaMemcpyAsync (void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t stream)
{
  return cuda_on_host::enqueue (stream, [=] {
    memcpy (to, from, bytes);
    return true;
  });
}

cudaError_t
cudaMemsetAsync (void *to, int value, size_t bytes, cudaStream_t stream)
{
  return cuda_on_host::enqueue (stream, [=] {
    memset (to, value, bytes);
    return true;
  });
}

/* -- streams --------------------------------------------------------------------------------------------------- */

cudaError_t
cudaStreamCreateWithFlags (cudaStream_t *stream, unsigned int)
{
  *stream = nullptr;
  BEGIN_CALL ();
  *stream = new OnHostStream{};
  streams.insert (*stream);
  objects++;
  return cudaSuccess;
}

cudaError_t
cudaStreamDestroy (cudaStream_t stream)
{
  Lock locked (lock);
  if (streams.count (stream) == 0)
    return cudaErrorInvalidResourceHandle;
  finish ([=] { return stream->queue.empty (); });
  streams.erase (stream);
  objects--;
  delete stream;
  return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream)
{
  BEGIN_CALL ();
  if (streams.count (stream) == 0)
    return cudaErrorInvalidResourceHandle;
  if (stream->capture != nullptr)
    return cudaErrorStreamCaptureUnsupported;
  return finish ([=] { return stream->queue.empty (); });
}

cudaError_t
cudaDeviceSynchronize ()
{
  BEGIN_CALL ();
  return finish ([] { return outstanding.empty (); });
}

/* -- events ---------------------------------------------------------------------------------------------------- */

cudaError_t
cudaEventCreateWithFlags (cudaEvent_t *event, unsigned int flags)
{
  *event = nullptr;
  BEGIN_CALL ();
  *event = new OnHostEvent{};
  objects++;
  (*event)->timing = (flags & cudaEventDisableTiming) == 0;
  (*event)->time = std::make_shared<double> (0.0);
  return cudaSuccess;
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  objects--;
  delete event;
  return cudaSuccess;
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
  BEGIN_CALL ();
  if (streams.count (stream) == 0)
    return cudaErrorInvalidResourceHandle;
  event->recorded = true;
  event->capture = stream->capture;
  event->frontier = stream->frontier;
  if (stream->capture != nullptr)
    return cudaSuccess;
  const std::shared_ptr<double> time = std::make_shared<double> (0.0);
  event->time = time;
  event->id = append (stream, [=] { *time = now_milliseconds (); return true; }, {});
  return cudaSuccess;
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned int)
{
  BEGIN_CALL ();
  if (streams.count (stream) == 0)
    return cudaErrorInvalidResourceHandle;
  if (event->capture != nullptr)
    {
      if (stream->capture != nullptr && stream->capture != event->capture)
        return cudaErrorStreamCaptureUnsupported;
      stream->capture = event->capture;
      stream->frontier.insert (stream->frontier.end (), event->frontier.begin (), event->frontier.end ());
    }
  else if (event->recorded)
    append (stream, nullptr, { event->id });
  return cudaSuccess;
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event)
{
  BEGIN_CALL ();
  return finish ([=] { return outstanding.count (event->id) == 0; });
}

cudaError_t
cudaEventElapsedTime (float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
  BEGIN_CALL ();
  if (!start->timing || !end->timing || !start->recorded || !end->recorded)
    return cudaErrorInvalidResourceHandle;
  if (outstanding.count (start->id) != 0 || outstanding.count (end->id) != 0)
    return cudaErrorNotReady;
  *milliseconds = (float) (*end->time - *start->time);
  return cudaSuccess;
}

/* -- graphs ---------------------------------------------------------------------------------------------------- */

cudaError_t
cudaStreamBeginCapture (cudaStream_t stream, cudaStreamCaptureMode)
{
  BEGIN_CALL ();
  if (streams.count (stream) == 0 || stream->capture != nullptr || capturing != nullptr)
    return cudaErrorStreamCaptureUnsupported;
  stream->capture = new OnHostGraph{};
  stream->frontier.clear ();
  capturing = stream;
  return cudaSuccess;
}

cudaError_t
cudaStreamIsCapturing (cudaStream_t stream, cudaStreamCaptureStatus *status)
{
  BEGIN_CALL ();
  if (streams.count (stream) == 0)
    return cudaErrorInvalidResourceHandle;
  *status = stream->capture != nullptr ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

/* Every node must come before what the capturing stream has come to. */
static bool
is_joined (const OnHostGraph *graph, const std::vector<size_t> &frontier)
{
  std::set<size_t> reached (frontier.begin (), frontier.end ());
  for (size_t i = graph->nodes.size (); i-- > 0;)
    if (reached.count (i) != 0)
      reached.insert (graph->nodes[i].after.begin (), graph->nodes[i].after.end ());
  return reached.size () == graph->nodes.size ();
}

cudaError_t
cudaStreamEndCapture (cudaStream_t stream, cudaGraph_t *graph)
{
  Lock locked (lock);
  *graph = nullptr;
  if (streams.count (stream) == 0 || stream != capturing)
    return cudaErrorInvalidResourceHandle;
  OnHostGraph *captured = stream->capture;
  const bool joined = is_joined (captured, stream->frontier);
  for (OnHostStream *each : streams)
    if (each->capture == captured)
      {
        each->capture = nullptr;
        each->frontier.clear ();
      }
  capturing = nullptr;
  const cudaError_t begun = begin_call (__func__);
  if (!joined || begun != cudaSuccess)
    {
      delete captured;
      return begun != cudaSuccess ? begun : cudaErrorStreamCaptureUnjoined;
    }
  *graph = captured;
  objects++;
  return cudaSuccess;
}

cudaError_t
cudaGraphInstantiate (cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
  *executable = nullptr;
  BEGIN_CALL ();
  *executable = new OnHostGraph (*graph);
  objects++;
  return cudaSuccess;
}

cudaError_t
cudaGraphLaunch (cudaGraphExec_t executable, cudaStream_t stream)
{
  return cuda_on_host::enqueue (stream, [=] { return run_graph (executable); });
}

cudaError_t
cudaGraphGetNodes (cudaGraph_t graph, void *, size_t *n_nodes)
{
  BEGIN_CALL ();
  *n_nodes = graph->nodes.size ();
  return cudaSuccess;
}

cudaError_t
cudaGraphDestroy (cudaGraph_t graph)
{
  objects--;
  delete graph;
  return cudaSuccess;
}

/* Waits for launches of it, which CUDA keeps alive. */
cudaError_t
cudaGraphExecDestroy (cudaGraphExec_t executable)
{
  Lock locked (lock);
  finish ([] { return outstanding.empty (); });
  objects--;
  delete executable;
  return cudaSuccess;
}
