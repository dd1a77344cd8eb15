/* switti-transformer-private.h - the scale-wise transformer on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Weights (SwittiTransformer) are apart from what one run needs (SwittiTransformerRun): a workspace planned once for a
 * number of conditions and images. All functions: on the device's thread.
 */
#pragma once

#include "switti-config-private.h"
#include "switti-device-private.h"
#include "switti-tokenizer-private.h"

G_BEGIN_DECLS

typedef struct _SwittiTransformer SwittiTransformer;
typedef struct _SwittiTransformerRun SwittiTransformerRun;

/* Matrices are stored in `dtype` (F32 or BF16), which is also the dtype of activations between ops; norms' weights,
 * biases, conditioning and the residual stream are float32. `progress` (nullable) hears of the loaded fraction. */
SwittiTransformer *switti_transformer_new (SwittiDevice *device, const SwittiTransformerConfig *config,
                                           SwittiWeights *weights, SwittiDtype dtype, GError **error);
/* The same, but the blocks' matrices stay in `weights` (referenced), and come to the device block by block at each
 * scale, through two buffers: some 0.2 GB in place of 4.9 GB for the published model, and slower. */
SwittiTransformer *switti_transformer_new_streamed (SwittiDevice *device, const SwittiTransformerConfig *config,
                                                    SwittiWeights *weights, SwittiDtype dtype, GError **error);
void switti_transformer_free (SwittiTransformer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTransformer, switti_transformer_free)

const SwittiTransformerConfig *switti_transformer_get_config (SwittiTransformer *self);

/* Space for up to max_conditions prompts (null prompts count) and max_images images at once (a guided image counts
 * twice: prompt and null). */
SwittiTransformerRun *switti_transformer_run_new (SwittiTransformer *self, int max_conditions, int max_images,
                                                  GError **error);
void switti_transformer_run_free (SwittiTransformerRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTransformerRun, switti_transformer_run_free)

/* Device buffers that the text encoders write: context (max_conditions, T, context_dim) and pooled
 * (max_conditions, pooled_dim), float32. */
float *switti_transformer_run_get_context (SwittiTransformerRun *run);
float *switti_transformer_run_get_pooled (SwittiTransformerRun *run);

/* All that depends on the prompts alone: conditioning, ada_lin of every block, crop conditioning, cross-attention keys
 * and values. n_valid (n_conditions): valid text tokens. heights, widths (n_conditions): the original size that crop
 * conditioning speaks of; NULL: 512 x 512. Forgets the AR cache. */
gboolean switti_transformer_run_set_conditions (SwittiTransformerRun *run, int n_conditions, const int *n_valid,
                                                const int *heights, const int *widths, GError **error);

/* Tells the device each image's condition and slot (below), so that the scales need not: one that is given what it has
 * been told sends nothing. */
gboolean switti_transformer_run_assign (SwittiTransformerRun *run, int n_images, const gint32 *condition,
                                        const gint32 *slot, GError **error);

/* One scale for n_images images. condition (n_images, host): each image's condition. slot (n_images, host): each
 * image's place in the AR cache, below max_images; the same image keeps its slot through the scales. input: device
 * float32 (n_images, pn*pn, Z), NULL at scale 0. logits: device float32 (n_images, pn*pn, V). In AR the scales of a
 * slot run in order, from 0. */
gboolean switti_transformer_run_scale (SwittiTransformerRun *run, int scale, int n_images, const gint32 *condition,
                                       const gint32 *slot, const float *input, float *logits, GError **error);

/* Kernels and products that a block of the last scale launched; 0 and 0 on the CPU, which launches nothing. */
void switti_transformer_run_count_launches (SwittiTransformerRun *run, int *n_kernels, int *n_products);

/* 2 * multiply-adds of the products and attention of one scale for one image, and of the conditions (bench). */
double switti_transformer_scale_flop (const SwittiTransformerConfig *config, int scale);
double switti_transformer_condition_flop (const SwittiTransformerConfig *config);

/* crop conditioning's four values (oh, ow, top, left), spec.md */
void switti_crop_condition (int height, int width, float values[4]);
/* Its 8n values: for each of the four, n sines, then n cosines, of value * frequency * 2 pi. The phases reach thousands
 * of radians, so they stay in float32 whatever the model's dtype. */
void switti_crop_embedding (const float *frequencies, int n, int height, int width, float *out);
/* (pn*pn, d/2, 2) of cos, sin for scale s. */
void switti_rope_table (const SwittiTransformerConfig *config, int scale, float *table);

G_END_DECLS
