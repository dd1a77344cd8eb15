/* switti-training-options.c - what a training is told
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-training-options-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#define PIXELS_PER_LATENT 16
#define HEAD_WIDTH 64

#define MEMBER(member) G_STRUCT_OFFSET (SwittiTrainingOptions, member)
#define STRING(name, member, initial, help, argument)                                                                 \
  {                                                                                                                   \
    name, SWITTI_OPTION_STRING, MEMBER (member), 0, 0, initial, help, argument                                        \
  }
#define INTEGER(name, member, least, most, initial, help)                                                             \
  {                                                                                                                   \
    name, SWITTI_OPTION_INT, MEMBER (member), least, most, initial, help, "N"                                         \
  }
#define NUMBER(name, member, least, most, initial, help)                                                              \
  {                                                                                                                   \
    name, SWITTI_OPTION_DOUBLE, MEMBER (member), least, most, initial, help, "X"                                      \
  }
#define SWITCH(name, member, initial, help)                                                                           \
  {                                                                                                                   \
    name, SWITTI_OPTION_BOOLEAN, MEMBER (member), 0, 0, initial, help, N_ ("true|false")                              \
  }

const SwittiOptionInfo switti_training_option_info[] = {
  /* data */
  STRING ("data-path", data_path, NULL, N_ ("Folder with train2014/ and train2014.csv"), N_ ("FOLDER")),
  SWITCH ("hflip", hflip, "false", N_ ("Mirror half of the images")),
  INTEGER ("max-bad", max_bad, 0, 1e9, "100", N_ ("Stop when more images than this cannot be read")),
  INTEGER ("workers", workers, 0, 256, "0", N_ ("Threads that decode images; 0: choose")),
  STRING ("cache", cache, NULL, N_ ("Folder for the images' codes (default: cache in the output folder)"),
          N_ ("FOLDER")),
  SWITCH ("cache-text", cache_text, "false", N_ ("Keep the captions' features there, too")),
  /* models */
  STRING ("vae", vae, NULL, N_ ("Model whose VAE makes the codes (default: that of --init)"), N_ ("MODEL")),
  STRING ("text", text, NULL, N_ ("Model whose tokenizers and text encoders are used (default: that of --vae)"),
          N_ ("MODEL")),
  STRING ("init", init, NULL, N_ ("Model or checkpoint to begin from (default: random weights)"), N_ ("MODEL")),
  STRING ("resume", resume, "auto",
          N_ ("Checkpoint to go on from, “auto” for the newest in the output folder, or “no”"), N_ ("WHAT")),
  SWITCH ("train-text", train_text, "false", N_ ("Train the text encoders, too")),
  STRING ("text-width", text_width, NULL, N_ ("Widths of new text encoders, such as 64,128 (default: as in --text)"),
          N_ ("N,N")),
  STRING ("text-depth", text_depth, NULL, N_ ("Layers of new text encoders, such as 3,3 (default: as in --text)"),
          N_ ("N,N")),
  /* the transformer's shape */
  INTEGER ("depth", depth, 1, 1024, "16", N_ ("Blocks of the transformer")),
  INTEGER ("embed-dim", embed_dim, 0, 65536, "0", N_ ("Its width; 0: 64 times the depth")),
  INTEGER ("num-heads", num_heads, 0, 65536, "0", N_ ("Its heads; 0: one for every 64 of the width")),
  STRING ("pn", pn, "256", N_ ("Resolution, or the scales' sides, such as 1_2_3_4_5_6_8_10_13_16"), N_ ("SIZES")),
  SWITCH ("rope", rope, "true", N_ ("Rotary position embedding; otherwise a learned one")),
  NUMBER ("rope-theta", rope_theta, 1, 1e9, "10000", N_ ("Base of its frequencies")),
  NUMBER ("rope-size", rope_size, 1, 1e6, "128", N_ ("Span of its positions")),
  SWITCH ("use-swiglu-ffn", use_swiglu_ffn, "true", N_ ("SwiGLU in the FFN; otherwise GELU")),
  SWITCH ("use-ar", use_ar, "false", N_ ("Attend to all coarser scales (Switti (AR))")),
  SWITCH ("use-crop-cond", use_crop_cond, "false", N_ ("Condition on the images' original sizes")),
  /* an RQ-VAE's */
  INTEGER ("vqvae-vocab-size", vqvae_vocab_size, 2, 1e6, "4096", N_ ("vae: codes of a new one")),
  INTEGER ("vqvae-channel-dim", vqvae_channel_dim, 1, 4096, "32", N_ ("vae: latent channels of a new one")),
  INTEGER ("vqvae-n-channels", vqvae_n_channels, 32, 4096, "160", N_ ("vae: width of a new one")),
  INTEGER ("vqvae-share-quant-resi", vqvae_share_quant_resi, 0, 16, "4",
           N_ ("vae: phi of a new one that its scales share; 0: one for each")),
  INTEGER ("revive-iters", revive_iters, 0, 1e9, "100", N_ ("vae: steps between revivals of unused codes; 0: none")),
  /* first values */
  { "seed", SWITTI_OPTION_SEED, MEMBER (seed), 0, 0, "0", N_ ("Seed of weights, order and dropout"), "N" },
  NUMBER ("ini", ini, -1, 10, "-1", N_ ("Deviation of the first weights; -1: the published one")),
  NUMBER ("hd", hd, 0, 1e3, "0.02", N_ ("Factor of the head's first weights")),
  NUMBER ("aln", aln, 0, 1e3, "0.5", N_ ("Factor of ada_lin's first weights")),
  NUMBER ("alng", alng, 0, 1e3, "1e-5", N_ ("Factor of ada_lin's first weights that make the gates")),
  /* optimization */
  STRING ("opt", opt, "adamw", N_ ("Optimizer: adamw"), N_ ("NAME")),
  INTEGER ("fp16", fp16, 0, 2, "0",
           N_ ("Products and activations: 0 float32, 1 products in float16 and a scaled loss, 2 bfloat16")),
  NUMBER ("loss-scale", loss_scale, 1, 1e18, "2048",
          N_ ("What --fp16 1 multiplies the loss by at first; halved where gradients are not finite")),
  INTEGER ("loss-scale-iters", loss_scale_iters, 1, 1e9, "1000", N_ ("Good steps after which that is doubled")),
  INTEGER ("bs", bs, 1, 1e6, "768", N_ ("Images of a step, over all ranks")),
  INTEGER ("grad-accum", grad_accum, 1, 1e6, "1", N_ ("Parts that a rank computes its images in")),
  INTEGER ("max-iters", max_iters, 1, 1e9, "1000000", N_ ("Steps")),
  NUMBER ("tblr", tblr, 0, 10, "1e-4", N_ ("Learning rate after the warm-up")),
  NUMBER ("wp", wp, 0, 1e9, "0", N_ ("Steps of warm-up")),
  NUMBER ("wp0", wp0, 0, 1, "0.005", N_ ("Share of the learning rate at the first step")),
  NUMBER ("wpe", wpe, 0, 1, "1", N_ ("Share of the learning rate at the last step")),
  STRING ("sche", sche, "lin0", N_ ("Schedule of the learning rate: cos, lin, lin0, lin00, lin0.3, exp"), N_ ("NAME")),
  NUMBER ("twd", twd, 0, 10, "0", N_ ("Weight decay")),
  NUMBER ("twde", twde, 0, 10, "0", N_ ("Weight decay at the last step; 0: as --twd")),
  NUMBER ("tclip", tclip, 0, 1e9, "1", N_ ("Largest norm of the gradient; 0: any")),
  NUMBER ("ls", ls, 0, 0.99, "0", N_ ("Label smoothing")),
  INTEGER ("train-scales", train_scales, 0, SWITTI_MAX_SCALES, "0",
           N_ ("Train only so many of the coarsest scales, where the prompt decides most; 0: all")),
  NUMBER ("loss-balance", loss_balance, 0, 1, "0",
          N_ ("How much the coarse scales weigh: 0 as many tokens as they have, 1 as the fine ones")),
  NUMBER ("adam-beta1", adam_beta1, 0, 0.999999, "0.9", N_ ("Decay of AdamW's first moment")),
  NUMBER ("adam-beta2", adam_beta2, 0, 0.999999, "0.95", N_ ("Decay of AdamW's second moment")),
  NUMBER ("ema", ema, 0, 0.999999, "0", N_ ("Decay of the weights' moving average, which is what is saved; 0: none")),
  NUMBER ("drop-path-rate", drop_path_rate, 0, 0.99, "0", N_ ("Stochastic depth of the last block; less below")),
  NUMBER ("uncond-proba", uncond_proba, 0, 1, "0.1", N_ ("Share of captions that are replaced by the empty one")),
  NUMBER ("embed-noise-std", embed_noise_std, 0, 1, "0", N_ ("Noise in the latents before their codes are chosen")),
  INTEGER ("lora-rank", lora_rank, 0, 65536, "0",
           N_ ("Train a LoRA of that rank for --init instead of the model; 0: the model")),
  NUMBER ("lora-alpha", lora_alpha, 0, 1e6, "0", N_ ("What a LoRA is multiplied by, times its rank; 0: the rank")),
  SWITCH ("use-gradient-checkpointing", use_gradient_checkpointing, "false",
          N_ ("Compute the activations a second time instead of keeping them")),
  INTEGER ("loss-rows", loss_rows, 0, 1e6, "0", N_ ("Tokens whose logits are held at once; 0: choose")),
  /* output */
  STRING ("local-out-dir-path", out, NULL, N_ ("Output folder: checkpoints, log.jsonl"), N_ ("FOLDER")),
  STRING ("exp-name", exp_name, NULL, N_ ("What the model is called in its README"), N_ ("NAME")),
  STRING ("save-dtype", save_dtype, "bf16", N_ ("Weights of the saved models: bf16 or f32"), N_ ("TYPE")),
  INTEGER ("log-iters", log_iters, 1, 1e9, "200", N_ ("Steps between lines of progress")),
  INTEGER ("save-iters", save_iters, 1, 1e9, "4000", N_ ("Steps between checkpoints")),
  INTEGER ("global-save-iters", global_save_iters, 0, 1e9, "40000",
           N_ ("Checkpoints of multiples of this are kept for good; 0: of none")),
  INTEGER ("keep", keep, 1, 1e6, "3", N_ ("Other checkpoints to keep")),
  INTEGER ("val-iters", val_iters, 0, 1e9, "0", N_ ("Steps between looks at the loss on val2014; 0: none")),
  INTEGER ("val-images", val_images, 1, 1e9, "5000", N_ ("How many of its images")),
  STRING ("sample-prompts", sample_prompts, NULL, N_ ("File with prompts, a line each, to paint for TensorBoard"),
          N_ ("FILE")),
  INTEGER ("log-images-iters", log_images_iters, 1, 1e9, "1000",
           N_ ("Steps between such pictures; each begins with a checkpoint")),
  /* where to compute */
  STRING ("device", device, "auto", N_ ("auto, cpu, cuda or cuda:N"), N_ ("DEVICE")),
  INTEGER ("threads", threads, 0, 4096, "0", N_ ("Threads of the processor; 0: all, shared by a computer's ranks")),
  SWITCH ("use-fsdp", use_fsdp, "true",
          N_ ("Share parameters, gradients and optimizer out over the ranks; otherwise each has all of them")),
  INTEGER ("hybrid", hybrid, 0, 65536, "0",
           N_ ("Ranks side by side that have the same share, such as those of a computer; 0: none")),
  { NULL },
};

