/* switti-tensor-specs.c - the tensors that a checkpoint of each part must hold
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-checkpoint-private.h"
#include "switti-pyramid-private.h"
#include "switti-transformer-parts-private.h"
#include "switti-vae-layers-private.h"

static void
clear_spec (gpointer data)
{
  SwittiTensorSpec *spec = data;

  g_free (spec->name);
}

static GArray *
specs_new (void)
{
  GArray *specs = g_array_new (FALSE, TRUE, sizeof (SwittiTensorSpec));

  g_array_set_clear_func (specs, clear_spec);
  return specs;
}

/* Takes over name. */
static void
add (GArray *specs, char *name, int n_dims, const gint64 *dims)
{
  SwittiTensorSpec spec = { .name = name, .n_dims = n_dims };

  g_assert (n_dims <= (int) G_N_ELEMENTS (spec.dims));
  for (int i = 0; i < n_dims; i++)
    spec.dims[i] = dims[i];
  g_array_append_val (specs, spec);
}

#define ADD(specs, name, ...) \
  add (specs, name, (int) G_N_ELEMENTS (((const gint64[]){ __VA_ARGS__ })), (const gint64[]){ __VA_ARGS__ })

/* "<before><name>.weight" (n, k) and .bias (n) */
static void
add_linear (GArray *specs, const char *before, const char *name, gint64 n, gint64 k)
{
  ADD (specs, g_strconcat (before, name, ".weight", NULL), n, k);
  ADD (specs, g_strconcat (before, name, ".bias", NULL), n);
}

/* -- transformer -------------------------------------------------------------------------------------------- */

static void
add_block (GArray *specs, const SwittiTransformerConfig *config, int index)
{
  const gint64 c = config->width, f = config->ffn_hidden;
  g_autofree char *block = g_strdup_printf ("blocks.%d.", index);

  if (config->crop_cond)
    ADD (specs, g_strconcat (block, "crop_cond_scales", NULL), 1, c);
  add_linear (specs, block, "attn.to_qkv", 3 * c, c);
  add_linear (specs, block, "attn.proj", c, c);
  add_linear (specs, block, "cross_attn.to_q", c, c);
  add_linear (specs, block, "cross_attn.to_kv", 2 * c, config->context_dim);
  add_linear (specs, block, "cross_attn.proj", c, c);
  if (config->swiglu)
    {
      ADD (specs, g_strconcat (block, "ffn.up_proj.weight", NULL), f, c);
      ADD (specs, g_strconcat (block, "ffn.down_proj.weight", NULL), c, f);
      ADD (specs, g_strconcat (block, "ffn.gate_proj.weight", NULL), f, c);
    }
  else
    {
      add_linear (specs, block, "ffn.fc1", f, c);
      add_linear (specs, block, "ffn.fc2", c, f);
    }
  for (int i = 0; i < SWITTI_N_NORMS; i++)
    ADD (specs, g_strconcat (block, switti_norm_names[i], ".weight", NULL),
         i == SWITTI_NORM_CONTEXT ? config->context_dim : c);
  add_linear (specs, block, "ada_lin.1", 6 * c, c);
}

GArray *
switti_transformer_tensor_specs (const SwittiTransformerConfig *config)
{
  GArray *specs = specs_new ();
  const gint64 c = config->width;

  ADD (specs, g_strdup ("pos_start"), 1, 1, c);
  if (!config->rope)
    ADD (specs, g_strdup ("pos_1LC"), 1, switti_schedule_length (&config->schedule), c);
  add_linear (specs, "", "word_embed", c, config->latent);
  add_linear (specs, "", "text_pooler", c, config->pooled_dim);
  ADD (specs, g_strdup ("lvl_embed.weight"), config->schedule.n_scales, c);
  for (int i = 0; i < config->depth; i++)
    add_block (specs, config, i);
  if (config->crop_cond)
    {
      ADD (specs, g_strdup ("crop_embed.weight"), c / 8);
      add_linear (specs, "", "crop_proj", c, c);
    }
  add_linear (specs, "", "head_nm.ada_lin.1", 2 * c, c);
  add_linear (specs, "", "head", config->vocab, c);
  return specs;
}

