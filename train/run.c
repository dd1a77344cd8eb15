/* run.c - a training from its first step, or the newest checkpoint, to its last
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-error.h"
#include "train.h"

#include <glib/gi18n.h>
#include <string.h>

typedef struct
{
  const SwittiTrainingOptions *options;
  const TrainRanks *ranks;
  SwittiDevice *device;
  SwittiTrainingModel *model;
  TrainSession session;
  SwittiTrainer *trainer;
  TrainImages *images, *validation;
  TrainLog *log;
  TrainEvents *events;
  int batch;         /* images of a part */
} Run;

/* -- beginning ------------------------------------------------------------------------------------------------- */

static void
run_clear (Run *self)
{
  train_log_free (self->log);
  train_events_free (self->events);
  train_images_free (self->images);
  train_images_free (self->validation);
  switti_trainer_free (self->trainer);
  train_session_clear (&self->session);
  switti_training_model_free (self->model);
  g_clear_object (&self->device);
}

static gboolean
begin (Run *self, GError **error)
{
  const SwittiTrainingOptions *options = self->options;

  if (!train_ranks_share_batch (self->ranks, options, &self->batch, error))
    return FALSE;
  self->device = train_ranks_open_device (self->ranks, options->device, options->threads, error);
  if (self->device == NULL)
    return FALSE;
  self->model = switti_training_model_new (self->device, options, self->ranks->all, error);
  if (self->model == NULL)
    return FALSE;
  if (!train_session_begin (&self->session, options, self->model, error))
    return FALSE;
  self->trainer = switti_trainer_new (self->model, options, self->batch, error);
  if (self->trainer == NULL)
    return FALSE;
  self->images = train_images_new ("train2014", self->model, options, switti_trainer_get_codes (self->trainer),
                                   self->batch, (guint64) self->session.state.samples, error);
  if (self->images == NULL)
    return FALSE;
  if (options->val_iters > 0)
    self->validation = train_images_new ("val2014", self->model, options, switti_trainer_get_codes (self->trainer),
                                         self->batch, 0, error);
  if (options->val_iters > 0 && self->validation == NULL)
    return FALSE;
  if (self->ranks->rank > 0)
    return TRUE;
  self->log = train_log_new (options, &self->session.state, self->model->transformer.schedule.n_scales, error);
  if (self->log == NULL)
    return FALSE;
  self->events = train_events_new (options, &self->session.state, &self->model->transformer, error);
  if (self->events == NULL)
    return FALSE;
  train_say (_ ("%.1f million parameters on %s, %u images, %.2f GB of activations and gradients."),
             (double) switti_training_model_count (self->model) * 1e-6, switti_device_get_description (self->device),
             train_images_get_n (self->images), (double) switti_trainer_get_bytes (self->trainer) * 1e-9);
  return TRUE;
}

/* -- going on -------------------------------------------------------------------------------------------------- */

/* Loss on the validation images; what does not fill a batch is left out. */
static gboolean
validate (Run *self, GError **error)
{
  SwittiTrainingLoss total = { 0 }, loss;
  SwittiTrainingImages images;
  gboolean goes_on = TRUE;
  gint64 n = 0;

  if (!train_images_rewind (self->validation, error))
    return FALSE;
  while (n * self->batch * self->ranks->n < self->options->val_images)
    {
      if (!train_images_next (self->validation, &images, error)
          || !train_ranks_all (self->ranks, images.n == self->batch && !train_is_stopped (), &goes_on, error))
        return FALSE;
      if (!goes_on)
        break;
      if (!switti_trainer_evaluate (self->trainer, &images, &loss, error))
        return FALSE;
      n++;
      total.loss += (loss.loss - total.loss) / (double) n;
      for (int s = 0; s < self->model->transformer.schedule.n_scales; s++)
        {
          total.scale_loss[s] += (loss.scale_loss[s] - total.scale_loss[s]) / (double) n;
          total.scale_accuracy[s] += (loss.scale_accuracy[s] - total.scale_accuracy[s]) / (double) n;
          total.scale_top5[s] += (loss.scale_top5[s] - total.scale_top5[s]) / (double) n;
        }
    }
  if (n == 0)
    return TRUE;
  if (!switti_training_model_average (self->model, (double *) &total, sizeof total / sizeof (double), error))
    return FALSE;
  return self->ranks->rank > 0
         || (train_log_validation (self->log, self->session.state.step, &total, n * self->batch * self->ranks->n, error)
             && train_events_validation (self->events, self->session.state.step, &total, error));
}

static gboolean
take_step (Run *self, GError **error)
{
  SwittiTrainingImages images;
  SwittiStepReport report = { 0 };

  if (self->ranks->rank == 0)
    switti_trainer_set_statistics (self->trainer, train_events_begin_step (self->events, self->session.state.step + 1));
  if (!switti_trainer_begin_step (self->trainer, error))
    return FALSE;
  for (int i = 0; i < self->options->grad_accum; i++)
    if (!train_images_next (self->images, &images, error) || !switti_trainer_add (self->trainer, &images, error))
      return FALSE;
  if (!switti_trainer_finish_step (self->trainer, self->session.state.step, &report, error))
    {
      if (report.has_diverged)
        train_session_name_last_good (&self->session, error);
      return FALSE;
    }
  self->session.state.step++;
  self->session.state.samples += self->options->bs;
  self->session.state.loss = report.loss.loss;
  switti_trainer_set_statistics (self->trainer, NULL);
  return self->ranks->rank > 0
         || (train_log_step (self->log, self->session.state.step, &report, error)
             && train_events_step (self->events, self->session.state.step, &report, error))
         || train_session_blame_checkpoint (&self->session, error);
}

static gboolean
wants_pictures (Run *self)
{
  return self->options->sample_prompts != NULL && self->session.state.step % self->options->log_images_iters == 0;
}

/* Pictures of the weights as they are now, painted as the plug-in would: from the model folder, by the first rank. */
static gboolean
paint (Run *self, GError **error)
{
  return train_session_save_at_end (&self->session, error)
         && (self->ranks->rank > 0
             || train_events_paint (self->events, self->session.state.step,
                                    switti_checkpoints_get_newest (self->session.checkpoints), self->device, error));
}

static gboolean
train (Run *self, GError **error)
{
  const SwittiTrainingOptions *options = self->options;

  while (self->session.state.step < options->max_iters)
    {
      gboolean goes_on;

      /* A signal may reach the ranks at different steps. */
      if (!train_ranks_all (self->ranks, !train_is_stopped (), &goes_on, error))
        return FALSE;
      if (!goes_on)
        break;
      if (!take_step (self, error))
        return FALSE;
      if (options->val_iters > 0 && self->session.state.step % options->val_iters == 0 && !validate (self, error))
        return FALSE;
      if (self->session.state.step % options->save_iters == 0 && !train_session_save (&self->session, error))
        return FALSE;
      if (wants_pictures (self) && !paint (self, error))
        return FALSE;
    }
  return train_session_save_at_end (&self->session, error);
}

gboolean
train_run (const SwittiTrainingOptions *options, const TrainRanks *ranks, GError **error)
{
  Run run = { .options = options, .ranks = ranks };
  gboolean good;

  train_catch_signals ();
  good = begin (&run, error) && train (&run, error);
  if (good)
    train_say (train_is_stopped () ? _ ("Stopped at step %d; the same command goes on from “%s”.")
                                   : _ ("Done: %d steps; the model is “%s”."),
               (int) run.session.state.step, switti_checkpoints_get_newest (run.session.checkpoints));
  run_clear (&run);
  return good;
}
