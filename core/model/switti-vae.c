/* switti-vae.c - the VAE's encoder and decoder on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-vae-private.h"

#include "switti-error.h"
#include "switti-vae-layers-private.h"

#include <glib/gi18n-lib.h>

#define IMAGE_SCALE (1 << (SWITTI_VAE_LEVELS - 1)) /* pixels a latent position, each way */
#define GROUPS 32

struct _SwittiVae
{
  SwittiDevice *device;
  SwittiVaeConfig config;
  SwittiWeights *weights;
  SwittiDtype dtype;
  SwittiVaeHalf *decoder;
  SwittiVaeHalf *encoder; /* NULL until its first use */
  float *image;           /* one decoded image where the caller wants bytes alone */
  int image_side;
};

static int
last_side (const SwittiVaeConfig *config)
{
  return config->schedule.side[config->schedule.n_scales - 1];
}

SwittiVae *
switti_vae_new (SwittiDevice *device, const SwittiVaeConfig *config, SwittiWeights *weights, SwittiDtype dtype,
                GError **error)
{
  g_autoptr (SwittiVae) self = g_new0 (SwittiVae, 1);

  g_assert (dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16);
  self->device = g_object_ref (device);
  self->config = *config;
  self->weights = switti_weights_ref (weights);
  self->dtype = dtype;
  if (config->ch % GROUPS != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s: the VAE's width “ch” is %d, but it must be a multiple of %d."),
                   switti_weights_get_description (weights), config->ch, GROUPS);
      return NULL;
    }
  self->decoder = switti_vae_half_new (device, weights, dtype, switti_vae_decoder_specs (config->ch, config->latent),
                                       last_side (config), error);
  if (self->decoder == NULL)
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_vae_free (SwittiVae *self)
{
  if (self == NULL)
    return;
  switti_vae_half_free (self->decoder);
  switti_vae_half_free (self->encoder);
  switti_device_free (self->device, self->image);
  switti_weights_unref (self->weights);
  g_object_unref (self->device);
  g_free (self);
}

static gboolean
ensure_image (SwittiVae *self, int side, gsize count, GError **error)
{
  if (self->image != NULL && self->image_side == side)
    return TRUE;
  switti_device_free (self->device, g_steal_pointer (&self->image));
  self->image = switti_device_alloc (self->device, count * sizeof (float), _ ("the decoded image"), error);
  self->image_side = side;
  return self->image != NULL;
}

gboolean
switti_vae_decode (SwittiVae *self, int batch, int side, const float *f_hat, float *image, guint8 *rgb,
                   GCancellable *cancellable, GError **error)
{
  const gsize latent_size = (gsize) side * (gsize) side * (gsize) self->config.latent;
  const gsize pixels = (gsize) side * (gsize) side * IMAGE_SCALE * IMAGE_SCALE;

  g_assert (batch > 0 && side > 0 && (image != NULL || rgb != NULL));
  if (image == NULL && !ensure_image (self, side, pixels * 3, error))
    return FALSE;
  for (gsize b = 0; b < (gsize) batch; b++)
    {
      float *out = image != NULL ? image + b * pixels * 3 : self->image;

      if (!switti_vae_half_run (self->decoder, side, f_hat + b * latent_size, out, cancellable, error))
        return FALSE;
      if (rgb != NULL)
        SWITTI_RUN (self->device, image_to_rgb8, (gint64) pixels, SWITTI_DTYPE_F32, out, rgb + b * pixels * 3);
    }
  return TRUE;
}

gboolean
switti_vae_encode (SwittiVae *self, int batch, int side, const float *image, float *f, GCancellable *cancellable,
                   GError **error)
{
  const gsize latent_size = (gsize) side * (gsize) side * (gsize) self->config.latent;
  const gsize pixels = (gsize) side * (gsize) side * IMAGE_SCALE * IMAGE_SCALE;

  g_assert (batch > 0 && side > 0);
  if (self->encoder == NULL)
    self->encoder = switti_vae_half_new (self->device, self->weights, self->dtype,
                                         switti_vae_encoder_specs (self->config.ch, self->config.latent),
                                         last_side (&self->config), error);
  if (self->encoder == NULL)
    return FALSE;
  for (gsize b = 0; b < (gsize) batch; b++)
    if (!switti_vae_half_run (self->encoder, side, image + b * pixels * 3, f + b * latent_size, cancellable, error))
      return FALSE;
  return TRUE;
}

double
switti_vae_decode_flop (const SwittiVaeConfig *config, int side)
{
  g_autoptr (GArray) specs = switti_vae_decoder_specs (config->ch, config->latent);

  return switti_vae_specs_flop (specs, side);
}
