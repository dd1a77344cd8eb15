/* staged-training.c - the gradients' ops and the optimizer's on a device that has memory of its own
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "staged-private.h"

#include <stdlib.h>

#define MAX_TENSORS 40

/* -- transformer ----------------------------------------------------------------------------------------------- */

/* Both norms' backward; which of the two is `layer`. */
static SwittiKernelStatus
norm_backward (SwittiKernelContext *context, bool layer, const SwittiResidualNorm *norm, const SwittiNormGradients *g,
               void *scratch)
{
  STAGED_BEGIN (call, context, g->x, g->y, g->post_weight, g->gate, g->weight, g->bias, g->scale, g->dh, g->dx, g->dy,
                g->d_post_weight, g->d_weight, g->d_bias, g->d_gate, g->d_scale, g->d_shift, scratch);
  const SwittiNormGradients there = {
    .x = AT (g->x),
    .y = AT (g->y),
    .post_weight = AT (g->post_weight),
    .gate = AT (g->gate),
    .weight = AT (g->weight),
    .bias = AT (g->bias),
    .scale = AT (g->scale),
    .dh = AT (g->dh),
    .dx = AT (g->dx),
    .dy = AT (g->dy),
    .d_post_weight = AT (g->d_post_weight),
    .d_weight = AT (g->d_weight),
    .d_bias = AT (g->d_bias),
    .d_gate = AT (g->d_gate),
    .d_scale = AT (g->d_scale),
    .d_shift = AT (g->d_shift),
  };

  return staged_finish (&call, layer ? staged_device->layer_norm_backward (context, norm, &there, AT (scratch))
                                     : staged_device->residual_norm_backward (context, norm, &there, AT (scratch)));
}

static SwittiKernelStatus
stage_residual_norm_backward (SwittiKernelContext *context, const SwittiResidualNorm *norm,
                              const SwittiNormGradients *gradients, void *scratch)
{
  return norm_backward (context, false, norm, gradients, scratch);
}

static SwittiKernelStatus
stage_layer_norm_backward (SwittiKernelContext *context, const SwittiLayerNorm *norm,
                           const SwittiNormGradients *gradients, void *scratch)
{
  return norm_backward (context, true, norm, gradients, scratch);
}

static SwittiKernelStatus
stage_qk_norm_rope_backward (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope, const void *q,
                             const void *k, const void *dq_out, const float *dk_out, const float *dv_out, void *dq,
                             void *dk, void *dv)
{
  STAGED_BEGIN (call, context, rope, q, k, dq_out, dk_out, dv_out, dq, dk, dv);
  return staged_finish (&call, staged_device->qk_norm_rope_backward (context, op, AT (rope), AT (q), AT (k),
                                                                     AT (dq_out), AT (dk_out), AT (dv_out), AT (dq),
                                                                     AT (dk), AT (dv)));
}

static SwittiKernelStatus
stage_attention_backward (SwittiKernelContext *context, const SwittiAttentionBackward *backward,
                          const int32_t *key_length, const void *q, const void *k, const void *v, const void *out,
                          const void *dout, void *dq, float *dk, float *dv, void *scratch)
{
  STAGED_BEGIN (call, context, key_length, q, k, v, out, dout, dq, dk, dv, scratch);
  return staged_finish (&call, staged_device->attention_backward (context, backward, AT (key_length), AT (q), AT (k),
                                                                  AT (v), AT (out), AT (dout), AT (dq), AT (dk),
                                                                  AT (dv), AT (scratch)));
}

