/* switti-favourites.c - a menu of presets: apply, keep, forget
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-favourites.h"

#include "switti-container.h"

#include <glib/gi18n-lib.h>

#define SPACING 6
#define LIST_WIDTH 260
#define MAX_LIST_HEIGHT 280

struct _SwittiFavourites
{
  GtkMenuButton parent_instance;

  SwittiPresets *presets;
  GObject *object;
  char **properties;
  GtkListBox *list;
  GtkLabel *nothing;
  GtkEntry *name;
  GtkWidget *save;
  GtkLabel *message;
};

G_DEFINE_FINAL_TYPE (SwittiFavourites, switti_favourites, GTK_TYPE_MENU_BUTTON)

static const char *
row_name (GtkListBoxRow *row)
{
  return g_object_get_data (G_OBJECT (row), "name");
}

static void
apply (SwittiFavourites *self, GtkListBoxRow *row)
{
  switti_presets_apply (self->presets, row_name (row), self->object, (const char *const *) self->properties);
  gtk_entry_set_text (self->name, row_name (row));
  gtk_popover_popdown (gtk_menu_button_get_popover (GTK_MENU_BUTTON (self)));
}

static void
say (SwittiFavourites *self, const GError *error)
{
  gtk_label_set_text (self->message, error ? error->message : "");
  gtk_widget_set_visible (GTK_WIDGET (self->message), error != NULL);
}

static void
forget (GtkWidget *button, SwittiFavourites *self)
{
  GtkWidget *row = gtk_widget_get_ancestor (button, GTK_TYPE_LIST_BOX_ROW);
  g_autofree char *name = g_strdup (row_name (GTK_LIST_BOX_ROW (row)));
  g_autoptr (GError) error = NULL;

  switti_presets_remove (self->presets, name, &error);
  say (self, error);
}

static void
append_row (SwittiFavourites *self, const char *name)
{
  GtkWidget *row = gtk_list_box_row_new ();
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);
  GtkWidget *label = gtk_label_new (name);
  GtkWidget *button = gtk_button_new_from_icon_name ("list-remove-symbolic", GTK_ICON_SIZE_BUTTON);
  g_autofree char *action = g_strdup_printf (_ ("Forget %s"), name);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
  gtk_button_set_relief (GTK_BUTTON (button), GTK_RELIEF_NONE);
  gtk_widget_set_tooltip_text (button, action);
  atk_object_set_name (gtk_widget_get_accessible (button), action);
  atk_object_set_name (gtk_widget_get_accessible (row), name);
  g_signal_connect (button, "clicked", G_CALLBACK (forget), self);
  g_object_set_data_full (G_OBJECT (row), "name", g_strdup (name), g_free);
  gtk_box_pack_start (GTK_BOX (box), label, TRUE, TRUE, SPACING);
  gtk_box_pack_start (GTK_BOX (box), button, FALSE, FALSE, 0);
  gtk_container_add (GTK_CONTAINER (row), box);
  gtk_container_add (GTK_CONTAINER (self->list), row);
  gtk_widget_show_all (row);
}

static void
fill (SwittiFavourites *self)
{
  g_auto (GStrv) names = switti_presets_list (self->presets);

  switti_container_clear (GTK_CONTAINER (self->list));
  for (char **name = names; *name; name++)
    append_row (self, *name);
  gtk_widget_set_visible (GTK_WIDGET (self->nothing), *names == NULL);
}

static char *
get_name (SwittiFavourites *self)
{
  return g_strstrip (g_strdup (gtk_entry_get_text (self->name)));
}

static void
name_changed (SwittiFavourites *self)
{
  g_autofree char *name = get_name (self);

  gtk_widget_set_sensitive (self->save, *name != '\0');
}

static void
keep (SwittiFavourites *self)
{
  g_autofree char *name = get_name (self);
  g_autoptr (GError) error = NULL;

  if (!*name)
    return;
  switti_presets_save (self->presets, name, self->object, (const char *const *) self->properties, &error);
  say (self, error);
}

static GtkWidget *
new_save_row (SwittiFavourites *self)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);

  self->name = GTK_ENTRY (gtk_entry_new ());
  self->save = gtk_button_new_with_mnemonic (_ ("_Keep"));
  gtk_entry_set_placeholder_text (self->name, _ ("Name of these settings"));
  gtk_widget_set_tooltip_text (self->save, _ ("Keep the present settings under this name"));
  gtk_widget_set_sensitive (self->save, FALSE);
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (self->name)), _ ("Name of these settings"));
  gtk_box_pack_start (GTK_BOX (row), GTK_WIDGET (self->name), TRUE, TRUE, 0);
  gtk_box_pack_start (GTK_BOX (row), self->save, FALSE, FALSE, 0);
  g_signal_connect_swapped (self->name, "changed", G_CALLBACK (name_changed), self);
  g_signal_connect_swapped (self->name, "activate", G_CALLBACK (keep), self);
  g_signal_connect_swapped (self->save, "clicked", G_CALLBACK (keep), self);
  return row;
}

static GtkWidget *
new_list (SwittiFavourites *self)
{
  GtkWidget *scrolled = gtk_scrolled_window_new (NULL, NULL);

  self->list = GTK_LIST_BOX (gtk_list_box_new ());
  gtk_list_box_set_selection_mode (self->list, GTK_SELECTION_NONE);
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (self->list)), _ ("Favourites"));
  g_signal_connect_swapped (self->list, "row-activated", G_CALLBACK (apply), self);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (scrolled), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  gtk_scrolled_window_set_propagate_natural_height (GTK_SCROLLED_WINDOW (scrolled), TRUE);
  gtk_scrolled_window_set_max_content_height (GTK_SCROLLED_WINDOW (scrolled), MAX_LIST_HEIGHT);
  gtk_widget_set_size_request (scrolled, LIST_WIDTH, -1);
  gtk_container_add (GTK_CONTAINER (scrolled), GTK_WIDGET (self->list));
  return scrolled;
}

static void
dispose (GObject *object)
{
  SwittiFavourites *self = SWITTI_FAVOURITES (object);

  if (self->presets)
    g_signal_handlers_disconnect_by_data (self->presets, self);
  g_clear_object (&self->presets);
  g_clear_object (&self->object);
  G_OBJECT_CLASS (switti_favourites_parent_class)->dispose (object);
}

static void
finalize (GObject *object)
{
  g_strfreev (SWITTI_FAVOURITES (object)->properties);
  G_OBJECT_CLASS (switti_favourites_parent_class)->finalize (object);
}

static void
switti_favourites_class_init (SwittiFavouritesClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = dispose;
  G_OBJECT_CLASS (klass)->finalize = finalize;
}

static void
switti_favourites_init (SwittiFavourites *self)
{
  GtkWidget *popover = gtk_popover_new (GTK_WIDGET (self));
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, SPACING);

  self->nothing = GTK_LABEL (gtk_label_new (_ ("Nothing is kept yet.")));
  self->message = GTK_LABEL (gtk_label_new (NULL));
  gtk_label_set_line_wrap (self->message, TRUE);
  gtk_widget_set_no_show_all (GTK_WIDGET (self->message), TRUE);
  gtk_style_context_add_class (gtk_widget_get_style_context (GTK_WIDGET (self->nothing)), GTK_STYLE_CLASS_DIM_LABEL);
  gtk_container_set_border_width (GTK_CONTAINER (box), 2 * SPACING);
  gtk_box_pack_start (GTK_BOX (box), new_list (self), TRUE, TRUE, 0);
  gtk_box_pack_start (GTK_BOX (box), GTK_WIDGET (self->nothing), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (box), new_save_row (self), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (box), GTK_WIDGET (self->message), FALSE, FALSE, 0);
  gtk_widget_show_all (box);
  gtk_container_add (GTK_CONTAINER (popover), box);
  gtk_menu_button_set_popover (GTK_MENU_BUTTON (self), popover);
  gtk_button_set_image (GTK_BUTTON (self), gtk_image_new_from_icon_name ("starred-symbolic", GTK_ICON_SIZE_BUTTON));
  gtk_button_set_always_show_image (GTK_BUTTON (self), TRUE);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self), _ ("Favourites: settings kept under a name"));
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (self)), _ ("Favourites"));
}

GtkWidget *
switti_favourites_new (SwittiPresets *presets, GObject *object, const char *const *properties)
{
  SwittiFavourites *self = g_object_new (SWITTI_TYPE_FAVOURITES, NULL);

  self->presets = g_object_ref (presets);
  self->object = g_object_ref (object);
  self->properties = g_strdupv ((char **) properties);
  g_signal_connect_swapped (presets, "changed", G_CALLBACK (fill), self);
  fill (self);
  return GTK_WIDGET (self);
}
