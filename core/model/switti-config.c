/* switti-config.c - the shapes of a model's parts, from config.json and the tensors
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Each part is read in three steps: the published defaults, overridden by what the tensors say, overridden by what the
 * file says; then the relations between the values are checked.
 */
#include "switti-config-private.h"

#include "switti-error.h"
#include "switti-json-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#define MAX_CONFIG_BYTES ((gsize) 1 << 20)

/* Bounds of single values. They are far above any model's, and low enough that sums and products of a few of them fit a
 * gint64 with room to spare. */
#define MAX_DEPTH 1024
#define MAX_WIDTH 65536
#define MAX_VOCAB (1 << 24)
#define MAX_SIDE 1024
#define PIXELS_PER_LATENT (1 << (SWITTI_VAE_LEVELS - 1))
#define GROUP_NORM_GROUPS 32

static gboolean invalid (GError **error, const char *description, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* Sets "In <description>, <format>." and returns FALSE. */
static gboolean
invalid (GError **error, const char *description, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list arguments;

  va_start (arguments, format);
  what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("In %s, %s."), description, what);
  return FALSE;
}

/* *value = size `index` of a stored tensor with n_dims sizes; left alone where there is none of that rank. */
static gboolean
read_stored_size (SwittiWeights *weights, const char *name, int n_dims, int index, int *value)
{
  SwittiTensor shape;

  if (weights == NULL || !switti_weights_peek (weights, name, &shape) || shape.n_dims != n_dims ||
      shape.dims[index] < 1 || shape.dims[index] > MAX_VOCAB)
    return FALSE;
  *value = (int) shape.dims[index];
  return TRUE;
}

static gboolean
is_stored (SwittiWeights *weights, const char *name, int n_dims)
{
  int size;

  return read_stored_size (weights, name, n_dims, 0, &size);
}

/* How many of format (0), format (1), … are there in a row. */
static int
count_stored (SwittiWeights *weights, const char *before, const char *after, int n_dims)
{
  for (int i = 0; i < MAX_DEPTH; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s%d%s", before, i, after);

      if (!is_stored (weights, name, n_dims))
        return i;
    }
  return MAX_DEPTH;
}

/* -- schedules ---------------------------------------------------------------------------------------------- */

