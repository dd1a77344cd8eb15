/* switti-weights.c - a source of named host tensors
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-weights-private.h"

#include "switti-error.h"
#include "switti-json-private.h"
#include "switti-lora-private.h"
#include "switti-safetensors-private.h"
#include "switti-synthetic-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#define MAX_INDEX_BYTES ((gsize) 64 << 20)

typedef enum
{
  SOURCE_FILES,
  SOURCE_SYNTHETIC,
  SOURCE_PREFIXED,
  SOURCE_SHAPES,
  SOURCE_LORA,
} Source;

struct _SwittiWeights
{
  gatomicrefcount ref_count;
  Source source;
  char *description;

  GPtrArray *files;  /* SOURCE_FILES: SwittiSafetensors */
  GHashTable *homes; /* SOURCE_FILES, sharded: tensor's name (owned) -> its file (of `files`); NULL for one file */

  char *prefix;        /* SOURCE_SYNTHETIC, SOURCE_PREFIXED */
  SwittiDtype dtype;   /* SOURCE_SYNTHETIC */
  SwittiWeights *base; /* SOURCE_PREFIXED, SOURCE_LORA */
  SwittiWeights *lora; /* SOURCE_LORA, as the rest: its file, */
  GPtrArray *layers;   /* its layers, */
  GHashTable *layer_of; /* weight's name -> SwittiLoraLayer (of `layers`), */
  double scale;
  GHashTable *shapes;  /* SOURCE_SHAPES: name -> SwittiTensor */
};

static SwittiWeights *
weights_new (Source source, const char *description)
{
  SwittiWeights *self = g_new0 (SwittiWeights, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->source = source;
  self->description = g_strdup (description);
  if (source == SOURCE_FILES)
    self->files = g_ptr_array_new_with_free_func ((GDestroyNotify) switti_safetensors_free);
  return self;
}

SwittiWeights *
switti_weights_ref (SwittiWeights *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
switti_weights_unref (SwittiWeights *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_clear_pointer (&self->homes, g_hash_table_unref);
  g_clear_pointer (&self->files, g_ptr_array_unref);
  g_clear_pointer (&self->base, switti_weights_unref);
  g_clear_pointer (&self->lora, switti_weights_unref);
  g_clear_pointer (&self->layer_of, g_hash_table_unref);
  g_clear_pointer (&self->layers, g_ptr_array_unref);
  g_clear_pointer (&self->shapes, g_hash_table_unref);
  g_free (self->prefix);
  g_free (self->description);
  g_free (self);
}

SwittiWeights *
switti_weights_open_file (const char *path, GError **error)
{
  g_autoptr (SwittiWeights) self = NULL;
  SwittiSafetensors *file = switti_safetensors_open (path, error);

  if (file == NULL)
    return NULL;
  self = weights_new (SOURCE_FILES, path);
  g_ptr_array_add (self->files, file);
  return g_steal_pointer (&self);
}

/* Whether `name` is that of a file beside the index: an index must not lead elsewhere. */
static gboolean
is_plain_file_name (const char *name)
{
  return name != NULL && *name != '\0' && strcmp (name, ".") != 0 && strcmp (name, "..") != 0 &&
         strpbrk (name, "/\\") == NULL;
}

static SwittiSafetensors *
open_shard (SwittiWeights *self, GHashTable *opened, const char *folder, const char *shard, GError **error)
{
  g_autofree char *path = NULL;
  SwittiSafetensors *file = g_hash_table_lookup (opened, shard);

  if (file != NULL)
    return file;
  path = g_build_filename (folder, shard, NULL);
  file = switti_safetensors_open (path, error);
  if (file != NULL)
    {
      g_ptr_array_add (self->files, file);
      g_hash_table_insert (opened, (char *) shard, file);
    }
  return file;
}

static SwittiWeights *
open_sharded (const char *folder, const char *index_path, GError **error)
{
  g_autoptr (SwittiWeights) self = weights_new (SOURCE_FILES, index_path);
  g_autoptr (JsonObject) index = switti_json_load_object (index_path, MAX_INDEX_BYTES, error);
  g_autoptr (GHashTable) opened = g_hash_table_new (g_str_hash, g_str_equal); /* keys belong to index */
  JsonObject *weight_map;
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  if (index == NULL)
    return NULL;
  weight_map = switti_json_get_object (index, "weight_map");
  if (weight_map == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("“%s” has no “weight_map”."), index_path);
      return NULL;
    }

  self->homes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  json_object_iter_init (&iter, weight_map);
  while (json_object_iter_next (&iter, &name, &node))
    {
      const char *shard = switti_json_get_string (weight_map, name);
      SwittiSafetensors *file;
      SwittiTensor view;

      if (!is_plain_file_name (shard))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("“%s” must name a file in its own folder for “%s”."), index_path, name);
          return NULL;
        }
      file = open_shard (self, opened, folder, shard, error);
      if (file == NULL)
        return NULL;
      if (!switti_safetensors_lookup (file, name, &view))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("“%s” says that “%s” is in “%s”, where it is not; get the model again."), index_path, name,
                       shard);
          return NULL;
        }
      g_hash_table_insert (self->homes, g_strdup (name), file);
    }
  return g_steal_pointer (&self);
}

