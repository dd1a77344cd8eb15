/* switti-pyramid.c - the RQ-VAE's multi-scale latent
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * float32 throughout: the codes of an image must not depend on the model's dtype.
 */
#include "switti-pyramid-private.h"

#include "switti-linear-private.h"
#include "switti-workspace-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>

struct _SwittiPyramid
{
  SwittiDevice *device;
  SwittiVaeConfig config;
  int max_batch;
  int batch;
  int n_phi;

  float *codebook; /* (V, Z) */
  void **phi_weight;
  float **phi_bias;
  SwittiConvPlan *plan; /* of phi, for plan_batch images */
  int plan_batch;

  SwittiWorkspace *workspace;
  float *f_hat;    /* (max_batch, n, n, Z) */
  float *residual; /* the same shape: what encode has left to explain, */
  float *small;    /* that on a scale's own side, */
  float *vectors;  /* and its codes' vectors */
  float *enlarged; /* a scale's vectors on the last side, */
  float *filtered; /* and the convolution of them */
};

static int
last_side (const SwittiPyramid *self)
{
  return self->config.schedule.side[self->config.schedule.n_scales - 1];
}

static gint64
map_size (const SwittiPyramid *self)
{
  return (gint64) last_side (self) * last_side (self) * self->config.latent;
}

int
switti_pyramid_count_phi (const SwittiVaeConfig *config)
{
  return config->share_quant_resi == 0 ? config->schedule.n_scales : config->share_quant_resi;
}

/* numpy's linspace, step by step in float64: two scales of the 512 schedule lie exactly between two ticks, and the
 * rounding of the ticks decides. */
static double
phi_tick (int k, int i)
{
  const double start = k == 4 ? 1.0 / 3.0 / k : 1.0 / 2.0 / k, stop = 1.0 - start;

  if (i > 0 && i == k - 1)
    return stop;
  return k == 1 ? start : i * ((stop - start) / (k - 1)) + start;
}

int
switti_pyramid_phi_index (const SwittiVaeConfig *config, int scale)
{
  const int k = switti_pyramid_count_phi (config), n_scales = config->schedule.n_scales;
  const double at = n_scales > 1 ? (double) scale / (n_scales - 1) : 0.0;
  int nearest = 0;

  for (int i = 1; i < k; i++)
    if (fabs (phi_tick (k, i) - at) < fabs (phi_tick (k, nearest) - at))
      nearest = i;
  return nearest;
}

static SwittiConv
phi_conv (const SwittiPyramid *self, int batch)
{
  return (SwittiConv){
    .batch = batch,
    .height = last_side (self),
    .width = last_side (self),
    .c_in = self->config.latent,
    .c_out = self->config.latent,
    .kernel = 3,
    .stride = 1,
    .pad_top = 1,
    .pad_left = 1,
    .pad_bottom = 1,
    .pad_right = 1,
    .x_dtype = SWITTI_DTYPE_F32,
    .w_dtype = SWITTI_DTYPE_F32,
    .d_dtype = SWITTI_DTYPE_F32,
  };
}

char *
switti_pyramid_phi_name (const SwittiVaeConfig *config, int i, const char *suffix)
{
  switch (config->share_quant_resi)
    {
    case 0:
      return g_strdup_printf ("quantize.quant_resi.%d.%s", i, suffix);
    case 1:
      return g_strdup_printf ("quantize.quant_resi.qresi.%s", suffix);
    default:
      return g_strdup_printf ("quantize.quant_resi.qresi_ls.%d.%s", i, suffix);
    }
}

static gboolean
load_phi (SwittiPyramid *self, SwittiWeights *weights, int i, GError **error)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  const gint64 z = self->config.latent;
  const gsize count = (gsize) z * (gsize) z * 9;
  const SwittiConv conv = phi_conv (self, 1);
  g_autofree char *weight_name = switti_pyramid_phi_name (&self->config, i, "weight");
  g_autofree char *bias_name = switti_pyramid_phi_name (&self->config, i, "bias");
  g_autofree float *weight = g_new (float, count);

  if (!switti_weights_read_f32 (weights, weight_name, 4, (gint64[]){ z, z, 3, 3 }, weight, error))
    return FALSE;
  self->phi_weight[i] = switti_device_alloc (
      self->device, kernels->conv_packed_bytes (switti_device_get_context (self->device), &conv), weight_name, error);
  if (self->phi_weight[i] == NULL)
    return FALSE;
  SWITTI_RUN (self->device, conv_pack, &conv, SWITTI_DTYPE_F32, weight, self->phi_weight[i]);
  self->phi_bias[i] = switti_device_load_vector (self->device, weights, bias_name, z, error);
  return self->phi_bias[i] != NULL;
}

