/* switti-bpe.c - byte-level byte-pair encoding of one word
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-bpe-private.h"

#define NO_SYMBOL (-1)

/* Left and right symbol, and what they become. */
typedef struct
{
  gint32 left, right;
  guint32 rank;
  gint32 joined;
} Merge;

struct _SwittiBpe
{
  GHashTable *merges; /* a set of Merge, by (left, right) */
  guint32 n_merges;
  gint32 unknown_id;
  gint32 inner[256]; /* id of a byte inside a word, or NO_SYMBOL */
  gint32 last[256];  /* the same at its end */
};

/* -- the byte alphabet -------------------------------------------------------------------------------------- */

/* Bytes that are printable in Latin-1 stand for themselves; the others are, in order, the characters from U+0100. */
static gboolean
is_printable (guint byte)
{
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

static char byte_symbols[256][3];
static guint8 byte_order[256];

static void
fill_alphabet (void)
{
  guint n_printable = 0, n_others = 0;

  for (guint byte = 0; byte < 256; byte++)
    n_printable += is_printable (byte);
  for (guint byte = 0, n_seen = 0; byte < 256; byte++)
    {
      gunichar symbol = is_printable (byte) ? byte : 0x100 + n_others;
      guint place = is_printable (byte) ? n_seen++ : n_printable + n_others++;

      byte_symbols[byte][g_unichar_to_utf8 (symbol, byte_symbols[byte])] = '\0';
      byte_order[place] = (guint8) byte;
    }
}

static void
ensure_alphabet (void)
{
  static gsize is_filled = 0;

  if (g_once_init_enter (&is_filled))
    {
      fill_alphabet ();
      g_once_init_leave (&is_filled, 1);
    }
}

const char *
switti_bpe_byte_symbol (guint8 byte)
{
  ensure_alphabet ();
  return byte_symbols[byte];
}

guint8
switti_bpe_nth_byte (guint n)
{
  ensure_alphabet ();
  return byte_order[n];
}

/* -- merges ------------------------------------------------------------------------------------------------- */

static guint
merge_hash (gconstpointer key)
{
  const Merge *merge = key;
  guint64 pair = (guint64) (guint32) merge->left << 32 | (guint32) merge->right;

  return (guint) ((pair * G_GUINT64_CONSTANT (0x9E3779B97F4A7C15)) >> 32);
}

static gboolean
merge_equal (gconstpointer a, gconstpointer b)
{
  const Merge *x = a, *y = b;

  return x->left == y->left && x->right == y->right;
}

static gboolean
find_symbol (GHashTable *vocabulary, const char *symbol, gint32 *id)
{
  gpointer value;

  if (!g_hash_table_lookup_extended (vocabulary, symbol, NULL, &value))
    return FALSE;
  *id = GPOINTER_TO_INT (value);
  return TRUE;
}

SwittiBpe *
switti_bpe_new (GHashTable *vocabulary, gint32 unknown_id)
{
  SwittiBpe *self = g_new0 (SwittiBpe, 1);

  self->merges = g_hash_table_new_full (merge_hash, merge_equal, g_free, NULL);
  self->unknown_id = unknown_id;
  for (guint byte = 0; byte < 256; byte++)
    {
      const char *symbol = switti_bpe_byte_symbol ((guint8) byte);
      g_autofree char *with_end = g_strconcat (symbol, SWITTI_WORD_END, NULL);

      if (!find_symbol (vocabulary, symbol, &self->inner[byte]))
        self->inner[byte] = NO_SYMBOL;
      if (!find_symbol (vocabulary, with_end, &self->last[byte]))
        self->last[byte] = NO_SYMBOL;
    }
  return self;
}

void
switti_bpe_free (SwittiBpe *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->merges);
  g_free (self);
}

gboolean
switti_bpe_add_merge (SwittiBpe *self, GHashTable *vocabulary, const char *left, const char *right)
{
  g_autofree char *joined = g_strconcat (left, right, NULL);
  Merge merge = { .rank = self->n_merges };

  if (!find_symbol (vocabulary, left, &merge.left) || !find_symbol (vocabulary, right, &merge.right) ||
      !find_symbol (vocabulary, joined, &merge.joined))
    return FALSE;
  g_hash_table_add (self->merges, g_memdup2 (&merge, sizeof merge));
  self->n_merges++;
  return TRUE;
}

