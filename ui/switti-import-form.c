/* switti-import-form.c - makes a model from checkpoints that the user has
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-import-form.h"

#include "switti-bundle.h"
#include "switti-error.h"
#include "switti-model-import-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define SPACING 6
#define WIDTH_CHARS 60
#define TICK_MS 200

struct _SwittiImportForm
{
  GtkBox parent_instance;

  GPtrArray *inputs; /* paths */
  GtkLabel *chosen, *message;
  GtkEntry *name;
  GtkComboBox *base, *resolution, *kind;
  GtkButton *begin, *stop;
  GtkProgressBar *progress;

  struct _Work *work; /* while there is some, or NULL */
  guint tick;
};

enum
{
  SIGNAL_INSTALLED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (SwittiImportForm, switti_import_form, GTK_TYPE_BOX)

/* -- the work -------------------------------------------------------------------------------------------------- */

/* What a thread works on; reference counted, for it may outlive the form. */
typedef struct _Work
{
  GWeakRef form;
  GCancellable *cancellable;
  char **inputs, *path, *base;
  int resolution, ar;

  GMutex mutex; /* of what the thread tells */
  guint64 done, total;
} Work;

static void
work_clear (gpointer data)
{
  Work *work = data;

  g_weak_ref_clear (&work->form);
  g_clear_object (&work->cancellable);
  g_strfreev (work->inputs);
  g_free (work->path);
  g_free (work->base);
  g_mutex_clear (&work->mutex);
}

static void
work_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, work_clear);
}

static void
on_bytes (guint64 done, guint64 total, const char *what, gpointer data)
{
  Work *work = data;

  g_mutex_lock (&work->mutex);
  work->done = done;
  work->total = total;
  g_mutex_unlock (&work->mutex);
}

static void
import_files (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Work *work = data;
  SwittiImportOptions options = {
    .inputs = (const char *const *) work->inputs,
    .base = work->base,
    .hints = SWITTI_CHECKPOINT_NO_HINTS,
    .dtype = SWITTI_DTYPE_BF16,
  };
  GError *error = NULL;

  options.hints.resolution = work->resolution;
  options.hints.ar = work->ar;
  if (switti_model_import (work->path, &options, on_bytes, work, cancellable, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* -- what it shows --------------------------------------------------------------------------------------------- */

static void
say (SwittiImportForm *self, const char *message)
{
  gtk_label_set_text (self->message, message != NULL ? message : "");
  gtk_widget_set_visible (GTK_WIDGET (self->message), message != NULL);
}

static void
update (SwittiImportForm *self)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < self->inputs->len; i++)
    {
      g_autofree char *display = g_filename_display_name (self->inputs->pdata[i]);

      g_string_append_printf (text, "%s%s", i > 0 ? "\n" : "", display);
    }
  gtk_label_set_text (self->chosen, text->len > 0 ? text->str : _ ("Nothing is chosen yet."));
  g_string_free (text, TRUE);
  gtk_widget_set_sensitive (GTK_WIDGET (self->begin), self->inputs->len > 0 && self->work == NULL);
  gtk_widget_set_visible (GTK_WIDGET (self->stop), self->work != NULL);
  gtk_widget_set_visible (GTK_WIDGET (self->progress), self->work != NULL);
}

static gboolean
show_progress (gpointer data)
{
  SwittiImportForm *self = data;
  g_autofree char *done = NULL, *total = NULL, *text = NULL;

  g_mutex_lock (&self->work->mutex);
  done = g_format_size (self->work->done);
  total = g_format_size (self->work->total);
  if (self->work->total > 0)
    gtk_progress_bar_set_fraction (self->progress, (double) self->work->done / (double) self->work->total);
  g_mutex_unlock (&self->work->mutex);
  /* Translators: bytes done, and bytes in all. */
  text = g_strdup_printf (_ ("%s of %s"), done, total);
  gtk_progress_bar_set_text (self->progress, text);
  return G_SOURCE_CONTINUE;
}

/* -- beginning and ending -------------------------------------------------------------------------------------- */

static void
end_work (SwittiImportForm *self)
{
  g_clear_handle_id (&self->tick, g_source_remove);
  g_clear_pointer (&self->work, work_unref);
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer data)
{
  Work *work = g_task_get_task_data (G_TASK (result));
  g_autoptr (SwittiImportForm) self = g_weak_ref_get (&work->form);
  g_autoptr (GError) error = NULL;
  gboolean good = g_task_propagate_boolean (G_TASK (result), &error);

  if (self == NULL)
    return;
  end_work (self);
  if (good)
    {
      g_ptr_array_set_size (self->inputs, 0);
      say (self, _ ("Imported."));
    }
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    say (self, _ ("Stopped; nothing was imported."));
  else
    say (self, error->message);
  update (self);
  if (good)
    g_signal_emit (self, signals[SIGNAL_INSTALLED], 0);
}

/* The name of a folder, and no path. */
static gboolean
check_name (const char *name, GError **error)
{
  if (*name != '\0' && *name != '.' && strchr (name, G_DIR_SEPARATOR) == NULL)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("“%s” cannot be a model's name: it needs a character or more, no “/”, and no “.” at its start."),
               name);
  return FALSE;
}

