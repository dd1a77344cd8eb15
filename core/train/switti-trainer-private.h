/* switti-trainer-private.h - the steps of a training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A step is switti_trainer_begin_step(), one switti_trainer_add() for each of the --grad-accum parts of this rank's
 * images, and switti_trainer_finish_step(), on all ranks. What it computes follows from the options, the images and
 * their positions alone. Thread: the device's.
 */
#pragma once

#include "switti-codes-private.h"
#include "switti-gradients-private.h"
#include "switti-training-model-private.h"

G_BEGIN_DECLS

/* Some images, on the host. */
typedef struct
{
  int n;                       /* those of a part */
  const gint32 *codes;         /* (n, L) */
  const char *const *captions; /* (n), UTF-8 */
  const int *heights, *widths; /* (n): original sizes */
  const guint64 *positions;    /* (n): in the training; they decide which captions are dropped */
} SwittiTrainingImages;

/* What a step came to. */
typedef struct
{
  SwittiTrainingLoss loss;  /* mean of the step's images */
  double gradient_norm;     /* before clipping; not finite where the step was left out, for the loss' scale */
  double loss_scale;        /* of this step; 0: it is not scaled */
  gint64 skipped;           /* steps left out so far */
  double rate, decay;       /* of this step */
  gint64 tokens;            /* of all ranks */
  gboolean has_diverged;    /* loss or gradient are not finite */
} SwittiStepReport;

typedef struct _SwittiTrainer SwittiTrainer;

/* `model` and `options` must outlive it. `batch`: images of a part. NULL on failure. */
SwittiTrainer *switti_trainer_new (SwittiTrainingModel *model, const SwittiTrainingOptions *options, int batch,
                                   GError **error);
void switti_trainer_free (SwittiTrainer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTrainer, switti_trainer_free)

/* For images that have no codes yet. */
SwittiCodes *switti_trainer_get_codes (SwittiTrainer *self);

gboolean switti_trainer_begin_step (SwittiTrainer *self, GError **error);
gboolean switti_trainer_add (SwittiTrainer *self, const SwittiTrainingImages *images, GError **error);
/* `step` from 0. Where loss or gradient are not finite, and not because of the loss' scale, nothing
 * has changed, and SWITTI_ERROR_ARGUMENT says so. */
gboolean switti_trainer_finish_step (SwittiTrainer *self, gint64 step, SwittiStepReport *report, GError **error);

/* Loss of the images with their captions, of which none is dropped, and without label smoothing. images->n must be the
 * trainer's batch. */
gboolean switti_trainer_evaluate (SwittiTrainer *self, const SwittiTrainingImages *images, SwittiTrainingLoss *loss,
                                  GError **error);

/* Adds the logits of all images to come to `statistics`; NULL ends that. */
void switti_trainer_set_statistics (SwittiTrainer *self, SwittiLogitStatistics *statistics);

/* Device bytes of activations, gradients and scratch. */
gsize switti_trainer_get_bytes (SwittiTrainer *self);

G_END_DECLS
