/* switti-default-spin.h - a spin button whose lowest value means a default and reads as a word
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_DEFAULT_SPIN (switti_default_spin_get_type ())
G_DECLARE_FINAL_TYPE (SwittiDefaultSpin, switti_default_spin, SWITTI, DEFAULT_SPIN, GtkSpinButton)

/* From @lowest, which means the default and is shown as @word, up to @maximum; the numbers start at @lowest + 1, and
 * nothing lies between: a step up from the default is the first number, a step down below that is the default. Typing
 * @word, or nothing at all, sets the default. */
GtkWidget *switti_default_spin_new (double lowest, double maximum, double step, int digits, const char *word);

G_END_DECLS
