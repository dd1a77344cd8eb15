/* switti-model-writer.c - writes a model folder so that a kill at any moment leaves the old one or the new one
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Beside the folder NAME there are, while it is written, .NAME.partial and .NAME.lock; and, on a file system that
 * cannot exchange two folders in one step, for a moment .NAME.old.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* renameat2() */
#endif
#include "switti-model-writer-private.h"

#include "switti-bundle-folder-private.h"
#include "switti-error.h"
#include "switti-folder-private.h"
#include "switti-safetensors-private.h"
#include "switti-sha256-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SUMS "SHA256SUMS"
/* Larger files are linked, not copied, where that is possible. */
#define MAX_COPIED_BYTES ((goffset) 16 << 20)
/* Left free on the disk beside a model. */
#define SPARE_BYTES ((guint64) 64 << 20)

struct _SwittiModelWriter
{
  char *path, *partial, *lock_path;
  int lock;
  gboolean keep_partial, is_finished;
  GHashTable *checksums; /* relative path (owned) -> SHA-256 (owned) */
};

static gboolean
failed (const char *path, int problem, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), path, g_strerror (problem));
  return FALSE;
}

/* "FOLDER/.NAME<suffix>" */
static char *
beside (const char *path, const char *suffix)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *hidden = g_strconcat (".", name, suffix, NULL);

  return g_build_filename (folder, hidden, NULL);
}

/* -- trees -------------------------------------------------------------------------------------------------- */

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Relative paths of the regular files in a tree, sorted; flushes the folders where that is asked for. */
static gboolean
list_tree (const char *root, const char *relative, GPtrArray *files, gboolean flushes, GError **error)
{
  g_autofree char *path = g_build_filename (root, relative, NULL);
  g_autoptr (GError) open_error = NULL;
  g_autoptr (GDir) entries = g_dir_open (path, 0, &open_error);
  const char *name;

  if (entries == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("The model in “%s” could not be read: %s."), root,
                   open_error->message);
      return FALSE;
    }
  while ((name = g_dir_read_name (entries)) != NULL)
    {
      g_autofree char *child = *relative != '\0' ? g_build_filename (relative, name, NULL) : g_strdup (name);
      g_autofree char *child_path = g_build_filename (root, child, NULL);

      if (g_file_test (child_path, G_FILE_TEST_IS_DIR))
        {
          if (!list_tree (root, child, files, flushes, error))
            return FALSE;
        }
      else
        g_ptr_array_add (files, g_steal_pointer (&child));
    }
  return !flushes || switti_file_flush (path, error);
}

/* -- beginning ---------------------------------------------------------------------------------------------- */

static gboolean
is_model_folder (const char *path)
{
  g_autofree char *index = g_build_filename (path, "model_index.json", NULL);

  return g_file_test (index, G_FILE_TEST_IS_REGULAR);
}

void
switti_model_recover (const char *path)
{
  g_autofree char *old = beside (path, ".old");

  if (!g_file_test (old, G_FILE_TEST_IS_DIR))
    return;
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    switti_folder_remove (old); /* the new one is in its place */
  else if (g_rename (old, path) == 0)
    switti_file_flush_name (path);
}

/* Opens the lock file and takes the lock. The file of a run that just ended may be removed under this one's hands. */
static gboolean
take_lock (SwittiModelWriter *self, GError **error)
{
  for (;;)
    {
      struct stat opened, named;

      self->lock = g_open (self->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
      if (self->lock < 0)
        return failed (self->lock_path, errno, error);
      if (flock (self->lock, LOCK_EX | LOCK_NB) != 0)
        {
          close (self->lock);
          self->lock = -1;
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                       _ ("Another import or download of “%s” is going on; wait until it is done."), self->path);
          return FALSE;
        }
      if (fstat (self->lock, &opened) == 0 && stat (self->lock_path, &named) == 0 && opened.st_ino == named.st_ino &&
          opened.st_dev == named.st_dev)
        return TRUE;
      close (self->lock);
    }
}

static gboolean
check_place (SwittiModelWriter *self, GError **error)
{
  g_autoptr (GDir) entries = NULL;

  if (!g_file_test (self->path, G_FILE_TEST_EXISTS) || is_model_folder (self->path))
    return TRUE;
  entries = g_dir_open (self->path, 0, NULL);
  if (entries != NULL && g_dir_read_name (entries) == NULL)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("“%s” is there and is no model, so that it is not replaced; choose another name."), self->path);
  return FALSE;
}

