/* fuzz-tokenizer.c - any bytes as a tokenizer's files, and as the text that it then encodes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An input is "vocab.json NUL merges.txt NUL text", or "tokenizer.json NUL text".
 */
#include "fuzz-target.h"
#include "switti-error.h"
#include "switti-tokenizer-private.h"

#include <string.h>

static void
encode (SwittiTokenizer *tokenizer, const char *text, gsize length)
{
  g_autoptr (GArray) all = switti_tokenizer_encode_length (tokenizer, text, length);
  g_autofree char *terminated = g_strndup (text, length);
  gint32 ids[SWITTI_TEXT_LENGTH];
  int n_valid = switti_tokenizer_encode_padded (tokenizer, terminated, ids);

  g_assert (all->len >= 2);
  for (guint i = 0; i < all->len; i++)
    g_assert (g_array_index (all, gint32, i) >= 0 &&
              g_array_index (all, gint32, i) < switti_tokenizer_get_vocab_size (tokenizer));
  g_assert (n_valid >= 2 && n_valid <= SWITTI_TEXT_LENGTH);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *first = (const char *) data, *end = first + size;
  const char *second = size > 0 ? memchr (first, '\0', size) : NULL;
  const char *third = second != NULL ? memchr (second + 1, '\0', (gsize) (end - second - 1)) : NULL;
  const char *text = third != NULL ? third + 1 : second != NULL ? second + 1 : end;
  g_autoptr (SwittiTokenizer) tokenizer = NULL;
  g_autoptr (GError) error = NULL;

  if (third != NULL)
    tokenizer =
        switti_tokenizer_new (first, second - first, second + 1, third - second - 1, -1, -1, -1, "the input", &error);
  else
    tokenizer = switti_tokenizer_new_from_json (size > 0 ? first : "", second != NULL ? second - first : (gssize) size,
                                                -1, -1, -1, "the input", &error);
  if (tokenizer == NULL)
    g_assert (error != NULL && error->domain == SWITTI_ERROR);
  else
    encode (tokenizer, text, (gsize) (end - text));
  return 0;
}
