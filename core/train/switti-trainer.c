/* switti-trainer.c - the steps of a training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-trainer-private.h"

#include "switti-error.h"
#include "switti-random-private.h"
#include "switti-schedule-private.h"
#include "switti-text-cache-private.h"
#include "switti-text-encoder-private.h"
#include "switti-text-gradients-private.h"
#include "switti-tokenizer-private.h"
#include "switti-training-product-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

struct _SwittiTrainer
{
  SwittiTrainingModel *model;
  const SwittiTrainingOptions *options;
  SwittiDevice *device;
  int batch; /* B */
  gsize length, trained; /* L of all scales, and of those that are trained */
  SwittiLearningSchedule schedule;
  SwittiRandom captions; /* decides which are dropped, */
  SwittiRandom branches; /* and which branches */
  SwittiCodes *codes;
  SwittiGradients *gradients;
  SwittiTextGradients *text_gradients[2]; /* one of these two kinds: the trained one */
  SwittiTextEncoder *text_encoders[2];
  SwittiTextCache *text_cache; /* NULL without --cache-text */
  float *flat[SWITTI_N_PARTS]; /* the gradients of all parts */

  float *latents;    /* host (B, L - 1, Z) */
  float *first_latents; /* host (B, trained - 1, Z), as first_codes (B, trained); NULL where all scales are trained */
  gint32 *first_codes;
  float *branch_scales; /* host (depth, 3, B), NULL without --drop-path-rate */
  gint32 *ids[2];    /* host (B, T) */
  int *n_valid[2];   /* host (B) */
  int n_added;       /* parts of this step so far */
  SwittiTrainingLoss loss; /* their sum */
};

/* -- life ------------------------------------------------------------------------------------------------------ */

static gboolean
make_text (SwittiTrainer *self, GError **error)
{
  SwittiTrainingModel *model = self->model;

  for (int i = 0; i < 2; i++)
    if (model->n_parts > 1)
      {
        self->text_gradients[i]
            = switti_text_gradients_new (model->parameters[i + 1], &model->text[i], self->batch, error);
        if (self->text_gradients[i] == NULL)
          return FALSE;
        self->flat[i + 1] = switti_text_gradients_get_values (self->text_gradients[i]);
      }
    else
      {
        self->text_encoders[i] = switti_text_encoder_new (self->device, &model->text[i],
                                                          model->text_parts->text_weights[i],
                                                          switti_training_activations (model->dtype),
                                                          self->batch, error);
        if (self->text_encoders[i] == NULL)
          return FALSE;
      }
  return TRUE;
}

SwittiTrainer *
switti_trainer_new (SwittiTrainingModel *model, const SwittiTrainingOptions *options, int batch, GError **error)
{
  g_autoptr (SwittiTrainer) self = g_new0 (SwittiTrainer, 1);
  const SwittiGradientsOptions gradients = {
    .batch = batch,
    .recompute = options->use_gradient_checkpointing,
    .smoothing = options->ls,
    .loss_balance = options->loss_balance,
    .loss_rows = options->loss_rows,
    .text_gradients = model->n_parts > 1,
    .drops_branches = options->drop_path_rate > 0,
  };
  SwittiTransformerConfig config = model->transformer;

  g_assert (batch > 0);
  if (options->train_scales > 0)
    config.schedule.n_scales = MIN (options->train_scales, config.schedule.n_scales);
  self->model = model;
  self->options = options;
  self->device = g_object_ref (model->device);
  self->batch = batch;
  self->captions = switti_random_new (options->seed, "captions");
  self->length = (gsize) switti_schedule_length (&model->transformer.schedule);
  self->trained = (gsize) switti_schedule_length (&config.schedule);
  self->latents = g_new (float, (gsize) batch * (self->length - 1) * (gsize) config.latent);
  if (self->trained < self->length)
    {
      self->first_latents = g_new (float, (gsize) batch * (self->trained - 1) * (gsize) config.latent);
      self->first_codes = g_new (gint32, (gsize) batch * self->trained);
    }
  self->branches = switti_random_new (options->seed, "branches");
  if (gradients.drops_branches)
    self->branch_scales = g_new (float, 3 * (gsize) (batch * model->transformer.depth));
  for (int i = 0; i < 2; i++)
    {
      self->ids[i] = g_new (gint32, (gsize) batch * SWITTI_TEXT_LENGTH);
      self->n_valid[i] = g_new (int, (gsize) batch);
    }
  self->codes = switti_codes_new (self->device, &model->vae, model->vae_weights, batch, error);
  if (self->codes == NULL || !switti_training_options_get_learning (options, &self->schedule, error))
    return NULL;
  self->gradients = switti_gradients_new (switti_training_model_get_transformer (model), &config, &gradients, error);
  if (self->gradients == NULL || !make_text (self, error))
    return NULL;
  self->flat[SWITTI_PART_TRANSFORMER] = model->low_rank != NULL ? switti_low_rank_get_gradients (model->low_rank)
                                                                : switti_gradients_get_values (self->gradients);
  if (options->cache_text)
    {
      self->text_cache = switti_text_cache_new (model, options, error);
      if (self->text_cache == NULL)
        return NULL;
    }
  return g_steal_pointer (&self);
}