/* -- values ---------------------------------------------------------------------------------------------------- */

void
switti_training_options_init (SwittiTrainingOptions *self)
{
  memset (self, 0, sizeof *self);
  for (const SwittiOptionInfo *info = switti_training_option_info; info->name != NULL; info++)
    if (info->initial != NULL && !switti_training_options_set (self, info, info->initial, NULL))
      g_assert_not_reached ();
}

void
switti_training_options_clear (SwittiTrainingOptions *self)
{
  for (const SwittiOptionInfo *info = switti_training_option_info; info->name != NULL; info++)
    if (info->kind == SWITTI_OPTION_STRING)
      g_clear_pointer (&G_STRUCT_MEMBER (char *, self, info->offset), g_free);
}

const SwittiOptionInfo *
switti_training_options_find (const char *name)
{
  g_autofree char *dashed = g_strdelimit (g_strdup (name), "_", '-');

  for (const SwittiOptionInfo *info = switti_training_option_info; info->name != NULL; info++)
    if (strcmp (info->name, dashed) == 0)
      return info;
  return NULL;
}

static gboolean
bad_value (const SwittiOptionInfo *info, const char *expected, const char *text, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("--%s takes %s, not “%s”."), info->name, expected, text);
  return FALSE;
}

static gboolean
set_number (SwittiTrainingOptions *self, const SwittiOptionInfo *info, const char *text, GError **error)
{
  const gboolean is_whole = info->kind == SWITTI_OPTION_INT;
  char *end = NULL;
  const double value = g_ascii_strtod (text, &end);

  if (end == text || *end != '\0' || !isfinite (value) || value < info->least || value > info->most
      || (is_whole && value != floor (value)))
    {
      g_autofree char *expected
          = g_strdup_printf (is_whole ? _ ("a whole number from %.9g to %.9g") : _ ("a number from %.9g to %.9g"),
                             info->least, info->most);

      return bad_value (info, expected, text, error);
    }
  if (is_whole)
    G_STRUCT_MEMBER (int, self, info->offset) = (int) value;
  else
    G_STRUCT_MEMBER (double, self, info->offset) = value;
  return TRUE;
}

