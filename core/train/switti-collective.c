/* switti-collective.c - what the processes of a training tell each other
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-collective-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Up to so many elements a rank, a sum is made of all ranks' values at each of them: one message instead of two. */
#define SMALL_COUNT 1024

typedef enum
{
  WORK_ALL_GATHER,
  WORK_REDUCE_SCATTER,
  WORK_ALL_REDUCE,
  WORK_BROADCAST,
} WorkKind;

typedef struct
{
  WorkKind kind;
  SwittiCollective *collective; /* that began it, and outlives it */
  const void *from;
  void *to;
  gsize count; /* bytes for WORK_BROADCAST */
  SwittiDtype dtype;
  int root;
  gpointer mark; /* the backend's, or NULL */
} Work;

/* The thread that a collective and its parts share: what one thread asks for happens in that order on all ranks. */
typedef struct
{
  gatomicrefcount references;
  GThread *thread;
  GMutex mutex;
  GCond changed;
  GQueue work;           /* Work */
  guint64 issued, done;  /* numbers of works */
  GError *failure;       /* the first one */
  gboolean is_over;
} Worker;

struct _SwittiCollective
{
  gatomicrefcount references;
  SwittiCollective *whole;         /* that this is a part of, or NULL */
  SwittiCollectiveBackend backend; /* ops NULL: one rank */
  Worker *worker;                  /* NULL: one rank that was never more */
  guint8 *scratch;                 /* the worker's */
  gsize scratch_bytes;
};

/* -- work ------------------------------------------------------------------------------------------------------ */

static guint8 *
get_scratch (SwittiCollective *self, gsize bytes)
{
  if (self->scratch_bytes < bytes)
    {
      g_free (self->scratch);
      self->scratch = g_malloc (bytes);
      self->scratch_bytes = bytes;
    }
  return self->scratch;
}

/* sum (count) = the pieces of (n, count), added in their order */
static void
add_up (const void *pieces, int n, gsize count, SwittiDtype dtype, void *sum)
{
  if (dtype == SWITTI_DTYPE_F64)
    for (gsize i = 0; i < count; i++)
      {
        double total = ((const double *) pieces)[i];

        for (int r = 1; r < n; r++)
          total += ((const double *) pieces)[(gsize) r * count + i];
        ((double *) sum)[i] = total;
      }
  else
    for (gsize i = 0; i < count; i++)
      {
        float total = ((const float *) pieces)[i];

        for (int r = 1; r < n; r++)
          total += ((const float *) pieces)[(gsize) r * count + i];
        ((float *) sum)[i] = total;
      }
}

static gboolean
all_gather (SwittiCollective *self, const void *piece, void *whole, gsize bytes, GError **error)
{
  if (self->backend.ops != NULL)
    return self->backend.ops->all_gather (self->backend.data, piece, whole, bytes, error);
  if (whole != piece)
    memmove (whole, piece, bytes);
  return TRUE;
}

static gboolean
reduce_scatter (SwittiCollective *self, const void *whole, void *piece, gsize count, SwittiDtype dtype,
                GError **error)
{
  const SwittiCollectiveOps *ops = self->backend.ops;
  const gsize bytes = count * switti_dtype_size (dtype);
  guint8 *pieces;

  if (ops == NULL)
    return all_gather (self, whole, piece, bytes, error);
  if (ops->reduce_scatter != NULL)
    return ops->reduce_scatter (self->backend.data, whole, piece, count, dtype, error);
  pieces = get_scratch (self, (gsize) self->backend.size * bytes);
  if (!ops->all_to_all (self->backend.data, whole, pieces, bytes, error))
    return FALSE;
  add_up (pieces, self->backend.size, count, dtype, piece);
  return TRUE;
}

static gboolean
all_reduce (SwittiCollective *self, void *memory, gsize count, SwittiDtype dtype, GError **error)
{
  const SwittiCollectiveOps *ops = self->backend.ops;
  const gsize n = (gsize) self->backend.size, element = switti_dtype_size (dtype), share = (count + n - 1) / n;
  guint8 *padded, *pieces;

  if (ops == NULL)
    return TRUE;
  if (ops->all_reduce != NULL)
    return ops->all_reduce (self->backend.data, memory, count, dtype, error);
  if (count <= SMALL_COUNT)
    {
      pieces = get_scratch (self, n * count * element);
      if (!ops->all_gather (self->backend.data, memory, pieces, count * element, error))
        return FALSE;
      add_up (pieces, (int) n, count, dtype, memory);
      return TRUE;
    }
  /* Each rank adds up a share, which all then get. */
  padded = get_scratch (self, 2 * n * share * element);
  pieces = padded + n * share * element;
  memcpy (padded, memory, count * element);
  memset (padded + count * element, 0, (n * share - count) * element);
  if (!ops->all_to_all (self->backend.data, padded, pieces, share * element, error))
    return FALSE;
  add_up (pieces, (int) n, share, dtype, padded);
  if (!ops->all_gather (self->backend.data, padded, pieces, share * element, error))
    return FALSE;
  memcpy (memory, pieces, count * element);
  return TRUE;
}

