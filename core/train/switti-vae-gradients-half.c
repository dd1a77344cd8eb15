/* switti-vae-gradients-half.c - the RQ-VAE's encoder or decoder in training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Forward keeps every layer's maps. Backward hands the gradient from layer to layer in three maps that take turns: a
 * layer finds its output's gradient in one and leaves its input's in another.
 */
#include "switti-linear-private.h"
#include "switti-vae-gradients-half-private.h"
#include "switti-workspace-private.h"

#include <math.h>

#define N_MAPS 3
#define GROUPS 32
#define GROUP_NORM_EPS 1e-6f

/* What a layer keeps besides its input: the normed input, and
 *   ResNet: conv1's output and that normed;  attention: queries, keys and values, and what they make. */
enum
{
  NORMED,
  MIDDLE,
  SECOND,
  N_KEPT
};

typedef struct
{
  SwittiVaeLayerSpec spec;
  SwittiTrainingConv convs[SWITTI_VAE_LAYER_CONVS];
  gsize norm_weights[SWITTI_VAE_LAYER_NORMS], norm_biases[SWITTI_VAE_LAYER_NORMS];
  float *input;
  float *kept[N_KEPT];
} Layer;

struct _SwittiTrainingHalf
{
  SwittiParameters *parameters;
  SwittiDevice *device;
  float *gradients;
  int batch, side, n_layers;
  Layer *layers;
  SwittiWorkspace *workspace;
  float *output;
  float *maps[N_MAPS];
  void *scratch; /* of group_norm, its backward and attention's */
};

/* -- planning -------------------------------------------------------------------------------------------------- */

static gint64
positions_of (const SwittiTrainingHalf *self, const Layer *layer)
{
  const gint64 n = (gint64) self->side << layer->spec.side_shift;

  return n * n;
}

static gint64
map_size (const SwittiTrainingHalf *self, const Layer *layer, gint64 channels)
{
  return self->batch * positions_of (self, layer) * channels;
}

static gint64
output_size (const SwittiTrainingHalf *self, const Layer *layer)
{
  const gint64 same = map_size (self, layer, layer->spec.c_out);

  switch (layer->spec.resize)
    {
    case SWITTI_VAE_DOUBLE:
      return 4 * same;
    case SWITTI_VAE_HALVE:
      return same / 4;
    case SWITTI_VAE_SAME_SIDE:
    default:
      return same;
    }
}

static SwittiGroupNorm
describe_norm (const SwittiTrainingHalf *self, const Layer *layer, int which)
{
  return (SwittiGroupNorm){
    .batch = self->batch,
    .positions = positions_of (self, layer),
    .channels = switti_vae_spec_norm_channels (&layer->spec, which),
    .groups = GROUPS,
    .eps = GROUP_NORM_EPS,
    .silu = layer->spec.kind != SWITTI_VAE_ATTENTION,
    .x_dtype = SWITTI_DTYPE_F32,
    .y_dtype = SWITTI_DTYPE_F32,
  };
}

static gboolean
init_layer (SwittiTrainingHalf *self, Layer *layer, GError **error)
{
  for (int i = 0; i < SWITTI_VAE_LAYER_NORMS; i++)
    {
      g_autofree char *name = switti_vae_spec_norm_name (&layer->spec, i);
      g_autofree char *weight = g_strconcat (name != NULL ? name : "", ".weight", NULL);
      g_autofree char *bias = g_strconcat (name != NULL ? name : "", ".bias", NULL);

      if (name == NULL)
        continue;
      layer->norm_weights[i] = switti_parameters_find (self->parameters, weight)->offset;
      layer->norm_biases[i] = switti_parameters_find (self->parameters, bias)->offset;
    }
  for (int i = 0; i < SWITTI_VAE_LAYER_CONVS; i++)
    {
      g_autofree char *name = switti_vae_spec_conv_name (&layer->spec, i);
      g_autofree char *weight = g_strconcat (name != NULL ? name : "", ".weight", NULL);
      g_autofree char *bias = g_strconcat (name != NULL ? name : "", ".bias", NULL);
      SwittiConv conv;

      if (!switti_vae_spec_conv (&layer->spec, i, self->side, SWITTI_DTYPE_F32, &conv))
        continue;
      conv.batch = self->batch;
      if (!switti_training_conv_init (&layer->convs[i], self->parameters, &conv, weight, bias, error))
        return FALSE;
    }
  return TRUE;
}

