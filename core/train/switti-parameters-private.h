/* switti-parameters-private.h - the parameters of a model in training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * All parameters lie in one float32 array on the device, each at its offset; gradients and the optimizer's moments are
 * arrays of the same shape. With bf16 activations a second array holds the parameters rounded to bf16, for products.
 *
 * With sharding (switti-sharding-private.h) the arrays hold this rank's pieces, while offsets count as if all were
 * here: switti_parameters_get_piece() says what is here of a parameter, and what computes acquires a unit and finds
 * elements through switti_parameters_at().
 */
#pragma once

#include "switti-config-private.h"
#include "switti-device-private.h"
#include "switti-sharding-private.h"

G_BEGIN_DECLS

typedef enum
{
  SWITTI_INITIAL_NORMAL,     /* truncated normal, times gain */
  SWITTI_INITIAL_ZERO,
  SWITTI_INITIAL_ONE,
  SWITTI_INITIAL_MODULATION, /* ada_lin: the rows of the gates have a factor of their own */
  SWITTI_INITIAL_HEAD_MODULATION, /* head_nm.ada_lin: no gates */
  SWITTI_INITIAL_HEAD,
  SWITTI_INITIAL_FREQUENCIES, /* crop_embed: normal with deviation 1 */
} SwittiInitial;

/* The published name. */
#define SWITTI_VAE_HITS "quantize.ema_vocab_hit_SV"

typedef struct
{
  char *name; /* as in a checkpoint */
  int n_dims;
  gint64 dims[4];
  gsize count, offset; /* elements */
  gboolean decays;     /* takes part in weight decay */
  gboolean is_frozen;  /* no gradient, no update */
  gboolean is_optional; /* a checkpoint without it, or with another shape of it, leaves it as it is */
  SwittiInitial initial;
  double gain;
} SwittiParameter;

typedef struct _SwittiParameters SwittiParameters;

/* What a transformer or an image encoder of that configuration has; values are 0. dtype F32, BF16 or F16: of the
 * activations, so of the weights in products. NULL on failure. */
SwittiParameters *switti_transformer_parameters_new (SwittiDevice *device, const SwittiTransformerConfig *config,
                                                     SwittiDtype dtype, GError **error);
SwittiParameters *switti_vae_parameters_new (SwittiDevice *device, const SwittiVaeConfig *config, GError **error);
/* With SWITTI_VAE_HITS (S, V), of its training: how often each scale has chosen a code of late, 1 being an even share.
 * Frozen, and 1 where a checkpoint has no such tensor. */
SwittiParameters *switti_vae_parameters_new_with_hits (SwittiDevice *device, const SwittiVaeConfig *config,
                                                       GError **error);
/* Those of a CLIP text encoder, under the checkpoint's names without "text_model.". Two encoders need two seeds: names
 * choose the random numbers. */
SwittiParameters *switti_text_parameters_new (SwittiDevice *device, const SwittiTextConfig *config, SwittiDtype dtype,
                                              GError **error);

/* With sharding, which may be NULL. */
SwittiParameters *switti_transformer_parameters_new_sharded (SwittiDevice *device,
                                                             const SwittiTransformerConfig *config, SwittiDtype dtype,
                                                             SwittiSharding *sharding, GError **error);
SwittiParameters *switti_text_parameters_new_sharded (SwittiDevice *device, const SwittiTextConfig *config,
                                                      SwittiDtype dtype, SwittiSharding *sharding, GError **error);

/* For the functions above: an empty list, whose normal numbers have that deviation times their gain; parameters in
 * the order in which they shall lie; then the memory. add() takes over name; the address that it returns is good until
 * the next. With `joined`, the parameter lies right behind the one before. */
SwittiParameters *switti_parameters_new (SwittiDevice *device, SwittiDtype dtype, double deviation);
SwittiParameter *switti_parameters_add (SwittiParameters *self, char *name, SwittiInitial initial, double gain,
                                        int n_dims, const gint64 *dims, gboolean joined);
