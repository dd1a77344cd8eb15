/* switti-tensor-source-open.c - checkpoints of every form
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-tensor-source-parts-private.h"

#include "switti-error.h"
#include "switti-json-private.h"
#include "switti-safetensors-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_INDEX_BYTES ((gsize) 64 << 20)
#define INDEX_SUFFIX ".index.json"

/* -- safetensors -------------------------------------------------------------------------------------------- */

static gboolean
add_safetensors (SwittiTensorSource *self, SwittiSafetensors *file, guint64 data_begin, GError **error)
{
  GArray *storages = switti_tensor_source_get_home (self)->storages;

  for (const char *const *name = switti_safetensors_list (file); *name != NULL; name++)
    {
      SwittiStoredTensor *tensor = g_new0 (SwittiStoredTensor, 1);
      SwittiStorage storage = { .is_located = TRUE };
      SwittiTensor view;
      gsize begin, bytes;
      gint64 stride = 1;

      if (!switti_safetensors_locate (file, *name, &view, &begin) ||
          !switti_shape_bytes (view.dtype, view.n_dims, view.dims, &bytes))
        g_assert_not_reached (); /* the file was checked */
      storage.begin = data_begin + begin;
      storage.bytes = bytes;
      tensor->name = g_strdup (*name);
      tensor->dtype = view.dtype;
      tensor->n_dims = view.n_dims;
      for (int i = view.n_dims - 1; i >= 0; i--)
        {
          tensor->dims[i] = view.dims[i];
          tensor->strides[i] = stride;
          stride *= MAX (view.dims[i], 1);
        }
      tensor->storage = storages->len;
      g_array_append_val (storages, storage);
      if (!switti_tensor_source_add (self, tensor, error))
        return FALSE;
    }
  return TRUE;
}

typedef struct
{
  guint64 begin;
  guint storage;
} Place;

static int
compare_begins (gconstpointer a, gconstpointer b)
{
  const Place *x = a, *y = b;

  return x->begin < y->begin ? -1 : x->begin > y->begin ? 1 : x->storage < y->storage ? -1 : 1;
}

/* Numbers the storages in the order in which they lie in the file. */
static void
order_storages (SwittiTensorSource *self)
{
  SwittiTensorHome *home = switti_tensor_source_get_home (self);
  guint n = home->storages->len;
  g_autofree Place *places = g_new (Place, n + 1);
  g_autofree guint *new_numbers = g_new (guint, n + 1);
  GArray *ordered = g_array_new (FALSE, TRUE, sizeof (SwittiStorage));

  for (guint i = 0; i < n; i++)
    places[i] = (Place){ g_array_index (home->storages, SwittiStorage, i).begin, i };
  if (n > 0)
    qsort (places, n, sizeof *places, compare_begins);
  for (guint i = 0; i < n; i++)
    {
      new_numbers[places[i].storage] = i;
      g_array_append_val (ordered, g_array_index (home->storages, SwittiStorage, places[i].storage));
    }
  for (guint i = 0; i < switti_tensor_source_get_n (self); i++)
    {
      SwittiStoredTensor *tensor = (SwittiStoredTensor *) switti_tensor_source_get (self, i);

      tensor->storage = new_numbers[tensor->storage];
    }
  g_array_unref (home->storages);
  home->storages = ordered;
  switti_tensor_source_sort (self);
}

SwittiTensorSource *
switti_tensor_source_new_safetensors (SwittiByteSource *bytes, GCancellable *cancellable, GError **error)
{
  const char *description = switti_byte_source_get_description (bytes);
  guint64 size = switti_byte_source_get_size (bytes);
  guint8 start[SWITTI_SAFETENSORS_START_BYTES] = { 0 };
  g_autoptr (SwittiTensorSource) self = NULL;
  g_autoptr (SwittiSafetensors) file = NULL;
  g_autofree char *header = NULL;
  gsize header_bytes;

  if (!switti_byte_source_read (bytes, 0, start, (gsize) MIN (size, sizeof start), cancellable, error) ||
      !switti_safetensors_parse_length (start, size, description, &header_bytes, error))
    return NULL;
  header = g_malloc (header_bytes);
  if (!switti_byte_source_read (bytes, 8, header, header_bytes, cancellable, error))
    return NULL;
  file = switti_safetensors_new_from_header (header, header_bytes, (gsize) (size - 8 - header_bytes), description,
                                             error);
  if (file == NULL)
    return NULL;
  self = switti_tensor_source_create (bytes, NULL);
  if (!add_safetensors (self, file, 8 + header_bytes, error))
    return NULL;
  order_storages (self);
  return g_steal_pointer (&self);
}

/* -- any file ----------------------------------------------------------------------------------------------- */

SwittiTensorSource *
switti_tensor_source_new (SwittiByteSource *bytes, GCancellable *cancellable, GError **error)
{
  static const guint8 zip_start[] = { 'P', 'K', 3, 4 };
  guint64 size = switti_byte_source_get_size (bytes);
  guint8 start[SWITTI_SAFETENSORS_START_BYTES] = { 0 };

  if (!switti_byte_source_read (bytes, 0, start, (gsize) MIN (size, sizeof start), cancellable, error))
    return NULL;
  /* The length of a safetensors header may begin like a pickle, but no pickle has a brace behind such a length. */
  if (start[8] == '{' && memcmp (start + 4, "\0\0\0\0", 4) == 0)
    return switti_tensor_source_new_safetensors (bytes, cancellable, error);
  if (memcmp (start, zip_start, sizeof zip_start) == 0 || start[0] == 0x80)
    return switti_tensor_source_new_pt (bytes, cancellable, error);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("%s holds no weights: it is neither safetensors nor a file of PyTorch's."),
               switti_byte_source_get_description (bytes));
  return NULL;
}

