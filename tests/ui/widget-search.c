/* widget-search.c - finds widgets in the tests of the user interface
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "widget-search.h"

GtkWidget *
find_widget (GtkWidget *widget, GType type)
{
  g_autoptr (GList) children = NULL;

  if (g_type_is_a (G_OBJECT_TYPE (widget), type))
    return widget;
  if (!GTK_IS_CONTAINER (widget))
    return NULL;
  children = gtk_container_get_children (GTK_CONTAINER (widget));
  for (GList *child = children; child; child = child->next)
    {
      GtkWidget *found = find_widget (child->data, type);

      if (found)
        return found;
    }
  return NULL;
}
