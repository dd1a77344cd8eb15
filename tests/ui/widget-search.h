/* widget-search.h - finds widgets in the tests of the user interface
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

/* The first widget of the type, of this one and all in it, or NULL; (transfer none). */
GtkWidget *find_widget (GtkWidget *widget, GType type);
