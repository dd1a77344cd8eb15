/* kernel-list.c - the op calls of a generation
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * It follows core/model/ and core/generate/ call by call; kernel-list-ops.c makes the entries, kernel-list-step.c the
 * training step's.
 */
#include "kernel-list-private.h"

#include "switti-error.h"
#include "switti-linear-private.h"
#include "switti-sampling-plan-private.h"
#include "switti-text-encoder-private.h"
#include "switti-vae-layers-private.h"

#include <glib/gi18n.h>
#include <string.h>

/* For tests: a fraction of a second. */
#define SMALL "depth=2,width=64,heads=2,ch=32,vocab=256,scales=1-2-4,clip=small"

const char *const bench_work_names[] = { "512", "1024", "512-8", "ar", "train", "small", "small-train", NULL };

gboolean
bench_work_parse (const char *name, BenchWork *work, GError **error)
{
  static const struct
  {
    const char *name, *sizes;
    int images;
    gboolean training;
  } known[] = {
    { "512", "depth=30,reso=512", 1, FALSE },
    { "1024", "depth=30,reso=1024", 1, FALSE },
    { "512-8", "depth=30,reso=512", 8, FALSE },
    { "ar", "depth=30,reso=512,ar", 1, FALSE },
    { "train", "depth=30,reso=512", 8, TRUE },
    { "small", SMALL, 1, FALSE },
    { "small-train", SMALL, 2, TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
    if (g_str_equal (name, known[i].name))
      {
        *work = (BenchWork){ .images = known[i].images, .training = known[i].training, .dtype = SWITTI_DTYPE_BF16 };
        return switti_synthetic_config_parse (known[i].sizes, &work->transformer, &work->vae, work->text, error);
      }
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("There are no kernels “%s”: choose 512, 1024, 512-8, ar, train, small or small-train."), name);
  return FALSE;
}

/* -- text encoders --------------------------------------------------------------------------------------------- */

static void
list_text (BenchList *list, const SwittiTextConfig *text, gint64 prompts)
{
  const gint64 t = SWITTI_TEXT_LENGTH, rows = prompts * t, c = text->width;
  const SwittiActivation activation = text->quick_gelu ? SWITTI_ACTIVATION_QUICK_GELU : SWITTI_ACTIVATION_GELU_ERF;

  list->part = "text";
  bench_list_product (list, "qkv", text->layers, rows, t, 3 * c, c);
  bench_list_attention (list, "self", text->layers, (SwittiAttention){ .batch = prompts, .heads = text->heads,
                                                                       .d = c / text->heads, .n = t, .m = t,
                                                                       .causal = true });
  bench_list_product (list, "proj", text->layers, rows, t, c, c);
  bench_list_activated_product (list, "fc1", text->layers, rows, t, text->mlp, c, activation);
  bench_list_product (list, "fc2", text->layers, rows, t, c, text->mlp);
  bench_list_norm (list, BENCH_LAYER_NORM, "norm", 2 * text->layers, prompts, t, c, TRUE, TRUE);
}

/* -- what depends on the prompts alone ------------------------------------------------------------------------- */

static void
list_conditions (BenchList *list, gint64 prompts)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const gint64 t = SWITTI_TEXT_LENGTH, c = config->width, context = config->context_dim;
  const int depth = config->depth;

  list->part = "conditions";
  bench_list_map (list, BENCH_SILU_CONDITION, "silu", depth, prompts, c);
  bench_list_wide_product (list, "ada_lin", depth, prompts, 1, 6 * c, c);
  bench_list_norm (list, BENCH_RESIDUAL_NORM, "context", depth, prompts, t, context, FALSE, TRUE);
  bench_list_product (list, "to_kv", depth, prompts * t, t, 2 * c, context);
  bench_list_rope (list, "text keys", depth, prompts, t, FALSE, FALSE);
}

/* -- scales ---------------------------------------------------------------------------------------------------- */

static void
list_block (BenchList *list, gint64 images, gint64 n, gint64 keys)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const gint64 c = config->width, f = config->ffn_hidden, rows = images * n;
  const int depth = config->depth, d = config->width / config->heads;

  bench_list_product (list, "qkv", depth, rows, n, 3 * c, c);
  bench_list_rope (list, "queries and keys", depth, images, n, TRUE, config->rope);
  bench_list_attention (list, "self", depth, (SwittiAttention){ .batch = images, .heads = config->heads, .d = d,
                                                                .n = n, .m = keys });
  bench_list_product (list, "proj, to_q", 3 * depth, rows, n, c, c);
  bench_list_norm (list, BENCH_RESIDUAL_NORM, "residual and norm", 3 * depth, images, n, c, TRUE, TRUE);
  bench_list_rope (list, "text queries", depth, images, n, FALSE, FALSE);
  bench_list_attention (list, "cross", depth, (SwittiAttention){ .batch = images, .heads = config->heads, .d = d,
                                                                 .n = n, .m = SWITTI_TEXT_LENGTH });
  if (config->swiglu)
    {
      bench_list_unbiased_product (list, "ffn_in", depth, rows, n, 2 * f, c);
      bench_list_map (list, BENCH_SWIGLU, "swiglu", depth, rows, f);
      bench_list_unbiased_product (list, "ffn_out", depth, rows, n, c, f);
    }
  else
    {
      bench_list_activated_product (list, "ffn_in", depth, rows, n, f, c, SWITTI_ACTIVATION_GELU_TANH);
      bench_list_product (list, "ffn_out", depth, rows, n, c, f);
    }
}

