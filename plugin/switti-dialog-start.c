/* switti-dialog-start.c - the dialog's controls of what a painting starts from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-dialog-private.h"

#include "switti-canvas.h"
#include "switti-recipe-private.h"
#include "switti-word-scale.h"

#include <glib/gi18n.h>

#define SPACING SWITTI_DIALOG_SPACING
#define MAX_SCALE 64.0
#define MAX_SEED 9007199254740992.0 /* as the argument has it */
#define BOTH_WAYS (G_BINDING_BIDIRECTIONAL | G_BINDING_SYNC_CREATE)

static SwittiMode
get_mode (SwittiDialog *self)
{
  return (SwittiMode) gimp_procedure_config_get_choice_id (self->config, "mode");
}

/* -- strength ------------------------------------------------------------------------------------------------ */

static void
set_strength_default (GimpProcedureConfig *config, GParamSpec *pspec, SwittiWordScale *scale)
{
  gboolean fill = gimp_procedure_config_get_choice_id (config, "mode") == SWITTI_MODE_FILL;

  /* What switti_strength_keep_scales() takes the default for. */
  switti_word_scale_set_otherwise (scale, fill ? "anew" : "composition");
}

static GtkWidget *
new_strength (SwittiDialog *self)
{
  const SwittiWordPlace places[] = {
    { "detail", _ ("Only the detail is new") }, { "composition", _ ("Same composition") },
    { "layout", _ ("Similar layout") },         { "idea", _ ("Same idea") },
    { "anew", _ ("All new") },
  };
  GtkWidget *scale = switti_word_scale_new (places, G_N_ELEMENTS (places), "composition");

  g_object_bind_property (self->config, "strength", scale, "id", BOTH_WAYS);
  g_signal_connect_object (self->config, "notify::mode", G_CALLBACK (set_strength_default), scale, 0);
  set_strength_default (self->config, NULL, SWITTI_WORD_SCALE (scale));
  return scale;
}

/* The composition stays, and the words are to change. */
static void
swap_prompt (SwittiDialog *self)
{
  g_object_set (self->config, "strength", "composition", "keep-scales", -1, NULL);
  gtk_widget_grab_focus (self->prompt);
}

static void
redo_detail (SwittiDialog *self)
{
  g_object_set (self->config, "strength", "detail", "keep-scales", -1, "seed", -1.0, NULL);
  switti_dialog_generate (self);
}

static GtkWidget *
new_button (const char *label, const char *tooltip, GCallback callback, SwittiDialog *self)
{
  GtkWidget *button = gtk_button_new_with_mnemonic (label);

  gtk_widget_set_tooltip_text (button, tooltip);
  g_signal_connect_swapped (button, "clicked", callback, self);
  return button;
}

static GtkWidget *
new_variation_buttons (SwittiDialog *self)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);

  gtk_box_pack_start (GTK_BOX (row),
                      new_button (_ ("Same composition, other _words"),
                                  _ ("Lock the composition, and write another prompt"), G_CALLBACK (swap_prompt), self),
                      FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (row),
                      new_button (_ ("_Redo the detail"), _ ("Paint only the finest scales anew, at once"),
                                  G_CALLBACK (redo_detail), self),
                      FALSE, FALSE, 0);
  return row;
}

/* -- what belongs to a mode ---------------------------------------------------------------------------------- */

