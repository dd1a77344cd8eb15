/* switti-dialog.c - where pictures are painted by hand
 *
 * GIMP's own dialog of a procedure, with a studio beside the arguments. It stays open, and the model stays loaded,
 * between pictures; what is inserted goes into GIMP at once, each time as one step of undo.
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-dialog.h"

#include "switti-dialog-private.h"
#include "switti-placing.h"

#include <glib/gi18n.h>

#define SPACING SWITTI_DIALOG_SPACING
#define MAX_THUMBNAIL 1024

/* -- painting ------------------------------------------------------------------------------------------------ */

/* What the worker is given; it never touches a GIMP object. */
typedef struct
{
  SwittiSettings *settings;
  SwittiCapture *capture;
  GArray *seeds; /* guint64: each is painted alone; NULL: those of the settings */
  gboolean sketch;
} Job;

static void
job_free (gpointer data)
{
  Job *job = data;

  switti_settings_unref (job->settings);
  switti_capture_unref (job->capture);
  g_clear_pointer (&job->seeds, g_array_unref);
  g_free (job);
}

/* The share of one of several requests in the progress. */
typedef struct
{
  SwittiProgressFunc progress;
  gpointer progress_data;
  guint index, count;
} Share;

static void
note_share (double fraction, int scale, gpointer user_data)
{
  Share *share = user_data;

  share->progress ((share->index + fraction) / share->count, scale, share->progress_data);
}

/* Pictures that were picked need not have seeds in a row, so each is a request of its own. */
static GPtrArray *
paint_seeds (SwittiGenerator *generator, SwittiRequest *request, GArray *seeds, GCancellable *cancellable, Share *share,
             GError **error)
{
  g_autoptr (GPtrArray) pictures = g_ptr_array_new_with_free_func (g_object_unref);

  share->count = seeds->len;
  for (share->index = 0; share->index < seeds->len; share->index++)
    {
      g_autoptr (GPtrArray) painted = NULL;

      g_object_set (request, "seed", g_array_index (seeds, guint64, share->index), "count", 1, NULL);
      painted = switti_generator_generate (generator, request, cancellable, note_share, share, error);
      if (!painted)
        return NULL;
      g_ptr_array_add (pictures, g_object_ref (g_ptr_array_index (painted, 0)));
    }
  return g_steal_pointer (&pictures);
}

static GPtrArray *
paint (SwittiGenerator *generator, GCancellable *cancellable, SwittiProgressFunc progress, gpointer progress_data,
       gpointer user_data, GError **error)
{
  const Job *job = user_data;
  SwittiBundle *bundle = switti_generator_get_bundle (generator);
  g_autoptr (SwittiRequest) request = switti_settings_to_request (job->settings, bundle);
  Share share = { progress, progress_data, 0, 1 };

  if (!switti_request_validate (request, bundle, error)
      || !switti_capture_prepare (job->capture, generator, request, cancellable, error))
    return NULL;
  if (job->sketch)
    g_object_set (request, "stop-scale", (switti_bundle_get_n_scales (bundle) + 1) / 2, NULL);
  if (job->seeds)
    return paint_seeds (generator, request, job->seeds, cancellable, &share, error);
  return switti_generator_generate (generator, request, cancellable, progress, progress_data, error);
}

static void
free_bytes (guchar *pixels, gpointer bytes)
{
  g_bytes_unref (bytes);
}

/* (side, side) R'G'B'A u8; takes @rgba. */
static GdkPixbuf *
pixbuf_from_rgba (GBytes *rgba, int side)
{
  return gdk_pixbuf_new_from_data (g_bytes_get_data (rgba, NULL), GDK_COLORSPACE_RGB, TRUE, 8, side, side, 4 * side,
                                   free_bytes, rgba);
}

/* A filling is seen in its place. */
static GdkPixbuf *
show_in_place (SwittiImage *picture, gpointer capture)
{
  int side;
  GBytes *rgba = switti_capture_show (capture, picture, &side);

  return pixbuf_from_rgba (rgba, side);
}

