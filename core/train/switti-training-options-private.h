/* switti-training-options-private.h - what a training is told
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One table names every option, its member, its range and what it does: the command line, the configuration file, the
 * checkpoint and the help are made from it. Names are the published ones, with dashes.
 */
#pragma once

#include "switti-config-private.h"
#include "switti-kernels.h"
#include "switti-schedule-private.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef struct
{
  /* data */
  char *data_path;
  gboolean hflip;
  int max_bad, workers;
  char *cache;
  gboolean cache_text;
  /* models */
  char *vae, *text, *init, *resume;
  gboolean train_text;
  char *text_width, *text_depth;
  /* the transformer's shape */
  int depth, embed_dim, num_heads;
  char *pn;
  gboolean rope, use_swiglu_ffn, use_ar, use_crop_cond;
  double rope_theta, rope_size;
  /* an RQ-VAE's */
  int vqvae_vocab_size, vqvae_channel_dim, vqvae_n_channels, vqvae_share_quant_resi, revive_iters;
  /* first values */
  guint64 seed;
  double ini, hd, aln, alng;
  /* optimization */
  char *opt, *sche;
  int fp16, loss_scale_iters, bs, grad_accum, max_iters, train_scales;
  double loss_scale, tblr, wp, wp0, wpe, twd, twde, tclip, ls, loss_balance;
  double adam_beta1, adam_beta2, ema, drop_path_rate, uncond_proba;
  double embed_noise_std;
  int lora_rank;
  double lora_alpha;
  gboolean use_gradient_checkpointing;
  int loss_rows;
  /* output */
  char *out, *exp_name, *save_dtype;
  char *sample_prompts;
  int log_images_iters;
  int log_iters, save_iters, global_save_iters, keep, val_iters, val_images;
  /* where to compute */
  char *device;
  int threads;
  gboolean use_fsdp;
  int hybrid;
} SwittiTrainingOptions;

typedef enum
{
  SWITTI_OPTION_STRING,
  SWITTI_OPTION_INT,
  SWITTI_OPTION_SEED,
  SWITTI_OPTION_DOUBLE,
  SWITTI_OPTION_BOOLEAN,
} SwittiOptionKind;

typedef struct
{
  const char *name; /* "wp0" */
  SwittiOptionKind kind;
  gsize offset;              /* in SwittiTrainingOptions */
  double least, most;        /* of INT and DOUBLE */
  const char *initial;       /* as text; NULL: an unset string */
  const char *help, *argument; /* to be translated */
} SwittiOptionInfo;

/* Ends with a NULL name. */
extern const SwittiOptionInfo switti_training_option_info[];

void switti_training_options_init (SwittiTrainingOptions *self);
void switti_training_options_clear (SwittiTrainingOptions *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SwittiTrainingOptions, switti_training_options_clear)

/* NULL where there is none; dashes and underscores are the same. */
const SwittiOptionInfo *switti_training_options_find (const char *name);
/* From text; `text` NULL switches a boolean on. SWITTI_ERROR_ARGUMENT names option, range and text. */
gboolean switti_training_options_set (SwittiTrainingOptions *self, const SwittiOptionInfo *info, const char *text,
                                      GError **error);
/* (transfer full): the value as _set() takes it, or NULL for an unset string. */
char *switti_training_options_get (const SwittiTrainingOptions *self, const SwittiOptionInfo *info);

/* All that are set, as an object of strings, for the checkpoint. (transfer full) */
JsonObject *switti_training_options_to_json (const SwittiTrainingOptions *self);

/* What --fp16 asks of products: F32, F16 or BF16. */
SwittiDtype switti_training_options_get_dtype (const SwittiTrainingOptions *self);
/* Checks what concerns more than one option; the second, for the training of an RQ-VAE. */
gboolean switti_training_options_check (const SwittiTrainingOptions *self, GError **error);
gboolean switti_training_options_check_vae (const SwittiTrainingOptions *self, GError **error);
/* --pn: a resolution or sides such as 1_2_3_4. */
gboolean switti_training_options_get_schedule (const SwittiTrainingOptions *self, SwittiSchedule *schedule,
                                               GError **error);
/* The schedule of learning rate and weight decay. */
gboolean switti_training_options_get_learning (const SwittiTrainingOptions *self, SwittiLearningSchedule *learning,
                                               GError **error);
/* "64,128": one number for each text encoder; both 0 where the text is NULL. `name` is for messages. */
gboolean switti_training_options_parse_pair (const char *text, const char *name, int pair[2], GError **error);

/* What the other parts of a model say of the transformer. */
typedef struct
{
  int vocab, latent, context_dim, pooled_dim;
} SwittiModelSizes;

gboolean switti_training_options_make_config (const SwittiTrainingOptions *self, const SwittiModelSizes *sizes,
                                              SwittiTransformerConfig *config, GError **error);

G_END_DECLS
