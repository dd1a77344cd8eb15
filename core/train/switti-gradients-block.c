/* switti-gradients-block.c - one transformer block, forward and backward
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Scales share all ops but the attention among tokens, which goes scale by scale: a scale's queries meet the keys of
 * their own scale, or in AR those of all scales up to it.
 */
#include "switti-gradients-parts-private.h"

#include <math.h>

enum
{
  SELF,
  CROSS,
  FFN
};

static const float *
norm_weight (const SwittiGradients *self, int block, SwittiBlockNorm which)
{
  return switti_gradients_parameter (self, self->blocks[block].norm[which]);
}

static float *
norm_gradient (const SwittiGradients *self, int block, SwittiBlockNorm which)
{
  return switti_gradients_gradient (self, self->blocks[block].norm[which]);
}

static SwittiResidualNorm
norm_of_rows (const SwittiGradients *self)
{
  return (SwittiResidualNorm){
    .batch = self->options.batch,
    .n = self->length,
    .c = self->config->width,
    .eps = SWITTI_RMS_EPS,
    .y_dtype = self->dtype,
    .h_dtype = self->dtype,
    .modulation_stride = SWITTI_N_MODULATIONS * (gint64) self->config->width,
  };
}

/* -- among tokens ---------------------------------------------------------------------------------------------- */

static SwittiQkNormRope
qk_norm (const SwittiGradients *self)
{
  const gint64 c = self->config->width, l = self->length;
  const SwittiRows qkv = { l * 3 * c, 3 * c }, pairs = { l * 2 * c, 2 * c };

  return (SwittiQkNormRope){
    .batch = self->options.batch,
    .n = l,
    .heads = self->config->heads,
    .d = c / self->config->heads,
    .eps = SWITTI_LAYER_NORM_EPS,
    .dtype = self->dtype,
    .q = qkv,
    .k = qkv,
    .v = qkv,
    .q_out = pairs,
    .k_out = pairs,
  };
}

/* The scale's attention; its first query is at position begin[scale], its first key at *first_key. */
static SwittiAttention
scale_attention (const SwittiGradients *self, int scale, gint64 *first_key)
{
  const gint64 c = self->config->width, d = c / self->config->heads, l = self->length;
  const gint64 end = self->begin[scale + 1];

  *first_key = self->config->ar ? 0 : self->begin[scale];
  return (SwittiAttention){
    .batch = self->options.batch,
    .heads = self->config->heads,
    .d = d,
    .n = end - self->begin[scale],
    .m = end - *first_key,
    .scale = 1.0f / sqrtf ((float) d),
    .dtype = self->dtype,
    .q = { l * 2 * c, 2 * c },
    .k = { l * 2 * c, 2 * c },
    .v = { l * 3 * c, 3 * c },
    .out = { l * c, c },
  };
}

/* h -> y */
static gboolean
self_attention_forward (SwittiGradients *self, int index, GError **error)
{
  const SwittiTrainingBlock *block = &self->blocks[index];
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 c = self->config->width;
  const SwittiQkNormRope norm = qk_norm (self);

  if (!switti_gradients_multiply (self, SWITTI_PRODUCT_QKV, &block->qkv, saved->h[SELF], saved->qkv, error))
    return FALSE;
  SWITTI_RUN (self->device, qk_norm_rope, &norm, self->rope, saved->qkv, switti_gradients_at (self, saved->qkv, c),
              NULL, saved->qk, switti_gradients_at (self, saved->qk, c), NULL);
  for (int s = 0; s < self->config->schedule.n_scales; s++)
    {
      gint64 key, query = self->begin[s];
      const SwittiAttention attention = scale_attention (self, s, &key);

      SWITTI_RUN (self->device, attention, &attention, NULL, NULL,
                  switti_gradients_at (self, saved->qk, query * 2 * c),
                  switti_gradients_at (self, saved->qk, key * 2 * c + c),
                  switti_gradients_at (self, saved->qkv, key * 3 * c + 2 * c),
                  switti_gradients_at (self, saved->attended[SELF], query * c));
    }
  return switti_gradients_multiply (self, SWITTI_PRODUCT_SQUARE, &block->proj, saved->attended[SELF], saved->y[SELF],
                                    error);
}

