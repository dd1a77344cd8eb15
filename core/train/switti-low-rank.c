/* switti-low-rank.c - training what is added to a model's matrices, of low rank
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-low-rank-private.h"

#include "switti-linear-private.h"
#include "switti-safetensors-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#define NAME_PREFIX "transformer."

/* One layer: offsets in the flat arrays, and its three products. */
typedef struct
{
  char *name; /* "blocks.0.attn.proj" */
  gint64 n, k;
  gsize weight, a, b;
  SwittiGemmPlan *product, *d_a, *d_b;
} Layer;

struct _SwittiLowRank
{
  SwittiParameters *target, *factors;
  SwittiDevice *device;
  gint64 r;
  double alpha;
  GArray *layers;   /* Layer */
  float *base;      /* the target's first values, flat */
  float *gradients; /* of the factors, flat */
  float *scratch;   /* of the largest product */
};

static gboolean
is_target (const SwittiParameter *parameter)
{
  return parameter->n_dims == 2 && g_str_has_prefix (parameter->name, "blocks.")
         && g_str_has_suffix (parameter->name, ".weight")
         && (strstr (parameter->name, ".attn.") != NULL || strstr (parameter->name, ".cross_attn.") != NULL
             || strstr (parameter->name, ".ffn.") != NULL);
}

static void
list_layers (SwittiLowRank *self)
{
  for (guint i = 0; i < switti_parameters_get_n (self->target); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (self->target, i);
      Layer layer = { .n = parameter->dims[0], .k = parameter->dims[1], .weight = parameter->offset };

      if (!is_target (parameter))
        continue;
      layer.name = g_strndup (parameter->name, strlen (parameter->name) - strlen (".weight"));
      /* The deviation of PyTorch's own first values of a Linear layer, that LoRA's authors took. */
      layer.a = switti_parameters_add (self->factors, g_strconcat (NAME_PREFIX, layer.name, ".lora_A.weight", NULL),
                                       SWITTI_INITIAL_NORMAL, sqrt (1.0 / (3.0 * (double) layer.k)), 2,
                                       (gint64[]){ self->r, layer.k }, FALSE)
                    ->offset;
      layer.b = switti_parameters_add (self->factors, g_strconcat (NAME_PREFIX, layer.name, ".lora_B.weight", NULL),
                                       SWITTI_INITIAL_ZERO, 1, 2, (gint64[]){ layer.n, self->r }, FALSE)
                    ->offset;
      g_array_append_val (self->layers, layer);
    }
}

static gboolean
make_plan (SwittiLowRank *self, SwittiGemm gemm, SwittiGemmPlan **plan, GError **error)
{
  gemm.row_group = gemm.m;
  gemm.a_dtype = gemm.b_dtype = gemm.d_dtype = SWITTI_DTYPE_F32;
  SWITTI_RUN (self->device, gemm_plan, &gemm, plan);
  return TRUE;
}

static gboolean
plan_layer (SwittiLowRank *self, Layer *layer, GError **error)
{
  const gint64 n = layer->n, k = layer->k, r = self->r;
  /* B A; B^T dW; dW A^T. The first two read their second operand as (k, n). */
  const SwittiGemm product = { .m = n, .n = k, .k = r, .lda = r, .ldb = k, .ldd = k, .b_is_kn = true };
  const SwittiGemm d_a = { .m = r, .n = k, .k = n, .lda = r, .ldb = k, .ldd = k, .a_is_km = true, .b_is_kn = true };
  const SwittiGemm d_b = { .m = n, .n = r, .k = k, .lda = k, .ldb = k, .ldd = r };

  return make_plan (self, product, &layer->product, error) && make_plan (self, d_a, &layer->d_a, error)
         && make_plan (self, d_b, &layer->d_b, error);
}

static gboolean
allocate (SwittiLowRank *self, GError **error)
{
  const gsize bytes = switti_parameters_get_size (self->target) * sizeof (float);
  gint64 largest = 0;

  for (guint i = 0; i < self->layers->len; i++)
    {
      Layer *layer = &g_array_index (self->layers, Layer, i);

      largest = MAX (largest, MAX (layer->n * layer->k, self->r * MAX (layer->n, layer->k)));
      if (!plan_layer (self, layer, error))
        return FALSE;
    }
  self->base = switti_device_alloc (self->device, bytes, _ ("the weights that a LoRA adds to"), error);
  if (self->base == NULL)
    return FALSE;
  SWITTI_RUN (self->device, copy, self->base, switti_parameters_get_values (self->target), bytes);
  self->gradients = switti_device_alloc (self->device, switti_parameters_get_size (self->factors) * sizeof (float),
                                         _ ("the gradients of a LoRA"), error);
  if (self->gradients == NULL)
    return FALSE;
  self->scratch = switti_device_alloc (self->device, (gsize) largest * sizeof (float), _ ("a LoRA's products"), error);
  return self->scratch != NULL;
}

