/* switti-training-model.c - the parts of a model that are trained together
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-training-model-private.h"

#include "switti-bundle-folder-private.h"
#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#define HEAD_WIDTH 64
#define PIXELS_PER_LATENT 16
#define ADAM_EPS 1e-8
/* Of a new RQ-VAE: the published share of phi's convolution. */
#define QUANT_RESI 0.5
#define GROUP_NORM_GROUPS 32

/* -- shapes ---------------------------------------------------------------------------------------------------- */

static gboolean
make_text_configs (SwittiTrainingModel *self, const SwittiTrainingOptions *options, GError **error)
{
  int width[2], depth[2];

  if (!switti_training_options_parse_pair (options->text_width, "text-width", width, error)
      || !switti_training_options_parse_pair (options->text_depth, "text-depth", depth, error))
    return FALSE;
  for (int i = 0; i < 2; i++)
    {
      SwittiTextConfig *text = &self->text[i];

      *text = self->text_parts->text[i];
      if (depth[i] > 0)
        text->layers = depth[i];
      if (width[i] > 0)
        {
          text->width = width[i];
          text->mlp = 4 * width[i];
          text->heads = width[i] % HEAD_WIDTH == 0 ? width[i] / HEAD_WIDTH : 1;
        }
    }
  return TRUE;
}

/* A LoRA is one for the model as it is. */
static gboolean
take_shape (SwittiTrainingModel *self, SwittiBundle *init, const SwittiTrainingOptions *options, GError **error)
{
  SwittiSchedule schedule;

  self->transformer = switti_bundle_get_parts (init)->transformer;
  if (!switti_training_options_get_schedule (options, &schedule, error))
    return FALSE;
  if (schedule.n_scales == self->transformer.schedule.n_scales
      && memcmp (schedule.side, self->transformer.schedule.side, sizeof (int) * (gsize) schedule.n_scales) == 0)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("The model %s is for %d pixels: give its scales with --pn, too."), switti_bundle_get_name (init),
               self->transformer.resolution);
  return FALSE;
}

static gboolean
make_transformer_config (SwittiTrainingModel *self, const SwittiTrainingOptions *options, SwittiBundle *init,
                         GError **error)
{
  const SwittiModelSizes sizes = {
    .vocab = self->vae.vocab,
    .latent = self->vae.latent,
    .context_dim = self->text[0].width + self->text[1].width,
    .pooled_dim = self->text[1].width,
  };

  if (options->lora_rank > 0)
    return take_shape (self, init, options, error);
  return switti_training_options_make_config (options, &sizes, &self->transformer, error);
}

/* The VAE serves any scales, unless each has a phi of its own. */
static gboolean
make_vae_config (SwittiTrainingModel *self, const SwittiTrainingOptions *options, GError **error)
{
  SwittiSchedule schedule;

  if (!switti_training_options_get_schedule (options, &schedule, error))
    return FALSE;
  if (self->vae.share_quant_resi == 0 && self->vae.schedule.n_scales != schedule.n_scales)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The VAE of %s is made for %d scales, but --pn names %d."), self->vae_folder,
                   self->vae.schedule.n_scales, schedule.n_scales);
      return FALSE;
    }
  self->vae.schedule = schedule;
  return TRUE;
}

/* -- first values ---------------------------------------------------------------------------------------------- */

static gboolean
make_parameters (SwittiTrainingModel *self, const SwittiTrainingOptions *options, GError **error)
{
  const SwittiInitialGains gains = { .head = options->hd, .modulation = options->aln, .gate = options->alng };

  self->parameters[SWITTI_PART_TRANSFORMER]
      = switti_transformer_parameters_new_sharded (self->device, &self->transformer, self->dtype, self->sharding,
                                                   error);
  for (int i = 1; i < self->n_parts; i++)
    if (self->parameters[i - 1] != NULL)
      self->parameters[i] = switti_text_parameters_new_sharded (self->device, &self->text[i - 1], self->dtype,
                                                                self->sharding, error);
  if (self->parameters[self->n_parts - 1] == NULL)
    return FALSE;
  switti_parameters_set_gains (self->parameters[SWITTI_PART_TRANSFORMER], &gains);
  /* Both text encoders have the same names, which choose the random numbers: each has a seed of its own. */
  for (int i = 0; i < self->n_parts; i++)
    if (!switti_parameters_initialise (self->parameters[i], options->seed + (guint64) i,
                                       i == SWITTI_PART_TRANSFORMER ? options->ini : 0, error))
      return FALSE;
  return TRUE;
}