static void
list_pyramid (BenchList *list, int scale)
{
  const SwittiVaeConfig *vae = &list->work->vae;
  const SwittiSchedule *schedule = &vae->schedule;
  const gint64 side = schedule->side[schedule->n_scales - 1], images = list->work->images, z = vae->latent;
  const gboolean last = scale + 1 == schedule->n_scales;
  const SwittiConv phi = {
    .batch = images, .height = side, .width = side, .c_in = z, .c_out = z, .kernel = 3, .stride = 1, .pad_top = 1,
    .pad_left = 1, .pad_bottom = 1, .pad_right = 1,
  };

  list->part = "pyramid";
  if (!last)
    bench_list_resample (list, "enlarge", SWITTI_RESAMPLE_BICUBIC, images, z, schedule->side[scale], side);
  bench_list_conv (list, "phi", 1, phi, SWITTI_DTYPE_F32);
  bench_list_map (list, BENCH_ACCUMULATE, "phi", 1, images * side * side, z);
  if (!last)
    bench_list_resample (list, "next input", SWITTI_RESAMPLE_AREA, images, z, side, schedule->side[scale + 1]);
}

static void
list_scale (BenchList *list, int scale, const SwittiScalePlan *plan, gint64 keys)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const gint64 n = (gint64) config->schedule.side[scale] * config->schedule.side[scale], c = config->width;
  const gint64 drawn = list->work->images, images = drawn * (plan->run_null ? 2 : 1);

  list->scale = scale;
  list->part = "transformer";
  if (scale > 0)
    bench_list_float_product (list, "word_embed", images * n, n, c, config->latent);
  bench_list_norm (list, BENCH_RESIDUAL_NORM, "first norm", 1, images, n, c, FALSE, TRUE);
  list_block (list, images, n, keys);
  bench_list_norm (list, BENCH_LAYER_NORM, "head norm", 1, images, n, c, FALSE, TRUE);
  bench_list_wide_product (list, "head", 1, images * n, n, config->vocab, c);
  list->part = "sampling";
  bench_list_sample (list, drawn, n, plan->run_null, plan->smooth);
  list_pyramid (list, scale);
  list->scale = -1;
}

/* -- decoder --------------------------------------------------------------------------------------------------- */

static void
list_vae_layer (BenchList *list, const SwittiVaeLayerSpec *spec, int side, gboolean last)
{
  const gint64 n = (gint64) side << spec->side_shift;
  const int images = list->work->images;
  SwittiConv conv;

  for (int i = 0; i < SWITTI_VAE_LAYER_NORMS; i++)
    {
      g_autofree char *name = switti_vae_spec_norm_name (spec, i);

      if (name != NULL)
        bench_list_group_norm (list, images, n * n, switti_vae_spec_norm_channels (spec, i),
                               spec->kind != SWITTI_VAE_ATTENTION);
    }
  if (spec->kind == SWITTI_VAE_ATTENTION)
    bench_list_attention (list, "map", images, (SwittiAttention){ .batch = 1, .heads = 1, .d = spec->c_in, .n = n * n,
                                                                  .m = n * n });
  for (int i = 0; i < SWITTI_VAE_LAYER_CONVS; i++)
    if (switti_vae_spec_conv (spec, i, side, list->work->dtype, &conv))
      {
        if (last)
          conv.d_dtype = SWITTI_DTYPE_F32;
        bench_list_conv (list, conv.kernel == 1 ? "1x1" : conv.upsample ? "upsampled" : "3x3", images, conv,
                         list->work->dtype);
      }
}

static void
list_decoder (BenchList *list)
{
  const SwittiVaeConfig *vae = &list->work->vae;
  const int side = vae->schedule.side[vae->schedule.n_scales - 1];
  g_autoptr (GArray) specs = switti_vae_decoder_specs (vae->ch, vae->latent);

  list->part = "vae";
  bench_list_map (list, BENCH_CONVERT, "latent", list->work->images, (gint64) side * side, vae->latent);
  for (guint i = 0; i < specs->len; i++)
    list_vae_layer (list, &g_array_index (specs, SwittiVaeLayerSpec, i), side, i + 1 == specs->len);
  bench_list_map (list, BENCH_IMAGE_TO_RGB8, "pixels", list->work->images, (gint64) 256 * side * side, 3);
}

static void
list_generation (BenchList *list)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const int n_scales = config->schedule.n_scales;
  const gboolean large = config->resolution == 1024;
  const SwittiParameters defaults = {
    .guidance = 6, .smooth = TRUE, .smooth_start = 2, .guidance_start = large ? 0 : MIN (2, n_scales - 1),
    .guidance_end = MIN (large ? 11 : 8, n_scales), .last_scale_temperature = 0.1, .batch = 1, .count = 1,
  };
  SwittiScalePlan plan[SWITTI_MAX_SCALES];
  gint64 prompts, earlier = 0;

  switti_sampling_plan (&defaults, config->ar, n_scales, plan);
  prompts = switti_sampling_plan_needs_null (plan, n_scales) ? 2 : 1;
  for (int i = 0; i < 2; i++)
    list_text (list, &list->work->text[i], prompts);
  list_conditions (list, prompts);
  for (int s = 0; s < n_scales; s++)
    {
      const gint64 n = (gint64) config->schedule.side[s] * config->schedule.side[s];

      list_scale (list, s, &plan[s], config->ar ? earlier + n : n);
      earlier += n;
    }
  list_decoder (list);
}

GArray *
bench_kernels_list (const BenchWork *work)
{
  BenchList list = { .work = work, .kernels = g_array_new (FALSE, TRUE, sizeof (BenchKernel)), .scale = -1 };

  if (work->training)
    bench_list_step (&list);
  else
    list_generation (&list);
  return list.kernels;
}
