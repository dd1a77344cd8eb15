/* switti-models-page.h - what models there are, what they can do, and where more are to be found
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-preferences.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_MODELS_PAGE (switti_models_page_get_type ())
G_DECLARE_FINAL_TYPE (SwittiModelsPage, switti_models_page, SWITTI, MODELS_PAGE, GtkBox)

/* Lists the installed models, each with what it knows, and the folders that the user has chosen, which come from and
 * go to @preferences. Signal: changed (), when the installed models may be others. */
GtkWidget *switti_models_page_new (SwittiPreferences *preferences);

/* Looks again what is installed, and tells so. */
void switti_models_page_refresh (SwittiModelsPage *self);

/* Makes a folder, which must be a model or have some in it, one of the user's. */
gboolean switti_models_page_add_folder (SwittiModelsPage *self, const char *folder, GError **error);

G_END_DECLS
