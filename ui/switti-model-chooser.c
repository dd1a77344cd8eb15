/* switti-model-chooser.c - chooses a model and says what it is
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-model-chooser.h"

#include "switti.h"

#include <glib/gi18n-lib.h>

#define DESCRIPTION_WIDTH_CHARS 50
#define DESCRIPTION_HEIGHT 96

struct _SwittiModelChooser
{
  GtkBox parent_instance;

  char *model;        /* never NULL */
  char *default_name; /* NULL where no model is installed */
  SwittiBundle *bundle; /* NULL where it cannot be opened */
  GtkComboBox *combo;
  GtkLabel *summary;
  GtkLabel *description;
  GtkWidget *expander;
};

enum
{
  PROP_MODEL = 1,
  PROP_BUNDLE,
  N_PROPS,
};

static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (SwittiModelChooser, switti_model_chooser, GTK_TYPE_BOX)

static void
describe (SwittiModelChooser *self)
{
  g_autoptr (GError) error = NULL;
  SwittiBundle *bundle = switti_bundle_open (*self->model ? self->model : NULL, &error);
  g_autofree char *summary = NULL;
  int side;

  g_clear_object (&self->bundle);
  self->bundle = bundle;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_BUNDLE]);
  gtk_widget_set_visible (self->expander, bundle != NULL && *switti_bundle_get_description (bundle));
  if (!bundle)
    {
      gtk_label_set_text (self->summary, error->message);
      return;
    }
  side = switti_bundle_get_resolution (bundle);
  /* Translators: width and height of the pictures, the number of steps of the model, millions of parameters. */
  summary = g_strdup_printf (_ ("%d × %d pixels, %d scales, %.1f million parameters"), side, side,
                             switti_bundle_get_n_scales (bundle), switti_bundle_get_n_parameters (bundle) / 1e6);
  gtk_label_set_text (self->summary, summary);
  gtk_label_set_text (self->description, switti_bundle_get_description (bundle));
}

/* A path, or a model that was installed when the last values were kept, has no row yet. */
static void
select_row (SwittiModelChooser *self)
{
  const char *id = g_strcmp0 (self->model, self->default_name) == 0 ? "" : self->model;

  if (gtk_combo_box_set_active_id (self->combo, id))
    return;
  gtk_combo_box_text_append (GTK_COMBO_BOX_TEXT (self->combo), id, id);
  gtk_combo_box_set_active_id (self->combo, id);
}

static void
set_model (SwittiModelChooser *self, const char *model)
{
  if (g_strcmp0 (self->model, model ? model : "") == 0)
    return;
  g_free (self->model);
  self->model = g_strdup (model ? model : "");
  select_row (self);
  describe (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MODEL]);
}

static void
row_changed (SwittiModelChooser *self)
{
  const char *id = gtk_combo_box_get_active_id (self->combo);

  /* The default row stands for the default's name too; choosing it by name must not turn the name into "". */
  if (id && !(*id == '\0' && g_strcmp0 (self->model, self->default_name) == 0))
    set_model (self, id);
}

static void
fill_rows (SwittiModelChooser *self)
{
  GtkComboBoxText *combo = GTK_COMBO_BOX_TEXT (self->combo);
  g_auto (GStrv) names = switti_bundle_list ();
  g_autofree char *first = NULL;

  self->default_name = g_strdup (names[0]);
  /* Translators: the name of a model, in the list of models. */
  first = names[0] ? g_strdup_printf (_ ("%s (default)"), names[0]) : g_strdup (_ ("No model is installed"));
  gtk_combo_box_text_append (combo, "", first);
  for (int i = 1; names[0] && names[i]; i++)
    gtk_combo_box_text_append (combo, names[i], names[i]);
  gtk_combo_box_set_active_id (self->combo, "");
}

SwittiBundle *
switti_model_chooser_get_bundle (SwittiModelChooser *self)
{
  g_return_val_if_fail (SWITTI_IS_MODEL_CHOOSER (self), NULL);

  return self->bundle;
}

