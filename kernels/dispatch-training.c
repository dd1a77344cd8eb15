/* dispatch-training.c - the training part of a device's op table: checks the arguments, calls the op, keeps the profile
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "dispatch-private.h"

#include "optimizer-plan-private.h"

#include <math.h>

/* -- norms ----------------------------------------------------------------------------------------------------- */

static bool
norm_is_valid (const SwittiResidualNorm *norm)
{
  return norm != NULL && norm->batch >= 1 && norm->n >= 1 && norm->c >= 1 && is_float (norm->y_dtype)
         && is_float (norm->h_dtype);
}

size_t
DEVICE (dispatch_norm_backward_scratch_bytes) (SwittiKernelContext *context, const SwittiResidualNorm *norm)
{
  return norm_is_valid (norm) ? context->ops.norm_backward_scratch_bytes (context, norm) : 0;
}

/* Each gradient needs what it is the gradient of, or follows from. */
static bool
norm_gradients_are_valid (const SwittiNormGradients *g)
{
  if (g == NULL || (g->dh == NULL && g->y == NULL) || (g->dh != NULL && g->x == NULL))
    return false;
  if ((g->y == NULL) != (g->dy == NULL) || (g->y != NULL && g->dx == NULL))
    return false;
  if (g->dh == NULL && (g->d_weight != NULL || g->d_bias != NULL || g->d_scale != NULL || g->d_shift != NULL))
    return false;
  return g->y != NULL || (g->d_post_weight == NULL && g->d_gate == NULL);
}

static double
norm_bytes (const SwittiResidualNorm *norm, const SwittiNormGradients *g)
{
  double element = (g->dx != NULL ? 8.0 : 0.0);

  if (g->dh != NULL)
    element += 4.0 + size (norm->h_dtype);
  if (g->y != NULL)
    element += 2.0 * size (norm->y_dtype);
  return element * (double) (norm->batch * norm->n * norm->c);
}

SwittiKernelStatus
DEVICE (dispatch_residual_norm_backward) (SwittiKernelContext *context, const SwittiResidualNorm *norm,
                                          const SwittiNormGradients *gradients, void *scratch)
{
  Call call = begin (context, SWITTI_KERNEL_OP_NORM, "residual_norm_backward");

  if (!norm_is_valid (norm) || !norm_gradients_are_valid (gradients) || scratch == NULL)
    return invalid (&call);
  return end (&call, context->ops.residual_norm_backward (context, norm, gradients, scratch), 0.0,
              norm_bytes (norm, gradients));
}

SwittiKernelStatus
DEVICE (dispatch_layer_norm_backward) (SwittiKernelContext *context, const SwittiLayerNorm *norm,
                                       const SwittiNormGradients *gradients, void *scratch)
{
  Call call = begin (context, SWITTI_KERNEL_OP_NORM, "layer_norm_backward");

  if (!norm_is_valid (norm) || !norm_gradients_are_valid (gradients) || scratch == NULL
      || gradients->post_weight != NULL || gradients->gate != NULL || gradients->d_post_weight != NULL
      || gradients->d_gate != NULL)
    return invalid (&call);
  return end (&call, context->ops.layer_norm_backward (context, norm, gradients, scratch), 0.0,
              norm_bytes (norm, gradients));
}

/* -- attention ------------------------------------------------------------------------------------------------- */

SwittiKernelStatus
DEVICE (dispatch_qk_norm_rope_backward) (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope,
                                         const void *q, const void *k, const void *dq_out, const float *dk_out,
                                         const float *dv_out, void *dq, void *dk, void *dv)
{
  Call call = begin (context, SWITTI_KERNEL_OP_QK_NORM_ROPE, "qk_norm_rope_backward");
  double element = 0.0;

  if (op == NULL || op->batch < 1 || op->n < 1 || op->heads < 1 || op->d < 1 || !is_float (op->dtype)
      || (rope != NULL && op->d % 2 != 0))
    return invalid (&call);
  if ((dq != NULL && (q == NULL || dq_out == NULL)) || (dk != NULL && (k == NULL || dk_out == NULL))
      || (dv != NULL && dv_out == NULL))
    return invalid (&call);
  element += dq != NULL ? 3.0 * size (op->dtype) : 0.0;
  element += dk != NULL ? 2.0 * size (op->dtype) + 4.0 : 0.0;
  element += dv != NULL ? size (op->dtype) + 4.0 : 0.0;
  return end (&call,
              context->ops.qk_norm_rope_backward (context, op, rope, q, k, dq_out, dk_out, dv_out, dq, dk, dv), 0.0,
              element * (double) (op->batch * op->n * op->heads * op->d));
}

