/* switti-prompt-view.c - a box of a few lines to write a prompt in
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-prompt-view.h"

#define MARGIN 4

struct _SwittiPromptView
{
  GtkScrolledWindow parent_instance;

  GtkTextView *view;
  GtkTextBuffer *buffer;
  SwittiPromptHistory *history; /* NULL: none */
};

enum
{
  PROP_TEXT = 1,
  N_PROPS,
};

static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (SwittiPromptView, switti_prompt_view, GTK_TYPE_SCROLLED_WINDOW)

char *
switti_prompt_view_get_text (SwittiPromptView *self)
{
  GtkTextIter start, end;

  g_return_val_if_fail (SWITTI_IS_PROMPT_VIEW (self), NULL);
  gtk_text_buffer_get_bounds (self->buffer, &start, &end);
  return gtk_text_buffer_get_text (self->buffer, &start, &end, FALSE);
}

void
switti_prompt_view_set_text (SwittiPromptView *self, const char *text)
{
  g_autofree char *old = NULL;

  g_return_if_fail (SWITTI_IS_PROMPT_VIEW (self));
  old = switti_prompt_view_get_text (self);
  /* Setting the same text would move the cursor under the user's hands. */
  if (g_strcmp0 (old, text ? text : "") != 0)
    gtk_text_buffer_set_text (self->buffer, text ? text : "", -1);
}

GtkWidget *
switti_prompt_view_get_text_view (SwittiPromptView *self)
{
  g_return_val_if_fail (SWITTI_IS_PROMPT_VIEW (self), NULL);
  return GTK_WIDGET (self->view);
}

static void
buffer_changed (SwittiPromptView *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TEXT]);
}

/* On the first or last line as it is shown, wrapped lines counted. */
static gboolean
at_edge (SwittiPromptView *self, guint key)
{
  GtkTextIter cursor;

  gtk_text_buffer_get_iter_at_mark (self->buffer, &cursor, gtk_text_buffer_get_insert (self->buffer));
  return key == GDK_KEY_Up ? !gtk_text_view_backward_display_line (self->view, &cursor)
                           : !gtk_text_view_forward_display_line (self->view, &cursor);
}

static gboolean
walk_history (SwittiPromptView *self, GdkEventKey *event)
{
  g_autofree char *now = NULL;
  const char *prompt;

  if (!self->history || (event->keyval != GDK_KEY_Up && event->keyval != GDK_KEY_Down)
      || (event->state & gtk_accelerator_get_default_mod_mask ()) != 0 || !at_edge (self, event->keyval))
    return GDK_EVENT_PROPAGATE;
  now = switti_prompt_view_get_text (self);
  prompt = event->keyval == GDK_KEY_Up ? switti_prompt_history_older (self->history, now)
                                       : switti_prompt_history_newer (self->history, now);
  if (!prompt)
    return GDK_EVENT_PROPAGATE;
  gtk_text_buffer_set_text (self->buffer, prompt, -1);
  return GDK_EVENT_STOP;
}

void
switti_prompt_view_set_history (SwittiPromptView *self, SwittiPromptHistory *history)
{
  g_return_if_fail (SWITTI_IS_PROMPT_VIEW (self));

  g_set_object (&self->history, history);
}

static void
finalize (GObject *object)
{
  g_clear_object (&SWITTI_PROMPT_VIEW (object)->history);
  G_OBJECT_CLASS (switti_prompt_view_parent_class)->finalize (object);
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_TEXT)
    g_value_take_string (value, switti_prompt_view_get_text (SWITTI_PROMPT_VIEW (object)));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  if (id == PROP_TEXT)
    switti_prompt_view_set_text (SWITTI_PROMPT_VIEW (object), g_value_get_string (value));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
switti_prompt_view_class_init (SwittiPromptViewClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = get_property;
  object_class->set_property = set_property;
  object_class->finalize = finalize;
  props[PROP_TEXT] = g_param_spec_string ("text", NULL, NULL, "",
                                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
switti_prompt_view_init (SwittiPromptView *self)
{
  self->view = GTK_TEXT_VIEW (gtk_text_view_new ());
  self->buffer = gtk_text_view_get_buffer (self->view);
  gtk_text_view_set_wrap_mode (self->view, GTK_WRAP_WORD_CHAR);
  /* Tab goes on to the next widget, as in an entry. */
  gtk_text_view_set_accepts_tab (self->view, FALSE);
  gtk_text_view_set_left_margin (self->view, MARGIN);
  gtk_text_view_set_right_margin (self->view, MARGIN);
  gtk_text_view_set_top_margin (self->view, MARGIN);
  gtk_text_view_set_bottom_margin (self->view, MARGIN);
  g_signal_connect_swapped (self->buffer, "changed", G_CALLBACK (buffer_changed), self);
  g_signal_connect_swapped (self->view, "key-press-event", G_CALLBACK (walk_history), self);
  gtk_container_add (GTK_CONTAINER (self), GTK_WIDGET (self->view));
  gtk_widget_show (GTK_WIDGET (self->view));
  gtk_scrolled_window_set_shadow_type (GTK_SCROLLED_WINDOW (self), GTK_SHADOW_IN);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (self), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
}

GtkWidget *
switti_prompt_view_new (const char *name, int lines)
{
  SwittiPromptView *self = g_object_new (SWITTI_TYPE_PROMPT_VIEW, NULL);
  g_autoptr (PangoLayout) layout = gtk_widget_create_pango_layout (GTK_WIDGET (self->view), "Ag");
  int line_height;

  pango_layout_get_pixel_size (layout, NULL, &line_height);
  gtk_scrolled_window_set_min_content_height (GTK_SCROLLED_WINDOW (self), lines * line_height + 2 * MARGIN);
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (self->view)), name);
  return GTK_WIDGET (self);
}
