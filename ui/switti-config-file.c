/* switti-config-file.c - writes what the user has set
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-config-file.h"

#include <errno.h>
#include <glib/gstdio.h>

gboolean
switti_config_file_write (const char *path, const char *contents, gsize length, GError **error)
{
  g_autofree char *folder = NULL;

  if (!path)
    return TRUE;
  folder = g_path_get_dirname (path);
  if (g_mkdir_with_parents (folder, 0700) != 0)
    {
      int code = errno;

      g_set_error (error, G_FILE_ERROR, (int) g_file_error_from_errno (code), "%s: %s", folder, g_strerror (code));
      return FALSE;
    }
  return g_file_set_contents_full (path, contents, (gssize) length,
                                   G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, error);
}
