/* switti-collective-nccl.c - ranks that talk through NCCL
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Messages of device memory go as they are, on a stream of their own that waits for what had been enqueued for the
 * device when they began. Numbers in the host's memory, which are few, take the way over device memory of this module.
 * While this rank waits it looks whether another one is lost.
 */
#include <gmodule.h>

#include "switti-collective-nccl-private.h"

#include "switti-error.h"

#include <cuda_runtime_api.h>
#include <glib/gi18n-lib.h>
#include <nccl.h>
#include <string.h>

G_STATIC_ASSERT (SWITTI_NCCL_ID_BYTES == NCCL_UNIQUE_ID_BYTES);

/* How often a rank that waits looks at the others. */
#define MICROSECONDS_BETWEEN_LOOKS 20

typedef struct
{
  ncclComm_t communicator;
  int rank, size, device;
  cudaStream_t stream;
  cudaEvent_t done;
  cudaStream_t *compute; /* shared with the parts: the stream of the op table's context, once it is known */
  gboolean is_part;
  void *staging[2]; /* what goes out and what comes in, for messages of host memory */
  gsize staging_bytes[2];
} Ranks;

static gboolean
fail (const char *what, const char *words, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               _ ("The ranks have lost each other (%s: %s): start all of them again; training goes on from the newest "
                  "checkpoint."),
               what, words);
  return FALSE;
}

static gboolean
check_cuda (cudaError_t status, const char *what, GError **error)
{
  return status == cudaSuccess || fail (what, cudaGetErrorString (status), error);
}

static gboolean
check_nccl (ncclResult_t status, const char *what, GError **error)
{
  return status == ncclSuccess || fail (what, ncclGetErrorString (status), error);
}

/* Until what was enqueued is done here, or a rank is lost. */
static gboolean
wait_for_stream (Ranks *ranks, const char *what, GError **error)
{
  cudaError_t status;

  if (!check_cuda (cudaEventRecord (ranks->done, ranks->stream), what, error))
    return FALSE;
  while ((status = cudaEventQuery (ranks->done)) == cudaErrorNotReady)
    {
      ncclResult_t lost = ncclSuccess;

      if (ncclCommGetAsyncError (ranks->communicator, &lost) == ncclSuccess && lost != ncclSuccess)
        {
          /* What hangs on the device ends with it. */
          ncclCommAbort (ranks->communicator);
          ranks->communicator = NULL;
          return check_nccl (lost, what, error);
        }
      g_usleep (MICROSECONDS_BETWEEN_LOOKS);
    }
  return check_cuda (status, what, error);
}

/* -- memory of the host ---------------------------------------------------------------------------------------- */

static gboolean
is_host_memory (const void *memory)
{
  struct cudaPointerAttributes attributes;

  if (cudaPointerGetAttributes (&attributes, memory) != cudaSuccess)
    {
      cudaGetLastError ();
      return TRUE;
    }
  return attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged;
}

/* Device memory for what is `bytes` long at `memory`: itself, or a copy in staging[which]. */
static gboolean
to_device (Ranks *ranks, int which, const void *memory, gsize bytes, gboolean is_read, void **device, GError **error)
{
  *device = (void *) memory;
  if (!is_host_memory (memory))
    return TRUE;
  if (ranks->staging_bytes[which] < bytes)
    {
      cudaFree (ranks->staging[which]);
      ranks->staging_bytes[which] = 0;
      if (!check_cuda (cudaMalloc (&ranks->staging[which], bytes), "cudaMalloc", error))
        return FALSE;
      ranks->staging_bytes[which] = bytes;
    }
  *device = ranks->staging[which];
  return !is_read
         || check_cuda (cudaMemcpyAsync (*device, memory, bytes, cudaMemcpyHostToDevice, ranks->stream), "upload",
                        error);
}

/* Back to where it belongs, and waits. */
static gboolean
finish (Ranks *ranks, void *memory, const void *device, gsize bytes, const char *what, GError **error)
{
  if (device != memory
      && !check_cuda (cudaMemcpyAsync (memory, device, bytes, cudaMemcpyDeviceToHost, ranks->stream), "download",
                      error))
    return FALSE;
  return wait_for_stream (ranks, what, error);
}

/* Every call may be on another thread. */
static gboolean
begin (Ranks *ranks, GError **error)
{
  if (ranks->communicator == NULL)
    return fail ("NCCL", "a rank was lost before", error);
  return check_cuda (cudaSetDevice (ranks->device), "cudaSetDevice", error);
}

