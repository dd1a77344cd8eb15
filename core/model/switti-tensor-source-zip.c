/* switti-tensor-source-zip.c - a zip file's members by ranges
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * libzip reads the archive through a source of ours, so that an archive need not be a file. PyTorch stores tensors
 * uncompressed: where such a member's bytes begin is seen in what libzip reads first of it, and from then on they are
 * read from the file itself.
 */
#include "switti-tensor-source-parts-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include <zip.h>

#define MAX_MEMBERS 1000000
/* Weights shrink to a half at best; an archive that claims more is made to fill a disk. */
#define MAX_RATIO 100
#define SKIP_BYTES ((gsize) 1 << 16)

struct _SwittiZip
{
  SwittiByteSource *bytes;
  zip_t *archive;
  zip_int64_t n_members;
  GHashTable *members; /* name (owned) -> index + 1 */
  char **names;        /* keys of members */
  GArray *storages;    /* SwittiStorage, not located */

  /* what libzip's source is at */
  zip_error_t source_error;
  guint64 position, last_offset;
  gsize last_bytes;
  GCancellable *cancellable; /* of the call that is going on */
  GError *read_error;        /* of our own source, which says more than libzip's */

  /* the member that is being unpacked */
  zip_file_t *open_file;
  guint open_index;
  guint64 open_offset;
};

/* -- libzip's source ---------------------------------------------------------------------------------------- */

static zip_int64_t
source_read (SwittiZip *self, void *out, guint64 length)
{
  guint64 size = switti_byte_source_get_size (self->bytes);
  gsize bytes = (gsize) MIN (length, self->position < size ? size - self->position : 0);

  self->last_offset = self->position;
  self->last_bytes = bytes;
  if (bytes == 0)
    return 0;
  g_clear_error (&self->read_error);
  if (!switti_byte_source_read (self->bytes, self->position, out, bytes, self->cancellable, &self->read_error))
    {
      zip_error_set (&self->source_error, ZIP_ER_READ, 0);
      return -1;
    }
  self->position += bytes;
  return (zip_int64_t) bytes;
}

static zip_int64_t
source_seek (SwittiZip *self, void *arguments, guint64 length)
{
  zip_int64_t offset = zip_source_seek_compute_offset (self->position, switti_byte_source_get_size (self->bytes),
                                                       arguments, length, &self->source_error);

  if (offset < 0)
    return -1;
  self->position = (guint64) offset;
  return 0;
}

static zip_int64_t
source_stat (SwittiZip *self, void *out, guint64 length)
{
  zip_stat_t *stat = ZIP_SOURCE_GET_ARGS (zip_stat_t, out, length, &self->source_error);

  if (stat == NULL)
    return -1;
  zip_stat_init (stat);
  stat->valid = ZIP_STAT_SIZE;
  stat->size = switti_byte_source_get_size (self->bytes);
  return sizeof *stat;
}

static zip_int64_t
source_call (void *data, void *argument, zip_uint64_t length, zip_source_cmd_t command)
{
  SwittiZip *self = data;

  switch (command)
    {
    case ZIP_SOURCE_OPEN:
      self->position = 0;
      return 0;
    case ZIP_SOURCE_READ:
      return source_read (self, argument, length);
    case ZIP_SOURCE_SEEK:
      return source_seek (self, argument, length);
    case ZIP_SOURCE_TELL:
      return (zip_int64_t) self->position;
    case ZIP_SOURCE_STAT:
      return source_stat (self, argument, length);
    case ZIP_SOURCE_ERROR:
      return zip_error_to_data (&self->source_error, argument, length);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE: /* it lives as long as the SwittiZip */
      return 0;
    case ZIP_SOURCE_SUPPORTS:
      return zip_source_make_command_bitmap (ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                             ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                             ZIP_SOURCE_SUPPORTS, -1);
    default:
      zip_error_set (&self->source_error, ZIP_ER_OPNOTSUPP, 0);
      return -1;
    }
}

/* -- opening ------------------------------------------------------------------------------------------------ */

