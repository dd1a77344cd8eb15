/* switti-sharding.c - which rank holds which piece of the parameters
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-sharding-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>

/* Elements that pieces are multiples of: 64 bytes of bf16. */
#define ALIGNMENT 32

SwittiSharding *
switti_sharding_new (SwittiCollective *ranks, int n_replicas, GError **error)
{
  g_autoptr (SwittiSharding) self = g_new0 (SwittiSharding, 1);
  const int rank = switti_collective_get_rank (ranks), size = switti_collective_get_size (ranks);

  g_atomic_ref_count_init (&self->references);
  self->ranks = switti_collective_ref (ranks);
  if (n_replicas < 1 || size % n_replicas != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("%d ranks cannot be grouped by %d: the number of ranks must be a multiple."), size, n_replicas);
      return NULL;
    }
  self->shards = switti_collective_split (ranks, rank % n_replicas, error);
  if (self->shards == NULL)
    return NULL;
  self->replicas = switti_collective_split (ranks, rank / n_replicas, error);
  return self->replicas != NULL ? g_steal_pointer (&self) : NULL;
}

SwittiSharding *
switti_sharding_ref (SwittiSharding *self)
{
  g_atomic_ref_count_inc (&self->references);
  return self;
}

void
switti_sharding_unref (SwittiSharding *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->references))
    return;
  switti_collective_unref (self->replicas);
  switti_collective_unref (self->shards);
  switti_collective_unref (self->ranks);
  g_free (self);
}

int
switti_sharding_get_n_pieces (const SwittiSharding *self)
{
  return self != NULL ? switti_collective_get_size (self->shards) : 1;
}

int
switti_sharding_get_piece (const SwittiSharding *self)
{
  return self != NULL ? switti_collective_get_rank (self->shards) : 0;
}

gboolean
switti_sharding_is_parallel (const SwittiSharding *self)
{
  return self != NULL && switti_collective_get_size (self->ranks) > 1;
}

/* -- units ----------------------------------------------------------------------------------------------------- */

SwittiUnits *
switti_units_new (const SwittiSharding *sharding)
{
  SwittiUnits *self = g_new0 (SwittiUnits, 1);

  self->list = g_array_new (FALSE, FALSE, sizeof (SwittiUnit));
  self->n_pieces = switti_sharding_get_n_pieces (sharding);
  self->index = switti_sharding_get_piece (sharding);
  return self;
}

void
switti_units_free (SwittiUnits *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->list);
  g_free (self);
}

static SwittiUnit *
unit_at (const SwittiUnits *self, guint index)
{
  return &g_array_index (self->list, SwittiUnit, index);
}

void
switti_units_begin (SwittiUnits *self, gsize begin, gboolean stays)
{
  const SwittiUnit unit = { .begin = begin, .stays = stays };

  g_assert (self->list->len > 0 || begin == 0);
  if (self->list->len > 0)
    unit_at (self, self->list->len - 1)->end = begin;
  g_array_append_val (self->list, unit);
}

gboolean
switti_units_finish (SwittiUnits *self, gsize end)
{
  const gsize pieces = (gsize) self->n_pieces;

  if (self->list->len == 0)
    switti_units_begin (self, 0, TRUE);
  unit_at (self, self->list->len - 1)->end = end;
  for (guint i = 0; i < self->list->len; i++)
    {
      SwittiUnit *unit = unit_at (self, i);

      unit->piece = (unit->end - unit->begin) / pieces;
      if (pieces > 1)
        unit->piece = (unit->piece / ALIGNMENT + 1) * ALIGNMENT;
      unit->local = self->local_size;
      if (!g_size_checked_add (&self->local_size, self->local_size, unit->piece))
        return FALSE;
    }
  return TRUE;
}

guint
switti_units_get_n (const SwittiUnits *self)
{
  return self->list->len;
}

const SwittiUnit *
switti_units_get (const SwittiUnits *self, guint index)
{
  g_assert (index < self->list->len);
  return unit_at (self, index);
}

guint
switti_units_find (const SwittiUnits *self, gsize offset)
{
  guint first = 0, end = self->list->len;

  while (end - first > 1)
    {
      const guint middle = (first + end) / 2;

      if (unit_at (self, middle)->begin <= offset)
        first = middle;
      else
        end = middle;
    }
  return first;
}

void
switti_units_get_piece (const SwittiUnits *self, gsize offset, gsize count, gsize *first, gsize *n, gsize *local)
{
  const SwittiUnit *unit = unit_at (self, switti_units_find (self, offset));
  const gsize begin = unit->begin + (gsize) self->index * unit->piece, end = begin + unit->piece;
  const gsize from = CLAMP (begin, offset, offset + count), to = CLAMP (end, offset, offset + count);

  *first = from - offset;
  *n = to - from;
  *local = unit->local + (from - MIN (begin, from));
}