static void
attach_number (GtkGrid *grid, SwittiDialog *self, const char *property, double step, double page, int digits)
{
  GtkWidget *spin = gimp_prop_spin_button_new (G_OBJECT (self->config), property, step, page, digits);

  switti_dialog_attach (grid, self, property, spin, spin);
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
new_filling (SwittiDialog *self)
{
  GtkGrid *grid = new_grid ();

  attach_number (grid, self, "grow", 1.0, 10.0, 0);
  attach_number (grid, self, "feather", 1.0, 10.0, 1);
  attach_number (grid, self, "context", 5.0, 25.0, 0);
  return GTK_WIDGET (grid);
}

static GtkWidget *
new_keeping (SwittiDialog *self)
{
  GtkGrid *grid = new_grid ();
  GtkWidget *strength = new_strength (self);
  GtkWidget *keep = switti_dialog_new_default_spin (self->config, "keep-scales", MAX_SCALE, 1.0,
                                                    C_ ("keep scales", "By strength"));

  switti_dialog_attach (grid, self, "strength", strength, strength);
  switti_dialog_attach (grid, self, "keep-scales", keep, keep);
  return GTK_WIDGET (grid);
}

typedef struct
{
  SwittiDialog *dialog;
  GtkWidget *keeping, *variation, *filling;
} Parts;

static void
show_parts (GtkWidget *box)
{
  const Parts *parts = g_object_get_data (G_OBJECT (box), "parts");
  SwittiMode mode = get_mode (parts->dialog);

  gtk_widget_set_visible (parts->keeping, mode != SWITTI_MODE_NEW);
  gtk_widget_set_visible (parts->variation, mode == SWITTI_MODE_VARIATION);
  gtk_widget_set_visible (parts->filling, mode == SWITTI_MODE_FILL);
}

static void
pack_hidden (GtkWidget *box, GtkWidget *child)
{
  gtk_box_pack_start (GTK_BOX (box), child, FALSE, FALSE, 0);
  gtk_widget_show_all (child);
  gtk_widget_set_no_show_all (child, TRUE);
}

/* -- recipes ------------------------------------------------------------------------------------------------- */

/* What a recipe says of one property of the config that is a parameter too. */
static void
copy_parameter (SwittiRequest *request, GObject *config, const char *property)
{
  g_auto (GValue) value = G_VALUE_INIT;
  g_auto (GValue) converted = G_VALUE_INIT;
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (config), property);

  g_object_get_property (G_OBJECT (request), property, &value);
  g_value_init (&converted, pspec->value_type);
  if (!g_value_transform (&value, &converted))
    g_return_if_reached ();
  g_param_value_validate (pspec, &converted);
  g_object_set_property (config, property, &converted);
}

/* All that can be seen in the dialog; what cannot, such as the source of a filling, stays with the recipe that the
 * arguments name. */
static gboolean
show_recipe (SwittiDialog *self, const char *recipe, GError **error)
{
  static const char *const strings[] = { "prompt", "negative-prompt" };
  g_autoptr (SwittiRequest) request = switti_request_new (switti_model_chooser_get_bundle (self->models));
  gboolean smooth;
  guint64 seed;

  if (!switti_request_apply_json (request, recipe, error))
    return FALSE;
  g_object_freeze_notify (G_OBJECT (self->config));
  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    copy_parameter (request, G_OBJECT (self->config), strings[i]);
  for (int i = 0; i < SWITTI_N_KNOBS; i++)
    copy_parameter (request, G_OBJECT (self->config), switti_knobs[i].name);
  g_object_get (request, "smooth", &smooth, "seed", &seed, NULL);
  /* A seed that a double cannot hold is the recipe's own, which an open one is. */
  g_object_set (self->config, "smooth", smooth ? "on" : "off", "seed", seed <= MAX_SEED ? (double) seed : -1.0, "count",
                1, "mode", "new", NULL);
  g_object_thaw_notify (G_OBJECT (self->config));
  return TRUE;
}

void
switti_dialog_load_layer (SwittiDialog *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *recipe = NULL;
  GimpLayer **layers = self->image && gimp_image_is_valid (self->image) ? gimp_image_get_selected_layers (self->image)
                                                                        : NULL;
  GimpLayer *layer = layers ? layers[0] : NULL;

  g_free (layers);
  recipe = layer ? switti_canvas_get_recipe (GIMP_ITEM (layer)) : NULL;
  if (!recipe)
    {
      switti_studio_say (self->studio, _ ("The selected layer has no recipe; select one that Switti painted."), TRUE);
      return;
    }
  if (!show_recipe (self, recipe, &error))
    switti_studio_say (self->studio, error->message, TRUE);
  else
    g_object_set (self->config, "recipe-layer", layer, "recipe-file", NULL, NULL);
}

static char *
choose_picture (SwittiDialog *self)
{
  GtkWidget *chooser = gtk_file_chooser_dialog_new (
    _ ("Take the Settings of a Picture"), GTK_WINDOW (self->dialog), GTK_FILE_CHOOSER_ACTION_OPEN, _ ("_Cancel"),
    GTK_RESPONSE_CANCEL, _ ("_Take"), GTK_RESPONSE_ACCEPT, NULL);
  char *path = NULL;

  if (gtk_dialog_run (GTK_DIALOG (chooser)) == GTK_RESPONSE_ACCEPT)
    path = gtk_file_chooser_get_filename (GTK_FILE_CHOOSER (chooser));
  gtk_widget_destroy (chooser);
  return path;
}

