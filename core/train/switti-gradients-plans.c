/* switti-gradients-plans.c - where parameters lie, the products' plans, and the memory of a training step
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-gradients-parts-private.h"

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
  g_autofree char *weight = g_strconcat (prefix, name, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, name, ".bias", NULL);
  SwittiTrainingLinear linear = { .weight = offset_of (self, weight) };

  linear.has_bias = switti_parameters_find (self->parameters, bias) != NULL;
  if (linear.has_bias)
    linear.bias = offset_of (self, bias);
  return linear;
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

static gboolean
make_plan (SwittiGradients *self, const SwittiGemm *gemm, SwittiGemmPlan **plan, GError **error)
{
  SWITTI_RUN (self->device, gemm_plan, gemm, plan);
  return TRUE;
}

/* `row_group`: rows of one image. dx has the dtype of dy: float32 where few rows are concerned. */
static gboolean
plan_product (SwittiGradients *self, SwittiTrainingProduct *product, gint64 row_group, SwittiDtype x_dtype,
              SwittiDtype y_dtype, gboolean wants_input, GError **error)
{
  const gint64 rows = product->rows, n = product->n, k = product->k;
  const SwittiGemm forward = { .m = rows, .n = n, .k = k, .row_group = row_group, .lda = k, .ldb = k, .ldd = n,
                               .a_dtype = x_dtype, .b_dtype = product->w_dtype, .d_dtype = y_dtype };
  const SwittiGemm input = { .m = rows, .n = k, .k = n, .row_group = row_group, .lda = n, .ldb = k, .ldd = k,
                             .a_dtype = product->dy_dtype, .b_dtype = product->w_dtype, .d_dtype = product->dy_dtype,
                             .b_is_kn = true };
  const SwittiGemm weight = { .m = n, .n = k, .k = rows, .row_group = n, .lda = n, .ldb = k, .ldd = k,
                              .a_dtype = product->dy_dtype, .b_dtype = x_dtype, .d_dtype = SWITTI_DTYPE_F32,
                              .a_is_km = true, .b_is_kn = true, .accumulate = true };

  return make_plan (self, &forward, &product->forward, error) && make_plan (self, &weight, &product->weight, error)
         && (!wants_input || make_plan (self, &input, &product->input, error));
}

