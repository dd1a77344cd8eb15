/* switti-vae-trainer-private.h - the steps of an RQ-VAE's training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A step is switti_vae_trainer_begin_step(), one switti_vae_trainer_add() for each of the --grad-accum parts, and
 * switti_vae_trainer_finish_step(). What it computes follows from the model's parameters and optimizer, the options,
 * the step and the images alone. Thread: the device's.
 *
 * A codebook wears out: a code that is never the nearest gets no gradient. So each scale's use of each code is followed
 * (SWITTI_VAE_HITS among the parameters), and every --revive-iters steps those that are not used any more are moved to
 * where a latent of this step has been.
 */
#pragma once

#include "switti-training-model-private.h"
#include "switti-vae-gradients-private.h"

G_BEGIN_DECLS

typedef struct
{
  SwittiVaeLoss loss;    /* mean of the step's images */
  double gradient_norm;  /* before clipping */
  double rate, decay;
  double usage;          /* share of the codes that are used of late */
  int n_revived;
  gboolean has_diverged; /* loss or gradient are not finite */
} SwittiVaeReport;

typedef struct _SwittiVaeTrainer SwittiVaeTrainer;

/* `model` (of switti_training_model_new_vae()) and `options` must outlive it. `batch`: images of a part. */
SwittiVaeTrainer *switti_vae_trainer_new (SwittiTrainingModel *model, const SwittiTrainingOptions *options, int batch,
                                          GError **error);
void switti_vae_trainer_free (SwittiVaeTrainer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiVaeTrainer, switti_vae_trainer_free)

gboolean switti_vae_trainer_begin_step (SwittiVaeTrainer *self, GError **error);
/* pixels: host (batch, R, R, 3) in [-1, 1]. */
gboolean switti_vae_trainer_add (SwittiVaeTrainer *self, const float *pixels, GError **error);
/* `step` from 0. Where loss or gradient are not finite, no weight has changed, and SWITTI_ERROR_ARGUMENT says so. */
gboolean switti_vae_trainer_finish_step (SwittiVaeTrainer *self, gint64 step, SwittiVaeReport *report, GError **error);

/* The loss of images, of which nothing is learnt. */
gboolean switti_vae_trainer_evaluate (SwittiVaeTrainer *self, const float *pixels, SwittiVaeLoss *loss,
                                      GError **error);
/* What the last images became: host (batch, R, R, 3) u8. */
gboolean switti_vae_trainer_get_reconstruction (SwittiVaeTrainer *self, guint8 *rgb, GError **error);

G_END_DECLS