/* -- element-wise ---------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
stage_swiglu_backward (SwittiKernelContext *context, int64_t rows, int64_t hidden, SwittiDtype dtype,
                       const void *gate_up, int64_t in_stride, const void *d_out, int64_t out_stride, void *d_gate_up)
{
  STAGED_BEGIN (call, context, gate_up, d_out, d_gate_up);
  return staged_finish (&call, staged_device->swiglu_backward (context, rows, hidden, dtype, AT (gate_up), in_stride,
                                                               AT (d_out), out_stride, AT (d_gate_up)));
}

static SwittiKernelStatus
stage_activation (SwittiKernelContext *context, SwittiActivation activation, int64_t count, SwittiDtype dtype,
                  const void *x, void *y)
{
  STAGED_BEGIN (call, context, x, y);
  return staged_finish (&call, staged_device->activation (context, activation, count, dtype, AT (x), AT (y)));
}

static SwittiKernelStatus
stage_activation_backward (SwittiKernelContext *context, SwittiActivation activation, int64_t count, SwittiDtype dtype,
                           const void *x, const void *dy, void *dx)
{
  STAGED_BEGIN (call, context, x, dy, dx);
  return staged_finish (
      &call, staged_device->activation_backward (context, activation, count, dtype, AT (x), AT (dy), AT (dx)));
}

static SwittiKernelStatus
stage_silu_condition_backward (SwittiKernelContext *context, int64_t batch, int64_t width, const float *c,
                               const float *crop, const float *crop_scales, const float *d_out, float *dc,
                               float *d_crop, float *d_crop_scales)
{
  STAGED_BEGIN (call, context, c, crop, crop_scales, d_out, dc, d_crop, d_crop_scales);
  return staged_finish (&call,
                        staged_device->silu_condition_backward (context, batch, width, AT (c), AT (crop),
                                                                AT (crop_scales), AT (d_out), AT (dc), AT (d_crop),
                                                                AT (d_crop_scales)));
}

static SwittiKernelStatus
stage_token_embedding (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding, const int32_t *level,
                       const float *levels, const float *positions, const float *start, const float *word_bias,
                       const float *c, float *x)
{
  STAGED_BEGIN (call, context, level, levels, positions, start, word_bias, c, x);
  return staged_finish (&call,
                        staged_device->token_embedding (context, embedding, AT (level), AT (levels), AT (positions),
                                                        AT (start), AT (word_bias), AT (c), AT (x)));
}

static SwittiKernelStatus
stage_token_embedding_backward (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding,
                                const int32_t *level, const float *dx, float *d_levels, float *d_positions,
                                float *d_start, float *d_word_bias, float *dc)
{
  STAGED_BEGIN (call, context, level, dx, d_levels, d_positions, d_start, d_word_bias, dc);
  return staged_finish (&call, staged_device->token_embedding_backward (context, embedding, AT (level), AT (dx),
                                                                        AT (d_levels), AT (d_positions), AT (d_start),
                                                                        AT (d_word_bias), AT (dc)));
}

static SwittiKernelStatus
stage_column_sum (SwittiKernelContext *context, int64_t rows, int64_t width, SwittiDtype dtype, const void *x,
                  int64_t stride, float *sum)
{
  STAGED_BEGIN (call, context, x, sum);
  return staged_finish (&call,
                        staged_device->column_sum (context, rows, width, dtype, AT (x), stride, AT (sum)));
}

static SwittiKernelStatus
stage_cross_entropy (SwittiKernelContext *context, const SwittiCrossEntropy *cross_entropy, const float *logits,
                     const int32_t *target, const float *weight, float *loss, int32_t *rank, void *d_logits)
{
  STAGED_BEGIN (call, context, logits, target, weight, loss, rank, d_logits);
  return staged_finish (&call,
                        staged_device->cross_entropy (context, cross_entropy, AT (logits), AT (target), AT (weight),
                                                      AT (loss), AT (rank), AT (d_logits)));
}

/* -- optimizer ------------------------------------------------------------------------------------------------- */

/* What the table gives out as a plan: the device's, and the tensors' copies, which live as long. */
typedef struct
{
  SwittiOptimizerPlan *plan;
  StagedCall tensors;
} StagedPlan;

static void
stage_optimizer_plan_free (SwittiKernelContext *context, SwittiOptimizerPlan *plan)
{
  StagedPlan *staged = (StagedPlan *) (void *) plan;

  if (staged == NULL)
    return;
  staged_device->optimizer_plan_free (context, staged->plan);
  staged_free (&staged->tensors);
  free (staged);
}

static SwittiKernelStatus
stage_optimizer_plan (SwittiKernelContext *context, int64_t n_tensors, const SwittiOptimizerTensor *tensors,
                      SwittiOptimizerPlan **plan)
{
  const void *operands[6 * MAX_TENSORS];
  SwittiOptimizerTensor there[MAX_TENSORS];
  StagedPlan *staged;
  SwittiKernelStatus status;

  if (n_tensors < 1 || n_tensors > MAX_TENSORS || tensors == NULL || plan == NULL)
    return staged_device->optimizer_plan (context, n_tensors, tensors, plan);
  for (int64_t i = 0; i < n_tensors; i++)
    {
      const SwittiOptimizerTensor *t = &tensors[i];
      const void *of_tensor[] = { t->parameter, t->gradient, t->first_moment, t->second_moment, t->average, t->copy };

      for (int j = 0; j < 6; j++)
        operands[6 * i + j] = of_tensor[j];
    }
  staged = calloc (1, sizeof *staged);
  if (staged == NULL)
    return SWITTI_KERNEL_OUT_OF_MEMORY;
  staged_begin (&staged->tensors, context, operands, (size_t) (6 * n_tensors));
  for (int64_t i = 0; i < n_tensors; i++)
    {
      there[i] = tensors[i];
      there[i].parameter = staged_at (&staged->tensors, tensors[i].parameter);
      there[i].gradient = staged_at (&staged->tensors, tensors[i].gradient);
      there[i].first_moment = staged_at (&staged->tensors, tensors[i].first_moment);
      there[i].second_moment = staged_at (&staged->tensors, tensors[i].second_moment);
      there[i].average = staged_at (&staged->tensors, tensors[i].average);
      there[i].copy = staged_at (&staged->tensors, tensors[i].copy);
    }
  status = staged_device->optimizer_plan (context, n_tensors, there, &staged->plan);
  *plan = (SwittiOptimizerPlan *) (void *) staged;
  if (status == SWITTI_KERNEL_OK)
    return status;
  *plan = NULL;
  staged_free (&staged->tensors);
  free (staged);
  return status;
}

