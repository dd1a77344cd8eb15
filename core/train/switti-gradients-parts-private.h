/* switti-gradients-parts-private.h - the inside of SwittiGradients
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For the switti-gradients*.c files alone: memory and plans (-plans.c), blocks (-block.c), what follows
 * from the prompts (-conditions.c), the rest (switti-gradients.c). R = B L rows of tokens, ordered (image,
 * position); t is the dtype of activations.
 */
#pragma once

#include "switti-gradients-private.h"
#include "switti-tokenizer-private.h"
#include "switti-training-product-private.h"
#include "switti-transformer-parts-private.h"

G_BEGIN_DECLS

typedef struct
{
  SwittiTrainingLinear ada_lin, qkv, proj, to_q, to_kv, cross_proj, ffn_in, ffn_out;
  gsize norm[SWITTI_N_NORMS];
  gsize crop_scales;
} SwittiTrainingBlock;

typedef enum
{
  SWITTI_PRODUCT_WORD_EMBED,
  SWITTI_PRODUCT_TEXT_POOLER,
  SWITTI_PRODUCT_CROP_PROJ,
  SWITTI_PRODUCT_ADA_LIN,
  SWITTI_PRODUCT_QKV,
  SWITTI_PRODUCT_SQUARE, /* proj, to_q, cross-attention's proj */
  SWITTI_PRODUCT_TO_KV,
  SWITTI_PRODUCT_FFN_IN,
  SWITTI_PRODUCT_FFN_OUT,
  SWITTI_PRODUCT_HEAD_ADA_LIN,
  SWITTI_PRODUCT_HEAD,      /* loss_rows tokens */
  SWITTI_PRODUCT_HEAD_LAST, /* the tokens that are left */
  SWITTI_N_PRODUCTS
} SwittiProduct;

/* What a block's backward computation reads. */
typedef struct
{
  void *silu;        /* t (B, C) */
  float *modulation; /* (B, 6C) */
  void *h[3];        /* t (R, C): normed input of attention, cross-attention, FFN */
  float *x[2];       /* (R, C): residual stream after attention, after cross-attention */
  void *y[3];        /* t (R, C): what the three give to the stream, before the norm */
  void *qkv;         /* t (R, 3C) */
  void *qk;          /* t (R, 2C): queries and keys, normed and rotated */
  void *attended[2]; /* t (R, C) */
  void *q, *normed_q; /* t (R, C): of cross-attention */
  void *context;     /* t (B T, D): normed */
  void *kv;          /* t (B T, 2C) */
  void *normed_k;    /* t (B T, C) */
  void *ffn_in;      /* t (R, 2F), or (R, F) without SwiGLU */
  void *ffn_hidden;  /* t (R, F) */
} SwittiSavedBlock;

struct _SwittiGradients
{
  SwittiParameters *parameters;
  SwittiDevice *device;
  SwittiTransformerConfig config_copy;
  const SwittiTransformerConfig *config; /* the copy */
  SwittiGradientsOptions options;
  SwittiDtype dtype;
  gint64 length, rows;                 /* L, R */
  gint64 begin[SWITTI_MAX_SCALES + 1]; /* begin[s]: positions of the scales before s */

  SwittiTrainingLinear word_embed, text_pooler, crop_proj, head_ada_lin, head;
  gsize pos_start, lvl_embed, positions, crop_embed;
  SwittiTrainingBlock *blocks;
  SwittiTrainingProduct products[SWITTI_N_PRODUCTS];
  SwittiTrainingHalves halves; /* NULL where products are not float16 */

