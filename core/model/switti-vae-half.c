/* switti-vae-half.c - the VAE's encoder or decoder on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Three maps take turns: every layer finds its input in one and leaves its result in another, and no op writes what it
 * reads.
 */
#include "switti-linear-private.h"
#include "switti-vae-layers-private.h"
#include "switti-workspace-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#define N_MAPS 3
#define GROUPS 32
#define GROUP_NORM_EPS 1e-6f

typedef struct
{
  SwittiVaeLayerSpec spec;
  void *weights[SWITTI_VAE_LAYER_CONVS]; /* packed */
  float *biases[SWITTI_VAE_LAYER_CONVS];
  float *norm_weights[SWITTI_VAE_LAYER_NORMS], *norm_biases[SWITTI_VAE_LAYER_NORMS];
} Layer;

/* All that depends on the latent's side. */
typedef struct
{
  int side;
  SwittiConvPlan *(*plans)[SWITTI_VAE_LAYER_CONVS]; /* by layer */
  SwittiWorkspace *workspace;
  void *maps[N_MAPS];
  void *scratch; /* of group_norm */
} Pass;

struct _SwittiVaeHalf
{
  SwittiDevice *device;
  SwittiDtype dtype;
  int n_layers;
  Layer *layers;
  GPtrArray *passes; /* Pass */
};

/* -- loading -------------------------------------------------------------------------------------------------- */

static gboolean
load_conv (SwittiVaeHalf *self, SwittiWeights *weights, Layer *layer, int which, int side, GError **error)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  g_autofree char *name = switti_vae_spec_conv_name (&layer->spec, which);
  g_autofree char *weight_name = NULL, *bias_name = NULL;
  g_auto (SwittiHostTensor) tensor = { 0 };
  g_autofree float *wide = NULL;
  SwittiDtype src_dtype;
  const void *src;
  SwittiConv conv;

  if (!switti_vae_spec_conv (&layer->spec, which, side, self->dtype, &conv))
    return TRUE;
  weight_name = g_strconcat (name, ".weight", NULL);
  bias_name = g_strconcat (name, ".bias", NULL);
  if (!switti_weights_get (weights, weight_name, 4, (gint64[]){ conv.c_out, conv.c_in, conv.kernel, conv.kernel },
                           &tensor, error))
    return FALSE;
  src_dtype = tensor.tensor.dtype;
  src = tensor.tensor.data;
  if (src_dtype != SWITTI_DTYPE_F32 && src_dtype != SWITTI_DTYPE_BF16 && src_dtype != SWITTI_DTYPE_F16)
    {
      gsize count = (gsize) (conv.c_out * conv.c_in * conv.kernel * conv.kernel);

      wide = g_new (float, count);
      switti_convert_elements (src_dtype, src, SWITTI_DTYPE_F32, wide, count);
      src_dtype = SWITTI_DTYPE_F32;
      src = wide;
    }
  layer->weights[which]
      = switti_device_alloc (self->device, kernels->conv_packed_bytes (switti_device_get_context (self->device), &conv),
                             weight_name, error);
  if (layer->weights[which] == NULL)
    return FALSE;
  SWITTI_RUN (self->device, conv_pack, &conv, src_dtype, src, layer->weights[which]);
  layer->biases[which] = switti_device_load_vector (self->device, weights, bias_name, conv.c_out, error);
  return layer->biases[which] != NULL;
}

static gboolean
load_norm (SwittiVaeHalf *self, SwittiWeights *weights, Layer *layer, int which, GError **error)
{
  const gint64 channels = switti_vae_spec_norm_channels (&layer->spec, which);
  g_autofree char *name = switti_vae_spec_norm_name (&layer->spec, which);
  g_autofree char *weight_name = NULL, *bias_name = NULL;

  if (name == NULL)
    return TRUE;
  weight_name = g_strconcat (name, ".weight", NULL);
  bias_name = g_strconcat (name, ".bias", NULL);
  layer->norm_weights[which] = switti_device_load_vector (self->device, weights, weight_name, channels, error);
  if (layer->norm_weights[which] == NULL)
    return FALSE;
  layer->norm_biases[which] = switti_device_load_vector (self->device, weights, bias_name, channels, error);
  return layer->norm_biases[which] != NULL;
}

static gboolean
load_layer (SwittiVaeHalf *self, SwittiWeights *weights, Layer *layer, int side, GError **error)
{
  for (int i = 0; i < SWITTI_VAE_LAYER_CONVS; i++)
    if (!load_conv (self, weights, layer, i, side, error))
      return FALSE;
  for (int i = 0; i < SWITTI_VAE_LAYER_NORMS; i++)
    if (!load_norm (self, weights, layer, i, error))
      return FALSE;
  return TRUE;
}

/* -- planning ------------------------------------------------------------------------------------------------- */

static void
free_pass (SwittiVaeHalf *self, Pass *pass)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);

  for (int i = 0; i < self->n_layers; i++)
    for (int j = 0; j < SWITTI_VAE_LAYER_CONVS; j++)
      if (pass->plans[i][j] != NULL)
        kernels->conv_plan_free (switti_device_get_context (self->device), pass->plans[i][j]);
  switti_workspace_free (pass->workspace);
  g_free (pass->plans);
  g_free (pass);
}

