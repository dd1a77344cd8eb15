/* switti-tokenizer-private.h - CLIP's byte-level BPE
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define SWITTI_TEXT_LENGTH 77 /* T */

typedef struct _SwittiTokenizer SwittiTokenizer; /* reference counted, immutable, safe from any thread */

/* `folder` holds vocab.json + merges.txt, or tokenizer.json; special ids come from special_tokens_map.json and
 * tokenizer_config.json where they are there. The caller's text configuration has the last word on ids (bos, eos, pad;
 * -1: as in the folder). */
SwittiTokenizer *switti_tokenizer_open (const char *folder, int bos_id, int eos_id, int pad_id, GError **error);
/* From memory (fuzzing). */
SwittiTokenizer *switti_tokenizer_new (const char *vocab_json, gssize vocab_length, const char *merges,
                                       gssize merges_length, int bos_id, int eos_id, int pad_id,
                                       const char *description, GError **error);
/* From the text of a tokenizer.json (fuzzing). */
SwittiTokenizer *switti_tokenizer_new_from_json (const char *json, gssize length, int bos_id, int eos_id, int pad_id,
                                                 const char *description, GError **error);
/* Knows single bytes alone: 256 inside a word, 256 at its end, start (512) and end (513). For synthetic models. */
SwittiTokenizer *switti_tokenizer_new_bytes (void);
/* From CLIP's own bpe_simple_vocab_16e6.txt.gz. */
SwittiTokenizer *switti_tokenizer_open_bpe (const char *path, GError **error);
/* The same file as the texts of vocab.json and merges.txt. */
gboolean switti_tokenizer_convert_bpe (const char *path, char **vocab_json, char **merges_text, GError **error);
SwittiTokenizer *switti_tokenizer_ref (SwittiTokenizer *self);
void switti_tokenizer_unref (SwittiTokenizer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTokenizer, switti_tokenizer_unref)

int switti_tokenizer_get_vocab_size (SwittiTokenizer *self);

/* All ids, start and end included, uncut: a GArray of gint32 (transfer full). Text that is not UTF-8 has each bad byte
 * replaced by U+FFFD. */
GArray *switti_tokenizer_encode (SwittiTokenizer *self, const char *text);
/* The same for `length` bytes, of which some may be NUL. */
GArray *switti_tokenizer_encode_length (SwittiTokenizer *self, const char *text, gsize length);

/* Cut to T with the end token kept, padded to T. Returns the number of valid ids (start and end included). */
int switti_tokenizer_encode_padded (SwittiTokenizer *self, const char *text, gint32 ids[SWITTI_TEXT_LENGTH]);

G_END_DECLS
