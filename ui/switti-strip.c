/* switti-strip.c - the pictures of a run side by side, to pick from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-strip.h"

#include "switti-container.h"
#include "switti-picture-view.h"

#include <glib/gi18n-lib.h>

#define THUMBNAIL_SIDE 76
#define SPACING 3

typedef struct
{
  guint64 seed;
  SwittiImage *picture; /* NULL where none is yet */
  GdkPixbuf *pixbuf;    /* what is seen of it */
  gboolean finished;
  char *description;
  GtkWidget *child;
  SwittiPictureView *view;
  GtkLabel *label;
} Place;

struct _SwittiStrip
{
  GtkScrolledWindow parent_instance;

  GtkFlowBox *box;
  GPtrArray *places; /* Place */
  int shown;
  SwittiStripShow show;
  gpointer show_data;
  GDestroyNotify show_destroy;
};

enum
{
  PROP_SHOWN = 1,
  N_PROPS,
};

enum
{
  SIGNAL_SHOWN,
  SIGNAL_PICKED,
  N_SIGNALS,
};

static GParamSpec *props[N_PROPS];
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (SwittiStrip, switti_strip, GTK_TYPE_SCROLLED_WINDOW)

static void
place_free (gpointer data)
{
  Place *place = data;

  g_clear_object (&place->picture);
  g_clear_object (&place->pixbuf);
  g_free (place->description);
  g_free (place);
}

static Place *
get_place (SwittiStrip *self, int index)
{
  return index >= 0 && index < (int) self->places->len ? g_ptr_array_index (self->places, index) : NULL;
}

static void
describe (Place *place, const char *state)
{
  g_free (place->description);
  /* Translators: a picture's seed, and how far the picture is: "Seed 7, scale 3 of 10". */
  place->description = g_strdup_printf (_ ("Seed %s, %s"), gtk_label_get_text (place->label), state);
  gtk_widget_set_tooltip_text (place->child, place->description);
  atk_object_set_name (gtk_widget_get_accessible (place->child), place->description);
}

static void
show_place (SwittiStrip *self, int index)
{
  if (index != self->shown)
    {
      self->shown = index;
      g_object_notify_by_pspec (G_OBJECT (self), props[PROP_SHOWN]);
    }
  g_signal_emit (self, signals[SIGNAL_SHOWN], 0);
}

static void
child_activated (SwittiStrip *self, GtkFlowBoxChild *child)
{
  show_place (self, gtk_flow_box_child_get_index (child));
}

/* Of those that are selected the one that the keyboard is on, or the first, is to be looked at. */
static void
selection_changed (SwittiStrip *self)
{
  g_autoptr (GList) selected = gtk_flow_box_get_selected_children (self->box);

  for (GList *child = selected; child; child = child->next)
    if (gtk_widget_has_focus (child->data))
      {
        show_place (self, gtk_flow_box_child_get_index (child->data));
        g_signal_emit (self, signals[SIGNAL_PICKED], 0);
        return;
      }
  if (selected)
    show_place (self, gtk_flow_box_child_get_index (selected->data));
  g_signal_emit (self, signals[SIGNAL_PICKED], 0);
}

static void
add_place (SwittiStrip *self, guint64 seed)
{
  Place *place = g_new0 (Place, 1);
  GtkWidget *column = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, seed);

  place->seed = seed;
  place->view = SWITTI_PICTURE_VIEW (switti_picture_view_new (text, NULL));
  gtk_widget_set_size_request (GTK_WIDGET (place->view), THUMBNAIL_SIDE, THUMBNAIL_SIDE);
  place->label = GTK_LABEL (gtk_label_new (text));
  gtk_label_set_ellipsize (place->label, PANGO_ELLIPSIZE_MIDDLE);
  gtk_label_set_max_width_chars (place->label, 10);
  gtk_style_context_add_class (gtk_widget_get_style_context (GTK_WIDGET (place->label)), GTK_STYLE_CLASS_DIM_LABEL);
  gtk_box_pack_start (GTK_BOX (column), GTK_WIDGET (place->view), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (column), GTK_WIDGET (place->label), FALSE, FALSE, 0);
  place->child = gtk_flow_box_child_new ();
  gtk_container_add (GTK_CONTAINER (place->child), column);
  gtk_widget_show_all (place->child);
  gtk_container_add (GTK_CONTAINER (self->box), place->child);
  describe (place, _ ("not painted yet"));
  g_ptr_array_add (self->places, place);
}

