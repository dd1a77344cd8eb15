/* switti-import-form.h - makes a model from checkpoints that the user has
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_IMPORT_FORM (switti_import_form_get_type ())
G_DECLARE_FINAL_TYPE (SwittiImportForm, switti_import_form, SWITTI, IMPORT_FORM, GtkBox)

/* The work goes on while the main loop turns, and ends with the form. Signal: installed (). */
GtkWidget *switti_import_form_new (void);

/* Adds a file or a folder to what is imported, as the buttons do. */
void switti_import_form_add (SwittiImportForm *self, const char *path);

G_END_DECLS
