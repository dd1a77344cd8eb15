/* switti-residents.c - whole units of parameters, put together from the ranks' pieces while they are used
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-residents-private.h"

#define N_ROTATING 2
#define NO_UNIT G_MAXUINT

/* A place for a whole unit. */
typedef struct
{
  float *values;
  void *copies;
  guint unit; /* or NO_UNIT */
  guint64 ticket;
  gboolean is_here, is_held;
} Place;

struct _SwittiResidents
{
  SwittiDevice *device;
  const SwittiUnits *units;
  SwittiCollective *shards;
  const float *values;
  SwittiDtype dtype;
  guint n_places;
  Place *places; /* N_ROTATING, then one for each unit that stays */
};

static gboolean
place_allocate (SwittiResidents *self, Place *place, gsize count, GError **error)
{
  place->unit = NO_UNIT;
  if (count == 0)
    return TRUE;
  place->values = switti_device_alloc (self->device, count * sizeof (float), "the parameters that are used", error);
  if (place->values == NULL)
    return FALSE;
  if (self->dtype == SWITTI_DTYPE_F32)
    return TRUE;
  place->copies = switti_device_alloc (self->device, count * switti_dtype_size (self->dtype),
                                       "the parameters that are used, in bf16", error);
  return place->copies != NULL;
}

static gsize
whole_size (const SwittiResidents *self, guint unit)
{
  return switti_units_get (self->units, unit)->piece * (gsize) self->units->n_pieces;
}

SwittiResidents *
switti_residents_new (SwittiDevice *device, const SwittiUnits *units, const SwittiSharding *sharding,
                      const float *values, SwittiDtype dtype, GError **error)
{
  g_autoptr (SwittiResidents) self = g_new0 (SwittiResidents, 1);
  gsize largest = 0;

  self->device = g_object_ref (device);
  self->units = units;
  self->shards = switti_collective_ref (sharding->shards);
  self->values = values;
  self->dtype = dtype;
  self->places = g_new0 (Place, switti_units_get_n (units) + N_ROTATING);
  self->n_places = N_ROTATING;
  for (guint i = 0; i < switti_units_get_n (units); i++)
    if (!switti_units_get (units, i)->stays)
      largest = MAX (largest, whole_size (self, i));
    else if (!place_allocate (self, &self->places[self->n_places++], whole_size (self, i), error))
      return NULL;
  for (int i = 0; i < N_ROTATING; i++)
    if (!place_allocate (self, &self->places[i], largest, error))
      return NULL;
  return g_steal_pointer (&self);
}

void
switti_residents_free (SwittiResidents *self)
{
  if (self == NULL)
    return;
  /* What is still under way writes to the places. */
  for (guint i = 0; i < self->n_places; i++)
    switti_collective_wait (self->shards, self->places[i].ticket, NULL);
  for (guint i = 0; i < self->n_places; i++)
    {
      switti_device_free (self->device, self->places[i].values);
      switti_device_free (self->device, self->places[i].copies);
    }
  switti_collective_unref (self->shards);
  g_object_unref (self->device);
  g_free (self->places);
  g_free (self);
}

/* (nullable) */
static Place *
find_place (SwittiResidents *self, guint unit)
{
  for (guint i = 0; i < self->n_places; i++)
    if (self->places[i].unit == unit)
      return &self->places[i];
  return NULL;
}

/* Where a unit may go that is not here, or NULL. */
static Place *
choose_place (SwittiResidents *self, guint unit)
{
  guint own = N_ROTATING;

  if (!switti_units_get (self->units, unit)->stays)
    {
      for (guint i = 0; i < N_ROTATING; i++)
        if (!self->places[i].is_held)
          return &self->places[i];
      return NULL;
    }
  for (guint i = 0; i < unit; i++)
    own += switti_units_get (self->units, i)->stays;
  return &self->places[own];
}

static void
fetch (SwittiResidents *self, Place *place, guint index)
{
  const SwittiUnit *unit = switti_units_get (self->units, index);

  place->unit = index;
  place->is_here = FALSE;
  place->ticket = switti_collective_begin_all_gather (self->shards, self->values + unit->local, place->values,
                                                      unit->piece, SWITTI_DTYPE_F32);
}

void
switti_residents_prefetch (SwittiResidents *self, guint unit)
{
  Place *place;

  if (find_place (self, unit) != NULL)
    return;
  place = choose_place (self, unit);
  if (place != NULL)
    fetch (self, place, unit);
}

gboolean
switti_residents_acquire (SwittiResidents *self, guint unit, GError **error)
{
  Place *place;

  switti_residents_prefetch (self, unit);
  place = find_place (self, unit);
  g_assert (place != NULL);
  if (!place->is_here)
    {
      if (!switti_collective_wait (self->shards, place->ticket, error))
        return FALSE;
      if (place->copies != NULL)
        SWITTI_RUN (self->device, convert, (gint64) whole_size (self, unit), SWITTI_DTYPE_F32, place->values,
                    self->dtype, place->copies);
      place->is_here = TRUE;
    }
  place->is_held = TRUE;
  return TRUE;
}

void
switti_residents_release (SwittiResidents *self, guint unit)
{
  Place *place = find_place (self, unit);

  if (place != NULL)
    place->is_held = FALSE;
}

void
switti_residents_release_all (SwittiResidents *self)
{
  for (guint i = 0; i < self->n_places; i++)
    self->places[i].is_held = FALSE;
}

void
switti_residents_invalidate (SwittiResidents *self)
{
  for (guint i = 0; i < self->n_places; i++)
    {
      self->places[i].unit = NO_UNIT;
      self->places[i].is_here = self->places[i].is_held = FALSE;
    }
}

static const Place *
held_place (SwittiResidents *self, gsize offset, gsize *index)
{
  const guint unit = switti_units_find (self->units, offset);
  const Place *place = find_place (self, unit);

  g_assert (place != NULL && place->is_held);
  *index = offset - switti_units_get (self->units, unit)->begin;
  return place;
}

const float *
switti_residents_at (SwittiResidents *self, gsize offset)
{
  gsize index;
  const Place *place = held_place (self, offset, &index);

  return place->values + index;
}

const void *
switti_residents_copy_at (SwittiResidents *self, gsize offset)
{
  gsize index;
  const Place *place = held_place (self, offset, &index);

  return (const guint8 *) place->copies + index * switti_dtype_size (self->dtype);
}
