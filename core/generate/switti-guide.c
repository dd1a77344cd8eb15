/* switti-guide.c - what a generation keeps of its source
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Whole scales are the source's vectors as they are. Where a mask keeps a part of a scale, the vectors are not simply
 * the source's: what is drawn inside the mask spreads outside of it, by the bicubic enlargement and phi, and would stay
 * there. So each scale encodes anew what is still missing outside the mask, residual = source - f_hat, averaged over
 * the kept part of each position, which a position far from the mask answers with the source's own code.
 */
#include "switti-guide-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>

/* Below this share of a position nothing of it counts as kept: its mean would be one of rounding errors. */
#define LEAST_SHARE 1e-6f

struct _SwittiGuide
{
  SwittiEngine *engine;
  const SwittiVaeConfig *vae;
  int batch;
  gsize length; /* L */
  SwittiWorkspace *workspace;
  gint32 *codes;  /* (L), one image's */
  float *vectors; /* (L, Z) */

  gboolean masked;
  float *host_weights;  /* (L) */
  float *weights;       /* (L): mean of the mask, 0 to 1 */
  float *kept_weights;  /* (n, n): 1 - mean of the mask */
  float *kept_inverse;  /* (L): 1 / mean of kept_weights, 0 where nothing is kept */
  float *target;        /* (B, n, n, Z): the source's latent for each image */
  float *residual;      /* (B, n, n, Z) */
  float *small, *kept;  /* (B, N, Z) */
  gint32 *kept_codes;   /* (B, L), scale after scale */
};

/* -- records --------------------------------------------------------------------------------------------------- */

gsize
switti_record_offset (const SwittiSchedule *schedule, int scale)
{
  gsize offset = 0;

  for (int s = 0; s < scale; s++)
    offset += (gsize) (schedule->side[s] * schedule->side[s]);
  return offset;
}

SwittiRecord *
switti_record_new (const SwittiVaeConfig *vae)
{
  SwittiRecord *self = g_new0 (SwittiRecord, 1);
  gsize length = (gsize) switti_schedule_length (&vae->schedule);

  self->codes = g_new0 (gint32, length);
  self->vectors = g_new0 (float, length * (gsize) vae->latent);
  return self;
}

void
switti_record_free (SwittiRecord *self)
{
  g_free (self->codes);
  g_free (self->vectors);
  g_free (self);
}

/* -- making ---------------------------------------------------------------------------------------------------- */

static int
last_side (const SwittiGuide *self)
{
  return self->vae->schedule.side[self->vae->schedule.n_scales - 1];
}

/* Floats of one image's latent. */
static gsize
map_size (const SwittiGuide *self)
{
  return (gsize) last_side (self) * (gsize) last_side (self) * (gsize) self->vae->latent;
}

static gboolean
plan_memory (SwittiGuide *self, GError **error)
{
  gsize batch = (gsize) self->batch, n = (gsize) last_side (self), z = (gsize) self->vae->latent;
  float **floats[] = { &self->vectors,      &self->weights, &self->kept_weights, &self->kept_inverse,
                       &self->target,       &self->residual, &self->small,       &self->kept };
  gsize counts[] = { self->length * z,   self->length,         n * n,               self->length,
                     batch * n * n * z,  batch * n * n * z,    batch * n * n * z,   batch * n * n * z };
  SwittiSlot slots[G_N_ELEMENTS (floats)], codes, kept_codes;
  guint n_slots = self->masked ? G_N_ELEMENTS (floats) : 1;

  self->workspace = switti_workspace_new (self->engine->device);
  codes = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_I32, self->length);
  kept_codes = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_I32, self->masked ? batch * self->length : 1);
  for (guint i = 0; i < n_slots; i++)
    slots[i] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, counts[i]);
  if (!switti_workspace_commit (self->workspace, _ ("the picture to start from"), error))
    return FALSE;
  self->codes = switti_workspace_get (self->workspace, codes);
  self->kept_codes = switti_workspace_get (self->workspace, kept_codes);
  for (guint i = 0; i < n_slots; i++)
    *floats[i] = switti_workspace_get (self->workspace, slots[i]);
  return TRUE;
}

/* Means of a (side, side) map over the positions of each scale: (L), on the device. */
static gboolean
reduce_to_scales (SwittiGuide *self, const float *map, int side, float *out, GError **error)
{
  const SwittiSchedule *schedule = &self->vae->schedule;

  for (int s = 0; s < schedule->n_scales; s++)
    {
      const SwittiResample resample = {
        .mode = SWITTI_RESAMPLE_AREA,
        .batch = 1,
        .channels = 1,
        .in_height = side,
        .in_width = side,
        .out_height = schedule->side[s],
        .out_width = schedule->side[s],
        .dtype = SWITTI_DTYPE_F32,
      };

      SWITTI_RUN (self->engine->device, resample, &resample, map, out + switti_record_offset (schedule, s));
    }
  return TRUE;
}

