/* switti-transformer-run.c - the scales: tokens in, logits out
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Rows are ordered (image, position). Each addition to the residual stream is one op together with the norm that reads
 * the stream next: a block is 6 products, 2 attentions and 3 such passes, next to SwiGLU and the norms of queries and
 * keys, twice.
 */
#include "switti-transformer-parts-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* -- planning ------------------------------------------------------------------------------------------------- */

static gint64
scale_positions (const SwittiTransformer *model, int scale)
{
  gint64 side = model->config.schedule.side[scale];

  return side * side;
}

static SwittiScalePlans **
scale_plans_at (SwittiTransformerRun *run, int scale, int n_images)
{
  return &run->scale_plans[scale * (run->max_images + 1) + n_images];
}

static gboolean
make_scale_plans (const SwittiTransformer *model, SwittiScalePlans *plans, int scale, int n_images, GError **error)
{
  const SwittiBlock *block = &model->blocks[0];
  const SwittiDtype dtype = model->dtype;
  const gint64 n = scale_positions (model, scale), m = n * n_images;
  const SwittiActivation ffn_activation = model->config.swiglu ? SWITTI_ACTIVATION_NONE : SWITTI_ACTIVATION_GELU_TANH;
  const struct
  {
    const SwittiLinear *linear;
    SwittiDtype a_dtype, d_dtype;
    SwittiActivation activation;
    SwittiGemmPlan **plan;
  } products[] = {
    { &model->word_embed, SWITTI_DTYPE_F32, SWITTI_DTYPE_F32, SWITTI_ACTIVATION_NONE, &plans->word_embed },
    { &block->qkv, dtype, dtype, SWITTI_ACTIVATION_NONE, &plans->qkv },
    { &block->proj, dtype, dtype, SWITTI_ACTIVATION_NONE, &plans->square },
    { &block->ffn_in, dtype, dtype, ffn_activation, &plans->ffn_in },
    { &block->ffn_out, dtype, dtype, SWITTI_ACTIVATION_NONE, &plans->ffn_out },
    { &model->head, dtype, SWITTI_DTYPE_F32, SWITTI_ACTIVATION_NONE, &plans->head },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (products); i++)
    {
      *products[i].plan = switti_linear_plan (products[i].linear, model->device, m, n, products[i].a_dtype,
                                              products[i].d_dtype, products[i].activation, error);
      if (*products[i].plan == NULL)
        return FALSE;
    }
  return TRUE;
}

static void
free_scale_plans (SwittiDevice *device, SwittiScalePlans *plans)
{
  switti_gemm_plan_clear (device, &plans->word_embed);
  switti_gemm_plan_clear (device, &plans->qkv);
  switti_gemm_plan_clear (device, &plans->square);
  switti_gemm_plan_clear (device, &plans->ffn_in);
  switti_gemm_plan_clear (device, &plans->ffn_out);
  switti_gemm_plan_clear (device, &plans->head);
  g_free (plans);
}

/* A scale's attention to itself, and, with ar, to those before it. */
static SwittiAttention
describe_self_attention (const SwittiTransformerRun *run, int scale, int n_images)
{
  const SwittiTransformerConfig *config = &run->model->config;
  const gint64 c = config->width, d = c / config->heads, n = scale_positions (run->model, scale);
  const gint64 length = run->begin[config->schedule.n_scales];
  const SwittiRows qkv_rows = { n * 3 * c, 3 * c }, cache_rows = { length * c, c };

  return (SwittiAttention) {
    .batch = n_images,
    .heads = config->heads,
    .d = d,
    .n = n,
    .m = config->ar ? run->begin[scale + 1] : n,
    .scale = 1.0f / sqrtf ((float) d),
    .dtype = run->model->dtype,
    .q = qkv_rows,
    .k = config->ar ? cache_rows : qkv_rows,
    .v = config->ar ? cache_rows : qkv_rows,
    .out = { n * c, c },
  };
}

