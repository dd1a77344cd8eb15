/* switti-encoding.c - a picture to codes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-encoding-private.h"

#include "switti-image-private.h"
#include "switti-request-private.h"

#include <glib/gi18n-lib.h>

typedef struct
{
  SwittiEngine *engine;
  const SwittiSchedule *schedule;
  gsize latent_side, side; /* n, 16 n */
  SwittiWorkspace *workspace;
  float *image;  /* (16 n, 16 n, 3) */
  float *latent; /* (n, n, Z) */
} Encoding;

static gboolean
plan_memory (Encoding *self, GError **error)
{
  SwittiSlot image, latent;

  self->workspace = switti_workspace_new (self->engine->device);
  image = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, self->side * self->side * 3);
  latent = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32,
                                     self->latent_side * self->latent_side * (gsize) self->engine->parts->vae.latent);
  if (!switti_workspace_commit (self->workspace, _ ("the picture to start from"), error))
    return FALSE;
  self->image = switti_workspace_get (self->workspace, image);
  self->latent = switti_workspace_get (self->workspace, latent);
  return TRUE;
}

/* Codes into the engine's space, and what they make into its pixels. */
static gboolean
encode (Encoding *self, const guint8 *rgb, GCancellable *cancellable, GError **error)
{
  SwittiDevice *device = self->engine->device;
  SwittiSpace *space = &self->engine->space;
  gint32 *codes[SWITTI_MAX_SCALES];
  gsize pixels = self->side * self->side, offset = 0;

  for (int s = 0; s < self->schedule->n_scales; s++)
    {
      codes[s] = space->codes + offset;
      offset += (gsize) (self->schedule->side[s] * self->schedule->side[s]);
    }
  SWITTI_RUN (device, upload, space->decodings[0].rgb, rgb, pixels * 3);
  SWITTI_RUN (device, rgb8_to_image, (gint64) pixels, space->decodings[0].rgb, SWITTI_DTYPE_F32, self->image);
  return switti_vae_encode (self->engine->vae, 1, (int) self->latent_side, self->image, self->latent, cancellable,
                            error)
         && switti_pyramid_encode (space->pyramid, 1, self->latent, codes, error)
         && switti_vae_decode (self->engine->vae, 1, (int) self->latent_side,
                               switti_pyramid_get_f_hat (space->pyramid), NULL, space->decodings[0].rgb,
                               cancellable, error);
}

static gboolean
download (Encoding *self, guint8 *rgb, gint32 *codes, GError **error)
{
  SwittiDevice *device = self->engine->device;
  SwittiSpace *space = &self->engine->space;

  SWITTI_RUN (device, download, rgb, space->decodings[0].rgb, self->side * self->side * 3);
  SWITTI_RUN (device, download, codes, space->codes,
              sizeof *codes * (gsize) switti_schedule_length (self->schedule));
  return TRUE;
}

static SwittiImage *
make_image (Encoding *self, GError **error)
{
  SwittiEngine *engine = self->engine;
  gsize rgb_bytes = self->side * self->side * 3;
  gsize n_codes = (gsize) switti_schedule_length (self->schedule);
  g_autofree guint8 *rgb = g_malloc (rgb_bytes);
  g_autofree gint32 *codes = g_new (gint32, n_codes);
  g_autoptr (GBytes) codes_bytes = NULL;
  g_autoptr (SwittiSource) source = NULL;
  g_autoptr (SwittiRequest) request = switti_request_new (engine->bundle);
  SwittiImageOrigin origin = {
    .request = request,
    .bundle = engine->bundle,
    .preview_scale = -1,
    .device = switti_device_get_name (engine->device),
    .precision = engine->dtype == SWITTI_DTYPE_BF16 ? "bf16" : "f32",
  };

  if (!download (self, rgb, codes, error))
    return NULL;
  codes_bytes = g_bytes_new_take (g_steal_pointer (&codes), n_codes * sizeof (gint32));
  source = switti_source_new_for_codes (codes_bytes);
  g_object_set (request, "source", source, "keep-scales", self->schedule->n_scales, NULL);
  return switti_image_new ((int) self->side, (int) self->side, g_bytes_new_take (g_steal_pointer (&rgb), rgb_bytes),
                           g_steal_pointer (&codes_bytes), &origin);
}

SwittiImage *
switti_encoding_run (SwittiEngine *engine, const guint8 *rgb, GCancellable *cancellable, GError **error)
{
  const SwittiSchedule *schedule = &engine->parts->vae.schedule;
  Encoding self = {
    .engine = engine,
    .schedule = schedule,
    .latent_side = (gsize) schedule->side[schedule->n_scales - 1],
  };
  SwittiImage *image = NULL;

  self.side = self.latent_side << (SWITTI_VAE_LEVELS - 1);
  if (switti_engine_reserve (engine, 1, 1, FALSE, FALSE, error) && plan_memory (&self, error)
      && encode (&self, rgb, cancellable, error))
    image = make_image (&self, error);
  g_clear_pointer (&self.workspace, switti_workspace_free);
  return image;
}
