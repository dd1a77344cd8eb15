/* switti-transformer-parts-private.h - the inside of SwittiTransformer and SwittiTransformerRun
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For the switti-transformer*.c files alone: weights (switti-transformer-weights.c), what follows from the prompts
 * (-conditions.c), the scales (-run.c).
 */
#pragma once

#include "switti-linear-private.h"
#include "switti-transformer-private.h"
#include "switti-workspace-private.h"

G_BEGIN_DECLS

#define SWITTI_RMS_EPS 1e-6f
#define SWITTI_LAYER_NORM_EPS 1e-6f

/* The order in which ada_lin's 6C values come (spec.md). */
typedef enum
{
  SWITTI_MODULATION_GATE_ATTENTION,
  SWITTI_MODULATION_GATE_FFN,
  SWITTI_MODULATION_SCALE_ATTENTION,
  SWITTI_MODULATION_SCALE_FFN,
  SWITTI_MODULATION_SHIFT_ATTENTION,
  SWITTI_MODULATION_SHIFT_FFN,
  SWITTI_N_MODULATIONS
} SwittiModulation;

typedef enum
{
  SWITTI_NORM_SELF_PRE,   /* self_attention_norm1 */
  SWITTI_NORM_SELF_POST,  /* self_attention_norm2 */
  SWITTI_NORM_CROSS_PRE,  /* cross_attention_norm1 */
  SWITTI_NORM_CROSS_POST, /* cross_attention_norm2 */
  SWITTI_NORM_FFN_PRE,    /* ffn_norm1 */
  SWITTI_NORM_FFN_POST,   /* ffn_norm2 */
  SWITTI_NORM_CONTEXT,    /* attention_y_norm, context_dim wide; the others C */
  SWITTI_N_NORMS
} SwittiBlockNorm;

/* Each norm's name in a checkpoint, after "blocks.N." and before ".weight". */
extern const char *const switti_norm_names[SWITTI_N_NORMS];

typedef struct
{
  SwittiLinear ada_lin;        /* C -> 6C */
  SwittiLinear qkv, proj;      /* self-attention: C -> 3C, C -> C */
  SwittiLinear to_q, to_kv;    /* cross-attention: C -> C, context_dim -> 2C */
  SwittiLinear cross_proj;     /* C -> C */
  SwittiLinear ffn_in;         /* C -> 2F, [gate | up]; or fc1, C -> F */
  SwittiLinear ffn_out;        /* F -> C */
  float *norm[SWITTI_N_NORMS]; /* RMS weights */
  float *crop_scales;          /* (C), or NULL without crop conditioning */
} SwittiBlock;

/* The two passes over the blocks, which need different matrices. */
typedef enum
{
  SWITTI_PASS_CONDITIONS, /* ada_lin, to_kv: once a prompt */
  SWITTI_PASS_SCALE,      /* the others: at each scale */
  SWITTI_N_BLOCK_PASSES
} SwittiBlockPass;

#define SWITTI_N_BLOCK_MATRICES 8

/* A matrix of a block, made of one or two tensors "blocks.<block>.<name>.weight" one under another. */
typedef struct
{
  SwittiLinear *linear;
  const char *names[2]; /* the second may be NULL */
  gint64 rows[2], k;
  gboolean has_bias;
  SwittiBlockPass pass;
} SwittiBlockMatrix;

typedef struct _SwittiBlockStream SwittiBlockStream;

struct _SwittiTransformer
{
  SwittiDevice *device;
  SwittiTransformerConfig config;
  SwittiDtype dtype;

  SwittiLinear text_pooler;     /* pooled_dim -> C, float32 */
  SwittiLinear crop_proj;       /* C -> C, float32 */
  SwittiLinear word_embed;      /* Z -> C, float32; its bias is in token_bias */
  SwittiLinear head_ada_lin;    /* C -> 2C: scale, shift */
  SwittiLinear head;            /* C -> V */
  float *token_bias;            /* (S, C): word_embed.bias + lvl_embed */
  float *first_row;             /* (C): pos_start + lvl_embed[0] (+ pos_1LC[0]) */
  float *positions;             /* (L, C): pos_1LC, or NULL with RoPE */
  float *rope;                  /* (L, d/2, 2), or NULL without */
  float *crop_frequencies;      /* host: crop_embed.weight (C / 8), or NULL */
  SwittiBlock *blocks;          /* depth */
  SwittiBlockStream *stream;    /* NULL: the blocks' matrices stay on the device */
};

/* Products of one scale for one number of images. */
typedef struct
{
  SwittiGemmPlan *word_embed;
  SwittiGemmPlan *qkv;
  SwittiGemmPlan *square; /* proj, to_q, cross_proj */
  SwittiGemmPlan *ffn_in;
  SwittiGemmPlan *ffn_out;
  SwittiGemmPlan *head;
} SwittiScalePlans;

/* The ops of one scale for one number of images, recorded by their second use: the first warms up what the device
 * makes ready at a kernel's first launch, and a run that is used once has no use for a graph. Valid for what is named
 * here; all else that may change from run to run lies in the device's memory. */