void
switti_strip_begin (SwittiStrip *self, guint64 first_seed, int count)
{
  g_return_if_fail (SWITTI_IS_STRIP (self));

  g_signal_handlers_block_by_func (self->box, selection_changed, self);
  switti_container_clear (GTK_CONTAINER (self->box));
  g_ptr_array_set_size (self->places, 0);
  for (int i = 0; i < count; i++)
    add_place (self, first_seed + (guint64) i);
  if (count > 0)
    gtk_flow_box_select_child (self->box, gtk_flow_box_get_child_at_index (self->box, 0));
  g_signal_handlers_unblock_by_func (self->box, selection_changed, self);
  show_place (self, count > 0 ? 0 : -1);
  g_signal_emit (self, signals[SIGNAL_PICKED], 0);
}

int
switti_strip_get_count (SwittiStrip *self)
{
  g_return_val_if_fail (SWITTI_IS_STRIP (self), 0);

  return (int) self->places->len;
}

int
switti_strip_find_seed (SwittiStrip *self, guint64 seed)
{
  g_return_val_if_fail (SWITTI_IS_STRIP (self), -1);

  for (int i = 0; i < (int) self->places->len; i++)
    if (get_place (self, i)->seed == seed)
      return i;
  return -1;
}

void
switti_strip_set_picture (SwittiStrip *self, int index, SwittiImage *picture, int scale, int n_scales,
                          gboolean finished)
{
  Place *place;

  g_return_if_fail (SWITTI_IS_STRIP (self));

  place = get_place (self, index);
  if (!place)
    return;
  g_set_object (&place->picture, picture);
  g_clear_object (&place->pixbuf);
  place->pixbuf = self->show ? self->show (picture, self->show_data) : switti_picture_view_pixbuf (picture);
  place->finished = finished;
  if (finished)
    describe (place, _ ("finished"));
  else
    {
      g_autofree char *state = g_strdup_printf (_ ("scale %d of %d"), scale + 1, n_scales);

      describe (place, state);
    }
  switti_picture_view_set_picture (place->view, place->pixbuf, place->description);
  if (index == self->shown)
    g_signal_emit (self, signals[SIGNAL_SHOWN], 0);
  if (finished)
    g_signal_emit (self, signals[SIGNAL_PICKED], 0);
}

void
switti_strip_set_show (SwittiStrip *self, SwittiStripShow show, gpointer user_data, GDestroyNotify destroy)
{
  g_return_if_fail (SWITTI_IS_STRIP (self));

  if (self->show_destroy)
    self->show_destroy (self->show_data);
  self->show = show;
  self->show_data = user_data;
  self->show_destroy = destroy;
}

GdkPixbuf *
switti_strip_get_pixbuf (SwittiStrip *self, int index)
{
  Place *place;

  g_return_val_if_fail (SWITTI_IS_STRIP (self), NULL);

  place = get_place (self, index);
  return place ? place->pixbuf : NULL;
}

SwittiImage *
switti_strip_get_picture (SwittiStrip *self, int index)
{
  Place *place;

  g_return_val_if_fail (SWITTI_IS_STRIP (self), NULL);

  place = get_place (self, index);
  return place ? place->picture : NULL;
}

guint64
switti_strip_get_seed (SwittiStrip *self, int index)
{
  Place *place;

  g_return_val_if_fail (SWITTI_IS_STRIP (self), 0);

  place = get_place (self, index);
  return place ? place->seed : 0;
}

