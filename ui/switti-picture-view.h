/* switti-picture-view.h - shows a picture as large as there is room
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_PICTURE_VIEW (switti_picture_view_get_type ())
G_DECLARE_FINAL_TYPE (SwittiPictureView, switti_picture_view, SWITTI, PICTURE_VIEW, GtkDrawingArea)

/* @name is what a screen reader says; @placeholder is written where there is no picture yet (nullable). */
GtkWidget *switti_picture_view_new (const char *name, const char *placeholder);

/* The pixels of a picture (transfer full). */
GdkPixbuf *switti_picture_view_pixbuf (SwittiImage *picture);

/* @description says what the picture is, for a screen reader ("scale 3 of 10"); NULL pictures empty the view. */
void switti_picture_view_set_picture (SwittiPictureView *self, GdkPixbuf *picture, const char *description);

/* What the picture replaces, shown in its place while "show-before" is set; NULL: none. Property: show-before
 * (boolean, FALSE). */
void switti_picture_view_set_before (SwittiPictureView *self, GdkPixbuf *before);
gboolean switti_picture_view_has_before (SwittiPictureView *self);

G_END_DECLS
