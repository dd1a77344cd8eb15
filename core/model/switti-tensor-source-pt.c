/* switti-tensor-source-pt.c - PyTorch's files, zip and legacy
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * zip: NAME/data.pkl describes the tensors, NAME/data/KEY is the storage KEY, NAME/byteorder says "little".
 * legacy: pickles of a magic number, a protocol version, system information, the object and the list of storage keys,
 * one after the other; then each storage: its number of elements as 8 bytes, and the elements.
 */
#include "switti-tensor-source-parts-private.h"

#include "switti-error.h"
#include "switti-pickle-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* A checkpoint's pickle has about 100 bytes a tensor. */
#define MAX_PICKLE_BYTES ((guint64) 16 << 20)
#define LEGACY_PROTOCOL 1001

typedef struct
{
  SwittiTensorSource *source;
  char *prefix;         /* zip: "NAME/data/" */
  GHashTable *storages; /* legacy: key (owned) -> index + 1 */
} Reader;

static gboolean
unusable (const char *description, const char *why, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("%s is no checkpoint that can be read: %s; get it again."), description, why);
  return FALSE;
}

/* The storage's number, or -1. */
static gint64
find_storage (Reader *self, const SwittiPickleStorage *storage)
{
  g_autofree char *key = g_strndup (storage->key, storage->key_length);
  g_autofree char *member = NULL;

  if (strlen (key) != storage->key_length)
    return -1;
  if (self->storages != NULL)
    return (gint64) GPOINTER_TO_UINT (g_hash_table_lookup (self->storages, key)) - 1;
  member = g_strconcat (self->prefix, key, NULL);
  return switti_zip_find (switti_tensor_source_get_home (self->source)->zip, member);
}

static gboolean
add_tensor (const char *name, const SwittiPickleTensor *tensor, gpointer data, GError **error)
{
  Reader *self = data;
  gint64 storage = find_storage (self, tensor->storage);
  SwittiStoredTensor *stored;

  if (storage < 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("In %s, the storage of tensor “%s” is missing; get the file again."),
                   switti_tensor_source_get_description (self->source), name);
      return FALSE;
    }
  stored = g_new0 (SwittiStoredTensor, 1);
  stored->name = g_strdup (name);
  stored->dtype = tensor->dtype;
  stored->n_dims = tensor->n_dims;
  memcpy (stored->dims, tensor->dims, sizeof stored->dims);
  memcpy (stored->strides, tensor->strides, sizeof stored->strides);
  stored->offset = tensor->offset + tensor->storage->view_offset; /* both were checked with the storage's size */
  stored->storage = (guint) storage;
  return switti_tensor_source_add (self->source, stored, error);
}

static gboolean
add_all (Reader *self, SwittiPickle *pickle, GError **error)
{
  if (!switti_pickle_foreach_tensor (pickle, add_tensor, self, error))
    return FALSE;
  switti_tensor_source_sort (self->source);
  return TRUE;
}

/* -- zip ---------------------------------------------------------------------------------------------------- */

/* The member NAME/data.pkl; *prefix is "NAME/". */
static gboolean
find_pickle (SwittiZip *zip, const char *description, guint *index, char **prefix, GError **error)
{
  static const char suffix[] = "/data.pkl";

  for (guint i = 0; i < switti_zip_get_n (zip); i++)
    {
      const char *name = switti_zip_get_name (zip, i);

      if (g_str_has_suffix (name, suffix) && strchr (name, '/') == strrchr (name, '/'))
        {
          *index = i;
          *prefix = g_strndup (name, strlen (name) - strlen (suffix) + 1);
          return TRUE;
        }
    }
  return unusable (description, _ ("it is a zip archive without a data.pkl"), error);
}

static gboolean
check_byte_order (SwittiZip *zip, const char *prefix, const char *description, GCancellable *cancellable,
                  GError **error)
{
  g_autofree char *name = g_strconcat (prefix, "byteorder", NULL);
  gint64 index = switti_zip_find (zip, name);
  SwittiStorage storage;
  char order[6];

  if (index < 0) /* older files do not say */
    return TRUE;
  switti_zip_get_storage (zip, (guint) index, &storage);
  if (storage.bytes != sizeof order)
    return unusable (description, _ ("its byte order is not “little”"), error);
  if (!switti_zip_read (zip, (guint) index, 0, order, sizeof order, cancellable, error))
    return FALSE;
  return memcmp (order, "little", sizeof order) == 0
             ? TRUE
             : unusable (description, _ ("its byte order is not “little”"), error);
}

