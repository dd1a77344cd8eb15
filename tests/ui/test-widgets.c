/* test-widgets.c - the GTK widgets of the plug-in, on a display
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-default-spin.h"
#include "switti-model-chooser.h"
#include "switti-prompt-view.h"
#include "widget-search.h"

static void
count_call (int *count)
{
  (*count)++;
}

static const char *
accessible_name (GtkWidget *widget)
{
  return atk_object_get_name (gtk_widget_get_accessible (widget));
}

static void
test_prompt_view (void)
{
  g_autoptr (GtkWidget) view = g_object_ref_sink (switti_prompt_view_new ("Prompt", 3));
  GtkWidget *focus = switti_prompt_view_get_text_view (SWITTI_PROMPT_VIEW (view));
  GtkTextBuffer *buffer = gtk_text_view_get_buffer (GTK_TEXT_VIEW (focus));
  g_autofree char *text = NULL;
  GtkTextIter cursor;
  int n_notified = 0;

  g_assert_cmpstr (accessible_name (focus), ==, "Prompt");
  g_assert_true (gtk_widget_get_can_focus (focus));
  g_signal_connect_swapped (view, "notify::text", G_CALLBACK (count_call), &n_notified);

  gtk_text_buffer_insert_at_cursor (buffer, "a cät,\nflat", -1);
  g_assert_cmpint (n_notified, ==, 1);
  g_object_get (view, "text", &text, NULL);
  g_assert_cmpstr (text, ==, "a cät,\nflat");

  /* The same text again must not move the cursor. */
  gtk_text_buffer_get_iter_at_offset (buffer, &cursor, 3);
  gtk_text_buffer_place_cursor (buffer, &cursor);
  g_object_set (view, "text", "a cät,\nflat", NULL);
  gtk_text_buffer_get_iter_at_mark (buffer, &cursor, gtk_text_buffer_get_insert (buffer));
  g_assert_cmpint (gtk_text_iter_get_offset (&cursor), ==, 3);

  /* From Python an empty string comes as NULL. */
  g_object_set (view, "text", NULL, NULL);
  g_free (text);
  text = switti_prompt_view_get_text (SWITTI_PROMPT_VIEW (view));
  g_assert_cmpstr (text, ==, "");
}

static void
test_prompt_view_tab (void)
{
  g_autoptr (GtkWidget) view = g_object_ref_sink (switti_prompt_view_new ("Prompt", 3));

  g_assert_false (
      gtk_text_view_get_accepts_tab (GTK_TEXT_VIEW (switti_prompt_view_get_text_view (SWITTI_PROMPT_VIEW (view)))));
}

static void
type_text (GtkSpinButton *spin, const char *text)
{
  gtk_entry_set_text (GTK_ENTRY (spin), text);
  gtk_spin_button_update (spin);
}

static void
test_default_spin (void)
{
  g_autoptr (GtkWidget) widget = g_object_ref_sink (switti_default_spin_new (-1.0, 100.0, 0.5, 2, "Model's default"));
  GtkSpinButton *spin = GTK_SPIN_BUTTON (widget);

  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, -1.0);
  g_assert_cmpstr (gtk_entry_get_text (GTK_ENTRY (spin)), ==, "Model's default");

  gtk_spin_button_set_value (spin, 6.0);
  g_assert_cmpstr (gtk_entry_get_text (GTK_ENTRY (spin)), ==, "6.00");
  type_text (spin, " model's DEFAULT ");
  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, -1.0);
  g_assert_cmpstr (gtk_entry_get_text (GTK_ENTRY (spin)), ==, "Model's default");
  type_text (spin, "2.5");
  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, 2.5);
  type_text (spin, "");
  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, -1.0);
  type_text (spin, "1000");
  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, 100.0);
  /* What is no number leaves the value. */
  type_text (spin, "plenty");
  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, 100.0);
}

static void
test_default_spin_steps (void)
{
  g_autoptr (GtkWidget) widget = g_object_ref_sink (switti_default_spin_new (-1.0, 1.0, 0.05, 2, "Default"));
  GtkSpinButton *spin = GTK_SPIN_BUTTON (widget);

  gtk_spin_button_spin (spin, GTK_SPIN_STEP_FORWARD, 0.05);
  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, 0.0);
  gtk_spin_button_spin (spin, GTK_SPIN_STEP_FORWARD, 0.05);
  g_assert_cmpfloat_with_epsilon (gtk_spin_button_get_value (spin), 0.05, 1e-12);
  gtk_spin_button_spin (spin, GTK_SPIN_PAGE_BACKWARD, 0.5);
  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, -1.0);
  g_assert_cmpstr (gtk_entry_get_text (GTK_ENTRY (spin)), ==, "Default");
}