static SwittiGroupNorm
describe_norm (const SwittiVaeHalf *self, const Layer *layer, int which, int side)
{
  const gint64 n = (gint64) side << layer->spec.side_shift;

  return (SwittiGroupNorm){
    .batch = 1,
    .positions = n * n,
    .channels = switti_vae_spec_norm_channels (&layer->spec, which),
    .groups = GROUPS,
    .eps = GROUP_NORM_EPS,
    .silu = layer->spec.kind != SWITTI_VAE_ATTENTION,
    .x_dtype = self->dtype,
    .y_dtype = self->dtype,
  };
}

static gboolean
plan_convs (SwittiVaeHalf *self, Pass *pass, GError **error)
{
  for (int i = 0; i < self->n_layers; i++)
    for (int j = 0; j < SWITTI_VAE_LAYER_CONVS; j++)
      {
        SwittiConv conv;

        if (!switti_vae_spec_conv (&self->layers[i].spec, j, pass->side, self->dtype, &conv))
          continue;
        if (i + 1 == self->n_layers)
          conv.d_dtype = SWITTI_DTYPE_F32;
        SWITTI_RUN (self->device, conv_plan, &conv, &pass->plans[i][j]);
      }
  return TRUE;
}

static gboolean
plan_memory (SwittiVaeHalf *self, Pass *pass, GError **error)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  SwittiSlot maps[N_MAPS], scratch;
  gint64 largest = 0;
  gsize scratch_bytes = 0;

  for (int i = 0; i < self->n_layers; i++)
    {
      const Layer *layer = &self->layers[i];

      largest = MAX (largest, switti_vae_spec_largest_map (&layer->spec, pass->side));
      for (int j = 0; j < SWITTI_VAE_LAYER_NORMS; j++)
        if (layer->norm_weights[j] != NULL)
          {
            SwittiGroupNorm norm = describe_norm (self, layer, j, pass->side);

            scratch_bytes
                = MAX (scratch_bytes,
                       kernels->group_norm_scratch_bytes (switti_device_get_context (self->device), &norm));
          }
    }
  pass->workspace = switti_workspace_new (self->device);
  for (int i = 0; i < N_MAPS; i++)
    maps[i] = switti_workspace_reserve (pass->workspace, self->dtype, (gsize) largest);
  scratch = switti_workspace_reserve (pass->workspace, SWITTI_DTYPE_U8, scratch_bytes);
  if (!switti_workspace_commit (pass->workspace, _ ("the VAE's feature maps"), error))
    return FALSE;
  for (int i = 0; i < N_MAPS; i++)
    pass->maps[i] = switti_workspace_get (pass->workspace, maps[i]);
  pass->scratch = switti_workspace_get (pass->workspace, scratch);
  return TRUE;
}

static Pass *
get_pass (SwittiVaeHalf *self, int side, GError **error)
{
  Pass *pass;

  for (guint i = 0; i < self->passes->len; i++)
    {
      pass = g_ptr_array_index (self->passes, i);
      if (pass->side == side)
        return pass;
    }
  pass = g_new0 (Pass, 1);
  pass->side = side;
  pass->plans = g_malloc0_n ((gsize) self->n_layers, sizeof *pass->plans);
  if (!plan_convs (self, pass, error) || !plan_memory (self, pass, error))
    {
      free_pass (self, pass);
      return NULL;
    }
  g_ptr_array_add (self->passes, pass);
  return pass;
}

SwittiVaeHalf *
switti_vae_half_new (SwittiDevice *device, SwittiWeights *weights, SwittiDtype dtype, GArray *specs, int side,
                     GError **error)
{
  g_autoptr (SwittiVaeHalf) self = g_new0 (SwittiVaeHalf, 1);
  g_autoptr (GArray) owned_specs = specs;

  self->device = g_object_ref (device);
  self->dtype = dtype;
  self->n_layers = (int) specs->len;
  self->layers = g_new0 (Layer, specs->len);
  self->passes = g_ptr_array_new ();
  for (int i = 0; i < self->n_layers; i++)
    {
      self->layers[i].spec = g_array_index (specs, SwittiVaeLayerSpec, i);
      if (!load_layer (self, weights, &self->layers[i], side, error))
        return NULL;
    }
  if (get_pass (self, side, error) == NULL)
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_vae_half_free (SwittiVaeHalf *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->passes->len; i++)
    free_pass (self, g_ptr_array_index (self->passes, i));
  for (int i = 0; i < self->n_layers; i++)
    {
      Layer *layer = &self->layers[i];

      for (int j = 0; j < SWITTI_VAE_LAYER_CONVS; j++)
        {
          switti_device_free (self->device, layer->weights[j]);
          switti_device_free (self->device, layer->biases[j]);
        }
      for (int j = 0; j < SWITTI_VAE_LAYER_NORMS; j++)
        {
          switti_device_free (self->device, layer->norm_weights[j]);
          switti_device_free (self->device, layer->norm_biases[j]);
        }
    }
  g_ptr_array_unref (self->passes);
  g_object_unref (self->device);
  g_free (self->layers);
  g_free (self);
}