SwittiLowRank *
switti_low_rank_new (SwittiParameters *target, int rank, double alpha, guint64 seed, GError **error)
{
  g_autoptr (SwittiLowRank) self = g_new0 (SwittiLowRank, 1);

  g_assert (rank > 0);
  self->target = target;
  self->device = g_object_ref (switti_parameters_get_device (target));
  self->r = rank;
  self->alpha = alpha;
  self->layers = g_array_new (FALSE, FALSE, sizeof (Layer));
  self->factors = switti_parameters_new (self->device, SWITTI_DTYPE_F32, 1);
  list_layers (self);
  if (!switti_parameters_allocate (self->factors, error)
      || !switti_parameters_initialise (self->factors, seed, 0, error) || !allocate (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_low_rank_free (SwittiLowRank *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->layers->len; i++)
    {
      Layer *layer = &g_array_index (self->layers, Layer, i);

      switti_gemm_plan_clear (self->device, &layer->product);
      switti_gemm_plan_clear (self->device, &layer->d_a);
      switti_gemm_plan_clear (self->device, &layer->d_b);
      g_free (layer->name);
    }
  g_array_unref (self->layers);
  switti_device_free (self->device, self->base);
  switti_device_free (self->device, self->gradients);
  switti_device_free (self->device, self->scratch);
  switti_parameters_free (self->factors);
  g_object_unref (self->device);
  g_free (self);
}

SwittiParameters *
switti_low_rank_get_factors (SwittiLowRank *self)
{
  return self->factors;
}

float *
switti_low_rank_get_gradients (SwittiLowRank *self)
{
  return self->gradients;
}

/* out += alpha / r * a product; out has `count` elements. */
static gboolean
add_product (SwittiLowRank *self, const SwittiGemmPlan *plan, const float *a, const float *b, gint64 count, float *out,
             GError **error)
{
  SWITTI_RUN (self->device, gemm, plan, a, b, NULL, self->scratch);
  SWITTI_RUN (self->device, accumulate, count, (float) (self->alpha / (double) self->r), self->scratch, 0, NULL, out);
  return TRUE;
}

gboolean
switti_low_rank_compose (SwittiLowRank *self, GError **error)
{
  float *values = switti_parameters_get_values (self->target);
  const float *factors = switti_parameters_get_values (self->factors);

  for (guint i = 0; i < self->layers->len; i++)
    {
      const Layer *layer = &g_array_index (self->layers, Layer, i);

      SWITTI_RUN (self->device, copy, values + layer->weight, self->base + layer->weight,
                  (gsize) (layer->n * layer->k) * sizeof (float));
      if (!add_product (self, layer->product, factors + layer->b, factors + layer->a, layer->n * layer->k,
                        values + layer->weight, error))
        return FALSE;
    }
  return switti_parameters_refresh (self->target, error);
}

gboolean
switti_low_rank_backward (SwittiLowRank *self, const float *gradients, GError **error)
{
  const float *factors = switti_parameters_get_values (self->factors);

  SWITTI_RUN (self->device, clear, self->gradients, switti_parameters_get_size (self->factors) * sizeof (float));
  for (guint i = 0; i < self->layers->len; i++)
    {
      const Layer *layer = &g_array_index (self->layers, Layer, i);

      if (!add_product (self, layer->d_a, factors + layer->b, gradients + layer->weight, self->r * layer->k,
                        self->gradients + layer->a, error)
          || !add_product (self, layer->d_b, gradients + layer->weight, factors + layer->a, layer->n * self->r,
                           self->gradients + layer->b, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
switti_low_rank_save (SwittiLowRank *self, float *flat, const char *path, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) tensors = g_array_new (FALSE, FALSE, sizeof (SwittiTensor));
  float alpha = (float) self->alpha;

  for (guint i = 0; i < self->layers->len; i++)
    {
      const Layer *layer = &g_array_index (self->layers, Layer, i);
      const SwittiTensor list[] = {
        { .dtype = SWITTI_DTYPE_F32, .n_dims = 2, .dims = { self->r, layer->k }, .data = flat + layer->a },
        { .dtype = SWITTI_DTYPE_F32, .n_dims = 2, .dims = { layer->n, self->r }, .data = flat + layer->b },
        { .dtype = SWITTI_DTYPE_F32, .n_dims = 0, .data = &alpha },
      };

      g_ptr_array_add (names, g_strconcat (NAME_PREFIX, layer->name, ".lora_A.weight", NULL));
      g_ptr_array_add (names, g_strconcat (NAME_PREFIX, layer->name, ".lora_B.weight", NULL));
      g_ptr_array_add (names, g_strconcat (NAME_PREFIX, layer->name, ".alpha", NULL));
      g_array_append_vals (tensors, list, G_N_ELEMENTS (list));
    }
  return switti_safetensors_save (path, (const char *const *) names->pdata, (const SwittiTensor *) tensors->data,
                                  tensors->len, NULL, error);
}
