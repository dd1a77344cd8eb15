/* switti-gradient-array.c - the gradients of parameters, summed over ranks
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-gradient-array-private.h"

#define N_ROTATING 2
#define NO_UNIT G_MAXUINT

/* A place for a whole unit's gradients, and for this rank's piece of their sum. */
typedef struct
{
  float *values, *sum;
  guint unit; /* or NO_UNIT */
  guint64 ticket;
  gboolean is_held, is_summed; /* is_summed: begun, and not yet added to the array */
} Place;

struct _SwittiGradientArray
{
  SwittiDevice *device;
  const SwittiUnits *units;
  SwittiSharding *sharding; /* (nullable) */
  gsize bytes;
  float *values;
  guint n_places; /* 0 where the whole array is here */
  Place *places;
  guint next; /* rotating place */
};

/* -- life ------------------------------------------------------------------------------------------------------ */

static float *
allocate (SwittiGradientArray *self, gsize count, GError **error)
{
  self->bytes += count * sizeof (float);
  return switti_device_alloc (self->device, count * sizeof (float), "the gradients", error);
}

static gboolean
place_allocate (SwittiGradientArray *self, gsize piece, GError **error)
{
  Place *place = &self->places[self->n_places++];

  place->unit = NO_UNIT;
  if (piece == 0)
    return TRUE;
  place->values = allocate (self, piece * (gsize) self->units->n_pieces, error);
  if (place->values == NULL)
    return FALSE;
  place->sum = allocate (self, piece, error);
  return place->sum != NULL;
}

static gboolean
allocate_places (SwittiGradientArray *self, GError **error)
{
  gsize largest = 0;

  self->places = g_new0 (Place, switti_units_get_n (self->units) + N_ROTATING);
  for (guint i = 0; i < switti_units_get_n (self->units); i++)
    if (!switti_units_get (self->units, i)->stays)
      largest = MAX (largest, switti_units_get (self->units, i)->piece);
  for (int i = 0; i < N_ROTATING; i++)
    if (!place_allocate (self, largest, error))
      return FALSE;
  for (guint i = 0; i < switti_units_get_n (self->units); i++)
    if (switti_units_get (self->units, i)->stays
        && !place_allocate (self, switti_units_get (self->units, i)->piece, error))
      return FALSE;
  return TRUE;
}

