/* vae.c - `switti-train vae`: the training of an RQ-VAE
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-event-writer-private.h"
#include "switti-loader-private.h"
#include "switti-psnr-private.h"
#include "switti-vae-trainer-private.h"
#include "train.h"

#include <glib/gi18n.h>
#include <math.h>

/* Pairs of a picture and its reconstruction that TensorBoard is shown. */
#define N_SHOWN 8

typedef struct
{
  const SwittiTrainingOptions *options;
  SwittiDevice *device;
  SwittiTrainingModel *model;
  TrainSession session;
  SwittiVaeTrainer *trainer;
  SwittiDataset *images, *validation;
  SwittiLoader *loader;
  TrainLog *log;
  SwittiEventWriter *events;
  int batch;      /* images of a part */
  gsize n_values; /* of an image */
  guint8 *rgb, *reconstruction; /* (batch, R, R, 3) */
} Vae;

/* -- beginning ------------------------------------------------------------------------------------------------- */

static void
vae_clear (Vae *self)
{
  train_log_free (self->log);
  switti_event_writer_free (self->events);
  switti_loader_free (self->loader);
  switti_dataset_free (self->images);
  switti_dataset_free (self->validation);
  switti_vae_trainer_free (self->trainer);
  train_session_clear (&self->session);
  switti_training_model_free (self->model);
  g_clear_object (&self->device);
  g_free (self->rgb);
  g_free (self->reconstruction);
}

static int
resolution_of (const Vae *self)
{
  return self->model->transformer.resolution;
}

static SwittiLoader *
open_loader (Vae *self, SwittiDataset *dataset, gboolean is_validation, GError **error)
{
  const SwittiLoaderOptions options = {
    .resolution = resolution_of (self),
    .batch = self->batch,
    .n_ranks = 1,
    .seed = self->options->seed,
    .position = is_validation ? 0 : (guint64) self->session.state.samples,
    .is_mirrored = self->options->hflip && !is_validation,
    .is_one_pass = is_validation,
    .n_threads = self->options->workers,
  };

  return switti_loader_new (dataset, &options, error);
}

static gboolean
open_images (Vae *self, GError **error)
{
  const SwittiTrainingOptions *options = self->options;

  self->images = switti_dataset_open (options->data_path, "train2014", (guint) options->max_bad, error);
  if (self->images == NULL)
    return FALSE;
  train_say_reports (self->images);
  self->loader = open_loader (self, self->images, FALSE, error);
  if (self->loader == NULL)
    return FALSE;
  if (options->val_iters == 0)
    return TRUE;
  self->validation = switti_dataset_open (options->data_path, "val2014", (guint) options->max_bad, error);
  if (self->validation == NULL)
    return FALSE;
  train_say_reports (self->validation);
  return TRUE;
}

static gboolean
begin (Vae *self, GError **error)
{
  const SwittiTrainingOptions *options = self->options;
  g_autofree char *folder = g_build_filename (options->out, "tb_logs", NULL);

  self->batch = options->bs / options->grad_accum;
  self->device = switti_device_new (options->device != NULL ? options->device : "auto", options->threads, error);
  if (self->device == NULL)
    return FALSE;
  self->model = switti_training_model_new_vae (self->device, options, error);
  if (self->model == NULL || !train_session_begin (&self->session, options, self->model, error))
    return FALSE;
  self->n_values = (gsize) resolution_of (self) * (gsize) resolution_of (self) * 3;
  self->rgb = g_malloc ((gsize) self->batch * self->n_values);
  self->reconstruction = g_malloc ((gsize) self->batch * self->n_values);
  self->trainer = switti_vae_trainer_new (self->model, options, self->batch, error);
  if (self->trainer == NULL || !open_images (self, error))
    return FALSE;
  self->log = train_log_new (options, &self->session.state, 0, error);
  if (self->log == NULL)
    return FALSE;
  self->events = switti_event_writer_new (folder, self->session.state.step + 1, error);
  if (self->events == NULL)
    return FALSE;
  train_say (_ ("%.1f million parameters on %s, %u images."),
             (double) switti_training_model_count (self->model) * 1e-6, switti_device_get_description (self->device),
             switti_dataset_get_n (self->images));
  return TRUE;
}

/* -- looking at reconstructions --------------------------------------------------------------------------------- */

