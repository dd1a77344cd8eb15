/* switti-checkpoint-names.c - what a checkpoint is, by the names of its tensors
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Names may have anything before them: the keys of dictionaries around the state ("trainer.vae_wo_ddp."), of wrappers
 * ("module."), of a model around the part ("text_model."). It is found by two tensors that every such part has.
 */
#include "switti-checkpoint-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

typedef struct
{
  SwittiPartKind kind;
  gboolean is_openclip;
  const char *first, *second; /* tensors that it cannot be without */
} Naming;

static const Naming namings[] = {
  { SWITTI_PART_TRANSFORMER, FALSE, "word_embed.weight", "text_pooler.weight" },
  { SWITTI_PART_VAE, FALSE, "quantize.embedding.weight", "post_quant_conv.weight" },
  { SWITTI_PART_TEXT_ENCODER, FALSE, "embeddings.token_embedding.weight", "final_layer_norm.weight" },
  { SWITTI_PART_TEXT_ENCODER, TRUE, "token_embedding.weight", "ln_final.weight" },
};

typedef struct
{
  const Naming *naming;
  char *prefix;
} Match;

static void
clear_match (gpointer data)
{
  Match *match = data;

  g_free (match->prefix);
}

/* -- recognising -------------------------------------------------------------------------------------------- */

/* Adds a match where `name` is a prefix and the naming's first tensor, and the second is there under that prefix. */
static void
match_name (SwittiTensorSource *source, const Naming *naming, const char *name, GArray *matches)
{
  gsize length = strlen (name), own = strlen (naming->first);
  g_autofree char *prefix = NULL;
  g_autofree char *second = NULL;
  Match match = { naming, NULL };

  if (!g_str_has_suffix (name, naming->first) || (length > own && name[length - own - 1] != '.'))
    return;
  prefix = g_strndup (name, length - own);
  second = g_strconcat (prefix, naming->second, NULL);
  if (switti_tensor_source_find (source, second) == NULL)
    return;
  match.prefix = g_steal_pointer (&prefix);
  g_array_append_val (matches, match);
}

static GArray *
find_matches (SwittiTensorSource *source, const char *wanted_prefix)
{
  GArray *matches = g_array_new (FALSE, FALSE, sizeof (Match));

  g_array_set_clear_func (matches, clear_match);
  for (guint i = 0; i < switti_tensor_source_get_n (source); i++)
    for (guint j = 0; j < G_N_ELEMENTS (namings); j++)
      match_name (source, &namings[j], switti_tensor_source_get (source, i)->name, matches);
  for (guint i = matches->len; wanted_prefix != NULL && i > 0; i--)
    if (strcmp (g_array_index (matches, Match, i - 1).prefix, wanted_prefix) != 0)
      g_array_remove_index (matches, i - 1);
  return matches;
}

static gboolean
set_no_match (SwittiTensorSource *source, const char *wanted_prefix, GError **error)
{
  if (wanted_prefix != NULL)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                 _ ("%s holds no part of a model under names that begin with “%s”."),
                 switti_tensor_source_get_description (source), wanted_prefix);
  else
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                 _ ("%s is neither a transformer of Switti's, nor its RQ-VAE, nor a CLIP text encoder, by the names of "
                    "its tensors."),
                 switti_tensor_source_get_description (source));
  return FALSE;
}

static gboolean
set_ambiguous (SwittiTensorSource *source, GArray *matches, GError **error)
{
  g_autoptr (GString) prefixes = g_string_new (NULL);

  for (guint i = 0; i < matches->len; i++)
    g_string_append_printf (prefixes, "%s“%s”", i > 0 ? ", " : "", g_array_index (matches, Match, i).prefix);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("%s holds several parts or copies of one; choose by --prefix what the names begin with: %s."),
               switti_tensor_source_get_description (source), prefixes->str);
  return FALSE;
}

/* -- what is left out --------------------------------------------------------------------------------------- */

/* Buffers that follow from the configuration, and what stands beside a text encoder in a whole CLIP. */
static gboolean
is_left_out (const Naming *naming, const char *name)
{
  static const char *const transformer[] = { "lvl_1L", "attn_bias_for_masking", "freqs_cis", NULL };
  static const char *const vae[] = { "quantize.ema_vocab_hit_SV", NULL };
  static const char *const text[] = { "embeddings.position_ids", "text_projection.weight", "visual_projection.weight",
                                      "logit_scale", "logit_bias", NULL };
  static const char *const openclip[] = { "text_projection", "text_projection.weight", "logit_scale", "logit_bias",
                                          "attn_mask", NULL };

  switch (naming->kind)
    {
    case SWITTI_PART_TRANSFORMER:
      return g_strv_contains (transformer, name);
    case SWITTI_PART_VAE:
      return g_strv_contains (vae, name);
    case SWITTI_PART_TEXT_ENCODER:
      if (naming->is_openclip)
        return g_strv_contains (openclip, name) || g_str_has_prefix (name, "visual.");
      return g_strv_contains (text, name) || g_str_has_prefix (name, "vision_model.");
    }
  return FALSE;
}

