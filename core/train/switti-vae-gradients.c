/* switti-vae-gradients.c - the loss of an RQ-VAE and its gradients
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * f is the encoder's latent, F_s the pyramid after scale s:
 *   loss = mean (rec - x)^2 + 1/S sum over s of [0.25 mean (sg F_s - f)^2 + mean (F_s - sg f)^2],
 * sg: no gradient. The decoder reads f + sg (F - f), so that its gradient is f's. Codes follow from residuals without a
 * gradient; that of F_s reaches the codes and phi of all scales up to s.
 */
#include "switti-pyramid-private.h"
#include "switti-vae-gradients-half-private.h"
#include "switti-vae-gradients-private.h"
#include "switti-workspace-private.h"

#define COMMITMENT 0.25f

/* What a scale keeps. */
typedef struct
{
  gint32 *codes;  /* (B, pn*pn) */
  float *vectors; /* (B, pn*pn, Z) */
  float *enlarged; /* (B, n, n, Z): the vectors on the last side */
  float *f_hat;   /* (B, n, n, Z): F_s */
} Scale;

struct _SwittiVaeGradients
{
  SwittiParameters *parameters;
  SwittiDevice *device;
  SwittiVaeConfig config;
  int batch, side;
  gint64 count; /* elements of f */
  SwittiTrainingHalf *encoder, *decoder;
  int n_phi;
  SwittiTrainingConv *phi;
  gsize codebook;

  float *values; /* the gradients; memory of its own, as the halves hold its address */
  SwittiWorkspace *workspace;
  float *f, *residual, *small, *filtered; /* as f */
  float *df, *d_f_hat, *d_enlarged, *d_filtered;
  float *d_image; /* (B, 16 n, 16 n, 3) */
  double *sum;
  Scale scales[SWITTI_MAX_SCALES];
};

/* -- life ------------------------------------------------------------------------------------------------------ */

static gint64
image_values (const SwittiVaeGradients *self)
{
  const gint64 side = (gint64) self->side << (SWITTI_VAE_LEVELS - 1);

  return self->batch * side * side * 3;
}

static gboolean
plan_memory (SwittiVaeGradients *self, GError **error)
{
  float **maps[] = { &self->f,  &self->residual, &self->small,      &self->filtered,
                     &self->df, &self->d_f_hat,  &self->d_enlarged, &self->d_filtered };
  SwittiSlot map_slots[G_N_ELEMENTS (maps)], scale_slots[SWITTI_MAX_SCALES][4], image, sum;
  const int n_scales = self->config.schedule.n_scales;

  for (gsize i = 0; i < G_N_ELEMENTS (maps); i++)
    map_slots[i] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, (gsize) self->count);
  for (int s = 0; s < n_scales; s++)
    {
      const gsize positions
          = (gsize) self->batch * (gsize) self->config.schedule.side[s] * (gsize) self->config.schedule.side[s];

      scale_slots[s][0] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_I32, positions);
      scale_slots[s][1]
          = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, positions * (gsize) self->config.latent);
      scale_slots[s][2] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, (gsize) self->count);
      scale_slots[s][3] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, (gsize) self->count);
    }
  image = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, (gsize) image_values (self));
  sum = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F64, 1);
  if (!switti_workspace_commit (self->workspace, "the latent pyramid's training", error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (maps); i++)
    *maps[i] = switti_workspace_get (self->workspace, map_slots[i]);
  for (int s = 0; s < n_scales; s++)
    self->scales[s] = (Scale){
      .codes = switti_workspace_get (self->workspace, scale_slots[s][0]),
      .vectors = switti_workspace_get (self->workspace, scale_slots[s][1]),
      .enlarged = switti_workspace_get (self->workspace, scale_slots[s][2]),
      .f_hat = switti_workspace_get (self->workspace, scale_slots[s][3]),
    };
  self->d_image = switti_workspace_get (self->workspace, image);
  self->sum = switti_workspace_get (self->workspace, sum);
  return TRUE;
}

static gboolean
init_phi (SwittiVaeGradients *self, GError **error)
{
  const SwittiConv conv = { .batch = self->batch, .height = self->side, .width = self->side,
                            .c_in = self->config.latent, .c_out = self->config.latent, .kernel = 3, .stride = 1,
                            .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1 };

  self->n_phi = self->config.quant_resi != 0 ? switti_pyramid_count_phi (&self->config) : 0;
  self->phi = g_new0 (SwittiTrainingConv, self->n_phi);
  for (int i = 0; i < self->n_phi; i++)
    {
      g_autofree char *weight = switti_pyramid_phi_name (&self->config, i, "weight");
      g_autofree char *bias = switti_pyramid_phi_name (&self->config, i, "bias");

      if (!switti_training_conv_init (&self->phi[i], self->parameters, &conv, weight, bias, error))
        return FALSE;
    }
  return TRUE;
}