/* With ar an image has a slot in the cache, which is a group: there is nothing to choose. */
static gboolean
plan_self_attention (const SwittiTransformerRun *run, int scale, int n_images, GError **error)
{
  const SwittiAttention attention = describe_self_attention (run, scale, n_images);
  SwittiDevice *device = run->model->device;

  if (!run->model->config.ar && switti_device_get_kernels (device)->attention_plan != NULL)
    SWITTI_RUN (device, attention_plan, &attention);
  return TRUE;
}

static gboolean
plan_scale (SwittiTransformerRun *run, int scale, int n_images, GError **error)
{
  SwittiScalePlans **plans = scale_plans_at (run, scale, n_images);

  if (*plans != NULL)
    return TRUE;
  *plans = g_new0 (SwittiScalePlans, 1);
  if (make_scale_plans (run->model, *plans, scale, n_images, error)
      && plan_self_attention (run, scale, n_images, error))
    return TRUE;
  free_scale_plans (run->model->device, g_steal_pointer (plans));
  return FALSE;
}

/* A run is asked for all its images where the null prompt runs too, and for half of them where it does not. Any other
 * number of images is planned at its first use. */
static gboolean
plan_usual_counts (SwittiTransformerRun *run, GError **error)
{
  const int counts[] = { run->max_images, run->max_images % 2 == 0 ? run->max_images / 2 : run->max_images };

  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    for (int s = 0; s < run->model->config.schedule.n_scales; s++)
      if (!plan_scale (run, s, counts[i], error))
        return FALSE;
  return switti_transformer_run_plan_conditions (run, run->max_conditions, error);
}

/* One buffer of the run: where its address goes, and what it holds. */
typedef struct
{
  void **address;
  SwittiDtype dtype;
  gsize count;
  SwittiSlot slot;
} Buffer;

static void
reserve (SwittiWorkspace *workspace, Buffer *buffers, gsize n_buffers)
{
  for (gsize i = 0; i < n_buffers; i++)
    buffers[i].slot = switti_workspace_reserve (workspace, buffers[i].dtype, buffers[i].count);
}

static void
resolve (SwittiWorkspace *workspace, const Buffer *buffers, gsize n_buffers)
{
  for (gsize i = 0; i < n_buffers; i++)
    *buffers[i].address = switti_workspace_get (workspace, buffers[i].slot);
}

/* a * b * c * d, or G_MAXSIZE where that does not fit, which the workspace then refuses. */
static gsize
product (gsize a, gsize b, gsize c, gsize d)
{
  gsize value = a;

  if (!g_size_checked_mul (&value, value, b) || !g_size_checked_mul (&value, value, c) ||
      !g_size_checked_mul (&value, value, d))
    return G_MAXSIZE;
  return value;
}

