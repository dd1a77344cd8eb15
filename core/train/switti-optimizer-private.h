/* switti-optimizer-private.h - AdamW over all parameters, with clipping and a moving average
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-parameters-private.h"

G_BEGIN_DECLS

typedef struct
{
  double beta1, beta2, eps; /* published: 0.9, 0.95, 1e-8 */
  double clip;              /* of the gradient's norm; 0: none */
  double average_decay;     /* of the moving average of the parameters, less in the first steps; 0: none is kept */
} SwittiOptimizerOptions;

typedef struct _SwittiOptimizer SwittiOptimizer;

/* Moments start at 0, the average at the parameters as they are. `parameters` must outlive the optimizer. */
SwittiOptimizer *switti_optimizer_new (SwittiParameters *parameters, const SwittiOptimizerOptions *options,
                                       GError **error);
void switti_optimizer_free (SwittiOptimizer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiOptimizer, switti_optimizer_free)

/* The gradients are those of the loss times `scale` from now on: they are divided by it. At first 1. */
void switti_optimizer_set_loss_scale (SwittiOptimizer *self, double scale);

/* 2-norm of all gradients but those of frozen parameters, over all ranks' pieces. `gradients`: a flat device array. */
gboolean switti_optimizer_measure (SwittiOptimizer *self, const float *gradients, double *norm, GError **error);

/* One step. `norm`, as switti_optimizer_measure() gives it, decides on clipping. Updates the parameters and their
 * copies. A norm that is not finite changes nothing and is SWITTI_ERROR_ARGUMENT: the loss has diverged. */
gboolean switti_optimizer_step (SwittiOptimizer *self, const float *gradients, double norm, double rate, double decay,
                                GError **error);

/* What a checkpoint keeps: flat device arrays; average is NULL without average_decay. */
float *switti_optimizer_get_first_moment (SwittiOptimizer *self);
float *switti_optimizer_get_second_moment (SwittiOptimizer *self);
float *switti_optimizer_get_average (SwittiOptimizer *self);
/* Steps taken, which the moments' correction counts. */
gint64 switti_optimizer_get_n_steps (SwittiOptimizer *self);
void switti_optimizer_set_n_steps (SwittiOptimizer *self, gint64 n_steps);

G_END_DECLS