/* The part of the image that a new picture would cover. */
static GdkPixbuf *
get_covered (GimpImage *image)
{
  g_autoptr (GdkPixbuf) whole = NULL;
  gboolean has_selection;
  int width, height, x1, y1, x2, y2;
  double factor;

  if (!image || !gimp_image_is_valid (image))
    return NULL;
  width = gimp_image_get_width (image);
  height = gimp_image_get_height (image);
  factor = MIN (1.0, (double) MAX_THUMBNAIL / MAX (width, height));
  whole = gimp_image_get_thumbnail (image, MAX (1, (int) (width * factor)), MAX (1, (int) (height * factor)),
                                    GIMP_PIXBUF_LARGE_CHECKS);
  if (!whole || !gimp_selection_bounds (image, &has_selection, &x1, &y1, &x2, &y2) || !has_selection)
    return g_steal_pointer (&whole);
  width = gdk_pixbuf_get_width (whole);
  height = gdk_pixbuf_get_height (whole);
  x1 = CLAMP ((int) (x1 * factor), 0, width - 1);
  y1 = CLAMP ((int) (y1 * factor), 0, height - 1);
  x2 = CLAMP ((int) (x2 * factor), x1 + 1, width);
  y2 = CLAMP ((int) (y2 * factor), y1 + 1, height);
  return gdk_pixbuf_new_subpixbuf (whole, x1, y1, x2 - x1, y2 - y1);
}

static void
show_before (SwittiDialog *self)
{
  int side;
  GBytes *rgba = switti_capture_show_before (self->capture, &side);
  g_autoptr (GdkPixbuf) before = rgba ? pixbuf_from_rgba (rgba, side) : get_covered (self->image);

  switti_studio_set_before (self->studio, before);
}

static void
start_job (SwittiDialog *self, const SwittiStudioRun *run, GArray *seeds)
{
  const SwittiSessionEngine engine = { self->painted->model, self->painted->device, self->painted->precision,
                                       self->painted->memory, NULL };
  Job *job = g_new (Job, 1);

  *job = (Job) { switti_settings_ref (self->painted), switti_capture_ref (self->capture), seeds, run->sketch };
  switti_studio_paint (self->studio, run, &engine, paint, job, job_free);
}

static void
remember_prompt (SwittiDialog *self, const char *prompt)
{
  g_autoptr (GError) error = NULL;

  if (!switti_prompt_history_add (self->history, prompt, &error))
    switti_studio_say (self->studio, error->message, TRUE);
}

/* The settings, and what they start from, of the paintings from now on. */
static gboolean
take_settings (SwittiDialog *self, GError **error)
{
  GimpImage *image = self->image && gimp_image_is_valid (self->image) ? self->image : NULL;
  g_autoptr (SwittiSettings) settings = switti_settings_new (self->config);
  SwittiCapture *capture;

  /* Where the pictures go is asked when they are inserted. */
  settings->output = SWITTI_OUTPUT_AUTO;
  if (!switti_settings_check (settings, image != NULL, error))
    return FALSE;
  /* The layer to vary is the one that is selected now: layers come and go while the dialog is open. */
  capture = switti_capture_new (settings, image, NULL, error);
  if (!capture)
    return FALSE;
  g_clear_pointer (&self->painted, switti_settings_unref);
  g_clear_pointer (&self->capture, switti_capture_unref);
  self->painted = g_steal_pointer (&settings);
  self->capture = capture;
  switti_studio_set_show (self->studio, show_in_place, switti_capture_ref (capture),
                          (GDestroyNotify) switti_capture_unref);
  show_before (self);
  return TRUE;
}

