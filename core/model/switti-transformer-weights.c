/* switti-transformer-weights.c - the transformer's parameters, from a checkpoint to the device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-transformer-parts-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

const char *const switti_norm_names[SWITTI_N_NORMS] = {
  [SWITTI_NORM_SELF_PRE] = "self_attention_norm1",
  [SWITTI_NORM_SELF_POST] = "self_attention_norm2",
  [SWITTI_NORM_CROSS_PRE] = "cross_attention_norm1",
  [SWITTI_NORM_CROSS_POST] = "cross_attention_norm2",
  [SWITTI_NORM_FFN_PRE] = "ffn_norm1",
  [SWITTI_NORM_FFN_POST] = "ffn_norm2",
  [SWITTI_NORM_CONTEXT] = "attention_y_norm",
};

void
switti_transformer_list_matrices (SwittiTransformer *self, int index,
                                  SwittiBlockMatrix matrices[SWITTI_N_BLOCK_MATRICES])
{
  SwittiBlock *block = &self->blocks[index];
  const gint64 c = self->config.width, f = self->config.ffn_hidden, context_dim = self->config.context_dim;
  const gboolean swiglu = self->config.swiglu;
  const SwittiBlockMatrix list[SWITTI_N_BLOCK_MATRICES] = {
    { &block->ada_lin, { "ada_lin.1" }, { SWITTI_N_MODULATIONS * c }, c, TRUE, SWITTI_PASS_CONDITIONS },
    { &block->qkv, { "attn.to_qkv" }, { 3 * c }, c, TRUE, SWITTI_PASS_SCALE },
    { &block->proj, { "attn.proj" }, { c }, c, TRUE, SWITTI_PASS_SCALE },
    { &block->to_q, { "cross_attn.to_q" }, { c }, c, TRUE, SWITTI_PASS_SCALE },
    { &block->to_kv, { "cross_attn.to_kv" }, { 2 * c }, context_dim, TRUE, SWITTI_PASS_CONDITIONS },
    { &block->cross_proj, { "cross_attn.proj" }, { c }, c, TRUE, SWITTI_PASS_SCALE },
    swiglu ? (SwittiBlockMatrix){ &block->ffn_in, { "ffn.gate_proj", "ffn.up_proj" }, { f, f }, c, FALSE,
                                  SWITTI_PASS_SCALE }
           : (SwittiBlockMatrix){ &block->ffn_in, { "ffn.fc1" }, { f }, c, TRUE, SWITTI_PASS_SCALE },
    { &block->ffn_out, { swiglu ? "ffn.down_proj" : "ffn.fc2" }, { c }, f, !swiglu, SWITTI_PASS_SCALE },
  };

  memcpy (matrices, list, sizeof list);
}

typedef gboolean (*PartsFunc) (SwittiLinear *linear, SwittiTransformer *self, SwittiWeights *weights,
                               const SwittiBlockMatrix *matrix, const SwittiLinearPart *parts, int n_parts,
                               void *packed, GError **error);

/* Calls func with the checkpoint names of a matrix. */
static gboolean
with_parts (SwittiTransformer *self, SwittiWeights *weights, int index, const SwittiBlockMatrix *matrix,
            PartsFunc func, void *packed, GError **error)
{
  g_autofree char *first = g_strdup_printf ("blocks.%d.%s", index, matrix->names[0]);
  g_autofree char *second = matrix->names[1] ? g_strdup_printf ("blocks.%d.%s", index, matrix->names[1]) : NULL;
  const SwittiLinearPart parts[] = { { first, matrix->rows[0] }, { second, matrix->rows[1] } };

  return func (matrix->linear, self, weights, matrix, parts, second ? 2 : 1, packed, error);
}

static gboolean
load_matrix (SwittiLinear *linear, SwittiTransformer *self, SwittiWeights *weights, const SwittiBlockMatrix *matrix,
             const SwittiLinearPart *parts, int n_parts, void *packed, GError **error)
{
  return switti_linear_load (linear, self->device, weights, self->dtype, matrix->k, matrix->has_bias, parts, n_parts,
                             error);
}

/* All but the weight itself. */
static gboolean
describe_matrix (SwittiLinear *linear, SwittiTransformer *self, SwittiWeights *weights,
                 const SwittiBlockMatrix *matrix, const SwittiLinearPart *parts, int n_parts, void *packed,
                 GError **error)
{
  return switti_linear_describe (linear, self->device, weights, self->dtype, matrix->k, matrix->has_bias, parts,
                                 n_parts, error);
}

