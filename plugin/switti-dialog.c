/* switti-dialog.c - asks for the procedure's arguments
 *
 * Every widget is bound to a property of the config, so that GIMP's own buttons (reset, load and save settings) and
 * the last values work on it.
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-dialog.h"

#include "switti-default-spin.h"
#include "switti-model-chooser.h"
#include "switti-prompt-view.h"
#include "switti-settings.h"

#include <glib/gi18n.h>
#include <libgimp/gimpui.h>

#define SPACING 6
#define PROMPT_LINES 4
#define NEGATIVE_PROMPT_LINES 2
#define BOTH_WAYS (G_BINDING_BIDIRECTIONAL | G_BINDING_SYNC_CREATE)

static const char *
nick (GimpProcedureConfig *config, const char *property)
{
  return g_param_spec_get_nick (g_object_class_find_property (G_OBJECT_GET_CLASS (config), property));
}

static const char *
blurb (GimpProcedureConfig *config, const char *property)
{
  return g_param_spec_get_blurb (g_object_class_find_property (G_OBJECT_GET_CLASS (config), property));
}

/* A label that @focus, in or as @widget, is known by: to the eye, to its mnemonic and to a screen reader. */
static GtkWidget *
new_label (GimpProcedureConfig *config, const char *property, GtkWidget *widget, GtkWidget *focus)
{
  GtkWidget *label = gtk_label_new_with_mnemonic (nick (config, property));

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_mnemonic_widget (GTK_LABEL (label), focus);
  atk_object_set_name (gtk_widget_get_accessible (focus), gtk_label_get_text (GTK_LABEL (label)));
  gtk_widget_set_tooltip_text (widget, blurb (config, property));
  return label;
}

/* Below the last row of the left or right half of the grid. */
static void
attach_row (GtkGrid *grid, int half, GimpProcedureConfig *config, const char *property, GtkWidget *widget)
{
  GtkWidget *label = new_label (config, property, widget, widget);
  int row = 0;

  while (gtk_grid_get_child_at (grid, 2 * half, row))
    row++;
  /* Beside a widget of several lines the label stands at the first. */
  if (GTK_IS_BOX (widget))
    {
      gtk_widget_set_valign (label, GTK_ALIGN_START);
      gtk_widget_set_margin_top (label, SPACING);
    }
  if (half > 0)
    gtk_widget_set_margin_start (label, 2 * SPACING);
  gtk_widget_set_hexpand (widget, TRUE);
  gtk_grid_attach (grid, label, 2 * half, row, 1, 1);
  gtk_grid_attach (grid, widget, 2 * half + 1, row, 1, 1);
}

static GtkGrid *
new_grid (void)
{
  GtkGrid *grid = GTK_GRID (gtk_grid_new ());

  gtk_grid_set_row_spacing (grid, SPACING);
  gtk_grid_set_column_spacing (grid, 2 * SPACING);
  return grid;
}

static GtkWidget *
pack_prompt (GtkBox *box, GimpProcedureConfig *config, const char *property, int lines)
{
  GtkWidget *view = switti_prompt_view_new (nick (config, property), lines);
  GtkWidget *focus = switti_prompt_view_get_text_view (SWITTI_PROMPT_VIEW (view));

  g_object_bind_property (config, property, view, "text", BOTH_WAYS);
  gtk_box_pack_start (box, new_label (config, property, view, focus), FALSE, FALSE, 0);
  gtk_box_pack_start (box, view, TRUE, TRUE, 0);
  return focus;
}

/* A number whose lowest value, the property's default, reads as @word. */
static GtkWidget *
new_default_spin (GimpProcedureConfig *config, const char *property, double maximum, double step, const char *word)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (config), property);
  const GValue *value = g_param_spec_get_default_value (pspec);
  double lowest = G_IS_PARAM_SPEC_INT (pspec) ? g_value_get_int (value) : g_value_get_double (value);
  GtkWidget *spin = switti_default_spin_new (lowest, maximum, step, step < 1.0 ? 2 : 0, word);

  g_object_bind_property (config, property, spin, "value", BOTH_WAYS);
  return spin;
}

static GtkWidget *
new_main_grid (GimpProcedureConfig *config, GimpImage *image)
{
  GParamSpecDouble *seed = G_PARAM_SPEC_DOUBLE (g_object_class_find_property (G_OBJECT_GET_CLASS (config), "seed"));
  GtkGrid *grid = new_grid ();
  GtkWidget *model = switti_model_chooser_new ();

  g_object_bind_property (config, "model", model, "model", BOTH_WAYS);
  attach_row (grid, 0, config, "model", model);
  attach_row (grid, 0, config, "seed", new_default_spin (config, "seed", seed->maximum, 1.0, C_ ("seed", "Random")));
  attach_row (grid, 0, config, "count", gimp_prop_spin_button_new (G_OBJECT (config), "count", 1.0, 4.0, 0));
  if (image)
    attach_row (grid, 0, config, "output", gimp_prop_choice_combo_box_new (G_OBJECT (config), "output"));
  return GTK_WIDGET (grid);
}