static gboolean
set_boolean (SwittiTrainingOptions *self, const SwittiOptionInfo *info, const char *text, GError **error)
{
  static const char *const on[] = { "true", "1", "yes", "on", NULL };
  static const char *const off[] = { "false", "0", "no", "off", NULL };
  g_autofree char *lower = text != NULL ? g_ascii_strdown (text, -1) : NULL;
  const gboolean is_on = lower == NULL || g_strv_contains (on, lower);

  if (!is_on && !g_strv_contains (off, lower))
    return bad_value (info, _ ("true or false"), text, error);
  G_STRUCT_MEMBER (gboolean, self, info->offset) = is_on;
  return TRUE;
}

gboolean
switti_training_options_set (SwittiTrainingOptions *self, const SwittiOptionInfo *info, const char *text,
                             GError **error)
{
  g_assert (text != NULL || info->kind == SWITTI_OPTION_BOOLEAN);
  switch (info->kind)
    {
    case SWITTI_OPTION_STRING:
      g_free (G_STRUCT_MEMBER (char *, self, info->offset));
      G_STRUCT_MEMBER (char *, self, info->offset) = *text != '\0' ? g_strdup (text) : NULL;
      return TRUE;
    case SWITTI_OPTION_SEED:
      return g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &G_STRUCT_MEMBER (guint64, self, info->offset),
                                         NULL)
             || bad_value (info, _ ("a whole number from 0 to 18446744073709551615"), text, error);
    case SWITTI_OPTION_INT:
    case SWITTI_OPTION_DOUBLE:
      return set_number (self, info, text, error);
    case SWITTI_OPTION_BOOLEAN:
      return set_boolean (self, info, text, error);
    default:
      g_assert_not_reached ();
    }
}