/* Of the first n images of the trainer's last batch, whose pixels are given: the sum of their PSNR. */
static gboolean
add_psnr (Vae *self, const float *pixels, int n, double *sum, GError **error)
{
  switti_pixels_to_rgb (pixels, (gsize) n * self->n_values, self->rgb);
  if (!switti_vae_trainer_get_reconstruction (self->trainer, self->reconstruction, error))
    return FALSE;
  for (int i = 0; i < n; i++)
    *sum += switti_psnr (self->rgb + (gsize) i * self->n_values, self->reconstruction + (gsize) i * self->n_values,
                         self->n_values);
  return TRUE;
}

/* Pictures of the last add_psnr(), each beside what became of it. */
static gboolean
show_pairs (Vae *self, int n, GError **error)
{
  const int n_shown = MIN (n, N_SHOWN);
  g_autoptr (SwittiSheet) sheet
      = switti_sheet_new (2 * n_shown, n_shown > 1 ? 4 : 2, resolution_of (self), FALSE, error);

  if (sheet == NULL)
    return FALSE;
  for (int i = 0; i < n_shown; i++)
    {
      switti_sheet_place (sheet, 2 * i, self->rgb + (gsize) i * self->n_values, NULL);
      switti_sheet_place (sheet, 2 * i + 1, self->reconstruction + (gsize) i * self->n_values, NULL);
    }
  return switti_event_writer_add_image (self->events, self->session.state.step, "VAE_reconstructions",
                                        switti_sheet_get_height (sheet), switti_sheet_get_width (sheet),
                                        switti_sheet_get_pixels (sheet), error);
}

static gboolean
write_validation (Vae *self, const SwittiVaeLoss *loss, double psnr, gint64 n, GError **error)
{
  const TrainNumber numbers[] = { { "validation_loss", loss->loss },
                                  { "validation_reconstruction", loss->reconstruction },
                                  { "validation_psnr", psnr },
                                  { "images", (double) n } };
  const SwittiEventScalar scalars[] = { { "VAE_val_loss/L_total", loss->loss },
                                        { "VAE_val_loss/L_rec", loss->reconstruction },
                                        { "VAE_val_loss/L_vq", loss->vq_loss },
                                        { "VAE_val_loss/psnr", psnr } };

  train_say (_ ("step %d: PSNR of %d validation images %.2f dB"), (int) self->session.state.step, (int) n, psnr);
  return train_log_numbers (self->log, self->session.state.step, numbers, G_N_ELEMENTS (numbers), error)
         && switti_event_writer_add_scalars (self->events, self->session.state.step, scalars, G_N_ELEMENTS (scalars),
                                             error);
}

/* What does not fill a batch is left out. */
static gboolean
validate (Vae *self, GError **error)
{
  g_autoptr (SwittiLoader) loader = open_loader (self, self->validation, TRUE, error);
  SwittiVaeLoss total = { 0 }, loss;
  double psnr = 0;
  gint64 n = 0;

  if (loader == NULL)
    return FALSE;
  while (n * self->batch < self->options->val_images && !train_is_stopped ())
    {
      const SwittiLoaderBatch *batch;
      const gboolean good = switti_loader_next (loader, &batch, error);

      train_say_reports (self->validation);
      if (!good)
        return FALSE;
      if (batch->n < self->batch)
        break;
      if (!switti_vae_trainer_evaluate (self->trainer, batch->pixels, &loss, error)
          || !add_psnr (self, batch->pixels, batch->n, &psnr, error))
        return FALSE;
      if (n == 0 && !show_pairs (self, batch->n, error))
        return FALSE;
      n++;
      total.loss += (loss.loss - total.loss) / (double) n;
      total.reconstruction += (loss.reconstruction - total.reconstruction) / (double) n;
      total.vq_loss += (loss.vq_loss - total.vq_loss) / (double) n;
    }
  n *= self->batch;
  return n == 0 || write_validation (self, &total, psnr / (double) n, n, error);
}

/* -- going on -------------------------------------------------------------------------------------------------- */