static gboolean
plan_memory (SwittiTransformerRun *run, GError **error)
{
  const SwittiTransformerConfig *config = &run->model->config;
  const SwittiDtype t = run->model->dtype;
  const gsize conditions = (gsize) run->max_conditions, images = (gsize) run->max_images;
  const gsize c = (gsize) config->width, f = (gsize) config->ffn_hidden, depth = (gsize) config->depth;
  const gsize text = SWITTI_TEXT_LENGTH, context_dim = (gsize) config->context_dim;
  const gsize rows = product (images, (gsize) scale_positions (run->model, config->schedule.n_scales - 1), 1, 1);
  const gsize cached = config->ar ? product (depth, images, (gsize) run->begin[config->schedule.n_scales], c) : 0;
  Buffer lasting[] = {
    { (void **) &run->context, SWITTI_DTYPE_F32, product (conditions, text, context_dim, 1) },
    { (void **) &run->pooled, SWITTI_DTYPE_F32, product (conditions, (gsize) config->pooled_dim, 1, 1) },
    { (void **) &run->modulation, SWITTI_DTYPE_F32, product (depth, conditions, SWITTI_N_MODULATIONS, c) },
    { (void **) &run->head_modulation, SWITTI_DTYPE_F32, product (conditions, 2, c, 1) },
    { (void **) &run->c, SWITTI_DTYPE_F32, product (conditions, c, 1, 1) },
    { &run->text_kv, t, product (depth, conditions, text, 2 * c) },
    { (void **) &run->key_length, SWITTI_DTYPE_I32, conditions },
    { (void **) &run->condition, SWITTI_DTYPE_I32, images },
    { (void **) &run->slot, SWITTI_DTYPE_I32, images },
    { &run->cache_k, t, cached },
    { &run->cache_v, t, cached },
  };
  Buffer in_conditions[] = {
    { (void **) &run->crop, SWITTI_DTYPE_F32, product (conditions, c, 1, 1) },
    { (void **) &run->crop_input, SWITTI_DTYPE_F32, product (conditions, c, 1, 1) },
    { &run->normed_context, t, product (conditions, text, context_dim, 1) },
    { &run->silu, t, product (conditions, c, 1, 1) },
  };
  Buffer in_block[] = {
    { (void **) &run->x, SWITTI_DTYPE_F32, product (rows, c, 1, 1) },
    { &run->h, t, product (rows, c, 1, 1) },
    { &run->y, t, product (rows, c, 1, 1) },
  };
  Buffer in_attention[] = {
    { &run->qkv, t, product (rows, 3, c, 1) },
    { &run->attended, t, product (rows, c, 1, 1) },
  };
  Buffer in_ffn[] = {
    { &run->ffn_in, t, config->swiglu ? product (rows, 2, f, 1) : 0 },
    { &run->ffn_hidden, t, product (rows, f, 1, 1) },
  };

  /* The same memory serves the conditions, then in each block attention and the FFN by turns. */
  reserve (run->workspace, lasting, G_N_ELEMENTS (lasting));
  reserve (run->workspace, in_block, G_N_ELEMENTS (in_block));
  switti_workspace_begin_shared (run->workspace);
  reserve (run->workspace, in_conditions, G_N_ELEMENTS (in_conditions));
  switti_workspace_next_shared (run->workspace);
  reserve (run->workspace, in_attention, G_N_ELEMENTS (in_attention));
  switti_workspace_next_shared (run->workspace);
  reserve (run->workspace, in_ffn, G_N_ELEMENTS (in_ffn));
  switti_workspace_end_shared (run->workspace);
  if (!switti_workspace_commit (run->workspace, _ ("the transformer's activations"), error))
    return FALSE;
  resolve (run->workspace, lasting, G_N_ELEMENTS (lasting));
  resolve (run->workspace, in_conditions, G_N_ELEMENTS (in_conditions));
  resolve (run->workspace, in_block, G_N_ELEMENTS (in_block));
  resolve (run->workspace, in_attention, G_N_ELEMENTS (in_attention));
  resolve (run->workspace, in_ffn, G_N_ELEMENTS (in_ffn));
  return TRUE;
}

SwittiTransformerRun *
switti_transformer_run_new (SwittiTransformer *self, int max_conditions, int max_images, GError **error)
{
  const int n_scales = self->config.schedule.n_scales;
  g_autoptr (SwittiTransformerRun) run = g_new0 (SwittiTransformerRun, 1);

  g_assert (max_conditions > 0 && max_images > 0);
  run->model = self;
  run->max_conditions = max_conditions;
  run->max_images = max_images;
  run->scale_plans = g_new0 (SwittiScalePlans *, (gsize) n_scales * ((gsize) max_images + 1));
  run->condition_plans = g_new0 (SwittiConditionPlans *, (gsize) max_conditions + 1);
  run->next_scale = g_new0 (int, max_images);
  run->scale_graphs = g_new0 (SwittiScaleGraph, (gsize) n_scales * ((gsize) max_images + 1));
  run->host_condition = g_new0 (gint32, max_images);
  run->host_slot = g_new0 (gint32, max_images);
  run->host_crop = g_new (float, (gsize) max_conditions * (gsize) self->config.width);
  for (int s = 0; s < n_scales; s++)
    run->begin[s + 1] = run->begin[s] + scale_positions (self, s);
  run->workspace = switti_workspace_new (self->device);
  if (!plan_memory (run, error) || !plan_usual_counts (run, error))
    return NULL;
  return g_steal_pointer (&run);
}

