/* switti-command.h - settings as a command to paste into a script
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-settings.h"

G_BEGIN_DECLS

typedef enum
{
  SWITTI_COMMAND_SCRIPT_FU, /* plug-in-script-fu-eval and the Script-Fu console */
  SWITTI_COMMAND_PYTHON,    /* python-fu-eval and the Python console */
  SWITTI_COMMAND_SHELL,     /* `switti generate` */
} SwittiCommandKind;

/* The command that paints what @settings say: everything that is not left to its default, and the seed. A filling or a
 * variation speaks of the image that was opened last, with its selection or its selected layer; in the shell, where
 * there is none, it is painted from @recipe, that of a picture that @settings painted, and is the whole of what the
 * model makes. @recipe may be NULL: the shell then has no such command, and NULL is returned. (transfer full) */
char *switti_command_write (SwittiCommandKind kind, const SwittiSettings *settings, const char *recipe);

G_END_DECLS
