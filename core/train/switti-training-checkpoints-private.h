/* switti-training-checkpoints-private.h - what a training is resumed from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A checkpoint is a model folder that generates at once, with a folder training/ beside the parts: training.json (step,
 * position in the data, options) and for each part that is trained <part>.safetensors with float32 tensors
 * "parameter.<name>", "first_moment.<name>", "second_moment.<name>" and, with --ema, "average.<name>". Random numbers
 * are a function of the seed and of what they are for, so that there is no random state to keep.
 *
 * Where ranks have pieces of the state, each piece is a file of its own (switti-training-pieces-private.h), written by
 * its rank; the model folder is written by the first rank.
 *
 * Checkpoints lie in OUT/checkpoints/step-00001000. One is written into a folder with a name that begins with a dot,
 * and renamed when all of it is on the disk; the symbolic link OUT/latest then names it.
 */
#pragma once

#include "switti-training-model-private.h"

G_BEGIN_DECLS

#define SWITTI_CHECKPOINT_FORMAT 1

/* Where a training stands. */
typedef struct
{
  gint64 step;    /* steps done */
  gint64 samples; /* images that they took */
  double loss;    /* of the last step */
} SwittiTrainingState;

typedef struct _SwittiCheckpoints SwittiCheckpoints; /* the checkpoints of one output folder, and their writer */

/* Makes `out` and its folder checkpoints, and clears away what a killed run has left half-written. `model` and
 * `options` must outlive it. */
SwittiCheckpoints *switti_checkpoints_new (const SwittiTrainingModel *model, const SwittiTrainingOptions *options,
                                           GError **error);
/* Waits for the writer; what it says is lost, unless switti_checkpoints_wait() was called before. */
void switti_checkpoints_free (SwittiCheckpoints *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiCheckpoints, switti_checkpoints_free)

/* On all ranks. Copies the model's state to host memory, and writes it on a thread of its own. Waits for the checkpoint
 * before, whose failure is reported here; when it failed nothing new is begun. */
gboolean switti_checkpoints_save (SwittiCheckpoints *self, const SwittiTrainingState *state, GError **error);
/* Waits until all is on the disk. */
gboolean switti_checkpoints_wait (SwittiCheckpoints *self, GError **error);
/* (nullable): the newest whole one, of the first rank. Folder's path. */
const char *switti_checkpoints_get_newest (SwittiCheckpoints *self);

/* Loads a checkpoint's state into the model: parameters, moments, averages. A model of another shape is an error that
 * names tensor and shapes, but for another resolution. */
gboolean switti_checkpoints_load (SwittiTrainingModel *model, const char *folder, SwittiTrainingState *state,
                                 GError **error);
/* (transfer full): the options that it was made with, an object of strings; NULL on failure. */
JsonObject *switti_checkpoints_read_options (const char *folder, GError **error);

G_END_DECLS