void
switti_transformer_run_free (SwittiTransformerRun *run)
{
  if (run == NULL)
    return;
  for (int s = 0; s < run->model->config.schedule.n_scales; s++)
    for (int n = 0; n <= run->max_images; n++)
      if (*scale_plans_at (run, s, n) != NULL)
        free_scale_plans (run->model->device, *scale_plans_at (run, s, n));
  switti_transformer_run_free_graphs (run);
  switti_transformer_run_free_condition_plans (run);
  switti_workspace_free (run->workspace);
  g_free (run->scale_plans);
  g_free (run->condition_plans);
  g_free (run->next_scale);
  g_free (run->scale_graphs);
  g_free (run->host_condition);
  g_free (run->host_slot);
  g_free (run->host_crop);
  g_free (run);
}

float *
switti_transformer_run_get_context (SwittiTransformerRun *run)
{
  return run->context;
}

float *
switti_transformer_run_get_pooled (SwittiTransformerRun *run)
{
  return run->pooled;
}

/* -- one scale ------------------------------------------------------------------------------------------------ */

/* The scale that is running. */
typedef struct
{
  SwittiTransformerRun *run;
  const SwittiScalePlans *plans;
  int scale, n_images;
  gint64 n; /* positions of the scale */
} Scale;

/* Row of a block's gates, scales or shifts for condition 0; those of condition i are 6C further each. */
static const float *
modulation (const Scale *s, int block, SwittiModulation which)
{
  const gint64 c = s->run->model->config.width;

  return s->run->modulation + ((gint64) block * s->run->max_conditions * SWITTI_N_MODULATIONS + which) * c;
}

static SwittiResidualNorm
norm_of_rows (const Scale *s)
{
  const SwittiTransformer *model = s->run->model;

  return (SwittiResidualNorm){
    .batch = s->n_images,
    .n = s->n,
    .c = model->config.width,
    .eps = SWITTI_RMS_EPS,
    .y_dtype = model->dtype,
    .h_dtype = model->dtype,
    .modulation_stride = SWITTI_N_MODULATIONS * (gint64) model->config.width,
  };
}

static gboolean
embed_tokens (const Scale *s, const float *input, GError **error)
{
  SwittiTransformerRun *run = s->run;
  SwittiTransformer *model = run->model;
  const gint64 c = model->config.width;

  if (s->scale == 0)
    {
      SWITTI_RUN (model->device, embed, s->n_images, c, run->n_conditions, SWITTI_DTYPE_F32, run->c, run->condition,
                  model->first_row, 1, run->x);
      return TRUE;
    }
  SWITTI_RUN (model->device, gemm, s->plans->word_embed, input, model->word_embed.packed,
              model->token_bias + s->scale * c, run->x);
  if (model->positions != NULL)
    SWITTI_RUN (model->device, add_rows, s->n_images, s->n, c, run->x, s->n * c,
                model->positions + run->begin[s->scale] * c, run->x);
  return TRUE;
}

/* Normed and rotated queries stay in place; keys and values go to the cache behind those of the earlier scales. Images
 * whose slots follow one another go in one call. */
static gboolean
fill_cache (const Scale *s, SwittiQkNormRope op, const float *rope, void *cache_k, void *cache_v, GError **error)
{
  SwittiTransformerRun *run = s->run;
  SwittiTransformer *model = run->model;
  const gint64 c = model->config.width, length = run->begin[model->config.schedule.n_scales];

  op.v = op.q;
  op.k_out = op.v_out = (SwittiRows){ length * c, c };
  for (int first = 0, end; first < s->n_images; first = end)
    {
      void *q = switti_transformer_at (model, run->qkv, first * s->n * 3 * c);
      gint64 row = (run->host_slot[first] * length + run->begin[s->scale]) * c;

      for (end = first + 1; end < s->n_images && run->host_slot[end] == run->host_slot[end - 1] + 1; end++)
        continue;
      op.batch = end - first;
      SWITTI_RUN (model->device, qk_norm_rope, &op, rope, q, switti_transformer_at (model, q, c),
                  switti_transformer_at (model, q, 2 * c), q, switti_transformer_at (model, cache_k, row),
                  switti_transformer_at (model, cache_v, row));
    }
  return TRUE;
}