/* From --init, whatever its resolution; shapes that differ otherwise are an error that names them. */
static gboolean
load_initial (SwittiTrainingModel *self, SwittiBundle *init, GError **error)
{
  const SwittiBundleParts *parts = switti_bundle_get_parts (init);

  if (!switti_parameters_load_adapted (self->parameters[SWITTI_PART_TRANSFORMER], parts->transformer_weights, error))
    return FALSE;
  for (int i = 1; i < self->n_parts; i++)
    if (!switti_parameters_load (self->parameters[i], parts->text_weights[i - 1], error))
      return FALSE;
  return TRUE;
}

/* Puts the factors of a LoRA in the transformer's place. */
static gboolean
make_low_rank (SwittiTrainingModel *self, const SwittiTrainingOptions *options, SwittiBundle *init, GError **error)
{
  const double alpha = options->lora_alpha > 0 ? options->lora_alpha : options->lora_rank;

  if (options->lora_rank == 0)
    return TRUE;
  if (self->sharding != NULL)
    {
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED, _ ("A LoRA is trained by one rank alone."));
      return FALSE;
    }
  self->frozen = g_steal_pointer (&self->parameters[SWITTI_PART_TRANSFORMER]);
  self->frozen_source = switti_weights_ref (switti_bundle_get_parts (init)->transformer_weights);
  self->low_rank = switti_low_rank_new (self->frozen, options->lora_rank, alpha, options->seed, error);
  if (self->low_rank == NULL)
    return FALSE;
  self->parameters[SWITTI_PART_TRANSFORMER] = switti_low_rank_get_factors (self->low_rank);
  return TRUE;
}

SwittiParameters *
switti_training_model_get_transformer (const SwittiTrainingModel *self)
{
  return self->low_rank != NULL ? self->frozen : self->parameters[SWITTI_PART_TRANSFORMER];
}

static void
apply_loss_scale (SwittiTrainingModel *self)
{
  for (int i = 0; i < self->n_parts; i++)
    switti_optimizer_set_loss_scale (self->optimizers[i], self->loss_scale.scale);
}

static gboolean
make_optimizers (SwittiTrainingModel *self, const SwittiTrainingOptions *options, GError **error)
{
  const SwittiOptimizerOptions adamw = { .beta1 = options->adam_beta1, .beta2 = options->adam_beta2, .eps = ADAM_EPS,
                                         .clip = options->tclip, .average_decay = options->ema };

  for (int i = 0; i < self->n_parts; i++)
    {
      self->optimizers[i] = switti_optimizer_new (self->parameters[i], &adamw, error);
      if (self->optimizers[i] == NULL)
        return FALSE;
    }
  switti_loss_scale_init (&self->loss_scale, self->dtype == SWITTI_DTYPE_F16, options->loss_scale,
                          options->loss_scale_iters);
  apply_loss_scale (self);
  return TRUE;
}

/* -- life ------------------------------------------------------------------------------------------------------ */

/* The VAE of a model, or of a folder that holds a VAE alone. */
static gboolean
open_vae (SwittiTrainingModel *self, const char *name, GError **error)
{
  g_autofree char *folder = NULL, *config = g_build_filename (name, "vae", "config.json", NULL);

  self->vae_folder = g_file_test (config, G_FILE_TEST_EXISTS) ? g_canonicalize_filename (name, NULL)
                                                               : switti_bundle_find_folder (name, error);
  if (self->vae_folder == NULL)
    return FALSE;
  g_free (config);
  folder = g_build_filename (self->vae_folder, "vae", NULL);
  config = g_build_filename (folder, "config.json", NULL);
  self->vae_weights = switti_weights_open_folder (folder, error);
  return self->vae_weights != NULL && switti_vae_config_load (config, self->vae_weights, &self->vae, error);
}

