/* switti-gradients.c - the loss of a transformer and its gradients
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-gradients-parts-private.h"

#include "switti-error.h"

#include <math.h>
#include <string.h>

#define DEFAULT_LOSS_ROWS 1024

/* -- life ------------------------------------------------------------------------------------------------------ */

static gboolean
upload_weights (SwittiGradients *self, GError **error)
{
  g_autofree float *weight = g_new (float, (gsize) self->rows);
  double sum = 0;

  for (int s = 0; s < self->config->schedule.n_scales; s++)
    for (gint64 t = self->begin[s]; t < self->begin[s + 1]; t++)
      {
        weight[t] = (float) pow (self->config->schedule.side[s], -2 * self->options.loss_balance);
        sum += weight[t];
      }
  for (gint64 r = 0; r < self->length; r++)
    weight[r] *= (float) ((double) self->length / sum);
  for (gint64 r = self->length; r < self->rows; r++)
    weight[r] = weight[r - self->length];
  SWITTI_RUN (self->device, upload, self->row_weight, weight, (gsize) self->rows * sizeof (float));
  return TRUE;
}

/* What depends on the configuration alone. */
static gboolean
upload_tables (SwittiGradients *self, GError **error)
{
  const gsize row = (gsize) (self->config->width / self->config->heads);
  g_autofree gint32 *level = g_new (gint32, self->length);
  g_autofree float *rope = g_new (float, (gsize) self->length * row);

  for (int s = 0; s < self->config->schedule.n_scales; s++)
    {
      for (gint64 t = self->begin[s]; t < self->begin[s + 1]; t++)
        level[t] = s;
      if (self->rope != NULL)
        switti_rope_table (self->config, s, rope + (gsize) self->begin[s] * row);
    }
  SWITTI_RUN (self->device, upload, self->level, level, (gsize) self->length * sizeof (gint32));
  if (self->rope != NULL)
    SWITTI_RUN (self->device, upload, self->rope, rope, (gsize) self->length * row * sizeof (float));
  SWITTI_RUN (self->device, clear, self->latents,
              (gsize) (self->rows * self->config->latent) * sizeof (float));
  return self->row_weight == NULL || upload_weights (self, error);
}