static bool
attention_is_valid (const SwittiAttention *a)
{
  return a->batch >= 1 && a->heads >= 1 && a->d >= 1 && a->n >= 1 && a->m >= 1 && is_float (a->dtype);
}

size_t
DEVICE (dispatch_attention_backward_scratch_bytes) (SwittiKernelContext *context,
                                                    const SwittiAttentionBackward *backward)
{
  if (backward == NULL || !attention_is_valid (&backward->attention))
    return 0;
  return context->ops.attention_backward_scratch_bytes (context, backward);
}

SwittiKernelStatus
DEVICE (dispatch_attention_backward) (SwittiKernelContext *context, const SwittiAttentionBackward *backward,
                                      const int32_t *key_length, const void *q, const void *k, const void *v,
                                      const void *out, const void *dout, void *dq, float *dk, float *dv, void *scratch)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ATTENTION, "attention_backward");
  const SwittiAttention *a;
  double width;

  if (backward == NULL || q == NULL || k == NULL || v == NULL || out == NULL || dout == NULL || dq == NULL
      || dk == NULL || dv == NULL || !attention_is_valid (&backward->attention))
    return invalid (&call);
  if (scratch == NULL && context->ops.attention_backward_scratch_bytes (context, backward) > 0)
    return invalid (&call);
  a = &backward->attention;
  width = (double) (a->batch * a->heads * a->d);
  return end (&call,
              context->ops.attention_backward (context, backward, key_length, q, k, v, out, dout, dq, dk, dv, scratch),
              10.0 * width * (double) a->n * (double) a->m,
              width * ((double) a->n * 4.0 + (double) a->m * 2.0) * size (a->dtype) + 16.0 * width * (double) a->m);
}

/* -- element-wise ---------------------------------------------------------------------------------------------- */

SwittiKernelStatus
DEVICE (dispatch_swiglu_backward) (SwittiKernelContext *context, int64_t rows, int64_t hidden, SwittiDtype dtype,
                                   const void *gate_up, int64_t in_stride, const void *d_out, int64_t out_stride,
                                   void *d_gate_up)
{
  Call call = begin (context, SWITTI_KERNEL_OP_SWIGLU, "swiglu_backward");

  if (rows < 1 || hidden < 1 || !is_float (dtype) || gate_up == NULL || d_out == NULL || d_gate_up == NULL
      || in_stride < 2 * hidden || out_stride < hidden)
    return invalid (&call);
  return end (&call,
              context->ops.swiglu_backward (context, rows, hidden, dtype, gate_up, in_stride, d_out, out_stride,
                                            d_gate_up),
              0.0, 5.0 * size (dtype) * (double) (rows * hidden));
}

static bool
activation_is_valid (SwittiActivation activation, int64_t count, SwittiDtype dtype)
{
  return activation >= SWITTI_ACTIVATION_NONE && activation <= SWITTI_ACTIVATION_GELU_TANH && count >= 1
         && is_float (dtype);
}

SwittiKernelStatus
DEVICE (dispatch_activation) (SwittiKernelContext *context, SwittiActivation activation, int64_t count,
                              SwittiDtype dtype, const void *x, void *y)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "activation");

  if (!activation_is_valid (activation, count, dtype) || x == NULL || y == NULL)
    return invalid (&call);
  return end (&call, context->ops.activation (context, activation, count, dtype, x, y), 0.0,
              2.0 * size (dtype) * (double) count);
}

SwittiKernelStatus
DEVICE (dispatch_activation_backward) (SwittiKernelContext *context, SwittiActivation activation, int64_t count,
                                       SwittiDtype dtype, const void *x, const void *dy, void *dx)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "activation_backward");

  if (!activation_is_valid (activation, count, dtype) || x == NULL || dy == NULL || dx == NULL)
    return invalid (&call);
  return end (&call, context->ops.activation_backward (context, activation, count, dtype, x, dy, dx), 0.0,
              3.0 * size (dtype) * (double) count);
}

