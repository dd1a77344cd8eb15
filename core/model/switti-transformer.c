/* switti-transformer.c - the scale-wise transformer: the object, and what follows from its configuration
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-transformer-parts-private.h"

#include <math.h>

static SwittiTransformer *
new_transformer (SwittiDevice *device, const SwittiTransformerConfig *config, SwittiWeights *weights,
                 SwittiDtype dtype, gboolean streamed, GError **error)
{
  g_autoptr (SwittiTransformer) self = g_new0 (SwittiTransformer, 1);

  g_assert (dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16);
  self->device = g_object_ref (device);
  self->config = *config;
  self->dtype = dtype;
  self->blocks = g_new0 (SwittiBlock, config->depth);
  if (!switti_transformer_load (self, weights, streamed, error))
    return NULL;
  return g_steal_pointer (&self);
}

SwittiTransformer *
switti_transformer_new (SwittiDevice *device, const SwittiTransformerConfig *config, SwittiWeights *weights,
                        SwittiDtype dtype, GError **error)
{
  return new_transformer (device, config, weights, dtype, FALSE, error);
}

SwittiTransformer *
switti_transformer_new_streamed (SwittiDevice *device, const SwittiTransformerConfig *config, SwittiWeights *weights,
                                 SwittiDtype dtype, GError **error)
{
  return new_transformer (device, config, weights, dtype, TRUE, error);
}

void
switti_transformer_free (SwittiTransformer *self)
{
  if (self == NULL)
    return;
  switti_transformer_clear (self);
  g_free (self->blocks);
  g_object_unref (self->device);
  g_free (self);
}

const SwittiTransformerConfig *
switti_transformer_get_config (SwittiTransformer *self)
{
  return &self->config;
}

double
switti_transformer_scale_flop (const SwittiTransformerConfig *config, int scale)
{
  const double c = config->width, f = config->ffn_hidden;
  double n, keys = 0, block;

  g_assert (scale >= 0 && scale < config->schedule.n_scales);
  n = (double) config->schedule.side[scale] * config->schedule.side[scale];
  for (int s = config->ar ? 0 : scale; s <= scale; s++)
    keys += (double) config->schedule.side[s] * config->schedule.side[s];

  block = switti_linear_flop (n, 3 * c, c)                          /* qkv */
          + 3 * switti_linear_flop (n, c, c)                        /* proj, to_q, cross-attention's proj */
          + switti_linear_flop (n, config->swiglu ? 2 * f : f, c)   /* gate and up, or fc1 */
          + switti_linear_flop (n, c, f)                            /* down, or fc2 */
          + 4 * n * keys * c + 4 * n * SWITTI_TEXT_LENGTH * c;      /* both attentions */
  return config->depth * block + switti_linear_flop (n, config->vocab, c) +
         (scale > 0 ? switti_linear_flop (n, c, config->latent) : 0);
}

double
switti_transformer_condition_flop (const SwittiTransformerConfig *config)
{
  const double c = config->width;
  double block = switti_linear_flop (1, SWITTI_N_MODULATIONS * c, c) +
                 switti_linear_flop (SWITTI_TEXT_LENGTH, 2 * c, config->context_dim);

  return config->depth * block + switti_linear_flop (1, c, config->pooled_dim) + switti_linear_flop (1, 2 * c, c) +
         (config->crop_cond ? switti_linear_flop (1, c, c) : 0);
}

void
switti_crop_condition (int height, int width, float values[4])
{
  const float side = 512.0f;
  float ratio = side / (float) MIN (height, width);
  int oh = (int) ((float) height * ratio), ow = (int) ((float) width * ratio);

  g_assert (height > 0 && width > 0);
  values[0] = (float) oh;
  values[1] = (float) ow;
  values[2] = (float) MAX (0, (oh - (int) side) / 2);
  values[3] = (float) MAX (0, (ow - (int) side) / 2);
}

void
switti_rope_table (const SwittiTransformerConfig *config, int scale, float *table)
{
  const int side = config->schedule.side[scale], d = config->width / config->heads, quarter = d / 4;

  for (int t = 0; t < side * side; t++)
    for (int axis = 0; axis < 2; axis++)
      for (int j = 0; j < quarter; j++)
        {
          double frequency = pow (config->rope_theta, -4.0 * j / d) * config->rope_size / MAX (side - 1, 1);
          double angle = (axis == 0 ? t % side : t / side) * frequency;
          float *pair = table + ((gsize) t * (d / 2) + (gsize) (axis * quarter + j)) * 2;

          pair[0] = (float) cos (angle);
          pair[1] = (float) sin (angle);
        }
}
