/* switti-tokenizer.c - from text to ids
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * NFC, lower case, then words: a special token, a contraction, a run of letters, one digit, or a run of other
 * characters; white space separates and is dropped. Each word goes through byte-level BPE. This is what Hugging Face's
 * CLIP tokenizer does; tests/fixtures/tokens.json is what it is checked against.
 */
#include "switti-tokenizer-private.h"

#include "switti-tokenizer-parts-private.h"

#include <string.h>

struct _SwittiTokenizer
{
  gatomicrefcount ref_count;
  SwittiBpe *bpe;
  SwittiSpecialTokens special;
  int vocab_size;
};

SwittiTokenizer *
switti_tokenizer_new_from_parts (SwittiBpe *bpe, const SwittiSpecialTokens *special, int vocab_size)
{
  SwittiTokenizer *self = g_new0 (SwittiTokenizer, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->bpe = bpe;
  self->special = *special;
  self->special.bos = g_strdup (special->bos);
  self->special.eos = g_strdup (special->eos);
  self->vocab_size = vocab_size;
  return self;
}

SwittiTokenizer *
switti_tokenizer_ref (SwittiTokenizer *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
switti_tokenizer_unref (SwittiTokenizer *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->ref_count))
    return;
  switti_bpe_free (self->bpe);
  g_free (self->special.bos);
  g_free (self->special.eos);
  g_free (self);
}

int
switti_tokenizer_get_vocab_size (SwittiTokenizer *self)
{
  return self->vocab_size;
}

/* -- normalisation ------------------------------------------------------------------------------------------ */

/* Unicode's simple lower case. GLib's leaves alone what is no letter: Roman numerals and circled letters. */
static gunichar
lower_character (gunichar c)
{
  if (c >= 0x2160 && c <= 0x216f)
    return c + 16;
  if (c >= 0x24b6 && c <= 0x24cf)
    return c + 26;
  return g_unichar_tolower (c);
}

/* Character by character, so that a final sigma is no special case. */
static void
append_lower_case (GString *lower, const char *text)
{
  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      /* U+0130 alone has a lower case of two characters: i and a combining dot. */
      if (c == 0x130)
        g_string_append (lower, "i\xcc\x87");
      else
        g_string_append_unichar (lower, lower_character (c));
    }
}

/* Where a piece of text that begins at `text` may end. ASCII characters compose with nothing before them, so that
 * normalising up to one is exact; and it is needed, since g_utf8_normalize() takes the square of the length. */
static const char *
piece_end (const char *text, const char *end)
{
  const char *p = text;

  while (p < end && *p != '\0' && (p - text < 256 || ((guint8) *p & 0x80) != 0))
    p++;
  return p;
}

/* NUL is a character like others here, but not to GLib: it is copied between pieces. */
static GString *
normalize (const char *text, gsize length)
{
  GString *normal = g_string_sized_new (length);
  const char *end = text + length;

  while (text < end)
    {
      const char *next = piece_end (text, end);
      g_autofree char *valid = g_utf8_make_valid (text, next - text);
      g_autofree char *composed = g_utf8_normalize (valid, -1, G_NORMALIZE_NFC);

      append_lower_case (normal, composed);
      if (next < end && *next == '\0')
        g_string_append_c (normal, *next++);
      text = next;
    }
  return normal;
}

/* -- words -------------------------------------------------------------------------------------------------- */

/* Unicode's White_Space. */
static gboolean
is_space (gunichar c)
{
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

typedef enum
{
  CLASS_SPACE,
  CLASS_LETTER,
  CLASS_NUMBER,
  CLASS_OTHER,
} CharacterClass;

static CharacterClass
classify (gunichar c)
{
  if (is_space (c))
    return CLASS_SPACE;
  switch (g_unichar_type (c))
    {
    case G_UNICODE_LOWERCASE_LETTER:
    case G_UNICODE_MODIFIER_LETTER:
    case G_UNICODE_OTHER_LETTER:
    case G_UNICODE_TITLECASE_LETTER:
    case G_UNICODE_UPPERCASE_LETTER:
      return CLASS_LETTER;
    case G_UNICODE_DECIMAL_NUMBER:
    case G_UNICODE_LETTER_NUMBER:
    case G_UNICODE_OTHER_NUMBER:
      return CLASS_NUMBER;
    default:
      return CLASS_OTHER;
    }
}

/* Bytes of a special token at the start of `text`, 0 where there is none. */
static gsize
match_special (SwittiTokenizer *self, const char *text, gint32 *id)
{
  const struct
  {
    const char *token;
    gint32 id;
  } tokens[] = { { self->special.bos, self->special.bos_id }, { self->special.eos, self->special.eos_id } };

  for (guint i = 0; i < G_N_ELEMENTS (tokens); i++)
    if (*tokens[i].token != '\0' && g_str_has_prefix (text, tokens[i].token))
      {
        *id = tokens[i].id;
        return strlen (tokens[i].token);
      }
  return 0;
}

static gsize
match_contraction (const char *text)
{
  static const char *const contractions[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };

  for (guint i = 0; i < G_N_ELEMENTS (contractions); i++)
    if (g_str_has_prefix (text, contractions[i]))
      return strlen (contractions[i]);
  return 0;
}

/* Bytes of the word from `text`, which begins neither with white space nor with a special token, to `limit`. */
static gsize
word_length (SwittiTokenizer *self, const char *text, const char *limit)
{
  gsize contraction = match_contraction (text);
  CharacterClass class = classify (g_utf8_get_char (text));
  const char *end = g_utf8_next_char (text);
  gint32 id;

  if (contraction > 0)
    return contraction;
  if (class != CLASS_NUMBER)
    while (end < limit && classify (g_utf8_get_char (end)) == class && match_special (self, end, &id) == 0)
      end = g_utf8_next_char (end);
  return (gsize) (end - text);
}

GArray *
switti_tokenizer_encode_length (SwittiTokenizer *self, const char *text, gsize length)
{
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GString) normal = normalize (text, length);
  const char *end = normal->str + normal->len;

  g_array_append_val (ids, self->special.bos_id);
  for (const char *p = normal->str; p < end;)
    {
      gint32 id;
      gsize n_bytes = match_special (self, p, &id);

      if (n_bytes > 0)
        g_array_append_val (ids, id);
      else if (is_space (g_utf8_get_char (p)))
        n_bytes = (gsize) (g_utf8_next_char (p) - p);
      else
        {
          n_bytes = word_length (self, p, end);
          switti_bpe_encode_word (self->bpe, (const guint8 *) p, n_bytes, ids);
        }
      p += n_bytes;
    }
  g_array_append_val (ids, self->special.eos_id);
  return ids;
}

GArray *
switti_tokenizer_encode (SwittiTokenizer *self, const char *text)
{
  return switti_tokenizer_encode_length (self, text, strlen (text));
}

int
switti_tokenizer_encode_padded (SwittiTokenizer *self, const char *text, gint32 ids[SWITTI_TEXT_LENGTH])
{
  g_autoptr (GArray) all = switti_tokenizer_encode (self, text);
  guint n_valid = MIN (all->len, SWITTI_TEXT_LENGTH);

  for (guint i = 0; i < SWITTI_TEXT_LENGTH; i++)
    ids[i] = i < n_valid ? g_array_index (all, gint32, i) : self->special.pad_id;
  ids[n_valid - 1] = self->special.eos_id;
  return (int) n_valid;
}
