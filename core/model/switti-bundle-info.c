/* switti-bundle-info.c - what a model is, in numbers
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-bundle-folder-private.h"

/* -- numbers of parameters ---------------------------------------------------------------------------------- */

/* A linear layer with bias, and a k x k convolution with bias. */
static guint64
linear (guint64 out, guint64 in)
{
  return out * in + out;
}

static guint64
conv (guint64 out, guint64 in, guint64 k)
{
  return out * in * k * k + out;
}

guint64
switti_transformer_config_count (const SwittiTransformerConfig *config)
{
  guint64 width = (guint64) config->width, context = (guint64) config->context_dim;
  guint64 hidden = (guint64) config->ffn_hidden;
  guint64 ffn = config->swiglu ? 3 * hidden * width : linear (hidden, width) + linear (width, hidden);
  guint64 block = linear (3 * width, width) + linear (width, width)                                   /* attn */
                  + linear (width, width) + linear (2 * width, context) + linear (width, width)       /* cross_attn */
                  + ffn + 6 * width + context                                                         /* norms */
                  + linear (6 * width, width) + (config->crop_cond ? width : 0);                      /* ada_lin */
  guint64 outside = width                                                                             /* pos_start */
                    + linear (width, (guint64) config->latent) + linear (width, (guint64) config->pooled_dim)
                    + (guint64) config->schedule.n_scales * width                                     /* lvl_embed */
                    + linear (2 * width, width) + linear ((guint64) config->vocab, width);            /* head */

  if (!config->rope)
    outside += (guint64) switti_schedule_length (&config->schedule) * width;
  if (config->crop_cond)
    outside += width / 8 + linear (width, width);
  return (guint64) config->depth * block + outside;
}

static guint64
resnet_block (guint64 in, guint64 out)
{
  return 2 * in + conv (out, in, 3) + 2 * out + conv (out, out, 3) + (in != out ? conv (out, in, 1) : 0);
}

static guint64
attention_block (guint64 width)
{
  return 2 * width + conv (3 * width, width, 1) + conv (width, width, 1);
}

/* The five levels of one half, entered with `first` channels: n_blocks each, attention at the lowest level, a resizing
 * convolution between levels. */
static guint64
levels (guint64 ch, guint64 first, int n_blocks, gboolean downwards)
{
  static const guint multipliers[SWITTI_VAE_LEVELS] = { 1, 1, 2, 2, 4 };
  guint64 count = 0, in = first;

  for (int i = 0; i < SWITTI_VAE_LEVELS; i++)
    {
      int level = downwards ? i : SWITTI_VAE_LEVELS - 1 - i;
      guint64 out = ch * multipliers[level];

      for (int j = 0; j < n_blocks; j++)
        {
          count += resnet_block (in, out) + (level == SWITTI_VAE_LEVELS - 1 ? attention_block (out) : 0);
          in = out;
        }
      if (i < SWITTI_VAE_LEVELS - 1)
        count += conv (out, out, 3);
    }
  return count;
}

guint64
switti_vae_config_count (const SwittiVaeConfig *config)
{
  guint64 ch = (guint64) config->ch, latent = (guint64) config->latent, widest = 4 * ch;
  guint64 middle = 2 * resnet_block (widest, widest) + attention_block (widest);
  guint64 encoder = conv (ch, 3, 3) + levels (ch, ch, 2, TRUE) + middle + 2 * widest + conv (latent, widest, 3);
  guint64 decoder = conv (widest, latent, 3) + middle + levels (ch, widest, 3, FALSE) + 2 * ch + conv (3, ch, 3);
  guint64 n_phi = (guint64) (config->share_quant_resi > 0 ? config->share_quant_resi : config->schedule.n_scales);

  return encoder + decoder + (2 + n_phi) * conv (latent, latent, 3) + (guint64) config->vocab * latent;
}

guint64
switti_text_config_count (const SwittiTextConfig *config)
{
  guint64 width = (guint64) config->width, mlp = (guint64) config->mlp;
  guint64 layer = 4 * linear (width, width) + linear (mlp, width) + linear (width, mlp) + 4 * width;

  return ((guint64) config->vocab + (guint64) config->positions) * width + (guint64) config->layers * layer + 2 * width;
}