/* -- naming ------------------------------------------------------------------------------------------------- */

static void
put (GHashTable *named, char *name, const SwittiStoredTensor *stored, int n_dims, const gint64 *dims, gsize first)
{
  SwittiNamedTensor *tensor = g_new0 (SwittiNamedTensor, 1);

  tensor->stored = stored;
  tensor->first = first;
  tensor->shape.dtype = stored->dtype;
  tensor->shape.n_dims = n_dims;
  for (int i = 0; i < n_dims; i++)
    tensor->shape.dims[i] = dims[i];
  g_hash_table_insert (named, name, tensor);
}

/* The rows of queries, keys and values that OpenCLIP keeps in one tensor. */
static void
put_thirds (GHashTable *named, const char *layer, const char *suffix, const SwittiStoredTensor *stored)
{
  static const char *const names[] = { "q_proj", "k_proj", "v_proj" };
  gint64 dims[SWITTI_TENSOR_MAX_DIMS];
  gsize third = stored->count / G_N_ELEMENTS (names);

  memcpy (dims, stored->dims, sizeof dims);
  dims[0] /= G_N_ELEMENTS (names);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    put (named, g_strdup_printf ("encoder.layers.%s.self_attn.%s.%s", layer, names[i], suffix), stored, stored->n_dims,
         dims, i * third);
}

/* "transformer.resblocks.N.REST"; FALSE for other names. */
static gboolean
name_openclip_layer (GHashTable *named, const char *name, const SwittiStoredTensor *stored)
{
  static const char before[] = "transformer.resblocks.";
  static const char *const renamed[][2] = {
    { "ln_1.", "layer_norm1." },    { "ln_2.", "layer_norm2." },      { "attn.out_proj.", "self_attn.out_proj." },
    { "mlp.c_fc.", "mlp.fc1." },    { "mlp.c_proj.", "mlp.fc2." },
  };
  const char *number = name + strlen (before), *dot;
  g_autofree char *layer = NULL;

  if (!g_str_has_prefix (name, before) || (dot = strchr (number, '.')) == NULL)
    return FALSE;
  layer = g_strndup (number, (gsize) (dot - number));
  for (guint i = 0; i < G_N_ELEMENTS (renamed); i++)
    if (g_str_has_prefix (dot + 1, renamed[i][0]))
      {
        put (named,
             g_strconcat ("encoder.layers.", layer, ".", renamed[i][1], dot + 1 + strlen (renamed[i][0]), NULL), stored,
             stored->n_dims, stored->dims, 0);
        return TRUE;
      }
  if (stored->n_dims < 1 || stored->dims[0] % 3 != 0)
    return FALSE;
  if (strcmp (dot + 1, "attn.in_proj_weight") == 0)
    put_thirds (named, layer, "weight", stored);
  else if (strcmp (dot + 1, "attn.in_proj_bias") == 0)
    put_thirds (named, layer, "bias", stored);
  else
    return FALSE;
  return TRUE;
}

static void
name_openclip (GHashTable *named, const char *name, const SwittiStoredTensor *stored)
{
  static const char *const renamed[][2] = {
    { "token_embedding.weight", "embeddings.token_embedding.weight" },
    { "positional_embedding", "embeddings.position_embedding.weight" },
    { "ln_final.weight", "final_layer_norm.weight" },
    { "ln_final.bias", "final_layer_norm.bias" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (renamed); i++)
    if (strcmp (name, renamed[i][0]) == 0)
      {
        put (named, g_strdup (renamed[i][1]), stored, stored->n_dims, stored->dims, 0);
        return;
      }
  /* What is not known stays under its own name, and will be said to be too much. */
  if (!name_openclip_layer (named, name, stored))
    put (named, g_strdup (name), stored, stored->n_dims, stored->dims, 0);
}

GHashTable *
switti_checkpoint_name_tensors (SwittiTensorSource *source, const char *wanted_prefix, SwittiPartKind *kind,
                                gboolean *has_openclip_names, char **prefix, GError **error)
{
  g_autoptr (GArray) matches = find_matches (source, wanted_prefix);
  g_autoptr (GHashTable) named = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  const Match *match;

  if (matches->len == 0 && !set_no_match (source, wanted_prefix, error))
    return NULL;
  if (matches->len > 1 && !set_ambiguous (source, matches, error))
    return NULL;
  match = &g_array_index (matches, Match, 0);
  for (guint i = 0; i < switti_tensor_source_get_n (source); i++)
    {
      const SwittiStoredTensor *stored = switti_tensor_source_get (source, i);
      const char *name = stored->name + strlen (match->prefix);

      if (!g_str_has_prefix (stored->name, match->prefix) || is_left_out (match->naming, name))
        continue;
      if (match->naming->is_openclip)
        name_openclip (named, name, stored);
      else
        put (named, g_strdup (name), stored, stored->n_dims, stored->dims, 0);
    }
  *kind = match->naming->kind;
  *has_openclip_names = match->naming->is_openclip;
  *prefix = g_strdup (match->prefix);
  return g_steal_pointer (&named);
}
