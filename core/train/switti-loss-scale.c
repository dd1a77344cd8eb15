/* switti-loss-scale.c - what the loss of float16 training is multiplied by
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-loss-scale-private.h"

#include <math.h>

void
switti_loss_scale_init (SwittiLossScale *self, gboolean is_used, double scale, int interval)
{
  g_assert (interval > 0);
  *self = (SwittiLossScale){ .scale = 1, .is_used = is_used, .interval = interval };
  if (is_used)
    self->scale = MAX (exp2 (floor (log2 (scale))), SWITTI_LOSS_SCALE_MIN);
}

gboolean
switti_loss_scale_can_shrink (const SwittiLossScale *self)
{
  return self->is_used && self->scale > SWITTI_LOSS_SCALE_MIN;
}

void
switti_loss_scale_update (SwittiLossScale *self, gboolean is_finite)
{
  if (!self->is_used)
    return;
  if (!is_finite)
    {
      self->scale = MAX (self->scale / 2, SWITTI_LOSS_SCALE_MIN);
      self->good_steps = 0;
      self->skipped++;
    }
  else if (++self->good_steps >= self->interval)
    {
      if (self->scale < SWITTI_LOSS_SCALE_MAX)
        self->scale *= 2;
      self->good_steps = 0;
    }
}
