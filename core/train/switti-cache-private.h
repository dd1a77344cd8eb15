/* switti-cache-private.h - what a training computes again and again, kept on disk
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The codes of an image and the features of a caption are the same in every epoch while their encoders are. An entry is
 * found by a digest of all that it depends on, contents and not names, so it can never be out of date; one that is
 * broken counts as absent. Several processes may share a folder. All functions may be called from any thread.
 */
#pragma once

#include "switti-weights-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define SWITTI_CACHE_KEY_BYTES 32 /* SHA-256 */

/* Kinds of entries; a folder each. */
#define SWITTI_CACHE_CODES "codes"
#define SWITTI_CACHE_TEXT "text"

typedef struct _SwittiCache SwittiCache;

/* Makes the folder where it is not there. */
SwittiCache *switti_cache_open (const char *folder, GError **error);
void switti_cache_free (SwittiCache *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiCache, switti_cache_free)

/* The contents, or NULL where there is no such entry, or none that is whole. */
GBytes *switti_cache_get (SwittiCache *self, const char *kind, const guint8 key[SWITTI_CACHE_KEY_BYTES]);
/* Other processes see all of it or nothing. */
gboolean switti_cache_put (SwittiCache *self, const char *kind, const guint8 key[SWITTI_CACHE_KEY_BYTES],
                           const void *contents, gsize n_bytes, GError **error);

/* A digest of tensors, by name, for keys. Reads all of them; SWITTI_ERROR_ARGUMENT for synthetic weights. */
gboolean switti_cache_digest_weights (SwittiWeights *weights, guint8 digest[SWITTI_CACHE_KEY_BYTES], GError **error);

/* The key of an image's codes; `image` is its file's SHA-256, `vae` the digest of the weights. */
void switti_cache_codes_key (const guint8 image[SWITTI_CACHE_KEY_BYTES], const guint8 vae[SWITTI_CACHE_KEY_BYTES],
                             int resolution, gboolean is_mirrored, guint8 key[SWITTI_CACHE_KEY_BYTES]);
/* The key of a caption's features; `encoders`: digests of both text encoders and of how they compute; ids: n of each
 * one's tokens. */
void switti_cache_text_key (const guint8 encoders[2][SWITTI_CACHE_KEY_BYTES], const gint32 *const ids[2],
                            const int n_ids[2], guint8 key[SWITTI_CACHE_KEY_BYTES]);

/* An image's codes, of all scales, with its original size. get: FALSE where there is no entry of n_codes codes. */
gboolean switti_cache_get_codes (SwittiCache *self, const guint8 key[SWITTI_CACHE_KEY_BYTES], gsize n_codes,
                                 gint32 *codes, int *height, int *width);
gboolean switti_cache_put_codes (SwittiCache *self, const guint8 key[SWITTI_CACHE_KEY_BYTES], gsize n_codes,
                                 const gint32 *codes, int height, int width, GError **error);

G_END_DECLS
