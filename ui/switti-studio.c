/* switti-studio.c - where pictures form: the large preview, the strip of a run, and how far it is
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-studio.h"

#include "switti-picture-view.h"

#include <glib/gi18n-lib.h>

#define SPACING 6
#define PREVIEW_SIDE 384

struct _SwittiStudio
{
  GtkBox parent_instance;

  SwittiSession *session;
  SwittiPictureView *view;
  SwittiStrip *strip;
  GtkLabel *caption;
  GtkToggleButton *before;
  GtkProgressBar *progress;
  GtkInfoBar *bar;
  GtkLabel *message;
  gboolean sketch; /* of the run */
};

enum
{
  SIGNAL_CHANGED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (SwittiStudio, switti_studio, GTK_TYPE_BOX)

void
switti_studio_say (SwittiStudio *self, const char *message, gboolean amiss)
{
  g_return_if_fail (SWITTI_IS_STUDIO (self));

  gtk_info_bar_set_message_type (self->bar, amiss ? GTK_MESSAGE_ERROR : GTK_MESSAGE_INFO);
  gtk_label_set_text (self->message, message ? message : "");
  gtk_widget_set_visible (GTK_WIDGET (self->bar), message != NULL);
}

static void
show_picture (SwittiStudio *self)
{
  int shown = switti_strip_get_shown (self->strip);
  const char *description = switti_strip_get_description (self->strip, shown);

  switti_picture_view_set_picture (self->view, switti_strip_get_pixbuf (self->strip, shown), description);
  gtk_label_set_text (self->caption, description);
}

static void
tell_change (SwittiStudio *self)
{
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
}

/* -- a painting ---------------------------------------------------------------------------------------------- */

static void
take_preview (SwittiStudio *self, int scale, SwittiImage *picture)
{
  int place = switti_strip_find_seed (self->strip, switti_image_get_seed (picture));

  /* The last scale's is the picture itself, which comes when all of them are there. */
  switti_strip_set_picture (self->strip, place, picture, scale, switti_session_get_n_scales (self->session), FALSE);
}

static void
show_progress (SwittiStudio *self, double fraction, int scale)
{
  int n_scales = switti_session_get_n_scales (self->session);
  g_autofree char *text = NULL;

  if (switti_session_get_state (self->session) == SWITTI_SESSION_STOPPING)
    return;
  if (scale + 1 < n_scales)
    text = g_strdup_printf (_ ("Painting scale %d of %d"), scale + 2, n_scales);
  else
    text = g_strdup (_ ("Turning codes into pixels"));
  gtk_progress_bar_set_text (self->progress, text);
  gtk_progress_bar_set_fraction (self->progress, fraction);
}

static void
show_state (SwittiStudio *self)
{
  SwittiSessionState state = switti_session_get_state (self->session);

  if (state == SWITTI_SESSION_LOADING)
    gtk_progress_bar_set_text (self->progress, _ ("Loading the model"));
  else if (state == SWITTI_SESSION_STOPPING)
    gtk_progress_bar_set_text (self->progress, _ ("Stopping"));
  else if (state == SWITTI_SESSION_IDLE)
    gtk_progress_bar_set_text (self->progress, _ ("Ready"));
  if (state == SWITTI_SESSION_LOADING || state == SWITTI_SESSION_IDLE)
    gtk_progress_bar_set_fraction (self->progress, 0.0);
  tell_change (self);
}

static void
finish (SwittiStudio *self, GPtrArray *pictures, const GError *error)
{
  int n_scales = switti_session_get_n_scales (self->session);

  for (guint i = 0; pictures && i < pictures->len; i++)
    {
      SwittiImage *picture = g_ptr_array_index (pictures, i);
      int place = switti_strip_find_seed (self->strip, switti_image_get_seed (picture));

      /* A sketch says itself, by its last preview, how far it is. */
      if (!self->sketch)
        switti_strip_set_picture (self->strip, place, picture, n_scales - 1, n_scales, TRUE);
    }
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    switti_studio_say (self, _ ("Stopped. What you see is kept until the next picture."), FALSE);
  else if (error)
    switti_studio_say (self, error->message, TRUE);
  tell_change (self);
}

void
switti_studio_paint (SwittiStudio *self, const SwittiStudioRun *run, const SwittiSessionEngine *engine,
                     SwittiSessionPaint paint, gpointer user_data, GDestroyNotify destroy)
{
  g_return_if_fail (SWITTI_IS_STUDIO (self));

  self->sketch = run->sketch;
  switti_studio_say (self, NULL, FALSE);
  gtk_toggle_button_set_active (self->before, FALSE);
  if (!run->finish)
    switti_strip_begin (self->strip, run->first_seed, run->count);
  switti_session_paint (self->session, engine, paint, user_data, destroy);
}

void
switti_studio_stop (SwittiStudio *self)
{
  g_return_if_fail (SWITTI_IS_STUDIO (self));

  switti_session_stop (self->session);
}

gboolean
switti_studio_is_busy (SwittiStudio *self)
{
  g_return_val_if_fail (SWITTI_IS_STUDIO (self), FALSE);

  return switti_session_get_state (self->session) != SWITTI_SESSION_IDLE;
}

void
switti_studio_set_show (SwittiStudio *self, SwittiStripShow show, gpointer user_data, GDestroyNotify destroy)
{
  g_return_if_fail (SWITTI_IS_STUDIO (self));

  switti_strip_set_show (self->strip, show, user_data, destroy);
}

void
switti_studio_set_before (SwittiStudio *self, GdkPixbuf *before)
{
  g_return_if_fail (SWITTI_IS_STUDIO (self));

  switti_picture_view_set_before (self->view, before);
  if (!before)
    gtk_toggle_button_set_active (self->before, FALSE);
  gtk_widget_set_sensitive (GTK_WIDGET (self->before), before != NULL);
}

/* -- what was painted ---------------------------------------------------------------------------------------- */

GPtrArray *
switti_studio_get_picked (SwittiStudio *self)
{
  GPtrArray *pictures = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GArray) picked = switti_strip_get_picked (self->strip);

