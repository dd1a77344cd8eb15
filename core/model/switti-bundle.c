/* switti-bundle.c - a model folder
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Immutable but for the remembered hash, so that any number of threads may read it.
 */
#include "switti-bundle.h"

#include "switti-bundle-folder-private.h"
#include "switti-error.h"

struct _SwittiBundle
{
  GObject parent_instance;

  char *name, *path, *description, *info_json;
  SwittiBundleParts parts;
  JsonObject *index; /* model_index.json; NULL where there is no folder */

  char *addition; /* (nullable): what was added to the folder's model, for the hash */
  GMutex mutex;   /* of hash */
  char *hash;
};

G_DEFINE_FINAL_TYPE (SwittiBundle, switti_bundle, G_TYPE_OBJECT)

static void
switti_bundle_finalize (GObject *object)
{
  SwittiBundle *self = SWITTI_BUNDLE (object);

  switti_bundle_parts_clear (&self->parts);
  g_clear_pointer (&self->index, json_object_unref);
  g_free (self->name);
  g_free (self->path);
  g_free (self->description);
  g_free (self->info_json);
  g_free (self->hash);
  g_free (self->addition);
  g_mutex_clear (&self->mutex);
  G_OBJECT_CLASS (switti_bundle_parent_class)->finalize (object);
}

static void
switti_bundle_class_init (SwittiBundleClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = switti_bundle_finalize;
}

static void
switti_bundle_init (SwittiBundle *self)
{
  g_mutex_init (&self->mutex);
}

/* Takes over parts, description and index. */
static SwittiBundle *
bundle_new (const char *name, const char *path, char *description, const SwittiBundleParts *parts, JsonObject *index)
{
  SwittiBundle *self = g_object_new (SWITTI_TYPE_BUNDLE, NULL);

  self->name = g_strdup (name);
  self->path = g_strdup (path);
  self->description = description;
  self->parts = *parts;
  self->index = index;
  self->info_json = switti_bundle_parts_to_json (name, path, parts);
  return self;
}

SwittiBundle *
switti_bundle_open (const char *name_or_path, GError **error)
{
  g_autofree char *folder = switti_bundle_find_folder (name_or_path, error);
  g_autofree char *name = NULL;
  SwittiBundleParts parts;
  JsonObject *index;

  if (folder == NULL || !switti_bundle_parts_load (folder, &parts, &index, error))
    return NULL;
  name = g_path_get_basename (folder);
  return bundle_new (name, folder, switti_bundle_read_description (folder), &parts, index);
}

SwittiBundle *
switti_bundle_new_from_parts (const char *name, SwittiBundleParts *parts)
{
  SwittiBundle *self = bundle_new (name, "", g_strdup (""), parts, NULL);

  /* The references are this bundle's now. */
  *parts = (SwittiBundleParts) { 0 };
  return self;
}

SwittiBundle *
switti_bundle_new_synthetic (const char *spec, SwittiDtype dtype, GError **error)
{
  SwittiBundleParts parts = { 0 };

  if (!switti_synthetic_config_parse (spec, &parts.transformer, &parts.vae, parts.text, error))
    return NULL;
  parts.transformer_weights = switti_weights_new_synthetic ("switti.", dtype);
  parts.vae_weights = switti_weights_new_synthetic ("vae.", dtype);
  parts.text_weights[0] = switti_weights_new_synthetic ("clip_l.", dtype);
  parts.text_weights[1] = switti_weights_new_synthetic ("clip_g.", dtype);
  for (int i = 0; i < 2; i++)
    parts.tokenizer[i] = switti_tokenizer_new_bytes ();
  return switti_bundle_new_from_parts ("synthetic", &parts);
}

/* What the hash of a model with a LoRA takes besides. */
static char *
describe_lora (SwittiBundle *self, const char *path, double scale, GError **error)
{
  g_autoptr (GMappedFile) file = g_mapped_file_new (path, FALSE, error);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  if (file == NULL)
    return NULL;
  if (g_mapped_file_get_length (file) > 0)
    g_checksum_update (checksum, (const guchar *) g_mapped_file_get_contents (file),
                       (gssize) g_mapped_file_get_length (file));
  return g_strconcat (self->addition != NULL ? self->addition : "", g_checksum_get_string (checksum), " ",
                      g_ascii_dtostr (number, sizeof number, scale), "\n", NULL);
}