SwittiKernelStatus
DEVICE (dispatch_silu_condition_backward) (SwittiKernelContext *context, int64_t batch, int64_t width,
                                           const float *c, const float *crop, const float *crop_scales,
                                           const float *d_out, float *dc, float *d_crop, float *d_crop_scales)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "silu_condition_backward");
  const bool cropped = crop != NULL;

  if (batch < 1 || width < 1 || c == NULL || d_out == NULL || dc == NULL || cropped != (crop_scales != NULL)
      || cropped != (d_crop != NULL) || cropped != (d_crop_scales != NULL))
    return invalid (&call);
  return end (&call,
              context->ops.silu_condition_backward (context, batch, width, c, crop, crop_scales, d_out, dc, d_crop,
                                                    d_crop_scales),
              0.0, (cropped ? 28.0 : 16.0) * (double) (batch * width));
}

static bool
token_embedding_is_valid (const SwittiTokenEmbedding *e, const int32_t *level)
{
  return e != NULL && e->batch >= 1 && e->length >= 1 && e->width >= 1 && e->n_levels >= 1 && level != NULL;
}

SwittiKernelStatus
DEVICE (dispatch_token_embedding) (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding,
                                   const int32_t *level, const float *levels, const float *positions,
                                   const float *start, const float *word_bias, const float *c, float *x)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "token_embedding");

  if (!token_embedding_is_valid (embedding, level) || levels == NULL || start == NULL || word_bias == NULL || c == NULL
      || x == NULL)
    return invalid (&call);
  return end (&call,
              context->ops.token_embedding (context, embedding, level, levels, positions, start, word_bias, c, x), 0.0,
              8.0 * (double) (embedding->batch * embedding->length * embedding->width));
}

SwittiKernelStatus
DEVICE (dispatch_token_embedding_backward) (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding,
                                            const int32_t *level, const float *dx, float *d_levels,
                                            float *d_positions, float *d_start, float *d_word_bias, float *dc)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "token_embedding_backward");

  if (!token_embedding_is_valid (embedding, level) || dx == NULL || d_levels == NULL || d_start == NULL
      || d_word_bias == NULL || dc == NULL)
    return invalid (&call);
  return end (&call,
              context->ops.token_embedding_backward (context, embedding, level, dx, d_levels, d_positions, d_start,
                                                     d_word_bias, dc),
              0.0, 4.0 * (double) (embedding->batch * embedding->length * embedding->width));
}

SwittiKernelStatus
DEVICE (dispatch_column_sum) (SwittiKernelContext *context, int64_t rows, int64_t width, SwittiDtype dtype,
                              const void *x, int64_t stride, float *sum)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "column_sum");

  if (rows < 1 || width < 1 || stride < width || !is_float (dtype) || x == NULL || sum == NULL)
    return invalid (&call);
  return end (&call, context->ops.column_sum (context, rows, width, dtype, x, stride, sum), 0.0,
              size (dtype) * (double) (rows * width));
}

/* -- loss and optimizer ---------------------------------------------------------------------------------------- */

SwittiKernelStatus
DEVICE (dispatch_cross_entropy) (SwittiKernelContext *context, const SwittiCrossEntropy *cross_entropy,
                                 const float *logits, const int32_t *target, const float *weight, float *loss,
                                 int32_t *rank, void *d_logits)
{
  Call call = begin (context, SWITTI_KERNEL_OP_CROSS_ENTROPY, "cross_entropy");
  const SwittiCrossEntropy *op = cross_entropy;

  if (op == NULL || op->rows < 1 || op->v < 1 || op->v > INT32_MAX || !(op->smoothing >= 0.0f && op->smoothing <= 1.0f)
      || logits == NULL || target == NULL || loss == NULL || rank == NULL
      || (d_logits != NULL && !is_float (op->d_dtype)) || (d_logits == logits && op->d_dtype != SWITTI_DTYPE_F32))
    return invalid (&call);
  return end (&call, context->ops.cross_entropy (context, op, logits, target, weight, loss, rank, d_logits), 0.0,
              (4.0 + (d_logits != NULL ? size (op->d_dtype) : 0.0)) * (double) (op->rows * op->v));
}

