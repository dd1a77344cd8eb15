/* switti-bpe-private.h - byte-level byte-pair encoding of one word
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * CLIP's kind: every byte of a word is a printable symbol, the last one carries the suffix "</w>", and pairs of symbols
 * are merged in the order of their ranks.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define SWITTI_WORD_END "</w>"

typedef struct _SwittiBpe SwittiBpe;

/* `vocabulary` maps symbols to ids (GINT_TO_POINTER; none is negative). Bytes whose symbol it does not hold become
 * unknown_id. */
SwittiBpe *switti_bpe_new (GHashTable *vocabulary, gint32 unknown_id);
void switti_bpe_free (SwittiBpe *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiBpe, switti_bpe_free)

/* The next merge, of the next rank; a pair given again takes the later rank. FALSE where left, right or both joined are
 * not in the vocabulary. */
gboolean switti_bpe_add_merge (SwittiBpe *self, GHashTable *vocabulary, const char *left, const char *right);

/* Appends the ids (gint32) of a word of n_bytes >= 1. Takes time of n log n, whatever the word. */
void switti_bpe_encode_word (SwittiBpe *self, const guint8 *bytes, gsize n_bytes, GArray *ids);

/* The symbol of a byte (static; at most two bytes of UTF-8), and the byte whose symbol comes n-th in CLIP's order. */
const char *switti_bpe_byte_symbol (guint8 byte);
guint8 switti_bpe_nth_byte (guint n);

G_END_DECLS