void
switti_dialog_generate (SwittiDialog *self)
{
  g_autoptr (GError) error = NULL;
  SwittiStudioRun run = { 0 };

  if (switti_studio_is_busy (self->studio))
    return;
  gtk_stack_set_visible_child_name (self->stack, "paint");
  if (!take_settings (self, &error))
    {
      switti_studio_say (self->studio, error->message, TRUE);
      return;
    }
  switti_seed_row_set_last (self->seed, self->painted->seed);
  run.first_seed = self->painted->seed;
  run.count = self->painted->count;
  run.sketch = gtk_toggle_button_get_active (self->sketch);
  start_job (self, &run, NULL);
  remember_prompt (self, self->painted->prompt);
}

/* Paints those that are picked on, with the settings that they were begun with. */
static void
finish_picked (SwittiDialog *self)
{
  const SwittiStudioRun run = { .finish = TRUE };

  if (self->painted && !switti_studio_is_busy (self->studio))
    start_job (self, &run, switti_studio_get_unfinished_seeds (self->studio));
}

static void
painting_ended (SwittiDialog *self)
{
  gboolean keep_loaded;

  g_object_get (self->preferences, "keep-loaded", &keep_loaded, NULL);
  if (!keep_loaded)
    switti_session_unload (self->session);
}

/* -- inserting ----------------------------------------------------------------------------------------------- */

/* A group has all that are there to choose from. */
static GPtrArray *
get_pictures (SwittiDialog *self)
{
  return self->painted->output == SWITTI_OUTPUT_LAYER_GROUP ? switti_studio_get_finished (self->studio)
                                                            : switti_studio_get_picked (self->studio);
}

static GPtrArray *
place_pictures (SwittiDialog *self, GimpImage **image, GError **error)
{
  g_autoptr (GPtrArray) pictures = NULL;

  /* Nothing is being painted, so the settings are ours alone. */
  self->painted->output = (SwittiOutput) gimp_procedure_config_get_choice_id (self->config, "output");
  if (!switti_settings_check (self->painted, *image != NULL, error))
    return NULL;
  pictures = get_pictures (self);
  /* The recipe names the model's hash, which reads all of it once. */
  gtk_widget_set_sensitive (GTK_WIDGET (self->dialog), FALSE);
  switti_session_wait_for_hash (self->session);
  gtk_widget_set_sensitive (GTK_WIDGET (self->dialog), TRUE);
  return switti_placing_run (self->painted, self->capture, pictures, image, TRUE, error);
}

static void
insert (SwittiDialog *self)
{
  g_autoptr (GError) error = NULL;
  GimpImage *image = self->image && gimp_image_is_valid (self->image) ? self->image : NULL;
  GPtrArray *layers = place_pictures (self, &image, &error);

  if (!layers)
    {
      switti_studio_say (self->studio, error->message, TRUE);
      return;
    }
  g_clear_pointer (&self->layers, g_ptr_array_unref);
  self->layers = layers;
  self->into = image;
  switti_studio_say (self->studio, _ ("Inserted; the dialog stays open for the next picture."), FALSE);
}

/* -- the window ---------------------------------------------------------------------------------------------- */

static void
update_buttons (SwittiDialog *self)
{
  gboolean busy = switti_studio_is_busy (self->studio);
  g_autoptr (GPtrArray) finished = switti_studio_get_picked (self->studio);
  g_autoptr (GArray) unfinished = switti_studio_get_unfinished_seeds (self->studio);
  g_autofree char *prompt = NULL;

  g_object_get (self->config, "prompt", &prompt, NULL);
  /* Without a prompt there is nothing to generate. */
  gtk_dialog_set_response_sensitive (self->dialog, GTK_RESPONSE_OK, !busy && prompt && *g_strstrip (prompt));
  gtk_widget_set_sensitive (self->stop, busy
                                          && switti_session_get_state (self->session) != SWITTI_SESSION_STOPPING);
  gtk_widget_set_sensitive (self->insert, !busy && finished->len > 0);
  gtk_widget_set_sensitive (self->finish, !busy && unfinished->len > 0);
}

