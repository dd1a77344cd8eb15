/* switti-gradients-plans.c - where parameters lie, the products' plans, and the memory of a training step
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-gradients-parts-private.h"

#include <string.h>

/* -- parameters ------------------------------------------------------------------------------------------------ */

static gsize
offset_of (SwittiGradients *self, const char *name)
{
  const SwittiParameter *parameter = switti_parameters_find (self->parameters, name);

  g_assert (parameter != NULL);
  return parameter->offset;
}

static SwittiTrainingLinear
find_linear (SwittiGradients *self, const char *prefix, const char *name)
{
  return switti_training_linear_find (self->parameters, prefix, name);
}

static void
find_block (SwittiGradients *self, int index)
{
  SwittiTrainingBlock *block = &self->blocks[index];
  g_autofree char *prefix = g_strdup_printf ("blocks.%d.", index);
  const gboolean swiglu = self->config->swiglu;

  block->ada_lin = find_linear (self, prefix, "ada_lin.1");
  block->qkv = find_linear (self, prefix, "attn.to_qkv");
  block->proj = find_linear (self, prefix, "attn.proj");
  block->to_q = find_linear (self, prefix, "cross_attn.to_q");
  block->to_kv = find_linear (self, prefix, "cross_attn.to_kv");
  block->cross_proj = find_linear (self, prefix, "cross_attn.proj");
  /* gate_proj's rows and those of up_proj behind it are one matrix (switti-parameters.c). */
  block->ffn_in = find_linear (self, prefix, swiglu ? "ffn.gate_proj" : "ffn.fc1");
  block->ffn_out = find_linear (self, prefix, swiglu ? "ffn.down_proj" : "ffn.fc2");
  for (int i = 0; i < SWITTI_N_NORMS; i++)
    {
      g_autofree char *name = g_strconcat (prefix, switti_norm_names[i], ".weight", NULL);

      block->norm[i] = offset_of (self, name);
    }
  if (self->config->crop_cond)
    {
      g_autofree char *name = g_strconcat (prefix, "crop_cond_scales", NULL);

      block->crop_scales = offset_of (self, name);
    }
}

void
switti_gradients_find_parameters (SwittiGradients *self)
{
  self->word_embed = find_linear (self, "", "word_embed");
  self->word_embed.has_bias = FALSE; /* it is added with the tokens' embeddings */
  self->text_pooler = find_linear (self, "", "text_pooler");
  self->head_ada_lin = find_linear (self, "", "head_nm.ada_lin.1");
  self->head = find_linear (self, "", "head");
  self->pos_start = offset_of (self, "pos_start");
  self->lvl_embed = offset_of (self, "lvl_embed.weight");
  if (!self->config->rope)
    self->positions = offset_of (self, "pos_1LC");
  if (self->config->crop_cond)
    {
      self->crop_proj = find_linear (self, "", "crop_proj");
      self->crop_embed = offset_of (self, "crop_embed.weight");
    }
  for (int i = 0; i < self->config->depth; i++)
    find_block (self, i);
}

/* -- products -------------------------------------------------------------------------------------------------- */

/* What a product is asked for. */
typedef struct
{
  SwittiProduct product;
  gint64 rows, row_group, n, k;
  SwittiDtype x_dtype, w_dtype, y_dtype, dy_dtype;
  gboolean wants_input;
} ProductShape;

