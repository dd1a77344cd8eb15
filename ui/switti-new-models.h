/* switti-new-models.h - ways to get a model: published ones to download, and checkpoints to import
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_NEW_MODELS (switti_new_models_get_type ())
G_DECLARE_FINAL_TYPE (SwittiNewModels, switti_new_models, SWITTI, NEW_MODELS, GtkBox)

/* Signal: installed (), when another model is in its place. What is going on goes on while the main loop turns, and
 * ends with the widget; a download that ended so can be continued. */
GtkWidget *switti_new_models_new (void);

G_END_DECLS
