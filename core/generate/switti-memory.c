/* switti-memory.c - how much of a device's memory a model takes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * In double: sums of a hostile configuration must not overflow. Letters: switti-engine-private.h; C, F width and hidden
 * width of the transformer.
 */
#include "switti-memory-private.h"

#include "switti-vae-layers-private.h"

#define F32 4.0
#define TEXT_BATCH 2 /* prompts that an encoder has room for */

static double
text_bytes (const SwittiTextConfig *config, double size)
{
  const double w = config->width, mlp = config->mlp, rows = TEXT_BATCH * (double) SWITTI_TEXT_LENGTH;
  const double layer = size * (4 * w * w + 2 * w * mlp) + F32 * 4 * w + 1.5 * F32 * (5 * w + mlp);

  return size * config->vocab * w + F32 * (config->positions + 2.0) * w + config->layers * layer
         + rows * (F32 * (1 + 2 * w) + size * (6 * w + mlp));
}

/* A block's matrices of the two passes. */
static void
block_bytes (const SwittiTransformerConfig *config, double size, double *conditions, double *scale)
{
  const double c = config->width, f = config->ffn_hidden;

  *conditions = size * (6 * c * c + 2 * c * config->context_dim);
  *scale = size * (6 * c * c + (config->swiglu ? 3 : 2) * c * f);
}

static double
transformer_bytes (const SwittiTransformerConfig *config, double size, gboolean low)
{
  const double c = config->width, length = (double) switti_schedule_length (&config->schedule);
  const double outside = F32 * c * (config->pooled_dim + config->latent + (config->crop_cond ? c : 0))
                         + size * c * (2 * c + config->vocab)
                         + F32 * ((config->schedule.n_scales + 7.0) * c + config->vocab)
                         + F32 * length * (config->rope ? c / config->heads : c);
  /* Norms and crop_scales; and the biases, each once more in bf16. */
  const double biases = (6 + 3 + 1 + 1 + 2 + 1) * c + (config->swiglu ? 0 : config->ffn_hidden + c);
  const double vectors = F32 * (config->context_dim + 7 * c) + 1.5 * F32 * biases;
  double conditions, scale;

  block_bytes (config, size, &conditions, &scale);
  return outside + config->depth * vectors
         + (low ? 2 * MAX (conditions, scale) : config->depth * (conditions + scale));
}

static double
positions_of_last (const SwittiSchedule *schedule)
{
  const double side = schedule->side[schedule->n_scales - 1];

  return side * side;
}

/* A run of the transformer: what the prompts fix, and a scale's activations. */
static double
run_bytes (const SwittiTransformerConfig *config, double size, double conditions, double images)
{
  const double c = config->width, f = config->ffn_hidden, rows = images * positions_of_last (&config->schedule);
  const double prompt = SWITTI_TEXT_LENGTH * (F32 * config->context_dim + config->depth * size * 2 * c)
                        + F32 * (config->pooled_dim + config->depth * 6 * c + 3 * c);
  const double cached = config->ar ? 2 * size * config->depth * images
                                         * (double) switti_schedule_length (&config->schedule) * c : 0;
  const double in_conditions
      = conditions * (2 * F32 * c + size * (SWITTI_TEXT_LENGTH * (double) config->context_dim + c));
  const double attention = rows * size * 4 * c, ffn = rows * size * (config->swiglu ? 3 * f : f);

  return conditions * prompt + cached + rows * c * (F32 + 2 * size) + MAX (in_conditions, MAX (attention, ffn));
}

static double
vae_bytes (const SwittiVaeConfig *config, double size)
{
  g_autoptr (GArray) specs = switti_vae_decoder_specs (config->ch, config->latent);
  const int side = config->schedule.side[config->schedule.n_scales - 1];
  const double pixels = positions_of_last (&config->schedule) * 256;
  double weights = 0, largest = 0;

  for (guint i = 0; i < specs->len; i++)
    {
      const SwittiVaeLayerSpec *spec = &g_array_index (specs, SwittiVaeLayerSpec, i);
      SwittiConv conv;

      for (int j = 0; j < SWITTI_VAE_LAYER_CONVS; j++)
        if (switti_vae_spec_conv (spec, j, side, SWITTI_DTYPE_F32, &conv))
          weights += size * (double) (conv.c_in * conv.c_out) * conv.kernel * conv.kernel + F32 * (double) conv.c_out;
      largest = MAX (largest, (double) switti_vae_spec_largest_map (spec, side));
    }
  return weights + 3 * size * largest + F32 * 3 * pixels;
}

/* Pyramid and what is beside it: inputs, logits, codes, pictures. */
static double
picture_bytes (const SwittiVaeConfig *config, double batch)
{
  const double positions = positions_of_last (&config->schedule), z = config->latent, v = config->vocab;

  return F32 * v * z + 6 * F32 * batch * positions * z + 2 * batch * positions * F32 * (z + v)
         + batch * positions * F32 * z
         + SWITTI_N_DECODINGS * batch * positions * (F32 * z + 3 * 256)
         + F32 * batch * (double) switti_schedule_length (&config->schedule);
}

guint64
switti_memory_estimate (const SwittiBundleParts *parts, SwittiDtype dtype, int batch, gboolean low)
{
  const double size = (double) switti_dtype_size (dtype);
  const double bytes = text_bytes (&parts->text[0], size) + text_bytes (&parts->text[1], size)
                       + transformer_bytes (&parts->transformer, size, low)
                       + run_bytes (&parts->transformer, size, 2, 2.0 * batch) + vae_bytes (&parts->vae, size)
                       + picture_bytes (&parts->vae, batch);

  return bytes < (double) G_MAXINT64 ? (guint64) bytes : (guint64) G_MAXINT64;
}
