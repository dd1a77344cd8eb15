/* switti-parameters.c - the parameters of a model in training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-parameters-private.h"

#include "switti-random-private.h"
#include "switti-residents-private.h"

#include <math.h>
#include <string.h>

/* Elements that offsets are multiples of: 64 bytes of bf16. */
#define ALIGNMENT 32
/* The published trunc_normal_ cuts at +-2, whatever the deviation. */
#define NORMAL_LIMIT 2.0

static const SwittiInitialGains published_gains = { .head = 0.02, .modulation = 0.5, .gate = 1e-5 };

struct _SwittiParameters
{
  SwittiDevice *device;
  SwittiDtype dtype;
  double deviation; /* of the normal numbers, before their gains */
  SwittiInitialGains gains;
  GArray *list;       /* SwittiParameter */
  GHashTable *by_name; /* name (of the list) -> index */
  gsize size; /* of all ranks' elements */
  gboolean overflow;
  SwittiSharding *sharding;   /* (nullable) */
  SwittiUnits *units;
  SwittiResidents *residents; /* NULL where everything is here */
  float *values;
  void *copies;
};

/* -- the list -------------------------------------------------------------------------------------------------- */

static gboolean
takes_decay (const char *name)
{
  static const char *const exempt[] = { "pos_embed", "pos_1LC", "pos_start", "start_pos", "lvl_embed",
                                        "gamma",     "beta",    "ada_gss",   "moe_bias",  "scale_mul" };

  if (g_str_has_suffix (name, "bias"))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (exempt); i++)
    if (strstr (name, exempt[i]) != NULL)
      return FALSE;
  return TRUE;
}

SwittiParameter *
switti_parameters_add (SwittiParameters *self, char *name, SwittiInitial initial, double gain, int n_dims,
                       const gint64 *dims, gboolean joined)
{
  SwittiParameter parameter
      = { .name = name, .n_dims = n_dims, .initial = initial, .gain = gain, .decays = takes_decay (name) };

  g_assert (self->values == NULL && n_dims <= (int) G_N_ELEMENTS (parameter.dims));
  for (int i = 0; i < n_dims; i++)
    parameter.dims[i] = dims[i];
  if (joined && self->list->len > 0)
    {
      const SwittiParameter *before = switti_parameters_get (self, self->list->len - 1);

      self->size = before->offset + before->count;
    }
  parameter.offset = self->size;
  if (!switti_shape_count (parameter.n_dims, parameter.dims, &parameter.count)
      || !g_size_checked_add (&self->size, self->size, parameter.count)
      || !g_size_checked_add (&self->size, self->size, ALIGNMENT))
    self->overflow = TRUE;
  self->size -= self->size % ALIGNMENT;
  g_hash_table_insert (self->by_name, name, GUINT_TO_POINTER (self->list->len));
  g_array_append_val (self->list, parameter);
  return &g_array_index (self->list, SwittiParameter, self->list->len - 1);
}

/* -- life ------------------------------------------------------------------------------------------------------ */

gboolean
switti_parameters_allocate (SwittiParameters *self, GError **error)
{
  gsize bytes;

  if (!switti_units_finish (self->units, self->size))
    self->overflow = TRUE;
  /* An overflow is refused by the device, which says so. */
  if (self->overflow || !g_size_checked_mul (&bytes, self->units->local_size, sizeof (float)))
    bytes = G_MAXSIZE;
  self->values = switti_device_alloc (self->device, bytes, "the parameters", error);
  if (self->values == NULL)
    return FALSE;
  SWITTI_RUN (self->device, clear, self->values, bytes);
  if (self->units->n_pieces > 1)
    {
      self->residents
          = switti_residents_new (self->device, self->units, self->sharding, self->values, self->dtype, error);
      return self->residents != NULL;
    }
  if (self->dtype == SWITTI_DTYPE_F32)
    return TRUE;
  self->copies = switti_device_alloc (self->device, self->size * switti_dtype_size (self->dtype),
                                      "the parameters in bf16", error);
  return self->copies != NULL;
}

