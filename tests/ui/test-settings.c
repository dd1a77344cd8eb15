/* test-settings.c - what the dialog keeps: prompts, favourites, preferences; the sampling curve and the seed
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-diagnostics.h"
#include "switti-favourites.h"
#include "switti-models-page.h"
#include "switti-preferences-page.h"
#include "switti-preferences.h"
#include "switti-presets.h"
#include "switti-prompt-history.h"
#include "switti-prompt-view.h"
#include "switti-scale-curve.h"
#include "switti-seed-row.h"
#include "switti-word-scale.h"

#include "switti.h"

#include <glib/gstdio.h>
#include <unistd.h>

typedef struct
{
  char *folder;
  char *path;
} Case;

static void
set_up (Case *self, gconstpointer data)
{
  self->folder = g_dir_make_tmp ("switti-settings-XXXXXX", NULL);
  self->path = g_build_filename (self->folder, "below", "file", NULL);
}

static void
tear_down (Case *self, gconstpointer data)
{
  g_autofree char *removal = g_strdup_printf ("rm -rf '%s'", self->folder);

  g_assert_true (g_spawn_command_line_sync (removal, NULL, NULL, NULL, NULL));
  g_free (self->folder);
  g_free (self->path);
}

/* -- prompts ------------------------------------------------------------------------------------------------- */

static void
test_history (Case *self, gconstpointer data)
{
  g_autoptr (SwittiPromptHistory) history = switti_prompt_history_new (self->path);
  g_autoptr (SwittiPromptHistory) again = NULL;

  g_assert_null (switti_prompt_history_older (history, "now"));
  g_assert_null (switti_prompt_history_newer (history, "now"));
  g_assert_true (switti_prompt_history_add (history, "first", NULL));
  g_assert_true (switti_prompt_history_add (history, "a cät\nof \\ two lines", NULL));
  g_assert_true (switti_prompt_history_add (history, "first", NULL));
  g_assert_true (switti_prompt_history_add (history, "", NULL));

  again = switti_prompt_history_new (self->path);
  g_assert_cmpstr (switti_prompt_history_older (again, "draft"), ==, "first");
  g_assert_cmpstr (switti_prompt_history_older (again, "first"), ==, "a cät\nof \\ two lines");
  g_assert_null (switti_prompt_history_older (again, "a cät\nof \\ two lines"));
  g_assert_cmpstr (switti_prompt_history_newer (again, "a cät\nof \\ two lines"), ==, "first");
  g_assert_cmpstr (switti_prompt_history_newer (again, "first"), ==, "draft");
  g_assert_null (switti_prompt_history_newer (again, "draft"));
}

static void
test_history_forgets (Case *self, gconstpointer data)
{
  g_autoptr (SwittiPromptHistory) history = switti_prompt_history_new (NULL);
  int n = 0;

  for (int i = 0; i < SWITTI_MAX_HISTORY + 5; i++)
    {
      g_autofree char *prompt = g_strdup_printf ("%d", i);

      switti_prompt_history_add (history, prompt, NULL);
    }
  while (switti_prompt_history_older (history, ""))
    n++;
  g_assert_cmpint (n, ==, SWITTI_MAX_HISTORY);
}

/* A file of somebody else, and a place where nothing can be written. */
static void
test_history_faults (Case *self, gconstpointer data)
{
  g_autofree char *below = g_path_get_dirname (self->path);
  g_autoptr (SwittiPromptHistory) history = NULL;
  g_autoptr (SwittiPromptHistory) blocked = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir (below, 0700), ==, 0);
  g_assert_true (g_file_set_contents (self->path, "\xff\xfe\0binary\n\\377\ngood\n", 22, NULL));
  history = switti_prompt_history_new (self->path);
  g_assert_null (switti_prompt_history_older (history, ""));
  g_assert_true (switti_prompt_history_add (history, "new", NULL));

  g_free (g_steal_pointer (&below));
  below = g_build_filename (self->path, "not-a-folder", NULL);
  blocked = switti_prompt_history_new (below);
  g_assert_false (switti_prompt_history_add (blocked, "x", &error));
  g_assert_nonnull (error);
}

static void
press_key (GtkWidget *widget, guint keyval)
{
  GdkEvent *event = gdk_event_new (GDK_KEY_PRESS);

  event->key.window = g_object_ref (gtk_widget_get_window (widget));
  event->key.keyval = keyval;
  gdk_event_set_device (event, gdk_seat_get_keyboard (gdk_display_get_default_seat (gdk_display_get_default ())));
  gtk_widget_event (widget, event);
  gdk_event_free (event);
}