static bool
has_parameter (const SwittiOptimizerTensor *tensor)
{
  return tensor->parameter != NULL && tensor->first_moment != NULL && tensor->second_moment != NULL;
}

SwittiKernelStatus
DEVICE (dispatch_optimizer_plan) (SwittiKernelContext *context, int64_t n_tensors,
                                  const SwittiOptimizerTensor *tensors, SwittiOptimizerPlan **plan)
{
  Call call = begin (context, SWITTI_KERNEL_OP_OPTIMIZER, "optimizer_plan");
  bool has_parameters = true, has_copies = false;
  double n_elements = 0.0;
  SwittiKernelStatus status;

  if (plan != NULL)
    *plan = NULL;
  if (plan == NULL || n_tensors < 1 || n_tensors > INT32_MAX || tensors == NULL)
    return invalid (&call);
  for (int64_t t = 0; t < n_tensors; t++)
    {
      if (tensors[t].count < 1 || tensors[t].gradient == NULL)
        return invalid (&call);
      has_parameters = has_parameters && has_parameter (&tensors[t]);
      has_copies = has_copies || tensors[t].copy != NULL;
      n_elements += (double) tensors[t].count;
    }
  status = context->ops.optimizer_plan (context, n_tensors, tensors, plan);
  if (status == SWITTI_KERNEL_OK)
    {
      (*plan)->n_elements = n_elements;
      (*plan)->has_parameters = has_parameters;
      (*plan)->has_copies = has_copies;
    }
  return status;
}

void
DEVICE (dispatch_optimizer_plan_free) (SwittiKernelContext *context, SwittiOptimizerPlan *plan)
{
  if (plan != NULL)
    context->ops.optimizer_plan_free (context, plan);
}

SwittiKernelStatus
DEVICE (dispatch_squared_norm) (SwittiKernelContext *context, const SwittiOptimizerPlan *plan, double *sums)
{
  Call call = begin (context, SWITTI_KERNEL_OP_OPTIMIZER, "squared_norm");

  if (plan == NULL || sums == NULL)
    return invalid (&call);
  return end (&call, context->ops.squared_norm (context, plan, sums), 0.0, 4.0 * plan->n_elements);
}

SwittiKernelStatus
DEVICE (dispatch_adamw) (SwittiKernelContext *context, const SwittiAdamw *adamw, const SwittiOptimizerPlan *plan)
{
  Call call = begin (context, SWITTI_KERNEL_OP_OPTIMIZER, "adamw");

  if (adamw == NULL || plan == NULL || !plan->has_parameters || !(adamw->correction1 > 0.0f)
      || !(adamw->correction2 > 0.0f)
      || (plan->has_copies && adamw->copy_dtype != SWITTI_DTYPE_BF16 && adamw->copy_dtype != SWITTI_DTYPE_F16))
    return invalid (&call);
  return end (&call, context->ops.adamw (context, adamw, plan), 0.0, 28.0 * plan->n_elements);
}

/* -- VAE ------------------------------------------------------------------------------------------------------- */

SwittiKernelStatus
DEVICE (dispatch_conv_backward_plan) (SwittiKernelContext *context, const SwittiConv *conv,
                                      SwittiConvBackwardPlan **plan)
{
  Call call = begin (context, SWITTI_KERNEL_OP_CONV, "conv_backward_plan");
  SwittiKernelStatus status = SWITTI_KERNEL_INVALID;

  if (plan != NULL)
    *plan = NULL;
  if (plan != NULL && conv_is_valid (conv) && conv->x_dtype == SWITTI_DTYPE_F32 && conv->w_dtype == SWITTI_DTYPE_F32
      && conv->d_dtype == SWITTI_DTYPE_F32)
    status = DEVICE (conv_backward_plan) (context, conv, plan);
  return status == SWITTI_KERNEL_INVALID ? invalid (&call) : status;
}