static gboolean
key_pressed (SwittiDialog *self, GdkEventKey *event)
{
  guint modifiers = event->state & gtk_accelerator_get_default_mod_mask ();

  if (event->keyval == GDK_KEY_Escape && modifiers == 0 && switti_studio_is_busy (self->studio))
    {
      switti_studio_stop (self->studio);
      return GDK_EVENT_STOP;
    }
  if ((event->keyval == GDK_KEY_Return || event->keyval == GDK_KEY_KP_Enter) && modifiers == GDK_CONTROL_MASK)
    {
      switti_dialog_generate (self);
      return GDK_EVENT_STOP;
    }
  return GDK_EVENT_PROPAGATE;
}

static GtkWidget *
new_action_button (const char *label, const char *tooltip, GCallback callback, SwittiDialog *self)
{
  GtkWidget *button = gtk_button_new_with_mnemonic (label);

  gtk_widget_set_tooltip_text (button, tooltip);
  g_signal_connect_swapped (button, "clicked", callback, self);
  return button;
}

static void
stop (SwittiDialog *self)
{
  switti_studio_stop (self->studio);
}

/* Stop and finish on the left, where the picture forms; what becomes of it on the right. */
static GtkWidget *
new_action_row (SwittiDialog *self)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);
  GtkWidget *output = gimp_prop_choice_combo_box_new (G_OBJECT (self->config), "output");
  GtkWidget *label = switti_dialog_new_label (self->config, "output", output, output);

  self->stop = new_action_button (_ ("S_top"), _ ("Stop painting (Esc)"), G_CALLBACK (stop), self);
  self->finish = new_action_button (_ ("_Finish picked"), _ ("Paint the picked pictures to the last scale"),
                                    G_CALLBACK (finish_picked), self);
  self->insert = new_action_button (_ ("_Insert"), _ ("Put the picked pictures into GIMP"), G_CALLBACK (insert), self);
  gtk_box_pack_start (GTK_BOX (row), self->stop, FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (row), self->finish, FALSE, FALSE, 0);
  gtk_box_pack_end (GTK_BOX (row), self->insert, FALSE, FALSE, 0);
  gtk_box_pack_end (GTK_BOX (row), output, FALSE, FALSE, 0);
  gtk_box_pack_end (GTK_BOX (row), label, FALSE, FALSE, 0);
  return row;
}

static GtkWidget *
new_paint_page (SwittiDialog *self)
{
  GtkWidget *page = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 2 * SPACING);
  GtkWidget *right = gtk_box_new (GTK_ORIENTATION_VERTICAL, SPACING);

  self->studio = SWITTI_STUDIO (switti_studio_new (self->session));
  gtk_box_pack_start (GTK_BOX (right), GTK_WIDGET (self->studio), TRUE, TRUE, 0);
  gtk_box_pack_start (GTK_BOX (right), new_action_row (self), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (page), switti_dialog_new_controls (self), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (page), right, TRUE, TRUE, 0);
  return page;
}

static void
build (SwittiDialog *self)
{
  GtkWidget *dialog = gimp_procedure_dialog_new (self->procedure, self->config, _ ("Generate with Switti"));
  GtkWidget *close, *stack = gtk_stack_new ();

  self->dialog = GTK_DIALOG (dialog);
  self->stack = GTK_STACK (stack);
  self->labels = gtk_size_group_new (GTK_SIZE_GROUP_HORIZONTAL);
  gimp_procedure_dialog_set_ok_label (GIMP_PROCEDURE_DIALOG (dialog), _ ("_Generate"));
  close = gtk_dialog_get_widget_for_response (self->dialog, GTK_RESPONSE_CANCEL);
  gtk_button_set_label (GTK_BUTTON (close), _ ("_Close"));
  gtk_stack_add_named (self->stack, new_paint_page (self), "paint");
  gtk_stack_add_named (self->stack, switti_dialog_new_setup (self), "setup");
  gtk_box_pack_start (GTK_BOX (gtk_dialog_get_content_area (self->dialog)), stack, TRUE, TRUE, 0);
  gtk_widget_show_all (stack);

  g_signal_connect_swapped (dialog, "key-press-event", G_CALLBACK (key_pressed), self);
  g_signal_connect_swapped (self->studio, "changed", G_CALLBACK (update_buttons), self);
  g_signal_connect_swapped (self->session, "finished", G_CALLBACK (painting_ended), self);
  g_signal_connect_swapped (self->config, "notify::prompt", G_CALLBACK (update_buttons), self);
  update_buttons (self);
}

