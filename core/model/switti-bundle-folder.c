/* switti-bundle-folder.c - reads a model folder
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-bundle-folder-private.h"

#include "switti-error.h"
#include "switti-sha256-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_INDEX_BYTES ((gsize) 1 << 20)
#define MAX_README_BYTES ((gsize) 64 << 10)

static const char *const part_folders[] = {
  "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer", "vae",
};

void
switti_bundle_parts_clear (SwittiBundleParts *parts)
{
  g_clear_pointer (&parts->transformer_weights, switti_weights_unref);
  g_clear_pointer (&parts->vae_weights, switti_weights_unref);
  for (int i = 0; i < 2; i++)
    {
      g_clear_pointer (&parts->text_weights[i], switti_weights_unref);
      g_clear_pointer (&parts->tokenizer[i], switti_tokenizer_unref);
    }
}

/* -- checks ------------------------------------------------------------------------------------------------- */

static gboolean
mismatch (GError **error, const char *description, const char *what, int a, int b)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("The parts of %s do not fit together: %s (%d and %d); get all of them from one source."), description,
               what, a, b);
  return FALSE;
}

static gboolean
check_schedules (const SwittiBundleParts *parts, const char *description, GError **error)
{
  const SwittiSchedule *transformer = &parts->transformer.schedule, *vae = &parts->vae.schedule;

  if (transformer->n_scales != vae->n_scales)
    return mismatch (error, description, _ ("the transformer and the VAE have other numbers of scales"),
                     transformer->n_scales, vae->n_scales);
  for (int s = 0; s < transformer->n_scales; s++)
    if (transformer->side[s] != vae->side[s])
      return mismatch (error, description, _ ("the transformer and the VAE have other sizes of scales"),
                       transformer->side[s], vae->side[s]);
  return TRUE;
}

gboolean
switti_bundle_parts_check (const SwittiBundleParts *parts, const char *description, GError **error)
{
  const SwittiTransformerConfig *transformer = &parts->transformer;
  const SwittiTextConfig *text = parts->text;

  if (transformer->vocab != parts->vae.vocab)
    return mismatch (error, description, _ ("the transformer and the VAE have other numbers of codes"),
                     transformer->vocab, parts->vae.vocab);
  if (transformer->latent != parts->vae.latent)
    return mismatch (error, description, _ ("the transformer and the VAE have other numbers of latent channels"),
                     transformer->latent, parts->vae.latent);
  if (transformer->context_dim != text[0].width + text[1].width)
    return mismatch (error, description, _ ("the transformer's context is not as wide as both text encoders"),
                     transformer->context_dim, text[0].width + text[1].width);
  if (transformer->pooled_dim != text[1].width)
    return mismatch (error, description, _ ("the transformer's pooled text is not as wide as the second text encoder"),
                     transformer->pooled_dim, text[1].width);
  for (int i = 0; i < 2; i++)
    {
      int vocab_size = switti_tokenizer_get_vocab_size (parts->tokenizer[i]);

      if (text[i].positions < SWITTI_TEXT_LENGTH)
        return mismatch (error, description, _ ("a text encoder has fewer positions than a prompt"), text[i].positions,
                         SWITTI_TEXT_LENGTH);
      if (vocab_size > text[i].vocab)
        return mismatch (error, description, _ ("a tokenizer has more tokens than its text encoder"), vocab_size,
                         text[i].vocab);
    }
  return check_schedules (parts, description, error);
}

/* Whether a tensor has the shape that the configuration implies: the file is mapped, nothing is read. */
static gboolean
check_tensor (SwittiWeights *weights, const char *name, int n_dims, const gint64 *dims, GError **error)
{
  g_auto (SwittiHostTensor) tensor = { 0 };

  return switti_weights_get (weights, name, n_dims, dims, &tensor, error);
}

#define CHECK(weights, name, ...)                                                                                   \
  check_tensor (weights, name, G_N_ELEMENTS (((const gint64[]) { __VA_ARGS__ })), (const gint64[]) { __VA_ARGS__ }, \
                error)

