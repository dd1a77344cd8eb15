/* switti-parameters-text.c - which parameters a CLIP text encoder has, and CLIP's first values for them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-parameters-private.h"

#include <math.h>

/* Of the token embeddings; other deviations are gains of it, so that none is cut. */
#define DEVIATION 0.02
#define POSITION_DEVIATION 0.01

static void
add_vector (SwittiParameters *self, char *name, SwittiInitial initial, gint64 n, gboolean joined)
{
  switti_parameters_add (self, name, initial, 1, 1, &n, joined);
}

static void
add_matrix (SwittiParameters *self, char *name, double deviation, gint64 n, gint64 k, gboolean joined)
{
  switti_parameters_add (self, name, SWITTI_INITIAL_NORMAL, deviation / DEVIATION, 2, (gint64[]){ n, k }, joined);
}

static void
add_norm (SwittiParameters *self, const char *prefix, const char *name, gint64 width)
{
  add_vector (self, g_strconcat (prefix, name, ".weight", NULL), SWITTI_INITIAL_ONE, width, FALSE);
  add_vector (self, g_strconcat (prefix, name, ".bias", NULL), SWITTI_INITIAL_ZERO, width, FALSE);
}

static void
add_linear (SwittiParameters *self, const char *prefix, const char *name, double deviation, gint64 n, gint64 k)
{
  add_matrix (self, g_strconcat (prefix, name, ".weight", NULL), deviation, n, k, FALSE);
  add_vector (self, g_strconcat (prefix, name, ".bias", NULL), SWITTI_INITIAL_ZERO, n, FALSE);
}

static void
add_layer (SwittiParameters *self, const SwittiTextConfig *config, int index)
{
  static const char *const inputs[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj" };
  const gint64 width = config->width;
  const double deviation = 1 / sqrt ((double) width);
  const double output_deviation = deviation / sqrt (2.0 * config->layers);
  g_autofree char *layer = g_strdup_printf ("encoder.layers.%d.", index);

  switti_parameters_begin_unit (self, FALSE);
  add_norm (self, layer, "layer_norm1", width);
  /* The three lie side by side: a product takes them for one matrix of 3 * width rows. */
  for (gsize i = 0; i < G_N_ELEMENTS (inputs); i++)
    add_matrix (self, g_strconcat (layer, inputs[i], ".weight", NULL), deviation, width, width, i > 0);
  for (gsize i = 0; i < G_N_ELEMENTS (inputs); i++)
    add_vector (self, g_strconcat (layer, inputs[i], ".bias", NULL), SWITTI_INITIAL_ZERO, width, i > 0);
  add_linear (self, layer, "self_attn.out_proj", output_deviation, width, width);
  add_norm (self, layer, "layer_norm2", width);
  add_linear (self, layer, "mlp.fc1", deviation / G_SQRT2, config->mlp, width);
  add_linear (self, layer, "mlp.fc2", output_deviation, width, config->mlp);
}

SwittiParameters *
switti_text_parameters_new_sharded (SwittiDevice *device, const SwittiTextConfig *config, SwittiDtype dtype,
                                    SwittiSharding *sharding, GError **error)
{
  g_autoptr (SwittiParameters) self = switti_parameters_new (device, dtype, DEVIATION);

  switti_parameters_set_sharding (self, sharding);
  /* Units: embeddings, each layer, the final norm. */
  switti_parameters_begin_unit (self, TRUE);
  add_matrix (self, g_strdup ("embeddings.token_embedding.weight"), DEVIATION, config->vocab, config->width, FALSE);
  add_matrix (self, g_strdup ("embeddings.position_embedding.weight"), POSITION_DEVIATION, config->positions,
              config->width, FALSE);
  for (int i = 0; i < config->layers; i++)
    add_layer (self, config, i);
  switti_parameters_begin_unit (self, TRUE);
  add_norm (self, "", "final_layer_norm", config->width);
  if (!switti_parameters_allocate (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

SwittiParameters *
switti_text_parameters_new (SwittiDevice *device, const SwittiTextConfig *config, SwittiDtype dtype, GError **error)
{
  return switti_text_parameters_new_sharded (device, config, dtype, NULL, error);
}
