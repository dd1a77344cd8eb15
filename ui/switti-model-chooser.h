/* switti-model-chooser.h - chooses a model and says what it is
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_MODEL_CHOOSER (switti_model_chooser_get_type ())
G_DECLARE_FINAL_TYPE (SwittiModelChooser, switti_model_chooser, SWITTI, MODEL_CHOOSER, GtkBox)

/* Property: model (string, ""): the name or path; "" is the default model. Lists the installed models. */
GtkWidget *switti_model_chooser_new (void);

/* The chosen model (transfer none), or NULL where it cannot be opened; notified as the property "bundle". */
SwittiBundle *switti_model_chooser_get_bundle (SwittiModelChooser *self);

/* Looks again what is installed, and opens the model anew. */
void switti_model_chooser_refresh (SwittiModelChooser *self);

G_END_DECLS
