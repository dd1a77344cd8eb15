/* switti-collective-mpi.c - ranks that talk through MPI
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include <gmodule.h>

#include "switti-collective-mpi-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <mpi.h>

/* Messages are counted in blocks: MPI's counts are ints. */
#define BLOCK_BYTES 64

typedef struct
{
  MPI_Comm communicator;
  MPI_Datatype block;
  gboolean is_world;
} Ranks;

static gboolean
check (int status, const char *what, GError **error)
{
  char words[MPI_MAX_ERROR_STRING] = "";
  int length = 0;

  if (status == MPI_SUCCESS)
    return TRUE;
  MPI_Error_string (status, words, &length);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               _ ("The ranks have lost each other (%s: %s): start all of them again; training goes on from the newest "
                  "checkpoint."),
               what, words);
  return FALSE;
}

/* What `bytes` are to MPI. */
static gboolean
count_blocks (const Ranks *ranks, gsize bytes, int *count, MPI_Datatype *type, GError **error)
{
  const gsize unit = bytes % BLOCK_BYTES == 0 ? BLOCK_BYTES : 1;

  if (bytes / unit > G_MAXINT)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("A message of %zu bytes is more than MPI carries: use more ranks."), bytes);
      return FALSE;
    }
  *count = (int) (bytes / unit);
  *type = unit == 1 ? MPI_BYTE : ranks->block;
  return TRUE;
}

static gboolean
all_gather (gpointer data, const void *piece, void *whole, gsize bytes, GError **error)
{
  Ranks *ranks = data;
  MPI_Datatype type;
  int count, rank;

  if (!count_blocks (ranks, bytes, &count, &type, error))
    return FALSE;
  MPI_Comm_rank (ranks->communicator, &rank);
  if (piece == (guint8 *) whole + (gsize) rank * bytes)
    piece = MPI_IN_PLACE;
  return check (MPI_Allgather (piece, count, type, whole, count, type, ranks->communicator), "MPI_Allgather", error);
}

static gboolean
all_to_all (gpointer data, const void *from, void *to, gsize bytes, GError **error)
{
  Ranks *ranks = data;
  MPI_Datatype type;
  int count;

  return count_blocks (ranks, bytes, &count, &type, error)
         && check (MPI_Alltoall (from, count, type, to, count, type, ranks->communicator), "MPI_Alltoall", error);
}

static gboolean
broadcast (gpointer data, int root, void *memory, gsize bytes, GError **error)
{
  Ranks *ranks = data;
  MPI_Datatype type;
  int count;

  return count_blocks (ranks, bytes, &count, &type, error)
         && check (MPI_Bcast (memory, count, type, root, ranks->communicator), "MPI_Bcast", error);
}

static gboolean split (gpointer data, int colour, SwittiCollectiveBackend *part, GError **error);

static void
ranks_abort (gpointer data)
{
  Ranks *ranks = data;

  MPI_Abort (ranks->communicator, 1);
}

static void
ranks_free (gpointer data)
{
  Ranks *ranks = data;

  MPI_Type_free (&ranks->block);
  if (ranks->is_world)
    MPI_Finalize ();
  else
    MPI_Comm_free (&ranks->communicator);
  g_free (ranks);
}

static const SwittiCollectiveOps mpi_ops = {
  .all_gather = all_gather,
  .all_to_all = all_to_all,
  .broadcast = broadcast,
  .split = split,
  .abort = ranks_abort,
  .free = ranks_free,
};

static gboolean
fill (SwittiCollectiveBackend *backend, MPI_Comm communicator, gboolean is_world, GError **error)
{
  Ranks *ranks = g_new0 (Ranks, 1);

  ranks->communicator = communicator;
  ranks->is_world = is_world;
  *backend = (SwittiCollectiveBackend){ .ops = &mpi_ops, .data = ranks };
  /* Failures come back as status instead of ending the process. */
  MPI_Comm_set_errhandler (communicator, MPI_ERRORS_RETURN);
  if (check (MPI_Type_contiguous (BLOCK_BYTES, MPI_BYTE, &ranks->block), "MPI_Type_contiguous", error)
      && check (MPI_Type_commit (&ranks->block), "MPI_Type_commit", error)
      && check (MPI_Comm_rank (communicator, &backend->rank), "MPI_Comm_rank", error)
      && check (MPI_Comm_size (communicator, &backend->size), "MPI_Comm_size", error))
    return TRUE;
  *backend = (SwittiCollectiveBackend){ NULL };
  g_free (ranks);
  return FALSE;
}

static gboolean
split (gpointer data, int colour, SwittiCollectiveBackend *part, GError **error)
{
  Ranks *ranks = data;
  MPI_Comm communicator;
  int rank;

  MPI_Comm_rank (ranks->communicator, &rank);
  return check (MPI_Comm_split (ranks->communicator, colour, rank, &communicator), "MPI_Comm_split", error)
         && fill (part, communicator, FALSE, error);
}

gboolean
switti_mpi_open (SwittiCollectiveBackend *backend, GError **error)
{
  int provided = 0;

  if (!check (MPI_Init_thread (NULL, NULL, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread", error))
    return FALSE;
  if (provided < MPI_THREAD_SERIALIZED)
    {
      MPI_Finalize ();
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED,
                           _ ("This MPI serves one thread only: use an MPI with MPI_THREAD_SERIALIZED."));
      return FALSE;
    }
  return fill (backend, MPI_COMM_WORLD, TRUE, error);
}