SwittiWeights *
switti_weights_open_folder (const char *folder, GError **error)
{
  static const char *const stems[] = { "model", "diffusion_pytorch_model" };

  for (guint i = 0; i < G_N_ELEMENTS (stems); i++)
    {
      g_autofree char *name = g_strconcat (stems[i], ".safetensors", NULL);
      g_autofree char *index_name = g_strconcat (name, ".index.json", NULL);
      g_autofree char *path = g_build_filename (folder, name, NULL);
      g_autofree char *index_path = g_build_filename (folder, index_name, NULL);

      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return switti_weights_open_file (path, error);
      if (g_file_test (index_path, G_FILE_TEST_EXISTS))
        return open_sharded (folder, index_path, error);
    }

  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND,
               _ ("“%s” has no weights: model.safetensors or model.safetensors.index.json is needed."), folder);
  return NULL;
}

SwittiWeights *
switti_weights_new_synthetic (const char *prefix, SwittiDtype dtype)
{
  SwittiWeights *self = weights_new (SOURCE_SYNTHETIC, "synthetic weights");

  g_assert (dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16);
  self->prefix = g_strdup (prefix != NULL ? prefix : "");
  self->dtype = dtype;
  return self;
}

SwittiWeights *
switti_weights_with_prefix (SwittiWeights *base, const char *prefix)
{
  SwittiWeights *self = weights_new (SOURCE_PREFIXED, base->description);

  self->prefix = g_strdup (prefix);
  self->base = switti_weights_ref (base);
  return self;
}

SwittiWeights *
switti_weights_new_shapes (GHashTable *shapes, const char *description)
{
  SwittiWeights *self = weights_new (SOURCE_SHAPES, description);

  self->shapes = g_hash_table_ref (shapes);
  return self;
}

SwittiWeights *
switti_weights_with_lora (SwittiWeights *base, const char *path, double scale, GError **error)
{
  g_autoptr (SwittiWeights) self = weights_new (SOURCE_LORA, base->description);

  self->base = switti_weights_ref (base);
  self->scale = scale;
  self->layer_of = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->lora = switti_weights_open_file (path, error);
  if (self->lora == NULL)
    return NULL;
  self->layers = switti_lora_list (self->lora, error);
  if (self->layers == NULL)
    return NULL;
  for (guint i = 0; i < self->layers->len; i++)
    {
      SwittiLoraLayer *layer = g_ptr_array_index (self->layers, i);
      char *name = g_strconcat (layer->layer, ".weight", NULL);
      SwittiTensor stored;

      g_hash_table_insert (self->layer_of, name, layer);
      if (!switti_weights_peek (base, name, &stored)
          || (stored.n_dims != 0 && (stored.n_dims != 2 || stored.dims[0] != layer->n || stored.dims[1] != layer->k)))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("“%s” was made for another model: it adds (%" PRId64 ", %" PRId64
                          ") to “%s”, which “%s” has not of that shape."),
                       path, layer->n, layer->k, name, base->description);
          return NULL;
        }
    }
  return g_steal_pointer (&self);
}

const char *
switti_weights_get_description (SwittiWeights *self)
{
  return self->description;
}

static gboolean
lookup_in_files (SwittiWeights *self, const char *name, SwittiTensor *view)
{
  SwittiSafetensors *file = self->homes != NULL ? g_hash_table_lookup (self->homes, name)
                                                : g_ptr_array_index (self->files, 0);

  return file != NULL && switti_safetensors_lookup (file, name, view);
}

