/* images.c - a split's images, and their codes, which are computed once and kept
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-loader-private.h"
#include "train.h"

#include <glib/gi18n.h>
#include <string.h>

struct _TrainImages
{
  SwittiDataset *dataset;
  SwittiCache *cache;
  SwittiLoader *loader;
  SwittiLoaderOptions options;
  SwittiCodes *codes; /* the trainer's */
  gint32 *host;       /* (batch, L) */
  double noise;       /* in the latents: then codes are new each time */
};

/* What codes depend on: the VAE's weights and the scales. */
static gboolean
digest_vae (const SwittiTrainingModel *model, guint8 digest[SWITTI_CACHE_KEY_BYTES], GError **error)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  guint8 weights[SWITTI_CACHE_KEY_BYTES];
  gsize size = SWITTI_CACHE_KEY_BYTES;

  if (!switti_cache_digest_weights (model->vae_weights, weights, error))
    return FALSE;
  g_checksum_update (checksum, weights, sizeof weights);
  for (int s = 0; s < model->vae.schedule.n_scales; s++)
    {
      const guint32 side = GUINT32_TO_LE ((guint32) model->vae.schedule.side[s]);

      g_checksum_update (checksum, (const guchar *) &side, sizeof side);
    }
  g_checksum_get_digest (checksum, digest, &size);
  return TRUE;
}

static gboolean
open_cache (TrainImages *self, const SwittiTrainingModel *model, const SwittiTrainingOptions *options, GError **error)
{
  g_autofree char *folder = options->cache != NULL ? g_strdup (options->cache)
                                                   : g_build_filename (options->out, "cache", NULL);

  self->cache = switti_cache_open (folder, error);
  self->options.cache = self->cache;
  return self->cache != NULL && digest_vae (model, self->options.vae, error);
}

TrainImages *
train_images_new (const char *split, const SwittiTrainingModel *model, const SwittiTrainingOptions *options,
                  SwittiCodes *codes, int batch, guint64 position, GError **error)
{
  g_autoptr (TrainImages) self = g_new0 (TrainImages, 1);
  const gboolean is_validation = g_str_equal (split, "val2014");

  self->codes = codes;
  self->options = (SwittiLoaderOptions){
    .resolution = model->transformer.resolution,
    .batch = batch,
    .rank = switti_training_model_get_rank (model),
    .n_ranks = switti_training_model_get_n_ranks (model),
    .seed = options->seed,
    .position = position,
    .is_mirrored = options->hflip && !is_validation,
    .is_one_pass = is_validation,
    .n_threads = options->workers,
    .n_codes = (gsize) switti_schedule_length (&model->transformer.schedule),
  };
  self->host = g_new (gint32, (gsize) batch * self->options.n_codes);
  self->dataset = switti_dataset_open (options->data_path, split, (guint) options->max_bad, error);
  self->noise = is_validation ? 0 : options->embed_noise_std;
  if (self->dataset == NULL || (self->noise == 0 && !open_cache (self, model, options, error)))
    return NULL;
  self->loader = switti_loader_new (self->dataset, &self->options, error);
  return self->loader != NULL ? g_steal_pointer (&self) : NULL;
}

void
train_images_free (TrainImages *self)
{
  if (self == NULL)
    return;
  switti_loader_free (self->loader);
  switti_cache_free (self->cache);
  switti_dataset_free (self->dataset);
  g_free (self->host);
  g_free (self);
}

guint
train_images_get_n (TrainImages *self)
{
  return switti_dataset_get_n (self->dataset);
}

gboolean
train_images_rewind (TrainImages *self, GError **error)
{
  g_clear_pointer (&self->loader, switti_loader_free);
  self->loader = switti_loader_new (self->dataset, &self->options, error);
  return self->loader != NULL;
}

void
train_say_reports (SwittiDataset *dataset)
{
  g_auto (GStrv) reports = switti_dataset_take_reports (dataset);

  for (char **report = reports; *report != NULL; report++)
    cli_report (*report);
}

static gboolean
encode (TrainImages *self, const SwittiLoaderBatch *batch, int i, gint32 *codes, GError **error)
{
  const float *pixels
      = batch->pixels + (gsize) i * (gsize) self->options.resolution * (gsize) self->options.resolution * 3;

  if (self->noise > 0)
    return switti_codes_encode_noisy (self->codes, pixels, self->noise, self->options.seed, batch->positions[i], codes,
                                      error);
  return switti_codes_encode (self->codes, 1, pixels, codes, error)
         && switti_loader_store_codes (self->loader, i, codes, error);
}

static gboolean
make_codes (TrainImages *self, const SwittiLoaderBatch *batch, GError **error)
{
  const gsize n_codes = self->options.n_codes;

  for (int i = 0; i < batch->n; i++)
    {
      gint32 *codes = self->host + (gsize) i * n_codes;

      if (batch->has_codes[i])
        memcpy (codes, batch->codes + (gsize) i * n_codes, n_codes * sizeof (gint32));
      else if (!encode (self, batch, i, codes, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
train_images_next (TrainImages *self, SwittiTrainingImages *images, GError **error)
{
  const SwittiLoaderBatch *batch;
  const gboolean good = switti_loader_next (self->loader, &batch, error);

  train_say_reports (self->dataset);
  if (!good || !make_codes (self, batch, error))
    return FALSE;
  *images = (SwittiTrainingImages){
    .n = batch->n,
    .codes = self->host,
    .captions = (const char *const *) batch->captions,
    .heights = batch->heights,
    .widths = batch->widths,
    .positions = batch->positions,
  };
  return TRUE;
}
