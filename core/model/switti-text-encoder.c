/* switti-text-encoder.c - one CLIP text encoder on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Attention is causal, so what pads a prompt never reaches a valid position: a prompt runs at the least multiple of
 * SWITTI_TEXT_ROW_STEP that holds it, prompts of equal length together. Its own length alone decides which, so that its
 * bits do not depend on its neighbours.
 */
#include "switti-text-encoder-private.h"

#include "switti-error.h"
#include "switti-linear-private.h"
#include "switti-tokenizer-private.h"
#include "switti-workspace-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>

typedef struct
{
  float *weight, *bias;
} Norm;

typedef struct
{
  Norm norm1, norm2;
  SwittiLinear qkv, out_proj, fc1, fc2;
} Layer;

/* The products of `n` prompts of one padded length. */
typedef struct
{
  SwittiGemmPlan *qkv, *out_proj, *fc1, *fc2;
} Plans;

struct _SwittiTextEncoder
{
  SwittiDevice *device;
  SwittiTextConfig config;
  SwittiDtype dtype;
  int max_batch;

  void *tokens; /* (vocab, width) */
  SwittiDtype tokens_dtype;
  float *positions; /* (positions, width) */
  Layer *layers;
  Norm final_norm;
  Plans **plans; /* [SWITTI_TEXT_N_LENGTHS * (max_batch + 1)], NULL until planned */

  SwittiWorkspace *workspace; /* R = max_batch * T rows */
  gint32 *ids;                /* (R) */
  float *x;                   /* (R, width), the residual stream; then the normed output */
  void *h, *qkv, *attended;   /* (R, width), (R, 3 width), (R, width) */
  void *mlp, *y;              /* (R, mlp), (R, width) */
  float *out;                 /* (R, width) */
};

/* -- loading -------------------------------------------------------------------------------------------------- */

static gboolean
load_norm (SwittiTextEncoder *self, SwittiWeights *weights, const char *name, Norm *norm, GError **error)
{
  g_autofree char *weight = g_strconcat (name, ".weight", NULL);
  g_autofree char *bias = g_strconcat (name, ".bias", NULL);

  norm->weight = switti_device_load_vector (self->device, weights, weight, self->config.width, error);
  if (norm->weight == NULL)
    return FALSE;
  norm->bias = switti_device_load_vector (self->device, weights, bias, self->config.width, error);
  return norm->bias != NULL;
}

static gboolean
load_layer (SwittiTextEncoder *self, SwittiWeights *weights, int index, GError **error)
{
  Layer *layer = &self->layers[index];
  const gint64 width = self->config.width, mlp = self->config.mlp;
  g_autofree char *norm1 = g_strdup_printf ("encoder.layers.%d.layer_norm1", index);
  g_autofree char *norm2 = g_strdup_printf ("encoder.layers.%d.layer_norm2", index);
  g_autofree char *q = g_strdup_printf ("encoder.layers.%d.self_attn.q_proj", index);
  g_autofree char *k = g_strdup_printf ("encoder.layers.%d.self_attn.k_proj", index);
  g_autofree char *v = g_strdup_printf ("encoder.layers.%d.self_attn.v_proj", index);
  g_autofree char *out_proj = g_strdup_printf ("encoder.layers.%d.self_attn.out_proj", index);
  g_autofree char *fc1 = g_strdup_printf ("encoder.layers.%d.mlp.fc1", index);
  g_autofree char *fc2 = g_strdup_printf ("encoder.layers.%d.mlp.fc2", index);
  const SwittiLinearPart qkv_parts[] = { { q, width }, { k, width }, { v, width } };

  return load_norm (self, weights, norm1, &layer->norm1, error) &&
         load_norm (self, weights, norm2, &layer->norm2, error) &&
         switti_linear_load (&layer->qkv, self->device, weights, self->dtype, width, TRUE, qkv_parts,
                             G_N_ELEMENTS (qkv_parts), error) &&
         switti_linear_load (&layer->out_proj, self->device, weights, self->dtype, width, TRUE,
                             &(SwittiLinearPart){ out_proj, width }, 1, error) &&
         switti_linear_load (&layer->fc1, self->device, weights, self->dtype, width, TRUE,
                             &(SwittiLinearPart){ fc1, mlp }, 1, error) &&
         switti_linear_load (&layer->fc2, self->device, weights, self->dtype, mlp, TRUE,
                             &(SwittiLinearPart){ fc2, width }, 1, error);
}