static void
begin (SwittiImportForm *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GTask) task = NULL;
  g_autofree char *name = g_strstrip (g_strdup (gtk_entry_get_text (self->name)));
  const char *base = gtk_combo_box_get_active_id (self->base);
  Work *work;

  if (!check_name (name, &error))
    {
      say (self, error->message);
      return;
    }
  work = g_atomic_rc_box_new0 (Work);
  g_weak_ref_init (&work->form, self);
  g_mutex_init (&work->mutex);
  work->cancellable = g_cancellable_new ();
  work->path = g_build_filename (g_get_user_data_dir (), "switti", "models", name, NULL);
  work->base = base != NULL && *base != '\0' ? g_strdup (base) : NULL;
  work->resolution = (int) g_ascii_strtoll (gtk_combo_box_get_active_id (self->resolution), NULL, 10);
  work->ar = (int) g_ascii_strtoll (gtk_combo_box_get_active_id (self->kind), NULL, 10);
  work->inputs = g_new0 (char *, self->inputs->len + 1);
  for (guint i = 0; i < self->inputs->len; i++)
    work->inputs[i] = g_strdup (self->inputs->pdata[i]);

  self->work = g_atomic_rc_box_acquire (work);
  self->tick = g_timeout_add (TICK_MS, show_progress, self);
  say (self, NULL);
  gtk_progress_bar_set_fraction (self->progress, 0);
  gtk_progress_bar_set_text (self->progress, "");
  update (self);
  task = g_task_new (NULL, work->cancellable, on_done, NULL);
  g_task_set_task_data (task, work, work_unref);
  /* A model that was in its place before a late cancel is there. */
  g_task_set_check_cancellable (task, FALSE);
  g_task_run_in_thread (task, import_files);
}

static void
stop (SwittiImportForm *self)
{
  if (self->work != NULL)
    g_cancellable_cancel (self->work->cancellable);
}

/* -- choosing -------------------------------------------------------------------------------------------------- */

void
switti_import_form_add (SwittiImportForm *self, const char *path)
{
  g_return_if_fail (SWITTI_IS_IMPORT_FORM (self));
  g_return_if_fail (path != NULL);

  if (!g_ptr_array_find_with_equal_func (self->inputs, path, g_str_equal, NULL))
    g_ptr_array_add (self->inputs, g_strdup (path));
  say (self, NULL);
  update (self);
}

static void
choose (SwittiImportForm *self, GtkFileChooserAction action, const char *title)
{
  GtkWidget *window = gtk_widget_get_toplevel (GTK_WIDGET (self));
  GtkWidget *chooser = gtk_file_chooser_dialog_new (title, GTK_IS_WINDOW (window) ? GTK_WINDOW (window) : NULL, action,
                                                    _ ("_Cancel"), GTK_RESPONSE_CANCEL, _ ("C_hoose"),
                                                    GTK_RESPONSE_ACCEPT, NULL);

  gtk_file_chooser_set_select_multiple (GTK_FILE_CHOOSER (chooser), TRUE);
  if (gtk_dialog_run (GTK_DIALOG (chooser)) == GTK_RESPONSE_ACCEPT)
    {
      GSList *paths = gtk_file_chooser_get_filenames (GTK_FILE_CHOOSER (chooser));

      for (GSList *path = paths; path != NULL; path = path->next)
        switti_import_form_add (self, path->data);
      g_slist_free_full (paths, g_free);
    }
  gtk_widget_destroy (chooser);
}

