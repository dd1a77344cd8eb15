/* switti-codes.c - images to codes, and codes to what the transformer is given
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-codes-private.h"

#include "switti-error.h"
#include "switti-pyramid-private.h"
#include "switti-random-private.h"
#include "switti-vae-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define PIXELS_PER_LATENT 16

struct _SwittiCodes
{
  SwittiDevice *device;
  SwittiVaeConfig config;
  int max_batch;
  gint64 length; /* L */
  SwittiVae *vae;
  SwittiPyramid *pyramid;
  float *image;  /* device (max_batch, R, R, 3), made at the first encoding */
  guint8 *rgb;   /* device (max_batch, R, R, 3), made at the first decoding */
  float *latent; /* device (max_batch, n, n, Z) */
  float *noise;  /* device (L, Z), made at the first use */
  gint32 *codes; /* device: scale after scale (max_batch, pn pn) */
  gint32 *host_codes;
  float *host_latents; /* of a scale */
};

static gint64
side_of (const SwittiCodes *self, int scale)
{
  return self->config.schedule.side[scale];
}

static gint64
last_side (const SwittiCodes *self)
{
  return side_of (self, self->config.schedule.n_scales - 1);
}

SwittiCodes *
switti_codes_new (SwittiDevice *device, const SwittiVaeConfig *config, SwittiWeights *weights, int max_batch,
                  GError **error)
{
  g_autoptr (SwittiCodes) self = g_new0 (SwittiCodes, 1);
  gsize map;

  g_assert (max_batch > 0);
  self->device = g_object_ref (device);
  self->config = *config;
  self->max_batch = max_batch;
  self->length = switti_schedule_length (&config->schedule);
  map = (gsize) (last_side (self) * last_side (self) * config->latent);
  self->vae = switti_vae_new (device, config, weights, SWITTI_DTYPE_F32, error);
  if (self->vae == NULL)
    return NULL;
  self->pyramid = switti_pyramid_new (device, config, weights, max_batch, error);
  if (self->pyramid == NULL)
    return NULL;
  self->latent = switti_device_alloc (device, (gsize) max_batch * map * sizeof (float), _ ("the latents"), error);
  if (self->latent == NULL)
    return NULL;
  self->codes = switti_device_alloc (device, (gsize) (max_batch * self->length) * sizeof (gint32), _ ("the codes"),
                                     error);
  if (self->codes == NULL)
    return NULL;
  self->host_codes = g_new (gint32, (gsize) (max_batch * self->length));
  self->host_latents = g_new (float, (gsize) max_batch * map);
  return g_steal_pointer (&self);
}

void
switti_codes_free (SwittiCodes *self)
{
  if (self == NULL)
    return;
  switti_vae_free (self->vae);
  switti_pyramid_free (self->pyramid);
  switti_device_free (self->device, self->image);
  switti_device_free (self->device, self->rgb);
  switti_device_free (self->device, self->latent);
  switti_device_free (self->device, self->noise);
  switti_device_free (self->device, self->codes);
  g_free (self->host_codes);
  g_free (self->host_latents);
  g_object_unref (self->device);
  g_free (self);
}

/* Between (n, L) and scale after scale (n, pn pn). */
static void
reorder (const SwittiCodes *self, int n, gint32 *images, gint32 *scales, gboolean to_images)
{
  gint64 begin = 0;

  for (int s = 0; s < self->config.schedule.n_scales; s++)
    {
      const gint64 count = side_of (self, s) * side_of (self, s);

      for (int i = 0; i < n; i++)
        {
          gint32 *image = images + i * self->length + begin, *scale = scales + n * begin + i * count;

          memcpy (to_images ? image : scale, to_images ? scale : image, (gsize) count * sizeof (gint32));
        }
      begin += count;
    }
}

/* pixels -> self->latent */
static gboolean
encode_pixels (SwittiCodes *self, int n, const float *pixels, GError **error)
{
  const gsize side = (gsize) last_side (self) * PIXELS_PER_LATENT, count = side * side * 3;

  g_assert (n > 0 && n <= self->max_batch);
  if (self->image == NULL)
    self->image = switti_device_alloc (self->device, (gsize) self->max_batch * count * sizeof (float),
                                       _ ("the images"), error);
  if (self->image == NULL)
    return FALSE;
  SWITTI_RUN (self->device, upload, self->image, pixels, (gsize) n * count * sizeof (float));
  return switti_vae_encode (self->vae, n, (int) last_side (self), self->image, self->latent, NULL, error);
}

/* Where the device's codes of each scale begin. */
static void
find_scales (SwittiCodes *self, int n, gint32 *scales[SWITTI_MAX_SCALES])
{
  gint64 begin = 0;

  for (int s = 0; s < self->config.schedule.n_scales; s++)
    {
      scales[s] = self->codes + n * begin;
      begin += side_of (self, s) * side_of (self, s);
    }
}