static gboolean
plan_products (SwittiGradients *self, GError **error)
{
  const SwittiTransformerConfig *config = self->config;
  const SwittiDtype t = self->dtype, f32 = SWITTI_DTYPE_F32;
  const gint64 b = self->options.batch, c = config->width, f = config->ffn_hidden, v = config->vocab;
  const gint64 rows = self->rows, l = self->length, text = SWITTI_TEXT_LENGTH, chunk = self->options.loss_rows;
  const struct
  {
    SwittiProduct product;
    gint64 rows, row_group, n, k;
    SwittiDtype x_dtype, w_dtype, y_dtype, dy_dtype;
    gboolean wants_input;
  } list[] = {
    { SWITTI_PRODUCT_WORD_EMBED, rows, l, c, config->latent, f32, f32, f32, f32, FALSE },
    { SWITTI_PRODUCT_TEXT_POOLER, b, 1, c, config->pooled_dim, f32, f32, f32, f32, FALSE },
    { SWITTI_PRODUCT_CROP_PROJ, config->crop_cond ? b : 0, 1, c, c, f32, f32, f32, f32, FALSE },
    { SWITTI_PRODUCT_ADA_LIN, b, 1, SWITTI_N_MODULATIONS * c, c, t, t, f32, f32, TRUE },
    { SWITTI_PRODUCT_QKV, rows, l, 3 * c, c, t, t, t, t, TRUE },
    { SWITTI_PRODUCT_SQUARE, rows, l, c, c, t, t, t, t, TRUE },
    { SWITTI_PRODUCT_TO_KV, b * text, text, 2 * c, config->context_dim, t, t, t, t, TRUE },
    { SWITTI_PRODUCT_FFN_IN, rows, l, config->swiglu ? 2 * f : f, c, t, t, t, t, TRUE },
    { SWITTI_PRODUCT_FFN_OUT, rows, l, c, f, t, t, t, t, TRUE },
    { SWITTI_PRODUCT_HEAD_ADA_LIN, b, 1, 2 * c, c, t, t, f32, f32, TRUE },
    { SWITTI_PRODUCT_HEAD, chunk, 1, v, c, t, t, f32, t, TRUE },
    { SWITTI_PRODUCT_HEAD_LAST, rows % chunk, 1, v, c, t, t, f32, t, TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (list); i++)
    {
      SwittiTrainingProduct *product = &self->products[list[i].product];

      *product = (SwittiTrainingProduct){ .rows = list[i].rows, .n = list[i].n, .k = list[i].k,
                                          .w_dtype = list[i].w_dtype, .dy_dtype = list[i].dy_dtype };
      if (product->rows > 0
          && !plan_product (self, product, list[i].row_group, list[i].x_dtype, list[i].y_dtype, list[i].wants_input,
                            error))
        return FALSE;
    }
  return TRUE;
}

void
switti_gradients_free_plans (SwittiGradients *self)
{
  for (int i = 0; i < SWITTI_N_PRODUCTS; i++)
    {
      switti_gemm_plan_clear (self->device, &self->products[i].forward);
      switti_gemm_plan_clear (self->device, &self->products[i].input);
      switti_gemm_plan_clear (self->device, &self->products[i].weight);
    }
}

/* -- memory ---------------------------------------------------------------------------------------------------- */

/* One buffer: where its address goes, and what it holds. */
typedef struct
{
  void **address;
  SwittiSlot slot;
} Buffer;

typedef struct
{
  SwittiWorkspace *workspace;
  GArray *buffers; /* Buffer */
} Memory;

static void
reserve (Memory *memory, void *address, SwittiDtype dtype, gint64 rows, gint64 width)
{
  gsize count;
  Buffer buffer = { .address = address };

  /* What does not fit is refused by the workspace. */
  if (!g_size_checked_mul (&count, (gsize) rows, (gsize) width))
    count = G_MAXSIZE;
  buffer.slot = switti_workspace_reserve (memory->workspace, dtype, count);
  g_array_append_val (memory->buffers, buffer);
}

static void
reserve_inputs (SwittiGradients *self, Memory *memory)
{
  const SwittiTransformerConfig *config = self->config;
  const gint64 b = self->options.batch, c = config->width;
  const SwittiDtype f32 = SWITTI_DTYPE_F32, i32 = SWITTI_DTYPE_I32;

  reserve (memory, &self->values, f32, (gint64) switti_parameters_get_size (self->parameters), 1);
  reserve (memory, &self->latents, f32, self->rows, config->latent);
  reserve (memory, &self->text, f32, b * SWITTI_TEXT_LENGTH, config->context_dim);
  reserve (memory, &self->pooled, f32, b, config->pooled_dim);
  reserve (memory, &self->codes, i32, self->rows, 1);
  reserve (memory, &self->level, i32, self->length, 1);
  reserve (memory, &self->n_valid, i32, b, 1);
  if (config->rope)
    reserve (memory, &self->rope, f32, self->length, c / config->heads);
  reserve (memory, &self->c, f32, b, c);
  reserve (memory, &self->crop, f32, b, c);
  reserve (memory, &self->crop_input, f32, b, c);
  reserve (memory, &self->head_silu, self->dtype, b, c);
  reserve (memory, &self->head_modulation, f32, b, 2 * c);
  for (int i = 0; i <= config->depth; i++)
    reserve (memory, &self->x[i], f32, self->rows, c);
  reserve (memory, &self->head_input, self->dtype, self->rows, c);
  reserve (memory, &self->row_loss, f32, self->rows, 1);
  reserve (memory, &self->row_rank, i32, self->rows, 1);
}

static void
reserve_saved (SwittiGradients *self, Memory *memory, SwittiSavedBlock *saved)
{
  const SwittiTransformerConfig *config = self->config;
  const gint64 b = self->options.batch, c = config->width, f = config->ffn_hidden;
  const gint64 rows = self->rows, text = b * SWITTI_TEXT_LENGTH;
  const SwittiDtype t = self->dtype;

  reserve (memory, &saved->silu, t, b, c);
  reserve (memory, &saved->modulation, SWITTI_DTYPE_F32, b, SWITTI_N_MODULATIONS * c);
  for (int i = 0; i < 3; i++)
    {
      reserve (memory, &saved->h[i], t, rows, c);
      reserve (memory, &saved->y[i], t, rows, c);
    }
  for (int i = 0; i < 2; i++)
    {
      reserve (memory, &saved->x[i], SWITTI_DTYPE_F32, rows, c);
      reserve (memory, &saved->attended[i], t, rows, c);
    }
  reserve (memory, &saved->qkv, t, rows, 3 * c);
  reserve (memory, &saved->qk, t, rows, 2 * c);
  reserve (memory, &saved->q, t, rows, c);
  reserve (memory, &saved->normed_q, t, rows, c);
  reserve (memory, &saved->context, t, text, config->context_dim);
  reserve (memory, &saved->kv, t, text, 2 * c);
  reserve (memory, &saved->normed_k, t, text, c);
  reserve (memory, &saved->ffn_in, t, rows, config->swiglu ? 2 * f : f);
  reserve (memory, &saved->ffn_hidden, t, rows, f);
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

/* The FFN, the attentions and the loss take turns with the same memory. */
static void
reserve_backward (SwittiGradients *self, Memory *memory)
{
  const SwittiTransformerConfig *config = self->config;
  const gint64 b = self->options.batch, c = config->width, f = config->ffn_hidden;
  const gint64 rows = self->rows, text = b * SWITTI_TEXT_LENGTH, chunk = self->options.loss_rows;
  const SwittiDtype t = self->dtype, f32 = SWITTI_DTYPE_F32;

  reserve (memory, &self->dx, f32, rows, c);
  reserve (memory, &self->dy, t, rows, c);
  reserve (memory, &self->dh, t, rows, c);
  reserve (memory, &self->d_modulation, f32, b, SWITTI_N_MODULATIONS * c);
  reserve (memory, &self->d_silu, f32, b, c);
  reserve (memory, &self->dc, f32, b, c);
  reserve (memory, &self->d_crop, f32, b, c);
  reserve (memory, &self->norm_scratch, SWITTI_DTYPE_U8, (gint64) norm_scratch_bytes (self), 1);
  switti_workspace_begin_shared (memory->workspace);
  reserve (memory, &self->d_ffn_in, t, rows, config->swiglu ? 2 * f : f);
  reserve (memory, &self->d_ffn_hidden, t, rows, f);
  switti_workspace_next_shared (memory->workspace);
  reserve (memory, &self->d_attended, t, rows, c);
  reserve (memory, &self->d_qkv, t, rows, 3 * c);
  reserve (memory, &self->d_keys, f32, rows, 2 * c);
  reserve (memory, &self->d_text_keys, f32, text, 2 * c);
  reserve (memory, &self->d_kv, t, text, 2 * c);
  reserve (memory, &self->d_context, t, text, config->context_dim);
  switti_workspace_next_shared (memory->workspace);
  reserve (memory, &self->logits, f32, chunk, config->vocab);
  if (t != f32)
    reserve (memory, &self->d_logits, t, chunk, config->vocab);
  switti_workspace_end_shared (memory->workspace);
}

gboolean
switti_gradients_plan (SwittiGradients *self, GError **error)
{
  g_autoptr (GArray) buffers = g_array_new (FALSE, FALSE, sizeof (Buffer));
  Memory memory = { self->workspace, buffers };

  reserve_inputs (self, &memory);
  for (int i = 0; i < (self->options.recompute ? 1 : self->config->depth); i++)
    reserve_saved (self, &memory, &self->saved[i]);
  reserve_backward (self, &memory);
  if (!switti_workspace_commit (self->workspace, "the activations of the training", error))
    return FALSE;
  for (guint i = 0; i < buffers->len; i++)
    {
      const Buffer *buffer = &g_array_index (buffers, Buffer, i);

      *buffer->address = switti_workspace_get (self->workspace, buffer->slot);
    }
  if (self->d_logits == NULL)
    self->d_logits = self->logits; /* the gradient takes the place of float32 logits */
  return plan_products (self, error);
}