static GtkWidget *
show_in_window (GtkWidget *widget)
{
  GtkWidget *window = gtk_window_new (GTK_WINDOW_TOPLEVEL);

  gtk_window_set_default_size (GTK_WINDOW (window), 400, 200);
  gtk_container_add (GTK_CONTAINER (window), widget);
  gtk_widget_show_all (window);
  while (gtk_events_pending ())
    gtk_main_iteration ();
  return window;
}

static void
assert_text (GtkWidget *view, const char *expected)
{
  g_autofree char *text = switti_prompt_view_get_text (SWITTI_PROMPT_VIEW (view));

  g_assert_cmpstr (text, ==, expected);
}

static void
place_cursor (GtkWidget *view, int line, int offset)
{
  GtkTextBuffer *buffer = gtk_text_view_get_buffer (GTK_TEXT_VIEW (view));
  GtkTextIter cursor;

  gtk_text_buffer_get_iter_at_line_offset (buffer, &cursor, line, offset);
  gtk_text_buffer_place_cursor (buffer, &cursor);
}

/* Up on the first line and Down on the last one; in between they move the cursor. */
static void
test_history_keys (Case *self, gconstpointer data)
{
  g_autoptr (SwittiPromptHistory) history = switti_prompt_history_new (NULL);
  GtkWidget *view = switti_prompt_view_new ("Prompt", 3);
  GtkWidget *window = show_in_window (view);
  GtkWidget *focus = switti_prompt_view_get_text_view (SWITTI_PROMPT_VIEW (view));

  switti_prompt_history_add (history, "older", NULL);
  switti_prompt_history_add (history, "newer", NULL);
  switti_prompt_view_set_history (SWITTI_PROMPT_VIEW (view), history);
  switti_prompt_view_set_text (SWITTI_PROMPT_VIEW (view), "two\nlines");
  while (gtk_events_pending ())
    gtk_main_iteration ();
  place_cursor (focus, 1, 0);
  press_key (focus, GDK_KEY_Up);
  assert_text (view, "two\nlines");
  place_cursor (focus, 0, 2);
  press_key (focus, GDK_KEY_Up);
  assert_text (view, "newer");
  press_key (focus, GDK_KEY_Up);
  assert_text (view, "older");
  press_key (focus, GDK_KEY_Up);
  assert_text (view, "older");
  press_key (focus, GDK_KEY_Down);
  assert_text (view, "newer");
  press_key (focus, GDK_KEY_Down);
  assert_text (view, "two\nlines");
  gtk_widget_destroy (window);
}

/* -- favourites ---------------------------------------------------------------------------------------------- */

static const char *const curve_properties[] = { "guidance-start", "last-scale-temperature", NULL };

static void
test_presets (Case *self, gconstpointer data)
{
  g_autoptr (SwittiPresets) presets = switti_presets_new (self->path);
  g_autoptr (SwittiPresets) again = NULL;
  g_autoptr (GObject) object = g_object_ref_sink (G_OBJECT (switti_scale_curve_new ()));
  g_auto (GStrv) names = NULL;
  double temperature;
  int start;

  g_object_set (object, "guidance-start", 3, "last-scale-temperature", 0.1, NULL);
  g_assert_true (switti_presets_save (presets, "Äpfel [2]\n=", object, curve_properties, NULL));
  g_object_set (object, "guidance-start", 5, NULL);
  g_assert_true (switti_presets_save (presets, "Birnen", object, curve_properties, NULL));

  again = switti_presets_new (self->path);
  names = switti_presets_list (again);
  g_assert_cmpint (g_strv_length (names), ==, 2);
  g_object_set (object, "last-scale-temperature", -1.0, NULL);
  g_assert_true (switti_presets_apply (again, "Äpfel [2]\n=", object, curve_properties));
  g_object_get (object, "guidance-start", &start, "last-scale-temperature", &temperature, NULL);
  g_assert_cmpint (start, ==, 3);
  g_assert_cmpfloat (temperature, ==, 0.1);
  g_assert_false (switti_presets_apply (again, "Kirschen", object, curve_properties));
  g_assert_true (switti_presets_remove (again, "Birnen", NULL));
  g_assert_true (switti_presets_remove (again, "Kirschen", NULL));
  g_clear_pointer (&names, g_strfreev);
  names = switti_presets_list (again);
  g_assert_cmpint (g_strv_length (names), ==, 1);
}

