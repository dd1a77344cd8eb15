/* switti-text-cache.c - captions' features, kept on disk
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An entry is the context's rows and then the pooled text, float32 in this machine's byte order, which is part of the
 * key.
 */
#include "switti-text-cache-private.h"

#include <string.h>

struct _SwittiTextCache
{
  const SwittiTrainingModel *model;
  SwittiCache *cache;
  guint8 encoders[2][SWITTI_CACHE_KEY_BYTES];
  gsize width, pooled_width; /* D, P */
};

/* The weights, and what else the features depend on. */
static gboolean
digest_encoder (const SwittiTrainingModel *model, int i, guint8 digest[SWITTI_CACHE_KEY_BYTES], GError **error)
{
  const SwittiTextConfig *text = &model->text[i];
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *way
      = g_strdup_printf ("heads %d quick_gelu %d eps %a eos %d dtype %d byte order %d", text->heads, text->quick_gelu,
                         text->norm_eps, text->eos_id, (int) model->dtype, G_BYTE_ORDER);
  guint8 weights[SWITTI_CACHE_KEY_BYTES];
  gsize size = SWITTI_CACHE_KEY_BYTES;

  if (!switti_cache_digest_weights (model->text_parts->text_weights[i], weights, error))
    return FALSE;
  g_checksum_update (checksum, weights, sizeof weights);
  g_checksum_update (checksum, (const guchar *) way, (gssize) strlen (way));
  g_checksum_get_digest (checksum, digest, &size);
  return TRUE;
}

SwittiTextCache *
switti_text_cache_new (const SwittiTrainingModel *model, const SwittiTrainingOptions *options, GError **error)
{
  g_autoptr (SwittiTextCache) self = g_new0 (SwittiTextCache, 1);
  g_autofree char *folder = options->cache != NULL ? g_strdup (options->cache)
                                                   : g_build_filename (options->out, "cache", NULL);

  self->model = model;
  self->width = (gsize) model->transformer.context_dim;
  self->pooled_width = (gsize) model->transformer.pooled_dim;
  self->cache = switti_cache_open (folder, error);
  if (self->cache == NULL || !digest_encoder (model, 0, self->encoders[0], error)
      || !digest_encoder (model, 1, self->encoders[1], error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_text_cache_free (SwittiTextCache *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->cache, switti_cache_free);
  g_free (self);
}

static void
make_key (const SwittiTextCache *self, int i, const gint32 *const ids[2], const int *const n_valid[2],
          guint8 key[SWITTI_CACHE_KEY_BYTES])
{
  const gint32 *const own[2] = { ids[0] + i * SWITTI_TEXT_LENGTH, ids[1] + i * SWITTI_TEXT_LENGTH };
  const int n_ids[2] = { n_valid[0][i], n_valid[1][i] };

  switti_cache_text_key (self->encoders, own, n_ids, key);
}

static gsize
n_floats (const SwittiTextCache *self, int n_rows)
{
  return (gsize) n_rows * self->width + self->pooled_width;
}

/* One caption's entry, or NULL. */
static GBytes *
find (SwittiTextCache *self, int i, const gint32 *const ids[2], const int *const n_valid[2])
{
  g_autoptr (GBytes) entry = NULL;
  guint8 key[SWITTI_CACHE_KEY_BYTES];

  make_key (self, i, ids, n_valid, key);
  entry = switti_cache_get (self->cache, SWITTI_CACHE_TEXT, key);
  if (entry == NULL || g_bytes_get_size (entry) != n_floats (self, n_valid[1][i]) * sizeof (float))
    return NULL;
  return g_steal_pointer (&entry);
}

static gboolean
upload (SwittiTextCache *self, int i, GBytes *entry, int n_rows, float *context, float *pooled, GError **error)
{
  const gsize bytes = (gsize) n_rows * self->width * sizeof (float);
  const guint8 *data = g_bytes_get_data (entry, NULL);
  float *rows = context + (gsize) i * SWITTI_TEXT_LENGTH * self->width;

  SWITTI_RUN (self->model->device, clear, rows, SWITTI_TEXT_LENGTH * self->width * sizeof (float));
  SWITTI_RUN (self->model->device, upload, rows, data, bytes);
  SWITTI_RUN (self->model->device, upload, pooled + (gsize) i * self->pooled_width, data + bytes,
              self->pooled_width * sizeof (float));
  return TRUE;
}

gboolean
switti_text_cache_get (SwittiTextCache *self, int n, const gint32 *const ids[2], const int *const n_valid[2],
                       float *context, float *pooled, gboolean *is_there, GError **error)
{
  g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  *is_there = FALSE;
  for (int i = 0; i < n; i++)
    {
      GBytes *entry = find (self, i, ids, n_valid);

      if (entry == NULL)
        return TRUE;
      g_ptr_array_add (entries, entry);
    }
  for (int i = 0; i < n; i++)
    if (!upload (self, i, g_ptr_array_index (entries, i), n_valid[1][i], context, pooled, error))
      return FALSE;
  *is_there = TRUE;
  return TRUE;
}

gboolean
switti_text_cache_put (SwittiTextCache *self, int n, const gint32 *const ids[2], const int *const n_valid[2],
                       const float *context, const float *pooled, GError **error)
{
  for (int i = 0; i < n; i++)
    {
      const gsize n_rows = (gsize) n_valid[1][i], count = n_floats (self, n_valid[1][i]);
      g_autofree float *features = NULL;
      g_autoptr (GBytes) entry = find (self, i, ids, n_valid);
      guint8 key[SWITTI_CACHE_KEY_BYTES];

      if (entry != NULL)
        continue;
      features = g_new (float, count);
      SWITTI_RUN (self->model->device, download, features, context + (gsize) i * SWITTI_TEXT_LENGTH * self->width,
                  n_rows * self->width * sizeof (float));
      SWITTI_RUN (self->model->device, download, features + n_rows * self->width,
                  pooled + (gsize) i * self->pooled_width, self->pooled_width * sizeof (float));
      make_key (self, i, ids, n_valid, key);
      if (!switti_cache_put (self->cache, SWITTI_CACHE_TEXT, key, features, count * sizeof *features, error))
        return FALSE;
    }
  return TRUE;
}