static SwittiTensorSource *
read_zip (SwittiByteSource *bytes, GCancellable *cancellable, GError **error)
{
  const char *description = switti_byte_source_get_description (bytes);
  g_autoptr (SwittiZip) zip = switti_zip_open (bytes, cancellable, error);
  g_autoptr (SwittiTensorSource) source = NULL;
  g_autoptr (SwittiPickle) pickle = NULL;
  g_autofree char *prefix = NULL;
  g_autofree char *data_prefix = NULL;
  g_autofree guint8 *text = NULL;
  SwittiStorage member;
  Reader reader = { 0 };
  guint index;
  gsize used;

  if (zip == NULL || !find_pickle (zip, description, &index, &prefix, error) ||
      !check_byte_order (zip, prefix, description, cancellable, error))
    return NULL;
  switti_zip_get_storage (zip, index, &member);
  if (member.bytes > MAX_PICKLE_BYTES)
    {
      unusable (description, _ ("its data.pkl is larger than any checkpoint's"), error);
      return NULL;
    }
  text = g_malloc ((gsize) member.bytes + 1);
  if (!switti_zip_read (zip, index, 0, text, (gsize) member.bytes, cancellable, error))
    return NULL;
  pickle = switti_pickle_parse (text, (gsize) member.bytes, &used, description, error);
  if (pickle == NULL)
    return NULL;

  source = switti_tensor_source_create (bytes, g_steal_pointer (&zip));
  for (guint i = 0; i < switti_zip_get_n (switti_tensor_source_get_home (source)->zip); i++)
    {
      switti_zip_get_storage (switti_tensor_source_get_home (source)->zip, i, &member);
      g_array_append_val (switti_tensor_source_get_home (source)->storages, member);
    }
  data_prefix = g_strconcat (prefix, "data/", NULL);
  reader.source = source;
  reader.prefix = data_prefix;
  return add_all (&reader, pickle, error) ? g_steal_pointer (&source) : NULL;
}

/* -- legacy ------------------------------------------------------------------------------------------------- */

static gboolean
has_magic (const SwittiPickleValue *value)
{
  static const guint8 magic[] = { 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };

  return value->type == SWITTI_PICKLE_LONG && value->string.length == sizeof magic &&
         memcmp (value->string.bytes, magic, sizeof magic) == 0;
}

static gboolean
is_little_endian (const SwittiPickleValue *information)
{
  static const char key[] = "little_endian";

  if (information->type != SWITTI_PICKLE_DICT)
    return FALSE;
  for (gsize i = 0; i < information->list.n; i += 2)
    {
      const SwittiPickleValue *name = information->list.items[i], *value = information->list.items[i + 1];

      if (name->type == SWITTI_PICKLE_STRING && name->string.length == strlen (key) &&
          memcmp (name->string.bytes, key, strlen (key)) == 0)
        return value->type == SWITTI_PICKLE_BOOLEAN && value->integer;
    }
  return FALSE;
}

static gboolean
check_legacy_start (SwittiPickle *const *pickles, const char *description, GError **error)
{
  const SwittiPickleValue *magic = switti_pickle_get_root (pickles[0]);
  const SwittiPickleValue *protocol = switti_pickle_get_root (pickles[1]);

  if (!has_magic (magic) || protocol->type != SWITTI_PICKLE_INTEGER || protocol->integer != LEGACY_PROTOCOL)
    return unusable (description, _ ("it is a pickle, but none that PyTorch saved"), error);
  if (!is_little_endian (switti_pickle_get_root (pickles[2])))
    return unusable (description, _ ("its byte order is not “little”"), error);
  return TRUE;
}

/* How large the elements of the storages are, by their keys. */
static GHashTable *
list_element_sizes (SwittiPickle *pickle)
{
  GHashTable *sizes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  GPtrArray *storages = switti_pickle_get_storages (pickle);

  for (guint i = 0; i < storages->len; i++)
    {
      const SwittiPickleStorage *storage = storages->pdata[i];

      g_hash_table_insert (sizes, g_strndup (storage->key, storage->key_length),
                           GINT_TO_POINTER (switti_dtype_size (storage->dtype)));
    }
  return sizes;
}

