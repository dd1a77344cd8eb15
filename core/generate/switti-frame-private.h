/* switti-frame-private.h - the square of a picture that the model sees, to fill a part of it or to vary it
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * All pixels are host memory, rows from top to bottom without padding. Thread: any, one at a time.
 */
#pragma once

#include "switti-generator.h"

G_BEGIN_DECLS

typedef struct
{
  int x, y, width, height;
} SwittiRectangle;

/* Room that a picture leaves around what is redrawn, as a share of its longer side, on each side. */
#define SWITTI_FRAME_CONTEXT 0.5

/* The square to show for `bounds` of a picture of width x height: `context` times the longer side more on each side,
 * as long as the picture has that much; it reaches past the picture's edges only where it cannot lie inside. */
SwittiRectangle switti_frame_choose (int width, int height, const SwittiRectangle *bounds, double context);

/* Draws the mask's edge `grow` pixels further out (in, where negative), then softens it inwards over `feather` pixels,
 * so that nothing outside is touched. */
void switti_frame_grow_mask (int width, int height, guint8 *mask, int grow);
void switti_frame_feather_mask (int width, int height, guint8 *mask, double feather);

typedef struct _SwittiFrame SwittiFrame;

/* rgba: (side, side, 4) R'G'B'A u8; what is transparent is unknown: the model draws it as it likes. mask: (side, side),
 * 255 what is to be redrawn; NULL: all is there to be varied, and what is transparent is white. */
SwittiFrame *switti_frame_new (int side, GBytes *rgba, GBytes *mask);
void switti_frame_free (SwittiFrame *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiFrame, switti_frame_free)

int switti_frame_get_side (SwittiFrame *self);

/* The pixels that it was made of, (side, side, 4) (transfer none). */
GBytes *switti_frame_get_pixels (SwittiFrame *self);

/* Encodes the frame and makes it the source of request, with its mask. Where the request keeps no scales, what was
 * under the mask is gone before that: it comes smoothly from around, so that it does not show through. Blocks. */
gboolean switti_frame_prepare (SwittiFrame *self, SwittiGenerator *generator, SwittiRequest *request,
                               GCancellable *cancellable, GError **error);

/* What was painted for the frame, (side, side, 3): scaled to it, and evened out so that it meets what is around the
 * mask without a seam. To be shown through the mask. */
GBytes *switti_frame_paint (SwittiFrame *self, SwittiImage *image);

/* The frame's own pixels, and through the mask what was painted: (side, side, 4). Where the mask is 0 they are the
 * frame's to the bit. */
GBytes *switti_frame_composite (SwittiFrame *self, SwittiImage *image);

G_END_DECLS
