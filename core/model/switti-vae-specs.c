/* switti-vae-specs.c - what the layers of the VAE's two halves are
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-config-private.h"
#include "switti-vae-layers-private.h"

#define LOWEST_LEVEL (SWITTI_VAE_LEVELS - 1)
#define BLOCKS_DOWN 2
#define BLOCKS_UP 3

static const int width_factors[SWITTI_VAE_LEVELS] = { 1, 1, 2, 2, 4 };

static void G_GNUC_PRINTF (5, 6)
add_layer (GArray *specs, SwittiVaeLayerKind kind, gint64 c_in, gint64 c_out, const char *format, ...)
{
  const SwittiVaeLayerSpec *last
      = specs->len > 0 ? &g_array_index (specs, SwittiVaeLayerSpec, specs->len - 1) : NULL;
  SwittiVaeLayerSpec spec = { .kind = kind, .c_in = c_in, .c_out = c_out };
  va_list args;
  int length;

  va_start (args, format);
  length = g_vsnprintf (spec.prefix, sizeof spec.prefix, format, args);
  va_end (args);
  g_assert (length < (int) sizeof spec.prefix);
  if (last != NULL)
    {
      spec.side_shift = last->side_shift;
      if (last->resize == SWITTI_VAE_DOUBLE)
        spec.side_shift++;
      else if (last->resize == SWITTI_VAE_HALVE)
        spec.side_shift--;
    }
  g_array_append_val (specs, spec);
}

static void
resize_in_last_layer (GArray *specs, SwittiVaeResize resize)
{
  g_array_index (specs, SwittiVaeLayerSpec, specs->len - 1).resize = resize;
}

static void
add_middle (GArray *specs, const char *half, gint64 c)
{
  add_layer (specs, SWITTI_VAE_RESNET, c, c, "%s.mid.block_1", half);
  add_layer (specs, SWITTI_VAE_ATTENTION, c, c, "%s.mid.attn_1", half);
  add_layer (specs, SWITTI_VAE_RESNET, c, c, "%s.mid.block_2", half);
}

GArray *
switti_vae_decoder_specs (int ch, int latent)
{
  GArray *specs = g_array_new (FALSE, TRUE, sizeof (SwittiVaeLayerSpec));
  gint64 c = (gint64) ch * width_factors[LOWEST_LEVEL];

  add_layer (specs, SWITTI_VAE_CONV, latent, latent, "post_quant_conv");
  add_layer (specs, SWITTI_VAE_CONV, latent, c, "decoder.conv_in");
  add_middle (specs, "decoder", c);
  for (int level = LOWEST_LEVEL; level >= 0; level--)
    {
      const gint64 width = (gint64) ch * width_factors[level];

      for (int i = 0; i < BLOCKS_UP; i++)
        {
          add_layer (specs, SWITTI_VAE_RESNET, c, width, "decoder.up.%d.block.%d", level, i);
          c = width;
          if (level == LOWEST_LEVEL)
            add_layer (specs, SWITTI_VAE_ATTENTION, c, c, "decoder.up.%d.attn.%d", level, i);
        }
      if (level > 0)
        {
          add_layer (specs, SWITTI_VAE_CONV, c, c, "decoder.up.%d.upsample.conv", level);
          resize_in_last_layer (specs, SWITTI_VAE_DOUBLE);
        }
    }
  add_layer (specs, SWITTI_VAE_NORM_CONV, c, 3, "decoder");
  return specs;
}

GArray *
switti_vae_encoder_specs (int ch, int latent)
{
  GArray *specs = g_array_new (FALSE, TRUE, sizeof (SwittiVaeLayerSpec));
  gint64 c = ch;

  add_layer (specs, SWITTI_VAE_CONV, 3, c, "encoder.conv_in");
  g_array_index (specs, SwittiVaeLayerSpec, 0).side_shift = LOWEST_LEVEL;
  for (int level = 0; level < SWITTI_VAE_LEVELS; level++)
    {
      const gint64 width = (gint64) ch * width_factors[level];

      for (int i = 0; i < BLOCKS_DOWN; i++)
        {
          add_layer (specs, SWITTI_VAE_RESNET, c, width, "encoder.down.%d.block.%d", level, i);
          c = width;
          if (level == LOWEST_LEVEL)
            add_layer (specs, SWITTI_VAE_ATTENTION, c, c, "encoder.down.%d.attn.%d", level, i);
        }
      if (level < LOWEST_LEVEL)
        {
          add_layer (specs, SWITTI_VAE_CONV, c, c, "encoder.down.%d.downsample.conv", level);
          resize_in_last_layer (specs, SWITTI_VAE_HALVE);
        }
    }
  add_middle (specs, "encoder", c);
  add_layer (specs, SWITTI_VAE_NORM_CONV, c, latent, "encoder");
  add_layer (specs, SWITTI_VAE_CONV, latent, latent, "quant_conv");
  return specs;
}

char *
switti_vae_spec_conv_name (const SwittiVaeLayerSpec *spec, int which)
{
  static const char *const resnet[SWITTI_VAE_LAYER_CONVS] = { "conv1", "conv2", "nin_shortcut" };
  static const char *const attention[SWITTI_VAE_LAYER_CONVS] = { "qkv", "proj_out", NULL };
  SwittiConv conv;

  if (!switti_vae_spec_conv (spec, which, 1, SWITTI_DTYPE_F32, &conv))
    return NULL;
  switch (spec->kind)
    {
    case SWITTI_VAE_CONV:
      return g_strdup (spec->prefix);
    case SWITTI_VAE_NORM_CONV:
      return g_strconcat (spec->prefix, ".conv_out", NULL);
    case SWITTI_VAE_RESNET:
      return g_strconcat (spec->prefix, ".", resnet[which], NULL);
    case SWITTI_VAE_ATTENTION:
      return g_strconcat (spec->prefix, ".", attention[which], NULL);
    }
  g_assert_not_reached ();
}

char *
switti_vae_spec_norm_name (const SwittiVaeLayerSpec *spec, int which)
{
  switch (spec->kind)
    {
    case SWITTI_VAE_CONV:
      return NULL;
    case SWITTI_VAE_NORM_CONV:
      return which == 0 ? g_strconcat (spec->prefix, ".norm_out", NULL) : NULL;
    case SWITTI_VAE_RESNET:
      return g_strconcat (spec->prefix, which == 0 ? ".norm1" : ".norm2", NULL);
    case SWITTI_VAE_ATTENTION:
      return which == 0 ? g_strconcat (spec->prefix, ".norm", NULL) : NULL;
    }
  g_assert_not_reached ();
}

gint64
switti_vae_spec_norm_channels (const SwittiVaeLayerSpec *spec, int which)
{
  return which == 0 ? spec->c_in : spec->c_out;
}

gboolean
switti_vae_spec_conv (const SwittiVaeLayerSpec *spec, int which, int side, SwittiDtype dtype, SwittiConv *conv)
{
  const gint64 n = (gint64) side << spec->side_shift;
  const int pad = 1;

  *conv = (SwittiConv){
    .batch = 1,
    .height = n,
    .width = n,
    .c_in = spec->c_in,
    .c_out = spec->c_out,
    .kernel = 3,
    .stride = spec->resize == SWITTI_VAE_HALVE ? 2 : 1,
    .pad_top = spec->resize == SWITTI_VAE_HALVE ? 0 : pad,
    .pad_left = spec->resize == SWITTI_VAE_HALVE ? 0 : pad,
    .pad_bottom = pad,
    .pad_right = pad,
    .upsample = spec->resize == SWITTI_VAE_DOUBLE,
    .x_dtype = dtype,
    .w_dtype = dtype,
    .d_dtype = dtype,
  };
  switch (spec->kind)
    {
    case SWITTI_VAE_CONV:
    case SWITTI_VAE_NORM_CONV:
      return which == 0;
    case SWITTI_VAE_RESNET:
      if (which == 1)
        {
          conv->c_in = spec->c_out;
          conv->residual = true;
        }
      if (which < 2)
        return TRUE;
      break;
    case SWITTI_VAE_ATTENTION:
      conv->c_out = which == 0 ? 3 * spec->c_in : spec->c_out;
      conv->residual = which == 1;
      break;
    }
  conv->kernel = 1;
  conv->pad_top = conv->pad_left = conv->pad_bottom = conv->pad_right = 0;
  return spec->kind == SWITTI_VAE_ATTENTION ? which < 2 : spec->c_in != spec->c_out;
}

gint64
switti_vae_spec_largest_map (const SwittiVaeLayerSpec *spec, int side)
{
  const gint64 n = (gint64) side << spec->side_shift;
  gint64 out = n * n * (spec->kind == SWITTI_VAE_ATTENTION ? 3 * spec->c_in : spec->c_out);

  if (spec->resize == SWITTI_VAE_DOUBLE)
    out *= 4;
  return MAX (out, n * n * spec->c_in);
}

double
switti_vae_specs_flop (const GArray *specs, int side)
{
  double flop = 0;

  for (guint i = 0; i < specs->len; i++)
    {
      const SwittiVaeLayerSpec *spec = &g_array_index (specs, SwittiVaeLayerSpec, i);
      SwittiConv conv;

      for (int which = 0; which < SWITTI_VAE_LAYER_CONVS; which++)
        if (switti_vae_spec_conv (spec, which, side, SWITTI_DTYPE_F32, &conv))
          {
            double out_side = (double) (conv.upsample ? 2 * conv.height : conv.height) / conv.stride;

            flop += 2 * out_side * out_side * (double) (conv.c_in * conv.c_out * conv.kernel * conv.kernel);
          }
      if (spec->kind == SWITTI_VAE_ATTENTION)
        {
          double positions = (double) (side << spec->side_shift) * (side << spec->side_shift);

          flop += 4 * positions * positions * (double) spec->c_in;
        }
    }
  return flop;
}