  SwittiWorkspace *workspace;
  SwittiGradientArray *array; /* of the parameters' gradients */
  /* inputs */
  float *latents;    /* (B, L, Z), zeros at the first position */
  float *text;       /* (B, T, D) */
  float *pooled;     /* (B, pooled_dim) */
  gint32 *codes;     /* (R) */
  gint32 *level;     /* (L): each position's scale */
  gint32 *n_valid;   /* (B) */
  float *rope;       /* (L, d/2, 2), or NULL */
  /* forward */
  float *c, *crop, *crop_input;        /* (B, C) */
  void *head_silu;                     /* t (B, C) */
  float *head_modulation;              /* (B, 2C) */
  float **x;                           /* depth + 1 of (R, C): the residual stream before each block, and at the end */
  SwittiSavedBlock *saved;             /* depth of them, or one with recompute */
  void *head_input;                    /* t (R, C) */
  SwittiLogitStatistics *statistics;   /* the caller's, or NULL */
  float *host_logits;                  /* (loss_rows, V): made for statistics */
  float *logits;                       /* (loss_rows, V) */
  float *row_loss;                     /* (R) */
  gint32 *row_rank;                    /* (R) */
  float *row_weight;                   /* (R): of each token's gradient; NULL: 1 */
  /* backward */
  gboolean drops;        /* this batch has branch scales: */
  float *branch_weights; /* (depth, 2, 6B): of the modulations' rows; of branch_gate's */
  float *branch_ones, *branch_gate; /* (6B, C) */
  float *dx;             /* (R, C) */
  void *dy, *dh;         /* t (R, C) */
  void *d_attended;      /* t (R, C) */
  void *d_qkv;           /* t (R, 3C) */
  float *d_keys;         /* (R, 2C): keys and values */
  void *d_ffn_in;        /* t, as ffn_in */
  void *d_ffn_hidden;    /* t (R, F) */
  float *d_text_keys;    /* (B T, 2C) */
  void *d_kv;            /* t (B T, 2C) */
  void *d_context;       /* t (B T, D) */
  void *d_logits;        /* t (loss_rows, V) */
  float *d_modulation;   /* (B, 6C) */
  float *d_silu;         /* (B, C) */
  float *dc, *d_crop;    /* (B, C) */
  float *d_text;         /* (B, T, D), NULL unless it is wanted */
  float *d_pooled;       /* (B, pooled_dim), NULL unless it is wanted */
  void *norm_scratch;
  void *attention_scratch; /* NULL where the device takes none */

  float *host_crop, *host_frequencies, *host_loss;
  gint32 *host_rank;
};

/* Start of element `index` of an array of the dtype of activations. */
static inline void *
switti_gradients_at (const SwittiGradients *self, void *base, gint64 index)
{
  return (guint8 *) base + (gsize) index * switti_dtype_size (self->dtype);
}

/* A parameter that is used in float32. */
static inline const float *
switti_gradients_parameter (const SwittiGradients *self, gsize offset)
{
  return switti_parameters_at (self->parameters, offset);
}

/* And where its gradient goes. */
static inline float *
switti_gradients_gradient (const SwittiGradients *self, gsize offset)
{
  return switti_gradient_array_at (self->array, offset);
}

static inline gboolean
switti_gradients_multiply (SwittiGradients *self, SwittiProduct product, const SwittiTrainingLinear *linear,
                           const void *x, void *y, GError **error)
{
  return switti_training_product_forward (&self->products[product], self->parameters, linear, x, y, error);
}

/* dx, unless NULL, is written. */
static inline gboolean
switti_gradients_multiply_backward (SwittiGradients *self, SwittiProduct product, const SwittiTrainingLinear *linear,
                                    const void *x, const void *dy, void *dx, GError **error)
{
  return switti_training_product_backward (&self->products[product], self->parameters, linear, self->array, x, dy, dx,
                                           error);
}

static inline SwittiSavedBlock *
switti_gradients_saved (const SwittiGradients *self, int block)
{
  return &self->saved[self->options.recompute ? 0 : block];
}

/* -- switti-gradients-plans.c -- */
gboolean switti_gradients_plan (SwittiGradients *self, GError **error);
void switti_gradients_free_plans (SwittiGradients *self);
void switti_gradients_find_parameters (SwittiGradients *self);

/* -- switti-gradients-drop.c -- */
void switti_gradients_drop_place (SwittiGradients *self);
/* branch_scales as in SwittiTrainingBatch. */
gboolean switti_gradients_drop_begin (SwittiGradients *self, const float *branch_scales, GError **error);
/* The gates in a block's modulation, or their gradients, times the block's scales. */
gboolean switti_gradients_drop_gates (SwittiGradients *self, int block, float *modulation, GError **error);
/* *gate: that of cross-attention, rows 6C apart, or NULL; good until the next call. */
gboolean switti_gradients_drop_cross (SwittiGradients *self, int block, const float **gate, GError **error);

/* -- switti-gradients-block.c -- */
/* x[block] -> x[block + 1] */
gboolean switti_gradients_block_forward (SwittiGradients *self, int block, GError **error);
/* dx of x[block + 1] -> dx of x[block], in place */
gboolean switti_gradients_block_backward (SwittiGradients *self, int block, GError **error);

/* -- switti-gradients-conditions.c -- */
gboolean switti_gradients_conditions_forward (SwittiGradients *self, const SwittiTrainingBatch *batch,
                                              GError **error);
gboolean switti_gradients_conditions_backward (SwittiGradients *self, GError **error);
gboolean switti_gradients_block_conditions_forward (SwittiGradients *self, int block, GError **error);
/* From d_modulation and d_text_keys. */
gboolean switti_gradients_block_conditions_backward (SwittiGradients *self, int block, GError **error);

G_END_DECLS