/* h -> y */
static gboolean
self_attention (const Scale *s, int index, GError **error)
{
  SwittiTransformerRun *run = s->run;
  SwittiTransformer *model = run->model;
  SwittiDevice *device = model->device;
  const SwittiTransformerConfig *config = &model->config;
  const SwittiBlock *block = &model->blocks[index];
  const gint64 c = config->width, d = c / config->heads, length = run->begin[config->schedule.n_scales];
  const SwittiRows qkv_rows = { s->n * 3 * c, 3 * c };
  const float *rope = model->rope != NULL ? model->rope + run->begin[s->scale] * d : NULL;
  const SwittiQkNormRope qk_norm = {
    .batch = s->n_images,
    .n = s->n,
    .heads = config->heads,
    .d = d,
    .eps = SWITTI_LAYER_NORM_EPS,
    .dtype = model->dtype,
    .q = qkv_rows,
    .k = qkv_rows,
    .q_out = qkv_rows,
    .k_out = qkv_rows,
  };
  const SwittiAttention attention = describe_self_attention (run, s->scale, (int) s->n_images);
  void *k = switti_transformer_at (model, run->qkv, c), *v = switti_transformer_at (model, run->qkv, 2 * c);

  SWITTI_RUN (device, gemm, s->plans->qkv, run->h, block->qkv.packed, block->qkv.bias, run->qkv);
  if (config->ar)
    {
      k = switti_transformer_at (model, run->cache_k, index * run->max_images * length * c);
      v = switti_transformer_at (model, run->cache_v, index * run->max_images * length * c);
      if (!fill_cache (s, qk_norm, rope, k, v, error))
        return FALSE;
    }
  else
    SWITTI_RUN (device, qk_norm_rope, &qk_norm, rope, run->qkv, k, NULL, run->qkv, k, NULL);
  SWITTI_RUN (device, attention, &attention, config->ar ? run->slot : NULL, NULL, run->qkv, k, v, run->attended);
  SWITTI_RUN (device, gemm, s->plans->square, run->attended, block->proj.packed, block->proj.bias, run->y);
  return TRUE;
}

/* h -> y */
static gboolean
cross_attention (const Scale *s, int index, GError **error)
{
  SwittiTransformerRun *run = s->run;
  SwittiTransformer *model = run->model;
  SwittiDevice *device = model->device;
  const SwittiTransformerConfig *config = &model->config;
  const SwittiBlock *block = &model->blocks[index];
  const gint64 c = config->width, d = c / config->heads, text = SWITTI_TEXT_LENGTH;
  const SwittiRows rows = { s->n * c, c }, kv_rows = { text * 2 * c, 2 * c };
  const SwittiQkNormRope q_norm = {
    .batch = s->n_images,
    .n = s->n,
    .heads = config->heads,
    .d = d,
    .eps = SWITTI_LAYER_NORM_EPS,
    .dtype = model->dtype,
    .q = rows,
    .q_out = rows,
  };
  const SwittiAttention attention = {
    .batch = s->n_images,
    .heads = config->heads,
    .d = d,
    .n = s->n,
    .m = text,
    .scale = 1.0f / sqrtf ((float) d),
    .dtype = model->dtype,
    .q = rows,
    .k = kv_rows,
    .v = kv_rows,
    .out = rows,
  };
  void *k = switti_transformer_at (model, run->text_kv, index * run->max_conditions * text * 2 * c);
  void *v = switti_transformer_at (model, k, c);
  void *q = run->qkv;

  SWITTI_RUN (device, gemm, s->plans->square, run->h, block->to_q.packed, block->to_q.bias, q);
  SWITTI_RUN (device, qk_norm_rope, &q_norm, NULL, q, NULL, NULL, q, NULL, NULL);
  SWITTI_RUN (device, attention, &attention, run->condition, run->key_length, q, k, v, run->attended);
  SWITTI_RUN (device, gemm, s->plans->square, run->attended, block->cross_proj.packed, block->cross_proj.bias,
              run->y);
  return TRUE;
}