static gboolean
upload_kept_weights (SwittiGuide *self, GError **error)
{
  SwittiDevice *device = self->engine->device;
  const SwittiSchedule *schedule = &self->vae->schedule;
  gsize n = (gsize) last_side (self);
  g_autofree float *host = g_new (float, self->length);

  for (gsize i = 0; i < n * n; i++)
    host[i] = 1.0f - self->host_weights[switti_record_offset (schedule, schedule->n_scales - 1) + i];
  SWITTI_RUN (device, upload, self->kept_weights, host, sizeof (float) * n * n);
  if (!reduce_to_scales (self, self->kept_weights, (int) n, self->kept_inverse, error))
    return FALSE;
  SWITTI_RUN (device, download, host, self->kept_inverse, sizeof (float) * self->length);
  for (gsize i = 0; i < self->length; i++)
    host[i] = host[i] > LEAST_SHARE ? 1.0f / host[i] : 0.0f;
  SWITTI_RUN (device, upload, self->kept_inverse, host, sizeof (float) * self->length);
  return TRUE;
}

static gboolean
upload_mask (SwittiGuide *self, const guint8 *mask, GError **error)
{
  SwittiDevice *device = self->engine->device;
  gsize side = (gsize) last_side (self) * (1 << (SWITTI_VAE_LEVELS - 1));
  g_autofree float *host = g_new (float, side * side);
  float *pixels = switti_device_alloc (device, sizeof (float) * side * side, _ ("the mask"), error);
  gboolean good;

  if (pixels == NULL)
    return FALSE;
  for (gsize i = 0; i < side * side; i++)
    host[i] = (float) mask[i] / 255.0f;
  good = switti_device_check (device,
                              switti_device_get_kernels (device)->upload (switti_device_get_context (device), pixels,
                                                                          host, sizeof (float) * side * side),
                              "upload", error)
         && reduce_to_scales (self, pixels, (int) side, self->weights, error);
  switti_device_free (device, pixels);
  if (!good)
    return FALSE;
  self->host_weights = g_new (float, self->length);
  SWITTI_RUN (device, download, self->host_weights, self->weights, sizeof (float) * self->length);
  return upload_kept_weights (self, error);
}

/* The source's latent, once for each image. */
static gboolean
build_target (SwittiGuide *self, GError **error)
{
  SwittiDevice *device = self->engine->device;
  SwittiPyramid *pyramid = self->engine->space.pyramid;
  const SwittiSchedule *schedule = &self->vae->schedule;
  gsize z = (gsize) self->vae->latent;

  if (!switti_pyramid_begin (pyramid, 1, error))
    return FALSE;
  for (int s = 0; s < schedule->n_scales; s++)
    if (!switti_pyramid_add (pyramid, s, self->vectors + switti_record_offset (schedule, s) * z, error))
      return FALSE;
  for (gsize b = 0; b < (gsize) self->batch; b++)
    SWITTI_RUN (device, copy, self->target + b * map_size (self), switti_pyramid_get_f_hat (pyramid),
                sizeof (float) * map_size (self));
  return TRUE;
}

static gboolean
load (SwittiGuide *self, const SwittiRecord *record, const guint8 *mask, GError **error)
{
  SwittiDevice *device = self->engine->device;
  gsize count = switti_record_offset (&self->vae->schedule, record->n_scales);

  if (!plan_memory (self, error))
    return FALSE;
  SWITTI_RUN (device, upload, self->codes, record->codes, sizeof (gint32) * count);
  SWITTI_RUN (device, upload, self->vectors, record->vectors, sizeof (float) * count * (gsize) self->vae->latent);
  return mask == NULL || (upload_mask (self, mask, error) && build_target (self, error));
}

SwittiGuide *
switti_guide_new (SwittiEngine *engine, int batch, const SwittiRecord *record, const guint8 *mask, GError **error)
{
  g_autoptr (SwittiGuide) self = g_new0 (SwittiGuide, 1);

  g_assert (batch > 0 && record->n_scales > 0);
  g_assert (mask == NULL || record->n_scales == engine->parts->vae.schedule.n_scales);
  self->engine = engine;
  self->vae = &engine->parts->vae;
  self->batch = batch;
  self->length = (gsize) switti_schedule_length (&self->vae->schedule);
  self->masked = mask != NULL;
  return load (self, record, mask, error) ? g_steal_pointer (&self) : NULL;
}

void
switti_guide_free (SwittiGuide *self)
{
  g_clear_pointer (&self->workspace, switti_workspace_free);
  g_free (self->host_weights);
  g_free (self);
}

gboolean
switti_guide_is_masked (SwittiGuide *self)
{
  return self->masked;
}

const float *
switti_guide_get_weights (SwittiGuide *self)
{
  return self->host_weights;
}

/* -- at each scale --------------------------------------------------------------------------------------------- */

static gsize
scale_positions (const SwittiGuide *self, int scale)
{
  return (gsize) (self->vae->schedule.side[scale] * self->vae->schedule.side[scale]);
}