char *
switti_training_options_get (const SwittiTrainingOptions *self, const SwittiOptionInfo *info)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  switch (info->kind)
    {
    case SWITTI_OPTION_STRING:
      return g_strdup (G_STRUCT_MEMBER (char *, self, info->offset));
    case SWITTI_OPTION_SEED:
      return g_strdup_printf ("%" G_GUINT64_FORMAT, G_STRUCT_MEMBER (guint64, self, info->offset));
    case SWITTI_OPTION_INT:
      return g_strdup_printf ("%d", G_STRUCT_MEMBER (int, self, info->offset));
    case SWITTI_OPTION_DOUBLE:
      return g_strdup (g_ascii_dtostr (number, sizeof number, G_STRUCT_MEMBER (double, self, info->offset)));
    case SWITTI_OPTION_BOOLEAN:
      return g_strdup (G_STRUCT_MEMBER (gboolean, self, info->offset) ? "true" : "false");
    default:
      g_assert_not_reached ();
    }
}

JsonObject *
switti_training_options_to_json (const SwittiTrainingOptions *self)
{
  JsonObject *object = json_object_new ();

  for (const SwittiOptionInfo *info = switti_training_option_info; info->name != NULL; info++)
    {
      g_autofree char *text = switti_training_options_get (self, info);

      if (text != NULL)
        json_object_set_string_member (object, info->name, text);
    }
  return object;
}