static gboolean
pack_matrix (SwittiLinear *linear, SwittiTransformer *self, SwittiWeights *weights, const SwittiBlockMatrix *matrix,
             const SwittiLinearPart *parts, int n_parts, void *packed, GError **error)
{
  return switti_linear_pack (linear, self->device, weights, parts, n_parts, packed, error);
}

gboolean
switti_transformer_pack_matrix (SwittiTransformer *self, SwittiWeights *weights, int index,
                                const SwittiBlockMatrix *matrix, void *packed, GError **error)
{
  return with_parts (self, weights, index, matrix, pack_matrix, packed, error);
}

static gboolean
load_block_vectors (SwittiTransformer *self, SwittiWeights *weights, int index, GError **error)
{
  SwittiBlock *block = &self->blocks[index];
  const gint64 c = self->config.width;

  for (int i = 0; i < SWITTI_N_NORMS; i++)
    {
      g_autofree char *name = g_strdup_printf ("blocks.%d.%s.weight", index, switti_norm_names[i]);
      gint64 width = i == SWITTI_NORM_CONTEXT ? self->config.context_dim : c;

      block->norm[i] = switti_device_load_vector (self->device, weights, name, width, error);
      if (block->norm[i] == NULL)
        return FALSE;
    }
  if (self->config.crop_cond)
    {
      g_autofree char *name = g_strdup_printf ("blocks.%d.crop_cond_scales", index);

      block->crop_scales = switti_device_load_f32 (self->device, weights, name, 2, (gint64[]){ 1, c }, error);
      if (block->crop_scales == NULL)
        return FALSE;
    }
  return TRUE;
}

static gboolean
load_block (SwittiTransformer *self, SwittiWeights *weights, int index, gboolean streamed, GError **error)
{
  SwittiBlockMatrix matrices[SWITTI_N_BLOCK_MATRICES];

  switti_transformer_list_matrices (self, index, matrices);
  for (int i = 0; i < SWITTI_N_BLOCK_MATRICES; i++)
    if (!with_parts (self, weights, index, &matrices[i], streamed ? describe_matrix : load_matrix, NULL, error))
      return FALSE;
  return load_block_vectors (self, weights, index, error);
}

/* What is added to a token: word_embed's bias and the level's embedding as one row a scale, and the first token's
 * row. */
static gboolean
load_embeddings (SwittiTransformer *self, SwittiWeights *weights, GError **error)
{
  const gint64 c = self->config.width, s = self->config.schedule.n_scales;
  const gint64 length = switti_schedule_length (&self->config.schedule);
  g_autofree float *bias = g_new (float, c);
  g_autofree float *levels = g_new (float, s * c);
  g_autofree float *first = g_new (float, c);

  if (!switti_weights_read_f32 (weights, "word_embed.bias", 1, (gint64[]){ c }, bias, error) ||
      !switti_weights_read_f32 (weights, "lvl_embed.weight", 2, (gint64[]){ s, c }, levels, error) ||
      !switti_weights_read_f32 (weights, "pos_start", 3, (gint64[]){ 1, 1, c }, first, error))
    return FALSE;
  for (gint64 j = 0; j < c; j++)
    first[j] += levels[j];
  if (!self->config.rope)
    {
      g_autofree float *positions = g_new (float, length * c);

      if (!switti_weights_read_f32 (weights, "pos_1LC", 3, (gint64[]){ 1, length, c }, positions, error))
        return FALSE;
      for (gint64 j = 0; j < c; j++)
        first[j] += positions[j];
      self->positions
          = switti_device_upload_f32 (self->device, positions, (gsize) (length * c), "pos_1LC", error);
      if (self->positions == NULL)
        return FALSE;
    }
  for (gint64 i = 0; i < s * c; i++)
    levels[i] += bias[i % c];
  self->token_bias = switti_device_upload_f32 (self->device, levels, (gsize) (s * c), "lvl_embed", error);
  if (self->token_bias == NULL)
    return FALSE;
  self->first_row = switti_device_upload_f32 (self->device, first, (gsize) c, "pos_start", error);
  return self->first_row != NULL;
}

