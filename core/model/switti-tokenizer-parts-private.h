/* switti-tokenizer-parts-private.h - what a tokenizer is made of, for the code that reads its files
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-bpe-private.h"
#include "switti-tokenizer-private.h"

G_BEGIN_DECLS

/* The texts are matched in lower-cased prompts; an empty one matches nothing. */
typedef struct
{
  char *bos, *eos;
  gint32 bos_id, eos_id, pad_id;
} SwittiSpecialTokens;

/* Takes over bpe; copies special. */
SwittiTokenizer *switti_tokenizer_new_from_parts (SwittiBpe *bpe, const SwittiSpecialTokens *special, int vocab_size);

G_END_DECLS