SwittiKernelStatus
DEVICE (dispatch_conv_backward) (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan, const float *x,
                                 const float *weight, const float *dy, float *dx, float *d_weight, float *d_bias)
{
  Call call = begin (context, SWITTI_KERNEL_OP_CONV, "conv_backward");
  const SwittiConv *c;
  double scale, in, out, weights;

  if (plan == NULL || x == NULL || dy == NULL || d_weight == NULL || d_bias == NULL || (dx != NULL && weight == NULL))
    return invalid (&call);
  c = DEVICE (conv_backward_descriptor) (plan);
  scale = c->upsample ? 2.0 : 1.0;
  in = (double) (c->batch * c->height * c->width * c->c_in);
  out = in / (double) c->c_in * (double) c->c_out * scale * scale / (double) (c->stride * c->stride);
  weights = (double) (c->c_in * c->c_out * c->kernel * c->kernel);
  return end (&call, DEVICE (conv_backward) (context, plan, x, weight, dy, dx, d_weight, d_bias),
              (dx != NULL ? 4.0 : 2.0) * out * weights / (double) c->c_out,
              4.0 * (in * (dx != NULL ? 2.0 : 1.0) + out + 3.0 * weights));
}

static bool
group_norm_is_valid (const SwittiGroupNorm *g)
{
  return g != NULL && g->batch >= 1 && g->positions >= 1 && g->channels >= 1 && g->groups >= 1
         && g->channels % g->groups == 0 && is_float (g->x_dtype) && g->y_dtype == g->x_dtype;
}

size_t
DEVICE (dispatch_group_norm_backward_scratch_bytes) (SwittiKernelContext *context, const SwittiGroupNorm *norm)
{
  return group_norm_is_valid (norm) ? context->ops.group_norm_backward_scratch_bytes (context, norm) : 0;
}

SwittiKernelStatus
DEVICE (dispatch_group_norm_backward) (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x,
                                       const float *weight, const float *bias, const void *dy, void *scratch,
                                       void *dx, float *d_weight, float *d_bias)
{
  Call call = begin (context, SWITTI_KERNEL_OP_GROUP_NORM, "group_norm_backward");

  if (!group_norm_is_valid (norm) || x == NULL || weight == NULL || bias == NULL || dy == NULL || scratch == NULL
      || dx == NULL || d_weight == NULL || d_bias == NULL)
    return invalid (&call);
  return end (&call,
              context->ops.group_norm_backward (context, norm, x, weight, bias, dy, scratch, dx, d_weight, d_bias),
              0.0, 3.0 * size (norm->x_dtype) * (double) (norm->batch * norm->positions * norm->channels));
}

SwittiKernelStatus
DEVICE (dispatch_resample_backward) (SwittiKernelContext *context, const SwittiResample *resample,
                                     const float *d_out, float *d_in)
{
  Call call = begin (context, SWITTI_KERNEL_OP_RESAMPLE, "resample_backward");
  const SwittiResample *r = resample;

  if (r == NULL || r->batch < 1 || r->channels < 1 || r->in_height < 1 || r->in_width < 1 || r->out_height < 1
      || r->out_width < 1 || r->dtype != SWITTI_DTYPE_F32 || d_out == NULL || d_in == NULL)
    return invalid (&call);
  return end (&call, context->ops.resample_backward (context, r, d_out, d_in), 0.0,
              4.0 * (double) (r->batch * r->channels)
                  * (double) (r->in_height * r->in_width + r->out_height * r->out_width));
}

SwittiKernelStatus
DEVICE (dispatch_embed_backward) (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries,
                                  const int32_t *ids, const float *dy, float *d_table)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "embed_backward");

  if (rows < 1 || width < 1 || entries < 1 || ids == NULL || dy == NULL || d_table == NULL)
    return invalid (&call);
  return end (&call, context->ops.embed_backward (context, rows, width, entries, ids, dy, d_table), 0.0,
              12.0 * (double) (rows * width));
}

SwittiKernelStatus
DEVICE (dispatch_squared_difference) (SwittiKernelContext *context, int64_t count, const float *a, const float *b,
                                      double *sum)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "squared_difference");

  if (count < 1 || a == NULL || b == NULL || sum == NULL)
    return invalid (&call);
  return end (&call, context->ops.squared_difference (context, count, a, b, sum), 0.0, 8.0 * (double) count);
}