/* h -> y */
static gboolean
feed_forward (const Scale *s, int index, GError **error)
{
  SwittiTransformerRun *run = s->run;
  SwittiTransformer *model = run->model;
  const SwittiBlock *block = &model->blocks[index];
  const gint64 hidden = model->config.ffn_hidden;
  void *ffn_in = model->config.swiglu ? run->ffn_in : run->ffn_hidden;

  SWITTI_RUN (model->device, gemm, s->plans->ffn_in, run->h, block->ffn_in.packed, block->ffn_in.bias, ffn_in);
  if (model->config.swiglu)
    SWITTI_RUN (model->device, swiglu, s->n_images * s->n, hidden, model->dtype, run->ffn_in, 2 * hidden,
                run->ffn_hidden, hidden);
  SWITTI_RUN (model->device, gemm, s->plans->ffn_out, run->ffn_hidden, block->ffn_out.packed, block->ffn_out.bias,
              run->y);
  return TRUE;
}

/* On entry h is the block's input, normed and modulated; on return it is the next block's, but for the last block. */
static gboolean
run_block (const Scale *s, int index, GError **error)
{
  SwittiTransformerRun *run = s->run;
  SwittiTransformer *model = run->model;
  SwittiDevice *device = model->device;
  const SwittiBlock *block = &model->blocks[index];
  const gboolean last = index + 1 == model->config.depth;
  const SwittiResidualNorm norm = norm_of_rows (s);

  if (!self_attention (s, index, error))
    return FALSE;
  SWITTI_RUN (device, residual_norm, &norm, run->condition, run->x, run->y, block->norm[SWITTI_NORM_SELF_POST],
              modulation (s, index, SWITTI_MODULATION_GATE_ATTENTION), block->norm[SWITTI_NORM_CROSS_PRE], NULL, NULL,
              run->h);
  if (!cross_attention (s, index, error))
    return FALSE;
  SWITTI_RUN (device, residual_norm, &norm, run->condition, run->x, run->y, block->norm[SWITTI_NORM_CROSS_POST], NULL,
              block->norm[SWITTI_NORM_FFN_PRE], modulation (s, index, SWITTI_MODULATION_SCALE_FFN),
              modulation (s, index, SWITTI_MODULATION_SHIFT_FFN), run->h);
  if (!feed_forward (s, index, error))
    return FALSE;
  SWITTI_RUN (device, residual_norm, &norm, run->condition, run->x, run->y, block->norm[SWITTI_NORM_FFN_POST],
              modulation (s, index, SWITTI_MODULATION_GATE_FFN),
              last ? NULL : model->blocks[index + 1].norm[SWITTI_NORM_SELF_PRE],
              last ? NULL : modulation (s, index + 1, SWITTI_MODULATION_SCALE_ATTENTION),
              last ? NULL : modulation (s, index + 1, SWITTI_MODULATION_SHIFT_ATTENTION), last ? NULL : run->h);
  return TRUE;
}

static gboolean
run_head (const Scale *s, float *logits, GError **error)
{
  SwittiTransformerRun *run = s->run;
  SwittiTransformer *model = run->model;
  SwittiLayerNorm norm = norm_of_rows (s);

  norm.eps = SWITTI_LAYER_NORM_EPS;
  norm.modulation_stride = 2 * norm.c;
  SWITTI_RUN (model->device, layer_norm, &norm, run->condition, run->x, NULL, NULL, NULL, run->head_modulation,
              run->head_modulation + norm.c, run->h);
  SWITTI_RUN (model->device, gemm, s->plans->head, run->h, model->head.packed, model->head.bias, logits);
  return TRUE;
}