void
switti_model_chooser_refresh (SwittiModelChooser *self)
{
  g_return_if_fail (SWITTI_IS_MODEL_CHOOSER (self));

  g_signal_handlers_block_by_func (self->combo, row_changed, self);
  gtk_combo_box_text_remove_all (GTK_COMBO_BOX_TEXT (self->combo));
  g_clear_pointer (&self->default_name, g_free);
  fill_rows (self);
  select_row (self);
  g_signal_handlers_unblock_by_func (self->combo, row_changed, self);
  describe (self);
}

static GtkLabel *
new_note (void)
{
  GtkWidget *label = gtk_label_new (NULL);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_line_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_max_width_chars (GTK_LABEL (label), DESCRIPTION_WIDTH_CHARS);
  gtk_label_set_selectable (GTK_LABEL (label), TRUE);
  gtk_widget_set_valign (label, GTK_ALIGN_START);
  gtk_style_context_add_class (gtk_widget_get_style_context (label), "dim-label");
  return GTK_LABEL (label);
}

static GtkWidget *
new_expander (GtkLabel *description)
{
  GtkWidget *expander = gtk_expander_new_with_mnemonic (_ ("What this model kno_ws"));
  GtkWidget *scrolled = gtk_scrolled_window_new (NULL, NULL);

  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (scrolled), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  gtk_scrolled_window_set_min_content_height (GTK_SCROLLED_WINDOW (scrolled), DESCRIPTION_HEIGHT);
  gtk_container_add (GTK_CONTAINER (scrolled), GTK_WIDGET (description));
  gtk_container_add (GTK_CONTAINER (expander), scrolled);
  gtk_expander_set_resize_toplevel (GTK_EXPANDER (expander), TRUE);
  gtk_widget_show_all (expander);
  /* Shown by describe(), only where there is something to say. */
  gtk_widget_set_no_show_all (expander, TRUE);
  return expander;
}

static gboolean
focus_combo (GtkWidget *widget, gboolean group_cycling)
{
  gtk_widget_grab_focus (GTK_WIDGET (SWITTI_MODEL_CHOOSER (widget)->combo));
  return TRUE;
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_MODEL)
    g_value_set_string (value, SWITTI_MODEL_CHOOSER (object)->model);
  else if (id == PROP_BUNDLE)
    g_value_set_object (value, SWITTI_MODEL_CHOOSER (object)->bundle);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  if (id == PROP_MODEL)
    set_model (SWITTI_MODEL_CHOOSER (object), g_value_get_string (value));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
finalize (GObject *object)
{
  g_free (SWITTI_MODEL_CHOOSER (object)->model);
  g_free (SWITTI_MODEL_CHOOSER (object)->default_name);
  g_clear_object (&SWITTI_MODEL_CHOOSER (object)->bundle);
  G_OBJECT_CLASS (switti_model_chooser_parent_class)->finalize (object);
}

static void
switti_model_chooser_class_init (SwittiModelChooserClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = get_property;
  object_class->set_property = set_property;
  object_class->finalize = finalize;
  GTK_WIDGET_CLASS (klass)->mnemonic_activate = focus_combo;
  props[PROP_MODEL] = g_param_spec_string ("model", NULL, NULL, "",
                                           G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  props[PROP_BUNDLE] = g_param_spec_object ("bundle", NULL, NULL, SWITTI_TYPE_BUNDLE,
                                            G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
switti_model_chooser_init (SwittiModelChooser *self)
{
  gtk_orientable_set_orientation (GTK_ORIENTABLE (self), GTK_ORIENTATION_VERTICAL);
  gtk_box_set_spacing (GTK_BOX (self), 3);
  self->model = g_strdup ("");
  self->combo = GTK_COMBO_BOX (gtk_combo_box_text_new ());
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (self->combo)), _ ("Model"));
  self->summary = new_note ();
  self->description = new_note ();
  self->expander = new_expander (self->description);
  gtk_box_pack_start (GTK_BOX (self), GTK_WIDGET (self->combo), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (self), GTK_WIDGET (self->summary), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (self), self->expander, FALSE, FALSE, 0);
  fill_rows (self);
  describe (self);
  g_signal_connect_swapped (self->combo, "changed", G_CALLBACK (row_changed), self);
}

GtkWidget *
switti_model_chooser_new (void)
{
  return g_object_new (SWITTI_TYPE_MODEL_CHOOSER, NULL);
}