static SwittiKernelStatus
stage_squared_norm (SwittiKernelContext *context, const SwittiOptimizerPlan *plan, double *sums)
{
  StagedPlan *staged = (StagedPlan *) (void *) plan;
  STAGED_BEGIN (call, context, sums);

  if (staged == NULL)
    return staged_finish (&call, staged_device->squared_norm (context, NULL, AT (sums)));
  staged_upload (&staged->tensors);
  return staged_finish (&call, staged_device->squared_norm (context, staged->plan, AT (sums)));
}

static SwittiKernelStatus
stage_adamw (SwittiKernelContext *context, const SwittiAdamw *adamw, const SwittiOptimizerPlan *plan)
{
  StagedPlan *staged = (StagedPlan *) (void *) plan;
  SwittiKernelStatus status;

  if (staged == NULL)
    return staged_device->adamw (context, adamw, NULL);
  staged_upload (&staged->tensors);
  status = staged_device->adamw (context, adamw, staged->plan);
  return status == SWITTI_KERNEL_OK ? staged_download (&staged->tensors) : status;
}

/* -- the VAE --------------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
stage_conv_backward (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan, const float *x,
                     const float *weight, const float *dy, float *dx, float *d_weight, float *d_bias)
{
  STAGED_BEGIN (call, context, x, weight, dy, dx, d_weight, d_bias);
  return staged_finish (&call, staged_device->conv_backward (context, plan, AT (x), AT (weight), AT (dy), AT (dx),
                                                             AT (d_weight), AT (d_bias)));
}

static SwittiKernelStatus
stage_group_norm_backward (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x,
                           const float *weight, const float *bias, const void *dy, void *scratch, void *dx,
                           float *d_weight, float *d_bias)
{
  STAGED_BEGIN (call, context, x, weight, bias, dy, scratch, dx, d_weight, d_bias);
  return staged_finish (&call, staged_device->group_norm_backward (context, norm, AT (x), AT (weight), AT (bias),
                                                                   AT (dy), AT (scratch), AT (dx), AT (d_weight),
                                                                   AT (d_bias)));
}

static SwittiKernelStatus
stage_resample_backward (SwittiKernelContext *context, const SwittiResample *resample, const float *d_out, float *d_in)
{
  STAGED_BEGIN (call, context, d_out, d_in);
  return staged_finish (&call, staged_device->resample_backward (context, resample, AT (d_out), AT (d_in)));
}

static SwittiKernelStatus
stage_embed_backward (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries, const int32_t *ids,
                      const float *dy, float *d_table)
{
  STAGED_BEGIN (call, context, ids, dy, d_table);
  return staged_finish (
      &call, staged_device->embed_backward (context, rows, width, entries, AT (ids), AT (dy), AT (d_table)));
}

static SwittiKernelStatus
stage_squared_difference (SwittiKernelContext *context, int64_t count, const float *a, const float *b, double *sum)
{
  STAGED_BEGIN (call, context, a, b, sum);
  return staged_finish (&call, staged_device->squared_difference (context, count, AT (a), AT (b), AT (sum)));
}

/* An op that the device has not got stays NULL. */
#define FILL(table, op)                                                                                               \
  do                                                                                                                  \
    if ((table)->op != NULL)                                                                                          \
      (table)->op = stage_##op;                                                                                       \
  while (0)

void
staged_fill_training (SwittiKernels *table)
{
  FILL (table, residual_norm_backward);
  FILL (table, layer_norm_backward);
  FILL (table, qk_norm_rope_backward);
  FILL (table, attention_backward);
  FILL (table, swiglu_backward);
  FILL (table, activation);
  FILL (table, activation_backward);
  FILL (table, silu_condition_backward);
  FILL (table, token_embedding);
  FILL (table, token_embedding_backward);
  FILL (table, column_sum);
  FILL (table, cross_entropy);
  FILL (table, optimizer_plan);
  FILL (table, optimizer_plan_free);
  FILL (table, squared_norm);
  FILL (table, adamw);
  FILL (table, conv_backward);
  FILL (table, group_norm_backward);
  FILL (table, resample_backward);
  FILL (table, embed_backward);
  FILL (table, squared_difference);
}