/* Values that somebody has written into the file: out of range they are brought into it, nonsense is left out. */
static void
test_presets_faults (Case *self, gconstpointer data)
{
  g_autofree char *below = g_path_get_dirname (self->path);
  g_autoptr (GObject) object = g_object_ref_sink (G_OBJECT (switti_scale_curve_new ()));
  g_autoptr (SwittiPresets) presets = NULL;
  g_autoptr (SwittiPresets) broken = NULL;
  g_auto (GStrv) names = NULL;
  int start;

  g_assert_cmpint (g_mkdir (below, 0700), ==, 0);
  g_assert_true (g_file_set_contents (self->path,
                                      "[x]\npreset-name=a\nguidance-start=-99\nlast-scale-temperature=warm\n[y]\nz=1\n",
                                      -1, NULL));
  presets = switti_presets_new (self->path);
  names = switti_presets_list (presets);
  g_assert_cmpint (g_strv_length (names), ==, 1);
  g_object_set (object, "guidance-start", 4, NULL);
  g_assert_true (switti_presets_apply (presets, "a", object, curve_properties));
  g_object_get (object, "guidance-start", &start, NULL);
  g_assert_cmpint (start, ==, -1);

  g_assert_true (g_file_set_contents (self->path, "\xff\xff[[[", -1, NULL));
  broken = switti_presets_new (self->path);
  g_assert_true (switti_presets_save (broken, "b", object, curve_properties, NULL));
}

/* -- preferences --------------------------------------------------------------------------------------------- */

static void
test_preferences (Case *self, gconstpointer data)
{
  g_autoptr (SwittiPreferences) preferences = switti_preferences_new (self->path);
  g_autoptr (SwittiPreferences) again = NULL;
  g_autofree char *device = NULL, *memory = NULL, *chosen = NULL;
  gboolean keep, welcomed;
  int batch;

  g_object_get (preferences, "memory", &memory, NULL);
  g_assert_cmpstr (memory, ==, "auto");
  g_object_set (preferences, "device", "cpu", "memory", "low", "batch", 4, "keep-loaded", FALSE, "welcomed",
                TRUE, NULL);
  g_assert_null (switti_preferences_get_error (preferences));
  again = switti_preferences_new (self->path);
  g_object_get (again, "device", &device, "memory", &chosen, "batch", &batch, "keep-loaded", &keep, "welcomed",
                &welcomed, NULL);
  g_assert_cmpstr (device, ==, "cpu");
  g_assert_cmpstr (chosen, ==, "low");
  g_assert_cmpint (batch, ==, 4);
  g_assert_false (keep);
  g_assert_true (welcomed);
}

/* A folder of the user's is searched at once, and the next time. */
static void
test_models_page (Case *self, gconstpointer data)
{
  g_autoptr (SwittiPreferences) preferences = switti_preferences_new (self->path);
  g_autofree char *source = g_build_filename (g_getenv ("SWITTI_MODEL_PATH"), "icons", NULL);
  g_autofree char *link_path = g_build_filename (self->folder, "mine", NULL);
  g_autoptr (GtkWidget) page = g_object_ref_sink (switti_models_page_new (preferences));
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiPreferences) again = NULL;
  g_auto (GStrv) names = NULL;

  g_assert_false (switti_models_page_add_folder (SWITTI_MODELS_PAGE (page), self->folder, &error));
  g_assert_nonnull (strstr (error->message, self->folder));
  g_clear_error (&error);
  g_assert_false (switti_models_page_add_folder (SWITTI_MODELS_PAGE (page), "/no/such/folder", &error));
  g_assert_nonnull (error);

  g_assert_cmpint (symlink (source, link_path), ==, 0);
  g_assert_true (switti_models_page_add_folder (SWITTI_MODELS_PAGE (page), self->folder, NULL));
  names = switti_bundle_list ();
  g_assert_true (g_strv_contains ((const char *const *) names, "mine"));

  again = switti_preferences_new (self->path);
  g_assert_true (g_strv_contains (switti_preferences_get_folders (again), self->folder));
  switti_preferences_remove_folder (again, self->folder);
  g_clear_pointer (&names, g_strfreev);
  names = switti_bundle_list ();
  g_assert_false (g_strv_contains ((const char *const *) names, "mine"));
}

static void
diagnostics_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(char **) user_data = switti_diagnostics_collect_finish (result, NULL);
}