/* Sizes of a layer's maps; 0 where it has none. */
static void
kept_sizes (const SwittiTrainingHalf *self, const Layer *layer, gint64 sizes[N_KEPT])
{
  const gint64 in = map_size (self, layer, layer->spec.c_in), out = map_size (self, layer, layer->spec.c_out);
  const gboolean resnet = layer->spec.kind == SWITTI_VAE_RESNET, attention = layer->spec.kind == SWITTI_VAE_ATTENTION;

  sizes[NORMED] = layer->spec.kind != SWITTI_VAE_CONV ? in : 0;
  sizes[MIDDLE] = resnet ? out : attention ? 3 * in : 0;
  sizes[SECOND] = resnet || attention ? out : 0;
}

static SwittiAttention
describe_attention (const SwittiTrainingHalf *self, const Layer *layer)
{
  const gint64 c = layer->spec.c_in, n = positions_of (self, layer);
  const SwittiRows rows = { n * 3 * c, 3 * c };

  return (SwittiAttention){
    .batch = self->batch,
    .heads = 1,
    .d = c,
    .n = n,
    .m = n,
    .scale = 1.0f / sqrtf ((float) c),
    .dtype = SWITTI_DTYPE_F32,
    .q = rows,
    .k = rows,
    .v = rows,
    .out = { n * c, c },
  };
}

static gboolean
plan_memory (SwittiTrainingHalf *self, GError **error)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  SwittiKernelContext *context = switti_device_get_context (self->device);
  g_autofree SwittiSlot *slots = g_new (SwittiSlot, (gsize) self->n_layers * (N_KEPT + 1) + N_MAPS + 2);
  gint64 largest = 0;
  gsize scratch = 0, n = 0;

  for (int i = 0; i < self->n_layers; i++)
    {
      const Layer *layer = &self->layers[i];
      gint64 sizes[N_KEPT];

      kept_sizes (self, layer, sizes);
      largest = MAX (largest, self->batch * switti_vae_spec_largest_map (&layer->spec, self->side));
      slots[n++] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32,
                                             (gsize) map_size (self, layer, layer->spec.c_in));
      for (int j = 0; j < N_KEPT; j++)
        slots[n++] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, (gsize) sizes[j]);
      for (int j = 0; layer->spec.kind != SWITTI_VAE_CONV && j < SWITTI_VAE_LAYER_NORMS; j++)
        {
          const SwittiGroupNorm norm = describe_norm (self, layer, j);

          scratch = MAX (scratch, kernels->group_norm_scratch_bytes (context, &norm));
          scratch = MAX (scratch, kernels->group_norm_backward_scratch_bytes (context, &norm));
        }
      if (layer->spec.kind == SWITTI_VAE_ATTENTION)
        {
          const SwittiAttentionBackward backward = { .attention = describe_attention (self, layer) };

          scratch = MAX (scratch, kernels->attention_backward_scratch_bytes (context, &backward));
        }
    }
  slots[n++] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32,
                                         (gsize) output_size (self, &self->layers[self->n_layers - 1]));
  for (int i = 0; i < N_MAPS; i++)
    slots[n++] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, (gsize) largest);
  slots[n++] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_U8, scratch);
  if (!switti_workspace_commit (self->workspace, "the image encoder's training", error))
    return FALSE;
  n = 0;
  for (int i = 0; i < self->n_layers; i++)
    {
      self->layers[i].input = switti_workspace_get (self->workspace, slots[n++]);
      for (int j = 0; j < N_KEPT; j++)
        self->layers[i].kept[j] = switti_workspace_get (self->workspace, slots[n++]);
    }
  self->output = switti_workspace_get (self->workspace, slots[n++]);
  for (int i = 0; i < N_MAPS; i++)
    self->maps[i] = switti_workspace_get (self->workspace, slots[n++]);
  self->scratch = switti_workspace_get (self->workspace, slots[n++]);
  return TRUE;
}