/* What comes next comes after what the device had been given when it began. */
static gboolean
follow (SwittiCollective *self, gpointer mark, GError **error)
{
  return self->backend.ops == NULL || self->backend.ops->follow == NULL
         || self->backend.ops->follow (self->backend.data, mark, error);
}

static gboolean
run (const Work *work, GError **error)
{
  SwittiCollective *self = work->collective;
  const gsize bytes = work->count * switti_dtype_size (work->dtype);

  if (!follow (self, work->mark, error))
    return FALSE;
  switch (work->kind)
    {
    case WORK_ALL_GATHER:
      return all_gather (self, work->from, work->to, bytes, error);
    case WORK_REDUCE_SCATTER:
      return reduce_scatter (self, work->from, work->to, work->count, work->dtype, error);
    case WORK_ALL_REDUCE:
      return all_reduce (self, work->to, work->count, work->dtype, error);
    case WORK_BROADCAST:
      return self->backend.ops == NULL
             || self->backend.ops->broadcast (self->backend.data, work->root, work->to, bytes, error);
    default:
      g_assert_not_reached ();
    }
}

/* -- the thread ------------------------------------------------------------------------------------------------ */

static gpointer
run_worker (gpointer data)
{
  Worker *worker = data;

  g_mutex_lock (&worker->mutex);
  while (!worker->is_over || worker->work.length > 0)
    {
      g_autofree Work *work = g_queue_pop_head (&worker->work);
      GError *failure = NULL;

      if (work == NULL)
        {
          g_cond_wait (&worker->changed, &worker->mutex);
          continue;
        }
      /* After a failure the ranks may be out of step: nothing more is sent. */
      if (worker->failure == NULL)
        {
          g_mutex_unlock (&worker->mutex);
          run (work, &failure);
          g_mutex_lock (&worker->mutex);
        }
      else
        follow (work->collective, work->mark, NULL);
      if (worker->failure == NULL)
        worker->failure = g_steal_pointer (&failure);
      worker->done++;
      g_cond_broadcast (&worker->changed);
    }
  g_mutex_unlock (&worker->mutex);
  return NULL;
}

static Worker *
worker_new (void)
{
  Worker *worker = g_new0 (Worker, 1);

  g_atomic_ref_count_init (&worker->references);
  g_mutex_init (&worker->mutex);
  g_cond_init (&worker->changed);
  g_queue_init (&worker->work);
  worker->thread = g_thread_new ("collective", run_worker, worker);
  return worker;
}

static void
worker_unref (Worker *worker)
{
  if (!g_atomic_ref_count_dec (&worker->references))
    return;
  g_mutex_lock (&worker->mutex);
  worker->is_over = TRUE;
  g_cond_broadcast (&worker->changed);
  g_mutex_unlock (&worker->mutex);
  g_thread_join (worker->thread);
  g_clear_error (&worker->failure);
  g_mutex_clear (&worker->mutex);
  g_cond_clear (&worker->changed);
  g_free (worker);
}

static guint64
begin (SwittiCollective *self, Work work)
{
  Worker *worker = self->worker;
  guint64 ticket;

  work.collective = self;
  if (worker == NULL)
    {
      run (&work, NULL); /* one rank: copies, which cannot fail */
      return 0;
    }
  if (self->backend.ops->mark != NULL)
    work.mark = self->backend.ops->mark (self->backend.data);
  g_mutex_lock (&worker->mutex);
  g_queue_push_tail (&worker->work, g_memdup2 (&work, sizeof work));
  ticket = ++worker->issued;
  g_cond_broadcast (&worker->changed);
  g_mutex_unlock (&worker->mutex);
  return ticket;
}

gboolean
switti_collective_wait (SwittiCollective *self, guint64 ticket, GError **error)
{
  Worker *worker = self->worker;
  gboolean good;

  if (worker == NULL)
    return TRUE;
  g_mutex_lock (&worker->mutex);
  while (worker->done < ticket)
    g_cond_wait (&worker->changed, &worker->mutex);
  good = worker->failure == NULL;
  if (!good)
    g_propagate_error (error, g_error_copy (worker->failure));
  g_mutex_unlock (&worker->mutex);
  return good;
}

/* -- life ------------------------------------------------------------------------------------------------------ */

