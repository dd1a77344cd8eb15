/* switti-preferences-page.h - where to compute, and with how much memory
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-preferences.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* A page of controls for @preferences, and a button that copies switti-diagnostics.h's text to the clipboard; @host is
 * for that. */
GtkWidget *switti_preferences_page_new (SwittiPreferences *preferences, const char *host);

G_END_DECLS
