/* switti-training-model-private.h - the parts of a model that are trained together
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The transformer, and with --train-text both text encoders: for each its parameters and its optimizer. One norm of the
 * gradients is taken over all of them, and one learning rate moves them.
 */
#pragma once

#include "switti-bundle-private.h"
#include "switti-loss-scale-private.h"
#include "switti-low-rank-private.h"
#include "switti-optimizer-private.h"
#include "switti-training-options-private.h"

G_BEGIN_DECLS

typedef enum
{
  SWITTI_PART_TRANSFORMER,
  SWITTI_PART_TEXT,
  SWITTI_PART_TEXT_2,
  SWITTI_N_PARTS
} SwittiPart;

typedef struct
{
  SwittiDevice *device;
  SwittiSharding *sharding; /* (nullable): one rank */
  SwittiDtype dtype; /* of products: of activations, but for F16 (switti_training_activations()) */
  SwittiLossScale loss_scale;
  SwittiTransformerConfig transformer;
  SwittiVaeConfig vae; /* with the training's scales */
  SwittiTextConfig text[2];
  gboolean is_vae;            /* an RQ-VAE alone is trained: part 0 */
  char *vae_folder;           /* a model, or at least its folder vae/; NULL: an RQ-VAE from scratch */
  SwittiWeights *vae_weights; /* of it */
  SwittiBundle *text_source;
  const SwittiBundleParts *text_parts; /* of it; both are NULL for an RQ-VAE */
  int n_parts;                         /* 1, or 3 where the text encoders are trained */
  SwittiLowRank *low_rank;      /* (nullable): a LoRA is trained; its factors are part 0 */
  SwittiParameters *frozen;     /* then, the transformer's parameters, */
  SwittiWeights *frozen_source; /* and where they are from */
  SwittiParameters *parameters[SWITTI_N_PARTS];
  SwittiOptimizer *optimizers[SWITTI_N_PARTS];
} SwittiTrainingModel;

/* Opens the models that the options name, and makes parameters with their first values: random, or those of --init.
 * `ranks` train it together; NULL: one does. NULL on failure. */
SwittiTrainingModel *switti_training_model_new (SwittiDevice *device, const SwittiTrainingOptions *options,
                                                SwittiCollective *ranks, GError **error);
/* The same for an RQ-VAE, on one rank: from the one of --init, or of the shape that the options name. */
SwittiTrainingModel *switti_training_model_new_vae (SwittiDevice *device, const SwittiTrainingOptions *options,
                                                    GError **error);
void switti_training_model_free (SwittiTrainingModel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTrainingModel, switti_training_model_free)

/* What the transformer is computed with. */
SwittiParameters *switti_training_model_get_transformer (const SwittiTrainingModel *self);

/* The folder of a part in a model. */
const char *switti_training_model_get_part_name (const SwittiTrainingModel *model, int part);

/* 2-norm over all parts; gradients[i]: the flat array of part i. */
gboolean switti_training_model_measure (SwittiTrainingModel *self, float *const gradients[SWITTI_N_PARTS],
                                        double *norm, GError **error);
/* What is to become of the loss' scale after a step whose gradients were finite or not. */
void switti_training_model_update_loss_scale (SwittiTrainingModel *self, gboolean is_finite);
/* As a checkpoint has it. */
void switti_training_model_set_loss_scale (SwittiTrainingModel *self, double scale, gint64 good_steps, gint64 skipped);
/* One step of all optimizers. SWITTI_ERROR_ARGUMENT where norm is not finite. */
gboolean switti_training_model_step (SwittiTrainingModel *self, float *const gradients[SWITTI_N_PARTS], double norm,
                                     double rate, double decay, GError **error);

/* Which of how many ranks this is: 0 of 1 without others. */
int switti_training_model_get_rank (const SwittiTrainingModel *self);
int switti_training_model_get_n_ranks (const SwittiTrainingModel *self);
/* Means over all ranks of `count` numbers, on all of them. */
gboolean switti_training_model_average (const SwittiTrainingModel *self, double *numbers, gsize count,
                                        GError **error);

/* Number of trained parameters. */
gsize switti_training_model_count (SwittiTrainingModel *self);

G_END_DECLS