SwittiGradientArray *
switti_gradient_array_new (SwittiParameters *parameters, GError **error)
{
  g_autoptr (SwittiGradientArray) self = g_new0 (SwittiGradientArray, 1);
  SwittiSharding *sharding = switti_parameters_get_sharding (parameters);

  self->device = g_object_ref (switti_parameters_get_device (parameters));
  self->units = switti_parameters_get_units (parameters);
  self->sharding = sharding != NULL ? switti_sharding_ref (sharding) : NULL;
  self->values = allocate (self, self->units->local_size, error);
  if (self->values == NULL || (self->units->n_pieces > 1 && !allocate_places (self, error))
      || !switti_gradient_array_clear (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_gradient_array_free (SwittiGradientArray *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n_places; i++)
    switti_collective_wait (self->sharding->ranks, self->places[i].ticket, NULL);
  for (guint i = 0; i < self->n_places; i++)
    {
      switti_device_free (self->device, self->places[i].values);
      switti_device_free (self->device, self->places[i].sum);
    }
  switti_device_free (self->device, self->values);
  switti_sharding_unref (self->sharding);
  g_object_unref (self->device);
  g_free (self->places);
  g_free (self);
}

/* -- units ----------------------------------------------------------------------------------------------------- */

/* The place where a held unit is, or NULL. */
static Place *
find_place (SwittiGradientArray *self, guint unit)
{
  for (guint i = 0; i < self->n_places; i++)
    if (self->places[i].is_held && self->places[i].unit == unit)
      return &self->places[i];
  return NULL;
}

static Place *
choose_place (SwittiGradientArray *self, guint unit)
{
  guint own = N_ROTATING;

  if (!switti_units_get (self->units, unit)->stays)
    return &self->places[self->next++ % N_ROTATING];
  for (guint i = 0; i < unit; i++)
    own += switti_units_get (self->units, i)->stays;
  return &self->places[own];
}

/* Waits for the sum of what a place held, and adds it to the array. */
static gboolean
take_sum (SwittiGradientArray *self, Place *place, GError **error)
{
  const SwittiUnit *unit;

  if (!place->is_summed)
    return TRUE;
  unit = switti_units_get (self->units, place->unit);
  if (!switti_collective_wait (self->sharding->ranks, place->ticket, error))
    return FALSE;
  place->is_summed = FALSE;
  SWITTI_RUN (self->device, accumulate, (gint64) unit->piece, 1.0f, place->sum, 0.0f, NULL,
              self->values + unit->local);
  return TRUE;
}

/* Until what the device has been told is done: the collectives read it on a thread of their own. */
static gboolean
synchronize (SwittiGradientArray *self, GError **error)
{
  return switti_device_check (
      self->device,
      switti_device_get_kernels (self->device)->synchronize (switti_device_get_context (self->device)), "synchronize",
      error);
}

gboolean
switti_gradient_array_acquire (SwittiGradientArray *self, guint unit, GError **error)
{
  Place *place;

  if (self->n_places == 0)
    return TRUE;
  /* What a failed run has left. */
  place = find_place (self, unit);
  if (place != NULL)
    place->is_held = FALSE;
  place = choose_place (self, unit);
  if (!take_sum (self, place, error))
    return FALSE;
  place->unit = unit;
  place->is_held = TRUE;
  SWITTI_RUN (self->device, clear, place->values,
              switti_units_get (self->units, unit)->piece * (gsize) self->units->n_pieces * sizeof (float));
  return TRUE;
}

gboolean
switti_gradient_array_release (SwittiGradientArray *self, guint index, GError **error)
{
  const SwittiUnit *unit = switti_units_get (self->units, index);
  Place *place = find_place (self, index);

  if (self->n_places == 0)
    return TRUE;
  g_assert (place != NULL && place->is_held);
  if (!synchronize (self, error))
    return FALSE;
  place->is_held = FALSE;
  place->is_summed = TRUE;
  place->ticket = switti_collective_begin_reduce_scatter (self->sharding->shards, place->values, place->sum,
                                                          unit->piece, SWITTI_DTYPE_F32);
  if (switti_collective_get_size (self->sharding->replicas) > 1)
    place->ticket = switti_collective_begin_all_reduce (self->sharding->replicas, place->sum, unit->piece,
                                                        SWITTI_DTYPE_F32);
  return TRUE;
}

float *
switti_gradient_array_at (SwittiGradientArray *self, gsize offset)
{
  guint unit;
  Place *place;

  if (self->n_places == 0)
    return self->values + offset;
  unit = switti_units_find (self->units, offset);
  place = find_place (self, unit);
  g_assert (place != NULL && place->is_held);
  return place->values + (offset - switti_units_get (self->units, unit)->begin);
}

/* -- the array ------------------------------------------------------------------------------------------------- */

gboolean
switti_gradient_array_clear (SwittiGradientArray *self, GError **error)
{
  SWITTI_RUN (self->device, clear, self->values, self->units->local_size * sizeof (float));
  return TRUE;
}

gboolean
switti_gradient_array_finish (SwittiGradientArray *self, GError **error)
{
  guint64 ticket = 0;

  for (guint i = 0; i < self->n_places; i++)
    if (!take_sum (self, &self->places[i], error))
      return FALSE;
  if (self->n_places > 0 || !switti_sharding_is_parallel (self->sharding))
    return TRUE;
  if (!synchronize (self, error))
    return FALSE;
  for (guint i = 0; i < switti_units_get_n (self->units); i++)
    {
      const SwittiUnit *unit = switti_units_get (self->units, i);

      ticket = switti_collective_begin_all_reduce (self->sharding->ranks, self->values + unit->local, unit->piece,
                                                   SWITTI_DTYPE_F32);
    }
  return switti_collective_wait (self->sharding->ranks, ticket, error);
}

float *
switti_gradient_array_get_values (SwittiGradientArray *self)
{
  return self->values;
}

gsize
switti_gradient_array_get_bytes (SwittiGradientArray *self)
{
  return self->bytes;
}
