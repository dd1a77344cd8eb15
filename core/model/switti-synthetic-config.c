/* switti-synthetic-config.c - the shapes that `switti bench --synthetic` names
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-config-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define KNOWN_KEYS \
  "depth, width, heads, reso, scales, vocab, latent, context, pooled, ch, clip, ar, abspos, gelu, nocrop"

/* What a specification says; 0 where it says nothing. */
typedef struct
{
  int depth, width, heads, resolution, vocab, latent, context, pooled, ch;
  gboolean ar, abspos, gelu, nocrop, small_clip;
  SwittiSchedule schedule;
} Specification;

/* scales=1-2-3-4: a schedule other than the published ones. */
static gboolean
parse_scales (const char *value, SwittiSchedule *schedule)
{
  g_auto (GStrv) sides = g_strsplit (value, "-", SWITTI_MAX_SCALES + 1);
  int n_scales = (int) g_strv_length (sides);

  if (n_scales < 2 || n_scales > SWITTI_MAX_SCALES)
    return FALSE;
  for (int s = 0; s < n_scales; s++)
    {
      guint64 side;

      if (!g_ascii_string_to_unsigned (sides[s], 10, s == 0 ? 1 : (guint64) schedule->side[s - 1] + 1,
                                       s == 0 ? 1 : 1024, &side, NULL))
        return FALSE;
      schedule->side[s] = (int) side;
    }
  schedule->n_scales = n_scales;
  return TRUE;
}

static gboolean
parse_number (const char *key, const char *value, Specification *specification, gboolean *known)
{
  const struct
  {
    const char *key;
    int *target;
    guint64 min, max;
  } numbers[] = {
    { "depth", &specification->depth, 1, 256 },       { "width", &specification->width, 4, 16384 },
    { "heads", &specification->heads, 1, 1024 },      { "reso", &specification->resolution, 256, 1024 },
    { "vocab", &specification->vocab, 2, 1 << 20 },   { "latent", &specification->latent, 1, 1024 },
    { "context", &specification->context, 2, 16384 }, { "pooled", &specification->pooled, 1, 16384 },
    { "ch", &specification->ch, 32, 1024 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    if (strcmp (key, numbers[i].key) == 0)
      {
        guint64 number;

        *known = TRUE;
        if (value == NULL || !g_ascii_string_to_unsigned (value, 10, numbers[i].min, numbers[i].max, &number, NULL))
          return FALSE;
        *numbers[i].target = (int) number;
        return TRUE;
      }
  *known = FALSE;
  return FALSE;
}

static gboolean
parse_flag (const char *key, Specification *specification)
{
  const struct
  {
    const char *key;
    gboolean *target;
  } flags[] = {
    { "ar", &specification->ar },
    { "abspos", &specification->abspos },
    { "gelu", &specification->gelu },
    { "nocrop", &specification->nocrop },
  };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    if (strcmp (key, flags[i].key) == 0)
      {
        *flags[i].target = TRUE;
        return TRUE;
      }
  return FALSE;
}

static gboolean
parse_item (const char *item, Specification *specification, GError **error)
{
  const char *equals = strchr (item, '=');
  g_autofree char *key = equals != NULL ? g_strndup (item, (gsize) (equals - item)) : g_strdup (item);
  const char *value = equals != NULL ? equals + 1 : NULL;
  gboolean known;

  if (parse_number (key, value, specification, &known) || (value == NULL && parse_flag (key, specification)))
    return TRUE;
  if (strcmp (key, "scales") == 0)
    {
      known = TRUE;
      if (value != NULL && parse_scales (value, &specification->schedule))
        return TRUE;
    }
  if (strcmp (key, "clip") == 0)
    {
      known = TRUE;
      specification->small_clip = g_strcmp0 (value, "full") != 0;
      if (!specification->small_clip || g_strcmp0 (value, "small") == 0 || g_strcmp0 (value, "none") == 0)
        return TRUE;
    }

  if (known)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                 _ ("“%s” does not fit a synthetic model; an example is depth=30,width=1920,reso=512,clip=small."),
                 item);
  else
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                 _ ("A synthetic model has no setting “%s”; there are %s."), item, KNOWN_KEYS);
  return FALSE;
}

