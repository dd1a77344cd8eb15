/* switti-config-file.h - writes what the user has set
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Makes the folder of @path where it is missing, writes beside the file, flushes and renames; for the user's eyes
 * alone. A NULL @path writes nothing and succeeds. */
gboolean switti_config_file_write (const char *path, const char *contents, gsize length, GError **error);

G_END_DECLS
