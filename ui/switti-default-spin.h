/* switti-default-spin.h - a spin button whose lowest value means a default and reads as a word
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_DEFAULT_SPIN (switti_default_spin_get_type ())
G_DECLARE_FINAL_TYPE (SwittiDefaultSpin, switti_default_spin, SWITTI, DEFAULT_SPIN, GtkSpinButton)

/* From -1, shown as @word, up to @maximum. Typing @word, or nothing at all, sets -1. Nothing lies between -1 and 0: a
 * step up from -1 is 0, and a step down below 0 is -1. */
GtkWidget *switti_default_spin_new (double maximum, double step, int digits, const char *word);

G_END_DECLS
