/* switti-gradients-conditions.c - what depends on the prompts alone, and its gradients
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-gradients-parts-private.h"

#define PUBLISHED_SIDE 512

static gboolean
embed_crops (SwittiGradients *self, const SwittiTrainingBatch *batch, GError **error)
{
  const gsize c = (gsize) self->config->width;
  const int n = self->config->width / 8;

  SWITTI_RUN (self->device, download, self->host_frequencies, switti_gradients_parameter (self, self->crop_embed),
              (gsize) n * sizeof (float));
  for (int b = 0; b < self->options.batch; b++)
    switti_crop_embedding (self->host_frequencies, n, batch->heights != NULL ? batch->heights[b] : PUBLISHED_SIDE,
                           batch->widths != NULL ? batch->widths[b] : PUBLISHED_SIDE,
                           self->host_crop + (gsize) b * c);
  SWITTI_RUN (self->device, upload, self->crop_input, self->host_crop,
              (gsize) self->options.batch * c * sizeof (float));
  return switti_gradients_multiply (self, SWITTI_PRODUCT_CROP_PROJ, &self->crop_proj, self->crop_input, self->crop,
                                    error);
}

gboolean
switti_gradients_conditions_forward (SwittiGradients *self, const SwittiTrainingBatch *batch, GError **error)
{
  SWITTI_RUN (self->device, upload, self->n_valid, batch->n_valid, (gsize) self->options.batch * sizeof (gint32));
  if (!switti_gradients_multiply (self, SWITTI_PRODUCT_TEXT_POOLER, &self->text_pooler, self->pooled, self->c, error)
      || (self->config->crop_cond && !embed_crops (self, batch, error)))
    return FALSE;
  SWITTI_RUN (self->device, silu_condition, self->options.batch, self->config->width, self->c, NULL, NULL, self->dtype,
              self->head_silu);
  return switti_gradients_multiply (self, SWITTI_PRODUCT_HEAD_ADA_LIN, &self->head_ada_lin, self->head_silu,
                                    self->head_modulation, error);
}

/* After all else has added to dc and d_crop. */
gboolean
switti_gradients_conditions_backward (SwittiGradients *self, GError **error)
{
  if (self->config->crop_cond
      && !switti_gradients_multiply_backward (self, SWITTI_PRODUCT_CROP_PROJ, &self->crop_proj, self->crop_input,
                                              self->d_crop, NULL, error))
    return FALSE;
  return switti_gradients_multiply_backward (self, SWITTI_PRODUCT_TEXT_POOLER, &self->text_pooler, self->pooled,
                                             self->dc, self->d_pooled, error);
}

static SwittiResidualNorm
context_norm (const SwittiGradients *self)
{
  return (SwittiResidualNorm){
    .batch = self->options.batch,
    .n = SWITTI_TEXT_LENGTH,
    .c = self->config->context_dim,
    .eps = SWITTI_RMS_EPS,
    .y_dtype = self->dtype,
    .h_dtype = self->dtype,
  };
}

gboolean
switti_gradients_block_conditions_forward (SwittiGradients *self, int index, GError **error)
{
  const SwittiTrainingBlock *block = &self->blocks[index];
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 c = self->config->width, text = SWITTI_TEXT_LENGTH;
  const gboolean crop = self->config->crop_cond;
  const SwittiResidualNorm norm = context_norm (self);
  const SwittiQkNormRope key_norm = {
    .batch = self->options.batch,
    .n = text,
    .heads = self->config->heads,
    .d = c / self->config->heads,
    .eps = SWITTI_LAYER_NORM_EPS,
    .dtype = self->dtype,
    .q = { text * 2 * c, 2 * c }, /* the op's queries are the keys here: they need the same norm */
    .q_out = { text * c, c },
  };

  SWITTI_RUN (self->device, silu_condition, self->options.batch, c, self->c, crop ? self->crop : NULL,
              crop ? switti_gradients_parameter (self, block->crop_scales) : NULL, self->dtype, saved->silu);
  if (!switti_gradients_multiply (self, SWITTI_PRODUCT_ADA_LIN, &block->ada_lin, saved->silu, saved->modulation,
                                  error)
      || !switti_gradients_drop_gates (self, index, saved->modulation, error))
    return FALSE;
  SWITTI_RUN (self->device, residual_norm, &norm, NULL, self->text, NULL, NULL, NULL,
              switti_gradients_parameter (self, block->norm[SWITTI_NORM_CONTEXT]), NULL, NULL, saved->context);
  if (!switti_gradients_multiply (self, SWITTI_PRODUCT_TO_KV, &block->to_kv, saved->context, saved->kv, error))
    return FALSE;
  SWITTI_RUN (self->device, qk_norm_rope, &key_norm, NULL, saved->kv, NULL, NULL, saved->normed_k, NULL, NULL);
  return TRUE;
}

/* Keys and values of the text, from the gradients that attention has left in d_text_keys. */
static gboolean
text_backward (SwittiGradients *self, int index, GError **error)
{
  const SwittiTrainingBlock *block = &self->blocks[index];
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 c = self->config->width;
  const SwittiRows rows = { SWITTI_TEXT_LENGTH * 2 * c, 2 * c };
  const SwittiResidualNorm norm = context_norm (self);
  const SwittiQkNormRope key_norm = {
    .batch = self->options.batch,
    .n = SWITTI_TEXT_LENGTH,
    .heads = self->config->heads,
    .d = c / self->config->heads,
    .eps = SWITTI_LAYER_NORM_EPS,
    .dtype = self->dtype,
    .k = rows,
    .v = rows,
    .k_out = rows,
    .v_out = rows,
  };
  const SwittiNormGradients gradients = {
    .x = self->text,
    .weight = switti_gradients_parameter (self, block->norm[SWITTI_NORM_CONTEXT]),
    .dh = self->d_context,
    .dx = self->d_text,
    .d_weight = switti_gradients_gradient (self, block->norm[SWITTI_NORM_CONTEXT]),
  };

  SWITTI_RUN (self->device, qk_norm_rope_backward, &key_norm, NULL, NULL, saved->kv, NULL, self->d_text_keys,
              self->d_text_keys + c, NULL, self->d_kv, switti_gradients_at (self, self->d_kv, c));
  if (!switti_gradients_multiply_backward (self, SWITTI_PRODUCT_TO_KV, &block->to_kv, saved->context, self->d_kv,
                                           self->d_context, error))
    return FALSE;
  SWITTI_RUN (self->device, residual_norm_backward, &norm, &gradients, self->norm_scratch);
  return TRUE;
}

gboolean
switti_gradients_block_conditions_backward (SwittiGradients *self, int index, GError **error)
{
  const SwittiTrainingBlock *block = &self->blocks[index];
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gboolean crop = self->config->crop_cond;

  if (!text_backward (self, index, error) || !switti_gradients_drop_gates (self, index, self->d_modulation, error)
      || !switti_gradients_multiply_backward (self, SWITTI_PRODUCT_ADA_LIN, &block->ada_lin, saved->silu,
                                              self->d_modulation, self->d_silu, error))
    return FALSE;
  SWITTI_RUN (self->device, silu_condition_backward, self->options.batch, self->config->width, self->c,
              crop ? self->crop : NULL, crop ? switti_gradients_parameter (self, block->crop_scales) : NULL,
              self->d_silu, self->dc, crop ? self->d_crop : NULL,
              crop ? switti_gradients_gradient (self, block->crop_scales) : NULL);
  return TRUE;
}
