/* switti-safetensors-save.c - writes a safetensors file
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * As the format's own writer does: tensors with larger elements first, then by name, so that each is aligned to its
 * element; the header ends in spaces up to a multiple of 8 bytes.
 */
#include "switti-safetensors-private.h"

#include "switti-error.h"
#include "switti-json-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  const char *name;
  const SwittiTensor *tensor;
  gsize bytes;
} Entry;

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const Entry *x = a, *y = b;
  size_t x_size = switti_dtype_size (x->tensor->dtype), y_size = switti_dtype_size (y->tensor->dtype);

  if (x_size != y_size)
    return x_size > y_size ? -1 : 1;
  return strcmp (x->name, y->name);
}

static GArray *
list_entries (const char *const *names, const SwittiTensor *tensors, gsize n_tensors, GError **error)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (Entry));

  for (gsize i = 0; i < n_tensors; i++)
    {
      Entry entry = { names[i], &tensors[i], 0 };

      if (!switti_shape_bytes (tensors[i].dtype, tensors[i].n_dims, tensors[i].dims, &entry.bytes))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("Tensor “%s” is too large to be saved."),
                       names[i]);
          return NULL;
        }
      g_array_append_val (entries, entry);
    }
  return g_steal_pointer (&entries);
}

static void
build_entry (JsonBuilder *builder, const Entry *entry, gsize begin)
{
  json_builder_set_member_name (builder, entry->name);
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "dtype");
  json_builder_add_string_value (builder, switti_dtype_to_string (entry->tensor->dtype));
  json_builder_set_member_name (builder, "shape");
  json_builder_begin_array (builder);
  for (int i = 0; i < entry->tensor->n_dims; i++)
    json_builder_add_int_value (builder, entry->tensor->dims[i]);
  json_builder_end_array (builder);
  json_builder_set_member_name (builder, "data_offsets");
  json_builder_begin_array (builder);
  json_builder_add_int_value (builder, (gint64) begin);
  json_builder_add_int_value (builder, (gint64) (begin + entry->bytes));
  json_builder_end_array (builder);
  json_builder_end_object (builder);
}

static GString *
build_header (GArray *entries, GHashTable *metadata)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *json = NULL;
  GString *header = NULL;
  guint64 header_bytes;
  gsize begin = 0;

  json_builder_begin_object (builder);
  if (metadata != NULL)
    {
      GHashTableIter iter;
      gpointer key, value;

      json_builder_set_member_name (builder, "__metadata__");
      json_builder_begin_object (builder);
      g_hash_table_iter_init (&iter, metadata);
      while (g_hash_table_iter_next (&iter, &key, &value))
        {
          json_builder_set_member_name (builder, key);
          json_builder_add_string_value (builder, value);
        }
      json_builder_end_object (builder);
    }
  for (guint i = 0; i < entries->len; i++)
    {
      const Entry *entry = &g_array_index (entries, Entry, i);

      build_entry (builder, entry, begin);
      begin += entry->bytes;
    }
  json_builder_end_object (builder);

  root = json_builder_get_root (builder);
  json = json_to_string (root, FALSE);
  header = g_string_new (json);
  while (header->len % 8 != 0)
    g_string_append_c (header, ' ');
  header_bytes = GUINT64_TO_LE ((guint64) header->len);
  g_string_insert_len (header, 0, (const char *) &header_bytes, sizeof header_bytes);
  return header;
}

GString *
switti_safetensors_build_header (const char *const *names, const SwittiTensor *shapes, gsize n_tensors,
                                 GHashTable *metadata, guint64 *data_bytes, GError **error)
{
  g_autoptr (GArray) entries = list_entries (names, shapes, n_tensors, error);

  if (entries == NULL)
    return NULL;
  *data_bytes = 0;
  for (guint i = 0; i < entries->len; i++)
    *data_bytes += g_array_index (entries, Entry, i).bytes;
  return build_header (entries, metadata);
}

gboolean
switti_file_write_all (int fd, const void *data, gsize bytes)
{
  const guint8 *next = data;

  while (bytes > 0)
    {
      /* Linux writes at most 2 GiB in one call. */
      gssize written = write (fd, next, MIN (bytes, (gsize) 1 << 30));

      if (written < 0 && errno == EINTR)
        continue;
      if (written <= 0)
        return FALSE;
      next += written;
      bytes -= (gsize) written;
    }
  return TRUE;
}

static gboolean
write_file (int fd, const GString *header, GArray *entries)
{
  if (!switti_file_write_all (fd, header->str, header->len))
    return FALSE;
  for (guint i = 0; i < entries->len; i++)
    {
      const Entry *entry = &g_array_index (entries, Entry, i);

      if (!switti_file_write_all (fd, entry->tensor->data, entry->bytes))
        return FALSE;
    }
  return fsync (fd) == 0;
}

/* Where the folder cannot be opened for it, the file is still whole. */
void
switti_file_flush_name (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd = g_open (folder, O_RDONLY | O_CLOEXEC, 0);

  if (fd >= 0)
    {
      fsync (fd);
      close (fd);
    }
}

gboolean
switti_safetensors_save (const char *path, const char *const *names, const SwittiTensor *tensors, gsize n_tensors,
                         GHashTable *metadata, GError **error)
{
  g_autoptr (GArray) entries = list_entries (names, tensors, n_tensors, error);
  g_autofree char *partial = g_strdup_printf ("%s.XXXXXX", path);
  GString *header;
  gboolean written;
  int fd, problem;

  if (entries == NULL)
    return FALSE;
  g_array_sort (entries, compare_entries);

  fd = g_mkstemp_full (partial, O_RDWR | O_CLOEXEC, 0666);
  if (fd < 0)
    {
      problem = errno;
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), path,
                   g_strerror (problem));
      return FALSE;
    }

  header = build_header (entries, metadata);
  written = write_file (fd, header, entries);
  problem = errno;
  g_string_free (header, TRUE);
  if (close (fd) != 0 && written)
    {
      written = FALSE;
      problem = errno;
    }
  if (written && g_rename (partial, path) != 0)
    {
      written = FALSE;
      problem = errno;
    }
  if (!written)
    {
      g_unlink (partial);
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), path,
                   g_strerror (problem));
      return FALSE;
    }
  switti_file_flush_name (path);
  return TRUE;
}
