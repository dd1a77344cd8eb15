/* switti-transformer-conditions.c - what depends on the prompts alone, worked out once for all scales
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-transformer-parts-private.h"

#include <math.h>

#define PUBLISHED_SIDE 512 /* the original size that sampling speaks of, at every resolution */

static gboolean
plan_conditions (const SwittiTransformer *model, SwittiConditionPlans *plans, int n, GError **error)
{
  SwittiDevice *device = model->device;
  const SwittiBlock *block = &model->blocks[0];

  plans->text_pooler = switti_linear_plan (&model->text_pooler, device, n, 1, SWITTI_DTYPE_F32, SWITTI_DTYPE_F32,
                                           SWITTI_ACTIVATION_NONE, error);
  if (plans->text_pooler == NULL)
    return FALSE;
  if (model->config.crop_cond)
    {
      plans->crop_proj = switti_linear_plan (&model->crop_proj, device, n, 1, SWITTI_DTYPE_F32, SWITTI_DTYPE_F32,
                                             SWITTI_ACTIVATION_NONE, error);
      if (plans->crop_proj == NULL)
        return FALSE;
    }
  plans->ada_lin = switti_linear_plan (&block->ada_lin, device, n, 1, model->dtype, SWITTI_DTYPE_F32,
                                       SWITTI_ACTIVATION_NONE, error);
  if (plans->ada_lin == NULL)
    return FALSE;
  plans->to_kv = switti_linear_plan (&block->to_kv, device, (gint64) n * SWITTI_TEXT_LENGTH, SWITTI_TEXT_LENGTH,
                                     model->dtype, model->dtype, SWITTI_ACTIVATION_NONE, error);
  if (plans->to_kv == NULL)
    return FALSE;
  plans->head_ada_lin = switti_linear_plan (&model->head_ada_lin, device, n, 1, model->dtype, SWITTI_DTYPE_F32,
                                            SWITTI_ACTIVATION_NONE, error);
  return plans->head_ada_lin != NULL;
}

/* Done for max_conditions when the run is made, and for a smaller number at its first use. */
gboolean
switti_transformer_run_plan_conditions (SwittiTransformerRun *run, int n_conditions, GError **error)
{
  if (run->condition_plans[n_conditions] != NULL)
    return TRUE;
  run->condition_plans[n_conditions] = g_new0 (SwittiConditionPlans, 1);
  if (plan_conditions (run->model, run->condition_plans[n_conditions], n_conditions, error))
    return TRUE;
  switti_transformer_run_free_condition_plans (run);
  return FALSE;
}

void
switti_transformer_run_free_condition_plans (SwittiTransformerRun *run)
{
  SwittiDevice *device = run->model->device;

  for (int n = 0; n <= run->max_conditions; n++)
    {
      SwittiConditionPlans *plans = run->condition_plans[n];

      if (plans == NULL)
        continue;
      switti_gemm_plan_clear (device, &plans->text_pooler);
      switti_gemm_plan_clear (device, &plans->crop_proj);
      switti_gemm_plan_clear (device, &plans->ada_lin);
      switti_gemm_plan_clear (device, &plans->to_kv);
      switti_gemm_plan_clear (device, &plans->head_ada_lin);
      g_clear_pointer (&run->condition_plans[n], g_free);
    }
}

void
switti_crop_embedding (const float *frequencies, int n, int height, int width, float *out)
{
  float values[4];

  switti_crop_condition (height, width, values);
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < n; j++)
      {
        float phase = values[i] * frequencies[j] * (float) (2 * G_PI);

        out[2 * n * i + j] = sinf (phase);
        out[2 * n * i + n + j] = cosf (phase);
      }
}

static gboolean
run_crop_conditioning (SwittiTransformerRun *run, const SwittiConditionPlans *plans, const int *heights,
                       const int *widths, GError **error)
{
  SwittiTransformer *model = run->model;
  const gsize c = (gsize) model->config.width;

  for (int i = 0; i < run->n_conditions; i++)
    switti_crop_embedding (model->crop_frequencies, model->config.width / 8,
                           heights != NULL ? heights[i] : PUBLISHED_SIDE,
                           widths != NULL ? widths[i] : PUBLISHED_SIDE, run->host_crop + (gsize) i * c);
  SWITTI_RUN (model->device, upload, run->crop_input, run->host_crop,
              (gsize) run->n_conditions * c * sizeof (float));
  SWITTI_RUN (model->device, gemm, plans->crop_proj, run->crop_input, model->crop_proj.packed, model->crop_proj.bias,
              run->crop);
  return TRUE;
}