/* In AR a slot's scales come in order: its keys and values are those of all scales before. */
static void
check_images (SwittiTransformerRun *run, int scale, int n_images, const gint32 *condition, const gint32 *slot)
{
  for (int i = 0; i < n_images; i++)
    {
      g_assert (condition[i] >= 0 && condition[i] < run->n_conditions);
      g_assert (slot[i] >= 0 && slot[i] < run->max_images);
      if (scale == 0)
        run->next_scale[slot[i]] = 0;
      g_assert (!run->model->config.ar || run->next_scale[slot[i]] == scale);
      run->next_scale[slot[i]] = scale + 1;
    }
}

gboolean
switti_transformer_run_assign (SwittiTransformerRun *run, int n_images, const gint32 *condition, const gint32 *slot,
                               GError **error)
{
  SwittiDevice *device = run->model->device;
  const gsize bytes = (gsize) n_images * sizeof (gint32);

  g_assert (n_images > 0 && n_images <= run->max_images);
  if (n_images <= run->n_assigned && memcmp (run->host_condition, condition, bytes) == 0
      && memcmp (run->host_slot, slot, bytes) == 0)
    return TRUE;
  run->n_assigned = 0;
  SWITTI_RUN (device, upload, run->condition, condition, bytes);
  SWITTI_RUN (device, upload, run->slot, slot, bytes);
  memcpy (run->host_condition, condition, bytes);
  memcpy (run->host_slot, slot, bytes);
  run->n_assigned = n_images;
  return TRUE;
}

/* What the blocks have launched since `before`, each. */
static void
note_launches (SwittiTransformerRun *run, const SwittiKernelLaunches *before)
{
  SwittiDevice *device = run->model->device;
  SwittiKernelLaunches after;

  switti_device_get_kernels (device)->count_launches (switti_device_get_context (device), &after);
  run->block_kernels = (int) ((after.kernels - before->kernels) / (guint64) run->model->config.depth);
  run->block_products = (int) ((after.products - before->products) / (guint64) run->model->config.depth);
}

void
switti_transformer_run_count_launches (SwittiTransformerRun *run, int *n_kernels, int *n_products)
{
  *n_kernels = run->block_kernels;
  *n_products = run->block_products;
}

/* The ops of a scale, whose plans are made, in order. */
gboolean
switti_transformer_run_enqueue (SwittiTransformerRun *run, int scale, int n_images, const float *input, float *logits,
                                GError **error)
{
  SwittiTransformer *model = run->model;
  SwittiDevice *device = model->device;
  const Scale s = {
    .run = run,
    .plans = *scale_plans_at (run, scale, n_images),
    .scale = scale,
    .n_images = n_images,
    .n = scale_positions (model, scale),
  };
  const SwittiResidualNorm norm = norm_of_rows (&s);
  SwittiKernelLaunches before;

  if (!embed_tokens (&s, input, error))
    return FALSE;
  SWITTI_RUN (device, residual_norm, &norm, run->condition, run->x, NULL, NULL, NULL,
              model->blocks[0].norm[SWITTI_NORM_SELF_PRE], modulation (&s, 0, SWITTI_MODULATION_SCALE_ATTENTION),
              modulation (&s, 0, SWITTI_MODULATION_SHIFT_ATTENTION), run->h);
  switti_device_get_kernels (device)->count_launches (switti_device_get_context (device), &before);
  for (int i = 0; i < model->config.depth; i++)
    if (!switti_transformer_begin_block (model, SWITTI_PASS_SCALE, i, error) || !run_block (&s, i, error)
        || !switti_transformer_end_block (model, SWITTI_PASS_SCALE, i, error))
      return FALSE;
  note_launches (run, &before);
  return run_head (&s, logits, error);
}

gboolean
switti_transformer_run_scale (SwittiTransformerRun *run, int scale, int n_images, const gint32 *condition,
                              const gint32 *slot, const float *input, float *logits, GError **error)
{
  g_assert (scale >= 0 && scale < run->model->config.schedule.n_scales && n_images > 0
            && n_images <= run->max_images);
  g_assert ((input == NULL) == (scale == 0));
  check_images (run, scale, n_images, condition, slot);
  return plan_scale (run, scale, n_images, error)
         && switti_transformer_run_assign (run, n_images, condition, slot, error)
         && switti_transformer_run_replay (run, scale, n_images, input, logits, error);
}