SwittiCollective *
switti_collective_new_single (void)
{
  SwittiCollective *self = g_new0 (SwittiCollective, 1);

  g_atomic_ref_count_init (&self->references);
  self->backend.size = 1;
  return self;
}

SwittiCollective *
switti_collective_new (const SwittiCollectiveBackend *backend)
{
  SwittiCollective *self = switti_collective_new_single ();

  g_assert (backend->size > 0 && backend->rank >= 0 && backend->rank < backend->size);
  self->backend = *backend;
  self->worker = worker_new ();
  return self;
}

SwittiCollective *
switti_collective_split (SwittiCollective *self, int colour, GError **error)
{
  g_autoptr (SwittiCollective) part = switti_collective_new_single ();

  g_assert (colour >= 0);
  if (self->worker == NULL)
    return g_steal_pointer (&part);
  part->whole = switti_collective_ref (self);
  part->worker = self->worker;
  g_atomic_ref_count_inc (&self->worker->references);
  if (!switti_collective_wait (self, self->worker->issued, error)
      || !self->backend.ops->split (self->backend.data, colour, &part->backend, error))
    return NULL;
  return g_steal_pointer (&part);
}

SwittiCollective *
switti_collective_ref (SwittiCollective *self)
{
  g_atomic_ref_count_inc (&self->references);
  return self;
}

void
switti_collective_unref (SwittiCollective *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->references))
    return;
  if (self->worker != NULL)
    {
      switti_collective_wait (self, self->worker->issued, NULL);
      worker_unref (self->worker);
    }
  if (self->backend.ops != NULL)
    self->backend.ops->free (self->backend.data);
  switti_collective_unref (self->whole);
  g_free (self->scratch);
  g_free (self);
}

void
switti_collective_attach (SwittiCollective *self, void *stream)
{
  if (self->backend.ops != NULL && self->backend.ops->attach != NULL)
    self->backend.ops->attach (self->backend.data, stream);
}

void
switti_collective_abort (SwittiCollective *self)
{
  if (self->backend.ops != NULL)
    self->backend.ops->abort (self->backend.data);
}

int
switti_collective_get_rank (SwittiCollective *self)
{
  return self->backend.rank;
}

int
switti_collective_get_size (SwittiCollective *self)
{
  return self->backend.size;
}

/* -- what ranks do --------------------------------------------------------------------------------------------- */

guint64
switti_collective_begin_all_gather (SwittiCollective *self, const void *piece, void *whole, gsize count,
                                    SwittiDtype dtype)
{
  return begin (self, (Work){ .kind = WORK_ALL_GATHER, .from = piece, .to = whole, .count = count, .dtype = dtype });
}

guint64
switti_collective_begin_reduce_scatter (SwittiCollective *self, const void *whole, void *piece, gsize count,
                                        SwittiDtype dtype)
{
  g_assert (dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_F64);
  return begin (self,
                (Work){ .kind = WORK_REDUCE_SCATTER, .from = whole, .to = piece, .count = count, .dtype = dtype });
}

guint64
switti_collective_begin_all_reduce (SwittiCollective *self, void *memory, gsize count, SwittiDtype dtype)
{
  g_assert (dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_F64);
  return begin (self, (Work){ .kind = WORK_ALL_REDUCE, .to = memory, .count = count, .dtype = dtype });
}

gboolean
switti_collective_all_reduce (SwittiCollective *self, void *memory, gsize count, SwittiDtype dtype, GError **error)
{
  return switti_collective_wait (self, switti_collective_begin_all_reduce (self, memory, count, dtype), error);
}

gboolean
switti_collective_broadcast (SwittiCollective *self, int root, void *memory, gsize bytes, GError **error)
{
  const Work work = { .kind = WORK_BROADCAST, .to = memory, .count = bytes, .dtype = SWITTI_DTYPE_U8, .root = root };

  g_assert (root >= 0 && root < self->backend.size);
  return switti_collective_wait (self, begin (self, work), error);
}

gboolean
switti_collective_barrier (SwittiCollective *self, GError **error)
{
  double nothing = 0;

  return switti_collective_all_reduce (self, &nothing, 1, SWITTI_DTYPE_F64, error);
}

gboolean
switti_collective_agree (SwittiCollective *self, gboolean mine, GError **error)
{
  double failed = mine ? 0 : 1;

  if (!switti_collective_all_reduce (self, &failed, 1, SWITTI_DTYPE_F64, mine ? error : NULL))
    return FALSE;
  if (failed == 0)
    return TRUE;
  if (mine)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                 _ ("%.0f of %d ranks have failed, each for the reason that it gives: rank %d stops with them."),
                 failed, self->backend.size, self->backend.rank);
  return FALSE;
}
