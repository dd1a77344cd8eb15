/* switti-gradients-private.h - the loss of a transformer and its gradients
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The forward computation is the sampler's (switti-transformer-run.c), but with all scales at once, each given the true
 * coarser ones. What the backward computation needs is kept for every block, or, with `recompute`, made again block by
 * block. Everything is planned once for a number of images; a run allocates nothing.
 */
#pragma once

#include "switti-logit-statistics-private.h"
#include "switti-parameters-private.h"

G_BEGIN_DECLS

typedef struct
{
  int batch;          /* B, images at once */
  gboolean recompute; /* keep only the blocks' inputs: about a tenth of the memory for a third more work */
  double smoothing;   /* of labels */
  double loss_balance; /* b: a token of scale s weighs pn_s^-2b in the gradient, over their mean; 0: all alike
                          (published), 1: all scales alike. Losses are reported without it */
  gboolean text_gradients; /* make the gradients of the text features, too */
  gboolean drops_branches; /* batches may have branch_scales */
  int loss_rows;      /* tokens whose logits are held at once; 0 for 1024 */
} SwittiGradientsOptions;

/* One batch, on the host. Text features go to the device buffers below. */
typedef struct
{
  const float *latents;   /* (B, L - 1, Z): the pyramid's inputs of scales 1 … */
  const gint32 *codes;    /* (B, L): what is to be predicted, in [0, V) */
  const int *n_valid;     /* (B): valid text tokens, in 1 … T */
  const int *heights, *widths; /* (B): original sizes for crop conditioning; NULL: 512 x 512 */
  const float *branch_scales;  /* (depth, 3, B): what self-attention, cross-attention and FFN give to the stream is
                                  multiplied by it (stochastic depth); NULL: 1 */
} SwittiTrainingBatch;

/* Means over a batch. Of doubles alone, for ranks take the means of theirs. */
typedef struct
{
  double loss;
  double scale_loss[SWITTI_MAX_SCALES];
  double scale_accuracy[SWITTI_MAX_SCALES]; /* share of codes guessed right */
  double scale_top5[SWITTI_MAX_SCALES];     /* share among the five likeliest */
} SwittiTrainingLoss;

typedef struct _SwittiGradients SwittiGradients;

/* `parameters` are those of `config`, and must outlive it. NULL on failure. */
SwittiGradients *switti_gradients_new (SwittiParameters *parameters, const SwittiTransformerConfig *config,
                                       const SwittiGradientsOptions *options, GError **error);
void switti_gradients_free (SwittiGradients *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiGradients, switti_gradients_free)

/* Device buffers for the text features, float32: (B, T, context_dim) and (B, pooled_dim). */
float *switti_gradients_get_context (SwittiGradients *self);
float *switti_gradients_get_pooled (SwittiGradients *self);

/* Their gradients, float32 of the same shapes, as the last switti_gradients_add() has made them, its scale included; at
 * or past n_valid they are 0. NULL without text_gradients. */
const float *switti_gradients_get_context_gradient (SwittiGradients *self);
const float *switti_gradients_get_pooled_gradient (SwittiGradients *self);

/* The gradients, a flat device array as the parameters'; frozen parameters' are 0. */
float *switti_gradients_get_values (SwittiGradients *self);
gboolean switti_gradients_clear (SwittiGradients *self, GError **error);

/* The loss alone. */
gboolean switti_gradients_evaluate (SwittiGradients *self, const SwittiTrainingBatch *batch, SwittiTrainingLoss *loss,
                                    GError **error);
/* Label smoothing from now on. */
void switti_gradients_set_smoothing (SwittiGradients *self, double smoothing);
/* Adds scale * (gradient of the batch's mean loss): 1 / n for each of n accumulated batches. A code outside the
 * codebook is SWITTI_ERROR_ARGUMENT. */
gboolean switti_gradients_add (SwittiGradients *self, const SwittiTrainingBatch *batch, double scale,
                               SwittiTrainingLoss *loss, GError **error);

/* After the last of them in a step, where the parameters are shared by ranks: waits until the gradients are those of
 * all ranks, which are added up; so scale is also divided by the number of ranks. Once a step, on all ranks. */
gboolean switti_gradients_finish (SwittiGradients *self, GError **error);

/* Adds the logits of all runs to come to `statistics`, for which they are copied to the host; NULL ends that. */
void switti_gradients_set_statistics (SwittiGradients *self, SwittiLogitStatistics *statistics);

/* Logits of the last batch's first `rows` tokens, which is at most loss_rows (tests): host (rows, V). After
 * switti_gradients_evaluate() with loss_rows of at least B L. */
gboolean switti_gradients_get_logits (SwittiGradients *self, gsize rows, float *logits, GError **error);

/* Device bytes of gradients, activations and scratch. */
gsize switti_gradients_get_bytes (SwittiGradients *self);

G_END_DECLS