static void
attach_knob (GtkGrid *grid, int half, GimpProcedureConfig *config, int index)
{
  const SwittiKnob *knob = &switti_knobs[index];
  double step = knob->is_integer ? 1.0 : knob->maximum > 10.0 ? 0.5 : 0.05;

  attach_row (grid, half, config, knob->name,
              new_default_spin (config, knob->name, knob->maximum, step, _ ("Model's default")));
}

/* In two columns, for screens of few lines. */
static GtkWidget *
new_sampling_expander (GimpProcedureConfig *config)
{
  GtkWidget *expander = gtk_expander_new_with_mnemonic (_ ("Samplin_g and device"));
  GtkGrid *grid = new_grid ();

  attach_knob (grid, 0, config, SWITTI_KNOB_GUIDANCE);
  attach_knob (grid, 0, config, SWITTI_KNOB_GUIDANCE_START);
  attach_knob (grid, 0, config, SWITTI_KNOB_GUIDANCE_END);
  attach_knob (grid, 0, config, SWITTI_KNOB_LAST_SCALE_TEMPERATURE);
  attach_knob (grid, 0, config, SWITTI_KNOB_TOP_K);
  attach_knob (grid, 0, config, SWITTI_KNOB_TOP_P);
  attach_row (grid, 1, config, "smooth", gimp_prop_choice_combo_box_new (G_OBJECT (config), "smooth"));
  attach_knob (grid, 1, config, SWITTI_KNOB_SMOOTH_START);
  attach_row (grid, 1, config, "batch", new_default_spin (config, "batch", 64.0, 1.0, _ ("As many as fit")));
  attach_row (grid, 1, config, "device", gimp_prop_entry_new (G_OBJECT (config), "device", -1));
  attach_row (grid, 1, config, "precision", gimp_prop_choice_combo_box_new (G_OBJECT (config), "precision"));
  gtk_widget_set_margin_top (GTK_WIDGET (grid), SPACING);
  gtk_widget_set_margin_start (GTK_WIDGET (grid), 2 * SPACING);
  gtk_container_add (GTK_CONTAINER (expander), GTK_WIDGET (grid));
  /* Closing the expander gives its room back. */
  gtk_expander_set_resize_toplevel (GTK_EXPANDER (expander), TRUE);
  return expander;
}

/* Without a prompt there is nothing to generate. */
static void
prompt_changed (GimpProcedureConfig *config, GParamSpec *pspec, GtkDialog *dialog)
{
  g_autofree char *prompt = NULL;

  g_object_get (config, "prompt", &prompt, NULL);
  gtk_dialog_set_response_sensitive (dialog, GTK_RESPONSE_OK, prompt && *g_strstrip (prompt));
}

gboolean
switti_dialog_run (GimpProcedure *procedure, GimpProcedureConfig *config, GimpImage *image)
{
  GtkWidget *dialog, *box, *prompt;
  gboolean go_on;

  gimp_ui_init (gimp_procedure_get_name (procedure));
  dialog = gimp_procedure_dialog_new (procedure, config, _ ("Generate with Switti"));
  gimp_procedure_dialog_set_ok_label (GIMP_PROCEDURE_DIALOG (dialog), _ ("_Generate"));

  box = gtk_box_new (GTK_ORIENTATION_VERTICAL, SPACING);
  prompt = pack_prompt (GTK_BOX (box), config, "prompt", PROMPT_LINES);
  pack_prompt (GTK_BOX (box), config, "negative-prompt", NEGATIVE_PROMPT_LINES);
  gtk_box_pack_start (GTK_BOX (box), new_main_grid (config, image), FALSE, FALSE, SPACING);
  gtk_box_pack_start (GTK_BOX (box), new_sampling_expander (config), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (gtk_dialog_get_content_area (GTK_DIALOG (dialog))), box, TRUE, TRUE, 0);
  gtk_widget_show_all (box);

  g_signal_connect_object (config, "notify::prompt", G_CALLBACK (prompt_changed), dialog, 0);
  prompt_changed (config, NULL, GTK_DIALOG (dialog));
  gtk_widget_grab_focus (prompt);
  go_on = gimp_procedure_dialog_run (GIMP_PROCEDURE_DIALOG (dialog));
  gtk_widget_destroy (dialog);
  return go_on;
}