static void
list_products (const SwittiGradients *self, ProductShape list[SWITTI_N_PRODUCTS])
{
  const SwittiTransformerConfig *config = self->config;
  const SwittiDtype t = self->dtype, f32 = SWITTI_DTYPE_F32, w = switti_parameters_get_dtype (self->parameters);
  const gint64 b = self->options.batch, c = config->width, f = config->ffn_hidden, v = config->vocab;
  const gint64 rows = self->rows, l = self->length, text = SWITTI_TEXT_LENGTH, chunk = self->options.loss_rows;
  const ProductShape shapes[SWITTI_N_PRODUCTS] = {
    { SWITTI_PRODUCT_WORD_EMBED, rows, l, c, config->latent, f32, f32, f32, f32, FALSE },
    { SWITTI_PRODUCT_TEXT_POOLER, b, 1, c, config->pooled_dim, f32, f32, f32, f32, self->options.text_gradients },
    { SWITTI_PRODUCT_CROP_PROJ, config->crop_cond ? b : 0, 1, c, c, f32, f32, f32, f32, FALSE },
    { SWITTI_PRODUCT_ADA_LIN, b, 1, SWITTI_N_MODULATIONS * c, c, t, w, f32, f32, TRUE },
    { SWITTI_PRODUCT_QKV, rows, l, 3 * c, c, t, w, t, t, TRUE },
    { SWITTI_PRODUCT_SQUARE, rows, l, c, c, t, w, t, t, TRUE },
    { SWITTI_PRODUCT_TO_KV, b * text, text, 2 * c, config->context_dim, t, w, t, t, TRUE },
    { SWITTI_PRODUCT_FFN_IN, rows, l, config->swiglu ? 2 * f : f, c, t, w, t, t, TRUE },
    { SWITTI_PRODUCT_FFN_OUT, rows, l, c, f, t, w, t, t, TRUE },
    { SWITTI_PRODUCT_HEAD_ADA_LIN, b, 1, 2 * c, c, t, w, f32, f32, TRUE },
    { SWITTI_PRODUCT_HEAD, chunk, 1, v, c, t, w, f32, t, TRUE },
    { SWITTI_PRODUCT_HEAD_LAST, rows % chunk, 1, v, c, t, w, f32, t, TRUE },
  };

  memcpy (list, shapes, sizeof shapes);
}

static gboolean
plan_products (SwittiGradients *self, GError **error)
{
  ProductShape list[SWITTI_N_PRODUCTS];

  list_products (self, list);
  for (gsize i = 0; i < G_N_ELEMENTS (list); i++)
    {
      SwittiTrainingProduct *product = &self->products[list[i].product];

      *product = (SwittiTrainingProduct){ .rows = list[i].rows, .n = list[i].n, .k = list[i].k,
                                          .w_dtype = list[i].w_dtype, .dy_dtype = list[i].dy_dtype,
                                          .halves = &self->halves };
      if (product->rows > 0
          && !switti_training_product_plan (product, self->device, list[i].row_group, list[i].x_dtype,
                                            list[i].y_dtype, list[i].wants_input, error))
        return FALSE;
    }
  return TRUE;
}

void
switti_gradients_free_plans (SwittiGradients *self)
{
  for (int i = 0; i < SWITTI_N_PRODUCTS; i++)
    switti_training_product_clear (&self->products[i], self->device);
}

/* -- memory ---------------------------------------------------------------------------------------------------- */

static void
reserve_inputs (SwittiGradients *self)
{
  const SwittiTransformerConfig *config = self->config;
  SwittiWorkspace *workspace = self->workspace;
  const gint64 b = self->options.batch, c = config->width;
  const SwittiDtype f32 = SWITTI_DTYPE_F32, i32 = SWITTI_DTYPE_I32;

  switti_workspace_place (workspace, &self->latents, f32, self->rows, config->latent);
  switti_workspace_place (workspace, &self->text, f32, b * SWITTI_TEXT_LENGTH, config->context_dim);
  switti_workspace_place (workspace, &self->pooled, f32, b, config->pooled_dim);
  switti_workspace_place (workspace, &self->codes, i32, self->rows, 1);
  switti_workspace_place (workspace, &self->level, i32, self->length, 1);
  switti_workspace_place (workspace, &self->n_valid, i32, b, 1);
  if (config->rope)
    switti_workspace_place (workspace, &self->rope, f32, self->length, c / config->heads);
  switti_workspace_place (workspace, &self->c, f32, b, c);
  switti_workspace_place (workspace, &self->crop, f32, b, c);
  switti_workspace_place (workspace, &self->crop_input, f32, b, c);
  switti_workspace_place (workspace, &self->head_silu, self->dtype, b, c);
  switti_workspace_place (workspace, &self->head_modulation, f32, b, 2 * c);
  for (int i = 0; i <= config->depth; i++)
    switti_workspace_place (workspace, &self->x[i], f32, self->rows, c);
  switti_workspace_place (workspace, &self->head_input, self->dtype, self->rows, c);
  switti_workspace_place (workspace, &self->row_loss, f32, self->rows, 1);
  switti_workspace_place (workspace, &self->row_rank, i32, self->rows, 1);
  if (self->options.loss_balance > 0)
    switti_workspace_place (workspace, &self->row_weight, f32, self->rows, 1);
}

