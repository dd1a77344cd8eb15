/* switti-seed-row.c - a seed with a lock and dice
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-seed-row.h"

#include "switti-default-spin.h"

#include <glib/gi18n-lib.h>

#define RANDOM (-1.0)
#define SPACING 4

struct _SwittiSeedRow
{
  GtkBox parent_instance;

  GtkSpinButton *spin;
  GtkToggleButton *lock;
  double last; /* RANDOM: nothing was painted yet */
};

enum
{
  PROP_SEED = 1,
  N_PROPS,
};

static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (SwittiSeedRow, switti_seed_row, GTK_TYPE_BOX)

static double
draw_seed (void)
{
  /* Short enough to be read out and typed again. */
  return g_random_int_range (0, G_MAXINT32);
}

static void
lock_toggled (SwittiSeedRow *self)
{
  gboolean locked = gtk_spin_button_get_value (self->spin) >= 0.0;

  if (gtk_toggle_button_get_active (self->lock) == locked)
    return;
  if (locked)
    gtk_spin_button_set_value (self->spin, RANDOM);
  else
    gtk_spin_button_set_value (self->spin, self->last >= 0.0 ? self->last : draw_seed ());
}

static void
show_lock (SwittiSeedRow *self)
{
  gboolean locked = gtk_spin_button_get_value (self->spin) >= 0.0;
  GtkWidget *image = gtk_button_get_image (GTK_BUTTON (self->lock));

  gtk_toggle_button_set_active (self->lock, locked);
  gtk_image_set_from_icon_name (GTK_IMAGE (image), locked ? "changes-prevent-symbolic" : "changes-allow-symbolic",
                                GTK_ICON_SIZE_BUTTON);
}

static void
value_changed (SwittiSeedRow *self)
{
  show_lock (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_SEED]);
}

static void
roll (SwittiSeedRow *self)
{
  gtk_spin_button_set_value (self->spin, draw_seed ());
}

void
switti_seed_row_set_last (SwittiSeedRow *self, guint64 seed)
{
  g_return_if_fail (SWITTI_IS_SEED_ROW (self));

  self->last = (double) seed;
}

GtkWidget *
switti_seed_row_get_spin (SwittiSeedRow *self)
{
  g_return_val_if_fail (SWITTI_IS_SEED_ROW (self), NULL);

  return GTK_WIDGET (self->spin);
}

/* A square face with five pips, in the colour of the text; no icon theme has dice. */
static gboolean
draw_dice (GtkWidget *widget, cairo_t *cr)
{
  static const double pips[][2] = { { 4, 4 }, { 12, 4 }, { 8, 8 }, { 4, 12 }, { 12, 12 } };
  GtkStyleContext *style = gtk_widget_get_style_context (widget);
  GdkRGBA color;

  gtk_style_context_get_color (style, gtk_style_context_get_state (style), &color);
  gdk_cairo_set_source_rgba (cr, &color);
  cairo_translate (cr, (gtk_widget_get_allocated_width (widget) - 16) / 2,
                   (gtk_widget_get_allocated_height (widget) - 16) / 2);
  cairo_set_line_width (cr, 1.0);
  cairo_rectangle (cr, 0.5, 0.5, 15, 15);
  cairo_stroke (cr);
  for (gsize i = 0; i < G_N_ELEMENTS (pips); i++)
    {
      cairo_arc (cr, pips[i][0], pips[i][1], 1.5, 0, 2 * G_PI);
      cairo_fill (cr);
    }
  return FALSE;
}

static GtkWidget *
new_dice (void)
{
  GtkWidget *button = gtk_button_new ();
  GtkWidget *face = gtk_drawing_area_new ();

  gtk_widget_set_size_request (face, 16, 16);
  g_signal_connect (face, "draw", G_CALLBACK (draw_dice), NULL);
  gtk_container_add (GTK_CONTAINER (button), face);
  gtk_widget_set_tooltip_text (button, _ ("Draw another seed and keep it"));
  atk_object_set_name (gtk_widget_get_accessible (button), _ ("Roll the dice"));
  return button;
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_SEED)
    g_value_set_double (value, gtk_spin_button_get_value (SWITTI_SEED_ROW (object)->spin));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  if (id == PROP_SEED)
    gtk_spin_button_set_value (SWITTI_SEED_ROW (object)->spin, g_value_get_double (value));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
switti_seed_row_class_init (SwittiSeedRowClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = get_property;
  object_class->set_property = set_property;
  props[PROP_SEED] = g_param_spec_double ("seed", NULL, NULL, RANDOM, G_MAXDOUBLE, RANDOM,
                                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
switti_seed_row_init (SwittiSeedRow *self)
{
  gtk_box_set_spacing (GTK_BOX (self), SPACING);
  self->last = RANDOM;
}

GtkWidget *
switti_seed_row_new (double maximum)
{
  SwittiSeedRow *self = g_object_new (SWITTI_TYPE_SEED_ROW, NULL);
  GtkWidget *spin = switti_default_spin_new (RANDOM, maximum, 1.0, 0, C_ ("seed", "Random"));
  GtkWidget *lock = gtk_toggle_button_new ();
  GtkWidget *dice = new_dice ();

  self->spin = GTK_SPIN_BUTTON (spin);
  self->lock = GTK_TOGGLE_BUTTON (lock);
  gtk_button_set_image (GTK_BUTTON (lock), gtk_image_new ());
  gtk_button_set_always_show_image (GTK_BUTTON (lock), TRUE);
  gtk_widget_set_tooltip_text (lock, _ ("Keep this seed for the next picture"));
  atk_object_set_name (gtk_widget_get_accessible (lock), _ ("Keep the seed"));
  gtk_box_pack_start (GTK_BOX (self), spin, TRUE, TRUE, 0);
  gtk_box_pack_start (GTK_BOX (self), lock, FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (self), dice, FALSE, FALSE, 0);
  show_lock (self);
  g_signal_connect_swapped (spin, "value-changed", G_CALLBACK (value_changed), self);
  g_signal_connect_swapped (lock, "toggled", G_CALLBACK (lock_toggled), self);
  g_signal_connect_swapped (dice, "clicked", G_CALLBACK (roll), self);
  return GTK_WIDGET (self);
}