gboolean
switti_weights_peek (SwittiWeights *self, const char *name, SwittiTensor *shape)
{
  g_autofree char *full_name = NULL;
  const SwittiTensor *found;

  switch (self->source)
    {
    case SOURCE_FILES:
      return lookup_in_files (self, name, shape);
    case SOURCE_SYNTHETIC:
      *shape = (SwittiTensor) { .dtype = self->dtype };
      return TRUE;
    case SOURCE_PREFIXED:
      full_name = g_strconcat (self->prefix, name, NULL);
      return switti_weights_peek (self->base, full_name, shape);
    case SOURCE_LORA:
      return switti_weights_peek (self->base, name, shape);
    case SOURCE_SHAPES:
      found = g_hash_table_lookup (self->shapes, name);
      if (found != NULL)
        *shape = *found;
      return found != NULL;
    }
  g_return_val_if_reached (FALSE);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

char **
switti_weights_list (SwittiWeights *self)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);

  if (self->source == SOURCE_LORA)
    return switti_weights_list (self->base);
  if (self->source == SOURCE_PREFIXED)
    {
      g_auto (GStrv) base_names = switti_weights_list (self->base);

      for (char **name = base_names; *name != NULL; name++)
        if (g_str_has_prefix (*name, self->prefix))
          g_ptr_array_add (names, g_strdup (*name + strlen (self->prefix)));
    }
  else if (self->homes != NULL || self->shapes != NULL)
    {
      GHashTableIter iter;
      gpointer name;

      g_hash_table_iter_init (&iter, self->homes != NULL ? self->homes : self->shapes);
      while (g_hash_table_iter_next (&iter, &name, NULL))
        g_ptr_array_add (names, g_strdup (name));
      g_ptr_array_sort (names, compare_names);
    }
  else if (self->source == SOURCE_FILES)
    {
      const char *const *stored = switti_safetensors_list (g_ptr_array_index (self->files, 0));

      for (const char *const *name = stored; *name != NULL; name++)
        g_ptr_array_add (names, g_strdup (*name));
    }

  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

static gpointer
allocate_host (gsize bytes, const char *name, GError **error)
{
  /* Aligned as the op table wants its operands; at least one byte, so that NULL always means failure. */
  gsize rounded;
  gpointer memory = NULL;

  if (g_size_checked_add (&rounded, MAX (bytes, 1), 63))
    memory = aligned_alloc (64, rounded & ~(gsize) 63);
  if (memory == NULL)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY,
                 _ ("There are not %zu bytes of memory free for “%s”; close other programs."), bytes, name);
  return memory;
}

static gboolean
check_shape (SwittiWeights *self, const char *name, const SwittiTensor *view, int n_dims, const gint64 *dims,
             GError **error)
{
  g_autofree char *stored = NULL;
  g_autofree char *expected = NULL;
  gboolean is_same = view->n_dims == n_dims;

  for (int i = 0; is_same && i < n_dims; i++)
    is_same = view->dims[i] == dims[i];
  if (is_same)
    return TRUE;
  stored = switti_shape_to_string (view->n_dims, view->dims);
  expected = switti_shape_to_string (n_dims, dims);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("In “%s”, tensor “%s” has shape %s where the model's config.json asks for %s."), self->description,
               name, stored, expected);
  return FALSE;
}

/* A view of the stored tensor, perhaps not aligned. */
static gboolean
find_stored (SwittiWeights *self, const char *name, int n_dims, const gint64 *dims, SwittiTensor *view, GError **error)
{
  if (!lookup_in_files (self, name, view))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("“%s” has no tensor “%s”, which the model's config.json asks for."), self->description, name);
      return FALSE;
    }
  return check_shape (self, name, view, n_dims, dims, error);
}

static gboolean
count_elements (const char *name, SwittiDtype dtype, int n_dims, const gint64 *dims, gsize *count, gsize *bytes,
                GError **error)
{
  if (switti_shape_count (n_dims, dims, count) && switti_shape_bytes (dtype, n_dims, dims, bytes))
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("The configuration makes tensor “%s” larger than any memory."), name);
  return FALSE;
}

