/* switti-preferences-page.c - where to compute, and with how much memory
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-preferences-page.h"

#include "switti-default-spin.h"
#include "switti-diagnostics.h"

#include <glib/gi18n-lib.h>

#define SPACING 6
#define WIDTH 520
#define MAX_BATCH 64.0
#define BOTH_WAYS (G_BINDING_BIDIRECTIONAL | G_BINDING_SYNC_CREATE)

static void
attach (GtkGrid *grid, int row, const char *label_text, GtkWidget *widget, const char *tooltip)
{
  GtkWidget *label = gtk_label_new_with_mnemonic (label_text);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_mnemonic_widget (GTK_LABEL (label), widget);
  atk_object_set_name (gtk_widget_get_accessible (widget), gtk_label_get_text (GTK_LABEL (label)));
  gtk_widget_set_tooltip_text (widget, tooltip);
  gtk_widget_set_hexpand (widget, TRUE);
  gtk_grid_attach (grid, label, 0, row, 1, 1);
  gtk_grid_attach (grid, widget, 1, row, 1, 1);
}

static GtkWidget *
new_device_combo (SwittiPreferences *preferences)
{
  GtkWidget *combo = gtk_combo_box_text_new_with_entry ();
  GtkWidget *entry = gtk_bin_get_child (GTK_BIN (combo));

  gtk_combo_box_text_append_text (GTK_COMBO_BOX_TEXT (combo), "auto");
  gtk_combo_box_text_append_text (GTK_COMBO_BOX_TEXT (combo), "cpu");
  gtk_combo_box_text_append_text (GTK_COMBO_BOX_TEXT (combo), "cuda");
  atk_object_set_name (gtk_widget_get_accessible (entry), _ ("Device"));
  g_object_bind_property (preferences, "device", entry, "text", BOTH_WAYS);
  return combo;
}

static GtkWidget *
new_precision_combo (SwittiPreferences *preferences)
{
  GtkWidget *combo = gtk_combo_box_text_new ();

  gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (combo), "auto", _ ("Automatic"));
  gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (combo), "f32", _ ("32 bits"));
  gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (combo), "bf16", _ ("16 bits"));
  g_object_bind_property (preferences, "precision", combo, "active-id", BOTH_WAYS);
  return combo;
}

static GtkWidget *
new_memory_combo (SwittiPreferences *preferences)
{
  GtkWidget *combo = gtk_combo_box_text_new ();

  gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (combo), "auto", _ ("Automatic"));
  gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (combo), "low", _ ("Little"));
  g_object_bind_property (preferences, "memory", combo, "active-id", BOTH_WAYS);
  return combo;
}

static void
diagnostics_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GtkWidget) button = user_data;
  g_autofree char *text = switti_diagnostics_collect_finish (result, NULL);

  /* The page may be gone: its destruction has cancelled this. */
  if (!text)
    return;
  gtk_clipboard_set_text (gtk_widget_get_clipboard (button, GDK_SELECTION_CLIPBOARD), text, -1);
  gtk_widget_set_sensitive (button, TRUE);
  gtk_button_set_label (GTK_BUTTON (button), _ ("Diagnostics copied"));
}

static void
copy_diagnostics (GtkWidget *button, SwittiPreferences *preferences)
{
  GCancellable *cancellable = g_cancellable_new ();
  g_autofree char *device = NULL;

  g_object_get (preferences, "device", &device, NULL);
  gtk_widget_set_sensitive (button, FALSE);
  gtk_button_set_label (GTK_BUTTON (button), _ ("Reading the models…"));
  g_signal_connect_object (button, "destroy", G_CALLBACK (g_cancellable_cancel), cancellable, G_CONNECT_SWAPPED);
  g_object_set_data_full (G_OBJECT (button), "cancellable", cancellable, g_object_unref);
  switti_diagnostics_collect_async (g_object_get_data (G_OBJECT (button), "host"), device, cancellable,
                                    diagnostics_ready, g_object_ref (button));
}

static GtkWidget *
new_diagnostics_button (SwittiPreferences *preferences, const char *host)
{
  GtkWidget *button = gtk_button_new_with_mnemonic (_ ("Cop_y diagnostics"));

  gtk_widget_set_halign (button, GTK_ALIGN_START);
  gtk_widget_set_tooltip_text (button, _ ("Versions, the device and the models with their hashes, for a report of a "
                                          "fault; no prompt, no name of yours and no folder"));
  g_object_set_data_full (G_OBJECT (button), "host", g_strdup (host), g_free);
  g_signal_connect_object (button, "clicked", G_CALLBACK (copy_diagnostics), preferences, 0);
  return button;
}

GtkWidget *
switti_preferences_page_new (SwittiPreferences *preferences, const char *host)
{
  GtkWidget *page = gtk_grid_new ();
  GtkGrid *grid = GTK_GRID (page);
  GtkWidget *batch = switti_default_spin_new (0.0, MAX_BATCH, 1.0, 0, _ ("As many as fit"));
  GtkWidget *keep = gtk_check_button_new_with_mnemonic (_ ("Keep the model in memor_y between pictures"));
  GtkWidget *diagnostics = new_diagnostics_button (preferences, host);

  g_return_val_if_fail (SWITTI_IS_PREFERENCES (preferences), NULL);

  gtk_widget_set_halign (page, GTK_ALIGN_START);
  gtk_widget_set_size_request (page, WIDTH, -1);
  gtk_grid_set_row_spacing (grid, SPACING);
  gtk_grid_set_column_spacing (grid, 2 * SPACING);
  g_object_bind_property (preferences, "batch", batch, "value", BOTH_WAYS);
  g_object_bind_property (preferences, "keep-loaded", keep, "active", BOTH_WAYS);
  attach (grid, 0, _ ("De_vice"), new_device_combo (preferences),
          _ ("Where to compute: auto, cpu, cuda, or cuda:N for the GPU number N"));
  attach (grid, 1, _ ("_Precision"), new_precision_combo (preferences),
          _ ("What to compute in; 16 bits take half the memory"));
  attach (grid, 2, _ ("_Memory"), new_memory_combo (preferences),
          _ ("How much of the device's memory to take; little is slower, for a GPU that has little; the pictures are "
             "the same"));
  attach (grid, 3, _ ("Pictures _at once"), batch,
          _ ("How many pictures to paint at once; the pictures are the same, only memory and time differ"));
  gtk_widget_set_tooltip_text (keep, _ ("The next picture begins sooner; without, the memory is free while nothing is "
                                        "painted"));
  gtk_grid_attach (grid, keep, 0, 4, 2, 1);
  gtk_widget_set_margin_top (diagnostics, 2 * SPACING);
  gtk_grid_attach (grid, diagnostics, 0, 5, 2, 1);
  gtk_widget_show_all (page);
  return page;
}