void
switti_dialog_load_file (SwittiDialog *self)
{
  g_autofree char *path = choose_picture (self);
  g_autoptr (GError) error = NULL;
  g_autofree char *recipe = NULL;
  g_autoptr (GFile) file = NULL;

  if (!path)
    return;
  recipe = switti_recipe_load (path, &error);
  if (!recipe || !show_recipe (self, recipe, &error))
    {
      switti_studio_say (self->studio, error->message, TRUE);
      return;
    }
  file = g_file_new_for_path (path);
  g_object_set (self->config, "recipe-file", file, "recipe-layer", NULL, NULL);
}

static char *
name_recipe (SwittiDialog *self)
{
  g_autoptr (GFile) file = NULL;
  g_autoptr (GimpLayer) layer = NULL;
  g_autofree char *name = NULL;

  g_object_get (self->config, "recipe-file", &file, "recipe-layer", &layer, NULL);
  if (file)
    name = g_file_get_basename (file);
  else if (layer)
    name = gimp_item_get_name (GIMP_ITEM (layer));
  return name ? g_strdup_printf (_ ("Settings of “%s”"), name) : NULL;
}

static void
show_recipe_name (GimpProcedureConfig *config, GParamSpec *pspec, GtkWidget *row)
{
  SwittiDialog *self = g_object_get_data (G_OBJECT (row), "dialog");
  GtkLabel *label = g_object_get_data (G_OBJECT (row), "label");
  g_autofree char *text = name_recipe (self);

  gtk_label_set_text (label, text ? text : "");
  gtk_widget_set_visible (row, text != NULL);
}

static void
forget_recipe (SwittiDialog *self)
{
  g_object_set (self->config, "recipe-file", NULL, "recipe-layer", NULL, NULL);
}

static GtkWidget *
new_recipe_row (SwittiDialog *self)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);
  GtkWidget *label = gtk_label_new (NULL);
  GtkWidget *forget = gtk_button_new_from_icon_name ("window-close-symbolic", GTK_ICON_SIZE_BUTTON);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_MIDDLE);
  gtk_widget_set_tooltip_text (forget, _ ("Keep what is set, and forget where it is from"));
  atk_object_set_name (gtk_widget_get_accessible (forget), _ ("Forget the recipe"));
  g_signal_connect_swapped (forget, "clicked", G_CALLBACK (forget_recipe), self);
  gtk_box_pack_start (GTK_BOX (row), label, TRUE, TRUE, 0);
  gtk_box_pack_start (GTK_BOX (row), forget, FALSE, FALSE, 0);
  g_object_set_data (G_OBJECT (row), "dialog", self);
  g_object_set_data (G_OBJECT (row), "label", label);
  g_signal_connect_object (self->config, "notify::recipe-file", G_CALLBACK (show_recipe_name), row, 0);
  g_signal_connect_object (self->config, "notify::recipe-layer", G_CALLBACK (show_recipe_name), row, 0);
  return row;
}

/* -- all of it ----------------------------------------------------------------------------------------------- */

GtkWidget *
switti_dialog_new_start (SwittiDialog *self)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, SPACING);
  GtkGrid *grid = new_grid ();
  GtkWidget *mode = gimp_prop_choice_combo_box_new (G_OBJECT (self->config), "mode");
  GtkWidget *recipe = new_recipe_row (self);
  Parts *parts = g_new (Parts, 1);

  *parts = (Parts) { self, new_keeping (self), new_variation_buttons (self), new_filling (self) };
  g_object_set_data_full (G_OBJECT (box), "parts", parts, g_free);
  switti_dialog_attach (grid, self, "mode", mode, mode);
  /* Without an image there is nothing to start from, whatever it was the last time. */
  if (!self->image)
    g_object_set (self->config, "mode", "new", NULL);
  gtk_widget_set_sensitive (mode, self->image != NULL);
  gtk_box_pack_start (GTK_BOX (box), GTK_WIDGET (grid), FALSE, FALSE, 0);
  pack_hidden (box, parts->keeping);
  pack_hidden (box, parts->variation);
  pack_hidden (box, parts->filling);
  pack_hidden (box, recipe);
  g_signal_connect_object (self->config, "notify::mode", G_CALLBACK (show_parts), box, G_CONNECT_SWAPPED);
  show_parts (box);
  show_recipe_name (self->config, NULL, recipe);
  return box;
}