gboolean
switti_schedule_for_resolution (int resolution, SwittiSchedule *schedule)
{
  static const SwittiSchedule published[] = {
    { 10, { 1, 2, 3, 4, 5, 6, 8, 10, 13, 16 } },
    { 10, { 1, 2, 3, 4, 6, 9, 13, 18, 24, 32 } },
    { 14, { 1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64 } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (published); i++)
    if (published[i].side[published[i].n_scales - 1] * PIXELS_PER_LATENT == resolution)
      {
        *schedule = published[i];
        return TRUE;
      }
  return FALSE;
}

gint64
switti_schedule_length (const SwittiSchedule *schedule)
{
  gint64 length = 0;

  for (int s = 0; s < schedule->n_scales; s++)
    length += (gint64) schedule->side[s] * schedule->side[s];
  return length;
}

static gboolean
schedule_is_valid (const SwittiSchedule *schedule)
{
  if (schedule->n_scales < 2 || schedule->n_scales > SWITTI_MAX_SCALES || schedule->side[0] != 1)
    return FALSE;
  for (int s = 1; s < schedule->n_scales; s++)
    if (schedule->side[s] <= schedule->side[s - 1] || schedule->side[s] > MAX_SIDE)
      return FALSE;
  return TRUE;
}

/* Reads an array of sides where the object has it. */
static gboolean
read_schedule (JsonObject *object, const char *name, SwittiSchedule *schedule, const char *description, GError **error)
{
  JsonArray *sides = switti_json_get_array (object, name);
  guint n_sides = sides != NULL ? json_array_get_length (sides) : 0;
  gboolean is_valid = sides != NULL && n_sides <= SWITTI_MAX_SCALES;

  if (!json_object_has_member (object, name) || json_object_get_null_member (object, name))
    return TRUE;

  memset (schedule, 0, sizeof *schedule);
  for (guint s = 0; is_valid && s < n_sides; s++)
    {
      gint64 side;

      is_valid = switti_json_node_get_integer (json_array_get_element (sides, s), &side) && side >= 1 &&
                 side <= MAX_SIDE;
      schedule->side[s] = is_valid ? (int) side : 0;
    }
  schedule->n_scales = (int) n_sides;
  if (is_valid && schedule_is_valid (schedule))
    return TRUE;
  return invalid (error, description,
                  _ ("“%s” must be 2 to %d whole numbers that begin with 1, grow, and end below %d"), name,
                  SWITTI_MAX_SCALES, MAX_SIDE + 1);
}

/* -- transformer -------------------------------------------------------------------------------------------- */

/* ⌊8C/3⌋ for SwiGLU, 4C otherwise. */
static int
ffn_hidden_for (int width, gboolean swiglu)
{
  return swiglu ? width * 8 / 3 : width * 4;
}

static void
default_transformer (SwittiWeights *weights, SwittiTransformerConfig *config)
{
  int depth = count_stored (weights, "blocks.", ".attn.to_qkv.weight", 2);

  *config = (SwittiTransformerConfig) {
    .depth = depth > 0 ? depth : 30,
    .vocab = 4096,
    .latent = 32,
    .context_dim = 2048,
    .pooled_dim = 1280,
    .rope = !is_stored (weights, "pos_1LC", 3),
    .swiglu = !is_stored (weights, "blocks.0.ffn.fc1.weight", 2),
    .crop_cond = depth == 0 || is_stored (weights, "crop_embed.weight", 1),
    .rope_theta = 10000.0,
    .rope_size = 128.0,
  };
  read_stored_size (weights, "word_embed.weight", 2, 0, &config->width);
  read_stored_size (weights, "word_embed.weight", 2, 1, &config->latent);
  read_stored_size (weights, "head.weight", 2, 0, &config->vocab);
  read_stored_size (weights, "blocks.0.cross_attn.to_kv.weight", 2, 1, &config->context_dim);
  read_stored_size (weights, "text_pooler.weight", 2, 1, &config->pooled_dim);
}

static gboolean
read_transformer (JsonObject *object, SwittiTransformerConfig *config, const char *description, GError **error)
{
  return switti_json_read_int (object, "depth", 1, MAX_DEPTH, &config->depth, description, error) &&
         switti_json_read_int (object, "embed_dim", 1, MAX_WIDTH, &config->width, description, error) &&
         switti_json_read_int (object, "num_heads", 1, MAX_WIDTH, &config->heads, description, error) &&
         switti_json_read_int (object, "vocab_size", 2, MAX_VOCAB, &config->vocab, description, error) &&
         switti_json_read_int (object, "z_channels", 1, MAX_WIDTH, &config->latent, description, error) &&
         switti_json_read_int (object, "context_dim", 1, MAX_WIDTH, &config->context_dim, description, error) &&
         switti_json_read_int (object, "pooled_dim", 1, MAX_WIDTH, &config->pooled_dim, description, error) &&
         switti_json_read_boolean (object, "rope", &config->rope, description, error) &&
         switti_json_read_boolean (object, "use_swiglu_ffn", &config->swiglu, description, error) &&
         switti_json_read_boolean (object, "use_ar", &config->ar, description, error) &&
         switti_json_read_boolean (object, "use_crop_cond", &config->crop_cond, description, error) &&
         switti_json_read_double (object, "rope_theta", 1.0, 1e9, &config->rope_theta, description, error) &&
         switti_json_read_double (object, "rope_size", 1.0, 1e6, &config->rope_size, description, error) &&
         switti_json_read_int (object, "reso", PIXELS_PER_LATENT, MAX_SIDE * PIXELS_PER_LATENT, &config->resolution,
                               description, error) &&
         read_schedule (object, "patch_nums", &config->schedule, description, error);
}

/* The schedule follows from the resolution, or the resolution from the schedule. */
static gboolean
complete_schedule (SwittiTransformerConfig *config, const char *description, GError **error)
{
  if (config->schedule.n_scales == 0)
    {
      if (config->resolution == 0)
        config->resolution = 512;
      if (!switti_schedule_for_resolution (config->resolution, &config->schedule))
        return invalid (error, description, _ ("“reso” is %d, but only 256, 512 and 1024 do without “patch_nums”"),
                        config->resolution);
    }
  else
    {
      int implied = config->schedule.side[config->schedule.n_scales - 1] * PIXELS_PER_LATENT;

      if (config->resolution != 0 && config->resolution != implied)
        return invalid (error, description, _ ("“reso” is %d but “patch_nums” makes pictures of %d pixels"),
                        config->resolution, implied);
      config->resolution = implied;
    }
  return TRUE;
}

static gboolean
check_transformer (const SwittiTransformerConfig *config, const char *description, GError **error)
{
  if (config->width < 1 || config->width > MAX_WIDTH)
    return invalid (error, description, _ ("“embed_dim” is missing or not from 1 to %d"), MAX_WIDTH);
  if (config->heads < 1 || config->width % config->heads != 0)
    return invalid (error, description, _ ("“embed_dim” %d is not a multiple of “num_heads” %d"), config->width,
                    config->heads);
  if (config->rope && config->width / config->heads % 4 != 0)
    return invalid (error, description, _ ("heads are %d wide, which must be a multiple of 4 where “rope” is on"),
                    config->width / config->heads);
  if (config->crop_cond && config->width % 8 != 0)
    return invalid (error, description,
                    _ ("“embed_dim” is %d, which must be a multiple of 8 where “use_crop_cond” is on"), config->width);
  if (config->context_dim > MAX_WIDTH || config->pooled_dim > MAX_WIDTH || config->latent > MAX_WIDTH)
    return invalid (error, description, _ ("no width may be above %d"), MAX_WIDTH);
  return TRUE;
}

gboolean
switti_transformer_config_parse (const char *json, gssize length, const char *description, SwittiWeights *weights,
                                 SwittiTransformerConfig *config, GError **error)
{
  g_autoptr (JsonObject) object = switti_json_parse_object (json, length, description, error);

  if (object == NULL)
    return FALSE;
  default_transformer (weights, config);
  if (!read_transformer (object, config, description, error) || !complete_schedule (config, description, error))
    return FALSE;

  if (config->width == 0)
    config->width = 64 * config->depth;
  if (config->heads == 0)
    config->heads = config->width % 64 == 0 ? config->width / 64 : 1;
  config->ffn_hidden = ffn_hidden_for (config->width, config->swiglu);
  read_stored_size (weights, config->swiglu ? "blocks.0.ffn.up_proj.weight" : "blocks.0.ffn.fc1.weight", 2, 0,
                    &config->ffn_hidden);
  return check_transformer (config, description, error);
}

/* -- VAE ---------------------------------------------------------------------------------------------------- */

static void
default_vae (SwittiWeights *weights, SwittiVaeConfig *config)
{
  int shared = count_stored (weights, "quantize.quant_resi.qresi_ls.", ".weight", 4);

  *config = (SwittiVaeConfig) {
    .ch = 160,
    .vocab = 4096,
    .latent = 32,
    .share_quant_resi = 4,
    .quant_resi = 0.5,
  };
  if (shared > 0)
    config->share_quant_resi = shared;
  else if (is_stored (weights, "quantize.quant_resi.qresi.weight", 4))
    config->share_quant_resi = 1;
  else if (is_stored (weights, "quantize.quant_resi.0.weight", 4))
    config->share_quant_resi = 0;
  read_stored_size (weights, "encoder.conv_in.weight", 4, 0, &config->ch);
  read_stored_size (weights, "quantize.embedding.weight", 2, 0, &config->vocab);
  read_stored_size (weights, "quantize.embedding.weight", 2, 1, &config->latent);
  switti_schedule_for_resolution (512, &config->schedule);
}

gboolean
switti_vae_config_parse (const char *json, gssize length, const char *description, SwittiWeights *weights,
                         SwittiVaeConfig *config, GError **error)
{
  g_autoptr (JsonObject) object = switti_json_parse_object (json, length, description, error);

  if (object == NULL)
    return FALSE;
  default_vae (weights, config);
  if (!switti_json_read_int (object, "ch", GROUP_NORM_GROUPS, MAX_WIDTH / 4, &config->ch, description, error) ||
      !switti_json_read_int (object, "vocab_size", 2, MAX_VOCAB, &config->vocab, description, error) ||
      !switti_json_read_int (object, "z_channels", 1, MAX_WIDTH, &config->latent, description, error) ||
      !switti_json_read_int (object, "share_quant_resi", 0, SWITTI_MAX_SCALES, &config->share_quant_resi, description,
                             error) ||
      !switti_json_read_double (object, "quant_resi", 0.0, 1.0, &config->quant_resi, description, error) ||
      !switti_json_read_boolean (object, "using_znorm", &config->using_znorm, description, error) ||
      !read_schedule (object, "v_patch_nums", &config->schedule, description, error) ||
      !read_schedule (object, "patch_nums", &config->schedule, description, error))
    return FALSE;

  if (config->ch % GROUP_NORM_GROUPS != 0 || config->ch > MAX_WIDTH / 4)
    return invalid (error, description, _ ("“ch” is %d, which must be a multiple of %d up to %d"), config->ch,
                    GROUP_NORM_GROUPS, MAX_WIDTH / 4);
  if (config->latent > MAX_WIDTH)
    return invalid (error, description, _ ("“z_channels” must be at most %d"), MAX_WIDTH);
  return TRUE;
}

/* -- text encoders ------------------------------------------------------------------------------------------ */

static void
default_text (SwittiWeights *weights, SwittiTextConfig *config)
{
  int layers = count_stored (weights, "encoder.layers.", ".self_attn.q_proj.weight", 2);

  *config = (SwittiTextConfig) {
    .layers = layers > 0 ? layers : 12,
    .width = 512,
    .vocab = 49408,
    .positions = 77,
    .quick_gelu = TRUE,
    .norm_eps = 1e-5,
    .bos_id = 49406,
    .eos_id = 49407,
    .pad_id = 1,
  };
  read_stored_size (weights, "embeddings.token_embedding.weight", 2, 0, &config->vocab);
  read_stored_size (weights, "embeddings.token_embedding.weight", 2, 1, &config->width);
  read_stored_size (weights, "embeddings.position_embedding.weight", 2, 0, &config->positions);
  read_stored_size (weights, "encoder.layers.0.mlp.fc1.weight", 2, 0, &config->mlp);
}

static gboolean
read_activation (JsonObject *object, SwittiTextConfig *config, const char *description, GError **error)
{
  const char *activation = switti_json_get_string (object, "hidden_act");

  if (!json_object_has_member (object, "hidden_act"))
    return TRUE;
  if (g_strcmp0 (activation, "quick_gelu") != 0 && g_strcmp0 (activation, "gelu") != 0)
    return invalid (error, description, _ ("“hidden_act” must be “quick_gelu” or “gelu”"));
  config->quick_gelu = strcmp (activation, "quick_gelu") == 0;
  return TRUE;
}

static gboolean
check_text (const SwittiTextConfig *config, const char *description, GError **error)
{
  if (config->width > MAX_WIDTH || config->mlp > MAX_WIDTH || config->positions > MAX_WIDTH)
    return invalid (error, description, _ ("no size may be above %d"), MAX_WIDTH);
  if (config->heads < 1 || config->width % config->heads != 0)
    return invalid (error, description, _ ("“hidden_size” %d is not a multiple of “num_attention_heads” %d"),
                    config->width, config->heads);
  if (config->bos_id >= config->vocab || config->eos_id >= config->vocab || config->pad_id >= config->vocab)
    return invalid (error, description, _ ("a special token's id is not below “vocab_size” %d"), config->vocab);
  return TRUE;
}

gboolean
switti_text_config_parse (const char *json, gssize length, const char *description, SwittiWeights *weights,
                          SwittiTextConfig *config, GError **error)
{
  g_autoptr (JsonObject) root = switti_json_parse_object (json, length, description, error);
  JsonObject *object;

  if (root == NULL)
    return FALSE;
  /* A full CLIP's configuration keeps the text half's in a member of its own. */
  object = switti_json_get_object (root, "text_config");
  if (object == NULL)
    object = root;

  default_text (weights, config);
  if (!switti_json_read_int (object, "num_hidden_layers", 1, MAX_DEPTH, &config->layers, description, error) ||
      !switti_json_read_int (object, "hidden_size", 1, MAX_WIDTH, &config->width, description, error) ||
      !switti_json_read_int (object, "num_attention_heads", 1, MAX_WIDTH, &config->heads, description, error) ||
      !switti_json_read_int (object, "intermediate_size", 1, MAX_WIDTH, &config->mlp, description, error) ||
      !switti_json_read_int (object, "vocab_size", 3, MAX_VOCAB, &config->vocab, description, error) ||
      !switti_json_read_int (object, "max_position_embeddings", 1, MAX_WIDTH, &config->positions, description, error) ||
      !switti_json_read_double (object, "layer_norm_eps", 1e-12, 0.1, &config->norm_eps, description, error) ||
      !switti_json_read_int (object, "bos_token_id", 0, MAX_VOCAB, &config->bos_id, description, error) ||
      !switti_json_read_int (object, "eos_token_id", 0, MAX_VOCAB, &config->eos_id, description, error) ||
      !switti_json_read_int (object, "pad_token_id", 0, MAX_VOCAB, &config->pad_id, description, error) ||
      !read_activation (object, config, description, error))
    return FALSE;

  if (config->heads == 0)
    config->heads = config->width % 64 == 0 ? config->width / 64 : 1;
  if (config->mlp == 0)
    config->mlp = 4 * config->width;
  return check_text (config, description, error);
}

/* -- files -------------------------------------------------------------------------------------------------- */

/* The text of a configuration file, with words for messages. */
static char *
load_config (const char *path, gsize *length, char **description, GError **error)
{
  g_autoptr (GMappedFile) file = NULL;
  g_autoptr (GError) open_error = NULL;

  *description = g_strdup_printf ("“%s”", path);
  file = g_mapped_file_new (path, FALSE, &open_error);
  if (file == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("A configuration of the model could not be read: %s."),
                   open_error->message);
      return NULL;
    }
  *length = g_mapped_file_get_length (file);
  if (*length > MAX_CONFIG_BYTES)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("%s is too large to be a configuration."),
                   *description);
      return NULL;
    }
  return *length == 0 ? g_strdup ("") : g_strndup (g_mapped_file_get_contents (file), *length);
}

gboolean
switti_transformer_config_load (const char *path, SwittiWeights *weights, SwittiTransformerConfig *config,
                                GError **error)
{
  g_autofree char *description = NULL;
  gsize length;
  g_autofree char *text = load_config (path, &length, &description, error);

  return text != NULL && switti_transformer_config_parse (text, (gssize) length, description, weights, config, error);
}

gboolean
switti_vae_config_load (const char *path, SwittiWeights *weights, SwittiVaeConfig *config, GError **error)
{
  g_autofree char *description = NULL;
  gsize length;
  g_autofree char *text = load_config (path, &length, &description, error);

  return text != NULL && switti_vae_config_parse (text, (gssize) length, description, weights, config, error);
}

gboolean
switti_text_config_load (const char *path, SwittiWeights *weights, SwittiTextConfig *config, GError **error)
{
  g_autofree char *description = NULL;
  gsize length;
  g_autofree char *text = load_config (path, &length, &description, error);

  return text != NULL && switti_text_config_parse (text, (gssize) length, description, weights, config, error);
}
