/* switti-collective-private.h - what the processes of a training (ranks) tell each other
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * All ranks of a collective call the same functions in the same order. What begins runs on a thread of its own, one
 * after another, while the caller computes; buffers are the collective's until it is waited for. Sums are taken in the
 * order of the ranks, so that the same ranks give the same bits. Calls of one thread.
 *
 * A backend fills SwittiCollectiveOps: MPI on processors (switti-collective-mpi.c), NCCL on GPUs
 * (switti-collective-nccl.c). Memory is the device's, or the host's for a few numbers; where the device's is not the
 * host's, the backend does the sums, too.
 */
#pragma once

#include "switti-kernels.h"

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _SwittiCollective SwittiCollective;
typedef struct _SwittiCollectiveBackend SwittiCollectiveBackend;

/* What a backend does; each blocks until it is done on this rank, and is called on any one thread at a time. `bytes`
 * and `count` are those of one rank's piece; sizes are the same on all ranks. */
typedef struct
{
  gboolean (*all_gather) (gpointer data, const void *piece, void *whole, gsize bytes, GError **error);
  /* Piece r of `from` to rank r; piece r of `to` from rank r. */
  gboolean (*all_to_all) (gpointer data, const void *from, void *to, gsize bytes, GError **error);
  gboolean (*broadcast) (gpointer data, int root, void *memory, gsize bytes, GError **error);
  /* Sums; NULL where the memory is the host's: they are made of the above. */
  gboolean (*reduce_scatter) (gpointer data, const void *whole, void *piece, gsize count, SwittiDtype dtype,
                              GError **error);
  gboolean (*all_reduce) (gpointer data, void *memory, gsize count, SwittiDtype dtype, GError **error);
  /* Where memory is a device's, whose ops are done after they have returned; NULL where they are done then. attach:
   * the device's own name of the stream that ops go to (SwittiKernels.native_stream). mark: what the device has been
   * given so far, on the thread that begins something; follow: what comes next waits for that, on the thread that does
   * it, and takes the mark over. */
  void (*attach) (gpointer data, void *stream);
  gpointer (*mark) (gpointer data);
  gboolean (*follow) (gpointer data, gpointer mark, GError **error);
  /* The ranks that gave the same colour, in their order. */
  gboolean (*split) (gpointer data, int colour, SwittiCollectiveBackend *part, GError **error);
  /* Ends the processes of all ranks; this one's, too, or it is about to end. */
  void (*abort) (gpointer data);
  void (*free) (gpointer data);
} SwittiCollectiveOps;

struct _SwittiCollectiveBackend
{
  const SwittiCollectiveOps *ops;
  gpointer data;
  int rank, size;
};

/* One rank: everything is there already. */
SwittiCollective *switti_collective_new_single (void);
/* Takes over the backend's data. */
SwittiCollective *switti_collective_new (const SwittiCollectiveBackend *backend);
/* A part of `self`, which shares its thread. NULL on failure. */
SwittiCollective *switti_collective_split (SwittiCollective *self, int colour, GError **error);
SwittiCollective *switti_collective_ref (SwittiCollective *self);
/* Waits for what has begun. */
void switti_collective_unref (SwittiCollective *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiCollective, switti_collective_unref)

/* From now on what begins comes after what this stream was given before. Nothing on a backend of the host's memory. */
void switti_collective_attach (SwittiCollective *self, void *stream);

/* For main(), when this rank cannot go on and the others would wait for it: ends all of them. Returns where there is
 * but one. */
void switti_collective_abort (SwittiCollective *self);

int switti_collective_get_rank (SwittiCollective *self);
int switti_collective_get_size (SwittiCollective *self);

/* `count` elements a rank; dtype F32, BF16 or F64, of sums F32 or F64. piece may lie at its place in whole. Each
 * returns what switti_collective_wait() takes. */
guint64 switti_collective_begin_all_gather (SwittiCollective *self, const void *piece, void *whole, gsize count,
                                            SwittiDtype dtype);
guint64 switti_collective_begin_reduce_scatter (SwittiCollective *self, const void *whole, void *piece, gsize count,
                                                SwittiDtype dtype);
/* memory (count) = the sum over all ranks */
guint64 switti_collective_begin_all_reduce (SwittiCollective *self, void *memory, gsize count, SwittiDtype dtype);
/* Waits for it and all that began before. FALSE when one of them failed, then and ever after. */
gboolean switti_collective_wait (SwittiCollective *self, guint64 ticket, GError **error);

/* At once. */
gboolean switti_collective_all_reduce (SwittiCollective *self, void *memory, gsize count, SwittiDtype dtype,
                                       GError **error);
gboolean switti_collective_broadcast (SwittiCollective *self, int root, void *memory, gsize bytes, GError **error);
/* Until all ranks are here. */
gboolean switti_collective_barrier (SwittiCollective *self, GError **error);
/* TRUE where `mine` is TRUE on all ranks; otherwise an error, on those whose `mine` is TRUE, too: nobody goes on
 * alone. `error` keeps what it holds. */
gboolean switti_collective_agree (SwittiCollective *self, gboolean mine, GError **error);

G_END_DECLS
