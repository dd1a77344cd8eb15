/* switti-dialog-controls.c - the dialog's left column: everything that is to be set
 *
 * Every widget is bound to a property of the config, so that GIMP's own buttons (reset, load and save settings) and
 * the last values work on it.
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-dialog-private.h"

#include "switti-default-spin.h"
#include "switti-favourites.h"
#include "switti-prompt-view.h"

#include <glib/gi18n.h>

#define SPACING SWITTI_DIALOG_SPACING
#define PROMPT_LINES 3
#define NEGATIVE_PROMPT_LINES 2
#define COLUMN_WIDTH 430
#define WORDS_WIDTH_CHARS 46
#define BOTH_WAYS (G_BINDING_BIDIRECTIONAL | G_BINDING_SYNC_CREATE)

/* What a favourite holds: how to paint, and not where and how fast. */
static const char *const favourite_properties[] = {
  "prompt", "negative-prompt", "model", "seed", "count", "smooth", "guidance", "top-k", "top-p", "smooth-start",
  "guidance-start", "guidance-end", "last-scale-temperature", "mode", "strength", "keep-scales", "grow", "feather",
  "context", NULL,
};

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

GtkWidget *
switti_dialog_new_label (GimpProcedureConfig *config, const char *property, GtkWidget *widget, GtkWidget *focus)
{
  GtkWidget *label = gtk_label_new_with_mnemonic (nick (config, property));

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_mnemonic_widget (GTK_LABEL (label), focus);
  atk_object_set_name (gtk_widget_get_accessible (focus), gtk_label_get_text (GTK_LABEL (label)));
  gtk_widget_set_tooltip_text (widget, blurb (config, property));
  return label;
}

void
switti_dialog_attach (GtkGrid *grid, SwittiDialog *self, const char *property, GtkWidget *widget, GtkWidget *focus)
{
  GtkWidget *label = switti_dialog_new_label (self->config, property, widget, focus);
  int row = 0;

  while (gtk_grid_get_child_at (grid, 0, row))
    row++;
  /* Beside a widget of several lines the label stands at the first. */
  if (SWITTI_IS_MODEL_CHOOSER (widget))
    {
      gtk_widget_set_valign (label, GTK_ALIGN_START);
      gtk_widget_set_margin_top (label, SPACING);
    }
  gtk_size_group_add_widget (self->labels, label);
  gtk_widget_set_hexpand (widget, TRUE);
  gtk_grid_attach (grid, label, 0, row, 1, 1);
  gtk_grid_attach (grid, widget, 1, row, 1, 1);
}

static GtkGrid *
new_grid (void)
{
  GtkGrid *grid = GTK_GRID (gtk_grid_new ());

  gtk_grid_set_row_spacing (grid, SPACING);
  gtk_grid_set_column_spacing (grid, 2 * SPACING);
  return grid;
}

/* @beside, if any, stands at the right of the label. */
static GtkWidget *
pack_prompt (GtkBox *box, SwittiDialog *self, const char *property, int lines, GtkWidget *beside)
{
  GtkWidget *view = switti_prompt_view_new (nick (self->config, property), lines);
  GtkWidget *focus = switti_prompt_view_get_text_view (SWITTI_PROMPT_VIEW (view));
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);

  g_object_bind_property (self->config, property, view, "text", BOTH_WAYS);
  gtk_box_pack_start (GTK_BOX (row), switti_dialog_new_label (self->config, property, view, focus), TRUE, TRUE, 0);
  if (beside)
    gtk_box_pack_start (GTK_BOX (row), beside, FALSE, FALSE, 0);
  gtk_box_pack_start (box, row, FALSE, FALSE, 0);
  gtk_box_pack_start (box, view, FALSE, FALSE, 0);
  return view;
}

GtkWidget *
switti_dialog_new_default_spin (GimpProcedureConfig *config, const char *property, double maximum, double step,
                                const char *word)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (config), property);
  const GValue *value = g_param_spec_get_default_value (pspec);
  double lowest = G_IS_PARAM_SPEC_INT (pspec) ? g_value_get_int (value) : g_value_get_double (value);
  GtkWidget *spin = switti_default_spin_new (lowest, maximum, step, step < 1.0 ? 2 : 0, word);

  g_object_bind_property (config, property, spin, "value", BOTH_WAYS);
  return spin;
}

static void
attach_knob (GtkGrid *grid, SwittiDialog *self, int index)
{
  const SwittiKnob *knob = &switti_knobs[index];
  double step = knob->is_integer ? 1.0 : knob->maximum > 10.0 ? 0.5 : 0.05;
  GtkWidget *spin = switti_dialog_new_default_spin (self->config, knob->name, knob->maximum, step,
                                                    _ ("Model's default"));

  switti_dialog_attach (grid, self, knob->name, spin, spin);
}