static gboolean
check_transformer_tensors (const SwittiBundleParts *parts, GError **error)
{
  const SwittiTransformerConfig *config = &parts->transformer;
  SwittiWeights *weights = parts->transformer_weights;
  gint64 width = config->width;
  g_autofree char *last_qkv = g_strdup_printf ("blocks.%d.attn.to_qkv.weight", config->depth - 1);
  g_autofree char *last_ada = g_strdup_printf ("blocks.%d.ada_lin.1.weight", config->depth - 1);

  return CHECK (weights, "word_embed.weight", width, config->latent) &&
         CHECK (weights, "text_pooler.weight", width, config->pooled_dim) &&
         CHECK (weights, "lvl_embed.weight", config->schedule.n_scales, width) &&
         CHECK (weights, "pos_start", 1, 1, width) &&
         (config->rope || CHECK (weights, "pos_1LC", 1, switti_schedule_length (&config->schedule), width)) &&
         (!config->crop_cond || CHECK (weights, "crop_embed.weight", width / 8)) &&
         CHECK (weights, "blocks.0.cross_attn.to_kv.weight", 2 * width, config->context_dim) &&
         CHECK (weights, config->swiglu ? "blocks.0.ffn.gate_proj.weight" : "blocks.0.ffn.fc1.weight",
                config->ffn_hidden, width) &&
         CHECK (weights, last_qkv, 3 * width, width) && CHECK (weights, last_ada, 6 * width, width) &&
         CHECK (weights, "head.weight", config->vocab, width);
}

static gboolean
check_vae_tensors (const SwittiBundleParts *parts, GError **error)
{
  const SwittiVaeConfig *config = &parts->vae;
  SwittiWeights *weights = parts->vae_weights;
  gint64 ch = config->ch, latent = config->latent;

  return CHECK (weights, "quantize.embedding.weight", config->vocab, latent) &&
         CHECK (weights, "post_quant_conv.weight", latent, latent, 3, 3) &&
         CHECK (weights, "decoder.conv_in.weight", 4 * ch, latent, 3, 3) &&
         CHECK (weights, "decoder.conv_out.weight", 3, ch, 3, 3);
}

static gboolean
check_text_tensors (const SwittiTextConfig *config, SwittiWeights *weights, GError **error)
{
  g_autofree char *last_fc1 = g_strdup_printf ("encoder.layers.%d.mlp.fc1.weight", config->layers - 1);

  return CHECK (weights, "embeddings.token_embedding.weight", config->vocab, config->width) &&
         CHECK (weights, "embeddings.position_embedding.weight", config->positions, config->width) &&
         CHECK (weights, last_fc1, config->mlp, config->width) &&
         CHECK (weights, "final_layer_norm.weight", config->width);
}

/* -- parts -------------------------------------------------------------------------------------------------- */

static SwittiWeights *
open_weights (const char *folder, const char *part, GError **error)
{
  g_autofree char *path = g_build_filename (folder, part, NULL);

  return switti_weights_open_folder (path, error);
}

static gboolean
load_transformer (const char *folder, SwittiBundleParts *parts, GError **error)
{
  g_autofree char *config_path = g_build_filename (folder, "transformer", "config.json", NULL);

  parts->transformer_weights = open_weights (folder, "transformer", error);
  return parts->transformer_weights != NULL &&
         switti_transformer_config_load (config_path, parts->transformer_weights, &parts->transformer, error) &&
         check_transformer_tensors (parts, error);
}

static gboolean
load_vae (const char *folder, SwittiBundleParts *parts, GError **error)
{
  g_autofree char *config_path = g_build_filename (folder, "vae", "config.json", NULL);

  parts->vae_weights = open_weights (folder, "vae", error);
  if (parts->vae_weights == NULL || !switti_vae_config_load (config_path, parts->vae_weights, &parts->vae, error) ||
      !check_vae_tensors (parts, error))
    return FALSE;

  /* One VAE serves every resolution, whatever schedule it was trained at, unless each of its scales has a phi of its
   * own. */
  if (parts->vae.share_quant_resi > 0)
    parts->vae.schedule = parts->transformer.schedule;
  return TRUE;
}

