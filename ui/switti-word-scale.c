/* switti-word-scale.c - a slider whose places are words
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-word-scale.h"

#include <math.h>

struct _SwittiWordScale
{
  GtkScale parent_instance;

  char **ids, **words;
  char *id;
  char *otherwise;
};

enum
{
  PROP_ID = 1,
  N_PROPS,
};

static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (SwittiWordScale, switti_word_scale, GTK_TYPE_SCALE)

static int
find_place (SwittiWordScale *self, const char *id)
{
  for (int i = 0; self->ids[i]; i++)
    if (g_strcmp0 (self->ids[i], id) == 0)
      return i;
  return -1;
}

static int
current_place (SwittiWordScale *self)
{
  int place = find_place (self, self->id);

  return place >= 0 ? place : MAX (find_place (self, self->otherwise), 0);
}

/* A reader of the screen says the word, not the number. */
static void
show_place (SwittiWordScale *self)
{
  gtk_range_set_value (GTK_RANGE (self), current_place (self));
  atk_object_set_description (gtk_widget_get_accessible (GTK_WIDGET (self)), self->words[current_place (self)]);
}

static void
set_id (SwittiWordScale *self, const char *id)
{
  if (g_strcmp0 (self->id, id) == 0)
    return;
  g_free (self->id);
  self->id = g_strdup (id);
  show_place (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_ID]);
}

static void
value_changed (GtkRange *range)
{
  SwittiWordScale *self = SWITTI_WORD_SCALE (range);
  int place = (int) round (gtk_range_get_value (range));

  if (place != current_place (self))
    set_id (self, self->ids[place]);
  else if (gtk_range_get_value (range) != place)
    gtk_range_set_value (range, place);
}

static char *
format_value (GtkScale *scale, double value)
{
  return g_strdup (SWITTI_WORD_SCALE (scale)->words[(int) round (value)]);
}

void
switti_word_scale_set_otherwise (SwittiWordScale *self, const char *otherwise)
{
  g_return_if_fail (SWITTI_IS_WORD_SCALE (self));

  g_free (self->otherwise);
  self->otherwise = g_strdup (otherwise);
  show_place (self);
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_ID)
    g_value_set_string (value, SWITTI_WORD_SCALE (object)->id);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  if (id == PROP_ID)
    set_id (SWITTI_WORD_SCALE (object), g_value_get_string (value));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
finalize (GObject *object)
{
  SwittiWordScale *self = SWITTI_WORD_SCALE (object);

  g_strfreev (self->ids);
  g_strfreev (self->words);
  g_free (self->id);
  g_free (self->otherwise);
  G_OBJECT_CLASS (switti_word_scale_parent_class)->finalize (object);
}

static void
switti_word_scale_class_init (SwittiWordScaleClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = get_property;
  object_class->set_property = set_property;
  object_class->finalize = finalize;
  GTK_RANGE_CLASS (klass)->value_changed = value_changed;
  GTK_SCALE_CLASS (klass)->format_value = format_value;
  props[PROP_ID] = g_param_spec_string ("id", NULL, NULL, NULL,
                                        G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
switti_word_scale_init (SwittiWordScale *self)
{
}

GtkWidget *
switti_word_scale_new (const SwittiWordPlace *places, int n_places, const char *otherwise)
{
  SwittiWordScale *self = g_object_new (SWITTI_TYPE_WORD_SCALE, "orientation", GTK_ORIENTATION_HORIZONTAL, NULL);
  GtkScale *scale = GTK_SCALE (self);

  self->ids = g_new0 (char *, n_places + 1);
  self->words = g_new0 (char *, n_places + 1);
  for (int i = 0; i < n_places; i++)
    {
      self->ids[i] = g_strdup (places[i].id);
      self->words[i] = g_strdup (places[i].word);
    }
  self->otherwise = g_strdup (otherwise);
  gtk_range_set_adjustment (GTK_RANGE (self), gtk_adjustment_new (0, 0, n_places - 1, 1, 1, 0));
  gtk_range_set_round_digits (GTK_RANGE (self), 0);
  gtk_scale_set_digits (scale, 0);
  gtk_scale_set_value_pos (scale, GTK_POS_BOTTOM);
  gtk_scale_set_has_origin (scale, FALSE);
  for (int i = 0; i < n_places; i++)
    gtk_scale_add_mark (scale, i, GTK_POS_TOP, NULL);
  show_place (self);
  return GTK_WIDGET (self);
}