gboolean
switti_strip_is_finished (SwittiStrip *self, int index)
{
  Place *place;

  g_return_val_if_fail (SWITTI_IS_STRIP (self), FALSE);

  place = get_place (self, index);
  return place && place->finished;
}

const char *
switti_strip_get_description (SwittiStrip *self, int index)
{
  Place *place;

  g_return_val_if_fail (SWITTI_IS_STRIP (self), NULL);

  place = get_place (self, index);
  return place ? place->description : "";
}

int
switti_strip_get_shown (SwittiStrip *self)
{
  g_return_val_if_fail (SWITTI_IS_STRIP (self), -1);

  return self->shown;
}

GArray *
switti_strip_get_picked (SwittiStrip *self)
{
  GArray *picked = g_array_new (FALSE, FALSE, sizeof (int));

  g_return_val_if_fail (SWITTI_IS_STRIP (self), picked);

  for (int i = 0; i < (int) self->places->len; i++)
    if (gtk_flow_box_child_is_selected (GTK_FLOW_BOX_CHILD (get_place (self, i)->child)))
      g_array_append_val (picked, i);
  if (picked->len == 0 && self->shown >= 0)
    g_array_append_val (picked, self->shown);
  return picked;
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_SHOWN)
    g_value_set_int (value, SWITTI_STRIP (object)->shown);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
dispose (GObject *object)
{
  SwittiStrip *self = SWITTI_STRIP (object);

  if (self->box)
    g_signal_handlers_disconnect_by_data (self->box, self);
  self->box = NULL;
  switti_strip_set_show (self, NULL, NULL, NULL);
  G_OBJECT_CLASS (switti_strip_parent_class)->dispose (object);
}

static void
finalize (GObject *object)
{
  g_ptr_array_unref (SWITTI_STRIP (object)->places);
  G_OBJECT_CLASS (switti_strip_parent_class)->finalize (object);
}

static void
switti_strip_class_init (SwittiStripClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = get_property;
  object_class->dispose = dispose;
  object_class->finalize = finalize;
  props[PROP_SHOWN] = g_param_spec_int ("shown", NULL, NULL, -1, G_MAXINT, -1,
                                        G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
  signals[SIGNAL_SHOWN] = g_signal_new ("shown", SWITTI_TYPE_STRIP, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                        G_TYPE_NONE, 0);
  signals[SIGNAL_PICKED] = g_signal_new ("picked", SWITTI_TYPE_STRIP, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                         G_TYPE_NONE, 0);
}

static void
switti_strip_init (SwittiStrip *self)
{
  GtkWidget *box = gtk_flow_box_new ();

  self->shown = -1;
  self->places = g_ptr_array_new_with_free_func (place_free);
  self->box = GTK_FLOW_BOX (box);
  gtk_flow_box_set_selection_mode (self->box, GTK_SELECTION_MULTIPLE);
  gtk_flow_box_set_row_spacing (self->box, SPACING);
  gtk_flow_box_set_column_spacing (self->box, SPACING);
  gtk_flow_box_set_max_children_per_line (self->box, 64);
  gtk_flow_box_set_homogeneous (self->box, TRUE);
  gtk_widget_set_valign (box, GTK_ALIGN_START);
  gtk_widget_set_halign (box, GTK_ALIGN_FILL);
  atk_object_set_name (gtk_widget_get_accessible (box), _ ("Pictures of this run"));
  g_signal_connect_swapped (box, "child-activated", G_CALLBACK (child_activated), self);
  g_signal_connect_swapped (box, "selected-children-changed", G_CALLBACK (selection_changed), self);
  gtk_container_add (GTK_CONTAINER (self), box);
  gtk_widget_show (box);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (self), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  gtk_scrolled_window_set_shadow_type (GTK_SCROLLED_WINDOW (self), GTK_SHADOW_IN);
  gtk_scrolled_window_set_min_content_height (GTK_SCROLLED_WINDOW (self), THUMBNAIL_SIDE + 36);
}

GtkWidget *
switti_strip_new (void)
{
  return g_object_new (SWITTI_TYPE_STRIP, NULL);
}
