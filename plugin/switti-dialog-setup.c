/* switti-dialog-setup.c - the dialog's second page: models, device and memory; and its menu
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-dialog-private.h"

#include "switti-command.h"
#include "switti-models-page.h"
#include "switti-new-models.h"
#include "switti-preferences-page.h"

#include <glib/gi18n.h>

#define SPACING SWITTI_DIALOG_SPACING
#define WELCOME_WIDTH_CHARS 90

static void
show_painting (SwittiDialog *self)
{
  g_object_set (self->preferences, "welcomed", TRUE, NULL);
  gtk_stack_set_visible_child_name (self->stack, "paint");
  gtk_widget_hide (self->welcome);
  gtk_widget_grab_focus (self->prompt);
}

static void
show_setup (SwittiDialog *self)
{
  gtk_stack_set_visible_child_name (self->stack, "setup");
}

static GtkWidget *
new_welcome (void)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, SPACING);
  GtkWidget *heading = gtk_label_new (NULL);
  GtkWidget *text = gtk_label_new (_ ("Switti paints what you write, on this computer; nothing leaves it. A small "
                                      "model comes along, and knows what is said below; a prompt for it reads like "
                                      "“a grinning cat, flat style”. If you have other models, choose their folder "
                                      "here."));
  g_autofree char *markup = g_markup_printf_escaped ("<span size=\"large\" weight=\"bold\">%s</span>",
                                                     _ ("Welcome to Switti"));

  gtk_label_set_markup (GTK_LABEL (heading), markup);
  gtk_label_set_xalign (GTK_LABEL (heading), 0.0);
  gtk_label_set_xalign (GTK_LABEL (text), 0.0);
  gtk_label_set_line_wrap (GTK_LABEL (text), TRUE);
  gtk_label_set_max_width_chars (GTK_LABEL (text), WELCOME_WIDTH_CHARS);
  gtk_box_pack_start (GTK_BOX (box), heading, FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (box), text, FALSE, FALSE, 0);
  gtk_widget_show_all (box);
  gtk_widget_set_no_show_all (box, TRUE);
  return box;
}

/* A preference is the value of this dialog's argument too, from now on. */
static void
preference_changed (GObject *preferences, GParamSpec *pspec, GObject *config)
{
  g_auto (GValue) value = G_VALUE_INIT;

  g_object_get_property (preferences, pspec->name, &value);
  g_object_set_property (config, pspec->name, &value);
}

GtkWidget *
switti_dialog_new_setup (SwittiDialog *self)
{
  static const char *const signals[] = { "notify::device", "notify::precision", "notify::memory",
                                         "notify::batch" };
  GtkWidget *page = gtk_box_new (GTK_ORIENTATION_VERTICAL, 2 * SPACING);
  GtkWidget *notebook = gtk_notebook_new ();
  GtkWidget *models = switti_models_page_new (self->preferences);
  g_autofree char *version = gimp_version ();
  g_autofree char *host = g_strdup_printf ("GIMP %s", version);
  GtkWidget *device = switti_preferences_page_new (self->preferences, host);
  GtkWidget *more = switti_new_models_new ();
  GtkWidget *done = gtk_button_new_with_mnemonic (_ ("Start _painting"));

  self->welcome = new_welcome ();
  gtk_container_set_border_width (GTK_CONTAINER (models), 2 * SPACING);
  gtk_container_set_border_width (GTK_CONTAINER (more), 2 * SPACING);
  gtk_container_set_border_width (GTK_CONTAINER (device), 2 * SPACING);
  gtk_notebook_append_page (GTK_NOTEBOOK (notebook), models, gtk_label_new_with_mnemonic (_ ("M_odels")));
  gtk_notebook_append_page (GTK_NOTEBOOK (notebook), more, gtk_label_new_with_mnemonic (_ ("Ge_t models")));
  gtk_notebook_append_page (GTK_NOTEBOOK (notebook), device, gtk_label_new_with_mnemonic (_ ("Device and memor_y")));
  gtk_widget_set_halign (done, GTK_ALIGN_END);
  gtk_box_pack_start (GTK_BOX (page), self->welcome, FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (page), notebook, TRUE, TRUE, 0);
  gtk_box_pack_start (GTK_BOX (page), done, FALSE, FALSE, 0);
  g_signal_connect_swapped (done, "clicked", G_CALLBACK (show_painting), self);
  g_signal_connect_swapped (models, "changed", G_CALLBACK (switti_model_chooser_refresh), self->models);
  g_signal_connect_swapped (more, "installed", G_CALLBACK (switti_models_page_refresh), models);
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    g_signal_connect_object (self->preferences, signals[i], G_CALLBACK (preference_changed), self->config, 0);
  return page;
}

