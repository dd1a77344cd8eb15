/* switti-text-gradients.c - a CLIP text encoder in training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A batch runs at the padded length n of its longest prompt: R = B n rows, ordered (prompt, position). Attention is
 * causal, so what pads a prompt reaches no valid position, and as no gradient comes from there it leaves none. t is the
 * dtype of activations, W the width.
 */
#include "switti-text-gradients-private.h"

#include "switti-error.h"
#include "switti-text-encoder-private.h"
#include "switti-training-product-private.h"
#include "switti-workspace-private.h"

#include <math.h>

typedef struct
{
  gsize weight, bias;
} Norm;

enum
{
  PRODUCT_QKV,
  PRODUCT_OUT,
  PRODUCT_FC1,
  PRODUCT_FC2,
  N_PRODUCTS
};

typedef struct
{
  Norm norm[2];
  SwittiTrainingLinear linear[N_PRODUCTS];
  /* What the backward computation reads. */
  float *x[2];    /* (R, W): the residual stream that the norms read */
  void *h[2];     /* t (R, W): normed */
  void *qkv;      /* t (R, 3W) */
  void *attended; /* t (R, W) */
  void *fc1;      /* t (R, mlp): before the activation */
  void *hidden;   /* t (R, mlp) */
} Layer;

struct _SwittiTextGradients
{
  SwittiParameters *parameters;
  SwittiDevice *device;
  SwittiTextConfig config;
  SwittiDtype dtype;
  SwittiActivation activation;
  int batch;
  gsize tokens, positions;
  Layer *layers;
  Norm final_norm;
  SwittiTrainingProduct products[SWITTI_TEXT_N_LENGTHS][N_PRODUCTS];
  SwittiTrainingHalves halves; /* NULL where products are not float16 */

  SwittiGradientArray *array; /* of the parameters' gradients */
  SwittiWorkspace *workspace;
  gint32 *ids, *places; /* (R): tokens, positions */
  float *x;             /* (R, W): the residual stream's end */
  float *out;           /* (R, W): normed; then its gradient */
  void *y;              /* t (R, W): what is to be added to the stream; then its gradient */
  float *dx;            /* (R, W) */
  void *dh;             /* t (R, W); of attended, too */
  void *d_qkv;          /* t (R, 3W) */
  float *d_keys;        /* (R, 2W): keys and values */
  void *d_fc1;          /* t (R, mlp) */
  void *d_hidden;       /* t (R, mlp) */
  void *norm_scratch;
  void *attention_scratch; /* NULL where the device takes none */

  /* The last forward run. */
  int length;            /* n */
  int *n_valid, *ends;   /* (B) */
  gint32 *host_ids;      /* (B T) */
  gint32 *host_places;   /* (B T) */
};

/* -- life ------------------------------------------------------------------------------------------------------ */

static Norm
find_norm (SwittiTextGradients *self, const char *prefix, const char *name)
{
  const SwittiTrainingLinear place = switti_training_linear_find (self->parameters, prefix, name);

  return (Norm){ place.weight, place.bias };
}

static void
find_parameters (SwittiTextGradients *self)
{
  /* q_proj's rows and those of k_proj and v_proj behind it are one matrix (switti-parameters-text.c). */
  static const char *const linears[N_PRODUCTS] = { "self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2" };

  self->tokens = switti_training_linear_find (self->parameters, "", "embeddings.token_embedding").weight;
  self->positions = switti_training_linear_find (self->parameters, "", "embeddings.position_embedding").weight;
  for (int i = 0; i < self->config.layers; i++)
    {
      g_autofree char *prefix = g_strdup_printf ("encoder.layers.%d.", i);

      self->layers[i].norm[0] = find_norm (self, prefix, "layer_norm1");
      self->layers[i].norm[1] = find_norm (self, prefix, "layer_norm2");
      for (int p = 0; p < N_PRODUCTS; p++)
        self->layers[i].linear[p] = switti_training_linear_find (self->parameters, prefix, linears[p]);
    }
  self->final_norm = find_norm (self, "", "final_layer_norm");
}