static gboolean
plan_memory (SwittiPyramid *self, GError **error)
{
  float **buffers[]
      = { &self->f_hat, &self->residual, &self->small, &self->vectors, &self->enlarged, &self->filtered };
  SwittiSlot slots[G_N_ELEMENTS (buffers)];
  gsize count = 0;

  if (!g_size_checked_mul (&count, (gsize) map_size (self), (gsize) self->max_batch))
    count = G_MAXSIZE;
  self->workspace = switti_workspace_new (self->device);
  for (gsize i = 0; i < G_N_ELEMENTS (buffers); i++)
    slots[i] = switti_workspace_reserve (self->workspace, SWITTI_DTYPE_F32, count);
  if (!switti_workspace_commit (self->workspace, _ ("the latent pyramid"), error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (buffers); i++)
    *buffers[i] = switti_workspace_get (self->workspace, slots[i]);
  return TRUE;
}

static gboolean
plan_phi (SwittiPyramid *self, int batch, GError **error)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  SwittiKernelContext *context = switti_device_get_context (self->device);
  const SwittiConv conv = phi_conv (self, batch);

  if (self->plan != NULL && self->plan_batch == batch)
    return TRUE;
  if (self->plan != NULL)
    kernels->conv_plan_free (context, g_steal_pointer (&self->plan));
  SWITTI_RUN (self->device, conv_plan, &conv, &self->plan);
  self->plan_batch = batch;
  return TRUE;
}

