/* switti-config-private.h - the shapes of a model's parts, from config.json and the tensors
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-weights-private.h"

G_BEGIN_DECLS

#define SWITTI_MAX_SCALES 64
#define SWITTI_VAE_LEVELS 5 /* widths ch * (1, 1, 2, 2, 4) */

typedef struct
{
  int n_scales;               /* S */
  int side[SWITTI_MAX_SCALES]; /* pn_s */
} SwittiSchedule;

/* The published schedule of 256, 512 or 1024; FALSE for another resolution. */
gboolean switti_schedule_for_resolution (int resolution, SwittiSchedule *schedule);
/* L: sum of pn_s squared. */
gint64 switti_schedule_length (const SwittiSchedule *schedule);

typedef struct
{
  int depth, width, heads, ffn_hidden; /* C, H, F; d = C / H */
  int vocab, latent;                   /* V, Z */
  int context_dim, pooled_dim;         /* 2048 and 1280 in published models */
  gboolean rope, swiglu, ar, crop_cond;
  double rope_theta, rope_size;
  int resolution;
  SwittiSchedule schedule;
} SwittiTransformerConfig;

typedef struct
{
  int ch, vocab, latent;    /* V, Z */
  int share_quant_resi;     /* K shared phi (4), 1, or 0 for one phi a scale */
  double quant_resi;        /* 0.5: phi (h) = (1 - q) h + q conv (h) */
  gboolean using_znorm;
  SwittiSchedule schedule;
} SwittiVaeConfig;

typedef struct
{
  int layers, width, heads, mlp; /* mlp: intermediate_size */
  int vocab, positions;          /* 77 positions */
  gboolean quick_gelu;           /* otherwise the erf form */
  double norm_eps;
  int bos_id, eos_id, pad_id;
} SwittiTextConfig;

/* Parse a config.json. Fields of the published files and the project's own (spec.md); what is left out takes the
 * published default, or is worked out from the tensors where weights is given (NULL: it is not). Every value is checked
 * (positive, C divisible by H, d by 4, schedule strictly increasing …): SWITTI_ERROR_MODEL_INVALID names the file and
 * the field. */
gboolean switti_transformer_config_load (const char *path, SwittiWeights *weights, SwittiTransformerConfig *config,
                                         GError **error);
gboolean switti_vae_config_load (const char *path, SwittiWeights *weights, SwittiVaeConfig *config, GError **error);
gboolean switti_text_config_load (const char *path, SwittiWeights *weights, SwittiTextConfig *config, GError **error);

/* From text in memory (fuzzing); description is used in messages. */
gboolean switti_transformer_config_parse (const char *json, gssize length, const char *description,
                                          SwittiWeights *weights, SwittiTransformerConfig *config, GError **error);
gboolean switti_vae_config_parse (const char *json, gssize length, const char *description, SwittiWeights *weights,
                                  SwittiVaeConfig *config, GError **error);
gboolean switti_text_config_parse (const char *json, gssize length, const char *description, SwittiWeights *weights,
                                   SwittiTextConfig *config, GError **error);

/* The canonical config.json of a part; (transfer full). */
char *switti_transformer_config_to_json (const SwittiTransformerConfig *config);
char *switti_vae_config_to_json (const SwittiVaeConfig *config);
char *switti_text_config_to_json (const SwittiTextConfig *config);

/* "depth=30,width=1920,reso=512[,heads=30,vocab=4096,ch=160,ar,abspos,gelu,nocrop,clip=full|none…]" of
 * `switti bench --synthetic`; unknown keys are SWITTI_ERROR_ARGUMENT with a suggestion. Defaults: the published shapes
 * (width 64 * depth). */
gboolean switti_synthetic_config_parse (const char *text, SwittiTransformerConfig *transformer, SwittiVaeConfig *vae,
                                        SwittiTextConfig text_encoders[2], GError **error);

G_END_DECLS