  for (guint i = 0; i < picked->len; i++)
    {
      int place = g_array_index (picked, int, i);

      if (switti_strip_is_finished (self->strip, place))
        g_ptr_array_add (pictures, g_object_ref (switti_strip_get_picture (self->strip, place)));
    }
  return pictures;
}

GPtrArray *
switti_studio_get_finished (SwittiStudio *self)
{
  GPtrArray *pictures = g_ptr_array_new_with_free_func (g_object_unref);

  for (int place = 0; place < switti_strip_get_count (self->strip); place++)
    if (switti_strip_is_finished (self->strip, place))
      g_ptr_array_add (pictures, g_object_ref (switti_strip_get_picture (self->strip, place)));
  return pictures;
}

GArray *
switti_studio_get_unfinished_seeds (SwittiStudio *self)
{
  GArray *seeds = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_autoptr (GArray) picked = switti_strip_get_picked (self->strip);

  for (guint i = 0; i < picked->len; i++)
    {
      int place = g_array_index (picked, int, i);
      guint64 seed = switti_strip_get_seed (self->strip, place);

      if (!switti_strip_is_finished (self->strip, place))
        g_array_append_val (seeds, seed);
    }
  return seeds;
}

/* -- the widget ---------------------------------------------------------------------------------------------- */

static void
dispose (GObject *object)
{
  SwittiStudio *self = SWITTI_STUDIO (object);

  if (self->session)
    g_signal_handlers_disconnect_by_data (self->session, self);
  g_clear_object (&self->session);
  G_OBJECT_CLASS (switti_studio_parent_class)->dispose (object);
}

static void
switti_studio_class_init (SwittiStudioClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = dispose;
  signals[SIGNAL_CHANGED] = g_signal_new ("changed", SWITTI_TYPE_STUDIO, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                          G_TYPE_NONE, 0);
}