static int
length_of_step (int step)
{
  return switti_text_padded_length (step * SWITTI_TEXT_ROW_STEP + 1);
}

static gboolean
plan_products (SwittiTextGradients *self, GError **error)
{
  const gint64 width = self->config.width, mlp = self->config.mlp;
  const gint64 shapes[N_PRODUCTS][2] = { { 3 * width, width }, { width, width }, { mlp, width }, { width, mlp } };

  for (int step = 0; step < SWITTI_TEXT_N_LENGTHS; step++)
    for (int p = 0; p < N_PRODUCTS; p++)
      {
        SwittiTrainingProduct *product = &self->products[step][p];
        const gint64 length = length_of_step (step);

        *product = (SwittiTrainingProduct){ .rows = self->batch * length, .n = shapes[p][0], .k = shapes[p][1],
                                            .w_dtype = switti_parameters_get_dtype (self->parameters),
                                            .dy_dtype = self->dtype, .halves = &self->halves };
        if (!switti_training_product_plan (product, self->device, length, self->dtype, self->dtype, TRUE, error))
          return FALSE;
      }
  return TRUE;
}

static SwittiLayerNorm
norm_of_rows (const SwittiTextGradients *self, int length, SwittiDtype h_dtype)
{
  return (SwittiLayerNorm){
    .batch = self->batch,
    .n = length,
    .c = self->config.width,
    .eps = (float) self->config.norm_eps,
    .y_dtype = self->dtype,
    .h_dtype = h_dtype,
  };
}

static SwittiAttention
attention_of (const SwittiTextGradients *self, gint64 n)
{
  const gint64 width = self->config.width, d = width / self->config.heads;
  const SwittiRows qkv = { n * 3 * width, 3 * width };

  return (SwittiAttention){
    .batch = self->batch,
    .heads = self->config.heads,
    .d = d,
    .n = n,
    .m = n,
    .scale = 1.0f / sqrtf ((float) d),
    .causal = true,
    .dtype = self->dtype,
    .q = qkv,
    .k = qkv,
    .v = qkv,
    .out = { n * width, width },
  };
}

static void
place_layer (SwittiTextGradients *self, Layer *layer, gint64 rows)
{
  const gint64 width = self->config.width, mlp = self->config.mlp;

  for (int i = 0; i < 2; i++)
    {
      switti_workspace_place (self->workspace, &layer->x[i], SWITTI_DTYPE_F32, rows, width);
      switti_workspace_place (self->workspace, &layer->h[i], self->dtype, rows, width);
    }
  switti_workspace_place (self->workspace, &layer->qkv, self->dtype, rows, 3 * width);
  switti_workspace_place (self->workspace, &layer->attended, self->dtype, rows, width);
  switti_workspace_place (self->workspace, &layer->fc1, self->dtype, rows, mlp);
  switti_workspace_place (self->workspace, &layer->hidden, self->dtype, rows, mlp);
}

