/* switti-parameters-transformer.c - which parameters a transformer has, and their first values (spec.md)
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-parameters-private.h"

#include <math.h>

static void
add_vector (SwittiParameters *self, char *name, SwittiInitial initial, gint64 n)
{
  switti_parameters_add (self, name, initial, 1, 1, &n, FALSE);
}

static void
add_matrix (SwittiParameters *self, char *name, SwittiInitial initial, double gain, gint64 n, gint64 k,
            gboolean joined)
{
  switti_parameters_add (self, name, initial, gain, 2, (gint64[]){ n, k }, joined);
}

static void
add_linear (SwittiParameters *self, const char *name, SwittiInitial initial, double gain, gint64 n, gint64 k)
{
  add_matrix (self, g_strconcat (name, ".weight", NULL), initial, gain, n, k, FALSE);
  add_vector (self, g_strconcat (name, ".bias", NULL), SWITTI_INITIAL_ZERO, n);
}

/* gate_proj and up_proj lie side by side: a product takes both for one matrix of 2F rows. */
static void
add_swiglu (SwittiParameters *self, const char *block, gint64 c, gint64 f)
{
  const SwittiInitial normal = SWITTI_INITIAL_NORMAL;

  add_matrix (self, g_strconcat (block, "ffn.gate_proj.weight", NULL), normal, 1, f, c, FALSE);
  add_matrix (self, g_strconcat (block, "ffn.up_proj.weight", NULL), normal, 1, f, c, TRUE);
  add_matrix (self, g_strconcat (block, "ffn.down_proj.weight", NULL), normal, 1, c, f, FALSE);
}

static void
add_block (SwittiParameters *self, const SwittiTransformerConfig *config, int index)
{
  static const char *const norms[] = { "self_attention_norm1",  "self_attention_norm2", "cross_attention_norm1",
                                       "cross_attention_norm2", "ffn_norm1",            "ffn_norm2" };
  const gint64 c = config->width, f = config->ffn_hidden;
  const double output_gain = 1 / sqrt (2.0 * config->depth);
  g_autofree char *block = g_strdup_printf ("blocks.%d.", index);
  const struct
  {
    const char *name;
    SwittiInitial initial;
    double gain;
    gint64 n, k;
    gboolean is_there;
  } linears[] = {
    { "attn.to_qkv", SWITTI_INITIAL_NORMAL, 1, 3 * c, c, TRUE },
    { "attn.proj", SWITTI_INITIAL_NORMAL, output_gain, c, c, TRUE },
    { "cross_attn.to_q", SWITTI_INITIAL_NORMAL, 1, c, c, TRUE },
    { "cross_attn.to_kv", SWITTI_INITIAL_NORMAL, 1, 2 * c, config->context_dim, TRUE },
    { "cross_attn.proj", SWITTI_INITIAL_NORMAL, output_gain, c, c, TRUE },
    { "ffn.fc1", SWITTI_INITIAL_NORMAL, 1, f, c, !config->swiglu },
    { "ffn.fc2", SWITTI_INITIAL_NORMAL, output_gain, c, f, !config->swiglu },
    { "ada_lin.1", SWITTI_INITIAL_MODULATION, 1, 6 * c, c, TRUE },
  };

  switti_parameters_begin_unit (self, FALSE);
  if (config->crop_cond)
    add_matrix (self, g_strconcat (block, "crop_cond_scales", NULL), SWITTI_INITIAL_ZERO, 1, 1, c, FALSE);
  for (gsize i = 0; i < G_N_ELEMENTS (linears); i++)
    if (linears[i].is_there)
      {
        g_autofree char *name = g_strconcat (block, linears[i].name, NULL);

        add_linear (self, name, linears[i].initial, linears[i].gain, linears[i].n, linears[i].k);
      }
  if (config->swiglu)
    add_swiglu (self, block, c, f);
  for (gsize i = 0; i < G_N_ELEMENTS (norms); i++)
    add_vector (self, g_strconcat (block, norms[i], ".weight", NULL), SWITTI_INITIAL_ONE, c);
  add_vector (self, g_strconcat (block, "attention_y_norm.weight", NULL), SWITTI_INITIAL_ONE, config->context_dim);
}

static void
add_all (SwittiParameters *self, const SwittiTransformerConfig *config)
{
  const gint64 c = config->width, length = switti_schedule_length (&config->schedule);
  const SwittiInitial normal = SWITTI_INITIAL_NORMAL;

  /* Units: what comes before the blocks, each block, what comes behind them. */
  switti_parameters_begin_unit (self, TRUE);
  switti_parameters_add (self, g_strdup ("pos_start"), normal, 1, 3, (gint64[]){ 1, 1, c }, FALSE);
  if (!config->rope)
    switti_parameters_add (self, g_strdup ("pos_1LC"), normal, 1, 3, (gint64[]){ 1, length, c }, FALSE);
  add_linear (self, "word_embed", normal, 1, c, config->latent);
  add_linear (self, "text_pooler", normal, 1, c, config->pooled_dim);
  add_matrix (self, g_strdup ("lvl_embed.weight"), normal, 1, config->schedule.n_scales, c, FALSE);
  for (int i = 0; i < config->depth; i++)
    add_block (self, config, i);
  switti_parameters_begin_unit (self, TRUE);
  if (config->crop_cond)
    {
      const gint64 n_frequencies = c / 8;

      switti_parameters_add (self, g_strdup ("crop_embed.weight"), SWITTI_INITIAL_FREQUENCIES, 1, 1, &n_frequencies,
                             FALSE)
          ->is_frozen = TRUE;
      add_linear (self, "crop_proj", normal, 1, c, c);
    }
  add_linear (self, "head_nm.ada_lin.1", SWITTI_INITIAL_HEAD_MODULATION, 1, 2 * c, c);
  add_linear (self, "head", SWITTI_INITIAL_HEAD, 1, config->vocab, c);
}

SwittiParameters *
switti_transformer_parameters_new_sharded (SwittiDevice *device, const SwittiTransformerConfig *config,
                                           SwittiDtype dtype, SwittiSharding *sharding, GError **error)
{
  g_autoptr (SwittiParameters) self = switti_parameters_new (device, dtype, sqrt (1.0 / (3.0 * config->width)));

  switti_parameters_set_sharding (self, sharding);
  add_all (self, config);
  if (!switti_parameters_allocate (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

SwittiParameters *
switti_transformer_parameters_new (SwittiDevice *device, const SwittiTransformerConfig *config, SwittiDtype dtype,
                                   GError **error)
{
  return switti_transformer_parameters_new_sharded (device, config, dtype, NULL, error);
}
