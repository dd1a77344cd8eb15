/* switti-captions-private.h - the list of a training folder's images and captions
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Called for each row below the header, counted from 1; both strings are the callee's to read until it returns, and
 * may be no UTF-8. NULL where the row has too few fields. */
typedef void (*SwittiCaptionFunc) (guint row, const char *file_name, const char *caption, gpointer data);

/* Reads a CSV file whose header names the columns "file_name" and "caption" (",file_name,caption" in the COCO layout):
 * fields may be quoted, and then hold commas, line ends and doubled quotes; lines end in LF or CR LF; a byte order mark
 * is passed over. SWITTI_ERROR_IO, naming the file and the row. */
gboolean switti_captions_read (const char *path, SwittiCaptionFunc func, gpointer data, GError **error);

G_END_DECLS