SwittiModelWriter *
switti_model_writer_new (const char *path, gboolean keep_partial, GError **error)
{
  g_autoptr (SwittiModelWriter) self = g_new0 (SwittiModelWriter, 1);
  g_autofree char *parent = NULL;

  self->path = g_canonicalize_filename (path, NULL);
  self->partial = beside (self->path, ".partial");
  self->lock_path = beside (self->path, ".lock");
  self->lock = -1;
  self->keep_partial = keep_partial;
  self->checksums = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  parent = g_path_get_dirname (self->path);
  if (g_mkdir_with_parents (parent, 0777) != 0 && !failed (parent, errno, error))
    return NULL;
  if (!take_lock (self, error))
    return NULL;
  switti_model_recover (self->path);
  if (!check_place (self, error))
    return NULL;
  if (!keep_partial && !switti_folder_remove (self->partial) && !failed (self->partial, errno, error))
    return NULL;
  if (g_mkdir_with_parents (self->partial, 0777) != 0 && !failed (self->partial, errno, error))
    return NULL;
  return g_steal_pointer (&self);
}

gboolean
switti_model_writer_require (SwittiModelWriter *self, guint64 bytes, GError **error)
{
  struct statvfs info;
  guint64 available;

  if (statvfs (self->partial, &info) != 0)
    return TRUE; /* the writes will tell */
  available = (guint64) info.f_bavail * info.f_frsize;
  if (available > SPARE_BYTES && available - SPARE_BYTES >= bytes)
    return TRUE;
  {
    g_autofree char *needed = g_format_size (bytes);
    g_autofree char *there = g_format_size (available);

    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                 _ ("“%s” needs %s, but only %s are free there; make room first."), self->path, needed, there);
  }
  return FALSE;
}

const char *
switti_model_writer_get_folder (SwittiModelWriter *self)
{
  return self->partial;
}

/* -- files -------------------------------------------------------------------------------------------------- */

char *
switti_model_writer_path (SwittiModelWriter *self, const char *relative, GError **error)
{
  char *path = g_build_filename (self->partial, relative, NULL);
  g_autofree char *folder = g_path_get_dirname (path);

  if (g_mkdir_with_parents (folder, 0777) == 0)
    return path;
  failed (folder, errno, error);
  g_free (path);
  return NULL;
}

void
switti_model_writer_set_checksum (SwittiModelWriter *self, const char *relative, const char *sha256)
{
  g_hash_table_insert (self->checksums, g_strdup (relative), g_strdup (sha256));
}

gboolean
switti_model_writer_add_text (SwittiModelWriter *self, const char *relative, const char *text, gssize length,
                              GError **error)
{
  g_autofree char *path = switti_model_writer_path (self, relative, error);
  g_autofree char *hash = NULL;

  if (path == NULL || !switti_file_write_text (path, text, length, error))
    return FALSE;
  hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, length);
  switti_model_writer_set_checksum (self, relative, hash);
  return TRUE;
}

gboolean
switti_model_writer_add_index (SwittiModelWriter *self, GError **error)
{
  g_autofree char *text = switti_json_object_to_text (switti_model_index_new ());

  return switti_model_writer_add_text (self, "model_index.json", text, -1, error);
}

gboolean
switti_model_writer_add_file (SwittiModelWriter *self, const char *relative, const char *from,
                              GCancellable *cancellable, GError **error)
{
  g_autofree char *path = switti_model_writer_path (self, relative, error);
  g_autofree char *real = realpath (from, NULL); /* a cache has links to its blobs */
  struct stat info;

  if (path == NULL)
    return FALSE;
  g_hash_table_remove (self->checksums, relative);
  g_unlink (path);
  /* No file of a model is ever changed in place, so that two models may share one. */
  if (real != NULL && stat (real, &info) == 0 && info.st_size > MAX_COPIED_BYTES && link (real, path) == 0)
    return TRUE;
  return switti_file_copy (from, path, cancellable, error);
}