static void
attach_seed (GtkGrid *grid, SwittiDialog *self)
{
  GObjectClass *config_class = G_OBJECT_GET_CLASS (self->config);
  GParamSpecDouble *seed = G_PARAM_SPEC_DOUBLE (g_object_class_find_property (config_class, "seed"));
  GtkWidget *row = switti_seed_row_new (seed->maximum);

  self->seed = SWITTI_SEED_ROW (row);
  g_object_bind_property (self->config, "seed", row, "seed", BOTH_WAYS);
  switti_dialog_attach (grid, self, "seed", row, switti_seed_row_get_spin (self->seed));
}

static void
attach_count (GtkGrid *grid, SwittiDialog *self)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 2 * SPACING);
  GtkWidget *spin = gimp_prop_spin_button_new (G_OBJECT (self->config), "count", 1.0, 4.0, 0);
  GtkWidget *sketch = gtk_check_button_new_with_mnemonic (_ ("Contact s_heet"));

  self->sketch = GTK_TOGGLE_BUTTON (sketch);
  gtk_widget_set_tooltip_text (sketch, _ ("Paint the pictures up to the middle scale only, where the composition is "
                                          "seen; then pick some from the strip and finish those"));
  gtk_box_pack_start (GTK_BOX (row), spin, TRUE, TRUE, 0);
  gtk_box_pack_start (GTK_BOX (row), sketch, FALSE, FALSE, 0);
  switti_dialog_attach (grid, self, "count", row, spin);
}

static void
attach_model (GtkGrid *grid, SwittiDialog *self)
{
  GtkWidget *chooser = switti_model_chooser_new ();

  self->models = SWITTI_MODEL_CHOOSER (chooser);
  g_object_bind_property (self->config, "model", chooser, "model", BOTH_WAYS);
  switti_dialog_attach (grid, self, "model", chooser, chooser);
  /* The chooser names its list itself. */
  atk_object_set_name (gtk_widget_get_accessible (chooser), "");
}

/* -- sampling ------------------------------------------------------------------------------------------------ */

/* What the model has in place of -1, read from a request of its own. */
static void
show_defaults (SwittiDialog *self)
{
  SwittiBundle *bundle = switti_model_chooser_get_bundle (self->models);
  g_autoptr (SwittiRequest) request = NULL;
  SwittiScaleDefaults defaults;

  if (!bundle)
    return;
  request = switti_request_new (bundle);
  defaults.n_scales = switti_bundle_get_n_scales (bundle);
  g_object_get (request, "smooth", &defaults.smooth, "smooth-start", &defaults.smooth_start, "guidance-start",
                &defaults.guidance_start, "guidance-end", &defaults.guidance_end, "last-scale-temperature",
                &defaults.last_scale_temperature, NULL);
  switti_scale_curve_set_defaults (self->curve, &defaults);
}

static void
show_smooth (SwittiDialog *self)
{
  switti_scale_curve_set_smooth (self->curve, gimp_procedure_config_get_choice_id (self->config, "smooth"));
}

static GtkWidget *
new_curve (SwittiDialog *self)
{
  static const char *const properties[] = { "smooth-start", "guidance-start", "guidance-end",
                                            "last-scale-temperature" };
  GtkWidget *curve = switti_scale_curve_new ();

  self->curve = SWITTI_SCALE_CURVE (curve);
  for (gsize i = 0; i < G_N_ELEMENTS (properties); i++)
    g_object_bind_property (self->config, properties[i], curve, properties[i], BOTH_WAYS);
  g_signal_connect_swapped (self->models, "notify::bundle", G_CALLBACK (show_defaults), self);
  g_signal_connect_swapped (self->config, "notify::smooth", G_CALLBACK (show_smooth), self);
  show_defaults (self);
  show_smooth (self);
  return curve;
}

static GtkWidget *
new_words (SwittiDialog *self)
{
  GtkWidget *label = gtk_label_new (NULL);

  gtk_label_set_line_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_max_width_chars (GTK_LABEL (label), WORDS_WIDTH_CHARS);
  gtk_style_context_add_class (gtk_widget_get_style_context (label), GTK_STYLE_CLASS_DIM_LABEL);
  g_object_bind_property (self->curve, "words", label, "label", G_BINDING_SYNC_CREATE);
  return label;
}

static void
reset_sampling (SwittiDialog *self)
{
  g_object_set (self->config, "smooth", "default", NULL);
  for (int i = 0; i < SWITTI_N_KNOBS; i++)
    {
      const SwittiKnob *knob = &switti_knobs[i];

      if (knob->is_integer)
        g_object_set (self->config, knob->name, -1, NULL);
      else
        g_object_set (self->config, knob->name, -1.0, NULL);
    }
}

