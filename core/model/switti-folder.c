/* switti-folder.c - files and folders of a model that survive a crash once they are written
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-folder-private.h"

#include "switti-error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
failed (const char *path, const char *why, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), path, why);
  return FALSE;
}

gboolean
switti_folder_make (const char *folder, GError **error)
{
  return g_mkdir_with_parents (folder, 0777) == 0 || failed (folder, g_strerror (errno), error);
}

gboolean
switti_folder_remove (const char *path)
{
  g_autoptr (GDir) entries = NULL;
  struct stat info;
  const char *name;

  if (lstat (path, &info) != 0)
    return errno == ENOENT;
  if (!S_ISDIR (info.st_mode))
    return g_unlink (path) == 0;
  entries = g_dir_open (path, 0, NULL);
  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      switti_folder_remove (child);
    }
  return g_rmdir (path) == 0;
}

gboolean
switti_file_flush (const char *path, GError **error)
{
  int fd = g_open (path, O_RDONLY | O_CLOEXEC, 0);
  gboolean good = fd >= 0 && fsync (fd) == 0;
  int problem = errno;

  if (fd >= 0)
    close (fd);
  return good || failed (path, g_strerror (problem), error);
}

gboolean
switti_file_write_text (const char *path, const char *text, gssize length, GError **error)
{
  g_autoptr (GError) write_error = NULL;

  return g_file_set_contents_full (path, text, length,
                                   G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666, &write_error) ||
         failed (path, write_error->message, error);
}

gboolean
switti_file_copy (const char *from, const char *to, GCancellable *cancellable, GError **error)
{
  g_autoptr (GFile) source = g_file_new_for_path (from);
  g_autoptr (GFile) target = g_file_new_for_path (to);
  g_autoptr (GError) copy_error = NULL;

  if (g_file_copy (source, target, G_FILE_COPY_OVERWRITE | G_FILE_COPY_TARGET_DEFAULT_PERMS, cancellable, NULL, NULL,
                   &copy_error))
    return switti_file_flush (to, error);
  if (g_error_matches (copy_error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_propagate_error (error, g_steal_pointer (&copy_error));
  else
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be copied: %s."), from, copy_error->message);
  return FALSE;
}

JsonObject *
switti_model_index_new (void)
{
  static const char *const classes[][3] = {
    { "transformer", "switti", "Switti" },
    { "vae", "switti", "VQVAE" },
    { "text_encoder", "transformers", "CLIPTextModel" },
    { "text_encoder_2", "transformers", "CLIPTextModel" },
    { "tokenizer", "transformers", "CLIPTokenizer" },
    { "tokenizer_2", "transformers", "CLIPTokenizer" },
  };
  JsonObject *index = json_object_new ();

  json_object_set_string_member (index, "_class_name", "SwittiPipeline");
  for (guint i = 0; i < G_N_ELEMENTS (classes); i++)
    {
      JsonArray *pair = json_array_new ();

      json_array_add_string_element (pair, classes[i][1]);
      json_array_add_string_element (pair, classes[i][2]);
      json_object_set_array_member (index, classes[i][0], pair);
    }
  return index;
}

char *
switti_json_object_to_text (JsonObject *object)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

  json_node_take_object (node, object);
  return json_to_string (node, TRUE);
}
