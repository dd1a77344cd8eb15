/* switti-download-row.h - a published model: what it is, its terms, and its download
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_DOWNLOAD_ROW (switti_download_row_get_type ())
G_DECLARE_FINAL_TYPE (SwittiDownloadRow, switti_download_row, SWITTI, DOWNLOAD_ROW, GtkBox)

/* A model of switti_download_list(). The download goes on while the main loop turns, and ends with the row; what has
 * arrived by then is kept. Signal: installed (), when the model is in its place. */
GtkWidget *switti_download_row_new (const char *name);

/* From where it is fetched next: an address, or NULL or "" for the usual hub. */
void switti_download_row_set_hub (SwittiDownloadRow *self, const char *address);

/* Whether it is fetching. */
gboolean switti_download_row_is_busy (SwittiDownloadRow *self);

G_END_DECLS