gboolean
switti_guide_take (SwittiGuide *self, int n_images, int scale, float *h, gint32 *codes, GError **error)
{
  SwittiDevice *device = self->engine->device;
  gsize offset = switti_record_offset (&self->vae->schedule, scale);
  gsize n = scale_positions (self, scale), z = (gsize) self->vae->latent;

  for (gsize b = 0; b < (gsize) n_images; b++)
    {
      SWITTI_RUN (device, copy, h + b * n * z, self->vectors + offset * z, sizeof (float) * n * z);
      SWITTI_RUN (device, copy, codes + b * n, self->codes + offset, sizeof (gint32) * n);
    }
  if (self->masked)
    SWITTI_RUN (device, copy, self->kept_codes + offset * (gsize) n_images, codes,
                sizeof (gint32) * n * (gsize) n_images);
  return TRUE;
}

/* What is missing outside the mask, the mean over the kept part of each position: small (n_images, pn*pn, Z). */
static gboolean
reduce_residual (SwittiGuide *self, int n_images, int scale, GError **error)
{
  SwittiDevice *device = self->engine->device;
  SwittiPyramid *pyramid = self->engine->space.pyramid;
  gsize count = (gsize) n_images * map_size (self);
  const gint64 n = last_side (self), z = self->vae->latent;
  const float *inverse = self->kept_inverse + switti_record_offset (&self->vae->schedule, scale);

  SWITTI_RUN (device, copy, self->residual, self->target, sizeof (float) * count);
  SWITTI_RUN (device, accumulate, (gint64) count, -1, switti_pyramid_get_f_hat (pyramid), 0, NULL, self->residual);
  if (scale + 1 == self->vae->schedule.n_scales)
    return switti_pyramid_reduce (pyramid, scale, self->residual, self->small, error);
  SWITTI_RUN (device, blend_rows, n_images, n * n, z, self->kept_weights, self->residual, NULL, self->residual);
  if (!switti_pyramid_reduce (pyramid, scale, self->residual, self->small, error))
    return FALSE;
  SWITTI_RUN (device, blend_rows, n_images, (gint64) scale_positions (self, scale), z, inverse, self->small, NULL,
              self->small);
  return TRUE;
}

gboolean
switti_guide_blend (SwittiGuide *self, int n_images, int scale, float *h, GError **error)
{
  SwittiDevice *device = self->engine->device;
  SwittiPyramid *pyramid = self->engine->space.pyramid;
  gsize offset = switti_record_offset (&self->vae->schedule, scale);
  gint32 *codes = self->kept_codes + offset * (gsize) n_images;

  g_assert (self->masked && n_images <= self->batch);
  if (!reduce_residual (self, n_images, scale, error)
      || !switti_pyramid_nearest (pyramid, scale, self->small, codes, error)
      || !switti_pyramid_look_up (pyramid, scale, codes, self->kept, error))
    return FALSE;
  SWITTI_RUN (device, blend_rows, n_images, (gint64) scale_positions (self, scale), self->vae->latent,
              self->weights + offset, h, self->kept, h);
  return TRUE;
}

static gboolean
blend_latent (SwittiGuide *self, int n_images, GError **error)
{
  const SwittiSchedule *schedule = &self->vae->schedule;
  const float *weights = self->weights + switti_record_offset (schedule, schedule->n_scales - 1);

  SWITTI_RUN (self->engine->device, blend_rows, n_images, (gint64) last_side (self) * last_side (self),
              self->vae->latent, weights, switti_pyramid_get_f_hat (self->engine->space.pyramid), self->target,
              self->residual);
  return TRUE;
}

const float *
switti_guide_finish (SwittiGuide *self, int n_images, GError **error)
{
  if (!self->masked)
    return switti_pyramid_get_f_hat (self->engine->space.pyramid);
  return blend_latent (self, n_images, error) ? self->residual : NULL;
}

gboolean
switti_guide_merge_codes (SwittiGuide *self, SwittiDecoding *decoding, int n_images, int n_scales, gint32 *codes,
                          GError **error)
{
  const SwittiSchedule *schedule = &self->vae->schedule;
  gsize count = switti_record_offset (schedule, n_scales) * (gsize) n_images;
  g_autofree gint32 *kept = NULL;

  if (!self->masked)
    return TRUE;
  kept = g_new (gint32, count);
  if (!switti_decoding_download (decoding, kept, self->kept_codes, sizeof *kept * count, error))
    return FALSE;
  for (int s = 0; s < n_scales; s++)
    {
      gsize offset = switti_record_offset (schedule, s), n = scale_positions (self, s);

      for (gsize b = 0; b < (gsize) n_images; b++)
        for (gsize i = 0; i < n; i++)
          {
            gsize at = offset * (gsize) n_images + b * n + i;

            if (self->host_weights[offset + i] < 0.5f)
              codes[at] = kept[at];
          }
    }
  return TRUE;
}