/* -- one word ----------------------------------------------------------------------------------------------- */

/* A word is a list of symbols, linked by index; a merged-away one is marked dead. */
typedef struct
{
  gint32 id;
  gboolean dead;
  gssize previous, next; /* -1 at the ends */
} Symbol;

/* A merge that was possible when it was queued; the left symbol's place decides among equal ranks. */
typedef struct
{
  guint32 rank;
  gint32 joined;
  gsize place;
} Candidate;

static inline gboolean
comes_before (const Candidate *a, const Candidate *b)
{
  return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

/* A binary heap in a GArray. */
static void
queue_push (GArray *queue, Candidate candidate)
{
  gsize child = queue->len;
  Candidate *items;

  g_array_append_val (queue, candidate);
  items = (Candidate *) (void *) queue->data;
  while (child > 0 && comes_before (&candidate, &items[(child - 1) / 2]))
    {
      items[child] = items[(child - 1) / 2];
      child = (child - 1) / 2;
    }
  items[child] = candidate;
}

static Candidate
queue_pop (GArray *queue)
{
  Candidate *items = (Candidate *) (void *) queue->data;
  Candidate first = items[0], last = items[queue->len - 1];
  gsize parent = 0;

  g_array_set_size (queue, queue->len - 1);
  while (2 * parent + 1 < queue->len)
    {
      gsize child = 2 * parent + 1;

      if (child + 1 < queue->len && comes_before (&items[child + 1], &items[child]))
        child++;
      if (!comes_before (&items[child], &last))
        break;
      items[parent] = items[child];
      parent = child;
    }
  if (queue->len > 0)
    items[parent] = last;
  return first;
}

static const Merge *
find_merge (SwittiBpe *self, const Symbol *symbols, gssize place)
{
  Merge key;

  if (place < 0 || symbols[place].next < 0)
    return NULL;
  key.left = symbols[place].id;
  key.right = symbols[symbols[place].next].id;
  return g_hash_table_lookup (self->merges, &key);
}

static void
queue_merge (SwittiBpe *self, const Symbol *symbols, gssize place, GArray *queue)
{
  const Merge *merge = find_merge (self, symbols, place);

  if (merge != NULL)
    queue_push (queue, (Candidate) { merge->rank, merge->joined, (gsize) place });
}

static void
merge_symbols (SwittiBpe *self, Symbol *symbols, GArray *queue)
{
  while (queue->len > 0)
    {
      Candidate candidate = queue_pop (queue);
      gssize place = (gssize) candidate.place;
      const Merge *merge = symbols[place].dead ? NULL : find_merge (self, symbols, place);
      gssize right;

      /* Neighbours change after a candidate was queued; then it stands for nothing any more. */
      if (merge == NULL || merge->joined != candidate.joined)
        continue;

      right = symbols[place].next;
      symbols[place].id = candidate.joined;
      symbols[place].next = symbols[right].next;
      symbols[right].dead = TRUE;
      if (symbols[right].next >= 0)
        symbols[symbols[right].next].previous = place;
      queue_merge (self, symbols, symbols[place].previous, queue);
      queue_merge (self, symbols, place, queue);
    }
}

void
switti_bpe_encode_word (SwittiBpe *self, const guint8 *bytes, gsize n_bytes, GArray *ids)
{
  g_autoptr (GArray) queue = g_array_new (FALSE, FALSE, sizeof (Candidate));
  g_autofree Symbol *symbols = g_new (Symbol, n_bytes);

  for (gsize i = 0; i < n_bytes; i++)
    {
      gboolean is_last = i + 1 == n_bytes;

      symbols[i].id = is_last ? self->last[bytes[i]] : self->inner[bytes[i]];
      symbols[i].dead = FALSE;
      symbols[i].previous = (gssize) i - 1;
      symbols[i].next = is_last ? -1 : (gssize) i + 1;
    }
  for (gsize i = 0; i < n_bytes; i++)
    queue_merge (self, symbols, (gssize) i, queue);
  merge_symbols (self, symbols, queue);

  for (gssize i = 0; i >= 0; i = symbols[i].next)
    {
      gint32 id = symbols[i].id != NO_SYMBOL ? symbols[i].id : self->unknown_id;

      g_array_append_val (ids, id);
    }
}