static gboolean
make_rope (SwittiTransformer *self, GError **error)
{
  const SwittiSchedule *schedule = &self->config.schedule;
  const gsize row = (gsize) (self->config.width / self->config.heads);
  const gsize count = (gsize) switti_schedule_length (schedule) * row;
  g_autofree float *table = g_new (float, count);
  float *next = table;

  for (int s = 0; s < schedule->n_scales; s++)
    {
      switti_rope_table (&self->config, s, next);
      next += (gsize) schedule->side[s] * (gsize) schedule->side[s] * row;
    }
  self->rope = switti_device_upload_f32 (self->device, table, count, "the rotary position table", error);
  return self->rope != NULL;
}

static gboolean
load_crop_conditioning (SwittiTransformer *self, SwittiWeights *weights, GError **error)
{
  const gint64 c = self->config.width;
  const gint64 n_frequencies = c / 8; /* four values, each as sines and cosines, make C */

  if (c % 8 != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s: crop conditioning needs a width divisible by 8, not %" PRId64 "."),
                   switti_weights_get_description (weights), c);
      return FALSE;
    }
  self->crop_frequencies = g_new (float, n_frequencies);
  return switti_weights_read_f32 (weights, "crop_embed.weight", 1, &n_frequencies, self->crop_frequencies, error) &&
         switti_linear_load (&self->crop_proj, self->device, weights, SWITTI_DTYPE_F32, c, TRUE,
                             &(SwittiLinearPart){ "crop_proj", c }, 1, error);
}

gboolean
switti_transformer_load (SwittiTransformer *self, SwittiWeights *weights, gboolean streamed, GError **error)
{
  const SwittiTransformerConfig *config = &self->config;
  const gint64 c = config->width;
  const struct
  {
    const char *name;
    gint64 n, k;
    gboolean has_bias;
    SwittiDtype dtype;
    SwittiLinear *linear;
  } linears[] = {
    { "text_pooler", c, config->pooled_dim, TRUE, SWITTI_DTYPE_F32, &self->text_pooler },
    { "word_embed", c, config->latent, FALSE, SWITTI_DTYPE_F32, &self->word_embed },
    { "head_nm.ada_lin.1", 2 * c, c, TRUE, self->dtype, &self->head_ada_lin },
    { "head", config->vocab, c, TRUE, self->dtype, &self->head },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (linears); i++)
    if (!switti_linear_load (linears[i].linear, self->device, weights, linears[i].dtype, linears[i].k,
                             linears[i].has_bias, &(SwittiLinearPart){ linears[i].name, linears[i].n }, 1, error))
      return FALSE;
  if (!load_embeddings (self, weights, error) || (config->rope && !make_rope (self, error)) ||
      (config->crop_cond && !load_crop_conditioning (self, weights, error)))
    return FALSE;
  for (int i = 0; i < config->depth; i++)
    if (!load_block (self, weights, i, streamed, error))
      return FALSE;
  return !streamed || switti_transformer_stream_open (self, weights, error);
}

static void
clear_block (SwittiTransformer *self, SwittiBlock *block)
{
  SwittiLinear *linears[] = { &block->ada_lin, &block->qkv,        &block->proj,   &block->to_q,
                              &block->to_kv,   &block->cross_proj, &block->ffn_in, &block->ffn_out };

  for (gsize i = 0; i < G_N_ELEMENTS (linears); i++)
    {
      /* In a buffer of the stream's. */
      if (self->stream != NULL)
        linears[i]->packed = NULL;
      switti_linear_clear (linears[i], self->device);
    }
  for (int i = 0; i < SWITTI_N_NORMS; i++)
    switti_device_free (self->device, block->norm[i]);
  switti_device_free (self->device, block->crop_scales);
}

void
switti_transformer_clear (SwittiTransformer *self)
{
  SwittiLinear *linears[]
      = { &self->text_pooler, &self->crop_proj, &self->word_embed, &self->head_ada_lin, &self->head };
  float *vectors[] = { self->token_bias, self->first_row, self->positions, self->rope };

  for (int i = 0; i < self->config.depth; i++)
    clear_block (self, &self->blocks[i]);
  g_clear_pointer (&self->stream, switti_transformer_stream_free);
  for (gsize i = 0; i < G_N_ELEMENTS (linears); i++)
    switti_linear_clear (linears[i], self->device);
  for (gsize i = 0; i < G_N_ELEMENTS (vectors); i++)
    switti_device_free (self->device, vectors[i]);
  g_free (self->crop_frequencies);
}