/* Weights by names without "text_model.", which a full CLIP's file puts before them. */
static SwittiWeights *
open_text_weights (const char *folder, const char *part, GError **error)
{
  g_autoptr (SwittiWeights) stored = open_weights (folder, part, error);
  SwittiTensor shape;

  if (stored != NULL && switti_weights_peek (stored, "text_model.embeddings.token_embedding.weight", &shape))
    return switti_weights_with_prefix (stored, "text_model.");
  return g_steal_pointer (&stored);
}

static gboolean
load_text (const char *folder, int which, SwittiBundleParts *parts, GError **error)
{
  static const char *const encoders[] = { "text_encoder", "text_encoder_2" };
  static const char *const tokenizers[] = { "tokenizer", "tokenizer_2" };
  g_autofree char *config_path = g_build_filename (folder, encoders[which], "config.json", NULL);
  g_autofree char *tokenizer_path = g_build_filename (folder, tokenizers[which], NULL);
  SwittiTextConfig *config = &parts->text[which];
  gboolean has_ids;

  parts->text_weights[which] = open_text_weights (folder, encoders[which], error);
  if (parts->text_weights[which] == NULL ||
      !switti_text_config_load (config_path, parts->text_weights[which], config, error) ||
      !check_text_tensors (config, parts->text_weights[which], error))
    return FALSE;

  /* A folder may leave out the second tokenizer where it is the first. */
  if (which == 1 && !g_file_test (tokenizer_path, G_FILE_TEST_IS_DIR))
    {
      g_free (tokenizer_path);
      tokenizer_path = g_build_filename (folder, tokenizers[0], NULL);
    }
  /* An eos_token_id of 2 marks early published configurations, whose ids were never the tokenizer's. */
  has_ids = config->eos_id != 2;
  parts->tokenizer[which] = switti_tokenizer_open (tokenizer_path, has_ids ? config->bos_id : -1,
                                                   has_ids ? config->eos_id : -1, has_ids ? config->pad_id : -1, error);
  return parts->tokenizer[which] != NULL;
}

gboolean
switti_bundle_parts_load (const char *folder, SwittiBundleParts *parts, JsonObject **index, GError **error)
{
  g_autofree char *index_path = g_build_filename (folder, "model_index.json", NULL);
  g_autofree char *description = g_strdup_printf ("“%s”", folder);
  g_autoptr (JsonObject) parsed = switti_json_load_object (index_path, MAX_INDEX_BYTES, error);

  memset (parts, 0, sizeof *parts);
  if (parsed != NULL && load_transformer (folder, parts, error) && load_vae (folder, parts, error) &&
      load_text (folder, 0, parts, error) && load_text (folder, 1, parts, error) &&
      switti_bundle_parts_check (parts, description, error))
    {
      *index = g_steal_pointer (&parsed);
      return TRUE;
    }
  switti_bundle_parts_clear (parts);
  return FALSE;
}

/* -- description -------------------------------------------------------------------------------------------- */

/* The end of a link's "](address)" that begins at `p`, or NULL. */
static const char *
find_address_end (const char *p)
{
  return g_str_has_prefix (p, "](") ? strchr (p, ')') : NULL;
}

/* Whether a link, "[words](address)", begins at `p`. */
static gboolean
is_link (const char *p)
{
  const char *end = *p == '[' ? strchr (p, ']') : NULL;

  return end != NULL && find_address_end (end) != NULL;
}

/* Appends a line of Markdown as plain text: code in quotes, links and pictures by their words. */
static void
append_plain (GString *text, const char *line)
{
  gboolean in_code = FALSE, in_link = FALSE;

  for (const char *p = line; *p != '\0'; p++)
    {
      const char *rest = *p == '!' ? p + 1 : p;

      if (*p == '`')
        {
          g_string_append (text, in_code ? "”" : "“");
          in_code = !in_code;
        }
      else if (*p == '*' && !in_code)
        continue;
      else if (!in_code && !in_link && is_link (rest))
        {
          in_link = TRUE;
          p = rest;
        }
      else if (in_link && find_address_end (p) != NULL)
        {
          p = find_address_end (p);
          in_link = FALSE;
        }
      else
        g_string_append_c (text, *p);
    }
  if (in_code)
    g_string_append (text, "”");
}