static gboolean
plan_memory (SwittiTextGradients *self, GError **error)
{
  const SwittiDtype t = self->dtype, f32 = SWITTI_DTYPE_F32;
  const gint64 rows = (gint64) self->batch * SWITTI_TEXT_LENGTH, width = self->config.width, mlp = self->config.mlp;
  const SwittiLayerNorm norm = norm_of_rows (self, SWITTI_TEXT_LENGTH, f32);
  const SwittiAttentionBackward attention = { .attention = attention_of (self, SWITTI_TEXT_LENGTH) };
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  SwittiKernelContext *context = switti_device_get_context (self->device);
  const gsize scratch = kernels->norm_backward_scratch_bytes (context, &norm);
  const gsize attention_scratch = kernels->attention_backward_scratch_bytes (context, &attention);
  SwittiWorkspace *workspace = self->workspace;

  switti_workspace_place (workspace, &self->ids, SWITTI_DTYPE_I32, rows, 1);
  switti_workspace_place (workspace, &self->places, SWITTI_DTYPE_I32, rows, 1);
  switti_workspace_place (workspace, &self->x, f32, rows, width);
  switti_workspace_place (workspace, &self->out, f32, rows, width);
  switti_workspace_place (workspace, &self->y, t, rows, width);
  for (int i = 0; i < self->config.layers; i++)
    place_layer (self, &self->layers[i], rows);
  switti_workspace_place (workspace, &self->dx, f32, rows, width);
  switti_workspace_place (workspace, &self->dh, t, rows, width);
  if (switti_parameters_get_dtype (self->parameters) == SWITTI_DTYPE_F16)
    {
      switti_workspace_place (workspace, &self->halves.x, SWITTI_DTYPE_F16, rows, MAX (width, mlp));
      switti_workspace_place (workspace, &self->halves.dy, SWITTI_DTYPE_F16, rows, MAX (3 * width, mlp));
    }
  switti_workspace_place (workspace, &self->norm_scratch, SWITTI_DTYPE_U8, (gint64) scratch, 1);
  switti_workspace_begin_shared (workspace);
  switti_workspace_place (workspace, &self->d_qkv, t, rows, 3 * width);
  switti_workspace_place (workspace, &self->d_keys, f32, rows, 2 * width);
  if (attention_scratch > 0)
    switti_workspace_place (workspace, &self->attention_scratch, SWITTI_DTYPE_U8, (gint64) attention_scratch, 1);
  switti_workspace_next_shared (workspace);
  switti_workspace_place (workspace, &self->d_fc1, t, rows, mlp);
  switti_workspace_place (workspace, &self->d_hidden, t, rows, mlp);
  switti_workspace_end_shared (workspace);
  return switti_workspace_commit (workspace, "the text encoder's activations", error);
}

