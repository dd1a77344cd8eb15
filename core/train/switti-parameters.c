/* switti-parameters.c - the parameters of a transformer in training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-parameters-private.h"

#include "switti-random-private.h"

#include <math.h>
#include <string.h>

/* Elements that offsets are multiples of: 64 bytes of bf16. */
#define ALIGNMENT 32
/* The published trunc_normal_ cuts at +-2, whatever the deviation. */
#define NORMAL_LIMIT 2.0
#define GATE_GAIN 1e-5
#define MODULATION_GAIN 0.5
#define HEAD_GAIN 0.02

struct _SwittiParameters
{
  SwittiDevice *device;
  SwittiTransformerConfig config;
  SwittiDtype dtype;
  GArray *list;       /* SwittiParameter */
  GHashTable *by_name; /* name (of the list) -> index */
  gsize size;
  gboolean overflow;
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

/* Takes ownership of name. A dimension of 0 ends dims. */
static SwittiParameter *
add (SwittiParameters *self, char *name, SwittiInitial initial, double gain, gint64 d0, gint64 d1, gint64 d2)
{
  const gint64 dims[] = { d0, d1, d2 };
  SwittiParameter parameter = { .name = name, .initial = initial, .gain = gain, .decays = takes_decay (name) };

  while (parameter.n_dims < 3 && dims[parameter.n_dims] > 0)
    {
      parameter.dims[parameter.n_dims] = dims[parameter.n_dims];
      parameter.n_dims++;
    }
  parameter.offset = self->size;
  if (!switti_shape_count (parameter.n_dims, parameter.dims, &parameter.count)
      || !g_size_checked_add (&self->size, self->size, parameter.count)
      || !g_size_checked_add (&self->size, self->size, ALIGNMENT))
    self->overflow = TRUE;
  self->size -= self->size % ALIGNMENT;
  g_array_append_val (self->list, parameter);
  return &g_array_index (self->list, SwittiParameter, self->list->len - 1);
}

static void
add_linear (SwittiParameters *self, const char *name, SwittiInitial initial, double gain, gint64 n, gint64 k)
{
  add (self, g_strconcat (name, ".weight", NULL), initial, gain, n, k, 0);
  add (self, g_strconcat (name, ".bias", NULL), SWITTI_INITIAL_ZERO, 1, n, 0, 0);
}

/* gate_proj and up_proj lie side by side: a product takes both for one matrix of 2F rows. */
static void
add_swiglu (SwittiParameters *self, const char *block, gint64 c, gint64 f)
{
  const SwittiParameter *gate
      = add (self, g_strconcat (block, "ffn.gate_proj.weight", NULL), SWITTI_INITIAL_NORMAL, 1, f, c, 0);
  const gsize behind_gate = gate->offset + gate->count;
  SwittiParameter *up;

  self->size = behind_gate;
  up = add (self, g_strconcat (block, "ffn.up_proj.weight", NULL), SWITTI_INITIAL_NORMAL, 1, f, c, 0);
  g_assert (up->offset == behind_gate);
  add (self, g_strconcat (block, "ffn.down_proj.weight", NULL), SWITTI_INITIAL_NORMAL, 1, c, f, 0);
}

static void
add_block (SwittiParameters *self, int index)
{
  static const char *const norms[] = { "self_attention_norm1",  "self_attention_norm2", "cross_attention_norm1",
                                       "cross_attention_norm2", "ffn_norm1",            "ffn_norm2" };
  const SwittiTransformerConfig *config = &self->config;
  const gint64 c = config->width, f = config->ffn_hidden;
  const double output_gain = 1 / sqrt (2.0 * config->depth);
  g_autofree char *block = g_strdup_printf ("blocks.%d.", index);
  const struct
  {
    const char *name;
    SwittiInitial initial;
    double gain;
    gint64 n, k;
    gboolean is_there;
  } linears[] = {
    { "attn.to_qkv", SWITTI_INITIAL_NORMAL, 1, 3 * c, c, TRUE },
    { "attn.proj", SWITTI_INITIAL_NORMAL, output_gain, c, c, TRUE },
    { "cross_attn.to_q", SWITTI_INITIAL_NORMAL, 1, c, c, TRUE },
    { "cross_attn.to_kv", SWITTI_INITIAL_NORMAL, 1, 2 * c, config->context_dim, TRUE },
    { "cross_attn.proj", SWITTI_INITIAL_NORMAL, output_gain, c, c, TRUE },
    { "ffn.fc1", SWITTI_INITIAL_NORMAL, 1, f, c, !config->swiglu },
    { "ffn.fc2", SWITTI_INITIAL_NORMAL, output_gain, c, f, !config->swiglu },
    { "ada_lin.1", SWITTI_INITIAL_MODULATION, 1, 6 * c, c, TRUE },
  };

  if (config->crop_cond)
    add (self, g_strconcat (block, "crop_cond_scales", NULL), SWITTI_INITIAL_ZERO, 1, 1, c, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (linears); i++)
    if (linears[i].is_there)
      {
        g_autofree char *name = g_strconcat (block, linears[i].name, NULL);

        add_linear (self, name, linears[i].initial, linears[i].gain, linears[i].n, linears[i].k);
      }
  if (config->swiglu)
    add_swiglu (self, block, c, f);
  for (gsize i = 0; i < G_N_ELEMENTS (norms); i++)
    add (self, g_strconcat (block, norms[i], ".weight", NULL), SWITTI_INITIAL_ONE, 1, c, 0, 0);
  add (self, g_strconcat (block, "attention_y_norm.weight", NULL), SWITTI_INITIAL_ONE, 1, config->context_dim, 0, 0);
}

static void
add_all (SwittiParameters *self)
{
  const SwittiTransformerConfig *config = &self->config;
  const gint64 c = config->width;

  add (self, g_strdup ("pos_start"), SWITTI_INITIAL_NORMAL, 1, 1, 1, c);
  if (!config->rope)
    add (self, g_strdup ("pos_1LC"), SWITTI_INITIAL_NORMAL, 1, 1, switti_schedule_length (&config->schedule), c);
  add_linear (self, "word_embed", SWITTI_INITIAL_NORMAL, 1, c, config->latent);
  add_linear (self, "text_pooler", SWITTI_INITIAL_NORMAL, 1, c, config->pooled_dim);
  add (self, g_strdup ("lvl_embed.weight"), SWITTI_INITIAL_NORMAL, 1, config->schedule.n_scales, c, 0);
  for (int i = 0; i < config->depth; i++)
    add_block (self, i);
  if (config->crop_cond)
    {
      add (self, g_strdup ("crop_embed.weight"), SWITTI_INITIAL_FREQUENCIES, 1, c / 8, 0, 0)->is_frozen = TRUE;
      add_linear (self, "crop_proj", SWITTI_INITIAL_NORMAL, 1, c, c);
    }
  add_linear (self, "head_nm.ada_lin.1", SWITTI_INITIAL_NORMAL, MODULATION_GAIN, 2 * c, c);
  add_linear (self, "head", SWITTI_INITIAL_NORMAL, HEAD_GAIN, config->vocab, c);
  for (guint i = 0; i < self->list->len; i++)
    g_hash_table_insert (self->by_name, g_array_index (self->list, SwittiParameter, i).name, GUINT_TO_POINTER (i));
}

/* -- life ------------------------------------------------------------------------------------------------------ */

static gboolean
allocate (SwittiParameters *self, GError **error)
{
  gsize bytes;

  /* An overflow is refused by the device, which says so. */
  if (self->overflow || !g_size_checked_mul (&bytes, self->size, sizeof (float)))
    bytes = G_MAXSIZE;
  self->values = switti_device_alloc (self->device, bytes, "the parameters", error);
  if (self->values == NULL)
    return FALSE;
  SWITTI_RUN (self->device, clear, self->values, bytes);
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
switti_parameters_new (SwittiDevice *device, const SwittiTransformerConfig *config, SwittiDtype dtype, GError **error)
{
  g_autoptr (SwittiParameters) self = g_new0 (SwittiParameters, 1);

  g_assert (dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16);
  self->device = g_object_ref (device);
  self->config = *config;
  self->dtype = dtype;
  self->list = g_array_new (FALSE, FALSE, sizeof (SwittiParameter));
  g_array_set_clear_func (self->list, clear_parameter);
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  add_all (self);
  if (!allocate (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_parameters_free (SwittiParameters *self)
{
  if (self == NULL)
    return;
  switti_device_free (self->device, self->values);
  switti_device_free (self->device, self->copies);
  g_hash_table_unref (self->by_name);
  g_array_unref (self->list);
  g_object_unref (self->device);
  g_free (self);
}

/* -- values ---------------------------------------------------------------------------------------------------- */

static void
make_initial (const SwittiParameters *self, const SwittiParameter *parameter, guint64 seed, double deviation,
              float *values)
{
  const SwittiRandom random = switti_random_new (seed, parameter->name);
  const gsize gates = 2 * (gsize) self->config.width * (gsize) self->config.width;

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
      switti_random_truncated_normal (&random, deviation, NORMAL_LIMIT, parameter->count, values);
      for (gsize i = 0; i < parameter->count; i++)
        values[i] *= (float) parameter->gain;
      break;
    case SWITTI_INITIAL_MODULATION:
      switti_random_truncated_normal (&random, deviation, NORMAL_LIMIT, parameter->count, values);
      for (gsize i = 0; i < parameter->count; i++)
        values[i] *= (float) (i < gates ? GATE_GAIN : MODULATION_GAIN);
      break;
    }
}

static gboolean
upload (SwittiParameters *self, const SwittiParameter *parameter, const float *values, GError **error)
{
  SWITTI_RUN (self->device, upload, self->values + parameter->offset, values, parameter->count * sizeof (float));
  return TRUE;
}

gboolean
switti_parameters_initialise (SwittiParameters *self, guint64 seed, double deviation, GError **error)
{
  if (deviation <= 0)
    deviation = sqrt (1.0 / (3.0 * self->config.width));
  for (guint i = 0; i < self->list->len; i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (self, i);
      g_autofree float *values = g_new (float, parameter->count);

      make_initial (self, parameter, seed, deviation, values);
      if (!upload (self, parameter, values, error))
        return FALSE;
    }
  return switti_parameters_refresh (self, error);
}

gboolean
switti_parameters_load (SwittiParameters *self, SwittiWeights *weights, GError **error)
{
  for (guint i = 0; i < self->list->len; i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (self, i);
      g_autofree float *values = g_new (float, parameter->count);

      if (!switti_weights_read_f32 (weights, parameter->name, parameter->n_dims, parameter->dims, values, error)
          || !upload (self, parameter, values, error))
        return FALSE;
    }
  return switti_parameters_refresh (self, error);
}

gboolean
switti_parameters_refresh (SwittiParameters *self, GError **error)
{
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

const SwittiTransformerConfig *
switti_parameters_get_config (SwittiParameters *self)
{
  return &self->config;
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