/* -- menu ---------------------------------------------------------------------------------------------------- */

static void
append_separator (GtkWidget *menu)
{
  gtk_menu_shell_append (GTK_MENU_SHELL (menu), gtk_separator_menu_item_new ());
}

static void
append_item (GtkWidget *menu, const char *label, GCallback callback, SwittiDialog *self)
{
  GtkWidget *item = gtk_menu_item_new_with_mnemonic (label);

  g_signal_connect_swapped (item, "activate", callback, self);
  gtk_menu_shell_append (GTK_MENU_SHELL (menu), item);
}

/* Of the picture that is shown, or, where none is, of what is set. */
static void
copy_command (SwittiDialog *self, SwittiCommandKind kind)
{
  g_autoptr (GPtrArray) pictures = switti_studio_get_picked (self->studio);
  g_autoptr (SwittiSettings) settings = pictures->len > 0 ? switti_settings_ref (self->painted)
                                                          : switti_settings_new (self->config);
  const char *recipe = NULL;
  g_autofree char *command = NULL;

  if (pictures->len > 0)
    {
      switti_session_wait_for_hash (self->session);
      recipe = switti_image_get_recipe (g_ptr_array_index (pictures, 0));
    }
  command = switti_command_write (kind, settings, recipe);
  if (!command)
    {
      switti_studio_say (self->studio, _ ("Paint a picture first; the command is made of it."), TRUE);
      return;
    }
  gtk_clipboard_set_text (gtk_widget_get_clipboard (GTK_WIDGET (self->dialog), GDK_SELECTION_CLIPBOARD), command, -1);
  switti_studio_say (self->studio, _ ("Copied; paste it where it is to run."), FALSE);
}

static void
copy_script_fu (SwittiDialog *self)
{
  copy_command (self, SWITTI_COMMAND_SCRIPT_FU);
}

static void
copy_python (SwittiDialog *self)
{
  copy_command (self, SWITTI_COMMAND_PYTHON);
}

static void
copy_shell (SwittiDialog *self)
{
  copy_command (self, SWITTI_COMMAND_SHELL);
}

GtkWidget *
switti_dialog_new_menu_button (SwittiDialog *self)
{
  GtkWidget *button = gtk_menu_button_new ();
  GtkWidget *menu = gtk_menu_new ();

  append_item (menu, _ ("Settings of the selected _layer"), G_CALLBACK (switti_dialog_load_layer), self);
  append_item (menu, _ ("Settings of a _picture’s file…"), G_CALLBACK (switti_dialog_load_file), self);
  append_separator (menu);
  append_item (menu, _ ("Copy as _Script-Fu"), G_CALLBACK (copy_script_fu), self);
  append_item (menu, _ ("Copy as P_ython"), G_CALLBACK (copy_python), self);
  append_item (menu, _ ("Copy as s_hell command"), G_CALLBACK (copy_shell), self);
  append_separator (menu);
  append_item (menu, _ ("_Models and preferences…"), G_CALLBACK (show_setup), self);
  gtk_widget_show_all (menu);
  gtk_menu_button_set_popup (GTK_MENU_BUTTON (button), menu);
  gtk_button_set_image (GTK_BUTTON (button), gtk_image_new_from_icon_name ("open-menu-symbolic", GTK_ICON_SIZE_BUTTON));
  gtk_widget_set_tooltip_text (button, _ ("More"));
  atk_object_set_name (gtk_widget_get_accessible (button), _ ("More"));
  return button;
}
