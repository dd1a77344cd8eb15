/* switti-models-page.c - what models there are, what they can do, and where more are to be found
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-models-page.h"

#include "switti-container.h"
#include "switti.h"

#include <glib/gi18n-lib.h>

#define SPACING 6
#define WIDTH_CHARS 60
#define LIST_HEIGHT 220

struct _SwittiModelsPage
{
  GtkBox parent_instance;

  SwittiPreferences *preferences;
  GtkListBox *models;
  GtkListBox *folders;
  GtkWidget *folders_frame;
  GtkLabel *message;
};

enum
{
  SIGNAL_CHANGED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (SwittiModelsPage, switti_models_page, GTK_TYPE_BOX)

static GtkWidget *
new_text (const char *text, gboolean dim)
{
  GtkWidget *label = gtk_label_new (text);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_line_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_max_width_chars (GTK_LABEL (label), WIDTH_CHARS);
  if (dim)
    gtk_style_context_add_class (gtk_widget_get_style_context (label), GTK_STYLE_CLASS_DIM_LABEL);
  return label;
}

static GtkWidget *
new_heading (const char *text)
{
  g_autofree char *markup = g_markup_printf_escaped ("<b>%s</b>", text);
  GtkWidget *label = new_text (NULL, FALSE);

  gtk_label_set_markup (GTK_LABEL (label), markup);
  return label;
}

static void
append_row (GtkListBox *list, const char *name, GtkWidget *child)
{
  GtkWidget *row = gtk_list_box_row_new ();
  GtkWidget *ground = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0); /* a theme may paint it: around the child, too */

  gtk_list_box_row_set_selectable (GTK_LIST_BOX_ROW (row), FALSE);
  gtk_list_box_row_set_activatable (GTK_LIST_BOX_ROW (row), FALSE);
  atk_object_set_name (gtk_widget_get_accessible (row), name);
  gtk_container_set_border_width (GTK_CONTAINER (child), SPACING);
  gtk_box_pack_start (GTK_BOX (ground), child, TRUE, TRUE, 0);
  gtk_container_add (GTK_CONTAINER (row), ground);
  gtk_container_add (GTK_CONTAINER (list), row);
  gtk_widget_show_all (row);
}

static void
append_model (SwittiModelsPage *self, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (name, &error);
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 2);
  g_autofree char *numbers = NULL;

  gtk_box_pack_start (GTK_BOX (box), new_heading (name), FALSE, FALSE, 0);
  if (!bundle)
    {
      gtk_box_pack_start (GTK_BOX (box), new_text (error->message, FALSE), FALSE, FALSE, 0);
      append_row (self->models, name, box);
      return;
    }
  /* Translators: width and height of the pictures, the number of steps of the model, millions of parameters. */
  numbers = g_strdup_printf (_ ("%d × %d pixels, %d scales, %.1f million parameters"),
                             switti_bundle_get_resolution (bundle), switti_bundle_get_resolution (bundle),
                             switti_bundle_get_n_scales (bundle), switti_bundle_get_n_parameters (bundle) / 1e6);
  gtk_box_pack_start (GTK_BOX (box), new_text (numbers, TRUE), FALSE, FALSE, 0);
  if (*switti_bundle_get_description (bundle))
    gtk_box_pack_start (GTK_BOX (box), new_text (switti_bundle_get_description (bundle), FALSE), FALSE, FALSE, 0);
  append_row (self->models, name, box);
}

static void
forget_folder (GtkWidget *button, SwittiModelsPage *self)
{
  g_autofree char *folder = g_strdup (g_object_get_data (G_OBJECT (button), "folder"));

  switti_preferences_remove_folder (self->preferences, folder);
  switti_models_page_refresh (self);
}