static gboolean
load (SwittiTextEncoder *self, SwittiWeights *weights, GError **error)
{
  const SwittiTextConfig *config = &self->config;

  self->tokens_dtype = self->dtype;
  self->tokens = switti_device_load_table (self->device, weights, "embeddings.token_embedding.weight", config->vocab,
                                           config->width, &self->tokens_dtype, error);
  if (self->tokens == NULL)
    return FALSE;
  self->positions = switti_device_load_f32 (self->device, weights, "embeddings.position_embedding.weight", 2,
                                            (gint64[]){ config->positions, config->width }, error);
  if (self->positions == NULL)
    return FALSE;
  for (int i = 0; i < config->layers; i++)
    if (!load_layer (self, weights, i, error))
      return FALSE;
  return load_norm (self, weights, "final_layer_norm", &self->final_norm, error);
}

static gboolean
plan_memory (SwittiTextEncoder *self, GError **error)
{
  const gsize rows = (gsize) self->max_batch * SWITTI_TEXT_LENGTH;
  const gsize width = (gsize) self->config.width, mlp = (gsize) self->config.mlp;
  SwittiWorkspace *workspace = self->workspace = switti_workspace_new (self->device);
  const SwittiSlot ids = switti_workspace_reserve (workspace, SWITTI_DTYPE_I32, rows);
  const SwittiSlot x = switti_workspace_reserve (workspace, SWITTI_DTYPE_F32, rows * width);
  const SwittiSlot out = switti_workspace_reserve (workspace, SWITTI_DTYPE_F32, rows * width);
  const SwittiSlot h = switti_workspace_reserve (workspace, self->dtype, rows * width);
  const SwittiSlot y = switti_workspace_reserve (workspace, self->dtype, rows * width);
  const SwittiSlot qkv = switti_workspace_reserve (workspace, self->dtype, rows * 3 * width);
  const SwittiSlot attended = switti_workspace_reserve (workspace, self->dtype, rows * width);
  const SwittiSlot hidden = switti_workspace_reserve (workspace, self->dtype, rows * mlp);

  if (!switti_workspace_commit (workspace, _ ("the text encoder's activations"), error))
    return FALSE;
  self->ids = switti_workspace_get (workspace, ids);
  self->x = switti_workspace_get (workspace, x);
  self->out = switti_workspace_get (workspace, out);
  self->h = switti_workspace_get (workspace, h);
  self->y = switti_workspace_get (workspace, y);
  self->qkv = switti_workspace_get (workspace, qkv);
  self->attended = switti_workspace_get (workspace, attended);
  self->mlp = switti_workspace_get (workspace, hidden);
  return TRUE;
}