/* dy -> dh */
static gboolean
self_attention_backward (SwittiGradients *self, int index, GError **error)
{
  const SwittiTrainingBlock *block = &self->blocks[index];
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 c = self->config->width, l = self->length;
  const SwittiRows pairs = { l * 2 * c, 2 * c };
  SwittiQkNormRope norm = qk_norm (self);

  if (!switti_gradients_multiply_backward (self, SWITTI_PRODUCT_SQUARE, &block->proj, saved->attended[SELF], self->dy,
                                           self->d_attended, error))
    return FALSE;
  SWITTI_RUN (self->device, clear, self->d_keys, (gsize) (self->rows * 2 * c) * sizeof (float));
  for (int s = 0; s < self->config->schedule.n_scales; s++)
    {
      gint64 key, query = self->begin[s];
      const SwittiAttentionBackward backward = {
        .attention = scale_attention (self, s, &key), .dout = { l * c, c }, .dq = norm.q, .dk = pairs, .dv = pairs,
      };

      SWITTI_RUN (self->device, attention_backward, &backward, NULL,
                  switti_gradients_at (self, saved->qk, query * 2 * c),
                  switti_gradients_at (self, saved->qk, key * 2 * c + c),
                  switti_gradients_at (self, saved->qkv, key * 3 * c + 2 * c),
                  switti_gradients_at (self, saved->attended[SELF], query * c),
                  switti_gradients_at (self, self->d_attended, query * c),
                  switti_gradients_at (self, self->d_qkv, query * 3 * c), self->d_keys + key * 2 * c,
                  self->d_keys + key * 2 * c + c, self->attention_scratch);
    }
  norm.q_out = norm.q;
  norm.k_out = norm.v_out = pairs;
  SWITTI_RUN (self->device, qk_norm_rope_backward, &norm, self->rope, saved->qkv,
              switti_gradients_at (self, saved->qkv, c), self->d_qkv, self->d_keys, self->d_keys + c, self->d_qkv,
              switti_gradients_at (self, self->d_qkv, c), switti_gradients_at (self, self->d_qkv, 2 * c));
  return switti_gradients_multiply_backward (self, SWITTI_PRODUCT_QKV, &block->qkv, saved->h[SELF], self->d_qkv,
                                             self->dh, error);
}

/* -- between tokens and text ----------------------------------------------------------------------------------- */

static SwittiQkNormRope
query_norm (const SwittiGradients *self)
{
  const gint64 c = self->config->width;
  const SwittiRows rows = { self->length * c, c };

  return (SwittiQkNormRope){
    .batch = self->options.batch,
    .n = self->length,
    .heads = self->config->heads,
    .d = c / self->config->heads,
    .eps = SWITTI_LAYER_NORM_EPS,
    .dtype = self->dtype,
    .q = rows,
    .q_out = rows,
  };
}

static SwittiAttention
text_attention (const SwittiGradients *self)
{
  const gint64 c = self->config->width, d = c / self->config->heads, text = SWITTI_TEXT_LENGTH;

  return (SwittiAttention){
    .batch = self->options.batch,
    .heads = self->config->heads,
    .d = d,
    .n = self->length,
    .m = text,
    .scale = 1.0f / sqrtf ((float) d),
    .dtype = self->dtype,
    .q = { self->length * c, c },
    .k = { text * c, c },
    .v = { text * 2 * c, 2 * c },
    .out = { self->length * c, c },
  };
}