SwittiVaeGradients *
switti_vae_gradients_new (SwittiParameters *parameters, const SwittiVaeConfig *config, int batch, GError **error)
{
  g_autoptr (SwittiVaeGradients) self = g_new0 (SwittiVaeGradients, 1);

  g_assert (batch > 0);
  self->parameters = parameters;
  self->device = g_object_ref (switti_parameters_get_device (parameters));
  self->config = *config;
  self->batch = batch;
  self->side = config->schedule.side[config->schedule.n_scales - 1];
  self->count = (gint64) batch * self->side * self->side * config->latent;
  self->codebook = switti_parameters_find (parameters, "quantize.embedding.weight")->offset;
  self->workspace = switti_workspace_new (self->device);
  self->values = switti_device_alloc (self->device, switti_parameters_get_size (parameters) * sizeof (float),
                                      "the gradients", error);
  if (self->values == NULL || !switti_vae_gradients_clear (self, error) || !init_phi (self, error)
      || !plan_memory (self, error))
    return NULL;
  self->encoder = switti_training_half_new (
      parameters, self->values, switti_vae_encoder_specs (config->ch, config->latent), batch, self->side, error);
  if (self->encoder == NULL)
    return NULL;
  self->decoder = switti_training_half_new (
      parameters, self->values, switti_vae_decoder_specs (config->ch, config->latent), batch, self->side, error);
  if (self->decoder == NULL)
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_vae_gradients_free (SwittiVaeGradients *self)
{
  if (self == NULL)
    return;
  switti_training_half_free (self->encoder);
  switti_training_half_free (self->decoder);
  for (int i = 0; i < self->n_phi; i++)
    switti_training_conv_clear (&self->phi[i], self->device);
  switti_workspace_free (self->workspace);
  switti_device_free (self->device, self->values);
  g_free (self->phi);
  g_object_unref (self->device);
  g_free (self);
}

float *
switti_vae_gradients_get_values (SwittiVaeGradients *self)
{
  return self->values;
}

gboolean
switti_vae_gradients_clear (SwittiVaeGradients *self, GError **error)
{
  SWITTI_RUN (self->device, clear, self->values, switti_parameters_get_size (self->parameters) * sizeof (float));
  return TRUE;
}

const float *
switti_vae_gradients_get_reconstruction (SwittiVaeGradients *self)
{
  return switti_training_half_get_output (self->decoder);
}

const gint32 *
switti_vae_gradients_get_codes (SwittiVaeGradients *self, int scale)
{
  g_assert (scale >= 0 && scale < self->config.schedule.n_scales);
  return self->scales[scale].codes;
}

/* -- the pyramid ----------------------------------------------------------------------------------------------- */

static gboolean
copy_map (SwittiVaeGradients *self, float *to, const float *from, GError **error)
{
  SWITTI_RUN (self->device, copy, to, from, (gsize) self->count * sizeof (float));
  return TRUE;
}

static SwittiResample
describe_resize (const SwittiVaeGradients *self, SwittiResampleMode mode, int in_side, int out_side)
{
  return (SwittiResample){ .mode = mode, .batch = self->batch, .channels = self->config.latent,
                           .in_height = in_side, .in_width = in_side, .out_height = out_side, .out_width = out_side };
}

static const SwittiTrainingConv *
phi_of (const SwittiVaeGradients *self, int scale)
{
  return self->n_phi > 0 ? &self->phi[switti_pyramid_phi_index (&self->config, scale)] : NULL;
}

/* Nearest codes of the residual, and their vectors on the last side. */
static gboolean
encode_scale (SwittiVaeGradients *self, int s, GError **error)
{
  const Scale *scale = &self->scales[s];
  const int side = self->config.schedule.side[s];
  const gint64 positions = (gint64) self->batch * side * side;
  const gboolean is_last = s + 1 == self->config.schedule.n_scales;
  const SwittiResample reduce = describe_resize (self, SWITTI_RESAMPLE_AREA, self->side, side);
  const SwittiResample enlarge = describe_resize (self, SWITTI_RESAMPLE_BICUBIC, side, self->side);
  const float *codebook = switti_parameters_get_values (self->parameters) + self->codebook;

  if (!is_last)
    SWITTI_RUN (self->device, resample, &reduce, self->residual, self->small);
  SWITTI_RUN (self->device, nearest_code, positions, self->config.vocab, self->config.latent, self->config.using_znorm,
              is_last ? self->residual : self->small, codebook, scale->codes);
  SWITTI_RUN (self->device, embed, positions, self->config.latent, self->config.vocab, SWITTI_DTYPE_F32, codebook,
              scale->codes, NULL, 1, scale->vectors);
  if (is_last)
    return copy_map (self, scale->enlarged, scale->vectors, error);
  SWITTI_RUN (self->device, resample, &enlarge, scale->vectors, scale->enlarged);
  return TRUE;
}

/* F_s = F_(s-1) + phi (enlarged); the residual loses the same. */
static gboolean
add_scale (SwittiVaeGradients *self, int s, GError **error)
{
  const Scale *scale = &self->scales[s];
  const SwittiTrainingConv *phi = phi_of (self, s);
  const float q = phi != NULL ? (float) self->config.quant_resi : 0.0f;

  if (phi != NULL
      && !switti_training_conv_forward (phi, self->parameters, scale->enlarged, NULL, self->filtered, error))
    return FALSE;
  if (s > 0 && !copy_map (self, scale->f_hat, self->scales[s - 1].f_hat, error))
    return FALSE;
  if (s == 0)
    SWITTI_RUN (self->device, clear, scale->f_hat, (gsize) self->count * sizeof (float));
  SWITTI_RUN (self->device, accumulate, self->count, 1.0f - q, scale->enlarged, q, phi != NULL ? self->filtered : NULL,
              scale->f_hat);
  SWITTI_RUN (self->device, accumulate, self->count, q - 1.0f, scale->enlarged, -q,
              phi != NULL ? self->filtered : NULL, self->residual);
  return TRUE;
}

static gboolean
sum_squares (SwittiVaeGradients *self, gint64 count, const float *a, const float *b, double *sum, GError **error)
{
  SWITTI_RUN (self->device, squared_difference, count, a, b, self->sum);
  SWITTI_RUN (self->device, download, sum, self->sum, sizeof *sum);
  return TRUE;
}

/* f -> F_s of all scales, and vq_loss */
static gboolean
quantise (SwittiVaeGradients *self, double *vq_loss, GError **error)
{
  const int n_scales = self->config.schedule.n_scales;

  for (int i = 0; i < self->n_phi; i++)
    if (!switti_training_conv_pack (&self->phi[i], self->parameters, error))
      return FALSE;
  if (!copy_map (self, self->residual, self->f, error))
    return FALSE;
  *vq_loss = 0;
  for (int s = 0; s < n_scales; s++)
    {
      double sum;

      if (!encode_scale (self, s, error) || !add_scale (self, s, error)
          || !sum_squares (self, self->count, self->scales[s].f_hat, self->f, &sum, error))
        return FALSE;
      *vq_loss += (1 + (double) COMMITMENT) * sum / (double) self->count / n_scales;
    }
  return TRUE;
}

/* d_f_hat, the gradient of what the scale added, to those of its codes' vectors and its phi. */
static gboolean
scale_backward (SwittiVaeGradients *self, int s, GError **error)
{
  const Scale *scale = &self->scales[s];
  const SwittiTrainingConv *phi = phi_of (self, s);
  const int side = self->config.schedule.side[s];
  const gint64 positions = (gint64) self->batch * side * side;
  const SwittiResample enlarge = describe_resize (self, SWITTI_RESAMPLE_BICUBIC, side, self->side);
  const float q = phi != NULL ? (float) self->config.quant_resi : 0.0f;
  const float *d_vectors = self->d_enlarged;

  SWITTI_RUN (self->device, clear, self->d_enlarged, (gsize) self->count * sizeof (float));
  if (phi != NULL)
    {
      SWITTI_RUN (self->device, clear, self->filtered, (gsize) self->count * sizeof (float));
      SWITTI_RUN (self->device, accumulate, self->count, q, self->d_f_hat, 0.0f, NULL, self->filtered);
      if (!switti_training_conv_backward (phi, self->parameters, self->values, scale->enlarged, self->filtered,
                                          self->d_filtered, error))
        return FALSE;
    }
  SWITTI_RUN (self->device, accumulate, self->count, 1.0f - q, self->d_f_hat, 1.0f,
              phi != NULL ? self->d_filtered : NULL, self->d_enlarged);
  if (s + 1 < self->config.schedule.n_scales)
    {
      SWITTI_RUN (self->device, resample_backward, &enlarge, self->d_enlarged, self->small);
      d_vectors = self->small;
    }
  SWITTI_RUN (self->device, embed_backward, positions, self->config.latent, self->config.vocab, scale->codes,
              d_vectors, self->values + self->codebook);
  return TRUE;
}

/* Adds to df what commitment asks of f, and the gradients of codebook and phi. */
static gboolean
quantise_backward (SwittiVaeGradients *self, double scale, GError **error)
{
  const int n_scales = self->config.schedule.n_scales;
  const float step = (float) (2 * scale / (double) self->count / n_scales);

  SWITTI_RUN (self->device, clear, self->d_f_hat, (gsize) self->count * sizeof (float));
  for (int s = n_scales - 1; s >= 0; s--)
    {
      const float *f_hat = self->scales[s].f_hat;

      SWITTI_RUN (self->device, accumulate, self->count, COMMITMENT * step, self->f, -COMMITMENT * step, f_hat,
                  self->df);
      SWITTI_RUN (self->device, accumulate, self->count, step, f_hat, -step, self->f, self->d_f_hat);
      if (!scale_backward (self, s, error))
        return FALSE;
    }
  return TRUE;
}

/* -- a step ---------------------------------------------------------------------------------------------------- */

static gboolean
run_forward (SwittiVaeGradients *self, const float *images, SwittiVaeLoss *loss, GError **error)
{
  const gint64 n_values = image_values (self);
  float *x = switti_training_half_get_input (self->encoder);
  double sum;

  SWITTI_RUN (self->device, upload, x, images, (gsize) n_values * sizeof (float));
  if (!switti_training_half_forward (self->encoder, error)
      || !copy_map (self, self->f, switti_training_half_get_output (self->encoder), error)
      || !quantise (self, &loss->vq_loss, error)
      || !copy_map (self, switti_training_half_get_input (self->decoder),
                    self->scales[self->config.schedule.n_scales - 1].f_hat, error)
      || !switti_training_half_forward (self->decoder, error)
      || !sum_squares (self, n_values, switti_training_half_get_output (self->decoder), x, &sum, error))
    return FALSE;
  loss->reconstruction = sum / (double) n_values;
  loss->loss = loss->reconstruction + loss->vq_loss;
  return TRUE;
}

gboolean
switti_vae_gradients_add (SwittiVaeGradients *self, const float *images, double scale, SwittiVaeLoss *loss,
                          GError **error)
{
  const gint64 n_values = image_values (self);
  const float step = (float) (2 * scale / (double) n_values);
  const float *d_latent;

  if (!run_forward (self, images, loss, error))
    return FALSE;
  SWITTI_RUN (self->device, clear, self->d_image, (gsize) n_values * sizeof (float));
  SWITTI_RUN (self->device, accumulate, n_values, step, switti_training_half_get_output (self->decoder), -step,
              switti_training_half_get_input (self->encoder), self->d_image);
  return switti_training_half_backward (self->decoder, self->d_image, &d_latent, error)
         && copy_map (self, self->df, d_latent, error) && quantise_backward (self, scale, error)
         && switti_training_half_backward (self->encoder, self->df, NULL, error);
}

gboolean
switti_vae_gradients_evaluate (SwittiVaeGradients *self, const float *images, SwittiVaeLoss *loss, GError **error)
{
  return run_forward (self, images, loss, error);
}

gboolean
switti_vae_gradients_get_residual (SwittiVaeGradients *self, int image, int position, int scale, float *residual,
                                   GError **error)
{
  const gsize z = (gsize) self->config.latent, bytes = z * sizeof (float);
  const gsize at = ((gsize) image * (gsize) (self->side * self->side) + (gsize) position) * z;
  g_autofree float *f_hat = g_new0 (float, z);

  g_assert (image < self->batch && position < self->side * self->side && scale < self->config.schedule.n_scales);
  SWITTI_RUN (self->device, download, residual, self->f + at, bytes);
  if (scale > 0)
    SWITTI_RUN (self->device, download, f_hat, self->scales[scale - 1].f_hat + at, bytes);
  for (gsize i = 0; i < z; i++)
    residual[i] -= f_hat[i];
  return TRUE;
}