static void
append_folder (SwittiModelsPage *self, const char *folder)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);
  GtkWidget *button = gtk_button_new_from_icon_name ("list-remove-symbolic", GTK_ICON_SIZE_BUTTON);
  g_autofree char *display = g_filename_display_name (folder);
  g_autofree char *action = g_strdup_printf (_ ("No longer look in %s"), display);
  GtkWidget *label = gtk_label_new (display);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_MIDDLE);
  gtk_widget_set_tooltip_text (button, action);
  atk_object_set_name (gtk_widget_get_accessible (button), action);
  g_object_set_data_full (G_OBJECT (button), "folder", g_strdup (folder), g_free);
  g_signal_connect (button, "clicked", G_CALLBACK (forget_folder), self);
  gtk_box_pack_start (GTK_BOX (box), label, TRUE, TRUE, 0);
  gtk_box_pack_start (GTK_BOX (box), button, FALSE, FALSE, 0);
  append_row (self->folders, display, box);
}

static void
say (SwittiModelsPage *self, const char *message)
{
  gtk_label_set_text (self->message, message ? message : "");
  gtk_widget_set_visible (GTK_WIDGET (self->message), message != NULL);
}

static void
fill (SwittiModelsPage *self)
{
  g_auto (GStrv) names = switti_bundle_list ();
  const char *const *folders = switti_preferences_get_folders (self->preferences);

  switti_container_clear (GTK_CONTAINER (self->models));
  switti_container_clear (GTK_CONTAINER (self->folders));
  for (char **name = names; *name; name++)
    append_model (self, *name);
  if (!*names)
    {
      GtkWidget *nothing = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);

      gtk_container_add (GTK_CONTAINER (nothing), new_text (_ ("No model is installed"), FALSE));
      append_row (self->models, _ ("No model is installed"), nothing);
    }
  for (const char *const *folder = folders; *folder; folder++)
    append_folder (self, *folder);
  gtk_widget_set_visible (self->folders_frame, *folders != NULL);
}

void
switti_models_page_refresh (SwittiModelsPage *self)
{
  g_return_if_fail (SWITTI_IS_MODELS_PAGE (self));

  say (self, NULL);
  fill (self);
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
}

static gboolean
has_model (const char *folder, GError **error)
{
  g_autoptr (GDir) entries = NULL;
  g_autofree char *index = g_build_filename (folder, "model_index.json", NULL);
  const char *name;

  if (g_file_test (index, G_FILE_TEST_EXISTS))
    {
      g_autoptr (SwittiBundle) bundle = switti_bundle_open (folder, error);

      return bundle != NULL;
    }
  entries = g_dir_open (folder, 0, error);
  if (!entries)
    return FALSE;
  while ((name = g_dir_read_name (entries)))
    {
      g_autofree char *inner = g_build_filename (folder, name, "model_index.json", NULL);

      if (g_file_test (inner, G_FILE_TEST_EXISTS))
        return TRUE;
    }
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND,
               _ ("“%s” is no model and has none in it: choose a folder with the file model_index.json, or one "
                  "that holds such folders."),
               folder);
  return FALSE;
}

gboolean
switti_models_page_add_folder (SwittiModelsPage *self, const char *folder, GError **error)
{
  g_return_val_if_fail (SWITTI_IS_MODELS_PAGE (self), FALSE);

  if (!has_model (folder, error))
    return FALSE;
  switti_preferences_add_folder (self->preferences, folder);
  switti_models_page_refresh (self);
  if (switti_preferences_get_error (self->preferences))
    say (self, switti_preferences_get_error (self->preferences)->message);
  return TRUE;
}

static void
choose_folder (SwittiModelsPage *self)
{
  GtkWidget *window = gtk_widget_get_toplevel (GTK_WIDGET (self));
  GtkWidget *chooser = gtk_file_chooser_dialog_new (
    _ ("Choose a Model Folder"), GTK_IS_WINDOW (window) ? GTK_WINDOW (window) : NULL,
    GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _ ("_Cancel"), GTK_RESPONSE_CANCEL, _ ("C_hoose"), GTK_RESPONSE_ACCEPT,
    NULL);
  g_autofree char *folder = NULL;
  g_autoptr (GError) error = NULL;

  if (gtk_dialog_run (GTK_DIALOG (chooser)) == GTK_RESPONSE_ACCEPT)
    folder = gtk_file_chooser_get_filename (GTK_FILE_CHOOSER (chooser));
  gtk_widget_destroy (chooser);
  if (folder && !switti_models_page_add_folder (self, folder, &error))
    say (self, error->message);
}