static void
clear_parameter (gpointer data)
{
  SwittiParameter *parameter = data;

  g_free (parameter->name);
}

SwittiParameters *
switti_parameters_new (SwittiDevice *device, SwittiDtype dtype, double deviation)
{
  SwittiParameters *self = g_new0 (SwittiParameters, 1);

  g_assert (dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16 || dtype == SWITTI_DTYPE_F16);
  self->device = g_object_ref (device);
  self->dtype = dtype;
  self->deviation = deviation;
  self->gains = published_gains;
  self->list = g_array_new (FALSE, FALSE, sizeof (SwittiParameter));
  g_array_set_clear_func (self->list, clear_parameter);
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  self->units = switti_units_new (NULL);
  return self;
}

void
switti_parameters_set_sharding (SwittiParameters *self, SwittiSharding *sharding)
{
  g_assert (self->list->len == 0 && self->sharding == NULL);
  if (sharding == NULL)
    return;
  self->sharding = switti_sharding_ref (sharding);
  switti_units_free (self->units);
  self->units = switti_units_new (sharding);
}

void
switti_parameters_begin_unit (SwittiParameters *self, gboolean stays)
{
  switti_units_begin (self->units, self->size, stays);
}

void
switti_parameters_free (SwittiParameters *self)
{
  if (self == NULL)
    return;
  switti_residents_free (self->residents);
  switti_units_free (self->units);
  switti_sharding_unref (self->sharding);
  switti_device_free (self->device, self->values);
  switti_device_free (self->device, self->copies);
  g_hash_table_unref (self->by_name);
  g_array_unref (self->list);
  g_object_unref (self->device);
  g_free (self);
}

/* -- values ---------------------------------------------------------------------------------------------------- */

static void
make_initial (const SwittiParameter *parameter, guint64 seed, double deviation, const SwittiInitialGains *given,
              float *values)
{
  const SwittiRandom random = switti_random_new (seed, parameter->name);
  const gsize gates = parameter->count / 3; /* two of the six modulations, and the first */

  switch (parameter->initial)
    {
    case SWITTI_INITIAL_ZERO:
    case SWITTI_INITIAL_ONE:
      for (gsize i = 0; i < parameter->count; i++)
        values[i] = parameter->initial == SWITTI_INITIAL_ONE ? 1.0f : 0.0f;
      break;
    case SWITTI_INITIAL_FREQUENCIES:
      switti_random_truncated_normal (&random, 1.0, HUGE_VAL, parameter->count, values);
      break;
    case SWITTI_INITIAL_NORMAL:
    case SWITTI_INITIAL_HEAD_MODULATION:
    case SWITTI_INITIAL_HEAD:
      switti_random_truncated_normal (&random, deviation, NORMAL_LIMIT, parameter->count, values);
      for (gsize i = 0; i < parameter->count; i++)
        values[i] *= (float) (parameter->initial == SWITTI_INITIAL_NORMAL ? parameter->gain
                              : parameter->initial == SWITTI_INITIAL_HEAD ? given->head
                                                                          : given->modulation);
      break;
    case SWITTI_INITIAL_MODULATION:
      switti_random_truncated_normal (&random, deviation, NORMAL_LIMIT, parameter->count, values);
      for (gsize i = 0; i < parameter->count; i++)
        values[i] *= (float) (i < gates ? given->gate : given->modulation);
      break;
    }
}

void
switti_parameters_set_gains (SwittiParameters *self, const SwittiInitialGains *gains)
{
  self->gains = *gains;
}

static gboolean
upload (SwittiParameters *self, const SwittiParameter *parameter, const float *values, GError **error)
{
  gsize first, n, local;

  switti_parameters_get_piece (self, parameter, &first, &n, &local);
  if (n > 0)
    SWITTI_RUN (self->device, upload, self->values + local, values + first, n * sizeof (float));
  return TRUE;
}

