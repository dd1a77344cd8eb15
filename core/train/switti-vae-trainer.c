/* switti-vae-trainer.c - the steps of an RQ-VAE's training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-vae-trainer-private.h"

#include "switti-error.h"
#include "switti-psnr-private.h"
#include "switti-random-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define PIXELS_PER_LATENT 16
/* Of the mean of a code's use, at each part of a step: a code that was used like any other and then no more falls below
 * the limit after 194. */
#define HITS_DECAY 0.98
#define UNUSED 0.02 /* of an even share */

struct _SwittiVaeTrainer
{
  SwittiTrainingModel *model;
  const SwittiTrainingOptions *options;
  SwittiDevice *device;
  int batch; /* B */
  gsize n_values; /* of the images of a part */
  SwittiLearningSchedule schedule;
  SwittiRandom revival;
  SwittiVaeGradients *gradients;
  float *hits; /* host (S, V) */
  gint32 *codes; /* host (B, pn pn) of the last scale, the largest */
  float *reconstruction; /* host (B, R, R, 3) */
  int n_added; /* parts of this step so far */
  SwittiVaeLoss loss; /* their sum */
};

static gsize
n_hits (const SwittiVaeTrainer *self)
{
  return (gsize) self->model->vae.schedule.n_scales * (gsize) self->model->vae.vocab;
}

SwittiVaeTrainer *
switti_vae_trainer_new (SwittiTrainingModel *model, const SwittiTrainingOptions *options, int batch, GError **error)
{
  g_autoptr (SwittiVaeTrainer) self = g_new0 (SwittiVaeTrainer, 1);
  const SwittiSchedule *schedule = &model->vae.schedule;
  const gsize side = (gsize) schedule->side[schedule->n_scales - 1];

  g_assert (batch > 0 && model->is_vae);
  self->model = model;
  self->options = options;
  self->device = g_object_ref (model->device);
  self->batch = batch;
  self->n_values = (gsize) batch * side * side * PIXELS_PER_LATENT * PIXELS_PER_LATENT * 3;
  self->revival = switti_random_new (options->seed, "revived codes");
  self->hits = g_new (float, n_hits (self));
  self->codes = g_new (gint32, (gsize) batch * side * side);
  self->reconstruction = g_new (float, self->n_values);
  if (!switti_training_options_get_learning (options, &self->schedule, error))
    return NULL;
  self->gradients = switti_vae_gradients_new (model->parameters[0], &model->vae, batch, error);
  return self->gradients != NULL ? g_steal_pointer (&self) : NULL;
}

void
switti_vae_trainer_free (SwittiVaeTrainer *self)
{
  if (self == NULL)
    return;
  switti_vae_gradients_free (self->gradients);
  g_free (self->hits);
  g_free (self->codes);
  g_free (self->reconstruction);
  g_object_unref (self->device);
  g_free (self);
}

/* -- the codebook's use ---------------------------------------------------------------------------------------- */

/* Writes to the parameters, and to their average, which is what a model is saved from. */
static gboolean
write_parameter (SwittiVaeTrainer *self, gsize offset, gsize count, const float *values, GError **error)
{
  float *average = switti_optimizer_get_average (self->model->optimizers[0]);

  SWITTI_RUN (self->device, upload, switti_parameters_get_values (self->model->parameters[0]) + offset, values,
              count * sizeof (float));
  if (average != NULL)
    SWITTI_RUN (self->device, upload, average + offset, values, count * sizeof (float));
  return TRUE;
}

static gsize
find_hits (const SwittiVaeTrainer *self)
{
  return switti_parameters_find (self->model->parameters[0], SWITTI_VAE_HITS)->offset;
}

static gboolean
read_hits (SwittiVaeTrainer *self, GError **error)
{
  SWITTI_RUN (self->device, download, self->hits,
              switti_parameters_get_values (self->model->parameters[0]) + find_hits (self),
              n_hits (self) * sizeof (float));
  return TRUE;
}

/* After a part: the codes that it chose. */
static gboolean
follow_hits (SwittiVaeTrainer *self, GError **error)
{
  const SwittiVaeConfig *vae = &self->model->vae;

  if (!read_hits (self, error))
    return FALSE;
  for (int s = 0; s < vae->schedule.n_scales; s++)
    {
      const gsize n = (gsize) self->batch * (gsize) vae->schedule.side[s] * (gsize) vae->schedule.side[s];
      const float one = (float) ((1 - HITS_DECAY) * vae->vocab / (double) n);
      float *hits = self->hits + (gsize) s * (gsize) vae->vocab;

      SWITTI_RUN (self->device, download, self->codes, switti_vae_gradients_get_codes (self->gradients, s),
                  n * sizeof (gint32));
      for (int v = 0; v < vae->vocab; v++)
        hits[v] *= (float) HITS_DECAY;
      for (gsize i = 0; i < n; i++)
        hits[self->codes[i]] += one;
    }
  return write_parameter (self, find_hits (self), n_hits (self), self->hits, error);
}

static gboolean
is_used (const SwittiVaeTrainer *self, int code)
{
  for (int s = 0; s < self->model->vae.schedule.n_scales; s++)
    if (self->hits[(gsize) s * (gsize) self->model->vae.vocab + (gsize) code] >= (float) UNUSED)
      return TRUE;
  return FALSE;
}