/* h -> y */
static gboolean
cross_attention_forward (SwittiGradients *self, int index, GError **error)
{
  const SwittiTrainingBlock *block = &self->blocks[index];
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const SwittiQkNormRope norm = query_norm (self);
  const SwittiAttention attention = text_attention (self);

  if (!switti_gradients_multiply (self, SWITTI_PRODUCT_SQUARE, &block->to_q, saved->h[CROSS], saved->q, error))
    return FALSE;
  SWITTI_RUN (self->device, qk_norm_rope, &norm, NULL, saved->q, NULL, NULL, saved->normed_q, NULL, NULL);
  SWITTI_RUN (self->device, attention, &attention, NULL, self->n_valid, saved->normed_q, saved->normed_k,
              switti_gradients_at (self, saved->kv, self->config->width), saved->attended[CROSS]);
  return switti_gradients_multiply (self, SWITTI_PRODUCT_SQUARE, &block->cross_proj, saved->attended[CROSS],
                                    saved->y[CROSS], error);
}

/* dy -> dh and d_text_keys */
static gboolean
cross_attention_backward (SwittiGradients *self, int index, GError **error)
{
  const SwittiTrainingBlock *block = &self->blocks[index];
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 c = self->config->width, text = SWITTI_TEXT_LENGTH;
  const SwittiRows rows = { self->length * c, c }, keys = { text * 2 * c, 2 * c };
  const SwittiQkNormRope norm = query_norm (self);
  const SwittiAttentionBackward backward = {
    .attention = text_attention (self), .dout = rows, .dq = rows, .dk = keys, .dv = keys,
  };
  void *dq = self->d_qkv;

  if (!switti_gradients_multiply_backward (self, SWITTI_PRODUCT_SQUARE, &block->cross_proj, saved->attended[CROSS],
                                           self->dy, self->d_attended, error))
    return FALSE;
  SWITTI_RUN (self->device, clear, self->d_text_keys,
              (gsize) (self->options.batch * text * 2 * c) * sizeof (float));
  SWITTI_RUN (self->device, attention_backward, &backward, self->n_valid, saved->normed_q, saved->normed_k,
              switti_gradients_at (self, saved->kv, c), saved->attended[CROSS], self->d_attended, dq,
              self->d_text_keys, self->d_text_keys + c, self->attention_scratch);
  SWITTI_RUN (self->device, qk_norm_rope_backward, &norm, NULL, saved->q, NULL, dq, NULL, NULL, dq, NULL, NULL);
  return switti_gradients_multiply_backward (self, SWITTI_PRODUCT_SQUARE, &block->to_q, saved->h[CROSS], dq, self->dh,
                                             error);
}

/* -- each token alone ------------------------------------------------------------------------------------------ */

/* h -> y */
static gboolean
feed_forward (SwittiGradients *self, int index, GError **error)
{
  const SwittiTrainingBlock *block = &self->blocks[index];
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 f = self->config->ffn_hidden;

  if (!switti_gradients_multiply (self, SWITTI_PRODUCT_FFN_IN, &block->ffn_in, saved->h[FFN], saved->ffn_in, error))
    return FALSE;
  if (self->config->swiglu)
    SWITTI_RUN (self->device, swiglu, self->rows, f, self->dtype, saved->ffn_in, 2 * f, saved->ffn_hidden, f);
  else
    SWITTI_RUN (self->device, activation, SWITTI_ACTIVATION_GELU_TANH, self->rows * f, self->dtype, saved->ffn_in,
                saved->ffn_hidden);
  return switti_gradients_multiply (self, SWITTI_PRODUCT_FFN_OUT, &block->ffn_out, saved->ffn_hidden, saved->y[FFN],
                                    error);
}