/* Our own source's error, or libzip's in a sentence. */
static gboolean
fail (SwittiZip *self, const char *problem, GError **error)
{
  if (self->read_error != NULL)
    g_propagate_error (error, g_steal_pointer (&self->read_error));
  else
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                 _ ("%s is not a whole zip archive (%s): it is cut short or broken; get it again."),
                 switti_byte_source_get_description (self->bytes), problem);
  return FALSE;
}

/* Whether a member's name is one that could be unpacked below a folder. Nothing is ever unpacked to a place of a name,
 * but an archive that tries it is no checkpoint. */
static gboolean
is_harmless_name (const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", -1);

  if (*name == '/' || *name == '\0' || strpbrk (name, "\\:") != NULL || !g_utf8_validate (name, -1, NULL))
    return FALSE;
  for (char **part = parts; *part != NULL; part++)
    if (strcmp (*part, "..") == 0)
      return FALSE;
  return TRUE;
}

static gboolean
add_member (SwittiZip *self, guint index, guint64 *total, GError **error)
{
  const char *description = switti_byte_source_get_description (self->bytes);
  SwittiStorage storage = { 0 };
  zip_stat_t stat;
  char *name;

  if (zip_stat_index (self->archive, index, ZIP_FL_ENC_RAW, &stat) != 0 || stat.name == NULL ||
      (stat.valid & (ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD)) !=
          (ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD))
    return fail (self, zip_strerror (self->archive), error);
  if (!is_harmless_name (stat.name))
    {
      g_autofree char *printable = g_utf8_make_valid (stat.name, -1);

      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s is refused: its member “%.100s” would lie outside of it."), description, printable);
      return FALSE;
    }
  if (!g_uint64_checked_add (total, *total, stat.size) ||
      *total / MAX_RATIO > switti_byte_source_get_size (self->bytes))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s is refused: it would unpack to more than %d times its size, as no weights do."), description,
                   MAX_RATIO);
      return FALSE;
    }
  storage.bytes = stat.size;
  storage.is_compressed = stat.comp_method != ZIP_CM_STORE || stat.comp_size != stat.size ||
                          ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && stat.encryption_method != ZIP_EM_NONE);
  name = g_strdup (stat.name);
  self->names[index] = name;
  g_array_append_val (self->storages, storage);
  if (g_hash_table_insert (self->members, name, GUINT_TO_POINTER (index + 1)))
    return TRUE;
  self->names[index] = NULL; /* the table kept the older key and freed this one */
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("%s holds two members of one name."), description);
  return FALSE;
}

static gboolean
open_archive (SwittiZip *self, GError **error)
{
  zip_error_t problem;
  zip_source_t *source;

  zip_error_init (&problem);
  source = zip_source_function_create (source_call, self, &problem);
  if (source != NULL)
    self->archive = zip_open_from_source (source, ZIP_RDONLY, &problem);
  if (self->archive == NULL)
    {
      fail (self, zip_error_strerror (&problem), error);
      if (source != NULL)
        zip_source_free (source);
    }
  zip_error_fini (&problem);
  return self->archive != NULL;
}

SwittiZip *
switti_zip_open (SwittiByteSource *bytes, GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiZip) self = g_new0 (SwittiZip, 1);
  guint64 total = 0;

  self->bytes = switti_byte_source_ref (bytes);
  self->members = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->storages = g_array_new (FALSE, FALSE, sizeof (SwittiStorage));
  self->cancellable = cancellable;
  zip_error_init (&self->source_error);
  if (!open_archive (self, error))
    return NULL;
  self->n_members = zip_get_num_entries (self->archive, 0);
  if (self->n_members > MAX_MEMBERS)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("%s has more than %d members."),
                   switti_byte_source_get_description (bytes), MAX_MEMBERS);
      return NULL;
    }
  self->names = g_new0 (char *, self->n_members + 1);
  for (zip_int64_t i = 0; i < self->n_members; i++)
    if (!add_member (self, (guint) i, &total, error))
      return NULL;
  self->cancellable = NULL;
  return g_steal_pointer (&self);
}