static void
test_diagnostics (Case *self, gconstpointer data)
{
  g_autofree char *text = NULL;

  switti_diagnostics_collect_async ("GIMP 3.0.4", "cpu", NULL, diagnostics_ready, &text);
  while (!text)
    g_main_context_iteration (NULL, TRUE);
  g_test_message ("%s", text);
  g_assert_nonnull (strstr (text, switti_version_string ()));
  g_assert_nonnull (strstr (text, "GIMP 3.0.4"));
  g_assert_nonnull (strstr (text, "Device: cpu"));
  g_assert_nonnull (strstr (text, "Model: icons, 256 pixels, 10 scales"));
  g_assert_true (g_regex_match_simple ("SHA-256 [0-9a-f]{64}\n", text, 0, 0));
  /* No folder and nobody's name. */
  g_assert_null (strchr (strstr (text, "Model:"), '/'));
  g_assert_null (strstr (text, g_get_home_dir ()));
}

/* -- the curve ----------------------------------------------------------------------------------------------- */

static const SwittiScaleDefaults published = { 10, TRUE, 2, 2, 8, 0.1 };

static int
get_int (GtkWidget *widget, const char *property)
{
  int value;

  g_object_get (widget, property, &value, NULL);
  return value;
}

static void
test_curve_words (Case *self, gconstpointer data)
{
  g_autoptr (GtkWidget) widget = g_object_ref_sink (switti_scale_curve_new ());
  SwittiScaleCurve *curve = SWITTI_SCALE_CURVE (widget);
  g_autofree char *words = NULL, *none = NULL;

  switti_scale_curve_set_defaults (curve, &published);
  g_object_get (curve, "words", &words, NULL);
  g_assert_cmpstr (words, ==,
                   "Scales 3 to 8 of 10 follow the prompt closely. From scale 3 codes are blended: calmer. The finest "
                   "scales have temperature 0.10: clean.");
  g_object_set (curve, "guidance-start", 8, NULL);
  switti_scale_curve_set_smooth (curve, 0);
  g_object_get (curve, "words", &none, NULL);
  g_assert_nonnull (strstr (none, "No scale"));
  g_assert_nonnull (strstr (none, "one by one"));
  switti_scale_curve_reset (curve);
  g_assert_cmpint (get_int (widget, "guidance-start"), ==, -1);
}

static void
test_curve_keys (Case *self, gconstpointer data)
{
  GtkWidget *curve = switti_scale_curve_new ();
  GtkWidget *window = show_in_window (curve);
  double temperature;

  switti_scale_curve_set_defaults (SWITTI_SCALE_CURVE (curve), &published);
  press_key (curve, GDK_KEY_Right);
  g_assert_cmpint (get_int (curve, "guidance-start"), ==, 3);
  press_key (curve, GDK_KEY_Delete);
  g_assert_cmpint (get_int (curve, "guidance-start"), ==, -1);
  press_key (curve, GDK_KEY_Down);
  for (int i = 0; i < 20; i++)
    press_key (curve, GDK_KEY_Left);
  g_assert_cmpint (get_int (curve, "guidance-end"), ==, 2); /* no earlier than it starts */
  press_key (curve, GDK_KEY_Up);
  press_key (curve, GDK_KEY_Up);
  press_key (curve, GDK_KEY_Right);
  g_object_get (curve, "last-scale-temperature", &temperature, NULL);
  g_assert_cmpfloat_with_epsilon (temperature, 0.15, 1e-9);
  gtk_widget_destroy (window);
}

static void
send_mouse (GtkWidget *widget, GdkEventType type, double x, double y)
{
  GdkEvent *event = gdk_event_new (type);
  GdkDevice *device = gdk_seat_get_pointer (gdk_display_get_default_seat (gdk_display_get_default ()));

  if (type == GDK_MOTION_NOTIFY)
    {
      event->motion.window = g_object_ref (gtk_widget_get_window (widget));
      event->motion.x = x;
      event->motion.y = y;
      event->motion.state = GDK_BUTTON1_MASK;
    }
  else
    {
      event->button.window = g_object_ref (gtk_widget_get_window (widget));
      event->button.x = x;
      event->button.y = y;
      event->button.button = GDK_BUTTON_PRIMARY;
    }
  gdk_event_set_device (event, device);
  gtk_widget_event (widget, event);
  gdk_event_free (event);
}