/* To a random place's residual of a random scale, as if it were new. */
static gboolean
revive_code (SwittiVaeTrainer *self, gint64 step, int code, GError **error)
{
  const SwittiVaeConfig *vae = &self->model->vae;
  const gsize z = (gsize) vae->latent;
  const gsize offset
      = switti_parameters_find (self->model->parameters[0], "quantize.embedding.weight")->offset + (gsize) code * z;
  const int side = vae->schedule.side[vae->schedule.n_scales - 1];
  g_autofree float *residual = g_new (float, z);
  guint32 words[4];

  switti_random_words (&self->revival, (guint64) step * (guint64) vae->vocab + (guint64) code, 0, words);
  if (!switti_vae_gradients_get_residual (self->gradients, (int) (words[0] % (guint32) self->batch),
                                          (int) (words[1] % (guint32) (side * side)),
                                          (int) (words[2] % (guint32) vae->schedule.n_scales), residual, error)
      || !write_parameter (self, offset, z, residual, error))
    return FALSE;
  SWITTI_RUN (self->device, clear, switti_optimizer_get_first_moment (self->model->optimizers[0]) + offset,
              z * sizeof (float));
  SWITTI_RUN (self->device, clear, switti_optimizer_get_second_moment (self->model->optimizers[0]) + offset,
              z * sizeof (float));
  for (int s = 0; s < vae->schedule.n_scales; s++)
    self->hits[(gsize) s * (gsize) vae->vocab + (gsize) code] = 1;
  return TRUE;
}

static gboolean
look_after_codes (SwittiVaeTrainer *self, gint64 step, SwittiVaeReport *report, GError **error)
{
  /* The first step of a new codebook, of which no code has been used yet, puts it where the latents are. */
  const gboolean revives
      = self->options->revive_iters > 0 && (step == 0 || (step + 1) % self->options->revive_iters == 0);
  int n_used = 0;

  for (int v = 0; v < self->model->vae.vocab; v++)
    if (is_used (self, v))
      n_used++;
    else if (revives)
      {
        if (!revive_code (self, step, v, error))
          return FALSE;
        report->n_revived++;
      }
  report->usage = (double) n_used / self->model->vae.vocab;
  return report->n_revived == 0
         || (write_parameter (self, find_hits (self), n_hits (self), self->hits, error)
             && switti_parameters_refresh (self->model->parameters[0], error));
}

/* -- steps ----------------------------------------------------------------------------------------------------- */

gboolean
switti_vae_trainer_begin_step (SwittiVaeTrainer *self, GError **error)
{
  memset (&self->loss, 0, sizeof self->loss);
  self->n_added = 0;
  return switti_vae_gradients_clear (self->gradients, error);
}

gboolean
switti_vae_trainer_add (SwittiVaeTrainer *self, const float *pixels, GError **error)
{
  SwittiVaeLoss loss;

  if (!switti_vae_gradients_add (self->gradients, pixels, 1.0 / self->options->grad_accum, &loss, error)
      || !follow_hits (self, error))
    return FALSE;
  self->loss.loss += loss.loss;
  self->loss.reconstruction += loss.reconstruction;
  self->loss.vq_loss += loss.vq_loss;
  self->n_added++;
  return TRUE;
}

gboolean
switti_vae_trainer_finish_step (SwittiVaeTrainer *self, gint64 step, SwittiVaeReport *report, GError **error)
{
  float *flat[SWITTI_N_PARTS] = { switti_vae_gradients_get_values (self->gradients) };

  g_assert (self->n_added == self->options->grad_accum);
  *report = (SwittiVaeReport){
    .loss = { self->loss.loss / self->n_added, self->loss.reconstruction / self->n_added,
              self->loss.vq_loss / self->n_added },
    .rate = switti_learning_schedule_rate (&self->schedule, step),
    .decay = switti_learning_schedule_decay (&self->schedule, step),
  };
  if (!switti_training_model_measure (self->model, flat, &report->gradient_norm, error))
    return FALSE;
  report->has_diverged = !isfinite (report->loss.loss) || !isfinite (report->gradient_norm);
  if (report->has_diverged)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The training has diverged: at step %" PRId64 " the loss is %g and the gradient's norm "
                      "%g."),
                   step + 1, report->loss.loss, report->gradient_norm);
      return FALSE;
    }
  return switti_training_model_step (self->model, flat, report->gradient_norm, report->rate, report->decay, error)
         && look_after_codes (self, step, report, error);
}

gboolean
switti_vae_trainer_evaluate (SwittiVaeTrainer *self, const float *pixels, SwittiVaeLoss *loss, GError **error)
{
  return switti_vae_gradients_evaluate (self->gradients, pixels, loss, error);
}

gboolean
switti_vae_trainer_get_reconstruction (SwittiVaeTrainer *self, guint8 *rgb, GError **error)
{
  SWITTI_RUN (self->device, download, self->reconstruction,
              switti_vae_gradients_get_reconstruction (self->gradients), self->n_values * sizeof (float));
  switti_pixels_to_rgb (self->reconstruction, self->n_values, rgb);
  return TRUE;
}