static SwittiTensorSource *
open_file (const char *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiByteSource) bytes = switti_byte_source_open_file (path, error);

  return bytes != NULL ? switti_tensor_source_new (bytes, cancellable, error) : NULL;
}

/* -- shards ------------------------------------------------------------------------------------------------- */

static gboolean
is_plain_file_name (const char *name)
{
  return name != NULL && *name != '\0' && strcmp (name, ".") != 0 && strcmp (name, "..") != 0 &&
         strpbrk (name, "/\\") == NULL;
}

/* The files that an index names, each once, in order of names. */
static GPtrArray *
list_shards (JsonObject *weight_map, const char *path, GError **error)
{
  g_autoptr (GPtrArray) shards = g_ptr_array_new ();
  JsonObjectIter iter;
  const char *name;

  json_object_iter_init (&iter, weight_map);
  while (json_object_iter_next (&iter, &name, NULL))
    {
      const char *shard = switti_json_get_string (weight_map, name);

      if (!is_plain_file_name (shard))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("“%s” must name a file in its own folder for “%s”."), path, name);
          return NULL;
        }
      if (!g_ptr_array_find_with_equal_func (shards, shard, g_str_equal, NULL))
        g_ptr_array_add (shards, (char *) shard);
    }
  g_ptr_array_sort_values (shards, (GCompareFunc) strcmp);
  return g_steal_pointer (&shards);
}

static gboolean
check_index (SwittiTensorSource *self, JsonObject *weight_map, const char *path, GError **error)
{
  JsonObjectIter iter;
  const char *name;

  json_object_iter_init (&iter, weight_map);
  while (json_object_iter_next (&iter, &name, NULL))
    if (switti_tensor_source_find (self, name) == NULL)
      {
        g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                     _ ("“%s” says that “%s” is in “%s”, where it is not; get the model again."), path, name,
                     switti_json_get_string (weight_map, name));
        return FALSE;
      }
  return TRUE;
}

static SwittiTensorSource *
open_shards (const char *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (JsonObject) index = switti_json_load_object (path, MAX_INDEX_BYTES, error);
  JsonObject *weight_map = index != NULL ? switti_json_get_object (index, "weight_map") : NULL;
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *description = g_strdup_printf ("“%s”", path);
  g_autoptr (GPtrArray) sources = g_ptr_array_new_with_free_func ((GDestroyNotify) switti_tensor_source_free);
  g_autoptr (GPtrArray) shards = NULL;
  g_autoptr (SwittiTensorSource) self = NULL;

  if (index != NULL && weight_map == NULL)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("“%s” has no “weight_map”."), path);
  shards = weight_map != NULL ? list_shards (weight_map, path, error) : NULL;
  if (shards == NULL)
    return NULL;
  for (guint i = 0; i < shards->len; i++)
    {
      g_autofree char *shard_path = g_build_filename (folder, shards->pdata[i], NULL);
      SwittiTensorSource *source = open_file (shard_path, cancellable, error);

      if (source == NULL)
        return NULL;
      g_ptr_array_add (sources, source);
    }
  self = switti_tensor_source_new_joined (sources, description, error);
  return self != NULL && check_index (self, weight_map, path, error) ? g_steal_pointer (&self) : NULL;
}

/* -- folders ------------------------------------------------------------------------------------------------ */

/* The weights of a folder, by the names that Hugging Face's libraries and OpenCLIP give them. */
static char *
find_weights (const char *folder)
{
  static const char *const names[] = {
    "model.safetensors", "model.safetensors.index.json", "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json", "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin", "diffusion_pytorch_model.bin",
  };
  static const char *const suffixes[] = { ".safetensors", ".pt", ".pth", ".bin", ".ckpt" };
  g_autoptr (GDir) entries = NULL;
  const char *entry, *only = NULL;
  g_autofree char *found = NULL;
  guint n_found = 0;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (folder, names[i], NULL);

      if (g_file_test (path, G_FILE_TEST_IS_REGULAR))
        return g_steal_pointer (&path);
    }
  /* Under another name, if there is but one. */
  entries = g_dir_open (folder, 0, NULL);
  while (entries != NULL && (entry = g_dir_read_name (entries)) != NULL)
    for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
      if (g_str_has_suffix (entry, suffixes[i]) && n_found++ == 0)
        {
          found = g_build_filename (folder, entry, NULL);
          only = found;
        }
  return n_found == 1 && g_file_test (only, G_FILE_TEST_IS_REGULAR) ? g_steal_pointer (&found) : NULL;
}

SwittiTensorSource *
switti_tensor_source_open (const char *path, GCancellable *cancellable, GError **error)
{
  g_autofree char *weights = NULL;

  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    {
      weights = find_weights (path);
      if (weights == NULL)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND,
                       _ ("“%s” has no weights: model.safetensors, pytorch_model.bin or one .pt file is needed."),
                       path);
          return NULL;
        }
      path = weights;
    }
  return g_str_has_suffix (path, INDEX_SUFFIX) ? open_shards (path, cancellable, error)
                                               : open_file (path, cancellable, error);
}