/* From the margin of 10 on, a column a scale: the default start of guidance is at its third. */
static void
test_curve_mouse (Case *self, gconstpointer data)
{
  GtkWidget *curve = switti_scale_curve_new ();
  GtkWidget *window = show_in_window (curve);
  double column = (gtk_widget_get_allocated_width (curve) - 20) / 10.0;

  switti_scale_curve_set_defaults (SWITTI_SCALE_CURVE (curve), &published);
  send_mouse (curve, GDK_BUTTON_PRESS, 10 + 2 * column, 10);
  send_mouse (curve, GDK_MOTION_NOTIFY, 10 + 5.2 * column, 30);
  g_assert_cmpint (get_int (curve, "guidance-start"), ==, 5);
  send_mouse (curve, GDK_BUTTON_RELEASE, 10 + 5.2 * column, 30);
  send_mouse (curve, GDK_MOTION_NOTIFY, 10, 30);
  g_assert_cmpint (get_int (curve, "guidance-start"), ==, 5);
  /* Where there is no handle, nothing moves. */
  send_mouse (curve, GDK_BUTTON_PRESS, 10 + 3.5 * column, 60);
  send_mouse (curve, GDK_MOTION_NOTIFY, 10, 60);
  g_assert_cmpint (get_int (curve, "guidance-start"), ==, 5);
  g_assert_cmpint (get_int (curve, "smooth-start"), ==, -1);
  gtk_widget_destroy (window);
}

/* -- small ones ---------------------------------------------------------------------------------------------- */

static double
get_seed (GtkWidget *row)
{
  double seed;

  g_object_get (row, "seed", &seed, NULL);
  return seed;
}

static void
test_seed_row (Case *self, gconstpointer data)
{
  g_autoptr (GtkWidget) row = g_object_ref_sink (switti_seed_row_new (9007199254740992.0));
  g_autoptr (GList) children = gtk_container_get_children (GTK_CONTAINER (row));
  GtkWidget *lock = children->next->data, *dice = children->next->next->data;

  g_assert_cmpfloat (get_seed (row), ==, -1);
  gtk_button_clicked (GTK_BUTTON (dice));
  g_assert_cmpfloat (get_seed (row), >=, 0);
  g_assert_true (gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (lock)));
  gtk_button_clicked (GTK_BUTTON (lock));
  g_assert_cmpfloat (get_seed (row), ==, -1);
  /* The lock keeps what was painted last. */
  switti_seed_row_set_last (SWITTI_SEED_ROW (row), 4711);
  gtk_button_clicked (GTK_BUTTON (lock));
  g_assert_cmpfloat (get_seed (row), ==, 4711);
  g_object_set (row, "seed", 12.0, NULL);
  g_assert_true (gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (lock)));
}

static void
test_word_scale (Case *self, gconstpointer data)
{
  const SwittiWordPlace places[] = { { "little", "a little" }, { "some", "some" }, { "all", "all of it" } };
  g_autoptr (GtkWidget) scale = g_object_ref_sink (switti_word_scale_new (places, 3, "some"));
  g_autofree char *id = NULL;

  g_assert_cmpfloat (gtk_range_get_value (GTK_RANGE (scale)), ==, 1);
  g_object_set (scale, "id", "default", NULL);
  g_assert_cmpfloat (gtk_range_get_value (GTK_RANGE (scale)), ==, 1);
  switti_word_scale_set_otherwise (SWITTI_WORD_SCALE (scale), "all");
  g_assert_cmpfloat (gtk_range_get_value (GTK_RANGE (scale)), ==, 2);
  g_object_get (scale, "id", &id, NULL);
  g_assert_cmpstr (id, ==, "default");
  gtk_range_set_value (GTK_RANGE (scale), 0);
  g_free (id);
  g_object_get (scale, "id", &id, NULL);
  g_assert_cmpstr (id, ==, "little");
  g_assert_cmpstr (atk_object_get_description (gtk_widget_get_accessible (scale)), ==, "a little");
}

#define ADD(name, function) g_test_add ("/ui/" name, Case, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  gtk_test_init (&argc, &argv, NULL);
  ADD ("history/file", test_history);
  ADD ("history/forgets", test_history_forgets);
  ADD ("history/faults", test_history_faults);
  ADD ("history/keys", test_history_keys);
  ADD ("presets/file", test_presets);
  ADD ("presets/faults", test_presets_faults);
  ADD ("preferences/file", test_preferences);
  ADD ("models-page", test_models_page);
  ADD ("diagnostics", test_diagnostics);
  ADD ("curve/words", test_curve_words);
  ADD ("curve/keys", test_curve_keys);
  ADD ("curve/mouse", test_curve_mouse);
  ADD ("seed-row", test_seed_row);
  ADD ("word-scale", test_word_scale);
  return g_test_run ();
}