static gboolean
download_codes (SwittiCodes *self, int n, gint32 *codes, GError **error)
{
  SWITTI_RUN (self->device, download, self->host_codes, self->codes,
              (gsize) (n * self->length) * sizeof (gint32));
  reorder (self, n, codes, self->host_codes, TRUE);
  return TRUE;
}

gboolean
switti_codes_encode (SwittiCodes *self, int n, const float *pixels, gint32 *codes, GError **error)
{
  gint32 *scales[SWITTI_MAX_SCALES];

  find_scales (self, n, scales);
  return encode_pixels (self, n, pixels, error)
         && switti_pyramid_encode (self->pyramid, n, self->latent, scales, error)
         && download_codes (self, n, codes, error);
}

gboolean
switti_codes_encode_noisy (SwittiCodes *self, const float *pixels, double deviation, guint64 seed, guint64 position,
                           gint32 *codes, GError **error)
{
  const SwittiRandom random = switti_random_new (seed, "embed-noise");
  const gsize count = (gsize) (self->length * self->config.latent);
  g_autofree float *host = NULL;
  gint32 *scales[SWITTI_MAX_SCALES];

  if (self->noise == NULL)
    self->noise = switti_device_alloc (self->device, count * sizeof (float), _ ("the noise"), error);
  if (self->noise == NULL)
    return FALSE;
  host = g_new (float, count);
  switti_random_normal (&random, position * ((count + 3) / 4), count, host);
  SWITTI_RUN (self->device, upload, self->noise, host, count * sizeof (float));
  find_scales (self, 1, scales);
  return encode_pixels (self, 1, pixels, error)
         && switti_pyramid_encode_noisy (self->pyramid, 1, self->latent, deviation, self->noise, scales, error)
         && download_codes (self, 1, codes, error);
}

static gboolean
check_codes (const SwittiCodes *self, int n, const gint32 *codes, GError **error)
{
  for (gint64 i = 0; i < n * self->length; i++)
    if (codes[i] < 0 || codes[i] >= self->config.vocab)
      {
        g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                     _ ("There is a code %d, but the codebook has %d: were the cached codes made by another VAE?"),
                     codes[i], self->config.vocab);
        return FALSE;
      }
  return TRUE;
}

gboolean
switti_codes_get_latents (SwittiCodes *self, int n, const gint32 *codes, float *latents, GError **error)
{
  const gint64 z = self->config.latent;
  gint64 begin = 0;

  g_assert (n > 0 && n <= self->max_batch);
  if (!check_codes (self, n, codes, error))
    return FALSE;
  reorder (self, n, (gint32 *) codes, self->host_codes, FALSE);
  SWITTI_RUN (self->device, upload, self->codes, self->host_codes, (gsize) (n * self->length) * sizeof (gint32));
  if (!switti_pyramid_begin (self->pyramid, n, error))
    return FALSE;
  for (int s = 0; s + 1 < self->config.schedule.n_scales; s++)
    {
      const gint64 next = side_of (self, s + 1) * side_of (self, s + 1);

      if (!switti_pyramid_add_codes (self->pyramid, s, self->codes + n * begin, error)
          || !switti_pyramid_next_input (self->pyramid, s + 1, self->latent, error))
        return FALSE;
      begin += side_of (self, s) * side_of (self, s);
      SWITTI_RUN (self->device, download, self->host_latents, self->latent, (gsize) (n * next * z) * sizeof (float));
      for (int i = 0; i < n; i++)
        memcpy (latents + (i * (self->length - 1) + begin - 1) * z, self->host_latents + i * next * z,
                (gsize) (next * z) * sizeof (float));
    }
  return TRUE;
}

gboolean
switti_codes_decode (SwittiCodes *self, int n, const gint32 *codes, guint8 *rgb, GError **error)
{
  const gsize side = (gsize) last_side (self) * PIXELS_PER_LATENT, count = side * side * 3;
  gint64 begin = 0;

  g_assert (n > 0 && n <= self->max_batch);
  if (!check_codes (self, n, codes, error))
    return FALSE;
  if (self->rgb == NULL)
    self->rgb = switti_device_alloc (self->device, (gsize) self->max_batch * count, _ ("the images"), error);
  if (self->rgb == NULL)
    return FALSE;
  reorder (self, n, (gint32 *) codes, self->host_codes, FALSE);
  SWITTI_RUN (self->device, upload, self->codes, self->host_codes, (gsize) (n * self->length) * sizeof (gint32));
  if (!switti_pyramid_begin (self->pyramid, n, error))
    return FALSE;
  for (int s = 0; s < self->config.schedule.n_scales; s++)
    {
      if (!switti_pyramid_add_codes (self->pyramid, s, self->codes + n * begin, error))
        return FALSE;
      begin += side_of (self, s) * side_of (self, s);
    }
  if (!switti_vae_decode (self->vae, n, (int) last_side (self), switti_pyramid_get_f_hat (self->pyramid), NULL,
                          self->rgb, NULL, error))
    return FALSE;
  SWITTI_RUN (self->device, download, rgb, self->rgb, (gsize) n * count);
  return TRUE;
}