/* -- VAE ---------------------------------------------------------------------------------------------------- */

static void
add_conv (GArray *specs, char *weight, char *bias, gint64 c_out, gint64 c_in, gint64 kernel)
{
  ADD (specs, weight, c_out, c_in, kernel, kernel);
  ADD (specs, bias, c_out);
}

static void
add_layer (GArray *specs, const SwittiVaeLayerSpec *layer)
{
  for (int i = 0; i < SWITTI_VAE_LAYER_NORMS; i++)
    {
      g_autofree char *name = switti_vae_spec_norm_name (layer, i);
      const gint64 channels = switti_vae_spec_norm_channels (layer, i);

      if (name == NULL)
        continue;
      ADD (specs, g_strconcat (name, ".weight", NULL), channels);
      ADD (specs, g_strconcat (name, ".bias", NULL), channels);
    }
  for (int i = 0; i < SWITTI_VAE_LAYER_CONVS; i++)
    {
      g_autofree char *name = switti_vae_spec_conv_name (layer, i);
      SwittiConv conv;

      if (switti_vae_spec_conv (layer, i, 1, SWITTI_DTYPE_F32, &conv))
        add_conv (specs, g_strconcat (name, ".weight", NULL), g_strconcat (name, ".bias", NULL), conv.c_out, conv.c_in,
                  conv.kernel);
    }
}

GArray *
switti_vae_tensor_specs (const SwittiVaeConfig *config)
{
  GArray *specs = specs_new ();
  g_autoptr (GArray) encoder = switti_vae_encoder_specs (config->ch, config->latent);
  g_autoptr (GArray) decoder = switti_vae_decoder_specs (config->ch, config->latent);
  const gint64 z = config->latent;
  const int n_phi = config->quant_resi != 0 ? switti_pyramid_count_phi (config) : 0;

  for (guint i = 0; i < encoder->len; i++)
    add_layer (specs, &g_array_index (encoder, SwittiVaeLayerSpec, i));
  for (guint i = 0; i < decoder->len; i++)
    add_layer (specs, &g_array_index (decoder, SwittiVaeLayerSpec, i));
  ADD (specs, g_strdup ("quantize.embedding.weight"), config->vocab, z);
  for (int i = 0; i < n_phi; i++)
    add_conv (specs, switti_pyramid_phi_name (config, i, "weight"), switti_pyramid_phi_name (config, i, "bias"), z, z,
              3);
  return specs;
}

/* -- text encoders ------------------------------------------------------------------------------------------ */

GArray *
switti_text_tensor_specs (const SwittiTextConfig *config)
{
  static const char *const square[] = { "self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj",
                                        "self_attn.out_proj" };
  static const char *const norms[] = { "layer_norm1", "layer_norm2" };
  GArray *specs = specs_new ();
  const gint64 c = config->width;

  ADD (specs, g_strdup ("embeddings.token_embedding.weight"), config->vocab, c);
  ADD (specs, g_strdup ("embeddings.position_embedding.weight"), config->positions, c);
  for (int layer = 0; layer < config->layers; layer++)
    {
      g_autofree char *before = g_strdup_printf ("encoder.layers.%d.", layer);

      for (guint i = 0; i < G_N_ELEMENTS (square); i++)
        add_linear (specs, before, square[i], c, c);
      for (guint i = 0; i < G_N_ELEMENTS (norms); i++)
        {
          ADD (specs, g_strconcat (before, norms[i], ".weight", NULL), c);
          ADD (specs, g_strconcat (before, norms[i], ".bias", NULL), c);
        }
      add_linear (specs, before, "mlp.fc1", config->mlp, c);
      add_linear (specs, before, "mlp.fc2", c, config->mlp);
    }
  ADD (specs, g_strdup ("final_layer_norm.weight"), c);
  ADD (specs, g_strdup ("final_layer_norm.bias"), c);
  return specs;
}