/* An encoder of CLIP's proportions. The ids are those of the tokenizer of single bytes. */
static SwittiTextConfig
text_config (int width, gboolean small, int full_layers, gboolean quick_gelu)
{
  return (SwittiTextConfig) {
    .layers = small ? 1 : full_layers,
    .width = width,
    .heads = width % 64 == 0 ? width / 64 : 1,
    .mlp = 4 * width,
    .vocab = small ? 514 : 49408,
    .positions = 77,
    .quick_gelu = quick_gelu,
    .norm_eps = 1e-5,
    .bos_id = 512,
    .eos_id = 513,
    .pad_id = 513,
  };
}

static int
or_default (int value, int otherwise)
{
  return value != 0 ? value : otherwise;
}

static gboolean
build_transformer (const Specification *specification, SwittiTransformerConfig *config, GError **error)
{
  int depth = or_default (specification->depth, 30);
  int width = or_default (specification->width, 64 * depth);

  *config = (SwittiTransformerConfig) {
    .depth = depth,
    .width = width,
    .heads = or_default (specification->heads, width % 64 == 0 ? width / 64 : 1),
    .ffn_hidden = specification->gelu ? 4 * width : width * 8 / 3,
    .vocab = or_default (specification->vocab, 4096),
    .latent = or_default (specification->latent, 32),
    .context_dim = or_default (specification->context, 2048),
    .pooled_dim = or_default (specification->pooled, 1280),
    .rope = !specification->abspos,
    .swiglu = !specification->gelu,
    .ar = specification->ar,
    .crop_cond = !specification->nocrop,
    .rope_theta = 10000.0,
    .rope_size = 128.0,
    .schedule = specification->schedule,
  };
  if (config->schedule.n_scales == 0 &&
      !switti_schedule_for_resolution (or_default (specification->resolution, 512), &config->schedule))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("There is no published schedule for reso=%d; use 256, 512 or 1024, or give scales=1-2-…."),
                   specification->resolution);
      return FALSE;
    }
  config->resolution = config->schedule.side[config->schedule.n_scales - 1] << (SWITTI_VAE_LEVELS - 1);

  if (width % config->heads != 0 || (config->rope && width / config->heads % 4 != 0) ||
      (config->crop_cond && width % 8 != 0))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("width=%d cannot be split into %d heads of a multiple of 4; choose width=%d or other heads."),
                   width, config->heads, 64 * config->heads);
      return FALSE;
    }
  if (config->context_dim <= config->pooled_dim)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("context=%d must be above pooled=%d: it is the sum of both text encoders' widths."),
                   config->context_dim, config->pooled_dim);
      return FALSE;
    }
  return TRUE;
}

gboolean
switti_synthetic_config_parse (const char *text, SwittiTransformerConfig *transformer, SwittiVaeConfig *vae,
                               SwittiTextConfig text_encoders[2], GError **error)
{
  g_auto (GStrv) items = g_strsplit (text, ",", -1);
  Specification specification = { 0 };

  for (char **item = items; *item != NULL; item++)
    if (!parse_item (g_strstrip (*item), &specification, error))
      return FALSE;
  if (specification.ch % 32 != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("ch=%d is not a multiple of 32."), specification.ch);
      return FALSE;
    }
  if (!build_transformer (&specification, transformer, error))
    return FALSE;

  *vae = (SwittiVaeConfig) {
    .ch = or_default (specification.ch, 160),
    .vocab = transformer->vocab,
    .latent = transformer->latent,
    .share_quant_resi = 4,
    .quant_resi = 0.5,
    .schedule = transformer->schedule,
  };
  text_encoders[0] =
      text_config (transformer->context_dim - transformer->pooled_dim, specification.small_clip, 12, TRUE);
  text_encoders[1] = text_config (transformer->pooled_dim, specification.small_clip, 32, FALSE);
  return TRUE;
}
