/* switti-dialog.h - where pictures are painted by hand
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-preferences.h"

#include <libgimp/gimp.h>

G_BEGIN_DECLS

/* Shows the dialog until it is closed. @image is the open image or NULL, and becomes the one that was painted into
 * last.
 * Returns the layers that were inserted last, in an array that ends with NULL and owns nothing, or NULL where none
 * were. */
GPtrArray *switti_dialog_run (GimpProcedure *procedure, GimpProcedureConfig *config, SwittiPreferences *preferences,
                              GimpImage **image);

G_END_DECLS