gboolean
switti_parameters_initialise (SwittiParameters *self, guint64 seed, double deviation, GError **error)
{
  if (deviation <= 0)
    deviation = self->deviation;
  for (guint i = 0; i < self->list->len; i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (self, i);
      g_autofree float *values = g_new (float, parameter->count);

      make_initial (parameter, seed, deviation, &self->gains, values);
      if (!upload (self, parameter, values, error))
        return FALSE;
    }
  return switti_parameters_refresh (self, error);
}

/* The rows that a stored matrix of another number of rows has in common with the parameter. */
static gboolean
load_common_rows (SwittiParameters *self, const SwittiParameter *parameter, SwittiWeights *weights, gint64 stored,
                  GError **error)
{
  const gint64 width = parameter->dims[1], rows = MIN (stored, parameter->dims[0]);
  g_autofree float *values = g_new (float, (gsize) (stored * width));

  if (!switti_weights_read_f32 (weights, parameter->name, 2, (gint64[]){ stored, width }, values, error))
    return FALSE;
  SWITTI_RUN (self->device, upload, self->values + parameter->offset, values, (gsize) (rows * width) * sizeof (float));
  return TRUE;
}

static gboolean
has_shape (const SwittiTensor *tensor, const SwittiParameter *parameter)
{
  return tensor->n_dims == parameter->n_dims
         && memcmp (tensor->dims, parameter->dims, sizeof *tensor->dims * (gsize) tensor->n_dims) == 0;
}

static gboolean
load (SwittiParameters *self, SwittiWeights *weights, gboolean adapts, GError **error)
{
  for (guint i = 0; i < self->list->len; i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (self, i);
      g_autofree float *values = g_new (float, parameter->count);
      SwittiTensor stored;

      if (adapts && strcmp (parameter->name, "lvl_embed.weight") == 0
          && switti_weights_peek (weights, parameter->name, &stored) && stored.n_dims == 2
          && stored.dims[1] == parameter->dims[1])
        {
          if (!load_common_rows (self, parameter, weights, stored.dims[0], error))
            return FALSE;
          continue;
        }
      if (parameter->is_optional
          && (!switti_weights_peek (weights, parameter->name, &stored) || !has_shape (&stored, parameter)))
        continue;
      if (!switti_weights_read_f32 (weights, parameter->name, parameter->n_dims, parameter->dims, values, error)
          || !upload (self, parameter, values, error))
        return FALSE;
    }
  return switti_parameters_refresh (self, error);
}

gboolean
switti_parameters_load (SwittiParameters *self, SwittiWeights *weights, GError **error)
{
  return load (self, weights, FALSE, error);
}

gboolean
switti_parameters_load_adapted (SwittiParameters *self, SwittiWeights *weights, GError **error)
{
  return load (self, weights, TRUE, error);
}

gboolean
switti_parameters_refresh (SwittiParameters *self, GError **error)
{
  switti_parameters_forget (self);
  if (self->copies != NULL)
    SWITTI_RUN (self->device, convert, (gint64) self->size, SWITTI_DTYPE_F32, self->values, self->dtype, self->copies);
  return TRUE;
}

/* -- looking --------------------------------------------------------------------------------------------------- */

SwittiDevice *
switti_parameters_get_device (SwittiParameters *self)
{
  return self->device;
}

SwittiDtype
switti_parameters_get_dtype (SwittiParameters *self)
{
  return self->dtype;
}

guint
switti_parameters_get_n (SwittiParameters *self)
{
  return self->list->len;
}

const SwittiParameter *
switti_parameters_get (SwittiParameters *self, guint index)
{
  g_assert (index < self->list->len);
  return &g_array_index (self->list, SwittiParameter, index);
}

const SwittiParameter *
switti_parameters_find (SwittiParameters *self, const char *name)
{
  gpointer index;

  if (!g_hash_table_lookup_extended (self->by_name, name, NULL, &index))
    return NULL;
  return switti_parameters_get (self, GPOINTER_TO_UINT (index));
}