/* The numbers start one above the default, wherever that is. */
static void
test_default_spin_zero (void)
{
  g_autoptr (GtkWidget) widget = g_object_ref_sink (switti_default_spin_new (0.0, 64.0, 1.0, 0, "All"));
  GtkSpinButton *spin = GTK_SPIN_BUTTON (widget);

  g_assert_cmpstr (gtk_entry_get_text (GTK_ENTRY (spin)), ==, "All");
  gtk_spin_button_spin (spin, GTK_SPIN_STEP_FORWARD, 1.0);
  g_assert_cmpstr (gtk_entry_get_text (GTK_ENTRY (spin)), ==, "1");
  type_text (spin, "all");
  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, 0.0);
}

/* A seed of 2^53 is shown and kept to the last digit. */
static void
test_default_spin_large (void)
{
  const double maximum = 9007199254740992.0;
  g_autoptr (GtkWidget) widget = g_object_ref_sink (switti_default_spin_new (-1.0, maximum, 1.0, 0, "Random"));
  GtkSpinButton *spin = GTK_SPIN_BUTTON (widget);

  type_text (spin, "9007199254740991");
  g_assert_cmpfloat (gtk_spin_button_get_value (spin), ==, 9007199254740991.0);
  g_assert_cmpstr (gtk_entry_get_text (GTK_ENTRY (spin)), ==, "9007199254740991");
}

static void
test_model_chooser (void)
{
  g_autoptr (GtkWidget) chooser = g_object_ref_sink (switti_model_chooser_new ());
  GtkWidget *combo = find_widget (chooser, GTK_TYPE_COMBO_BOX);
  GtkWidget *summary = find_widget (chooser, GTK_TYPE_LABEL);
  g_autofree char *model = NULL;

  g_assert_cmpstr (accessible_name (combo), ==, "Model");
  g_object_get (chooser, "model", &model, NULL);
  g_assert_cmpstr (model, ==, "");
  g_assert_nonnull (strstr (gtk_label_get_text (GTK_LABEL (summary)), "256 × 256"));

  /* The default model by its name is the same row, and the name stays what was asked for. */
  g_object_set (chooser, "model", "icons", NULL);
  g_assert_cmpstr (gtk_combo_box_get_active_id (GTK_COMBO_BOX (combo)), ==, "");
  g_clear_pointer (&model, g_free);
  g_object_get (chooser, "model", &model, NULL);
  g_assert_cmpstr (model, ==, "icons");

  /* A model that is gone is shown, with the reason why it cannot be used. */
  g_object_set (chooser, "model", "no-such-model", NULL);
  g_assert_cmpstr (gtk_combo_box_get_active_id (GTK_COMBO_BOX (combo)), ==, "no-such-model");
  g_assert_nonnull (strstr (gtk_label_get_text (GTK_LABEL (summary)), "no-such-model"));

  gtk_combo_box_set_active_id (GTK_COMBO_BOX (combo), "");
  g_clear_pointer (&model, g_free);
  g_object_get (chooser, "model", &model, NULL);
  g_assert_cmpstr (model, ==, "");
  g_assert_nonnull (strstr (gtk_label_get_text (GTK_LABEL (summary)), "256 × 256"));

  g_object_set (chooser, "model", NULL, NULL);
  g_clear_pointer (&model, g_free);
  g_object_get (chooser, "model", &model, NULL);
  g_assert_cmpstr (model, ==, "");
}

int
main (int argc, char **argv)
{
  gtk_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ui/prompt-view/text", test_prompt_view);
  g_test_add_func ("/ui/prompt-view/tab", test_prompt_view_tab);
  g_test_add_func ("/ui/default-spin/word", test_default_spin);
  g_test_add_func ("/ui/default-spin/steps", test_default_spin_steps);
  g_test_add_func ("/ui/default-spin/zero", test_default_spin_zero);
  g_test_add_func ("/ui/default-spin/large", test_default_spin_large);
  g_test_add_func ("/ui/model-chooser", test_model_chooser);
  return g_test_run ();
}
