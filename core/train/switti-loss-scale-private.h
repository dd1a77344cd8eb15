/* switti-loss-scale-private.h - what the loss of float16 training is multiplied by
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Gradients below 6e-8 are lost to float16 and those above 65504 are infinite, so that the loss is multiplied by a
 * power of two, and the gradients divided by it before the step. It follows the gradients: where they are not finite,
 * the step is left out and the scale halved; after a number of good steps it is doubled, up to SWITTI_LOSS_SCALE_MAX.
 * All that it is follows from the steps so far, which a checkpoint keeps.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* As published: growth beyond this is not worth the overflows. A larger first value stands until gradients halve it. */
#define SWITTI_LOSS_SCALE_MAX 32768.0
/* Gradients that are not finite with this scale are not because of it. */
#define SWITTI_LOSS_SCALE_MIN 1.0

typedef struct
{
  double scale;      /* a power of two; 1 where nothing is scaled */
  gboolean is_used;  /* else scale is 1 for good */
  int interval;      /* good steps before it is doubled */
  gint64 good_steps; /* since it has changed */
  gint64 skipped;    /* steps left out, in all */
} SwittiLossScale;

/* `scale` is rounded down to a power of two. */
void switti_loss_scale_init (SwittiLossScale *self, gboolean is_used, double scale, int interval);
/* Whether a step whose gradients are not finite is only left out; otherwise the training has diverged. */
gboolean switti_loss_scale_can_shrink (const SwittiLossScale *self);
/* After a step: what its gradients say of the scale. */
void switti_loss_scale_update (SwittiLossScale *self, gboolean is_finite);

G_END_DECLS