/* Operands of float16 products, the largest of which decide. */
static void
reserve_halves (SwittiGradients *self)
{
  ProductShape list[SWITTI_N_PRODUCTS];
  gint64 x = 0, dy = 0;

  list_products (self, list);
  for (gsize i = 0; i < G_N_ELEMENTS (list); i++)
    if (list[i].w_dtype == SWITTI_DTYPE_F16)
      {
        x = MAX (x, list[i].rows * list[i].k);
        dy = MAX (dy, list[i].rows * list[i].n);
      }
  if (x == 0)
    return;
  switti_workspace_place (self->workspace, &self->halves.x, SWITTI_DTYPE_F16, x, 1);
  switti_workspace_place (self->workspace, &self->halves.dy, SWITTI_DTYPE_F16, dy, 1);
}

static void
reserve_saved (SwittiGradients *self, SwittiSavedBlock *saved)
{
  const SwittiTransformerConfig *config = self->config;
  SwittiWorkspace *workspace = self->workspace;
  const gint64 b = self->options.batch, c = config->width, f = config->ffn_hidden;
  const gint64 rows = self->rows, text = b * SWITTI_TEXT_LENGTH;
  const SwittiDtype t = self->dtype;

  switti_workspace_place (workspace, &saved->silu, t, b, c);
  switti_workspace_place (workspace, &saved->modulation, SWITTI_DTYPE_F32, b, SWITTI_N_MODULATIONS * c);
  for (int i = 0; i < 3; i++)
    {
      switti_workspace_place (workspace, &saved->h[i], t, rows, c);
      switti_workspace_place (workspace, &saved->y[i], t, rows, c);
    }
  for (int i = 0; i < 2; i++)
    {
      switti_workspace_place (workspace, &saved->x[i], SWITTI_DTYPE_F32, rows, c);
      switti_workspace_place (workspace, &saved->attended[i], t, rows, c);
    }
  switti_workspace_place (workspace, &saved->qkv, t, rows, 3 * c);
  switti_workspace_place (workspace, &saved->qk, t, rows, 2 * c);
  switti_workspace_place (workspace, &saved->q, t, rows, c);
  switti_workspace_place (workspace, &saved->normed_q, t, rows, c);
  switti_workspace_place (workspace, &saved->context, t, text, config->context_dim);
  switti_workspace_place (workspace, &saved->kv, t, text, 2 * c);
  switti_workspace_place (workspace, &saved->normed_k, t, text, c);
  switti_workspace_place (workspace, &saved->ffn_in, t, rows, config->swiglu ? 2 * f : f);
  switti_workspace_place (workspace, &saved->ffn_hidden, t, rows, f);
}

static gsize
norm_scratch_bytes (SwittiGradients *self)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  SwittiKernelContext *context = switti_device_get_context (self->device);
  const SwittiResidualNorm tokens = { .batch = self->options.batch, .n = self->length, .c = self->config->width,
                                      .y_dtype = self->dtype, .h_dtype = self->dtype };
  const SwittiResidualNorm text = { .batch = self->options.batch, .n = SWITTI_TEXT_LENGTH,
                                    .c = self->config->context_dim, .y_dtype = self->dtype, .h_dtype = self->dtype };

  return MAX (kernels->norm_backward_scratch_bytes (context, &tokens),
              kernels->norm_backward_scratch_bytes (context, &text));
}