static GtkWidget *
new_expander (const char *label, GtkWidget *child)
{
  GtkWidget *expander = gtk_expander_new_with_mnemonic (label);

  gtk_widget_set_margin_top (child, SPACING);
  gtk_widget_set_margin_start (child, 2 * SPACING);
  gtk_container_add (GTK_CONTAINER (expander), child);
  return expander;
}

static GtkWidget *
new_sampling_expander (SwittiDialog *self)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, SPACING);
  GtkWidget *reset = gtk_button_new_with_mnemonic (_ ("Model's _defaults"));
  GtkGrid *grid = new_grid ();
  GtkWidget *smooth = gimp_prop_choice_combo_box_new (G_OBJECT (self->config), "smooth");

  gtk_widget_set_tooltip_text (reset, _ ("Set the curve, the guidance and all numbers to what the model's authors "
                                         "chose"));
  gtk_widget_set_halign (reset, GTK_ALIGN_END);
  g_signal_connect_swapped (reset, "clicked", G_CALLBACK (reset_sampling), self);
  switti_dialog_attach (grid, self, "smooth", smooth, smooth);
  gtk_box_pack_start (GTK_BOX (box), new_curve (self), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (box), new_words (self), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (box), GTK_WIDGET (grid), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (box), reset, FALSE, FALSE, 0);
  return new_expander (_ ("Samplin_g"), box);
}

static GtkWidget *
new_numbers_expander (SwittiDialog *self)
{
  GtkGrid *grid = new_grid ();
  GtkWidget *batch = switti_dialog_new_default_spin (self->config, "batch", 64.0, 1.0, _ ("As many as fit"));
  GtkWidget *device = gimp_prop_entry_new (G_OBJECT (self->config), "device", -1);
  GtkWidget *precision = gimp_prop_choice_combo_box_new (G_OBJECT (self->config), "precision");
  GtkWidget *memory = gimp_prop_choice_combo_box_new (G_OBJECT (self->config), "memory");

  attach_knob (grid, self, SWITTI_KNOB_GUIDANCE_START);
  attach_knob (grid, self, SWITTI_KNOB_GUIDANCE_END);
  attach_knob (grid, self, SWITTI_KNOB_SMOOTH_START);
  attach_knob (grid, self, SWITTI_KNOB_LAST_SCALE_TEMPERATURE);
  attach_knob (grid, self, SWITTI_KNOB_TOP_K);
  attach_knob (grid, self, SWITTI_KNOB_TOP_P);
  switti_dialog_attach (grid, self, "batch", batch, batch);
  switti_dialog_attach (grid, self, "device", device, device);
  switti_dialog_attach (grid, self, "precision", precision, precision);
  switti_dialog_attach (grid, self, "memory", memory, memory);
  return new_expander (_ ("All n_umbers, and the device"), GTK_WIDGET (grid));
}

/* -- the column ---------------------------------------------------------------------------------------------- */

static GtkWidget *
new_top_buttons (SwittiDialog *self)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);

  gtk_box_pack_start (GTK_BOX (row),
                      switti_favourites_new (self->presets, G_OBJECT (self->config), favourite_properties), FALSE,
                      FALSE, 0);
  gtk_box_pack_start (GTK_BOX (row), switti_dialog_new_menu_button (self), FALSE, FALSE, 0);
  return row;
}

GtkWidget *
switti_dialog_new_controls (SwittiDialog *self)
{
  GtkWidget *scrolled = gtk_scrolled_window_new (NULL, NULL);
  GtkWidget *column = gtk_box_new (GTK_ORIENTATION_VERTICAL, SPACING);
  GtkBox *box = GTK_BOX (column);
  GtkGrid *grid = new_grid ();
  GtkWidget *prompt;

  gtk_box_pack_start (box, switti_dialog_new_start (self), FALSE, FALSE, 0);
  prompt = pack_prompt (box, self, "prompt", PROMPT_LINES, new_top_buttons (self));
  switti_prompt_view_set_history (SWITTI_PROMPT_VIEW (prompt), self->history);
  self->prompt = switti_prompt_view_get_text_view (SWITTI_PROMPT_VIEW (prompt));
  pack_prompt (box, self, "negative-prompt", NEGATIVE_PROMPT_LINES, NULL);
  attach_model (grid, self);
  attach_seed (grid, self);
  attach_count (grid, self);
  attach_knob (grid, self, SWITTI_KNOB_GUIDANCE);
  gtk_box_pack_start (box, GTK_WIDGET (grid), FALSE, FALSE, SPACING);
  gtk_box_pack_start (box, new_sampling_expander (self), FALSE, FALSE, 0);
  gtk_box_pack_start (box, new_numbers_expander (self), FALSE, FALSE, 0);

  gtk_widget_set_margin_end (column, 2 * SPACING);
  gtk_container_add (GTK_CONTAINER (scrolled), column);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (scrolled), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  gtk_widget_set_size_request (scrolled, COLUMN_WIDTH, -1);
  return scrolled;
}
