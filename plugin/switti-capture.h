/* switti-capture.h - what of an open image a painting starts from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A capture is made on the main thread, by libgimp; what is in it is a copy, which a worker may use. It does not
 * change.
 */
#pragma once

#include "switti-frame-private.h"
#include "switti-settings.h"

G_BEGIN_DECLS

typedef struct _SwittiCapture SwittiCapture;

/* @drawables (NULL: none): the layer to vary; without one it is the image's first selected layer. Returns NULL with
 * @error set where the image lacks what the mode needs: a selection to fill, or a layer to vary. Leaves @image as it
 * is. For SWITTI_MODE_NEW @image may be NULL. */
SwittiCapture *switti_capture_new (const SwittiSettings *settings, GimpImage *image, GimpDrawable **drawables,
                                   GError **error);
SwittiCapture *switti_capture_ref (SwittiCapture *self); /* from any thread */
void switti_capture_unref (SwittiCapture *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiCapture, switti_capture_unref)

SwittiMode switti_capture_get_mode (SwittiCapture *self);

/* Sets what @request starts from; encodes where there is no recipe of this model. On a worker: it blocks. */
gboolean switti_capture_prepare (SwittiCapture *self, SwittiGenerator *generator, SwittiRequest *request,
                                 GCancellable *cancellable, GError **error);

/* How a picture, also a preview, looks in its place: for a filling the square that the model saw, with what was painted
 * through the mask; otherwise the picture. R'G'B'A u8, @side pixels both ways. On any thread. */
GBytes *switti_capture_show (SwittiCapture *self, SwittiImage *picture, int *side);

/* What was there before, the same way; NULL where nothing is started from. */
GBytes *switti_capture_show_before (SwittiCapture *self, int *side);

/* Where the layer lies in the image: what is filled, or the varied layer. */
SwittiRectangle switti_capture_get_bounds (SwittiCapture *self);

/* For a filling: pixels of the layer, bounds' size, R'G'B' u8, and its mask, Y u8. */
GBytes *switti_capture_paint (SwittiCapture *self, SwittiImage *picture);
GBytes *switti_capture_get_mask (SwittiCapture *self);

/* The id of the varied layer, 0 where none is. */
int switti_capture_get_layer_id (SwittiCapture *self);

G_END_DECLS