static void
choose_files (SwittiImportForm *self)
{
  choose (self, GTK_FILE_CHOOSER_ACTION_OPEN, _ ("Choose Checkpoint Files"));
}

static void
choose_folders (SwittiImportForm *self)
{
  choose (self, GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _ ("Choose Checkpoint Folders"));
}

static void
forget (SwittiImportForm *self)
{
  g_ptr_array_set_size (self->inputs, 0);
  say (self, NULL);
  update (self);
}

/* -- building -------------------------------------------------------------------------------------------------- */

static GtkLabel *
new_text (const char *text)
{
  GtkWidget *label = gtk_label_new (text);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_line_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_max_width_chars (GTK_LABEL (label), WIDTH_CHARS);
  return GTK_LABEL (label);
}

static GtkWidget *
new_button (SwittiImportForm *self, const char *label, GCallback clicked)
{
  GtkWidget *button = gtk_button_new_with_mnemonic (label);

  g_signal_connect_swapped (button, "clicked", clicked, self);
  return button;
}

static GtkComboBox *
new_combo (const char *first_id, const char *first)
{
  GtkWidget *combo = gtk_combo_box_text_new ();

  gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (combo), first_id, first);
  gtk_combo_box_set_active (GTK_COMBO_BOX (combo), 0);
  return GTK_COMBO_BOX (combo);
}

static void
attach (GtkGrid *grid, int row, const char *title, const char *name, GtkWidget *widget)
{
  GtkWidget *label = gtk_label_new_with_mnemonic (title);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_mnemonic_widget (GTK_LABEL (label), widget);
  atk_object_set_name (gtk_widget_get_accessible (widget), name);
  gtk_widget_set_hexpand (widget, TRUE);
  gtk_grid_attach (grid, label, 0, row, 1, 1);
  gtk_grid_attach (grid, widget, 1, row, 1, 1);
}

static void
forget_message (SwittiImportForm *self)
{
  say (self, NULL);
}

static GtkWidget *
new_grid (SwittiImportForm *self)
{
  static const char *const sides[] = { "256", "512", "1024" };
  GtkWidget *grid = gtk_grid_new ();
  g_auto (GStrv) names = switti_bundle_list ();

  gtk_grid_set_row_spacing (GTK_GRID (grid), SPACING);
  gtk_grid_set_column_spacing (GTK_GRID (grid), 2 * SPACING);
  self->name = GTK_ENTRY (gtk_entry_new ());
  gtk_entry_set_text (self->name, _ ("imported"));
  g_signal_connect_swapped (self->name, "changed", G_CALLBACK (forget_message), self);
  self->base = new_combo ("", _ ("Nowhere: all of them are chosen"));
  for (char **name = names; *name != NULL; name++)
    gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (self->base), *name, *name);
  self->resolution = new_combo ("0", _ ("As the checkpoint says"));
  for (guint i = 0; i < G_N_ELEMENTS (sides); i++)
    {
      g_autofree char *text = g_strdup_printf ("%s × %s", sides[i], sides[i]);

      gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (self->resolution), sides[i], text);
    }
  self->kind = new_combo ("-1", _ ("As the checkpoint says"));
  gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (self->kind), "0", "Switti");
  gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (self->kind), "1", "Switti (AR)");
  attach (GTK_GRID (grid), 0, _ ("_Name of the model:"), _ ("Name of the model"), GTK_WIDGET (self->name));
  attach (GTK_GRID (grid), 1, _ ("Missing _parts are taken from:"), _ ("Where missing parts are taken from"),
          GTK_WIDGET (self->base));
  attach (GTK_GRID (grid), 2, _ ("_Resolution:"), _ ("Resolution"), GTK_WIDGET (self->resolution));
  attach (GTK_GRID (grid), 3, _ ("_Kind:"), _ ("Kind"), GTK_WIDGET (self->kind));
  return grid;
}