void
switti_trainer_free (SwittiTrainer *self)
{
  if (self == NULL)
    return;
  switti_gradients_free (self->gradients);
  switti_codes_free (self->codes);
  switti_text_cache_free (self->text_cache);
  for (int i = 0; i < 2; i++)
    {
      switti_text_gradients_free (self->text_gradients[i]);
      g_clear_pointer (&self->text_encoders[i], switti_text_encoder_free);
      g_free (self->ids[i]);
      g_free (self->n_valid[i]);
    }
  g_free (self->latents);
  g_free (self->first_latents);
  g_free (self->first_codes);
  g_free (self->branch_scales);
  g_object_unref (self->device);
  g_free (self);
}

SwittiCodes *
switti_trainer_get_codes (SwittiTrainer *self)
{
  return self->codes;
}

void
switti_trainer_set_statistics (SwittiTrainer *self, SwittiLogitStatistics *statistics)
{
  switti_gradients_set_statistics (self->gradients, statistics);
}

gsize
switti_trainer_get_bytes (SwittiTrainer *self)
{
  gsize bytes = switti_gradients_get_bytes (self->gradients);

  for (int i = 0; i < 2; i++)
    if (self->text_gradients[i] != NULL)
      bytes += switti_text_gradients_get_bytes (self->text_gradients[i]);
  return bytes;
}

/* -- text ------------------------------------------------------------------------------------------------------ */

static gboolean
is_dropped (const SwittiTrainer *self, guint64 position)
{
  guint32 words[4];

  switti_random_words (&self->captions, position, 0, words);
  return words[0] * 0x1p-32 < self->options->uncond_proba;
}

static void
tokenize (SwittiTrainer *self, const SwittiTrainingImages *images, gboolean drops)
{
  for (int b = 0; b < self->batch; b++)
    {
      const gboolean dropped = drops && is_dropped (self, images->positions[b]);
      const char *caption = dropped ? "" : images->captions[b];

      for (int i = 0; i < 2; i++)
        self->n_valid[i][b] = switti_tokenizer_encode_padded (self->model->text_parts->tokenizer[i], caption,
                                                              self->ids[i] + b * SWITTI_TEXT_LENGTH);
    }
}

/* Block i of n goes without a branch for a share i / (n - 1) of the rate; the others are enlarged to the same mean. */
static const float *
drop_branches (SwittiTrainer *self, const SwittiTrainingImages *images)
{
  const int depth = self->model->transformer.depth;

  for (int i = 0; i < 3 * depth && self->branch_scales != NULL; i++)
    {
      const double rate = depth > 1 ? self->options->drop_path_rate * (i / 3) / (depth - 1) : 0;

      for (int b = 0; b < self->batch; b++)
        {
          guint32 words[4];

          switti_random_words (&self->branches, images->positions[b], (guint) i, words);
          self->branch_scales[i * self->batch + b] = words[0] * 0x1p-32 < rate ? 0.0f : (float) (1 / (1 - rate));
        }
    }
  return self->branch_scales;
}

