/* fuzz-config.c - any bytes as a config.json, or as the words of --synthetic
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The first byte of an input says as which: t(ransformer), v(ae), e(ncoder) or s(ynthetic).
 */
#include "fuzz-target.h"
#include "switti-config-private.h"
#include "switti-error.h"

/* What a configuration that was let through promises to the code that computes with it. */
static void
check_transformer (const SwittiTransformerConfig *config)
{
  g_assert (config->depth > 0 && config->heads > 0 && config->width % config->heads == 0);
  g_assert (!config->rope || config->width / config->heads % 4 == 0);
  g_assert (config->ffn_hidden > 0 && config->vocab > 1 && config->latent > 0);
  g_assert (config->context_dim > 0 && config->pooled_dim > 0);
  g_assert (config->schedule.n_scales >= 2 && config->schedule.n_scales <= SWITTI_MAX_SCALES);
  for (int s = 1; s < config->schedule.n_scales; s++)
    g_assert (config->schedule.side[s] > config->schedule.side[s - 1]);
  g_assert (config->schedule.side[0] == 1 && switti_schedule_length (&config->schedule) > 0);
}

static void
check_vae (const SwittiVaeConfig *config)
{
  g_assert (config->ch > 0 && config->ch % 32 == 0 && config->vocab > 1 && config->latent > 0);
  g_assert (config->share_quant_resi >= 0 && config->quant_resi >= 0 && config->quant_resi <= 1);
  g_assert (config->schedule.n_scales >= 2);
}

static void
check_text (const SwittiTextConfig *config)
{
  g_assert (config->layers > 0 && config->heads > 0 && config->width % config->heads == 0 && config->mlp > 0);
  g_assert (config->eos_id >= 0 && config->eos_id < config->vocab);
  g_assert (config->positions > 0 && config->norm_eps > 0);
}

static gboolean
parse_synthetic (const char *text, gsize length, GError **error)
{
  g_autofree char *terminated = g_strndup (text, length);
  SwittiTransformerConfig transformer;
  SwittiVaeConfig vae;
  SwittiTextConfig encoders[2];

  if (!switti_synthetic_config_parse (terminated, &transformer, &vae, encoders, error))
    return FALSE;
  check_transformer (&transformer);
  check_vae (&vae);
  check_text (&encoders[0]);
  check_text (&encoders[1]);
  return TRUE;
}

static gboolean
parse (char kind, const char *text, gsize length, GError **error)
{
  SwittiTransformerConfig transformer;
  SwittiVaeConfig vae;
  SwittiTextConfig encoder;

  switch (kind)
    {
    case 't':
      if (!switti_transformer_config_parse (text, (gssize) length, "the input", NULL, &transformer, error))
        return FALSE;
      check_transformer (&transformer);
      return TRUE;
    case 'v':
      if (!switti_vae_config_parse (text, (gssize) length, "the input", NULL, &vae, error))
        return FALSE;
      check_vae (&vae);
      return TRUE;
    case 'e':
      if (!switti_text_config_parse (text, (gssize) length, "the input", NULL, &encoder, error))
        return FALSE;
      check_text (&encoder);
      return TRUE;
    default:
      return parse_synthetic (text, length, error);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;

  if (size > 0 && !parse ((char) data[0], (const char *) data + 1, size - 1, &error))
    g_assert (error != NULL && error->domain == SWITTI_ERROR);
  return 0;
}