SwittiPyramid *
switti_pyramid_new (SwittiDevice *device, const SwittiVaeConfig *config, SwittiWeights *weights, int max_batch,
                    GError **error)
{
  g_autoptr (SwittiPyramid) self = g_new0 (SwittiPyramid, 1);

  g_assert (max_batch > 0);
  self->device = g_object_ref (device);
  self->config = *config;
  self->max_batch = max_batch;
  self->n_phi = config->quant_resi != 0 ? switti_pyramid_count_phi (config) : 0;
  self->phi_weight = g_new0 (void *, self->n_phi);
  self->phi_bias = g_new0 (float *, self->n_phi);
  self->codebook = switti_device_load_f32 (device, weights, "quantize.embedding.weight", 2,
                                           (gint64[]){ config->vocab, config->latent }, error);
  if (self->codebook == NULL)
    return NULL;
  for (int i = 0; i < self->n_phi; i++)
    if (!load_phi (self, weights, i, error))
      return NULL;
  if (!plan_memory (self, error) || !plan_phi (self, max_batch, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_pyramid_free (SwittiPyramid *self)
{
  if (self == NULL)
    return;
  if (self->plan != NULL)
    switti_device_get_kernels (self->device)
        ->conv_plan_free (switti_device_get_context (self->device), self->plan);
  for (int i = 0; i < self->n_phi; i++)
    {
      switti_device_free (self->device, self->phi_weight[i]);
      switti_device_free (self->device, self->phi_bias[i]);
    }
  switti_device_free (self->device, self->codebook);
  switti_workspace_free (self->workspace);
  g_object_unref (self->device);
  g_free (self->phi_weight);
  g_free (self->phi_bias);
  g_free (self);
}

const float *
switti_pyramid_get_codebook (SwittiPyramid *self)
{
  return self->codebook;
}

float *
switti_pyramid_get_f_hat (SwittiPyramid *self)
{
  return self->f_hat;
}

gboolean
switti_pyramid_begin (SwittiPyramid *self, int batch, GError **error)
{
  g_assert (batch > 0 && batch <= self->max_batch);
  if (!plan_phi (self, batch, error))
    return FALSE;
  self->batch = batch;
  SWITTI_RUN (self->device, clear, self->f_hat, (gsize) (batch * map_size (self)) * sizeof (float));
  return TRUE;
}

static gboolean
resize (SwittiPyramid *self, SwittiResampleMode mode, int in_side, int out_side, const float *in, float *out,
        GError **error)
{
  const SwittiResample resample = {
    .mode = mode,
    .batch = self->batch,
    .channels = self->config.latent,
    .in_height = in_side,
    .in_width = in_side,
    .out_height = out_side,
    .out_width = out_side,
    .dtype = SWITTI_DTYPE_F32,
  };

  SWITTI_RUN (self->device, resample, &resample, in, out);
  return TRUE;
}

/* f_hat += phi (bicubic (h)), and residual -= the same unless it is NULL. */
static gboolean
add_scale (SwittiPyramid *self, int scale, const float *h, float *residual, GError **error)
{
  const int side = self->config.schedule.side[scale], n = last_side (self);
  const gint64 count = self->batch * map_size (self);
  const float q = (float) self->config.quant_resi;
  const float *filtered = NULL;

  g_assert (scale >= 0 && scale < self->config.schedule.n_scales);
  if (scale + 1 < self->config.schedule.n_scales)
    {
      if (!resize (self, SWITTI_RESAMPLE_BICUBIC, side, n, h, self->enlarged, error))
        return FALSE;
      h = self->enlarged;
    }
  if (self->n_phi > 0)
    {
      int i = switti_pyramid_phi_index (&self->config, scale);

      SWITTI_RUN (self->device, conv, self->plan, h, self->phi_weight[i], self->phi_bias[i], NULL, self->filtered);
      filtered = self->filtered;
    }
  SWITTI_RUN (self->device, accumulate, count, 1 - q, h, q, filtered, self->f_hat);
  if (residual != NULL)
    SWITTI_RUN (self->device, accumulate, count, q - 1, h, -q, filtered, residual);
  return TRUE;
}

gboolean
switti_pyramid_add (SwittiPyramid *self, int scale, const float *h, GError **error)
{
  return add_scale (self, scale, h, NULL, error);
}

gboolean
switti_pyramid_look_up (SwittiPyramid *self, int scale, const gint32 *codes, float *h, GError **error)
{
  const gint64 side = self->config.schedule.side[scale];

  SWITTI_RUN (self->device, embed, self->batch * side * side, self->config.latent, self->config.vocab,
              SWITTI_DTYPE_F32, self->codebook, codes, NULL, 1, h);
  return TRUE;
}

gboolean
switti_pyramid_add_codes (SwittiPyramid *self, int scale, const gint32 *codes, GError **error)
{
  return switti_pyramid_look_up (self, scale, codes, self->vectors, error)
         && add_scale (self, scale, self->vectors, NULL, error);
}

gboolean
switti_pyramid_next_input (SwittiPyramid *self, int scale, float *input, GError **error)
{
  g_assert (scale >= 1 && scale < self->config.schedule.n_scales);
  return resize (self, SWITTI_RESAMPLE_AREA, last_side (self), self->config.schedule.side[scale], self->f_hat, input,
                 error);
}

gboolean
switti_pyramid_reduce (SwittiPyramid *self, int scale, const float *map, float *out, GError **error)
{
  if (scale + 1 < self->config.schedule.n_scales)
    return resize (self, SWITTI_RESAMPLE_AREA, last_side (self), self->config.schedule.side[scale], map, out, error);
  SWITTI_RUN (self->device, copy, out, map, (gsize) (self->batch * map_size (self)) * sizeof (float));
  return TRUE;
}

gboolean
switti_pyramid_nearest (SwittiPyramid *self, int scale, const float *h, gint32 *codes, GError **error)
{
  const gint64 side = self->config.schedule.side[scale];

  SWITTI_RUN (self->device, nearest_code, self->batch * side * side, self->config.vocab, self->config.latent,
              self->config.using_znorm, h, self->codebook, codes);
  return TRUE;
}

/* self->vectors = the scale's r with noise. */
static gboolean
add_noise (SwittiPyramid *self, gint64 count, const float *r, double deviation, const float *noise, GError **error)
{
  SWITTI_RUN (self->device, clear, self->vectors, (gsize) count * sizeof (float));
  SWITTI_RUN (self->device, accumulate, count, (float) sqrt (1 - deviation * deviation), r, (float) deviation, noise,
              self->vectors);
  return TRUE;
}

gboolean
switti_pyramid_encode (SwittiPyramid *self, int batch, const float *f, gint32 *const *codes, GError **error)
{
  return switti_pyramid_encode_noisy (self, batch, f, 0, NULL, codes, error);
}

gboolean
switti_pyramid_encode_noisy (SwittiPyramid *self, int batch, const float *f, double deviation, const float *noise,
                             gint32 *const *codes, GError **error)
{
  const int n_scales = self->config.schedule.n_scales;

  if (!switti_pyramid_begin (self, batch, error))
    return FALSE;
  SWITTI_RUN (self->device, copy, self->residual, f, (gsize) (batch * map_size (self)) * sizeof (float));
  for (int s = 0; s < n_scales; s++)
    {
      const gint64 count = (gint64) batch * self->config.schedule.side[s] * self->config.schedule.side[s]
                           * self->config.latent;

      if (!switti_pyramid_reduce (self, s, self->residual, self->small, error)
          || (noise != NULL && !add_noise (self, count, self->small, deviation, noise, error))
          || !switti_pyramid_nearest (self, s, noise != NULL ? self->vectors : self->small, codes[s], error)
          || !switti_pyramid_look_up (self, s, codes[s], self->vectors, error)
          || !add_scale (self, s, self->vectors, self->residual, error))
        return FALSE;
      noise = noise != NULL ? noise + count : NULL;
    }
  return TRUE;
}