/* The captions' features, to where the transformer reads them: by the encoders. */
static gboolean
compute_text (SwittiTrainer *self, GError **error)
{
  const gint64 stride = self->model->transformer.context_dim;
  float *context = switti_gradients_get_context (self->gradients);
  float *pooled = switti_gradients_get_pooled (self->gradients);

  for (int i = 0; i < 2; i++)
    {
      float *hidden = context + (i == 0 ? 0 : self->model->text[0].width), *end = i == 0 ? NULL : pooled;

      if (self->text_gradients[i] != NULL
              ? !switti_text_gradients_forward (self->text_gradients[i], self->ids[i], self->n_valid[i], hidden,
                                                stride, end, error)
              : !switti_text_encoder_encode (self->text_encoders[i], self->batch, self->ids[i], self->n_valid[i],
                                             hidden, stride, end, error))
        return FALSE;
    }
  return TRUE;
}

/* The same from the cache, where it has all of them. */
static gboolean
encode_text (SwittiTrainer *self, GError **error)
{
  float *context = switti_gradients_get_context (self->gradients);
  float *pooled = switti_gradients_get_pooled (self->gradients);
  const gint32 *const ids[2] = { self->ids[0], self->ids[1] };
  const int *const n_valid[2] = { self->n_valid[0], self->n_valid[1] };
  gboolean is_there = FALSE;

  if (self->text_cache == NULL)
    return compute_text (self, error);
  return switti_text_cache_get (self->text_cache, self->batch, ids, n_valid, context, pooled, &is_there, error)
         && (is_there
             || (compute_text (self, error)
                 && switti_text_cache_put (self->text_cache, self->batch, ids, n_valid, context, pooled, error)));
}

static gboolean
text_backward (SwittiTrainer *self, GError **error)
{
  const gint64 stride = self->model->transformer.context_dim;
  const float *d_context = switti_gradients_get_context_gradient (self->gradients);
  const float *d_pooled = switti_gradients_get_pooled_gradient (self->gradients);

  for (int i = 0; i < 2; i++)
    if (self->text_gradients[i] != NULL
        && !switti_text_gradients_backward (self->text_gradients[i],
                                            d_context + (i == 0 ? 0 : self->model->text[0].width), stride,
                                            i == 0 ? NULL : d_pooled, error))
      return FALSE;
  return TRUE;
}

/* -- steps ----------------------------------------------------------------------------------------------------- */

gboolean
switti_trainer_begin_step (SwittiTrainer *self, GError **error)
{
  memset (&self->loss, 0, sizeof self->loss);
  self->n_added = 0;
  for (int i = 0; i < 2; i++)
    if (self->text_gradients[i] != NULL && !switti_text_gradients_clear (self->text_gradients[i], error))
      return FALSE;
  return switti_gradients_clear (self->gradients, error);
}

/* What the trained scales are given and have to say, where they are only the first ones of all. */
static void
pick_first_scales (SwittiTrainer *self, SwittiTrainingBatch *batch)
{
  const gsize given = (self->trained - 1) * (gsize) self->model->transformer.latent;
  const gsize all = (self->length - 1) * (gsize) self->model->transformer.latent;

  if (self->first_codes == NULL)
    return;
  for (gsize b = 0; b < (gsize) self->batch; b++)
    {
      memcpy (self->first_latents + b * given, batch->latents + b * all, given * sizeof (float));
      memcpy (self->first_codes + b * self->trained, batch->codes + b * self->length,
              self->trained * sizeof (gint32));
    }
  batch->latents = self->first_latents;
  batch->codes = self->first_codes;
}

/* What the gradients are computed from; text features are put where they belong. */
static gboolean
prepare (SwittiTrainer *self, const SwittiTrainingImages *images, gboolean drops, SwittiTrainingBatch *batch,
         GError **error)
{
  g_assert (images->n == self->batch);
  tokenize (self, images, drops);
  *batch = (SwittiTrainingBatch){ self->latents, images->codes, self->n_valid[1], images->heights, images->widths,
                                  drops ? drop_branches (self, images) : NULL };
  if (!switti_codes_get_latents (self->codes, self->batch, images->codes, self->latents, error))
    return FALSE;
  pick_first_scales (self, batch);
  return encode_text (self, error);
}