guint64
switti_bundle_parts_count (const SwittiBundleParts *parts)
{
  return switti_transformer_config_count (&parts->transformer) + switti_vae_config_count (&parts->vae) +
         switti_text_config_count (&parts->text[0]) + switti_text_config_count (&parts->text[1]);
}

/* -- JSON --------------------------------------------------------------------------------------------------- */

static void
add_int (JsonBuilder *builder, const char *name, guint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, (gint64) value);
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

static void
begin_part (JsonBuilder *builder, const char *name, SwittiWeights *weights, guint64 count)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_object (builder);
  add_int (builder, "parameters", count);
  add_string (builder, "weights", switti_weights_get_description (weights));
}

static void
add_transformer (JsonBuilder *builder, const SwittiBundleParts *parts)
{
  const SwittiTransformerConfig *config = &parts->transformer;

  begin_part (builder, "transformer", parts->transformer_weights, switti_transformer_config_count (config));
  add_int (builder, "depth", (guint64) config->depth);
  add_int (builder, "embed_dim", (guint64) config->width);
  add_int (builder, "num_heads", (guint64) config->heads);
  add_int (builder, "ffn_hidden", (guint64) config->ffn_hidden);
  add_int (builder, "vocab_size", (guint64) config->vocab);
  add_int (builder, "z_channels", (guint64) config->latent);
  add_int (builder, "context_dim", (guint64) config->context_dim);
  add_int (builder, "pooled_dim", (guint64) config->pooled_dim);
  add_boolean (builder, "rope", config->rope);
  add_boolean (builder, "use_swiglu_ffn", config->swiglu);
  add_boolean (builder, "use_ar", config->ar);
  add_boolean (builder, "use_crop_cond", config->crop_cond);
  json_builder_set_member_name (builder, "patch_nums");
  json_builder_begin_array (builder);
  for (int s = 0; s < config->schedule.n_scales; s++)
    json_builder_add_int_value (builder, config->schedule.side[s]);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
}

static void
add_vae (JsonBuilder *builder, const SwittiBundleParts *parts)
{
  const SwittiVaeConfig *config = &parts->vae;

  begin_part (builder, "vae", parts->vae_weights, switti_vae_config_count (config));
  add_int (builder, "ch", (guint64) config->ch);
  add_int (builder, "vocab_size", (guint64) config->vocab);
  add_int (builder, "z_channels", (guint64) config->latent);
  add_int (builder, "share_quant_resi", (guint64) config->share_quant_resi);
  json_builder_end_object (builder);
}

static void
add_text (JsonBuilder *builder, const char *name, const SwittiBundleParts *parts, int which)
{
  const SwittiTextConfig *config = &parts->text[which];

  begin_part (builder, name, parts->text_weights[which], switti_text_config_count (config));
  add_int (builder, "num_hidden_layers", (guint64) config->layers);
  add_int (builder, "hidden_size", (guint64) config->width);
  add_int (builder, "num_attention_heads", (guint64) config->heads);
  add_int (builder, "intermediate_size", (guint64) config->mlp);
  add_int (builder, "vocab_size", (guint64) config->vocab);
  add_string (builder, "hidden_act", config->quick_gelu ? "quick_gelu" : "gelu");
  json_builder_end_object (builder);
}

char *
switti_bundle_parts_to_json (const char *name, const char *path, const SwittiBundleParts *parts)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;

  json_builder_begin_object (builder);
  add_string (builder, "name", name);
  add_string (builder, "path", path);
  add_int (builder, "resolution", (guint64) parts->transformer.resolution);
  add_int (builder, "n_scales", (guint64) parts->transformer.schedule.n_scales);
  add_int (builder, "parameters", switti_bundle_parts_count (parts));
  add_transformer (builder, parts);
  add_vae (builder, parts);
  add_text (builder, "text_encoder", parts, 0);
  add_text (builder, "text_encoder_2", parts, 1);
  json_builder_end_object (builder);

  root = json_builder_get_root (builder);
  return json_to_string (root, TRUE);
}
