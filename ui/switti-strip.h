/* switti-strip.h - the pictures of a run side by side, to pick from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_STRIP (switti_strip_get_type ())
G_DECLARE_FINAL_TYPE (SwittiStrip, switti_strip, SWITTI, STRIP, GtkScrolledWindow)

/* A contact sheet: one thumbnail a seed, each refining while it is painted.
 *
 * Signal: shown (): another picture is the one to look at, or that one has changed. Signal: picked (): others are
 * selected, or finished. Property: shown (int, -1 where the strip is empty). */
GtkWidget *switti_strip_new (void);

/* Empties the strip, then gives it @count places; the place i is for the picture of seed @first_seed + i. */
void switti_strip_begin (SwittiStrip *self, guint64 first_seed, int count);

int switti_strip_get_count (SwittiStrip *self);

/* The place of a seed, or -1. */
int switti_strip_find_seed (SwittiStrip *self, guint64 seed);

/* Where a picture is not shown as it is: makes what is to be seen of it (transfer full). */
typedef GdkPixbuf *(*SwittiStripShow) (SwittiImage *picture, gpointer user_data);

/* For all pictures that come from now on; NULL: they are shown as they are. @destroy frees @user_data. */
void switti_strip_set_show (SwittiStrip *self, SwittiStripShow show, gpointer user_data, GDestroyNotify destroy);

/* @scale is the last one added, of @n_scales; @finished where there is nothing more to paint. */
void switti_strip_set_picture (SwittiStrip *self, int index, SwittiImage *picture, int scale, int n_scales,
                               gboolean finished);

/* What is to be seen at a place, and the picture there (transfer none), or NULL where none is yet. */
GdkPixbuf *switti_strip_get_pixbuf (SwittiStrip *self, int index);
SwittiImage *switti_strip_get_picture (SwittiStrip *self, int index);
guint64 switti_strip_get_seed (SwittiStrip *self, int index);
gboolean switti_strip_is_finished (SwittiStrip *self, int index);

/* What is said of the picture at a place, to people: "Seed 7, scale 3 of 10". */
const char *switti_strip_get_description (SwittiStrip *self, int index);

int switti_strip_get_shown (SwittiStrip *self);

/* The selected places in order (element-type int); where none is selected, the one that is shown. */
GArray *switti_strip_get_picked (SwittiStrip *self);

G_END_DECLS