gboolean
switti_model_writer_add_part (SwittiModelWriter *self, const char *part, SwittiPartPlan *plan, gboolean resume,
                              SwittiBytesFunc progress, gpointer data, GCancellable *cancellable, GError **error)
{
  g_autofree char *config = g_build_filename (part, "config.json", NULL);
  g_autofree char *weights = g_build_filename (part, "model.safetensors", NULL);
  g_autofree char *path = switti_model_writer_path (self, weights, error);
  g_autofree const char **names = g_new0 (const char *, plan->tensors->len + 1);
  g_autofree SwittiTensor *shapes = g_new0 (SwittiTensor, plan->tensors->len + 1);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (SwittiSafetensorsWriter) writer = NULL;
  g_autofree char *sha256 = NULL;

  if (path == NULL || !switti_model_writer_add_text (self, config, plan->config_json, -1, error))
    return FALSE;
  for (guint i = 0; i < plan->tensors->len; i++)
    {
      const SwittiPlannedTensor *tensor = &g_array_index (plan->tensors, SwittiPlannedTensor, i);

      names[i] = tensor->name;
      shapes[i] = tensor->shape;
    }
  g_hash_table_insert (metadata, (char *) "format", (char *) "pt"); /* transformers asks for it */
  writer = switti_safetensors_writer_new (path, names, shapes, plan->tensors->len, metadata, resume, error);
  if (writer == NULL || !switti_safetensors_writer_append_plan (writer, plan, progress, data, cancellable, error) ||
      !switti_safetensors_writer_finish (writer, &sha256, error))
    return FALSE;
  switti_model_writer_set_checksum (self, weights, sha256);
  return TRUE;
}

/* -- finishing ---------------------------------------------------------------------------------------------- */

/* The hash of a file, or NULL with an error set. */
static char *
hash_file (const char *path, guint64 *done, guint64 total, SwittiBytesFunc progress, gpointer data,
           GCancellable *cancellable, GError **error)
{
  const gsize block_bytes = (gsize) 1 << 20;
  g_autoptr (SwittiByteSource) source = switti_byte_source_open_file (path, error);
  g_autoptr (SwittiSha256) checksum = switti_sha256_new ();
  g_autofree guint8 *block = g_malloc (block_bytes);
  g_autofree char *name = g_path_get_basename (path);
  guint64 size = source != NULL ? switti_byte_source_get_size (source) : 0;

  if (source == NULL)
    return NULL;
  for (guint64 i = 0; i < size; i += block_bytes)
    {
      gsize n = (gsize) MIN (block_bytes, size - i);

      if (!switti_byte_source_read (source, i, block, n, cancellable, error))
        return NULL;
      switti_sha256_update (checksum, block, n);
      *done += n;
      if (progress != NULL)
        progress (*done, total, name, data);
    }
  return g_strdup (switti_sha256_finish (checksum));
}

/* SHA256SUMS, which sha256sum -c reads; flushes every folder and those files whose checksum was not known. */
static gboolean
write_sums (SwittiModelWriter *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GString) sums = g_string_new (NULL);
  guint64 done = 0;

  if (!list_tree (self->partial, "", files, FALSE, error))
    return FALSE;
  g_ptr_array_sort (files, compare_names);
  for (guint i = 0; i < files->len; i++)
    {
      const char *relative = files->pdata[i], *known = g_hash_table_lookup (self->checksums, relative);
      g_autofree char *path = g_build_filename (self->partial, relative, NULL);
      g_autofree char *computed = NULL;

      if (strcmp (relative, SUMS) == 0 || g_str_has_suffix (relative, ".position"))
        continue;
      if (known == NULL)
        {
          computed = hash_file (path, &done, 0, NULL, NULL, cancellable, error);
          if (computed == NULL || !switti_file_flush (path, error))
            return FALSE;
        }
      g_string_append_printf (sums, "%s  %s\n", known != NULL ? known : computed, relative);
    }
  if (!switti_model_writer_add_text (self, SUMS, sums->str, (gssize) sums->len, error))
    return FALSE;
  g_ptr_array_set_size (files, 0);
  return list_tree (self->partial, "", files, TRUE, error);
}

/* Where two folders cannot be exchanged: in two steps, of which switti_model_recover() knows. */
static gboolean
replace_in_two_steps (SwittiModelWriter *self, GError **error)
{
  g_autofree char *old = beside (self->path, ".old");

  if (!switti_folder_remove (old) || g_rename (self->path, old) != 0)
    return failed (self->path, errno, error);
  if (g_rename (self->partial, self->path) != 0)
    {
      int problem = errno;

      (void) g_rename (old, self->path);
      return failed (self->path, problem, error);
    }
  switti_file_flush_name (self->path);
  switti_folder_remove (old);
  return TRUE;
}