/* -- relations ------------------------------------------------------------------------------------------------- */

static gboolean
refuse (const char *sentence, GError **error)
{
  g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, sentence);
  return FALSE;
}

static gboolean
check_common (const SwittiTrainingOptions *self, GError **error)
{
  SwittiSchedule schedule;

  if (self->data_path == NULL)
    return refuse (_ ("Say where the images are: --data-path FOLDER, with train2014/ and train2014.csv in it."), error);
  if (self->out == NULL)
    return refuse (_ ("Say where to put checkpoints: --out FOLDER."), error);
  if (g_strcmp0 (self->opt, "adamw") != 0)
    return refuse (_ ("--opt takes adamw alone."), error);
  if (g_strcmp0 (self->save_dtype, "bf16") != 0 && g_strcmp0 (self->save_dtype, "f32") != 0)
    return refuse (_ ("--save-dtype takes bf16 or f32."), error);
  if (self->lora_rank > 0 && (self->init == NULL || self->train_text))
    return refuse (_ ("--lora-rank needs a model to begin from, --init MODEL, whose text encoders stay as they are: "
                      "leave out --train-text."),
                   error);
  if (self->bs % self->grad_accum != 0)
    return refuse (_ ("--bs must be a multiple of --grad-accum."), error);
  return switti_training_options_get_schedule (self, &schedule, error);
}

gboolean
switti_training_options_check (const SwittiTrainingOptions *self, GError **error)
{
  int pair[2];

  if (!check_common (self, error))
    return FALSE;
  if (self->vae == NULL && self->init == NULL)
    return refuse (_ ("Say which model's VAE makes the codes: --vae MODEL, or --init MODEL to begin from it."), error);
  if ((self->text_width != NULL || self->text_depth != NULL) && !self->train_text)
    return refuse (_ ("--text-width and --text-depth are for new text encoders: add --train-text."), error);
  if (self->cache_text && self->train_text)
    return refuse (_ ("Features of text encoders that are trained change at each step: leave out --cache-text."),
                   error);
  return switti_training_options_parse_pair (self->text_width, "text-width", pair, error)
         && switti_training_options_parse_pair (self->text_depth, "text-depth", pair, error);
}

gboolean
switti_training_options_check_vae (const SwittiTrainingOptions *self, GError **error)
{
  if (self->fp16 != 0)
    return refuse (_ ("An RQ-VAE is trained in float32: leave out --fp16."), error);
  return check_common (self, error);
}

SwittiDtype
switti_training_options_get_dtype (const SwittiTrainingOptions *self)
{
  static const SwittiDtype dtypes[] = { SWITTI_DTYPE_F32, SWITTI_DTYPE_F16, SWITTI_DTYPE_BF16 };

  return dtypes[self->fp16];
}