static gboolean
open_sources (SwittiTrainingModel *self, const SwittiTrainingOptions *options, SwittiBundle **init, GError **error)
{
  const char *vae = options->vae != NULL ? options->vae : options->init;

  if (options->init != NULL && (*init = switti_bundle_open (options->init, error)) == NULL)
    return FALSE;
  if (!open_vae (self, vae, error))
    return FALSE;
  if (options->text == NULL && *init != NULL)
    self->text_source = g_object_ref (*init);
  else
    self->text_source = switti_bundle_open (options->text != NULL ? options->text : vae, error);
  if (self->text_source == NULL)
    return FALSE;
  self->text_parts = switti_bundle_get_parts (self->text_source);
  return TRUE;
}

/* How parameters are spread over the ranks. */
static gboolean
share_out (SwittiTrainingModel *self, const SwittiTrainingOptions *options, SwittiCollective *ranks, GError **error)
{
  const int n_replicas = !options->use_fsdp ? switti_collective_get_size (ranks) : MAX (options->hybrid, 1);

  self->sharding = switti_sharding_new (ranks, n_replicas, error);
  return self->sharding != NULL;
}

SwittiTrainingModel *
switti_training_model_new (SwittiDevice *device, const SwittiTrainingOptions *options, SwittiCollective *ranks,
                           GError **error)
{
  g_autoptr (SwittiTrainingModel) self = g_new0 (SwittiTrainingModel, 1);
  g_autoptr (SwittiBundle) init = NULL;

  self->device = g_object_ref (device);
  self->dtype = switti_training_options_get_dtype (options);
  self->n_parts = options->train_text ? SWITTI_N_PARTS : 1;
  if ((ranks != NULL && !share_out (self, options, ranks, error)) || !open_sources (self, options, &init, error)
      || !make_vae_config (self, options, error)
      || !make_text_configs (self, options, error) || !make_transformer_config (self, options, init, error)
      || !make_parameters (self, options, error) || (init != NULL && !load_initial (self, init, error))
      || !make_low_rank (self, options, init, error) || !make_optimizers (self, options, error))
    return NULL;
  return g_steal_pointer (&self);
}

/* -- an RQ-VAE ------------------------------------------------------------------------------------------------- */

static gboolean
make_vae_shape (SwittiTrainingModel *self, const SwittiTrainingOptions *options, GError **error)
{
  if (options->init != NULL)
    return open_vae (self, options->init, error) && make_vae_config (self, options, error);
  self->vae = (SwittiVaeConfig){
    .ch = options->vqvae_n_channels,
    .vocab = options->vqvae_vocab_size,
    .latent = options->vqvae_channel_dim,
    .share_quant_resi = options->vqvae_share_quant_resi,
    .quant_resi = QUANT_RESI,
  };
  if (self->vae.ch % GROUP_NORM_GROUPS != 0)
    {
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                           _ ("--vqvae-n-channels must be a multiple of 32."));
      return FALSE;
    }
  return switti_training_options_get_schedule (options, &self->vae.schedule, error);
}

/* No code of a new codebook has been used. */
static gboolean
clear_hits (SwittiTrainingModel *self, GError **error)
{
  const SwittiParameter *hits = switti_parameters_find (self->parameters[0], SWITTI_VAE_HITS);

  SWITTI_RUN (self->device, clear, switti_parameters_get_values (self->parameters[0]) + hits->offset,
              hits->count * sizeof (float));
  return TRUE;
}

SwittiTrainingModel *
switti_training_model_new_vae (SwittiDevice *device, const SwittiTrainingOptions *options, GError **error)
{
  g_autoptr (SwittiTrainingModel) self = g_new0 (SwittiTrainingModel, 1);

  self->device = g_object_ref (device);
  self->dtype = SWITTI_DTYPE_F32;
  self->is_vae = TRUE;
  self->n_parts = 1;
  if (!make_vae_shape (self, options, error))
    return NULL;
  self->transformer.schedule = self->vae.schedule;
  self->transformer.resolution = self->vae.schedule.side[self->vae.schedule.n_scales - 1] * PIXELS_PER_LATENT;
  self->parameters[0] = switti_vae_parameters_new_with_hits (device, &self->vae, error);
  if (self->parameters[0] == NULL || !switti_parameters_initialise (self->parameters[0], options->seed, 0, error)
      || (self->vae_weights == NULL && !clear_hits (self, error))
      || (self->vae_weights != NULL && !switti_parameters_load (self->parameters[0], self->vae_weights, error))
      || !make_optimizers (self, options, error))
    return NULL;
  return g_steal_pointer (&self);
}