SwittiTextGradients *
switti_text_gradients_new (SwittiParameters *parameters, const SwittiTextConfig *config, int batch, GError **error)
{
  g_autoptr (SwittiTextGradients) self = NULL;

  g_assert (batch > 0);
  if (config->positions < SWITTI_TEXT_LENGTH)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   "The text encoder has %d positions where %d are needed: train it from a config.json with more.",
                   config->positions, SWITTI_TEXT_LENGTH);
      return NULL;
    }
  self = g_new0 (SwittiTextGradients, 1);
  self->parameters = parameters;
  self->device = g_object_ref (switti_parameters_get_device (parameters));
  self->config = *config;
  self->dtype = switti_training_activations (switti_parameters_get_dtype (parameters));
  self->activation = config->quick_gelu ? SWITTI_ACTIVATION_QUICK_GELU : SWITTI_ACTIVATION_GELU_ERF;
  self->batch = batch;
  self->layers = g_new0 (Layer, config->layers);
  self->n_valid = g_new0 (int, batch);
  self->ends = g_new0 (int, batch);
  self->host_ids = g_new0 (gint32, batch * SWITTI_TEXT_LENGTH);
  self->host_places = g_new0 (gint32, batch * SWITTI_TEXT_LENGTH);
  self->workspace = switti_workspace_new (self->device);
  find_parameters (self);
  self->array = switti_gradient_array_new (parameters, error);
  if (self->array == NULL || !plan_memory (self, error) || !plan_products (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_text_gradients_free (SwittiTextGradients *self)
{
  if (self == NULL)
    return;
  for (int step = 0; step < SWITTI_TEXT_N_LENGTHS; step++)
    for (int p = 0; p < N_PRODUCTS; p++)
      switti_training_product_clear (&self->products[step][p], self->device);
  switti_gradient_array_free (self->array);
  switti_workspace_free (self->workspace);
  g_object_unref (self->device);
  g_free (self->layers);
  g_free (self->n_valid);
  g_free (self->ends);
  g_free (self->host_ids);
  g_free (self->host_places);
  g_free (self);
}

float *
switti_text_gradients_get_values (SwittiTextGradients *self)
{
  return switti_gradient_array_get_values (self->array);
}

gboolean
switti_text_gradients_clear (SwittiTextGradients *self, GError **error)
{
  return switti_gradient_array_clear (self->array, error);
}

gboolean
switti_text_gradients_finish (SwittiTextGradients *self, GError **error)
{
  return switti_gradient_array_finish (self->array, error);
}

gsize
switti_text_gradients_get_bytes (SwittiTextGradients *self)
{
  return switti_workspace_get_bytes (self->workspace) + switti_gradient_array_get_bytes (self->array);
}

/* -- both ways ------------------------------------------------------------------------------------------------- */

static const float *
parameter (const SwittiTextGradients *self, gsize offset)
{
  return switti_parameters_at (self->parameters, offset);
}

static float *
gradient (const SwittiTextGradients *self, gsize offset)
{
  return switti_gradient_array_at (self->array, offset);
}

/* Start of column `column` of rows of the dtype of activations. */
static void *
at (const SwittiTextGradients *self, void *rows, gint64 column)
{
  return (guint8 *) rows + (gsize) column * switti_dtype_size (self->dtype);
}

static const SwittiTrainingProduct *
product_of (const SwittiTextGradients *self, int which)
{
  return &self->products[(self->length - 1) / SWITTI_TEXT_ROW_STEP][which];
}

static gsize
stream_bytes (const SwittiTextGradients *self)
{
  return (gsize) self->batch * (gsize) self->length * (gsize) self->config.width * sizeof (float);
}

static gboolean
multiply (SwittiTextGradients *self, const Layer *layer, int which, const void *x, void *y, GError **error)
{
  return switti_training_product_forward (product_of (self, which), self->parameters, &layer->linear[which], x, y,
                                          error);
}

static gboolean
multiply_backward (SwittiTextGradients *self, const Layer *layer, int which, const void *x, const void *dy, void *dx,
                   GError **error)
{
  return switti_training_product_backward (product_of (self, which), self->parameters, &layer->linear[which],
                                           self->array, x, dy, dx, error);
}

/* Units of the parameters (switti-parameters-text.c): those of before and behind the layers are here for the whole of a
 * run, a layer's while it is computed with; the unit after it comes meanwhile. */
static guint
unit_of_layer (int layer)
{
  return (guint) layer + 1;
}

static gboolean
acquire_outer (SwittiTextGradients *self, GError **error)
{
  switti_parameters_release_all (self->parameters);
  return switti_parameters_acquire (self->parameters, 0, error)
         && switti_parameters_acquire (self->parameters, unit_of_layer (self->config.layers), error);
}

static gboolean
acquire_layer (SwittiTextGradients *self, int layer, int next, GError **error)
{
  if (!switti_parameters_acquire (self->parameters, unit_of_layer (layer), error))
    return FALSE;
  if (next >= 0 && next < self->config.layers)
    switti_parameters_prefetch (self->parameters, unit_of_layer (next));
  return TRUE;
}

/* -- forward --------------------------------------------------------------------------------------------------- */

static gboolean
embed (SwittiTextGradients *self, const gint32 *ids, const int *n_valid, float *x, GError **error)
{
  const void *table = self->dtype == SWITTI_DTYPE_F32 ? (const void *) parameter (self, self->tokens)
                                                      : switti_parameters_copy_at (self->parameters, self->tokens);
  gint64 rows = 0;

  self->length = 0;
  for (int b = 0; b < self->batch; b++)
    {
      self->n_valid[b] = n_valid[b];
      self->ends[b] = switti_text_end_position (&self->config, ids + b * SWITTI_TEXT_LENGTH, n_valid[b]);
      self->length = MAX (self->length, switti_text_padded_length (n_valid[b]));
    }
  /* Shorter prompts are padded with their last id: theirs alone are known to be in the vocabulary. */
  for (int b = 0; b < self->batch; b++)
    for (int t = 0; t < self->length; t++, rows++)
      {
        self->host_ids[rows] = ids[b * SWITTI_TEXT_LENGTH + MIN (t, n_valid[b] - 1)];
        self->host_places[rows] = t;
      }
  SWITTI_RUN (self->device, upload, self->ids, self->host_ids, (gsize) rows * sizeof (gint32));
  SWITTI_RUN (self->device, upload, self->places, self->host_places, (gsize) rows * sizeof (gint32));
  SWITTI_RUN (self->device, embed, rows, self->config.width, self->config.vocab, self->dtype, table, self->ids,
              parameter (self, self->positions), self->length, x);
  return TRUE;
}

/* x[0] and y of the layer before (NULL: none), to x[1] and y */
static gboolean
layer_forward (SwittiTextGradients *self, Layer *layer, const void *y_before, GError **error)
{
  const gint64 width = self->config.width, rows = (gint64) self->batch * self->length;
  const SwittiLayerNorm norm = norm_of_rows (self, self->length, self->dtype);
  const SwittiAttention attention = attention_of (self, self->length);

  SWITTI_RUN (self->device, layer_norm, &norm, NULL, layer->x[0], y_before, parameter (self, layer->norm[0].weight),
              parameter (self, layer->norm[0].bias), NULL, NULL, layer->h[0]);
  if (!multiply (self, layer, PRODUCT_QKV, layer->h[0], layer->qkv, error))
    return FALSE;
  SWITTI_RUN (self->device, attention, &attention, NULL, NULL, layer->qkv, at (self, layer->qkv, width),
              at (self, layer->qkv, 2 * width), layer->attended);
  if (!multiply (self, layer, PRODUCT_OUT, layer->attended, self->y, error))
    return FALSE;
  SWITTI_RUN (self->device, copy, layer->x[1], layer->x[0], stream_bytes (self));
  SWITTI_RUN (self->device, layer_norm, &norm, NULL, layer->x[1], self->y, parameter (self, layer->norm[1].weight),
              parameter (self, layer->norm[1].bias), NULL, NULL, layer->h[1]);
  if (!multiply (self, layer, PRODUCT_FC1, layer->h[1], layer->fc1, error))
    return FALSE;
  SWITTI_RUN (self->device, activation, self->activation, rows * self->config.mlp, self->dtype, layer->fc1,
              layer->hidden);
  return multiply (self, layer, PRODUCT_FC2, layer->hidden, self->y, error);
}

/* out, to where the caller wants it. */
static gboolean
hand_out (SwittiTextGradients *self, float *hidden, gint64 hidden_stride, float *pooled, GError **error)
{
  const gint64 width = self->config.width;
  const gsize row_bytes = (gsize) width * sizeof (float);

  for (int b = 0; b < self->batch; b++)
    {
      const float *out = self->out + (gint64) b * self->length * width;
      float *rows = hidden + b * SWITTI_TEXT_LENGTH * hidden_stride;

      for (int t = 0; t < SWITTI_TEXT_LENGTH; t++)
        if (t < self->n_valid[b])
          SWITTI_RUN (self->device, copy, rows + t * hidden_stride, out + t * width, row_bytes);
        else
          SWITTI_RUN (self->device, clear, rows + t * hidden_stride, row_bytes);
      if (pooled != NULL)
        SWITTI_RUN (self->device, copy, pooled + b * width, out + self->ends[b] * width, row_bytes);
    }
  return TRUE;
}

gboolean
switti_text_gradients_forward (SwittiTextGradients *self, const gint32 *ids, const int *n_valid, float *hidden,
                               gint64 hidden_stride, float *pooled, GError **error)
{
  SwittiLayerNorm norm;

  g_assert (hidden_stride >= self->config.width);
  if (!switti_text_check_ids (&self->config, self->batch, ids, n_valid, error) || !acquire_outer (self, error)
      || !embed (self, ids, n_valid, self->layers[0].x[0], error))
    return FALSE;
  for (int i = 0; i < self->config.layers; i++)
    {
      if (!acquire_layer (self, i, i + 1, error)
          || !layer_forward (self, &self->layers[i], i > 0 ? self->y : NULL, error))
        return FALSE;
      switti_parameters_release (self->parameters, unit_of_layer (i));
      SWITTI_RUN (self->device, copy, i + 1 < self->config.layers ? self->layers[i + 1].x[0] : self->x,
                  self->layers[i].x[1], stream_bytes (self));
    }
  norm = norm_of_rows (self, self->length, SWITTI_DTYPE_F32);
  SWITTI_RUN (self->device, layer_norm, &norm, NULL, self->x, self->y, parameter (self, self->final_norm.weight),
              parameter (self, self->final_norm.bias), NULL, NULL, self->out);
  switti_parameters_release_all (self->parameters);
  return hand_out (self, hidden, hidden_stride, pooled, error);
}

/* -- backward -------------------------------------------------------------------------------------------------- */

/* The gradients of the states, to out. */
static gboolean
take_in (SwittiTextGradients *self, const float *d_hidden, gint64 hidden_stride, const float *d_pooled,
         GError **error)
{
  const gint64 width = self->config.width;

  SWITTI_RUN (self->device, clear, self->out, stream_bytes (self));
  for (int b = 0; b < self->batch; b++)
    {
      float *out = self->out + (gint64) b * self->length * width;

      for (int t = 0; t < self->n_valid[b]; t++)
        SWITTI_RUN (self->device, copy, out + t * width, d_hidden + (b * SWITTI_TEXT_LENGTH + t) * hidden_stride,
                    (gsize) width * sizeof (float));
      if (d_pooled != NULL)
        SWITTI_RUN (self->device, accumulate, width, 1.0f, d_pooled + b * width, 0.0f, NULL,
                    out + self->ends[b] * width);
    }
  return TRUE;
}

/* From dh, or for the final norm the float32 `dh`: adds to dx, and with has_y leaves y's gradient in y. */
static gboolean
norm_backward (SwittiTextGradients *self, const Norm *place, const float *x, const void *dh, SwittiDtype dh_dtype,
               gboolean has_y, GError **error)
{
  const SwittiLayerNorm norm = norm_of_rows (self, self->length, dh_dtype);
  const SwittiNormGradients gradients = {
    .x = x,
    .y = has_y ? self->y : NULL, /* a sum's gradient does not depend on what was added */
    .weight = parameter (self, place->weight),
    .bias = parameter (self, place->bias),
    .dh = dh,
    .dx = self->dx,
    .dy = has_y ? self->y : NULL,
    .d_weight = gradient (self, place->weight),
    .d_bias = gradient (self, place->bias),
  };

  SWITTI_RUN (self->device, layer_norm_backward, &norm, &gradients, self->norm_scratch);
  return TRUE;
}

/* y -> dh */
static gboolean
attention_backward (SwittiTextGradients *self, Layer *layer, GError **error)
{
  const gint64 width = self->config.width, n = self->length, rows = self->batch * n;
  const SwittiRows pairs = { n * 2 * width, 2 * width };
  const SwittiAttentionBackward backward = {
    .attention = attention_of (self, n),
    .dout = { n * width, width },
    .dq = { n * 3 * width, 3 * width },
    .dk = pairs,
    .dv = pairs,
  };
  /* The op's values are keys and values here: they go to their columns as they are. */
  const SwittiQkNormRope as_they_are = {
    .batch = self->batch,
    .n = n,
    .heads = 2 * self->config.heads,
    .d = width / self->config.heads,
    .dtype = self->dtype,
    .v = { n * 3 * width, 3 * width },
    .v_out = pairs,
  };

  if (!multiply_backward (self, layer, PRODUCT_OUT, layer->attended, self->y, self->dh, error))
    return FALSE;
  SWITTI_RUN (self->device, clear, self->d_keys, (gsize) (rows * 2 * width) * sizeof (float));
  SWITTI_RUN (self->device, attention_backward, &backward, NULL, layer->qkv, at (self, layer->qkv, width),
              at (self, layer->qkv, 2 * width), layer->attended, self->dh, self->d_qkv, self->d_keys,
              self->d_keys + width, self->attention_scratch);
  SWITTI_RUN (self->device, qk_norm_rope_backward, &as_they_are, NULL, NULL, NULL, NULL, NULL, self->d_keys, NULL,
              NULL, at (self, self->d_qkv, width));
  return multiply_backward (self, layer, PRODUCT_QKV, layer->h[0], self->d_qkv, self->dh, error);
}

/* dx and y of the layer's end -> those of its start */
static gboolean
layer_backward (SwittiTextGradients *self, Layer *layer, gboolean has_y, GError **error)
{
  const gint64 rows = (gint64) self->batch * self->length;

  if (!multiply_backward (self, layer, PRODUCT_FC2, layer->hidden, self->y, self->d_hidden, error))
    return FALSE;
  SWITTI_RUN (self->device, activation_backward, self->activation, rows * self->config.mlp, self->dtype, layer->fc1,
              self->d_hidden, self->d_fc1);
  return multiply_backward (self, layer, PRODUCT_FC1, layer->h[1], self->d_fc1, self->dh, error)
         && norm_backward (self, &layer->norm[1], layer->x[1], self->dh, self->dtype, TRUE, error)
         && attention_backward (self, layer, error)
         && norm_backward (self, &layer->norm[0], layer->x[0], self->dh, self->dtype, has_y, error);
}

static gboolean
run_layers_backward (SwittiTextGradients *self, GError **error)
{
  for (int i = self->config.layers - 1; i >= 0; i--)
    {
      if (!acquire_layer (self, i, i - 1, error)
          || !switti_gradient_array_acquire (self->array, unit_of_layer (i), error)
          || !layer_backward (self, &self->layers[i], i > 0, error)
          || !switti_gradient_array_release (self->array, unit_of_layer (i), error))
        return FALSE;
      switti_parameters_release (self->parameters, unit_of_layer (i));
    }
  return TRUE;
}

gboolean
switti_text_gradients_backward (SwittiTextGradients *self, const float *d_hidden, gint64 hidden_stride,
                                const float *d_pooled, GError **error)
{
  const gint64 width = self->config.width, rows = (gint64) self->batch * self->length;
  const guint last = unit_of_layer (self->config.layers);

  g_assert (self->length > 0 && hidden_stride >= width);
  SWITTI_RUN (self->device, clear, self->dx, stream_bytes (self));
  if (!acquire_outer (self, error) || !switti_gradient_array_acquire (self->array, 0, error)
      || !switti_gradient_array_acquire (self->array, last, error)
      || !take_in (self, d_hidden, hidden_stride, d_pooled, error)
      || !norm_backward (self, &self->final_norm, self->x, self->out, SWITTI_DTYPE_F32, TRUE, error)
      || !run_layers_backward (self, error))
    return FALSE;
  SWITTI_RUN (self->device, embed_backward, rows, width, self->config.vocab, self->ids, self->dx,
              gradient (self, self->tokens));
  SWITTI_RUN (self->device, embed_backward, rows, width, self->config.positions, self->places, self->dx,
              gradient (self, self->positions));
  switti_parameters_release_all (self->parameters);
  return switti_gradient_array_release (self->array, 0, error)
         && switti_gradient_array_release (self->array, last, error);
}
