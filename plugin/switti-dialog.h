/* switti-dialog.h - asks for the procedure's arguments
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <libgimp/gimp.h>

G_BEGIN_DECLS

/* Shows the dialog until it is answered; @image is the open image or NULL. Returns whether to go on. */
gboolean switti_dialog_run (GimpProcedure *procedure, GimpProcedureConfig *config, GimpImage *image);

G_END_DECLS
