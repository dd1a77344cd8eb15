/* switti-model-import-private.h - a model folder from checkpoints, and checkpoints from a model folder
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-model-writer-private.h"

G_BEGIN_DECLS

typedef struct
{
  /* Files and folders, recognised by content: PyTorch's and safetensors files, folders of Hugging Face and their cache
   * snapshots, whole model folders, tokenizers; "ORG/NAME" is looked up in Hugging Face's cache. NULL-terminated. */
  const char *const *inputs;
  const char *base; /* (nullable): the model (name or path) that gives the parts which the inputs lack */
  SwittiCheckpointHints hints;
  int dtype; /* of the weights, or SWITTI_PLAN_KEEP_DTYPE */
} SwittiImportOptions;

/* Writes the model folder at `path`, replacing a model that is there. Blocks; may be called from any thread.
 * SWITTI_ERROR_ARGUMENT says what cannot be known or is not there. */
gboolean switti_model_import (const char *path, const SwittiImportOptions *options, SwittiBytesFunc progress,
                              gpointer data, GCancellable *cancellable, GError **error);

/* Writes a folder that the published code and its libraries load: config.json and model.safetensors of the transformer,
 * and in vae/, text_encoder/, text_encoder_2/, tokenizer/ and tokenizer_2/ the other parts. dtype: F32, BF16 or F16, or
 * SWITTI_PLAN_KEEP_DTYPE. */
gboolean switti_model_export (const char *model_folder, const char *path, int dtype, SwittiBytesFunc progress,
                              gpointer data, GCancellable *cancellable, GError **error);

/* -- switti-model-inputs.c ---- */

/* What an input turned out to be. */
typedef struct
{
  char *weights;        /* for switti_tensor_source_open(); NULL where it is a tokenizer alone */
  char *config;         /* the text of its config.json, or NULL */
  char *tokenizer;      /* a folder with tokenizer files, or bpe_simple_vocab_16e6.txt.gz; NULL where there is none */
  char *model_index;    /* of a whole model folder: the path of its model_index.json, or NULL */
  char *readme;         /* the path of its README.md, or NULL */
  int encoder;          /* 1 or 2 where its folder's name says which text encoder it is of, else 0 */
} SwittiModelInput;

/* All parts in the inputs, as SwittiModelInput (g_ptr_array_unref()). */
GPtrArray *switti_model_inputs_find (const char *const *inputs, GError **error);

/* The snapshot of a repository "ORG/NAME" in Hugging Face's cache ($HF_HUB_CACHE, $HF_HOME/hub, or
 * ~/.cache/huggingface/hub), or NULL. (transfer full) */
char *switti_hub_cache_find (const char *repository);

G_END_DECLS