/* -- running -------------------------------------------------------------------------------------------------- */

static gboolean
run_norm (SwittiVaeHalf *self, Pass *pass, const Layer *layer, int which, const void *x, void *y, GError **error)
{
  const SwittiGroupNorm norm = describe_norm (self, layer, which, pass->side);

  SWITTI_RUN (self->device, group_norm, &norm, x, layer->norm_weights[which], layer->norm_biases[which],
              pass->scratch, y);
  return TRUE;
}

static gboolean
run_conv (SwittiVaeHalf *self, Pass *pass, const Layer *layer, int which, const void *x, const void *residual,
          void *y, GError **error)
{
  SwittiConvPlan *plan = pass->plans[layer - self->layers][which];

  SWITTI_RUN (self->device, conv, plan, x, layer->weights[which], layer->biases[which], residual, y);
  return TRUE;
}

/* The result is in u, or in x where a shortcut has made the input superfluous. */
static gboolean
run_resnet (SwittiVaeHalf *self, Pass *pass, const Layer *layer, void *x, void *t, void *u, void **result,
            GError **error)
{
  const gboolean shortcut = layer->spec.c_in != layer->spec.c_out;

  if (!run_norm (self, pass, layer, 0, x, t, error) || !run_conv (self, pass, layer, 0, t, NULL, u, error) ||
      !run_norm (self, pass, layer, 1, u, t, error) ||
      (shortcut && !run_conv (self, pass, layer, 2, x, NULL, u, error)))
    return FALSE;
  *result = shortcut ? x : u;
  return run_conv (self, pass, layer, 1, t, shortcut ? u : x, *result, error);
}

static gboolean
run_attention (SwittiVaeHalf *self, Pass *pass, const Layer *layer, void *x, void *t, void *u, GError **error)
{
  const gint64 c = layer->spec.c_in, n = (gint64) pass->side << layer->spec.side_shift;
  const SwittiRows qkv_rows = { n * n * 3 * c, 3 * c };
  const SwittiAttention attention = {
    .batch = 1,
    .heads = 1,
    .d = c,
    .n = n * n,
    .m = n * n,
    .scale = 1.0f / sqrtf ((float) c),
    .dtype = self->dtype,
    .q = qkv_rows,
    .k = qkv_rows,
    .v = qkv_rows,
    .out = { n * n * c, c },
  };
  const gsize offset = (gsize) c * switti_dtype_size (self->dtype);
  const guint8 *q = u, *k = q + offset, *v = k + offset;

  if (!run_norm (self, pass, layer, 0, x, t, error) || !run_conv (self, pass, layer, 0, t, NULL, u, error))
    return FALSE;
  SWITTI_RUN (self->device, attention, &attention, NULL, NULL, q, k, v, t);
  return run_conv (self, pass, layer, 1, t, x, u, error);
}

/* *x is the map that holds the layer's input, then its result; `out` takes the last layer's. */
static gboolean
run_layer (SwittiVaeHalf *self, Pass *pass, const Layer *layer, void **x, float *out, GError **error)
{
  const gboolean last = layer == &self->layers[self->n_layers - 1];
  int at = 0;
  void *in = *x, *t, *u;

  while (pass->maps[at] != in)
    at++;
  t = pass->maps[(at + 1) % N_MAPS];
  u = pass->maps[(at + 2) % N_MAPS];
  *x = u;
  switch (layer->spec.kind)
    {
    case SWITTI_VAE_CONV:
      return run_conv (self, pass, layer, 0, in, NULL, last ? out : u, error);
    case SWITTI_VAE_NORM_CONV:
      return run_norm (self, pass, layer, 0, in, t, error) &&
             run_conv (self, pass, layer, 0, t, NULL, last ? out : u, error);
    case SWITTI_VAE_RESNET:
      return run_resnet (self, pass, layer, in, t, u, x, error);
    case SWITTI_VAE_ATTENTION:
      return run_attention (self, pass, layer, in, t, u, error);
    }
  g_assert_not_reached ();
}

gboolean
switti_vae_half_run (SwittiVaeHalf *self, int side, const float *in, float *out, GCancellable *cancellable,
                     GError **error)
{
  const SwittiVaeLayerSpec *first = &self->layers[0].spec;
  const gint64 n = (gint64) side << first->side_shift;
  Pass *pass = get_pass (self, side, error);
  void *x;

  if (pass == NULL)
    return FALSE;
  x = pass->maps[0];
  SWITTI_RUN (self->device, convert, n * n * first->c_in, SWITTI_DTYPE_F32, in, self->dtype, x);
  for (int i = 0; i < self->n_layers; i++)
    if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
        !run_layer (self, pass, &self->layers[i], &x, out, error))
      return FALSE;
  return TRUE;
}