/* -- life's end ------------------------------------------------------------------------------------------------ */

const char *
switti_training_model_get_part_name (const SwittiTrainingModel *self, int part)
{
  static const char *const names[SWITTI_N_PARTS] = { "transformer", "text_encoder", "text_encoder_2" };

  return self->is_vae ? "vae" : names[part];
}

void
switti_training_model_free (SwittiTrainingModel *self)
{
  if (self == NULL)
    return;
  if (self->low_rank != NULL)
    self->parameters[SWITTI_PART_TRANSFORMER] = NULL; /* its own */
  for (int i = 0; i < SWITTI_N_PARTS; i++)
    {
      switti_optimizer_free (self->optimizers[i]);
      switti_parameters_free (self->parameters[i]);
    }
  switti_sharding_unref (self->sharding);
  g_free (self->vae_folder);
  g_clear_pointer (&self->vae_weights, switti_weights_unref);
  g_clear_object (&self->text_source);
  switti_low_rank_free (self->low_rank);
  switti_parameters_free (self->frozen);
  g_clear_pointer (&self->frozen_source, switti_weights_unref);
  g_object_unref (self->device);
  g_free (self);
}

/* -- steps ----------------------------------------------------------------------------------------------------- */

gboolean
switti_training_model_measure (SwittiTrainingModel *self, float *const gradients[SWITTI_N_PARTS], double *norm,
                               GError **error)
{
  double total = 0;

  for (int i = 0; i < self->n_parts; i++)
    {
      double part;

      if (!switti_optimizer_measure (self->optimizers[i], gradients[i], &part, error))
        return FALSE;
      total += part * part;
    }
  *norm = sqrt (total);
  return TRUE;
}

void
switti_training_model_update_loss_scale (SwittiTrainingModel *self, gboolean is_finite)
{
  switti_loss_scale_update (&self->loss_scale, is_finite);
  apply_loss_scale (self);
}

void
switti_training_model_set_loss_scale (SwittiTrainingModel *self, double scale, gint64 good_steps, gint64 skipped)
{
  if (!self->loss_scale.is_used)
    return;
  self->loss_scale.scale = scale;
  self->loss_scale.good_steps = good_steps;
  self->loss_scale.skipped = skipped;
  apply_loss_scale (self);
}

gboolean
switti_training_model_step (SwittiTrainingModel *self, float *const gradients[SWITTI_N_PARTS], double norm,
                            double rate, double decay, GError **error)
{
  for (int i = 0; i < self->n_parts; i++)
    if (!switti_optimizer_step (self->optimizers[i], gradients[i], norm, rate, decay, error))
      return FALSE;
  return self->low_rank == NULL || switti_low_rank_compose (self->low_rank, error);
}

/* -- ranks ----------------------------------------------------------------------------------------------------- */

int
switti_training_model_get_rank (const SwittiTrainingModel *self)
{
  return self->sharding != NULL ? switti_collective_get_rank (self->sharding->ranks) : 0;
}

int
switti_training_model_get_n_ranks (const SwittiTrainingModel *self)
{
  return self->sharding != NULL ? switti_collective_get_size (self->sharding->ranks) : 1;
}

gboolean
switti_training_model_average (const SwittiTrainingModel *self, double *numbers, gsize count, GError **error)
{
  if (!switti_sharding_is_parallel (self->sharding))
    return TRUE;
  if (!switti_collective_all_reduce (self->sharding->ranks, numbers, count, SWITTI_DTYPE_F64, error))
    return FALSE;
  for (gsize i = 0; i < count; i++)
    numbers[i] /= switti_training_model_get_n_ranks (self);
  return TRUE;
}

gsize
switti_training_model_count (SwittiTrainingModel *self)
{
  gsize count = 0;

  for (int i = 0; i < self->n_parts; i++)
    for (guint j = 0; j < switti_parameters_get_n (self->parameters[i]); j++)
      count += switti_parameters_get (self->parameters[i], j)->count;
  return count;
}