void
switti_zip_free (SwittiZip *self)
{
  if (self == NULL)
    return;
  if (self->open_file != NULL)
    zip_fclose (self->open_file);
  if (self->archive != NULL)
    zip_discard (self->archive);
  zip_error_fini (&self->source_error);
  g_clear_error (&self->read_error);
  g_free (self->names);
  g_hash_table_unref (self->members);
  g_array_unref (self->storages);
  switti_byte_source_unref (self->bytes);
  g_free (self);
}

guint
switti_zip_get_n (SwittiZip *self)
{
  return (guint) self->n_members;
}

const char *
switti_zip_get_name (SwittiZip *self, guint index)
{
  return self->names[index];
}

gint64
switti_zip_find (SwittiZip *self, const char *name)
{
  return (gint64) GPOINTER_TO_UINT (g_hash_table_lookup (self->members, name)) - 1;
}

void
switti_zip_get_storage (SwittiZip *self, guint index, SwittiStorage *storage)
{
  *storage = g_array_index (self->storages, SwittiStorage, index);
}

/* -- reading ------------------------------------------------------------------------------------------------ */

static void
close_member (SwittiZip *self)
{
  if (self->open_file != NULL)
    zip_fclose (self->open_file);
  self->open_file = NULL;
}

static gboolean
open_member (SwittiZip *self, guint index, GError **error)
{
  close_member (self);
  g_clear_error (&self->read_error);
  self->open_file = zip_fopen_index (self->archive, index, 0);
  self->open_index = index;
  self->open_offset = 0;
  return self->open_file != NULL ? TRUE : fail (self, zip_strerror (self->archive), error);
}

static gboolean
read_member (SwittiZip *self, void *out, gsize bytes, GError **error)
{
  guint8 *next = out;

  while (bytes > 0)
    {
      zip_int64_t n_read = zip_fread (self->open_file, next, MIN (bytes, (gsize) 1 << 30));

      if (n_read <= 0)
        {
          fail (self, n_read < 0 ? zip_file_strerror (self->open_file) : _ ("a member ends too early"), error);
          close_member (self);
          return FALSE;
        }
      next += n_read;
      bytes -= (gsize) n_read;
      self->open_offset += (guint64) n_read;
    }
  return TRUE;
}

/* Compressed bytes can only be passed by unpacking them. */
static gboolean
skip_to (SwittiZip *self, guint64 offset, GError **error)
{
  g_autofree guint8 *skipped = g_malloc (SKIP_BYTES);

  while (self->open_offset < offset)
    if (!read_member (self, skipped, (gsize) MIN (offset - self->open_offset, SKIP_BYTES), error) ||
        g_cancellable_set_error_if_cancelled (self->cancellable, error))
      return FALSE;
  return TRUE;
}

gboolean
switti_zip_read (SwittiZip *self, guint index, guint64 offset, void *out, gsize bytes, GCancellable *cancellable,
                 GError **error)
{
  const SwittiStorage *storage = &g_array_index (self->storages, SwittiStorage, index);
  gboolean good;

  if (offset > storage->bytes || bytes > storage->bytes - offset)
    return fail (self, _ ("a member ends too early"), error);
  self->cancellable = cancellable;
  good = (self->open_file != NULL && self->open_index == index && self->open_offset <= offset) ||
         open_member (self, index, error);
  good = good && skip_to (self, offset, error) && read_member (self, out, bytes, error);
  self->cancellable = NULL;
  return good;
}

gboolean
switti_zip_locate (SwittiZip *self, guint index, SwittiStorage *storage, GCancellable *cancellable, GError **error)
{
  guint64 size = switti_byte_source_get_size (self->bytes);
  guint8 first;

  if (storage->is_located || storage->is_compressed || storage->bytes == 0)
    return TRUE;
  close_member (self);
  if (!switti_zip_read (self, index, 0, &first, 1, cancellable, error))
    return FALSE;
  close_member (self);
  /* One byte was asked for; a library that reads ahead would not show where it is. */
  if (self->last_bytes != 1 || self->last_offset > size || storage->bytes > size - self->last_offset)
    storage->is_compressed = TRUE;
  else
    storage->begin = self->last_offset;
  storage->is_located = !storage->is_compressed;
  return TRUE;
}
