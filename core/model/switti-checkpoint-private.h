/* switti-checkpoint-private.h - a checkpoint's tensors as a part of a model
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A plan says, for one part of a model folder, what its config.json will be and where each of its tensors comes from:
 * under which name it is stored (prefixes such as "module." or "text_model.", OpenCLIP's names), and as which rows of
 * it. Making one reads names and shapes, and of published buffers a few numbers; no weights.
 */
#pragma once

#include "switti-config-private.h"
#include "switti-tensor-source-private.h"

G_BEGIN_DECLS

typedef enum
{
  SWITTI_PART_TRANSFORMER,
  SWITTI_PART_VAE,
  SWITTI_PART_TEXT_ENCODER, /* which of the two is not in its tensors */
} SwittiPartKind;

/* What its maker knows and no tensor says; -1, 0 or NULL: nothing. These go before what config.json says. */
typedef struct
{
  int ar;               /* FALSE, TRUE, or -1 */
  int resolution;       /* pixels, or 0 */
  int heads;            /* of the transformer, or 0 */
  const char *activation; /* of a text encoder: "quick_gelu", "gelu" or NULL */
  const char *prefix;     /* of the names, where a file holds several parts or copies; or NULL */
} SwittiCheckpointHints;

#define SWITTI_CHECKPOINT_NO_HINTS { .ar = -1 }

/* What a part's checkpoint must hold. */
typedef struct
{
  char *name;
  int n_dims;
  gint64 dims[4];
} SwittiTensorSpec;

/* All tensors of a part, as SwittiTensorSpec (g_array_unref()). */
GArray *switti_transformer_tensor_specs (const SwittiTransformerConfig *config);
GArray *switti_vae_tensor_specs (const SwittiVaeConfig *config);
GArray *switti_text_tensor_specs (const SwittiTextConfig *config);

/* A tensor of the part that is to be. */
typedef struct
{
  char *name;                       /* in the model folder */
  SwittiTensor shape;               /* with the dtype in which it is written; no data */
  gsize count, bytes;               /* of it */
  const SwittiStoredTensor *stored; /* belongs to the source */
  gsize first;                      /* its first element in `stored`, row-major */
} SwittiPlannedTensor;

typedef struct
{
  SwittiPartKind kind;
  SwittiTensorSource *source; /* not owned */
  union
  {
    SwittiTransformerConfig transformer;
    SwittiVaeConfig vae;
    SwittiTextConfig text;
  };
  char *config_json; /* of the part to be */
  GArray *tensors;   /* SwittiPlannedTensor, in the order of writing: the source's, larger elements first */
  guint64 bytes;     /* of all tensors to be written */
} SwittiPartPlan;

/* Recognises what the source holds by the names of its tensors and plans it. config_json: the checkpoint's config.json
 * where it has one, or NULL. dtype: F32, F16 or BF16 of the part to be (crop_embed.weight stays F32: its phases are
 * noise in fewer bits), or SWITTI_PLAN_KEEP_DTYPE to keep what is stored. Missing, extra and misshapen tensors are
 * SWITTI_ERROR_MODEL_INVALID with their names; what cannot be known and is not in the hints SWITTI_ERROR_ARGUMENT. */
SwittiPartPlan *switti_part_plan_new (SwittiTensorSource *source, const char *config_json, gssize config_length,
                                      const SwittiCheckpointHints *hints, int dtype, GCancellable *cancellable,
                                      GError **error);
void switti_part_plan_free (SwittiPartPlan *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiPartPlan, switti_part_plan_free)

#define SWITTI_PLAN_KEEP_DTYPE (-1)

/* Elements begin .. begin + count - 1 of a planned tensor, converted, to `out` (count elements of its dtype). */
gboolean switti_part_plan_read (SwittiPartPlan *self, const SwittiPlannedTensor *tensor, gsize begin, gsize count,
                                void *out, GCancellable *cancellable, GError **error);

/* -- switti-checkpoint-names.c ---- */

/* A stored tensor, or rows of it, under the name that it has in a model folder. */
typedef struct
{
  SwittiTensor shape; /* with the stored dtype */
  const SwittiStoredTensor *stored;
  gsize first;
} SwittiNamedTensor;

/* Recognises the part and gives its tensors their names: name -> SwittiNamedTensor. Tensors of other parts and buffers
 * that follow from the configuration are left out. *has_openclip_names tells a text encoder of OpenCLIP's; *prefix is
 * what stands before the names (g_free()). */
GHashTable *switti_checkpoint_name_tensors (SwittiTensorSource *source, const char *wanted_prefix, SwittiPartKind *kind,
                                            gboolean *has_openclip_names, char **prefix, GError **error);

G_END_DECLS