/* -- what ranks do --------------------------------------------------------------------------------------------- */

static gboolean
all_gather (gpointer data, const void *piece, void *whole, gsize bytes, GError **error)
{
  Ranks *ranks = data;
  const gsize all = bytes * (gsize) ranks->size;
  void *from, *to;

  return begin (ranks, error) && to_device (ranks, 0, piece, bytes, TRUE, &from, error)
         && to_device (ranks, 1, whole, all, FALSE, &to, error)
         && check_nccl (ncclAllGather (from, to, bytes, ncclInt8, ranks->communicator, ranks->stream), "ncclAllGather",
                        error)
         && finish (ranks, whole, to, all, "ncclAllGather", error);
}

static gboolean
all_to_all (gpointer data, const void *from, void *to, gsize bytes, GError **error)
{
  Ranks *ranks = data;
  const gsize all = bytes * (gsize) ranks->size;
  void *out, *in;
  gboolean good;

  if (!begin (ranks, error) || !to_device (ranks, 0, from, all, TRUE, &out, error)
      || !to_device (ranks, 1, to, all, FALSE, &in, error) || !check_nccl (ncclGroupStart (), "ncclGroupStart", error))
    return FALSE;
  good = TRUE;
  for (int r = 0; r < ranks->size && good; r++)
    good = check_nccl (ncclSend ((char *) out + (gsize) r * bytes, bytes, ncclInt8, r, ranks->communicator,
                                 ranks->stream),
                       "ncclSend", error)
           && check_nccl (ncclRecv ((char *) in + (gsize) r * bytes, bytes, ncclInt8, r, ranks->communicator,
                                    ranks->stream),
                          "ncclRecv", error);
  /* Ended in any case: what comes next would belong to the group. */
  return check_nccl (ncclGroupEnd (), "ncclGroupEnd", good ? error : NULL) && good
         && finish (ranks, to, in, all, "ncclSend", error);
}

static gboolean
broadcast (gpointer data, int root, void *memory, gsize bytes, GError **error)
{
  Ranks *ranks = data;
  void *device;

  return begin (ranks, error) && to_device (ranks, 0, memory, bytes, TRUE, &device, error)
         && check_nccl (ncclBroadcast (device, device, bytes, ncclInt8, root, ranks->communicator, ranks->stream),
                        "ncclBroadcast", error)
         && finish (ranks, memory, device, bytes, "ncclBroadcast", error);
}

static ncclDataType_t
type_of (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F64 ? ncclFloat64 : ncclFloat32;
}

static gboolean
reduce_scatter (gpointer data, const void *whole, void *piece, gsize count, SwittiDtype dtype, GError **error)
{
  Ranks *ranks = data;
  const gsize bytes = count * switti_dtype_size (dtype);
  void *from, *to;

  return begin (ranks, error) && to_device (ranks, 0, whole, bytes * (gsize) ranks->size, TRUE, &from, error)
         && to_device (ranks, 1, piece, bytes, FALSE, &to, error)
         && check_nccl (ncclReduceScatter (from, to, count, type_of (dtype), ncclSum, ranks->communicator,
                                           ranks->stream),
                        "ncclReduceScatter", error)
         && finish (ranks, piece, to, bytes, "ncclReduceScatter", error);
}

static gboolean
all_reduce (gpointer data, void *memory, gsize count, SwittiDtype dtype, GError **error)
{
  Ranks *ranks = data;
  const gsize bytes = count * switti_dtype_size (dtype);
  void *device;

  return begin (ranks, error) && to_device (ranks, 0, memory, bytes, TRUE, &device, error)
         && check_nccl (ncclAllReduce (device, device, count, type_of (dtype), ncclSum, ranks->communicator,
                                       ranks->stream),
                        "ncclAllReduce", error)
         && finish (ranks, memory, device, bytes, "ncclAllReduce", error);
}

/* -- the order of things --------------------------------------------------------------------------------------- */

static void
attach (gpointer data, void *stream)
{
  Ranks *ranks = data;

  *ranks->compute = stream;
}

/* An event behind what the op table's context has been given; NULL before it is known. */
static gpointer
mark (gpointer data)
{
  Ranks *ranks = data;
  cudaEvent_t event = NULL;

  if (*ranks->compute == NULL || cudaSetDevice (ranks->device) != cudaSuccess
      || cudaEventCreateWithFlags (&event, cudaEventDisableTiming) != cudaSuccess)
    return NULL;
  if (cudaEventRecord (event, *ranks->compute) == cudaSuccess)
    return event;
  cudaEventDestroy (event);
  return NULL;
}