static void
finalize (GObject *object)
{
  g_clear_object (&SWITTI_MODELS_PAGE (object)->preferences);
  G_OBJECT_CLASS (switti_models_page_parent_class)->finalize (object);
}

static void
switti_models_page_class_init (SwittiModelsPageClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = finalize;
  signals[SIGNAL_CHANGED] = g_signal_new ("changed", SWITTI_TYPE_MODELS_PAGE, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                          G_TYPE_NONE, 0);
}

static GtkListBox *
new_list (const char *name)
{
  GtkWidget *list = gtk_list_box_new ();

  gtk_list_box_set_selection_mode (GTK_LIST_BOX (list), GTK_SELECTION_NONE);
  atk_object_set_name (gtk_widget_get_accessible (list), name);
  return GTK_LIST_BOX (list);
}

static GtkWidget *
new_model_list (SwittiModelsPage *self)
{
  GtkWidget *scrolled = gtk_scrolled_window_new (NULL, NULL);

  self->models = new_list (_ ("Installed models"));
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (scrolled), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  gtk_scrolled_window_set_shadow_type (GTK_SCROLLED_WINDOW (scrolled), GTK_SHADOW_IN);
  gtk_scrolled_window_set_min_content_height (GTK_SCROLLED_WINDOW (scrolled), LIST_HEIGHT);
  gtk_container_add (GTK_CONTAINER (scrolled), GTK_WIDGET (self->models));
  return scrolled;
}

static GtkWidget *
new_folder_list (SwittiModelsPage *self)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, SPACING);

  self->folders = new_list (_ ("Your model folders"));
  gtk_box_pack_start (GTK_BOX (box), new_heading (_ ("Your model folders")), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (box), GTK_WIDGET (self->folders), FALSE, FALSE, 0);
  gtk_widget_show_all (box);
  gtk_widget_set_no_show_all (box, TRUE);
  return box;
}

static GtkWidget *
new_buttons (SwittiModelsPage *self)
{
  GtkWidget *box = gtk_button_box_new (GTK_ORIENTATION_HORIZONTAL);
  GtkWidget *add = gtk_button_new_with_mnemonic (_ ("Choose a _Model Folder…"));
  GtkWidget *again = gtk_button_new_with_mnemonic (_ ("Look A_gain"));

  gtk_button_box_set_layout (GTK_BUTTON_BOX (box), GTK_BUTTONBOX_START);
  gtk_box_set_spacing (GTK_BOX (box), SPACING);
  gtk_container_add (GTK_CONTAINER (box), add);
  gtk_container_add (GTK_CONTAINER (box), again);
  g_signal_connect_swapped (add, "clicked", G_CALLBACK (choose_folder), self);
  g_signal_connect_swapped (again, "clicked", G_CALLBACK (switti_models_page_refresh), self);
  return box;
}

static void
switti_models_page_init (SwittiModelsPage *self)
{
  GtkBox *box = GTK_BOX (self);
  GtkWidget *message = new_text (NULL, FALSE);

  gtk_orientable_set_orientation (GTK_ORIENTABLE (self), GTK_ORIENTATION_VERTICAL);
  gtk_box_set_spacing (box, SPACING);
  self->message = GTK_LABEL (message);
  gtk_widget_set_no_show_all (message, TRUE);
  atk_object_set_role (gtk_widget_get_accessible (message), ATK_ROLE_ALERT);
  self->folders_frame = new_folder_list (self);
  gtk_box_pack_start (box, new_heading (_ ("Installed models")), FALSE, FALSE, 0);
  gtk_box_pack_start (box, new_model_list (self), TRUE, TRUE, 0);
  gtk_box_pack_start (box, self->folders_frame, FALSE, FALSE, 0);
  gtk_box_pack_start (box, new_buttons (self), FALSE, FALSE, 0);
  gtk_box_pack_start (box, message, FALSE, FALSE, 0);
}

GtkWidget *
switti_models_page_new (SwittiPreferences *preferences)
{
  SwittiModelsPage *self = g_object_new (SWITTI_TYPE_MODELS_PAGE, NULL);

  self->preferences = g_object_ref (preferences);
  gtk_widget_show_all (GTK_WIDGET (self));
  fill (self);
  return GTK_WIDGET (self);
}