SwittiTextEncoder *
switti_text_encoder_new (SwittiDevice *device, const SwittiTextConfig *config, SwittiWeights *weights,
                         SwittiDtype dtype, int max_batch, GError **error)
{
  g_autoptr (SwittiTextEncoder) self = g_new0 (SwittiTextEncoder, 1);

  g_assert (dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16);
  g_assert (max_batch > 0);
  self->device = g_object_ref (device);
  self->config = *config;
  self->dtype = dtype;
  self->max_batch = max_batch;
  self->layers = g_new0 (Layer, config->layers);
  self->plans = g_new0 (Plans *, SWITTI_TEXT_N_LENGTHS * ((gsize) max_batch + 1));
  if (config->positions < SWITTI_TEXT_LENGTH)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s: the text encoder has %d positions where %d are needed."),
                   switti_weights_get_description (weights), config->positions, SWITTI_TEXT_LENGTH);
      return NULL;
    }
  if (!load (self, weights, error) || !plan_memory (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

static void
clear_norm (SwittiTextEncoder *self, Norm *norm)
{
  switti_device_free (self->device, norm->weight);
  switti_device_free (self->device, norm->bias);
}

static void
free_plans (SwittiTextEncoder *self, Plans *plans)
{
  switti_gemm_plan_clear (self->device, &plans->qkv);
  switti_gemm_plan_clear (self->device, &plans->out_proj);
  switti_gemm_plan_clear (self->device, &plans->fc1);
  switti_gemm_plan_clear (self->device, &plans->fc2);
  g_free (plans);
}

void
switti_text_encoder_free (SwittiTextEncoder *self)
{
  if (self == NULL)
    return;
  for (int i = 0; i < self->config.layers; i++)
    {
      Layer *layer = &self->layers[i];

      clear_norm (self, &layer->norm1);
      clear_norm (self, &layer->norm2);
      switti_linear_clear (&layer->qkv, self->device);
      switti_linear_clear (&layer->out_proj, self->device);
      switti_linear_clear (&layer->fc1, self->device);
      switti_linear_clear (&layer->fc2, self->device);
    }
  for (int i = 0; i < SWITTI_TEXT_N_LENGTHS * (self->max_batch + 1); i++)
    if (self->plans[i] != NULL)
      free_plans (self, self->plans[i]);
  clear_norm (self, &self->final_norm);
  switti_device_free (self->device, self->tokens);
  switti_device_free (self->device, self->positions);
  switti_workspace_free (self->workspace);
  g_object_unref (self->device);
  g_free (self->layers);
  g_free (self->plans);
  g_free (self);
}

/* -- running -------------------------------------------------------------------------------------------------- */

static gboolean
make_plans (SwittiTextEncoder *self, Plans *plans, gint64 n_prompts, gint64 length, GError **error)
{
  const Layer *layer = &self->layers[0];
  const SwittiActivation gelu = self->config.quick_gelu ? SWITTI_ACTIVATION_QUICK_GELU : SWITTI_ACTIVATION_GELU_ERF;
  const struct
  {
    const SwittiLinear *linear;
    SwittiActivation activation;
    SwittiGemmPlan **plan;
  } products[] = {
    { &layer->qkv, SWITTI_ACTIVATION_NONE, &plans->qkv },
    { &layer->out_proj, SWITTI_ACTIVATION_NONE, &plans->out_proj },
    { &layer->fc1, gelu, &plans->fc1 },
    { &layer->fc2, SWITTI_ACTIVATION_NONE, &plans->fc2 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (products); i++)
    {
      *products[i].plan = switti_linear_plan (products[i].linear, self->device, n_prompts * length, length,
                                              self->dtype, self->dtype, products[i].activation, error);
      if (*products[i].plan == NULL)
        return FALSE;
    }
  return TRUE;
}

int
switti_text_padded_length (int n_valid)
{
  return MIN ((n_valid + SWITTI_TEXT_ROW_STEP - 1) / SWITTI_TEXT_ROW_STEP * SWITTI_TEXT_ROW_STEP, SWITTI_TEXT_LENGTH);
}

static const Plans *
get_plans (SwittiTextEncoder *self, int n_prompts, int length, GError **error)
{
  Plans **plans = &self->plans[(length - 1) / SWITTI_TEXT_ROW_STEP * (self->max_batch + 1) + n_prompts];

  if (*plans == NULL)
    {
      g_autofree Plans *made = g_new0 (Plans, 1);

      if (!make_plans (self, made, n_prompts, length, error))
        {
          free_plans (self, g_steal_pointer (&made));
          return NULL;
        }
      *plans = g_steal_pointer (&made);
    }
  return *plans;
}

static gboolean
run_layer (SwittiTextEncoder *self, const Layer *layer, const Plans *plans, const SwittiLayerNorm *norm,
           const void *y_before, GError **error)
{
  const gint64 width = self->config.width, n = norm->n;
  const gsize element = switti_dtype_size (self->dtype);
  const SwittiRows qkv_rows = { n * 3 * width, 3 * width };
  const SwittiAttention attention = {
    .batch = norm->batch,
    .heads = self->config.heads,
    .d = width / self->config.heads,
    .n = n,
    .m = n,
    .scale = 1.0f / sqrtf ((float) (width / self->config.heads)),
    .causal = true,
    .dtype = self->dtype,
    .q = qkv_rows,
    .k = qkv_rows,
    .v = qkv_rows,
    .out = { n * width, width },
  };
  const guint8 *q = self->qkv, *k = q + (gsize) width * element, *v = k + (gsize) width * element;

  SWITTI_RUN (self->device, layer_norm, norm, NULL, self->x, y_before, layer->norm1.weight, layer->norm1.bias, NULL,
              NULL, self->h);
  SWITTI_RUN (self->device, gemm, plans->qkv, self->h, layer->qkv.packed, layer->qkv.bias, self->qkv);
  SWITTI_RUN (self->device, attention, &attention, NULL, NULL, q, k, v, self->attended);
  SWITTI_RUN (self->device, gemm, plans->out_proj, self->attended, layer->out_proj.packed, layer->out_proj.bias,
              self->y);
  SWITTI_RUN (self->device, layer_norm, norm, NULL, self->x, self->y, layer->norm2.weight, layer->norm2.bias, NULL,
              NULL, self->h);
  SWITTI_RUN (self->device, gemm, plans->fc1, self->h, layer->fc1.packed, layer->fc1.bias, self->mlp);
  SWITTI_RUN (self->device, gemm, plans->fc2, self->mlp, layer->fc2.packed, layer->fc2.bias, self->y);
  return TRUE;
}

/* n_prompts sequences of `length` ids, one after another in self->ids, to self->out. */
static gboolean
run_layers (SwittiTextEncoder *self, int n_prompts, int length, GError **error)
{
  const Plans *plans = get_plans (self, n_prompts, length, error);
  SwittiLayerNorm norm = {
    .batch = n_prompts,
    .n = length,
    .c = self->config.width,
    .eps = (float) self->config.norm_eps,
    .y_dtype = self->dtype,
    .h_dtype = self->dtype,
  };

  if (plans == NULL)
    return FALSE;
  SWITTI_RUN (self->device, embed, (gint64) n_prompts * length, norm.c, self->config.vocab, self->tokens_dtype,
              self->tokens, self->ids, self->positions, length, self->x);
  for (int i = 0; i < self->config.layers; i++)
    if (!run_layer (self, &self->layers[i], plans, &norm, i == 0 ? NULL : self->y, error))
      return FALSE;
  norm.h_dtype = SWITTI_DTYPE_F32;
  SWITTI_RUN (self->device, layer_norm, &norm, NULL, self->x, self->y, self->final_norm.weight,
              self->final_norm.bias, NULL, NULL, self->out);
  return TRUE;
}

/* spec.md, "Text". */
int
switti_text_end_position (const SwittiTextConfig *config, const gint32 *ids, int n_valid)
{
  int largest = 0;

  for (int t = 0; t < n_valid; t++)
    {
      if (config->eos_id != 2 && ids[t] == config->eos_id)
        return t;
      if (ids[t] > ids[largest])
        largest = t;
    }
  return config->eos_id == 2 ? largest : 0;
}

/* One prompt's states, of the `place`-th sequence that ran, to where the caller wants them. */
static gboolean
hand_out (SwittiTextEncoder *self, const gint32 *ids, int n_valid, int place, int length, float *hidden,
          gint64 hidden_stride, float *pooled, GError **error)
{
  const gint64 width = self->config.width;
  const gsize row_bytes = (gsize) width * sizeof (float);
  const float *out = self->out + (gint64) place * length * width;

  for (int t = 0; t < SWITTI_TEXT_LENGTH; t++)
    if (t < n_valid)
      SWITTI_RUN (self->device, copy, hidden + t * hidden_stride, out + t * width, row_bytes);
    else
      SWITTI_RUN (self->device, clear, hidden + t * hidden_stride, row_bytes);
  if (pooled != NULL)
    SWITTI_RUN (self->device, copy, pooled, out + switti_text_end_position (&self->config, ids, n_valid) * width,
                row_bytes);
  return TRUE;
}

gboolean
switti_text_check_ids (const SwittiTextConfig *config, int batch, const gint32 *ids, const int *n_valid,
                       GError **error)
{
  for (int b = 0; b < batch; b++)
    {
      g_assert (n_valid[b] > 0 && n_valid[b] <= SWITTI_TEXT_LENGTH);
      for (int t = 0; t < switti_text_padded_length (n_valid[b]); t++)
        if (ids[b * SWITTI_TEXT_LENGTH + t] < 0 || ids[b * SWITTI_TEXT_LENGTH + t] >= config->vocab)
          {
            g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                         _ ("The tokenizer gives the token %d, but the text encoder knows %d tokens: they belong to "
                            "different models."),
                         ids[b * SWITTI_TEXT_LENGTH + t], config->vocab);
            return FALSE;
          }
    }
  return TRUE;
}

gboolean
switti_text_encoder_encode (SwittiTextEncoder *self, int batch, const gint32 *ids, const int *n_valid, float *hidden,
                            gint64 hidden_stride, float *pooled, GError **error)
{
  const gint64 width = self->config.width;

  g_assert (batch > 0 && batch <= self->max_batch && hidden_stride >= width);
  if (!switti_text_check_ids (&self->config, batch, ids, n_valid, error))
    return FALSE;
  for (int step = 1; step <= SWITTI_TEXT_N_LENGTHS; step++)
    {
      const int length = switti_text_padded_length ((step - 1) * SWITTI_TEXT_ROW_STEP + 1);
      int n_prompts = 0;

      for (int b = 0; b < batch; b++)
        if (switti_text_padded_length (n_valid[b]) == length)
          SWITTI_RUN (self->device, upload, self->ids + (gint64) n_prompts++ * length, ids + b * SWITTI_TEXT_LENGTH,
                      (gsize) length * sizeof (gint32));
      if (n_prompts == 0)
        continue;
      if (!run_layers (self, n_prompts, length, error))
        return FALSE;
      for (int b = 0, place = 0; b < batch; b++)
        if (switti_text_padded_length (n_valid[b]) == length &&
            !hand_out (self, ids + b * SWITTI_TEXT_LENGTH, n_valid[b], place++, length,
                       hidden + b * SWITTI_TEXT_LENGTH * hidden_stride, hidden_stride,
                       pooled != NULL ? pooled + b * width : NULL, error))
          return FALSE;
    }
  return TRUE;
}