static gboolean
write_step (Vae *self, const SwittiVaeReport *report, GError **error)
{
  const gint64 step = self->session.state.step;
  const gint64 tokens = (gint64) self->options->bs * switti_schedule_length (&self->model->vae.schedule);
  /* Of values in [-1, 1] that are not clamped, over all images at once: a little below that of validation. */
  const double psnr = 10 * log10 (4 / MAX (report->loss.reconstruction, 1e-10));
  const TrainNumber numbers[] = { { "loss", report->loss.loss }, { "reconstruction", report->loss.reconstruction },
                                  { "vq_loss", report->loss.vq_loss }, { "psnr", psnr },
                                  { "grad_norm", report->gradient_norm }, { "lr", report->rate },
                                  { "wd", report->decay }, { "codebook_use", report->usage },
                                  { "revived", report->n_revived } };
  const SwittiEventScalar scalars[] = { { "VAE_iter_loss/L_total", report->loss.loss },
                                        { "VAE_iter_loss/L_rec", report->loss.reconstruction },
                                        { "VAE_iter_loss/L_vq", report->loss.vq_loss },
                                        { "VAE_iter_loss/psnr", psnr },
                                        { "VAE_iter_loss/z_voc_usage", 100 * report->usage },
                                        { "VAE_opt_lr/sche_tlr", report->rate },
                                        { "VAE_opt_wd/sche_twd", report->decay },
                                        { "VAE_opt_grad/grad_norm", report->gradient_norm } };

  train_log_progress (self->log, step, report->loss.loss, tokens);
  if (!train_log_numbers (self->log, step, numbers, G_N_ELEMENTS (numbers), error))
    return train_session_blame_checkpoint (&self->session, error);
  return (step != 1 && step % self->options->log_iters != 0)
         || switti_event_writer_add_scalars (self->events, step, scalars, G_N_ELEMENTS (scalars), error)
         || train_session_blame_checkpoint (&self->session, error);
}

static gboolean
add_part (Vae *self, GError **error)
{
  const SwittiLoaderBatch *batch;
  const gboolean good = switti_loader_next (self->loader, &batch, error);

  train_say_reports (self->images);
  return good && switti_vae_trainer_add (self->trainer, batch->pixels, error);
}

static gboolean
take_step (Vae *self, GError **error)
{
  SwittiTrainingState *state = &self->session.state;
  SwittiVaeReport report = { 0 };

  if (!switti_vae_trainer_begin_step (self->trainer, error))
    return FALSE;
  for (int i = 0; i < self->options->grad_accum; i++)
    if (!add_part (self, error))
      return FALSE;
  if (!switti_vae_trainer_finish_step (self->trainer, state->step, &report, error))
    {
      if (report.has_diverged)
        train_session_name_last_good (&self->session, error);
      return FALSE;
    }
  state->step++;
  state->samples += self->options->bs;
  state->loss = report.loss.loss;
  return write_step (self, &report, error);
}

static gboolean
train (Vae *self, GError **error)
{
  const SwittiTrainingOptions *options = self->options;
  const SwittiTrainingState *state = &self->session.state;

  while (state->step < options->max_iters && !train_is_stopped ())
    {
      if (!take_step (self, error))
        return FALSE;
      if (options->val_iters > 0 && state->step % options->val_iters == 0 && !validate (self, error))
        return FALSE;
      if (state->step % options->save_iters == 0 && !train_session_save (&self->session, error))
        return FALSE;
    }
  return train_session_save_at_end (&self->session, error);
}

static const TrainCommand command = {
  .name = "switti-train vae",
  .summary = N_ ("Trains the RQ-VAE of a Switti model on a folder of images, from --init or from random weights.\n"
                 "Options of the transformer have no effect."),
  .description = N_ ("Example:\n"
                     "  switti-train vae --data-path icons --init icons --pn 256 --bs 8 --max-iters 20000 \\\n"
                     "    --tblr 1e-4 --ema 0.999 --out runs/vae"),
  .check = switti_training_options_check_vae,
};

int
train_vae (int argc, char **argv)
{
  g_auto (SwittiTrainingOptions) options = { 0 };
  g_autoptr (GError) error = NULL;
  Vae self = { .options = &options };
  gboolean good;

  if (!train_parse_options (&options, &command, argc, argv))
    return TRAIN_USAGE;
  train_catch_signals ();
  good = begin (&self, &error) && train (&self, &error);
  if (good)
    train_say (train_is_stopped () ? _ ("Stopped at step %d; the same command goes on from “%s”.")
                                   : _ ("Done: %d steps; the model is “%s”."),
               (int) self.session.state.step, switti_checkpoints_get_newest (self.session.checkpoints));
  else
    cli_report (error->message);
  vae_clear (&self);
  return good ? TRAIN_SUCCESS : TRAIN_FAILURE;
}