char *
switti_bundle_read_description (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "README.md", NULL);
  g_autoptr (GMappedFile) file = g_mapped_file_new (path, FALSE, NULL);
  g_autofree char *readme = NULL;
  g_auto (GStrv) lines = NULL;
  GString *text = g_string_new (NULL);
  gboolean in_front_matter = FALSE;

  if (file != NULL && g_mapped_file_get_length (file) > 0)
    readme = g_utf8_make_valid (g_mapped_file_get_contents (file),
                                (gssize) MIN (g_mapped_file_get_length (file), MAX_README_BYTES));
  lines = g_strsplit (readme != NULL ? readme : "", "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      const char *line = g_strstrip (lines[i]);

      /* A model card begins with its properties between two lines of dashes. */
      if (strcmp (line, "---") == 0 && (i == 0 || in_front_matter))
        {
          in_front_matter = !in_front_matter;
          continue;
        }
      if (in_front_matter || (*line == '#' && text->len == 0))
        continue;
      if (*line == '#')
        break; /* the next section is about something else */
      /* Lines of a paragraph are joined; an empty line ends it. */
      if (*line == '\0' && text->len > 0 && !g_str_has_suffix (text->str, "\n\n"))
        g_string_append (text, "\n\n");
      else if (*line != '\0')
        {
          if (text->len > 0 && !g_str_has_suffix (text->str, "\n"))
            g_string_append_c (text, ' ');
          append_plain (text, line);
        }
    }
  return g_strchomp (g_string_free (text, FALSE));
}

/* -- hash --------------------------------------------------------------------------------------------------- */

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Names, relative to the folder, of what makes up the model. */
static GPtrArray *
list_model_files (const char *folder)
{
  static const char *const suffixes[] = { ".json", ".safetensors", ".txt" };
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (names, g_strdup ("model_index.json"));
  for (guint i = 0; i < G_N_ELEMENTS (part_folders); i++)
    {
      g_autofree char *path = g_build_filename (folder, part_folders[i], NULL);
      g_autoptr (GDir) entries = g_dir_open (path, 0, NULL);
      const char *name;

      while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
        for (guint j = 0; j < G_N_ELEMENTS (suffixes); j++)
          if (g_str_has_suffix (name, suffixes[j]))
            g_ptr_array_add (names, g_build_filename (part_folders[i], name, NULL));
    }
  g_ptr_array_sort (names, compare_names);
  return names;
}

static gboolean
hash_file (SwittiSha256 *checksum, const char *folder, const char *name, GCancellable *cancellable, GError **error)
{
  const gsize buffer_bytes = (gsize) 1 << 20;
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree guint8 *buffer = g_malloc (buffer_bytes);
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) stream = g_file_read (file, cancellable, error);
  g_autoptr (GFileInfo) info = NULL;
  guint64 size;
  gssize n_read;

  if (stream == NULL)
    return FALSE;
  info = g_file_input_stream_query_info (stream, G_FILE_ATTRIBUTE_STANDARD_SIZE, cancellable, error);
  if (info == NULL)
    return FALSE;

  size = GUINT64_TO_LE ((guint64) g_file_info_get_size (info));
  switti_sha256_update (checksum, name, strlen (name) + 1);
  switti_sha256_update (checksum, &size, sizeof size);
  while ((n_read = g_input_stream_read (G_INPUT_STREAM (stream), buffer, buffer_bytes, cancellable, error)) > 0)
    switti_sha256_update (checksum, buffer, (gsize) n_read);
  return n_read == 0;
}

char *
switti_bundle_hash_folder (const char *folder, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) names = list_model_files (folder);
  g_autoptr (SwittiSha256) checksum = switti_sha256_new ();

  for (guint i = 0; i < names->len; i++)
    {
      g_autoptr (GError) read_error = NULL;

      if (hash_file (checksum, folder, names->pdata[i], cancellable, &read_error))
        continue;
      if (g_error_matches (read_error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        g_propagate_error (error, g_steal_pointer (&read_error));
      else
        g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("The model in “%s” could not be read: %s."), folder,
                     read_error->message);
      return NULL;
    }
  return g_strdup (switti_sha256_finish (checksum));
}