/* The base's tensor with what the file adds to it, of the base's dtype where that is one of F32, BF16 and F16. */
static gboolean
get_with_lora (SwittiWeights *self, const char *name, int n_dims, const gint64 *dims, SwittiHostTensor *out,
               GError **error)
{
  const SwittiLoraLayer *layer = g_hash_table_lookup (self->layer_of, name);
  g_auto (SwittiHostTensor) base = { 0 };
  g_autofree float *sums = NULL; /* of aligned_alloc(), which g_free() may free */
  gsize count, bytes;
  SwittiDtype dtype;

  if (layer == NULL)
    return switti_weights_get (self->base, name, n_dims, dims, out, error);
  if (!switti_weights_get (self->base, name, n_dims, dims, &base, error)
      || !count_elements (name, SWITTI_DTYPE_F32, n_dims, dims, &count, &bytes, error))
    return FALSE;
  out->owned = allocate_host (bytes, name, error);
  if (out->owned == NULL)
    return FALSE;
  sums = allocate_host (bytes, name, error);
  if (sums == NULL)
    return FALSE;
  switti_convert_elements (base.tensor.dtype, base.tensor.data, SWITTI_DTYPE_F32, sums, count);
  if (!switti_lora_add (self->lora, layer, self->scale, sums, error))
    return FALSE;
  dtype = base.tensor.dtype;
  if (!switti_convert_elements (SWITTI_DTYPE_F32, sums, dtype, out->owned, count))
    {
      dtype = SWITTI_DTYPE_F32;
      memcpy (out->owned, sums, bytes);
    }
  out->tensor = base.tensor;
  out->tensor.dtype = dtype;
  out->tensor.data = out->owned;
  return TRUE;
}

gboolean
switti_weights_get (SwittiWeights *self, const char *name, int n_dims, const gint64 *dims, SwittiHostTensor *out,
                    GError **error)
{
  g_autofree char *full_name = NULL;
  SwittiTensor view = { 0 };
  gsize count, bytes;

  g_assert (self->source != SOURCE_SHAPES);
  memset (out, 0, sizeof *out);
  if (self->source == SOURCE_PREFIXED)
    {
      full_name = g_strconcat (self->prefix, name, NULL);
      return switti_weights_get (self->base, full_name, n_dims, dims, out, error);
    }
  if (self->source == SOURCE_LORA)
    return get_with_lora (self, name, n_dims, dims, out, error);

  view.dtype = self->dtype;
  view.n_dims = n_dims;
  if (self->source == SOURCE_FILES && !find_stored (self, name, n_dims, dims, &view, error))
    return FALSE;
  if (!count_elements (name, view.dtype, n_dims, dims, &count, &bytes, error))
    return FALSE;
  if (n_dims > 0)
    memcpy (view.dims, dims, (gsize) n_dims * sizeof *dims);

  if (self->source == SOURCE_SYNTHETIC)
    {
      full_name = g_strconcat (self->prefix, name, NULL);
      out->owned = allocate_host (bytes, name, error);
      if (out->owned == NULL)
        return FALSE;
      switti_synthetic_parameter (full_name, n_dims, dims, self->dtype, count, out->owned);
      view.data = out->owned;
    }
  else if ((guintptr) view.data % switti_dtype_size (view.dtype) != 0)
    {
      /* The format does not align tensors; C does. */
      out->owned = allocate_host (bytes, name, error);
      if (out->owned == NULL)
        return FALSE;
      view.data = memcpy (out->owned, view.data, bytes);
    }
  out->tensor = view;
  return TRUE;
}

void
switti_host_tensor_clear (SwittiHostTensor *tensor)
{
  free (tensor->owned);
  memset (tensor, 0, sizeof *tensor);
}

gboolean
switti_weights_read_f32 (SwittiWeights *self, const char *name, int n_dims, const gint64 *dims, float *out,
                         GError **error)
{
  g_auto (SwittiHostTensor) host = { 0 };
  SwittiTensor view;
  gsize count, bytes;
  g_autofree char *full_name = NULL;

  if (self->source == SOURCE_PREFIXED)
    {
      full_name = g_strconcat (self->prefix, name, NULL);
      return switti_weights_read_f32 (self->base, full_name, n_dims, dims, out, error);
    }
  if (self->source == SOURCE_LORA)
    {
      const SwittiLoraLayer *layer = g_hash_table_lookup (self->layer_of, name);

      return switti_weights_read_f32 (self->base, name, n_dims, dims, out, error)
             && (layer == NULL || switti_lora_add (self->lora, layer, self->scale, out, error));
    }
  if (!count_elements (name, SWITTI_DTYPE_F32, n_dims, dims, &count, &bytes, error))
    return FALSE;

  if (self->source == SOURCE_FILES)
    {
      if (!find_stored (self, name, n_dims, dims, &view, error))
        return FALSE;
      switti_convert_elements (view.dtype, view.data, SWITTI_DTYPE_F32, out, count);
      return TRUE;
    }
  if (!switti_weights_get (self, name, n_dims, dims, &host, error))
    return FALSE;
  switti_convert_elements (host.tensor.dtype, host.tensor.data, SWITTI_DTYPE_F32, out, count);
  return TRUE;
}