/* Before anything is added. */
void switti_parameters_set_sharding (SwittiParameters *self, SwittiSharding *sharding);
/* What is added from here on is a unit; `stays`: see SwittiUnit. */
void switti_parameters_begin_unit (SwittiParameters *self, gboolean stays);
gboolean switti_parameters_allocate (SwittiParameters *self, GError **error);
void switti_parameters_free (SwittiParameters *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiParameters, switti_parameters_free)

/* Factors of first values, where the published ones are not wanted. */
typedef struct
{
  double head, modulation, gate; /* 0.02, 0.5, 1e-5: published --hd, --aln, --alng */
} SwittiInitialGains;

void switti_parameters_set_gains (SwittiParameters *self, const SwittiInitialGains *gains);

/* From scratch; `deviation` of the normal numbers, 0 for the published one. */
gboolean switti_parameters_initialise (SwittiParameters *self, guint64 seed, double deviation, GError **error);
/* From a checkpoint; the second, from one of another resolution: lvl_embed may have another number of scales there, of
 * which the common ones are taken and the others stay as they are. */
gboolean switti_parameters_load (SwittiParameters *self, SwittiWeights *weights, GError **error);
gboolean switti_parameters_load_adapted (SwittiParameters *self, SwittiWeights *weights, GError **error);
/* Rounds the values to the copies that products read; to be called after values were written other than by the
 * functions above and the optimizer. */
gboolean switti_parameters_refresh (SwittiParameters *self, GError **error);

SwittiDevice *switti_parameters_get_device (SwittiParameters *self);
SwittiDtype switti_parameters_get_dtype (SwittiParameters *self);
guint switti_parameters_get_n (SwittiParameters *self);
const SwittiParameter *switti_parameters_get (SwittiParameters *self, guint index);
/* NULL where the configuration has no such parameter. */
const SwittiParameter *switti_parameters_find (SwittiParameters *self, const char *name);
/* (nullable) */
SwittiSharding *switti_parameters_get_sharding (SwittiParameters *self);
const SwittiUnits *switti_parameters_get_units (SwittiParameters *self);
/* What is here of a parameter: *n elements (maybe 0), from its *first on, at *local of the flat arrays. */
void switti_parameters_get_piece (SwittiParameters *self, const SwittiParameter *parameter, gsize *first, gsize *n,
                                  gsize *local);
/* Puts a flat array of all ranks together (on all of them): to `whole` (host), where parameters lie at their offsets;
 * NULL: this rank does not want it. */
gboolean switti_parameters_gather (SwittiParameters *self, const float *values, float *whole, GError **error);
/* Elements of `whole`. */
gsize switti_parameters_get_whole_size (SwittiParameters *self);

/* A unit must be acquired for as long as it is computed with; without sharding all are here. A unit that is to come may
 * be prefetched. */
void switti_parameters_prefetch (SwittiParameters *self, guint unit);
gboolean switti_parameters_acquire (SwittiParameters *self, guint unit, GError **error);
void switti_parameters_release (SwittiParameters *self, guint unit);
void switti_parameters_release_all (SwittiParameters *self);
/* This rank's pieces have changed, with their copies where there are any: units are to be fetched again. */
void switti_parameters_forget (SwittiParameters *self);
/* Element `offset` of an acquired unit, and its copy for products. */
const float *switti_parameters_at (SwittiParameters *self, gsize offset);
const void *switti_parameters_copy_at (SwittiParameters *self, gsize offset);

/* Elements of the flat arrays; padding between parameters counts, and is zero. */
gsize switti_parameters_get_size (SwittiParameters *self);
float *switti_parameters_get_values (SwittiParameters *self);
/* bf16, or NULL with float32 activations. */
void *switti_parameters_get_copies (SwittiParameters *self);

G_END_DECLS