SwittiGradients *
switti_gradients_new (SwittiParameters *parameters, const SwittiTransformerConfig *config,
                      const SwittiGradientsOptions *options, GError **error)
{
  g_autoptr (SwittiGradients) self = g_new0 (SwittiGradients, 1);

  g_assert (options->batch > 0 && options->loss_rows >= 0);
  g_assert (options->smoothing >= 0 && options->smoothing < 1 && options->loss_balance >= 0);
  self->parameters = parameters;
  self->device = g_object_ref (switti_parameters_get_device (parameters));
  self->config_copy = *config;
  self->config = &self->config_copy;
  self->options = *options;
  self->dtype = switti_training_activations (switti_parameters_get_dtype (parameters));
  for (int s = 0; s < config->schedule.n_scales; s++)
    self->begin[s + 1] = self->begin[s] + (gint64) config->schedule.side[s] * config->schedule.side[s];
  self->length = self->begin[config->schedule.n_scales];
  self->rows = self->length * options->batch;
  self->options.loss_rows
      = (int) MIN (options->loss_rows > 0 ? options->loss_rows : DEFAULT_LOSS_ROWS, self->rows);
  self->blocks = g_new0 (SwittiTrainingBlock, config->depth);
  self->saved = g_new0 (SwittiSavedBlock, config->depth);
  self->x = g_new0 (float *, config->depth + 1);
  self->host_crop = g_new (float, (gsize) options->batch * (gsize) config->width);
  self->host_frequencies = g_new (float, config->width);
  self->host_loss = g_new (float, self->rows);
  self->host_rank = g_new (gint32, self->rows);
  self->workspace = switti_workspace_new (self->device);
  switti_gradients_find_parameters (self);
  self->array = switti_gradient_array_new (parameters, error);
  if (self->array == NULL || !switti_gradients_plan (self, error) || !upload_tables (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_gradients_free (SwittiGradients *self)
{
  if (self == NULL)
    return;
  switti_gradients_free_plans (self);
  switti_gradient_array_free (self->array);
  switti_workspace_free (self->workspace);
  g_free (self->blocks);
  g_free (self->saved);
  g_free (self->x);
  g_free (self->host_crop);
  g_free (self->host_frequencies);
  g_free (self->host_loss);
  g_free (self->host_rank);
  g_free (self->host_logits);
  g_object_unref (self->device);
  g_free (self);
}

float *
switti_gradients_get_context (SwittiGradients *self)
{
  return self->text;
}

float *
switti_gradients_get_pooled (SwittiGradients *self)
{
  return self->pooled;
}

const float *
switti_gradients_get_context_gradient (SwittiGradients *self)
{
  return self->d_text;
}

const float *
switti_gradients_get_pooled_gradient (SwittiGradients *self)
{
  return self->d_pooled;
}

float *
switti_gradients_get_values (SwittiGradients *self)
{
  return switti_gradient_array_get_values (self->array);
}

gboolean
switti_gradients_clear (SwittiGradients *self, GError **error)
{
  return switti_gradient_array_clear (self->array, error);
}

gsize
switti_gradients_get_bytes (SwittiGradients *self)
{
  return switti_workspace_get_bytes (self->workspace) + switti_gradient_array_get_bytes (self->array);
}

/* -- tokens ---------------------------------------------------------------------------------------------------- */

static gboolean
check_codes (SwittiGradients *self, const SwittiTrainingBatch *batch, GError **error)
{
  for (gint64 r = 0; r < self->rows; r++)
    if (batch->codes[r] < 0 || batch->codes[r] >= self->config->vocab)
      {
        g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                     "Image %" G_GINT64_FORMAT " of the batch has the code %d, but the transformer's codebook has %d: "
                     "train with the image encoder that the model was made for.",
                     r / self->length, batch->codes[r], self->config->vocab);
        return FALSE;
      }
  for (int b = 0; b < self->options.batch; b++)
    g_assert (batch->n_valid[b] > 0 && batch->n_valid[b] <= SWITTI_TEXT_LENGTH);
  return TRUE;
}

static SwittiTokenEmbedding
token_embedding (const SwittiGradients *self)
{
  return (SwittiTokenEmbedding){
    .batch = self->options.batch,
    .length = self->length,
    .width = self->config->width,
    .n_levels = self->config->schedule.n_scales,
  };
}

/* A first position of zeros goes through word_embed with the others and leaves no gradient there. */
static gboolean
embed_forward (SwittiGradients *self, const SwittiTrainingBatch *batch, GError **error)
{
  const SwittiTokenEmbedding embedding = token_embedding (self);
  const gint64 z = self->config->latent, given = (self->length - 1) * z;

  for (int b = 0; b < self->options.batch; b++)
    SWITTI_RUN (self->device, upload, self->latents + (b * self->length + 1) * z, batch->latents + b * given,
                (gsize) given * sizeof (float));
  SWITTI_RUN (self->device, upload, self->codes, batch->codes, (gsize) self->rows * sizeof (gint32));
  if (!switti_gradients_multiply (self, SWITTI_PRODUCT_WORD_EMBED, &self->word_embed, self->latents, self->x[0],
                                  error))
    return FALSE;
  SWITTI_RUN (self->device, token_embedding, &embedding, self->level,
              switti_gradients_parameter (self, self->lvl_embed),
              self->config->rope ? NULL : switti_gradients_parameter (self, self->positions),
              switti_gradients_parameter (self, self->pos_start),
              switti_gradients_parameter (self, self->word_embed.bias), self->c, self->x[0]);
  return TRUE;
}

static gboolean
embed_backward (SwittiGradients *self, GError **error)
{
  const SwittiTokenEmbedding embedding = token_embedding (self);

  SWITTI_RUN (self->device, token_embedding_backward, &embedding, self->level, self->dx,
              switti_gradients_gradient (self, self->lvl_embed),
              self->config->rope ? NULL : switti_gradients_gradient (self, self->positions),
              switti_gradients_gradient (self, self->pos_start),
              switti_gradients_gradient (self, self->word_embed.bias), self->dc);
  return switti_gradients_multiply_backward (self, SWITTI_PRODUCT_WORD_EMBED, &self->word_embed, self->latents,
                                             self->dx, NULL, error);
}

/* -- head and loss --------------------------------------------------------------------------------------------- */

static SwittiLayerNorm
head_norm (const SwittiGradients *self)
{
  return (SwittiLayerNorm){
    .batch = self->options.batch,
    .n = self->length,
    .c = self->config->width,
    .eps = SWITTI_LAYER_NORM_EPS,
    .y_dtype = self->dtype,
    .h_dtype = self->dtype,
    .modulation_stride = 2 * (gint64) self->config->width,
  };
}

/* Before the cross-entropy, which may write over them. */
static gboolean
note_logits (SwittiGradients *self, gint64 first, gint64 rows, GError **error)
{
  if (self->statistics == NULL)
    return TRUE;
  if (self->host_logits == NULL)
    self->host_logits = g_new (float, self->options.loss_rows * (gint64) self->config->vocab);
  if (!switti_gradients_get_logits (self, (gsize) rows, self->host_logits, error))
    return FALSE;
  switti_logit_statistics_add (self->statistics, first, rows, self->host_logits);
  return TRUE;
}

/* Tokens [first, first + rows): logits, loss, and with `backward` the gradients of the head and of its input. */
static gboolean
run_loss_chunk (SwittiGradients *self, gint64 first, gint64 rows, double scale, gboolean backward, GError **error)
{
  const SwittiProduct product = rows == self->options.loss_rows ? SWITTI_PRODUCT_HEAD : SWITTI_PRODUCT_HEAD_LAST;
  const gint64 c = self->config->width;
  const void *input = switti_gradients_at (self, self->head_input, first * c);
  const SwittiCrossEntropy cross_entropy = {
    .rows = rows,
    .v = self->config->vocab,
    .smoothing = (float) self->options.smoothing,
    .gradient_scale = (float) (scale / (double) self->rows),
    .d_dtype = self->dtype,
  };

  if (!switti_gradients_multiply (self, product, &self->head, input, self->logits, error)
      || !note_logits (self, first, rows, error))
    return FALSE;
  SWITTI_RUN (self->device, cross_entropy, &cross_entropy, self->logits, self->codes + first,
              self->row_weight != NULL ? self->row_weight + first : NULL, self->row_loss + first,
              self->row_rank + first, backward ? self->d_logits : NULL);
  return !backward
         || switti_gradients_multiply_backward (self, product, &self->head, input, self->d_logits,
                                                switti_gradients_at (self, self->dh, first * c), error);
}

static gboolean
run_loss (SwittiGradients *self, double scale, gboolean backward, GError **error)
{
  const gint64 c = self->config->width;
  const SwittiLayerNorm norm = head_norm (self);
  float *end = self->x[self->config->depth];

  SWITTI_RUN (self->device, layer_norm, &norm, NULL, end, NULL, NULL, NULL, self->head_modulation,
              self->head_modulation + c, self->head_input);
  for (gint64 first = 0; first < self->rows; first += self->options.loss_rows)
    if (!run_loss_chunk (self, first, MIN (self->options.loss_rows, self->rows - first), scale, backward, error))
      return FALSE;
  SWITTI_RUN (self->device, download, self->host_loss, self->row_loss, (gsize) self->rows * sizeof (float));
  SWITTI_RUN (self->device, download, self->host_rank, self->row_rank, (gsize) self->rows * sizeof (gint32));
  return TRUE;
}

/* dh -> dx of the last block's end */
static gboolean
head_backward (SwittiGradients *self, GError **error)
{
  const gint64 b = self->options.batch, c = self->config->width;
  const SwittiLayerNorm norm = head_norm (self);
  const SwittiNormGradients gradients = {
    .x = self->x[self->config->depth],
    .scale = self->head_modulation,
    .dh = self->dh,
    .dx = self->dx,
    .d_scale = self->d_modulation,
    .d_shift = self->d_modulation + c,
  };

  SWITTI_RUN (self->device, clear, self->dx, (gsize) (self->rows * c) * sizeof (float));
  SWITTI_RUN (self->device, clear, self->dc, (gsize) (b * c) * sizeof (float));
  SWITTI_RUN (self->device, clear, self->d_crop, (gsize) (b * c) * sizeof (float));
  SWITTI_RUN (self->device, layer_norm_backward, &norm, &gradients, self->norm_scratch);
  if (!switti_gradients_multiply_backward (self, SWITTI_PRODUCT_HEAD_ADA_LIN, &self->head_ada_lin, self->head_silu,
                                           self->d_modulation, self->d_silu, error))
    return FALSE;
  SWITTI_RUN (self->device, silu_condition_backward, b, c, self->c, NULL, NULL, self->d_silu, self->dc, NULL, NULL);
  return TRUE;
}

static void
sum_up (SwittiGradients *self, SwittiTrainingLoss *loss)
{
  memset (loss, 0, sizeof *loss);
  for (int s = 0; s < self->config->schedule.n_scales; s++)
    {
      const double n = (double) ((self->begin[s + 1] - self->begin[s]) * self->options.batch);

      for (int b = 0; b < self->options.batch; b++)
        for (gint64 r = b * self->length + self->begin[s]; r < b * self->length + self->begin[s + 1]; r++)
          {
            loss->scale_loss[s] += self->host_loss[r];
            loss->scale_accuracy[s] += self->host_rank[r] < 1;
            loss->scale_top5[s] += self->host_rank[r] < 5;
          }
      loss->loss += loss->scale_loss[s];
      loss->scale_loss[s] /= n;
      loss->scale_accuracy[s] /= n;
      loss->scale_top5[s] /= n;
    }
  loss->loss /= (double) self->rows;
}

/* -- a step ---------------------------------------------------------------------------------------------------- */

/* Units of the parameters (switti-parameters-transformer.c): those of before and behind the blocks are here for the
 * whole of a run. */
static guint
unit_of_block (int block)
{
  return (guint) block + 1;
}

static gboolean
begin_run (SwittiGradients *self, gboolean backward, GError **error)
{
  const guint outer[] = { 0, unit_of_block (self->config->depth) };

  switti_parameters_release_all (self->parameters);
  for (gsize i = 0; i < G_N_ELEMENTS (outer); i++)
    if (!switti_parameters_acquire (self->parameters, outer[i], error)
        || (backward && !switti_gradient_array_acquire (self->array, outer[i], error)))
      return FALSE;
  switti_parameters_prefetch (self->parameters, unit_of_block (0));
  return TRUE;
}

static gboolean
end_run (SwittiGradients *self, gboolean backward, GError **error)
{
  const guint outer[] = { 0, unit_of_block (self->config->depth) };

  switti_parameters_release_all (self->parameters);
  for (gsize i = 0; backward && i < G_N_ELEMENTS (outer); i++)
    if (!switti_gradient_array_release (self->array, outer[i], error))
      return FALSE;
  return TRUE;
}

/* The unit after it, in the order of the run, comes while this one is computed with. */
static gboolean
acquire_block (SwittiGradients *self, int block, int next, GError **error)
{
  if (!switti_parameters_acquire (self->parameters, unit_of_block (block), error))
    return FALSE;
  if (next >= 0 && next < self->config->depth)
    switti_parameters_prefetch (self->parameters, unit_of_block (next));
  return TRUE;
}

static gboolean
run_forward (SwittiGradients *self, const SwittiTrainingBatch *batch, gboolean backward, GError **error)
{
  if (!check_codes (self, batch, error) || !switti_gradients_drop_begin (self, batch->branch_scales, error)
      || !begin_run (self, backward, error)
      || !switti_gradients_conditions_forward (self, batch, error) || !embed_forward (self, batch, error))
    return FALSE;
  for (int i = 0; i < self->config->depth; i++)
    {
      if (!acquire_block (self, i, i + 1, error) || !switti_gradients_block_forward (self, i, error))
        return FALSE;
      switti_parameters_release (self->parameters, unit_of_block (i));
    }
  return TRUE;
}

static gboolean
run_block_backward (SwittiGradients *self, int block, GError **error)
{
  const guint unit = unit_of_block (block);

  if (!acquire_block (self, block, block - 1, error) || !switti_gradient_array_acquire (self->array, unit, error))
    return FALSE;
  /* The last block is still there. */
  if (self->options.recompute && block < self->config->depth - 1
      && !switti_gradients_block_forward (self, block, error))
    return FALSE;
  if (!switti_gradients_block_backward (self, block, error))
    return FALSE;
  switti_parameters_release (self->parameters, unit);
  return switti_gradient_array_release (self->array, unit, error);
}

static gboolean
run_backward (SwittiGradients *self, GError **error)
{
  if (!head_backward (self, error))
    return FALSE;
  if (self->d_text != NULL)
    SWITTI_RUN (self->device, clear, self->d_text,
                (gsize) (self->options.batch * SWITTI_TEXT_LENGTH * (gint64) self->config->context_dim)
                    * sizeof (float));
  for (int i = self->config->depth - 1; i >= 0; i--)
    if (!run_block_backward (self, i, error))
      return FALSE;
  return embed_backward (self, error) && switti_gradients_conditions_backward (self, error);
}

void
switti_gradients_set_smoothing (SwittiGradients *self, double smoothing)
{
  g_assert (smoothing >= 0 && smoothing < 1);
  self->options.smoothing = smoothing;
}

gboolean
switti_gradients_evaluate (SwittiGradients *self, const SwittiTrainingBatch *batch, SwittiTrainingLoss *loss,
                           GError **error)
{
  if (!run_forward (self, batch, FALSE, error) || !run_loss (self, 0, FALSE, error) || !end_run (self, FALSE, error))
    return FALSE;
  sum_up (self, loss);
  return TRUE;
}

gboolean
switti_gradients_add (SwittiGradients *self, const SwittiTrainingBatch *batch, double scale, SwittiTrainingLoss *loss,
                      GError **error)
{
  if (!run_forward (self, batch, TRUE, error) || !run_loss (self, scale, TRUE, error) || !run_backward (self, error)
      || !end_run (self, TRUE, error))
    return FALSE;
  sum_up (self, loss);
  return TRUE;
}

void
switti_gradients_set_statistics (SwittiGradients *self, SwittiLogitStatistics *statistics)
{
  self->statistics = statistics;
}

gboolean
switti_gradients_finish (SwittiGradients *self, GError **error)
{
  return switti_gradient_array_finish (self->array, error);
}

gboolean
switti_gradients_get_logits (SwittiGradients *self, gsize rows, float *logits, GError **error)
{
  g_assert (rows <= (gsize) self->options.loss_rows);
  SWITTI_RUN (self->device, download, logits, self->logits, rows * (gsize) self->config->vocab * sizeof (float));
  return TRUE;
}