/* Only the default model is there, and the user has not been here before. */
static gboolean
is_first_run (SwittiDialog *self)
{
  g_auto (GStrv) models = switti_bundle_list ();
  gboolean welcomed;

  g_object_get (self->preferences, "welcomed", &welcomed, NULL);
  return !welcomed && g_strv_length (models) <= 1;
}

static void
show_first_page (SwittiDialog *self)
{
  gboolean first = is_first_run (self);

  gtk_widget_set_visible (self->welcome, first);
  gtk_stack_set_visible_child_name (self->stack, first ? "setup" : "paint");
  if (!first)
    gtk_widget_grab_focus (self->prompt);
}

/* What was left to itself is what the user prefers. */
static void
apply_preferences (SwittiDialog *self)
{
  g_autofree char *device = NULL, *precision = NULL, *memory = NULL;
  g_autofree char *preferred_device = NULL, *preferred_precision = NULL, *preferred_memory = NULL;
  int batch, preferred_batch;

  g_object_get (self->config, "device", &device, "precision", &precision, "memory", &memory, "batch", &batch, NULL);
  g_object_get (self->preferences, "device", &preferred_device, "precision", &preferred_precision, "memory",
                &preferred_memory, "batch", &preferred_batch, NULL);
  if (!device || !*device || g_str_equal (device, "auto"))
    g_object_set (self->config, "device", preferred_device, NULL);
  if (g_strcmp0 (precision, "auto") == 0)
    g_object_set (self->config, "precision", preferred_precision, NULL);
  if (g_strcmp0 (memory, "auto") == 0)
    g_object_set (self->config, "memory", preferred_memory, NULL);
  if (batch == 0)
    g_object_set (self->config, "batch", preferred_batch, NULL);
}

static void
open_session (SwittiDialog *self, SwittiPreferences *preferences)
{
  g_autofree char *history = g_build_filename (gimp_directory (), "switti", "prompts", NULL);
  g_autofree char *favourites = g_build_filename (gimp_directory (), "switti", "favourites.ini", NULL);

  self->preferences = g_object_ref (preferences);
  self->history = switti_prompt_history_new (history);
  self->presets = switti_presets_new (favourites);
  self->session = switti_session_new ();
}

static void
close_session (SwittiDialog *self)
{
  switti_session_shut_down (self->session);
  g_signal_handlers_disconnect_by_data (self->session, self);
  g_signal_handlers_disconnect_by_data (self->config, self);
  gtk_widget_destroy (GTK_WIDGET (self->dialog));
  g_clear_object (&self->labels);
  /* A layer is of this image and means nothing the next time. */
  g_object_set (self->config, "recipe-layer", NULL, NULL);
  g_clear_object (&self->session);
  g_clear_object (&self->presets);
  g_clear_object (&self->history);
  g_clear_object (&self->preferences);
  g_clear_pointer (&self->painted, switti_settings_unref);
  g_clear_pointer (&self->capture, switti_capture_unref);
}

GPtrArray *
switti_dialog_run (GimpProcedure *procedure, GimpProcedureConfig *config, SwittiPreferences *preferences,
                   GimpImage **image)
{
  SwittiDialog self = { .procedure = procedure, .config = config, .image = *image };

  gimp_ui_init (gimp_procedure_get_name (procedure));
  open_session (&self, preferences);
  apply_preferences (&self);
  build (&self);
  show_first_page (&self);
  /* The button that ends other dialogs paints in this one. */
  while (gimp_procedure_dialog_run (GIMP_PROCEDURE_DIALOG (self.dialog)))
    switti_dialog_generate (&self);
  close_session (&self);
  if (self.layers)
    *image = self.into;
  return self.layers;
}