gboolean
switti_training_options_get_schedule (const SwittiTrainingOptions *self, SwittiSchedule *schedule, GError **error)
{
  g_auto (GStrv) words = g_strsplit_set (self->pn != NULL ? self->pn : "", "_-,", SWITTI_MAX_SCALES + 1);
  const guint n = g_strv_length (words);
  gboolean is_valid = n <= SWITTI_MAX_SCALES;
  gint64 side = 0, before = 0;

  if (n == 1 && g_ascii_string_to_signed (words[0], 10, 1, G_MAXINT, &side, NULL)
      && switti_schedule_for_resolution ((int) side, schedule))
    return TRUE;
  memset (schedule, 0, sizeof *schedule);
  for (guint s = 0; is_valid && s < n; s++, before = side)
    {
      is_valid = g_ascii_string_to_signed (words[s], 10, before + 1, 1024, &side, NULL) && (s > 0 || side == 1);
      schedule->side[s] = (int) side;
    }
  schedule->n_scales = (int) n;
  if (is_valid && n >= 2)
    return TRUE;
  return refuse (_ ("--pn takes 256, 512 or 1024, or growing sides that begin with 1, such as 1_2_3_4_5_6_8_10_13_16."),
                 error);
}

gboolean
switti_training_options_get_learning (const SwittiTrainingOptions *self, SwittiLearningSchedule *learning,
                                      GError **error)
{
  *learning = (SwittiLearningSchedule){
    .peak = self->tblr,
    .warm_up_start = self->wp0,
    .end = self->wpe,
    .warm_up = (gint64) self->wp,
    .steps = self->max_iters,
    .decay = self->twd,
    .decay_end = self->twde > 0 ? self->twde : self->twd,
  };
  return switti_learning_schedule_parse (learning, self->sche, error);
}

gboolean
switti_training_options_parse_pair (const char *text, const char *name, int pair[2], GError **error)
{
  g_auto (GStrv) words = g_strsplit (text != NULL ? text : "0,0", ",", 3);

  for (guint i = 0; i < 2; i++)
    {
      gint64 number;

      if (g_strv_length (words) != 2 || !g_ascii_string_to_signed (words[i], 10, text != NULL, 65536, &number, NULL))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                       _ ("--%s takes two whole numbers such as 64,128, one for each text encoder."), name);
          return FALSE;
        }
      pair[i] = (int) number;
    }
  return TRUE;
}

gboolean
switti_training_options_make_config (const SwittiTrainingOptions *self, const SwittiModelSizes *sizes,
                                     SwittiTransformerConfig *config, GError **error)
{
  *config = (SwittiTransformerConfig){
    .depth = self->depth,
    .width = self->embed_dim > 0 ? self->embed_dim : HEAD_WIDTH * self->depth,
    .vocab = sizes->vocab,
    .latent = sizes->latent,
    .context_dim = sizes->context_dim,
    .pooled_dim = sizes->pooled_dim,
    .rope = self->rope,
    .swiglu = self->use_swiglu_ffn,
    .ar = self->use_ar,
    .crop_cond = self->use_crop_cond,
    .rope_theta = self->rope_theta,
    .rope_size = self->rope_size,
  };
  if (!switti_training_options_get_schedule (self, &config->schedule, error))
    return FALSE;
  config->resolution = config->schedule.side[config->schedule.n_scales - 1] * PIXELS_PER_LATENT;
  config->heads = self->num_heads;
  if (config->heads == 0)
    config->heads = config->width % HEAD_WIDTH == 0 ? config->width / HEAD_WIDTH : 1;
  config->ffn_hidden = config->swiglu ? config->width * 8 / 3 : config->width * 4;
  if (config->width % config->heads != 0)
    return refuse (_ ("--embed-dim must be a multiple of --num-heads."), error);
  if (config->rope && config->width / config->heads % 4 != 0)
    return refuse (_ ("With --rope the heads' width, --embed-dim divided by --num-heads, must be a multiple of 4."),
                   error);
  if (config->crop_cond && config->width % 8 != 0)
    return refuse (_ ("With --use-crop-cond --embed-dim must be a multiple of 8."), error);
  return TRUE;
}
