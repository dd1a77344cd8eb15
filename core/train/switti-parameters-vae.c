/* switti-parameters-vae.c - which parameters an RQ-VAE has, and their first values
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-parameters-private.h"

#include "switti-pyramid-private.h"
#include "switti-vae-layers-private.h"

#include <math.h>

static void
add_vector (SwittiParameters *self, char *name, SwittiInitial initial, gint64 n)
{
  switti_parameters_add (self, name, initial, 1, 1, &n, FALSE);
}

/* Weights of PyTorch's own deviation, sqrt (1 / 3 fan). */
static void
add_conv (SwittiParameters *self, char *weight, char *bias, gint64 c_out, gint64 c_in, gint64 kernel)
{
  const double gain = sqrt (1.0 / (3.0 * (double) (c_in * kernel * kernel)));

  switti_parameters_add (self, weight, SWITTI_INITIAL_NORMAL, gain, 4, (gint64[]){ c_out, c_in, kernel, kernel },
                         FALSE);
  add_vector (self, bias, SWITTI_INITIAL_ZERO, c_out);
}

static void
add_layer (SwittiParameters *self, const SwittiVaeLayerSpec *spec)
{
  for (int i = 0; i < SWITTI_VAE_LAYER_NORMS; i++)
    {
      g_autofree char *name = switti_vae_spec_norm_name (spec, i);
      const gint64 channels = switti_vae_spec_norm_channels (spec, i);

      if (name == NULL)
        continue;
      add_vector (self, g_strconcat (name, ".weight", NULL), SWITTI_INITIAL_ONE, channels);
      add_vector (self, g_strconcat (name, ".bias", NULL), SWITTI_INITIAL_ZERO, channels);
    }
  for (int i = 0; i < SWITTI_VAE_LAYER_CONVS; i++)
    {
      g_autofree char *name = switti_vae_spec_conv_name (spec, i);
      SwittiConv conv;

      if (switti_vae_spec_conv (spec, i, 1, SWITTI_DTYPE_F32, &conv))
        add_conv (self, g_strconcat (name, ".weight", NULL), g_strconcat (name, ".bias", NULL), conv.c_out, conv.c_in,
                  conv.kernel);
    }
}

static void
add_all (SwittiParameters *self, const SwittiVaeConfig *config)
{
  g_autoptr (GArray) encoder = switti_vae_encoder_specs (config->ch, config->latent);
  g_autoptr (GArray) decoder = switti_vae_decoder_specs (config->ch, config->latent);
  const gint64 z = config->latent;
  const int n_phi = config->quant_resi != 0 ? switti_pyramid_count_phi (config) : 0;

  for (guint i = 0; i < encoder->len; i++)
    add_layer (self, &g_array_index (encoder, SwittiVaeLayerSpec, i));
  for (guint i = 0; i < decoder->len; i++)
    add_layer (self, &g_array_index (decoder, SwittiVaeLayerSpec, i));
  switti_parameters_add (self, g_strdup ("quantize.embedding.weight"), SWITTI_INITIAL_NORMAL, sqrt (1.0 / (double) z),
                         2, (gint64[]){ config->vocab, z }, FALSE);
  for (int i = 0; i < n_phi; i++)
    add_conv (self, switti_pyramid_phi_name (config, i, "weight"), switti_pyramid_phi_name (config, i, "bias"), z, z,
              3);
}

SwittiParameters *
switti_vae_parameters_new (SwittiDevice *device, const SwittiVaeConfig *config, GError **error)
{
  g_autoptr (SwittiParameters) self = switti_parameters_new (device, SWITTI_DTYPE_F32, 1);

  add_all (self, config);
  return switti_parameters_allocate (self, error) ? g_steal_pointer (&self) : NULL;
}

SwittiParameters *
switti_vae_parameters_new_with_hits (SwittiDevice *device, const SwittiVaeConfig *config, GError **error)
{
  g_autoptr (SwittiParameters) self = switti_parameters_new (device, SWITTI_DTYPE_F32, 1);
  SwittiParameter *hits;

  add_all (self, config);
  hits = switti_parameters_add (self, g_strdup (SWITTI_VAE_HITS), SWITTI_INITIAL_ONE, 1, 2,
                                (gint64[]){ config->schedule.n_scales, config->vocab }, FALSE);
  hits->is_frozen = hits->is_optional = TRUE;
  return switti_parameters_allocate (self, error) ? g_steal_pointer (&self) : NULL;
}
