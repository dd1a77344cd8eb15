/* switti-config-json.c - a part's config.json
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The names are those of the published files; what those leave out, because their code has it as a constant, follows
 * under names of this project's own. The published code passes over names that it does not know.
 */
#include "switti-config-private.h"
#include "switti-json-private.h"

static void
add_int (JsonBuilder *builder, const char *name, gint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, value);
}

static void
add_boolean (JsonBuilder *builder, const char *name, gboolean value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_boolean_value (builder, value);
}

static void
add_string (JsonBuilder *builder, const char *name, const char *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

/* Whole numbers without a fraction: the published configurations have them so. */
static void
add_double (JsonBuilder *builder, const char *name, double value)
{
  if (value == (double) (gint64) value)
    {
      add_int (builder, name, (gint64) value);
      return;
    }
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, value);
}

static void
add_schedule (JsonBuilder *builder, const char *name, const SwittiSchedule *schedule)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_array (builder);
  for (int s = 0; s < schedule->n_scales; s++)
    json_builder_add_int_value (builder, schedule->side[s]);
  json_builder_end_array (builder);
}

/* Frees the builder. */
static char *
finish (JsonBuilder *builder)
{
  g_autoptr (JsonNode) root = NULL;
  char *text;

  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  text = json_to_string (root, TRUE);
  g_object_unref (builder);
  return text;
}

char *
switti_transformer_config_to_json (const SwittiTransformerConfig *config)
{
  JsonBuilder *builder = json_builder_begin_object (json_builder_new ());

  add_string (builder, "_class_name", "Switti");
  add_int (builder, "depth", config->depth);
  add_boolean (builder, "rope", config->rope);
  add_double (builder, "rope_theta", config->rope_theta);
  add_double (builder, "rope_size", config->rope_size);
  add_boolean (builder, "use_swiglu_ffn", config->swiglu);
  add_boolean (builder, "use_ar", config->ar);
  add_boolean (builder, "use_crop_cond", config->crop_cond);
  add_int (builder, "reso", config->resolution);
  add_int (builder, "embed_dim", config->width);
  add_int (builder, "num_heads", config->heads);
  add_schedule (builder, "patch_nums", &config->schedule);
  add_int (builder, "vocab_size", config->vocab);
  add_int (builder, "z_channels", config->latent);
  add_int (builder, "context_dim", config->context_dim);
  add_int (builder, "pooled_dim", config->pooled_dim);
  return finish (builder);
}

char *
switti_vae_config_to_json (const SwittiVaeConfig *config)
{
  JsonBuilder *builder = json_builder_begin_object (json_builder_new ());

  add_string (builder, "_class_name", "VQVAE");
  add_int (builder, "vocab_size", config->vocab);
  add_int (builder, "z_channels", config->latent);
  add_int (builder, "ch", config->ch);
  add_int (builder, "share_quant_resi", config->share_quant_resi);
  add_double (builder, "quant_resi", config->quant_resi);
  add_boolean (builder, "using_znorm", config->using_znorm);
  add_schedule (builder, "v_patch_nums", &config->schedule);
  return finish (builder);
}

char *
switti_text_config_to_json (const SwittiTextConfig *config)
{
  JsonBuilder *builder = json_builder_begin_object (json_builder_new ());

  add_string (builder, "_class_name", "CLIPTextModel");
  json_builder_set_member_name (builder, "architectures");
  json_builder_begin_array (builder);
  json_builder_add_string_value (builder, "CLIPTextModel");
  json_builder_end_array (builder);
  add_string (builder, "model_type", "clip_text_model");
  add_int (builder, "hidden_size", config->width);
  add_int (builder, "intermediate_size", config->mlp);
  add_int (builder, "num_attention_heads", config->heads);
  add_int (builder, "num_hidden_layers", config->layers);
  add_string (builder, "hidden_act", config->quick_gelu ? "quick_gelu" : "gelu");
  json_builder_set_member_name (builder, "layer_norm_eps");
  json_builder_add_double_value (builder, config->norm_eps);
  add_int (builder, "max_position_embeddings", config->positions);
  add_int (builder, "vocab_size", config->vocab);
  add_int (builder, "bos_token_id", config->bos_id);
  add_int (builder, "eos_token_id", config->eos_id);
  add_int (builder, "pad_token_id", config->pad_id);
  return finish (builder);
}