/* dy -> dh */
static gboolean
feed_forward_backward (SwittiGradients *self, int index, GError **error)
{
  const SwittiTrainingBlock *block = &self->blocks[index];
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 f = self->config->ffn_hidden;

  if (!switti_gradients_multiply_backward (self, SWITTI_PRODUCT_FFN_OUT, &block->ffn_out, saved->ffn_hidden, self->dy,
                                           self->d_ffn_hidden, error))
    return FALSE;
  if (self->config->swiglu)
    SWITTI_RUN (self->device, swiglu_backward, self->rows, f, self->dtype, saved->ffn_in, 2 * f, self->d_ffn_hidden, f,
                self->d_ffn_in);
  else
    SWITTI_RUN (self->device, activation_backward, SWITTI_ACTIVATION_GELU_TANH, self->rows * f, self->dtype,
                saved->ffn_in, self->d_ffn_hidden, self->d_ffn_in);
  return switti_gradients_multiply_backward (self, SWITTI_PRODUCT_FFN_IN, &block->ffn_in, saved->h[FFN],
                                             self->d_ffn_in, self->dh, error);
}

/* -- the block ------------------------------------------------------------------------------------------------- */

static gboolean
copy_stream (SwittiGradients *self, float *to, const float *from, GError **error)
{
  SWITTI_RUN (self->device, copy, to, from, (gsize) (self->rows * self->config->width) * sizeof (float));
  return TRUE;
}

gboolean
switti_gradients_block_forward (SwittiGradients *self, int index, GError **error)
{
  SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const SwittiResidualNorm norm = norm_of_rows (self);
  const gint64 c = self->config->width;
  const float *modulation = saved->modulation, *cross_gate;
  float *end = self->x[index + 1];

  if (!switti_gradients_block_conditions_forward (self, index, error)
      || !switti_gradients_drop_cross (self, index, &cross_gate, error))
    return FALSE;
  SWITTI_RUN (self->device, residual_norm, &norm, NULL, self->x[index], NULL, NULL, NULL,
              norm_weight (self, index, SWITTI_NORM_SELF_PRE), modulation + SWITTI_MODULATION_SCALE_ATTENTION * c,
              modulation + SWITTI_MODULATION_SHIFT_ATTENTION * c, saved->h[SELF]);
  if (!self_attention_forward (self, index, error) || !copy_stream (self, saved->x[0], self->x[index], error))
    return FALSE;
  SWITTI_RUN (self->device, residual_norm, &norm, NULL, saved->x[0], saved->y[SELF],
              norm_weight (self, index, SWITTI_NORM_SELF_POST), modulation + SWITTI_MODULATION_GATE_ATTENTION * c,
              norm_weight (self, index, SWITTI_NORM_CROSS_PRE), NULL, NULL, saved->h[CROSS]);
  if (!cross_attention_forward (self, index, error) || !copy_stream (self, saved->x[1], saved->x[0], error))
    return FALSE;
  SWITTI_RUN (self->device, residual_norm, &norm, NULL, saved->x[1], saved->y[CROSS],
              norm_weight (self, index, SWITTI_NORM_CROSS_POST), cross_gate,
              norm_weight (self, index, SWITTI_NORM_FFN_PRE), modulation + SWITTI_MODULATION_SCALE_FFN * c,
              modulation + SWITTI_MODULATION_SHIFT_FFN * c, saved->h[FFN]);
  if (!feed_forward (self, index, error) || !copy_stream (self, end, saved->x[1], error))
    return FALSE;
  SWITTI_RUN (self->device, residual_norm, &norm, NULL, end, saved->y[FFN],
              norm_weight (self, index, SWITTI_NORM_FFN_POST), modulation + SWITTI_MODULATION_GATE_FFN * c, NULL,
              NULL, NULL, NULL);
  return TRUE;
}

/* Behind the FFN: its output's norm and gate. */
static SwittiNormGradients
ffn_end (const SwittiGradients *self, int index)
{
  const SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 c = self->config->width;

  return (SwittiNormGradients){
    .y = saved->y[FFN],
    .post_weight = norm_weight (self, index, SWITTI_NORM_FFN_POST),
    .gate = saved->modulation + SWITTI_MODULATION_GATE_FFN * c,
    .dx = self->dx,
    .dy = self->dy,
    .d_post_weight = norm_gradient (self, index, SWITTI_NORM_FFN_POST),
    .d_gate = self->d_modulation + SWITTI_MODULATION_GATE_FFN * c,
  };
}