static gboolean
put_in_place (SwittiModelWriter *self, GError **error)
{
  struct stat info;

  if (lstat (self->path, &info) != 0)
    {
      if (g_rename (self->partial, self->path) != 0)
        return failed (self->path, errno, error);
    }
  else if (renameat2 (AT_FDCWD, self->partial, AT_FDCWD, self->path, RENAME_EXCHANGE) != 0)
    {
      if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
        return failed (self->path, errno, error);
      return replace_in_two_steps (self, error);
    }
  switti_file_flush_name (self->path);
  switti_folder_remove (self->partial); /* the old one, now */
  return TRUE;
}

/* Nothing is to be continued any more. */
static void
remove_notes (SwittiModelWriter *self)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);

  if (!list_tree (self->path, "", files, FALSE, NULL))
    return;
  for (guint i = 0; i < files->len; i++)
    if (g_str_has_suffix (files->pdata[i], ".position"))
      {
        g_autofree char *path = g_build_filename (self->path, files->pdata[i], NULL);

        g_unlink (path);
      }
}

gboolean
switti_model_writer_finish (SwittiModelWriter *self, GCancellable *cancellable, GError **error)
{
  if (!write_sums (self, cancellable, error) || g_cancellable_set_error_if_cancelled (cancellable, error) ||
      !put_in_place (self, error))
    return FALSE;
  remove_notes (self);
  self->is_finished = TRUE;
  return TRUE;
}

void
switti_model_writer_free (SwittiModelWriter *self)
{
  if (self == NULL)
    return;
  if (self->lock >= 0)
    {
      if (!self->is_finished && !self->keep_partial)
        switti_folder_remove (self->partial);
      g_unlink (self->lock_path);
      close (self->lock);
    }
  g_hash_table_unref (self->checksums);
  g_free (self->path);
  g_free (self->partial);
  g_free (self->lock_path);
  g_free (self);
}

/* -- removing and verifying --------------------------------------------------------------------------------- */

gboolean
switti_model_remove (const char *path, GError **error)
{
  g_autofree char *canonical = g_canonicalize_filename (path, NULL);
  g_autoptr (SwittiModelWriter) self = switti_model_writer_new (canonical, FALSE, error);

  if (self == NULL)
    return FALSE;
  /* An empty folder cannot be in the way of a rename. */
  if (g_rename (canonical, self->partial) != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be removed: %s."), canonical,
                   g_strerror (errno));
      return FALSE;
    }
  switti_file_flush_name (canonical);
  return TRUE; /* the writer's end removes what is in .NAME.partial */
}

static gboolean
differs (GError **error, const char *path, const char *relative)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("“%s” is not what was imported: “%s” is missing or has changed; import or download it again."), path,
               relative);
  return FALSE;
}

/* Whether a line's path stays inside the folder. */
static gboolean
is_inside (const char *relative)
{
  g_auto (GStrv) parts = g_strsplit (relative, "/", -1);

  return *relative != '\0' && !g_path_is_absolute (relative) && !g_strv_contains ((const char *const *) parts, "..");
}

gboolean
switti_model_verify (const char *path, SwittiBytesFunc progress, gpointer data, GCancellable *cancellable,
                     GError **error)
{
  const gsize hash_length = 64, gap = 2;
  g_autofree char *sums_path = g_build_filename (path, SUMS, NULL);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  guint64 total = 0, done = 0;

  if (!g_file_get_contents (sums_path, &text, NULL, NULL))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("“%s” has no SHA256SUMS to compare with: it was neither imported nor downloaded."), path);
      return FALSE;
    }
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      g_autofree char *file = NULL;
      struct stat info;

      if (**line == '\0')
        continue;
      if (strlen (*line) <= hash_length + gap || !is_inside (*line + hash_length + gap))
        return differs (error, path, SUMS);
      file = g_build_filename (path, *line + hash_length + gap, NULL);
      if (stat (file, &info) != 0)
        return differs (error, path, *line + hash_length + gap);
      total += (guint64) info.st_size;
    }
  for (char **line = lines; *line != NULL; line++)
    {
      g_autofree char *file = **line != '\0' ? g_build_filename (path, *line + hash_length + gap, NULL) : NULL;
      g_autofree char *hash = NULL;

      if (file == NULL)
        continue;
      hash = hash_file (file, &done, total, progress, data, cancellable, error);
      if (hash == NULL)
        return FALSE;
      if (g_ascii_strncasecmp (hash, *line, hash_length) != 0)
        return differs (error, path, *line + hash_length + gap);
    }
  return TRUE;
}