static void
add_loss (SwittiTrainer *self, const SwittiTrainingLoss *loss)
{
  self->loss.loss += loss->loss;
  for (int s = 0; s < self->model->transformer.schedule.n_scales; s++)
    {
      self->loss.scale_loss[s] += loss->scale_loss[s];
      self->loss.scale_accuracy[s] += loss->scale_accuracy[s];
      self->loss.scale_top5[s] += loss->scale_top5[s];
    }
}

gboolean
switti_trainer_add (SwittiTrainer *self, const SwittiTrainingImages *images, GError **error)
{
  const double parts = self->options->grad_accum * (double) switti_training_model_get_n_ranks (self->model);
  SwittiTrainingBatch batch;
  SwittiTrainingLoss loss;

  if (!prepare (self, images, TRUE, &batch, error)
      || !switti_gradients_add (self->gradients, &batch, self->model->loss_scale.scale / parts, &loss, error)
      || !text_backward (self, error))
    return FALSE;
  add_loss (self, &loss);
  self->n_added++;
  return TRUE;
}

/* Waits for the other ranks' gradients, and takes the means of all ranks' losses. */
static gboolean
meet (SwittiTrainer *self, SwittiTrainingLoss *loss, GError **error)
{
  for (int i = 0; i < 2; i++)
    if (self->text_gradients[i] != NULL && !switti_text_gradients_finish (self->text_gradients[i], error))
      return FALSE;
  return switti_gradients_finish (self->gradients, error)
         && (self->model->low_rank == NULL
             || switti_low_rank_backward (self->model->low_rank, switti_gradients_get_values (self->gradients), error))
         && switti_training_model_average (self->model, (double *) loss, sizeof *loss / sizeof (double), error);
}

/* Moves the weights, or leaves the step out where only the loss' scale was too large. */
static gboolean
end_step (SwittiTrainer *self, gint64 step, SwittiStepReport *report, GError **error)
{
  SwittiLossScale *scale = &self->model->loss_scale;
  const gboolean is_finite = isfinite (report->gradient_norm);

  report->loss_scale = scale->is_used ? scale->scale : 0;
  report->has_diverged
      = !isfinite (report->loss.loss) || (!is_finite && !switti_loss_scale_can_shrink (scale));
  if (report->has_diverged)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The training has diverged: at step %" PRId64 " the loss is %g and the gradient's norm "
                      "%g."),
                   step + 1, report->loss.loss, report->gradient_norm);
      return FALSE;
    }
  if (is_finite
      && !switti_training_model_step (self->model, self->flat, report->gradient_norm, report->rate, report->decay,
                                      error))
    return FALSE;
  switti_training_model_update_loss_scale (self->model, is_finite);
  report->skipped = scale->skipped;
  return TRUE;
}

gboolean
switti_trainer_finish_step (SwittiTrainer *self, gint64 step, SwittiStepReport *report, GError **error)
{
  const int n_scales = self->model->transformer.schedule.n_scales;

  g_assert (self->n_added == self->options->grad_accum);
  *report = (SwittiStepReport){
    .loss = self->loss,
    .rate = switti_learning_schedule_rate (&self->schedule, step),
    .decay = switti_learning_schedule_decay (&self->schedule, step),
    .tokens = (gint64) self->n_added * self->batch * (gint64) self->trained
              * switti_training_model_get_n_ranks (self->model),
  };
  report->loss.loss /= self->n_added;
  for (int s = 0; s < n_scales; s++)
    {
      report->loss.scale_loss[s] /= self->n_added;
      report->loss.scale_accuracy[s] /= self->n_added;
      report->loss.scale_top5[s] /= self->n_added;
    }
  if (!meet (self, &report->loss, error)
      || !switti_training_model_measure (self->model, self->flat, &report->gradient_norm, error))
    return FALSE;
  return end_step (self, step, report, error);
}

gboolean
switti_trainer_evaluate (SwittiTrainer *self, const SwittiTrainingImages *images, SwittiTrainingLoss *loss,
                         GError **error)
{
  SwittiTrainingBatch batch;
  gboolean good;

  if (!prepare (self, images, FALSE, &batch, error))
    return FALSE;
  switti_gradients_set_smoothing (self->gradients, 0);
  good = switti_gradients_evaluate (self->gradients, &batch, loss, error);
  switti_gradients_set_smoothing (self->gradients, self->options->ls);
  return good;
}
