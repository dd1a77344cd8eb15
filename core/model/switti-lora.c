/* switti-lora.c - low-rank additions to a model's matrices
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-lora-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#define MAX_RANK 65536

static const struct
{
  const char *a, *b;
} suffixes[] = { { ".lora_A.weight", ".lora_B.weight" }, { ".lora_down.weight", ".lora_up.weight" } };

static void
layer_free (gpointer data)
{
  SwittiLoraLayer *layer = data;

  g_free (layer->layer);
  g_free (layer->a);
  g_free (layer->b);
  g_free (layer);
}

static gboolean
invalid (SwittiWeights *file, const char *name, const char *what, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("“%s” is no LoRA for a Switti model: “%s” %s."),
               switti_weights_get_description (file), name, what);
  return FALSE;
}

static const char *
bare_name (const char *name)
{
  static const char *const prefixes[] = { "base_model.model.", "transformer." };

  for (gsize i = 0; i < G_N_ELEMENTS (prefixes); i++)
    if (g_str_has_prefix (name, prefixes[i]))
      name += strlen (prefixes[i]);
  return name;
}

static gboolean
read_alpha (SwittiWeights *file, const char *stem, SwittiLoraLayer *layer, GError **error)
{
  g_autofree char *name = g_strconcat (stem, ".alpha", NULL);
  SwittiTensor stored;
  float alpha;

  layer->alpha = (double) layer->r;
  if (!switti_weights_peek (file, name, &stored))
    return TRUE;
  if (stored.n_dims > 1 || !switti_weights_read_f32 (file, name, stored.n_dims, stored.dims, &alpha, NULL)
      || (stored.n_dims == 1 && stored.dims[0] != 1) || !isfinite (alpha))
    return invalid (file, name, _ ("is no number"), error);
  layer->alpha = alpha;
  return TRUE;
}

/* The layer whose A is tensor `name`, which ends in suffixes[kind].a. */
static SwittiLoraLayer *
find_layer (SwittiWeights *file, const char *name, gsize kind, GError **error)
{
  g_autofree char *stem = g_strndup (name, strlen (name) - strlen (suffixes[kind].a));
  SwittiLoraLayer *layer = g_new0 (SwittiLoraLayer, 1);
  SwittiTensor a, b;

  layer->layer = g_strdup (bare_name (stem));
  layer->a = g_strdup (name);
  layer->b = g_strconcat (stem, suffixes[kind].b, NULL);
  if (!switti_weights_peek (file, layer->a, &a) || !switti_weights_peek (file, layer->b, &b))
    invalid (file, layer->b, _ ("is missing"), error);
  else if (a.n_dims != 2 || b.n_dims != 2 || a.dims[0] != b.dims[1] || a.dims[0] < 1 || a.dims[0] > MAX_RANK)
    invalid (file, layer->b, _ ("does not fit its other factor"), error);
  else
    {
      layer->r = a.dims[0];
      layer->k = a.dims[1];
      layer->n = b.dims[0];
      if (read_alpha (file, stem, layer, error))
        return layer;
    }
  layer_free (layer);
  return NULL;
}

/* Whether a tensor is one that find_layer() comes to by itself. */
static gboolean
belongs_to_layer (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (suffixes); i++)
    if (g_str_has_suffix (name, suffixes[i].b))
      return TRUE;
  return g_str_has_suffix (name, ".alpha");
}

GPtrArray *
switti_lora_list (SwittiWeights *file, GError **error)
{
  g_autoptr (GPtrArray) layers = g_ptr_array_new_with_free_func (layer_free);
  g_auto (GStrv) names = switti_weights_list (file);

  for (char **name = names; *name != NULL; name++)
    {
      SwittiLoraLayer *layer = NULL;
      gsize kind = 0;

      while (kind < G_N_ELEMENTS (suffixes) && !g_str_has_suffix (*name, suffixes[kind].a))
        kind++;
      if (kind < G_N_ELEMENTS (suffixes))
        {
          layer = find_layer (file, *name, kind, error);
          if (layer == NULL)
            return NULL;
          g_ptr_array_add (layers, layer);
        }
      else if (!belongs_to_layer (*name))
        {
          invalid (file, *name, _ ("is neither of lora_A and lora_B"), error);
          return NULL;
        }
    }
  if (layers->len > 0)
    return g_steal_pointer (&layers);
  invalid (file, "lora_A", _ ("is missing"), error);
  return NULL;
}

gboolean
switti_lora_add (SwittiWeights *file, const SwittiLoraLayer *layer, double scale, float *sums, GError **error)
{
  const gint64 n = layer->n, k = layer->k, r = layer->r;
  const float factor = (float) (scale * layer->alpha / (double) r);
  g_autofree float *a = g_try_new (float, (gsize) (r * k)), *b = g_try_new (float, (gsize) (n * r));

  if (a == NULL || b == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY, _ ("There is no memory for the LoRA of “%s”."),
                   layer->layer);
      return FALSE;
    }
  if (!switti_weights_read_f32 (file, layer->a, 2, (gint64[]){ r, k }, a, error)
      || !switti_weights_read_f32 (file, layer->b, 2, (gint64[]){ n, r }, b, error))
    return FALSE;
#pragma omp parallel for
  for (gint64 i = 0; i < n; i++)
    for (gint64 j = 0; j < r; j++)
      {
        const float weight = factor * b[i * r + j];

        for (gint64 l = 0; l < k; l++)
          sums[i * k + l] += weight * a[j * k + l];
      }
  return TRUE;
}