/* Between cross-attention and FFN. */
static SwittiNormGradients
cross_end (const SwittiGradients *self, int index, const float *gate)
{
  const SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 c = self->config->width;

  return (SwittiNormGradients){
    .x = saved->x[1],
    .y = saved->y[CROSS],
    .post_weight = norm_weight (self, index, SWITTI_NORM_CROSS_POST),
    .gate = gate,
    .weight = norm_weight (self, index, SWITTI_NORM_FFN_PRE),
    .scale = saved->modulation + SWITTI_MODULATION_SCALE_FFN * c,
    .dh = self->dh,
    .dx = self->dx,
    .dy = self->dy,
    .d_post_weight = norm_gradient (self, index, SWITTI_NORM_CROSS_POST),
    .d_weight = norm_gradient (self, index, SWITTI_NORM_FFN_PRE),
    .d_scale = self->d_modulation + SWITTI_MODULATION_SCALE_FFN * c,
    .d_shift = self->d_modulation + SWITTI_MODULATION_SHIFT_FFN * c,
  };
}

/* Between self-attention and cross-attention. */
static SwittiNormGradients
self_end (const SwittiGradients *self, int index)
{
  const SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 c = self->config->width;

  return (SwittiNormGradients){
    .x = saved->x[0],
    .y = saved->y[SELF],
    .post_weight = norm_weight (self, index, SWITTI_NORM_SELF_POST),
    .gate = saved->modulation + SWITTI_MODULATION_GATE_ATTENTION * c,
    .weight = norm_weight (self, index, SWITTI_NORM_CROSS_PRE),
    .dh = self->dh,
    .dx = self->dx,
    .dy = self->dy,
    .d_post_weight = norm_gradient (self, index, SWITTI_NORM_SELF_POST),
    .d_weight = norm_gradient (self, index, SWITTI_NORM_CROSS_PRE),
    .d_gate = self->d_modulation + SWITTI_MODULATION_GATE_ATTENTION * c,
  };
}

/* Before self-attention. */
static SwittiNormGradients
block_start (const SwittiGradients *self, int index)
{
  const SwittiSavedBlock *saved = switti_gradients_saved (self, index);
  const gint64 c = self->config->width;

  return (SwittiNormGradients){
    .x = self->x[index],
    .weight = norm_weight (self, index, SWITTI_NORM_SELF_PRE),
    .scale = saved->modulation + SWITTI_MODULATION_SCALE_ATTENTION * c,
    .dh = self->dh,
    .dx = self->dx,
    .d_weight = norm_gradient (self, index, SWITTI_NORM_SELF_PRE),
    .d_scale = self->d_modulation + SWITTI_MODULATION_SCALE_ATTENTION * c,
    .d_shift = self->d_modulation + SWITTI_MODULATION_SHIFT_ATTENTION * c,
  };
}

static gboolean
norm_backward (SwittiGradients *self, SwittiNormGradients gradients, GError **error)
{
  const SwittiResidualNorm norm = norm_of_rows (self);

  SWITTI_RUN (self->device, residual_norm_backward, &norm, &gradients, self->norm_scratch);
  return TRUE;
}

/* Each pass undoes one addition to the stream together with the norm that read the stream behind it. */
gboolean
switti_gradients_block_backward (SwittiGradients *self, int index, GError **error)
{
  const float *gate;

  return norm_backward (self, ffn_end (self, index), error) && feed_forward_backward (self, index, error)
         && switti_gradients_drop_cross (self, index, &gate, error)
         && norm_backward (self, cross_end (self, index, gate), error) && cross_attention_backward (self, index, error)
         && norm_backward (self, self_end (self, index), error) && self_attention_backward (self, index, error)
         && norm_backward (self, block_start (self, index), error)
         && switti_gradients_block_conditions_backward (self, index, error);
}