/* Without an event, everything that the device has been given comes first. */
static gboolean
follow (gpointer data, gpointer event, GError **error)
{
  Ranks *ranks = data;
  gboolean good = begin (ranks, error);

  if (event == NULL)
    return good && check_cuda (cudaDeviceSynchronize (), "cudaDeviceSynchronize", error);
  good = good && check_cuda (cudaStreamWaitEvent (ranks->stream, event, 0), "cudaStreamWaitEvent", error);
  cudaEventDestroy (event);
  return good;
}

/* -- life ------------------------------------------------------------------------------------------------------ */

static void
ranks_abort (gpointer data)
{
  Ranks *ranks = data;

  /* The others see that this rank is lost; the launcher ends them when it has ended. */
  if (ranks->communicator != NULL)
    ncclCommAbort (ranks->communicator);
  ranks->communicator = NULL;
}

static void
ranks_free (gpointer data)
{
  Ranks *ranks = data;

  cudaSetDevice (ranks->device);
  if (ranks->communicator != NULL)
    ncclCommDestroy (ranks->communicator);
  if (ranks->done != NULL)
    cudaEventDestroy (ranks->done);
  if (ranks->stream != NULL)
    cudaStreamDestroy (ranks->stream);
  for (int i = 0; i < 2; i++)
    cudaFree (ranks->staging[i]);
  if (!ranks->is_part)
    g_free (ranks->compute);
  g_free (ranks);
}

static gboolean split (gpointer data, int colour, SwittiCollectiveBackend *part, GError **error);

static const SwittiCollectiveOps nccl_ops = {
  .all_gather = all_gather,
  .all_to_all = all_to_all,
  .broadcast = broadcast,
  .reduce_scatter = reduce_scatter,
  .all_reduce = all_reduce,
  .split = split,
  .attach = attach,
  .mark = mark,
  .follow = follow,
  .abort = ranks_abort,
  .free = ranks_free,
};

/* Takes over the communicator. `compute`: of the whole that this is a part of, or NULL. */
static gboolean
fill (SwittiCollectiveBackend *backend, ncclComm_t communicator, int device, cudaStream_t *compute, GError **error)
{
  Ranks *ranks = g_new0 (Ranks, 1);

  ranks->communicator = communicator;
  ranks->device = device;
  ranks->is_part = compute != NULL;
  ranks->compute = compute != NULL ? compute : g_new0 (cudaStream_t, 1);
  if (check_nccl (ncclCommUserRank (communicator, &ranks->rank), "ncclCommUserRank", error)
      && check_nccl (ncclCommCount (communicator, &ranks->size), "ncclCommCount", error)
      && check_cuda (cudaStreamCreateWithFlags (&ranks->stream, cudaStreamNonBlocking), "cudaStreamCreate", error)
      && check_cuda (cudaEventCreateWithFlags (&ranks->done, cudaEventDisableTiming), "cudaEventCreate", error))
    {
      *backend = (SwittiCollectiveBackend){ .ops = &nccl_ops, .data = ranks, .rank = ranks->rank,
                                            .size = ranks->size };
      return TRUE;
    }
  ranks_free (ranks);
  return FALSE;
}

static gboolean
split (gpointer data, int colour, SwittiCollectiveBackend *part, GError **error)
{
  Ranks *ranks = data;
  ncclComm_t communicator = NULL;

  return begin (ranks, error)
         && check_nccl (ncclCommSplit (ranks->communicator, colour, ranks->rank, &communicator, NULL),
                        "ncclCommSplit", error)
         && fill (part, communicator, ranks->device, ranks->compute, error);
}

gboolean
switti_nccl_make_id (guint8 id[SWITTI_NCCL_ID_BYTES], GError **error)
{
  ncclUniqueId made;

  if (!check_nccl (ncclGetUniqueId (&made), "ncclGetUniqueId", error))
    return FALSE;
  memcpy (id, made.internal, sizeof made.internal);
  return TRUE;
}

gboolean
switti_nccl_open (SwittiCollectiveBackend *backend, const SwittiNcclStart *start, GError **error)
{
  ncclComm_t communicator = NULL;
  ncclUniqueId id;

  memcpy (id.internal, start->id, sizeof id.internal);
  return check_cuda (cudaSetDevice (start->device), "cudaSetDevice", error)
         && check_nccl (ncclCommInitRank (&communicator, start->size, id, start->rank), "ncclCommInitRank", error)
         && fill (backend, communicator, start->device, NULL, error);
}