/* The block's gates, scales and shifts, and its cross-attention's keys and values. */
static gboolean
run_block_conditions (SwittiTransformerRun *run, const SwittiConditionPlans *plans, int index, GError **error)
{
  SwittiTransformer *model = run->model;
  const SwittiTransformerConfig *config = &model->config;
  SwittiDevice *device = model->device;
  const SwittiBlock *block = &model->blocks[index];
  const gint64 c = config->width;
  const gint64 kv_size = (gint64) run->max_conditions * SWITTI_TEXT_LENGTH * 2 * c;
  void *kv = switti_transformer_at (model, run->text_kv, index * kv_size);
  const SwittiRows kv_rows = { SWITTI_TEXT_LENGTH * 2 * c, 2 * c };
  const SwittiResidualNorm context_norm = {
    .batch = run->n_conditions,
    .n = SWITTI_TEXT_LENGTH,
    .c = config->context_dim,
    .eps = SWITTI_RMS_EPS,
    .y_dtype = model->dtype,
    .h_dtype = model->dtype,
  };
  const SwittiQkNormRope key_norm = {
    .batch = run->n_conditions,
    .n = SWITTI_TEXT_LENGTH,
    .heads = config->heads,
    .d = config->width / config->heads,
    .eps = SWITTI_LAYER_NORM_EPS,
    .dtype = model->dtype,
    .q = kv_rows, /* the op's queries are the keys here: they need the same norm */
    .q_out = kv_rows,
  };

  SWITTI_RUN (device, silu_condition, run->n_conditions, c, run->c, config->crop_cond ? run->crop : NULL,
              block->crop_scales, model->dtype, run->silu);
  SWITTI_RUN (device, gemm, plans->ada_lin, run->silu, block->ada_lin.packed, block->ada_lin.bias,
              run->modulation + index * run->max_conditions * SWITTI_N_MODULATIONS * c);
  SWITTI_RUN (device, residual_norm, &context_norm, NULL, run->context, NULL, NULL, NULL,
              block->norm[SWITTI_NORM_CONTEXT], NULL, NULL, run->normed_context);
  SWITTI_RUN (device, gemm, plans->to_kv, run->normed_context, block->to_kv.packed, block->to_kv.bias, kv);
  SWITTI_RUN (device, qk_norm_rope, &key_norm, NULL, kv, NULL, NULL, kv, NULL, NULL);
  return TRUE;
}

gboolean
switti_transformer_run_set_conditions (SwittiTransformerRun *run, int n_conditions, const int *n_valid,
                                       const int *heights, const int *widths, GError **error)
{
  SwittiTransformer *model = run->model;
  SwittiDevice *device = model->device;
  const SwittiConditionPlans *plans;

  g_assert (n_conditions > 0 && n_conditions <= run->max_conditions);
  for (int i = 0; i < n_conditions; i++)
    g_assert (n_valid[i] > 0 && n_valid[i] <= SWITTI_TEXT_LENGTH);
  for (int i = 0; i < run->max_images; i++)
    run->next_scale[i] = 0;
  run->n_conditions = n_conditions;
  if (!switti_transformer_run_plan_conditions (run, n_conditions, error))
    return FALSE;
  plans = run->condition_plans[n_conditions];

  SWITTI_RUN (device, upload, run->key_length, n_valid, (gsize) n_conditions * sizeof (gint32));
  SWITTI_RUN (device, gemm, plans->text_pooler, run->pooled, model->text_pooler.packed, model->text_pooler.bias,
              run->c);
  if (model->config.crop_cond && !run_crop_conditioning (run, plans, heights, widths, error))
    return FALSE;
  for (int i = 0; i < model->config.depth; i++)
    if (!switti_transformer_begin_block (model, SWITTI_PASS_CONDITIONS, i, error)
        || !run_block_conditions (run, plans, i, error)
        || !switti_transformer_end_block (model, SWITTI_PASS_CONDITIONS, i, error))
      return FALSE;
  SWITTI_RUN (device, silu_condition, n_conditions, model->config.width, run->c, NULL, NULL, model->dtype, run->silu);
  SWITTI_RUN (device, gemm, plans->head_ada_lin, run->silu, model->head_ada_lin.packed, model->head_ada_lin.bias,
              run->head_modulation);
  return TRUE;
}