static GtkWidget *
new_caption_row (SwittiStudio *self)
{
  GtkWidget *row = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);
  GtkWidget *before = gtk_toggle_button_new_with_mnemonic (_ ("_Before"));

  self->caption = GTK_LABEL (gtk_label_new (NULL));
  gtk_label_set_xalign (self->caption, 0.0);
  gtk_label_set_ellipsize (self->caption, PANGO_ELLIPSIZE_END);
  self->before = GTK_TOGGLE_BUTTON (before);
  gtk_widget_set_tooltip_text (before, _ ("Show what the picture replaces"));
  gtk_widget_set_sensitive (before, FALSE);
  g_object_bind_property (before, "active", self->view, "show-before", G_BINDING_SYNC_CREATE);
  gtk_box_pack_start (GTK_BOX (row), GTK_WIDGET (self->caption), TRUE, TRUE, 0);
  gtk_box_pack_start (GTK_BOX (row), before, FALSE, FALSE, 0);
  return row;
}

static GtkWidget *
new_message_bar (SwittiStudio *self)
{
  GtkWidget *bar = gtk_info_bar_new ();

  self->bar = GTK_INFO_BAR (bar);
  self->message = GTK_LABEL (gtk_label_new (NULL));
  gtk_label_set_line_wrap (self->message, TRUE);
  gtk_label_set_xalign (self->message, 0.0);
  gtk_label_set_max_width_chars (self->message, 50);
  gtk_widget_show (GTK_WIDGET (self->message));
  gtk_container_add (GTK_CONTAINER (gtk_info_bar_get_content_area (self->bar)), GTK_WIDGET (self->message));
  atk_object_set_name (gtk_widget_get_accessible (bar), _ ("Message"));
  gtk_widget_set_no_show_all (bar, TRUE);
  return bar;
}

static void
switti_studio_init (SwittiStudio *self)
{
  GtkBox *box = GTK_BOX (self);
  GtkWidget *view = switti_picture_view_new (_ ("Preview"), _ ("Your picture forms here, from the composition to the "
                                                               "detail."));
  GtkWidget *progress = gtk_progress_bar_new ();
  GtkWidget *strip = switti_strip_new ();

  gtk_orientable_set_orientation (GTK_ORIENTABLE (self), GTK_ORIENTATION_VERTICAL);
  gtk_box_set_spacing (box, SPACING);
  self->view = SWITTI_PICTURE_VIEW (view);
  self->strip = SWITTI_STRIP (strip);
  self->progress = GTK_PROGRESS_BAR (progress);
  gtk_widget_set_size_request (view, PREVIEW_SIDE, PREVIEW_SIDE);
  gtk_progress_bar_set_show_text (self->progress, TRUE);
  atk_object_set_name (gtk_widget_get_accessible (progress), _ ("Progress"));
  gtk_box_pack_start (box, new_caption_row (self), FALSE, FALSE, 0);
  gtk_box_pack_start (box, view, TRUE, TRUE, 0);
  gtk_box_pack_start (box, progress, FALSE, FALSE, 0);
  gtk_box_pack_start (box, strip, FALSE, FALSE, 0);
  gtk_box_pack_start (box, new_message_bar (self), FALSE, FALSE, 0);
  g_signal_connect_swapped (strip, "shown", G_CALLBACK (show_picture), self);
  g_signal_connect_swapped (strip, "picked", G_CALLBACK (tell_change), self);
}

GtkWidget *
switti_studio_new (SwittiSession *session)
{
  SwittiStudio *self = g_object_new (SWITTI_TYPE_STUDIO, NULL);

  self->session = g_object_ref (session);
  g_signal_connect_swapped (session, "preview", G_CALLBACK (take_preview), self);
  g_signal_connect_swapped (session, "progress", G_CALLBACK (show_progress), self);
  g_signal_connect_swapped (session, "notify::state", G_CALLBACK (show_state), self);
  g_signal_connect_swapped (session, "finished", G_CALLBACK (finish), self);
  show_state (self);
  return GTK_WIDGET (self);
}