SwittiBundle *
switti_bundle_apply_lora (SwittiBundle *self, const char *path, double scale, GError **error)
{
  g_autoptr (SwittiWeights) weights = NULL;
  g_autofree char *addition = NULL;
  SwittiBundleParts parts;
  SwittiBundle *copy;

  g_return_val_if_fail (SWITTI_IS_BUNDLE (self) && path != NULL, NULL);
  weights = switti_weights_with_lora (self->parts.transformer_weights, path, scale, error);
  if (weights == NULL)
    return NULL;
  addition = describe_lora (self, path, scale, error);
  if (addition == NULL)
    return NULL;
  parts = self->parts;
  parts.transformer_weights = g_steal_pointer (&weights);
  switti_weights_ref (parts.vae_weights);
  for (int i = 0; i < 2; i++)
    {
      switti_weights_ref (parts.text_weights[i]);
      switti_tokenizer_ref (parts.tokenizer[i]);
    }
  copy = bundle_new (self->name, self->path, g_strdup (self->description), &parts,
                     self->index != NULL ? json_object_ref (self->index) : NULL);
  copy->addition = g_steal_pointer (&addition);
  return copy;
}

const SwittiBundleParts *
switti_bundle_get_parts (SwittiBundle *self)
{
  g_assert (SWITTI_IS_BUNDLE (self));
  return &self->parts;
}

JsonObject *
switti_bundle_get_default_sampling (SwittiBundle *self)
{
  g_assert (SWITTI_IS_BUNDLE (self));
  return self->index != NULL ? switti_json_get_object (self->index, "default_sampling") : NULL;
}

const char *
switti_bundle_get_name (SwittiBundle *self)
{
  g_return_val_if_fail (SWITTI_IS_BUNDLE (self), NULL);
  return self->name;
}

const char *
switti_bundle_get_path (SwittiBundle *self)
{
  g_return_val_if_fail (SWITTI_IS_BUNDLE (self), NULL);
  return self->path;
}

int
switti_bundle_get_resolution (SwittiBundle *self)
{
  g_return_val_if_fail (SWITTI_IS_BUNDLE (self), 0);
  return self->parts.transformer.resolution;
}

int
switti_bundle_get_n_scales (SwittiBundle *self)
{
  g_return_val_if_fail (SWITTI_IS_BUNDLE (self), 0);
  return self->parts.transformer.schedule.n_scales;
}

guint64
switti_bundle_get_n_parameters (SwittiBundle *self)
{
  g_return_val_if_fail (SWITTI_IS_BUNDLE (self), 0);
  return switti_bundle_parts_count (&self->parts);
}

const char *
switti_bundle_get_description (SwittiBundle *self)
{
  g_return_val_if_fail (SWITTI_IS_BUNDLE (self), NULL);
  return self->description;
}

const char *
switti_bundle_get_info_json (SwittiBundle *self)
{
  g_return_val_if_fail (SWITTI_IS_BUNDLE (self), NULL);
  return self->info_json;
}

char *
switti_bundle_hash (SwittiBundle *self, GCancellable *cancellable, GError **error)
{
  g_autofree char *hash = NULL;

  g_return_val_if_fail (SWITTI_IS_BUNDLE (self), NULL);

  g_mutex_lock (&self->mutex);
  hash = g_strdup (self->hash);
  g_mutex_unlock (&self->mutex);
  if (hash != NULL)
    return g_steal_pointer (&hash);

  /* Not under the lock: reading a large model takes seconds. Two threads may both do it; they get the same. */
  if (*self->path != '\0')
    hash = switti_bundle_hash_folder (self->path, cancellable, error);
  else
    hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, self->info_json, -1); /* the rule makes all else from it */
  if (hash == NULL)
    return NULL;
  if (self->addition != NULL)
    {
      g_autofree char *both = g_strconcat (hash, "\n", self->addition, NULL);

      g_free (hash);
      hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, both, -1);
    }

  g_mutex_lock (&self->mutex);
  g_free (self->hash);
  self->hash = g_strdup (hash);
  g_mutex_unlock (&self->mutex);
  return g_steal_pointer (&hash);
}