SwittiTrainingHalf *
switti_training_half_new (SwittiParameters *parameters, float *gradients, GArray *specs, int batch, int side,
                          GError **error)
{
  g_autoptr (SwittiTrainingHalf) self = g_new0 (SwittiTrainingHalf, 1);
  g_autoptr (GArray) owned_specs = specs;

  self->parameters = parameters;
  self->device = g_object_ref (switti_parameters_get_device (parameters));
  self->gradients = gradients;
  self->batch = batch;
  self->side = side;
  self->n_layers = (int) specs->len;
  self->layers = g_new0 (Layer, specs->len);
  self->workspace = switti_workspace_new (self->device);
  for (int i = 0; i < self->n_layers; i++)
    {
      self->layers[i].spec = g_array_index (specs, SwittiVaeLayerSpec, i);
      if (!init_layer (self, &self->layers[i], error))
        return NULL;
    }
  if (!plan_memory (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_training_half_free (SwittiTrainingHalf *self)
{
  if (self == NULL)
    return;
  for (int i = 0; i < self->n_layers; i++)
    for (int j = 0; j < SWITTI_VAE_LAYER_CONVS; j++)
      switti_training_conv_clear (&self->layers[i].convs[j], self->device);
  switti_workspace_free (self->workspace);
  g_free (self->layers);
  g_object_unref (self->device);
  g_free (self);
}

float *
switti_training_half_get_input (SwittiTrainingHalf *self)
{
  return self->layers[0].input;
}

const float *
switti_training_half_get_output (SwittiTrainingHalf *self)
{
  return self->output;
}

/* -- parts of layers ------------------------------------------------------------------------------------------- */

static gboolean
conv_forward (SwittiTrainingHalf *self, const Layer *layer, int which, const float *x, const float *residual,
              float *y, GError **error)
{
  return switti_training_conv_forward (&layer->convs[which], self->parameters, x, residual, y, error);
}

static gboolean
conv_backward (SwittiTrainingHalf *self, const Layer *layer, int which, const float *x, const float *dy, float *dx,
               GError **error)
{
  return switti_training_conv_backward (&layer->convs[which], self->parameters, self->gradients, x, dy, dx, error);
}

static gboolean
norm_forward (SwittiTrainingHalf *self, const Layer *layer, int which, const float *x, float *y, GError **error)
{
  const SwittiGroupNorm norm = describe_norm (self, layer, which);
  const float *values = switti_parameters_get_values (self->parameters);

  SWITTI_RUN (self->device, group_norm, &norm, x, values + layer->norm_weights[which],
              values + layer->norm_biases[which], self->scratch, y);
  return TRUE;
}

static gboolean
norm_backward (SwittiTrainingHalf *self, const Layer *layer, int which, const float *x, const float *dy, float *dx,
               GError **error)
{
  const SwittiGroupNorm norm = describe_norm (self, layer, which);
  const float *values = switti_parameters_get_values (self->parameters);

  SWITTI_RUN (self->device, group_norm_backward, &norm, x, values + layer->norm_weights[which],
              values + layer->norm_biases[which], dy, self->scratch, dx, self->gradients + layer->norm_weights[which],
              self->gradients + layer->norm_biases[which]);
  return TRUE;
}

static gboolean
add_map (SwittiTrainingHalf *self, gint64 count, const float *x, float *sum, GError **error)
{
  SWITTI_RUN (self->device, accumulate, count, 1.0f, x, 0.0f, NULL, sum);
  return TRUE;
}

/* Queries, keys and values lie side by side. */
/* -- layers, forward ------------------------------------------------------------------------------------------- */

static gboolean
resnet_forward (SwittiTrainingHalf *self, const Layer *layer, float *out, GError **error)
{
  const gboolean shortcut = layer->spec.c_in != layer->spec.c_out;
  const float *residual = layer->input;

  if (shortcut)
    {
      residual = self->maps[0];
      if (!conv_forward (self, layer, 2, layer->input, NULL, self->maps[0], error))
        return FALSE;
    }
  return norm_forward (self, layer, 0, layer->input, layer->kept[NORMED], error)
         && conv_forward (self, layer, 0, layer->kept[NORMED], NULL, layer->kept[MIDDLE], error)
         && norm_forward (self, layer, 1, layer->kept[MIDDLE], layer->kept[SECOND], error)
         && conv_forward (self, layer, 1, layer->kept[SECOND], residual, out, error);
}

static gboolean
attention_forward (SwittiTrainingHalf *self, const Layer *layer, float *out, GError **error)
{
  const SwittiAttention attention = describe_attention (self, layer);
  const gint64 c = layer->spec.c_in;
  const float *qkv = layer->kept[MIDDLE];

  if (!norm_forward (self, layer, 0, layer->input, layer->kept[NORMED], error)
      || !conv_forward (self, layer, 0, layer->kept[NORMED], NULL, layer->kept[MIDDLE], error))
    return FALSE;
  SWITTI_RUN (self->device, attention, &attention, NULL, NULL, qkv, qkv + c, qkv + 2 * c, layer->kept[SECOND]);
  return conv_forward (self, layer, 1, layer->kept[SECOND], layer->input, out, error);
}

static gboolean
layer_forward (SwittiTrainingHalf *self, const Layer *layer, float *out, GError **error)
{
  switch (layer->spec.kind)
    {
    case SWITTI_VAE_CONV:
      return conv_forward (self, layer, 0, layer->input, NULL, out, error);
    case SWITTI_VAE_NORM_CONV:
      return norm_forward (self, layer, 0, layer->input, layer->kept[NORMED], error)
             && conv_forward (self, layer, 0, layer->kept[NORMED], NULL, out, error);
    case SWITTI_VAE_RESNET:
      return resnet_forward (self, layer, out, error);
    case SWITTI_VAE_ATTENTION:
      return attention_forward (self, layer, out, error);
    }
  g_assert_not_reached ();
}

gboolean
switti_training_half_forward (SwittiTrainingHalf *self, GError **error)
{
  for (int i = 0; i < self->n_layers; i++)
    {
      Layer *layer = &self->layers[i];
      float *out = i + 1 < self->n_layers ? self->layers[i + 1].input : self->output;

      for (int j = 0; j < SWITTI_VAE_LAYER_CONVS; j++)
        if (layer->convs[j].packed != NULL && !switti_training_conv_pack (&layer->convs[j], self->parameters, error))
          return FALSE;
      if (!layer_forward (self, layer, out, error))
        return FALSE;
    }
  return TRUE;
}

/* -- layers, backward: dy -> dx, with `spare` in between ---------------------------------------------------------- */

static gboolean
resnet_backward (SwittiTrainingHalf *self, const Layer *layer, const float *dy, float *spare, float *dx,
                 GError **error)
{
  const gint64 count = map_size (self, layer, layer->spec.c_in);

  if (!conv_backward (self, layer, 1, layer->kept[SECOND], dy, spare, error)
      || !norm_backward (self, layer, 1, layer->kept[MIDDLE], spare, dx, error)
      || !conv_backward (self, layer, 0, layer->kept[NORMED], dx, spare, error)
      || !norm_backward (self, layer, 0, layer->input, spare, dx, error))
    return FALSE;
  if (layer->spec.c_in == layer->spec.c_out)
    return add_map (self, count, dy, dx, error);
  return conv_backward (self, layer, 2, layer->input, dy, spare, error) && add_map (self, count, spare, dx, error);
}

static gboolean
attention_backward (SwittiTrainingHalf *self, const Layer *layer, const float *dy, float *spare, float *dx,
                    GError **error)
{
  const gint64 c = layer->spec.c_in, count = map_size (self, layer, c);
  SwittiAttentionBackward backward = { .attention = describe_attention (self, layer) };
  const float *qkv = layer->kept[MIDDLE];
  float *d_qkv = dx;

  backward.dout = backward.attention.out;
  backward.dq = backward.dk = backward.dv = backward.attention.q;
  if (!conv_backward (self, layer, 1, layer->kept[SECOND], dy, spare, error))
    return FALSE;
  SWITTI_RUN (self->device, clear, d_qkv, (gsize) (3 * count) * sizeof (float));
  SWITTI_RUN (self->device, attention_backward, &backward, NULL, qkv, qkv + c, qkv + 2 * c, layer->kept[SECOND], spare,
              d_qkv, d_qkv + c, d_qkv + 2 * c, self->scratch);
  return conv_backward (self, layer, 0, layer->kept[NORMED], d_qkv, spare, error)
         && norm_backward (self, layer, 0, layer->input, spare, dx, error) && add_map (self, count, dy, dx, error);
}

static gboolean
layer_backward (SwittiTrainingHalf *self, const Layer *layer, const float *dy, float *spare, float *dx,
                GError **error)
{
  switch (layer->spec.kind)
    {
    case SWITTI_VAE_CONV:
      return conv_backward (self, layer, 0, layer->input, dy, dx, error);
    case SWITTI_VAE_NORM_CONV:
      return conv_backward (self, layer, 0, layer->kept[NORMED], dy, spare, error)
             && norm_backward (self, layer, 0, layer->input, spare, dx, error);
    case SWITTI_VAE_RESNET:
      return resnet_backward (self, layer, dy, spare, dx, error);
    case SWITTI_VAE_ATTENTION:
      return attention_backward (self, layer, dy, spare, dx, error);
    }
  g_assert_not_reached ();
}

gboolean
switti_training_half_backward (SwittiTrainingHalf *self, const float *d_output, const float **d_input, GError **error)
{
  const gint64 count = output_size (self, &self->layers[self->n_layers - 1]);
  int at = 0;

  SWITTI_RUN (self->device, copy, self->maps[at], d_output, (gsize) count * sizeof (float));
  for (int i = self->n_layers - 1; i >= 0; i--)
    {
      float *dx = self->maps[(at + 2) % N_MAPS];

      /* Nobody wants the gradient of the first convolution's input where it is the picture. */
      if (!layer_backward (self, &self->layers[i], self->maps[at], self->maps[(at + 1) % N_MAPS],
                           i == 0 && d_input == NULL ? NULL : dx, error))
        return FALSE;
      at = (at + 2) % N_MAPS;
    }
  if (d_input != NULL)
    *d_input = self->maps[at];
  return TRUE;
}