/* Enough for the attention within a scale, or over all of them, and for that to the text. */
static gsize
attention_scratch_bytes (SwittiGradients *self)
{
  const SwittiTransformerConfig *config = self->config;
  const SwittiAttentionBackward all = {
    .attention = { .batch = self->options.batch, .heads = config->heads, .d = config->width / config->heads,
                   .n = self->length, .m = MAX (self->length, SWITTI_TEXT_LENGTH), .dtype = self->dtype },
  };

  return switti_device_get_kernels (self->device)->attention_backward_scratch_bytes (
      switti_device_get_context (self->device), &all);
}

/* The FFN, the attentions and the loss take turns with the same memory. */
static void
reserve_backward (SwittiGradients *self)
{
  const SwittiTransformerConfig *config = self->config;
  SwittiWorkspace *workspace = self->workspace;
  const gint64 b = self->options.batch, c = config->width, f = config->ffn_hidden;
  const gint64 rows = self->rows, text = b * SWITTI_TEXT_LENGTH, chunk = self->options.loss_rows;
  const gsize attention_scratch = attention_scratch_bytes (self);
  const SwittiDtype t = self->dtype, f32 = SWITTI_DTYPE_F32;

  switti_workspace_place (workspace, &self->dx, f32, rows, c);
  switti_workspace_place (workspace, &self->dy, t, rows, c);
  switti_workspace_place (workspace, &self->dh, t, rows, c);
  switti_workspace_place (workspace, &self->d_modulation, f32, b, SWITTI_N_MODULATIONS * c);
  switti_workspace_place (workspace, &self->d_silu, f32, b, c);
  switti_workspace_place (workspace, &self->dc, f32, b, c);
  switti_workspace_place (workspace, &self->d_crop, f32, b, c);
  if (self->options.text_gradients)
    {
      switti_workspace_place (workspace, &self->d_text, f32, text, config->context_dim);
      switti_workspace_place (workspace, &self->d_pooled, f32, b, config->pooled_dim);
    }
  switti_workspace_place (workspace, &self->norm_scratch, SWITTI_DTYPE_U8, (gint64) norm_scratch_bytes (self), 1);
  switti_workspace_begin_shared (workspace);
  switti_workspace_place (workspace, &self->d_ffn_in, t, rows, config->swiglu ? 2 * f : f);
  switti_workspace_place (workspace, &self->d_ffn_hidden, t, rows, f);
  switti_workspace_next_shared (workspace);
  switti_workspace_place (workspace, &self->d_attended, t, rows, c);
  switti_workspace_place (workspace, &self->d_qkv, t, rows, 3 * c);
  switti_workspace_place (workspace, &self->d_keys, f32, rows, 2 * c);
  switti_workspace_place (workspace, &self->d_text_keys, f32, text, 2 * c);
  switti_workspace_place (workspace, &self->d_kv, t, text, 2 * c);
  switti_workspace_place (workspace, &self->d_context, t, text, config->context_dim);
  if (attention_scratch > 0)
    switti_workspace_place (workspace, &self->attention_scratch, SWITTI_DTYPE_U8, (gint64) attention_scratch, 1);
  switti_workspace_next_shared (workspace);
  switti_workspace_place (workspace, &self->logits, f32, chunk, config->vocab);
  if (t != f32)
    switti_workspace_place (workspace, &self->d_logits, t, chunk, config->vocab);
  switti_workspace_end_shared (workspace);
}

gboolean
switti_gradients_plan (SwittiGradients *self, GError **error)
{
  reserve_inputs (self);
  for (int i = 0; i < (self->options.recompute ? 1 : self->config->depth); i++)
    reserve_saved (self, &self->saved[i]);
  reserve_backward (self);
  reserve_halves (self);
  switti_gradients_drop_place (self);
  if (!switti_workspace_commit (self->workspace, "the activations of the training", error))
    return FALSE;
  if (self->d_logits == NULL)
    self->d_logits = self->logits; /* the gradient takes the place of float32 logits */
  return plan_products (self, error);
}