gsize
switti_parameters_get_size (SwittiParameters *self)
{
  return self->units->local_size;
}

gsize
switti_parameters_get_whole_size (SwittiParameters *self)
{
  return self->size;
}

float *
switti_parameters_get_values (SwittiParameters *self)
{
  return self->values;
}

void *
switti_parameters_get_copies (SwittiParameters *self)
{
  return self->copies;
}

/* -- shards ---------------------------------------------------------------------------------------------------- */

SwittiSharding *
switti_parameters_get_sharding (SwittiParameters *self)
{
  return self->sharding;
}

const SwittiUnits *
switti_parameters_get_units (SwittiParameters *self)
{
  return self->units;
}

void
switti_parameters_get_piece (SwittiParameters *self, const SwittiParameter *parameter, gsize *first, gsize *n,
                             gsize *local)
{
  switti_units_get_piece (self->units, parameter->offset, parameter->count, first, n, local);
}

/* One unit of `values`, through the device memory `buffer`. */
static gboolean
gather_unit (SwittiParameters *self, const SwittiUnit *unit, const float *values, float *buffer, float *whole,
             GError **error)
{
  const guint64 ticket = switti_collective_begin_all_gather (self->sharding->shards, values + unit->local, buffer,
                                                             unit->piece, SWITTI_DTYPE_F32);

  if (!switti_collective_wait (self->sharding->shards, ticket, error))
    return FALSE;
  if (whole != NULL)
    SWITTI_RUN (self->device, download, whole + unit->begin, buffer, (unit->end - unit->begin) * sizeof (float));
  return TRUE;
}

gboolean
switti_parameters_gather (SwittiParameters *self, const float *values, float *whole, GError **error)
{
  gboolean good = TRUE;
  gsize largest = 0;
  float *buffer;

  if (self->units->n_pieces == 1)
    {
      if (whole != NULL)
        SWITTI_RUN (self->device, download, whole, values, self->size * sizeof (float));
      return TRUE;
    }
  for (guint i = 0; i < switti_units_get_n (self->units); i++)
    largest = MAX (largest, switti_units_get (self->units, i)->piece);
  buffer = switti_device_alloc (self->device, largest * (gsize) self->units->n_pieces * sizeof (float),
                                "the gathered parameters", error);
  for (guint i = 0; buffer != NULL && good && i < switti_units_get_n (self->units); i++)
    good = gather_unit (self, switti_units_get (self->units, i), values, buffer, whole, error);
  switti_device_free (self->device, buffer);
  return buffer != NULL && good;
}

void
switti_parameters_prefetch (SwittiParameters *self, guint unit)
{
  if (self->residents != NULL)
    switti_residents_prefetch (self->residents, unit);
}

gboolean
switti_parameters_acquire (SwittiParameters *self, guint unit, GError **error)
{
  return self->residents == NULL || switti_residents_acquire (self->residents, unit, error);
}

void
switti_parameters_release (SwittiParameters *self, guint unit)
{
  if (self->residents != NULL)
    switti_residents_release (self->residents, unit);
}

void
switti_parameters_release_all (SwittiParameters *self)
{
  if (self->residents != NULL)
    switti_residents_release_all (self->residents);
}

void
switti_parameters_forget (SwittiParameters *self)
{
  if (self->residents != NULL)
    switti_residents_invalidate (self->residents);
}

const float *
switti_parameters_at (SwittiParameters *self, gsize offset)
{
  return self->residents == NULL ? self->values + offset : switti_residents_at (self->residents, offset);
}

const void *
switti_parameters_copy_at (SwittiParameters *self, gsize offset)
{
  if (self->residents != NULL)
    return switti_residents_copy_at (self->residents, offset);
  return (const guint8 *) self->copies + offset * switti_dtype_size (self->dtype);
}
