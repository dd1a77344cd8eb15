/* switti-favourites.h - a menu of presets: apply, keep, forget
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-presets.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_FAVOURITES (switti_favourites_get_type ())
G_DECLARE_FINAL_TYPE (SwittiFavourites, switti_favourites, SWITTI, FAVOURITES, GtkMenuButton)

/* Applies presets to, and keeps them of, @properties (ends with NULL, copied) of @object. */
GtkWidget *switti_favourites_new (SwittiPresets *presets, GObject *object, const char *const *properties);

G_END_DECLS
