/* switti-container.h - what GTK's containers lack
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Destroys all children. */
static inline void
switti_container_clear (GtkContainer *container)
{
  g_autoptr (GList) children = gtk_container_get_children (container);

  for (GList *child = children; child; child = child->next)
    gtk_widget_destroy (child->data);
}

G_END_DECLS