typedef struct
{
  gboolean used;
  SwittiKernelGraph *graph;
  const float *input;
  float *logits;
  int n_conditions;
  gint32 *slot; /* AR: (n_images) */
} SwittiScaleGraph;

/* Products of one number of conditions. */
typedef struct
{
  SwittiGemmPlan *text_pooler;
  SwittiGemmPlan *crop_proj;
  SwittiGemmPlan *ada_lin;
  SwittiGemmPlan *to_kv;
  SwittiGemmPlan *head_ada_lin;
} SwittiConditionPlans;

struct _SwittiTransformerRun
{
  SwittiTransformer *model;
  int max_conditions, max_images;
  int n_conditions;

  SwittiScalePlans **scale_plans;         /* [S * (max_images + 1)], NULL until planned */
  SwittiScaleGraph *scale_graphs;         /* [S * (max_images + 1)] */
  SwittiConditionPlans **condition_plans; /* [max_conditions + 1] */
  gint64 begin[SWITTI_MAX_SCALES + 1];    /* begin[s]: positions of the scales before s */
  int *next_scale;                        /* [max_images]: the scale that an AR slot expects */

  SwittiWorkspace *workspace;
  /* what the prompts fix */
  float *context, *pooled;    /* (max_conditions, T, context_dim), (max_conditions, pooled_dim) */
  float *c, *crop;            /* (max_conditions, C) */
  float *crop_input;          /* (max_conditions, C): sines and cosines */
  float *modulation;          /* (depth, max_conditions, 6C) */
  float *head_modulation;     /* (max_conditions, 2C) */
  void *text_kv;              /* (depth, max_conditions, T, 2C) */
  gint32 *key_length;         /* (max_conditions) */
  void *normed_context;       /* (max_conditions, T, context_dim) */
  void *silu;                 /* (max_conditions, C) */
  float *host_crop;           /* host: (max_conditions, C) */
  /* what a scale needs; R = max_images * the largest pn*pn */
  gint32 *condition, *slot;   /* (max_images) */
  gint32 *host_condition, *host_slot; /* host: what those hold, for the first n_assigned images */
  int n_assigned;
  int block_kernels, block_products; /* launched by a block of the last scale */
  float *x;                   /* (R, C), the residual stream */
  void *h;                    /* (R, C), normed and modulated */
  void *qkv;                  /* (R, 3C) */
  void *attended;             /* (R, C) */
  void *ffn_in, *ffn_hidden;  /* (R, 2F or nothing), (R, F) */
  void *y;                    /* (R, C), what goes to the residual stream */
  void *cache_k, *cache_v;    /* AR: (depth, max_images, L, C) */
};

/* Start of element `index` of an array of the model's dtype. */
static inline void *
switti_transformer_at (const SwittiTransformer *model, void *base, gint64 index)
{
  return (guint8 *) base + (gsize) index * switti_dtype_size (model->dtype);
}

/* -- switti-transformer-weights.c -- */
gboolean switti_transformer_load (SwittiTransformer *self, SwittiWeights *weights, gboolean streamed,
                                  GError **error);
void switti_transformer_list_matrices (SwittiTransformer *self, int index,
                                       SwittiBlockMatrix matrices[SWITTI_N_BLOCK_MATRICES]);
/* The matrix into device memory of switti_linear_packed_bytes(). */
gboolean switti_transformer_pack_matrix (SwittiTransformer *self, SwittiWeights *weights, int index,
                                         const SwittiBlockMatrix *matrix, void *packed, GError **error);
void switti_transformer_clear (SwittiTransformer *self);

/* -- switti-transformer-graph.c -- */
gboolean switti_transformer_run_replay (SwittiTransformerRun *run, int scale, int n_images, const float *input,
                                        float *logits, GError **error);
void switti_transformer_run_free_graphs (SwittiTransformerRun *run);

/* -- switti-transformer-run.c -- */
gboolean switti_transformer_run_enqueue (SwittiTransformerRun *run, int scale, int n_images, const float *input,
                                         float *logits, GError **error);

/* -- switti-transformer-stream.c -- */
gboolean switti_transformer_stream_open (SwittiTransformer *self, SwittiWeights *weights, GError **error);
void switti_transformer_stream_free (SwittiBlockStream *stream);
/* Around the ops of a block: before them its matrices of the pass are there, behind them those of the next begin to
 * come. */
gboolean switti_transformer_begin_block (SwittiTransformer *self, SwittiBlockPass pass, int index, GError **error);
gboolean switti_transformer_end_block (SwittiTransformer *self, SwittiBlockPass pass, int index, GError **error);

/* -- switti-transformer-conditions.c -- */
gboolean switti_transformer_run_plan_conditions (SwittiTransformerRun *run, int n_conditions, GError **error);
void switti_transformer_run_free_condition_plans (SwittiTransformerRun *run);

G_END_DECLS
