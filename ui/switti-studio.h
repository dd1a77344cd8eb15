/* switti-studio.h - where pictures form: the large preview, the strip of a run, and how far it is
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-session.h"
#include "switti-strip.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_STUDIO (switti_studio_get_type ())
G_DECLARE_FINAL_TYPE (SwittiStudio, switti_studio, SWITTI, STUDIO, GtkBox)

/* Shows what @session paints. Signal: changed (), when what can be done with it may be something else: a painting
 * starts or ends, a picture is finished or picked. */
GtkWidget *switti_studio_new (SwittiSession *session);

/* What a painting makes. */
typedef struct
{
  guint64 first_seed;
  int count;
  gboolean sketch; /* stops before the last scale */
  gboolean finish; /* the pictures that are picked now are painted on; first_seed and count are not looked at */
} SwittiStudioRun;

/* Starts a painting; the session must be idle. The rest as switti_session_paint(). */
void switti_studio_paint (SwittiStudio *self, const SwittiStudioRun *run, const SwittiSessionEngine *engine,
                          SwittiSessionPaint paint, gpointer user_data, GDestroyNotify destroy);

void switti_studio_stop (SwittiStudio *self);
gboolean switti_studio_is_busy (SwittiStudio *self);

/* How the pictures are shown from now on, see switti_strip_set_show(). */
void switti_studio_set_show (SwittiStudio *self, SwittiStripShow show, gpointer user_data, GDestroyNotify destroy);

/* What the next picture replaces, for "before"; NULL: nothing. */
void switti_studio_set_before (SwittiStudio *self, GdkPixbuf *before);

/* The finished ones of the pictures that are picked, or all finished ones, in order (transfer full, element-type
 * SwittiImage). */
GPtrArray *switti_studio_get_picked (SwittiStudio *self);
GPtrArray *switti_studio_get_finished (SwittiStudio *self);

/* Seeds of the pictures that are picked and not finished (transfer full, element-type guint64). */
GArray *switti_studio_get_unfinished_seeds (SwittiStudio *self);

/* Says a sentence to the user: of something that is amiss, or of something that was done. NULL: nothing. */
void switti_studio_say (SwittiStudio *self, const char *message, gboolean amiss);

G_END_DECLS