/* Finds each storage behind the pickles; *position is where the first begins. */
static gboolean
find_legacy_storages (Reader *self, SwittiByteSource *bytes, const SwittiPickleValue *keys, GHashTable *sizes,
                      guint64 position, GCancellable *cancellable, GError **error)
{
  const char *description = switti_byte_source_get_description (bytes);
  GArray *storages = switti_tensor_source_get_home (self->source)->storages;

  if (keys->type != SWITTI_PICKLE_LIST)
    return unusable (description, _ ("it has no list of storages"), error);
  for (gsize i = 0; i < keys->list.n; i++)
    {
      const SwittiPickleValue *key = keys->list.items[i];
      SwittiStorage storage = { .is_located = TRUE };
      g_autofree char *name = NULL;
      guint64 numel;

      if (key->type != SWITTI_PICKLE_STRING)
        return unusable (description, _ ("it has no list of storages"), error);
      if (!switti_byte_source_read (bytes, position, &numel, sizeof numel, cancellable, error))
        return FALSE;
      name = g_strndup (key->string.bytes, key->string.length);
      storage.begin = position + sizeof numel;
      /* Only the object names how large a storage's elements are. */
      if (!g_hash_table_contains (sizes, name) ||
          !g_uint64_checked_mul (&storage.bytes, GUINT64_FROM_LE (numel),
                                 (guint64) GPOINTER_TO_INT (g_hash_table_lookup (sizes, name))) ||
          storage.bytes > switti_byte_source_get_size (bytes) - storage.begin ||
          !g_hash_table_insert (self->storages, g_steal_pointer (&name), GUINT_TO_POINTER (storages->len + 1)))
        return unusable (description, _ ("a storage lies outside of it"), error);
      position = storage.begin + storage.bytes;
      g_array_append_val (storages, storage);
    }
  return TRUE;
}

static SwittiTensorSource *
read_legacy_storages (SwittiByteSource *bytes, SwittiPickle *const *pickles, guint64 position,
                      GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiTensorSource) source = switti_tensor_source_create (bytes, NULL);
  g_autoptr (GHashTable) storages = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GHashTable) sizes = list_element_sizes (pickles[3]);
  Reader reader = { .source = source, .storages = storages };

  if (!find_legacy_storages (&reader, bytes, switti_pickle_get_root (pickles[4]), sizes, position, cancellable,
                             error) ||
      !add_all (&reader, pickles[3], error))
    return NULL;
  return g_steal_pointer (&source);
}

static SwittiTensorSource *
read_legacy (SwittiByteSource *bytes, GCancellable *cancellable, GError **error)
{
  enum { N_PICKLES = 5 };
  const char *description = switti_byte_source_get_description (bytes);
  gsize length = (gsize) MIN (switti_byte_source_get_size (bytes), MAX_PICKLE_BYTES), position = 0;
  g_autofree guint8 *text = g_malloc (length + 1);
  SwittiPickle *pickles[N_PICKLES] = { NULL };
  SwittiTensorSource *source = NULL;
  int n = 0;

  if (!switti_byte_source_read (bytes, 0, text, length, cancellable, error))
    return NULL;
  for (; n < N_PICKLES; n++)
    {
      gsize used;

      pickles[n] = switti_pickle_parse (text + position, length - position, &used, description, error);
      if (pickles[n] == NULL)
        break;
      position += used;
      if (n == 2 && !check_legacy_start (pickles, description, error))
        {
          n++;
          break;
        }
    }
  if (n == N_PICKLES)
    source = read_legacy_storages (bytes, pickles, position, cancellable, error);
  for (int i = 0; i < N_PICKLES; i++)
    switti_pickle_free (pickles[i]);
  return source;
}

SwittiTensorSource *
switti_tensor_source_new_pt (SwittiByteSource *bytes, GCancellable *cancellable, GError **error)
{
  guint8 first = 0;

  if (!switti_byte_source_read (bytes, 0, &first, (gsize) MIN (switti_byte_source_get_size (bytes), 1), cancellable,
                                error))
    return NULL;
  return first == 'P' ? read_zip (bytes, cancellable, error) : read_legacy (bytes, cancellable, error);
}