static GtkWidget *
new_buttons (SwittiImportForm *self)
{
  GtkWidget *box = gtk_button_box_new (GTK_ORIENTATION_HORIZONTAL);

  gtk_button_box_set_layout (GTK_BUTTON_BOX (box), GTK_BUTTONBOX_START);
  gtk_box_set_spacing (GTK_BOX (box), SPACING);
  gtk_container_add (GTK_CONTAINER (box), new_button (self, _ ("Choose _Files…"), G_CALLBACK (choose_files)));
  gtk_container_add (GTK_CONTAINER (box), new_button (self, _ ("Choose Fol_ders…"), G_CALLBACK (choose_folders)));
  gtk_container_add (GTK_CONTAINER (box), new_button (self, _ ("_Choose None"), G_CALLBACK (forget)));
  return box;
}

static void
dispose (GObject *object)
{
  SwittiImportForm *self = SWITTI_IMPORT_FORM (object);

  stop (self);
  end_work (self);
  G_OBJECT_CLASS (switti_import_form_parent_class)->dispose (object);
}

static void
finalize (GObject *object)
{
  g_ptr_array_unref (SWITTI_IMPORT_FORM (object)->inputs);
  G_OBJECT_CLASS (switti_import_form_parent_class)->finalize (object);
}

static void
switti_import_form_class_init (SwittiImportFormClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = dispose;
  G_OBJECT_CLASS (klass)->finalize = finalize;
  signals[SIGNAL_INSTALLED] = g_signal_new ("installed", SWITTI_TYPE_IMPORT_FORM, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                            NULL, G_TYPE_NONE, 0);
}

static void
switti_import_form_init (SwittiImportForm *self)
{
  GtkBox *box = GTK_BOX (self);
  GtkWidget *work = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);
  GtkWidget *message = GTK_WIDGET (self->message = new_text (NULL));
  GtkWidget *stop_button = new_button (self, _ ("_Stop"), G_CALLBACK (stop));
  GtkWidget *progress = gtk_progress_bar_new ();

  gtk_orientable_set_orientation (GTK_ORIENTABLE (self), GTK_ORIENTATION_VERTICAL);
  gtk_box_set_spacing (box, SPACING);
  self->inputs = g_ptr_array_new_with_free_func (g_free);
  self->chosen = new_text (NULL);
  self->begin = GTK_BUTTON (new_button (self, _ ("_Import"), G_CALLBACK (begin)));
  self->stop = GTK_BUTTON (stop_button);
  self->progress = GTK_PROGRESS_BAR (progress);
  gtk_progress_bar_set_show_text (self->progress, TRUE);
  atk_object_set_name (gtk_widget_get_accessible (progress), _ ("Import"));
  atk_object_set_role (gtk_widget_get_accessible (message), ATK_ROLE_ALERT);
  gtk_widget_set_no_show_all (message, TRUE);
  gtk_widget_set_no_show_all (stop_button, TRUE);
  gtk_widget_set_no_show_all (progress, TRUE);
  gtk_widget_set_valign (progress, GTK_ALIGN_CENTER);
  gtk_box_pack_start (box, GTK_WIDGET (new_text (_ ("PyTorch's and safetensors files, and folders as Hugging Face's "
                                                    "libraries keep them: the transformer, the VAE and both text "
                                                    "encoders."))),
                      FALSE, FALSE, 0);
  gtk_box_pack_start (box, new_buttons (self), FALSE, FALSE, 0);
  gtk_box_pack_start (box, GTK_WIDGET (self->chosen), FALSE, FALSE, 0);
  gtk_box_pack_start (box, new_grid (self), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (work), GTK_WIDGET (self->begin), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (work), stop_button, FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (work), progress, TRUE, TRUE, 0);
  gtk_box_pack_start (box, work, FALSE, FALSE, 0);
  gtk_box_pack_start (box, message, FALSE, FALSE, 0);
  update (self);
}

GtkWidget *
switti_import_form_new (void)
{
  return g_object_new (SWITTI_TYPE_IMPORT_FORM, NULL);
}
