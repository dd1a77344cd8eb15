/* ranks-in-threads.c - ranks that are threads of the test
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "ranks-in-threads.h"

#include <string.h>

/* Ranks meet here: each shows a buffer, all read, and nobody leaves before all have read. */
typedef struct
{
  gatomicrefcount references;
  int n, n_here;
  guint64 round;
  GMutex mutex;
  GCond changed;
  const void **shown; /* (n) */
  gpointer *made;     /* (n): of split */
} Meeting;

typedef struct
{
  Meeting *meeting;
  int rank;
  int *good; /* calls left before failure; NULL: for ever */
} Member;

static Meeting *
meeting_new (int n)
{
  Meeting *meeting = g_new0 (Meeting, 1);

  g_atomic_ref_count_init (&meeting->references);
  meeting->n = n;
  g_mutex_init (&meeting->mutex);
  g_cond_init (&meeting->changed);
  meeting->shown = g_new0 (const void *, n);
  meeting->made = g_new0 (gpointer, n);
  return meeting;
}

static void
meeting_unref (Meeting *meeting)
{
  if (!g_atomic_ref_count_dec (&meeting->references))
    return;
  g_mutex_clear (&meeting->mutex);
  g_cond_clear (&meeting->changed);
  g_free (meeting->shown);
  g_free (meeting->made);
  g_free (meeting);
}

static void
meet (Meeting *meeting)
{
  guint64 round;

  g_mutex_lock (&meeting->mutex);
  round = meeting->round;
  if (++meeting->n_here == meeting->n)
    {
      meeting->n_here = 0;
      meeting->round++;
      g_cond_broadcast (&meeting->changed);
    }
  while (meeting->round == round)
    g_cond_wait (&meeting->changed, &meeting->mutex);
  g_mutex_unlock (&meeting->mutex);
}

static gboolean
show (Member *member, const void *memory, GError **error)
{
  gboolean fails = FALSE;

  member->meeting->shown[member->rank] = memory;
  meet (member->meeting);
  if (member->good != NULL)
    {
      fails = *member->good <= 0;
      meet (member->meeting);
      if (member->rank == 0)
        (*member->good)--;
    }
  if (fails)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "the test has cut the line");
  return !fails;
}

static gboolean
all_gather (gpointer data, const void *piece, void *whole, gsize bytes, GError **error)
{
  Member *member = data;
  g_autofree guint8 *copy = g_memdup2 (piece, bytes); /* piece may lie in whole */
  const gboolean good = show (member, copy, error);

  for (int r = 0; good && r < member->meeting->n; r++)
    memcpy ((guint8 *) whole + (gsize) r * bytes, member->meeting->shown[r], bytes);
  meet (member->meeting);
  return good;
}

static gboolean
all_to_all (gpointer data, const void *from, void *to, gsize bytes, GError **error)
{
  Member *member = data;
  const gboolean good = show (member, from, error);

  for (int r = 0; good && r < member->meeting->n; r++)
    memcpy ((guint8 *) to + (gsize) r * bytes,
            (const guint8 *) member->meeting->shown[r] + (gsize) member->rank * bytes, bytes);
  meet (member->meeting);
  return good;
}

static gboolean
broadcast (gpointer data, int root, void *memory, gsize bytes, GError **error)
{
  Member *member = data;
  const gboolean good = show (member, memory, error);

  if (good && member->rank != root)
    memcpy (memory, member->meeting->shown[root], bytes);
  meet (member->meeting);
  return good;
}

static gboolean split (gpointer data, int colour, SwittiCollectiveBackend *part, GError **error);

static void
abort_all (gpointer data)
{
  g_error ("a rank gives up");
}

static void
member_free (gpointer data)
{
  Member *member = data;

  meeting_unref (member->meeting);
  g_free (member);
}

static const SwittiCollectiveOps thread_ops = {
  .all_gather = all_gather,
  .all_to_all = all_to_all,
  .broadcast = broadcast,
  .split = split,
  .abort = abort_all,
  .free = member_free,
};

static gboolean
split (gpointer data, int colour, SwittiCollectiveBackend *part, GError **error)
{
  Member *member = data, *made = g_new0 (Member, 1);
  Meeting *all = member->meeting;
  int first = -1;

  *part = (SwittiCollectiveBackend){ .ops = &thread_ops, .data = made };
  all->shown[member->rank] = GINT_TO_POINTER (colour);
  meet (all);
  for (int r = 0; r < all->n; r++)
    if (GPOINTER_TO_INT (all->shown[r]) == colour)
      {
        if (first < 0)
          first = r;
        if (r == member->rank)
          part->rank = part->size;
        part->size++;
      }
  if (first == member->rank)
    all->made[first] = meeting_new (part->size);
  meet (all);
  made->meeting = all->made[first];
  made->rank = part->rank;
  made->good = member->good;
  if (first != member->rank)
    g_atomic_ref_count_inc (&made->meeting->references);
  meet (all);
  return TRUE;
}

typedef struct
{
  SwittiCollectiveBackend backend;
  RankFunc func;
  gpointer data;
} Start;

static gpointer
run_rank (gpointer data)
{
  const Start *start = data;
  g_autoptr (SwittiCollective) ranks = switti_collective_new (&start->backend);

  start->func (ranks, start->data);
  return NULL;
}

void
run_failing_ranks (int n, int good, RankFunc func, gpointer data)
{
  Meeting *meeting = meeting_new (n);
  g_autofree Start *starts = g_new0 (Start, n);
  g_autofree GThread **threads = g_new0 (GThread *, n);

  for (int r = 0; r < n; r++)
    {
      Member *member = g_new0 (Member, 1);

      member->meeting = meeting;
      member->rank = r;
      member->good = good >= 0 ? &good : NULL;
      g_atomic_ref_count_inc (&meeting->references);
      starts[r] = (Start){ { &thread_ops, member, r, n }, func, data };
      threads[r] = g_thread_new ("rank", run_rank, &starts[r]);
    }
  for (int r = 0; r < n; r++)
    g_thread_join (threads[r]);
  meeting_unref (meeting);
}

void
run_ranks (int n, RankFunc func, gpointer data)
{
  run_failing_ranks (n, -1, func, data);
}
