/* switti-gradient-array-private.h - the gradients of parameters, summed over ranks
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * This rank keeps the sums of its pieces. A whole unit's gradients are here while its backward computation adds to
 * them; then they are summed over the ranks, while the next unit is computed with. On one rank, and where all ranks
 * have all parameters, the whole array is here, and is summed at last.
 */
#pragma once

#include "switti-parameters-private.h"

G_BEGIN_DECLS

typedef struct _SwittiGradientArray SwittiGradientArray;

/* All 0. `parameters` must outlive it. NULL on failure. */
SwittiGradientArray *switti_gradient_array_new (SwittiParameters *parameters, GError **error);
void switti_gradient_array_free (SwittiGradientArray *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiGradientArray, switti_gradient_array_free)

/* Before a computation adds to a unit's gradients, and after it. */
gboolean switti_gradient_array_acquire (SwittiGradientArray *self, guint unit, GError **error);
gboolean switti_gradient_array_release (SwittiGradientArray *self, guint unit, GError **error);
/* Element `offset` of a unit that is held. */
float *switti_gradient_array_at (SwittiGradientArray *self, gsize offset);

/* Sets the sums to 0. */
gboolean switti_gradient_array_clear (SwittiGradientArray *self, GError **error);
/* After the last computation of a step: waits until the sums over all ranks are here. Once a step, on all ranks. */
gboolean switti_gradient_array_finish (SwittiGradientArray *self, GError **error);
/* This rank's sums: a flat device array as switti_parameters_get_values(). */
float *switti_gradient_array_get_values (SwittiGradientArray *self);
gsize switti_gradient_array_get_bytes (SwittiGradientArray *self);

G_END_DECLS
