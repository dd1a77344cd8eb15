/* switti-tokenizer-files.c - reads a tokenizer's files
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Three forms of the same thing: vocab.json and merges.txt, tokenizer.json, and CLIP's own compressed list of merges.
 */
#include "switti-tokenizer-private.h"

#include "switti-error.h"
#include "switti-json-private.h"
#include "switti-tokenizer-parts-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_FILE_BYTES ((gsize) 64 << 20)
#define MAX_ID (1 << 24)
#define START_TOKEN "<|startoftext|>"
#define END_TOKEN "<|endoftext|>"
/* Of the lines of CLIP's list that many are merges: 49152 - 256 - 256 - 2 tokens are left beside bytes and specials. */
#define CLIP_MERGES 48894
#define MAX_BPE_BYTES ((gsize) 16 << 20) /* of that list, unpacked; it has 3.2 MB */

/* A tokenizer in the making. */
typedef struct
{
  const char *description;
  GHashTable *vocabulary; /* symbol (owned) -> id */
  int vocab_size;         /* the largest id + 1 */
  SwittiBpe *bpe;
  char *bos, *eos, *pad, *unknown; /* texts of the special tokens */
  int bos_id, eos_id, pad_id;      /* as asked for; -1: by the texts */
} Reader;

static void
reader_init (Reader *reader, const char *description, int bos_id, int eos_id, int pad_id)
{
  *reader = (Reader) {
    .description = description,
    .vocabulary = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
    .bos = g_strdup (START_TOKEN),
    .eos = g_strdup (END_TOKEN),
    .pad = g_strdup (END_TOKEN),
    .unknown = g_strdup (END_TOKEN),
    .bos_id = bos_id,
    .eos_id = eos_id,
    .pad_id = pad_id,
  };
}

static void
reader_clear (Reader *reader)
{
  g_clear_pointer (&reader->vocabulary, g_hash_table_unref);
  g_clear_pointer (&reader->bpe, switti_bpe_free);
  g_free (reader->bos);
  g_free (reader->eos);
  g_free (reader->pad);
  g_free (reader->unknown);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reader, reader_clear)

static void
add_symbol (Reader *reader, const char *symbol, int id)
{
  g_hash_table_insert (reader->vocabulary, g_strdup (symbol), GINT_TO_POINTER (id));
  reader->vocab_size = MAX (reader->vocab_size, id + 1);
}

static int
find_id (Reader *reader, const char *symbol)
{
  gpointer id;

  return g_hash_table_lookup_extended (reader->vocabulary, symbol, NULL, &id) ? GPOINTER_TO_INT (id) : -1;
}

static gboolean
read_vocabulary (Reader *reader, JsonObject *vocabulary, GError **error)
{
  JsonObjectIter iter;
  const char *symbol;
  JsonNode *node;

  json_object_iter_init (&iter, vocabulary);
  while (json_object_iter_next (&iter, &symbol, &node))
    {
      gint64 id;

      if (!switti_json_node_get_integer (node, &id) || id < 0 || id >= MAX_ID)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("In %s, token “%s” has no usable id."),
                       reader->description, symbol);
          return FALSE;
        }
      add_symbol (reader, symbol, (int) id);
    }
  return TRUE;
}

/* Symbols of all bytes, inside and at the end of a word: ids 0 to 511 in CLIP's order. */
static void
add_bytes (Reader *reader)
{
  for (guint i = 0; i < 256; i++)
    {
      const char *symbol = switti_bpe_byte_symbol (switti_bpe_nth_byte (i));
      g_autofree char *with_end = g_strconcat (symbol, SWITTI_WORD_END, NULL);

      add_symbol (reader, symbol, (int) i);
      add_symbol (reader, with_end, (int) i + 256);
    }
}

static void
begin_merges (Reader *reader)
{
  int unknown_id = find_id (reader, reader->unknown);

  if (unknown_id < 0)
    unknown_id = MAX (reader->eos_id, 0);
  reader->bpe = switti_bpe_new (reader->vocabulary, unknown_id);
}

static gboolean
add_merge (Reader *reader, const char *left, const char *right, GError **error)
{
  if (switti_bpe_add_merge (reader->bpe, reader->vocabulary, left, right))
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("In %s, the merge of “%s” and “%s” speaks of tokens that the vocabulary does not hold."),
               reader->description, left, right);
  return FALSE;
}

/* "left right" */
static gboolean
add_merge_line (Reader *reader, const char *line, GError **error)
{
  const char *space = strchr (line, ' ');
  g_autofree char *left = NULL;

  if (space == NULL || space == line || space[1] == '\0' || strchr (space + 1, ' ') != NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("In %s, “%.60s” is no merge: two tokens and one space are needed."), reader->description, line);
      return FALSE;
    }
  left = g_strndup (line, (gsize) (space - line));
  return add_merge (reader, left, space + 1, error);
}

/* Calls add_merge_line() on the lines of merges.txt, of which the first may say a version. */
static gboolean
read_merges (Reader *reader, const char *text, gsize length, GError **error)
{
  const char *end = text + length;

  if (memchr (text, '\0', length) != NULL || !g_utf8_validate (text, (gssize) length, NULL))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("In %s, the merges are not UTF-8 text."),
                   reader->description);
      return FALSE;
    }
  while (text < end)
    {
      const char *newline = memchr (text, '\n', (gsize) (end - text));
      const char *line_end = newline != NULL ? newline : end;
      g_autofree char *line = g_strndup (text, (gsize) (line_end - text));

      text = newline != NULL ? newline + 1 : end;
      if (g_str_has_suffix (line, "\r"))
        line[strlen (line) - 1] = '\0';
      if (*line != '\0' && !g_str_has_prefix (line, "#version") && !add_merge_line (reader, line, error))
        return FALSE;
    }
  return TRUE;
}

/* The tokenizer, once vocabulary and merges are read. */
static SwittiTokenizer *
finish (Reader *reader, GError **error)
{
  SwittiSpecialTokens special = { .bos = reader->bos, .eos = reader->eos };

  special.bos_id = reader->bos_id >= 0 ? reader->bos_id : find_id (reader, reader->bos);
  special.eos_id = reader->eos_id >= 0 ? reader->eos_id : find_id (reader, reader->eos);
  special.pad_id = reader->pad_id >= 0 ? reader->pad_id : find_id (reader, reader->pad);
  if (special.bos_id < 0 || special.eos_id < 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s has no token “%s”, which every prompt needs."), reader->description,
                   special.bos_id < 0 ? reader->bos : reader->eos);
      return NULL;
    }
  if (special.pad_id < 0)
    special.pad_id = special.eos_id;
  return switti_tokenizer_new_from_parts (
      g_steal_pointer (&reader->bpe), &special,
      MAX (MAX (reader->vocab_size, special.pad_id + 1), MAX (special.bos_id, special.eos_id) + 1));
}

/* -- vocab.json and merges.txt ------------------------------------------------------------------------------ */

static SwittiTokenizer *
read_vocab_and_merges (Reader *reader, JsonObject *vocabulary, const char *merges, gsize merges_length, GError **error)
{
  if (!read_vocabulary (reader, vocabulary, error))
    return NULL;
  begin_merges (reader);
  return read_merges (reader, merges, merges_length, error) ? finish (reader, error) : NULL;
}

SwittiTokenizer *
switti_tokenizer_new (const char *vocab_json, gssize vocab_length, const char *merges, gssize merges_length, int bos_id,
                      int eos_id, int pad_id, const char *description, GError **error)
{
  g_auto (Reader) reader = { 0 };
  g_autoptr (JsonObject) vocabulary = switti_json_parse_object (vocab_json, vocab_length, description, error);

  if (vocabulary == NULL)
    return NULL;
  reader_init (&reader, description, bos_id, eos_id, pad_id);
  return read_vocab_and_merges (&reader, vocabulary, merges,
                                merges_length < 0 ? strlen (merges) : (gsize) merges_length, error);
}

/* -- tokenizer.json ----------------------------------------------------------------------------------------- */

static gboolean
read_merge_node (Reader *reader, JsonNode *node, GError **error)
{
  JsonArray *pair = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  if (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING)
    return add_merge_line (reader, json_node_get_string (node), error);
  if (pair != NULL && json_array_get_length (pair) == 2)
    {
      JsonNode *left = json_array_get_element (pair, 0), *right = json_array_get_element (pair, 1);

      if (JSON_NODE_HOLDS_VALUE (left) && json_node_get_value_type (left) == G_TYPE_STRING &&
          JSON_NODE_HOLDS_VALUE (right) && json_node_get_value_type (right) == G_TYPE_STRING)
        return add_merge (reader, json_node_get_string (left), json_node_get_string (right), error);
    }
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("In %s, an entry of “merges” is neither “a b” nor a pair of tokens."), reader->description);
  return FALSE;
}

/* Tokens beside the model's own vocabulary, special ones mostly. */
static gboolean
read_added_tokens (Reader *reader, JsonArray *added, GError **error)
{
  for (guint i = 0; added != NULL && i < json_array_get_length (added); i++)
    {
      JsonNode *node = json_array_get_element (added, i);
      JsonObject *token = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
      const char *content = token != NULL ? switti_json_get_string (token, "content") : NULL;
      int id = -1;

      if (content == NULL || !switti_json_read_int (token, "id", 0, MAX_ID - 1, &id, reader->description, NULL) ||
          id < 0)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("In %s, an entry of “added_tokens” has no usable content and id."), reader->description);
          return FALSE;
        }
      add_symbol (reader, content, id);
    }
  return TRUE;
}

static SwittiTokenizer *
read_tokenizer_json (Reader *reader, JsonObject *root, GError **error)
{
  JsonObject *model = switti_json_get_object (root, "model");
  JsonObject *vocabulary = model != NULL ? switti_json_get_object (model, "vocab") : NULL;
  JsonArray *merges = model != NULL ? switti_json_get_array (model, "merges") : NULL;

  if (vocabulary == NULL || merges == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s has no model with “vocab” and “merges”, as CLIP's byte-pair encoding needs."),
                   reader->description);
      return NULL;
    }
  if (g_strcmp0 (switti_json_get_string (model, "end_of_word_suffix"), SWITTI_WORD_END) != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED,
                   _ ("%s does not end words in “%s”; only tokenizers of CLIP's kind can be used."),
                   reader->description, SWITTI_WORD_END);
      return NULL;
    }
  if (!read_vocabulary (reader, vocabulary, error) ||
      !read_added_tokens (reader, switti_json_get_array (root, "added_tokens"), error))
    return NULL;

  begin_merges (reader);
  for (guint i = 0; i < json_array_get_length (merges); i++)
    if (!read_merge_node (reader, json_array_get_element (merges, i), error))
      return NULL;
  return finish (reader, error);
}

SwittiTokenizer *
switti_tokenizer_new_from_json (const char *json, gssize length, int bos_id, int eos_id, int pad_id,
                                const char *description, GError **error)
{
  g_auto (Reader) reader = { 0 };
  g_autoptr (JsonObject) root = switti_json_parse_object (json, length, description, error);

  if (root == NULL)
    return NULL;
  reader_init (&reader, description, bos_id, eos_id, pad_id);
  return read_tokenizer_json (&reader, root, error);
}

/* -- CLIP's own list, and bytes alone ----------------------------------------------------------------------- */

/* CLIP's merges, "left right" each, from its own list; of the lines after them others' vocabularies are made. */
static GPtrArray *
load_bpe_merges (const char *path, const char *description, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GError) open_error = NULL;
  g_autoptr (GFileInputStream) compressed = g_file_read (file, NULL, &open_error);
  g_autoptr (GZlibDecompressor) decompressor = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);
  g_autoptr (GInputStream) plain = NULL;
  g_autofree char *text = g_malloc (MAX_BPE_BYTES + 1);
  g_autoptr (GPtrArray) merges = g_ptr_array_new_with_free_func (g_free);
  gsize length = 0;
  const char *next = text;

  if (compressed == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("The tokenizer could not be read: %s."),
                   open_error->message);
      return NULL;
    }
  plain = g_converter_input_stream_new (G_INPUT_STREAM (compressed), G_CONVERTER (decompressor));
  if (!g_input_stream_read_all (plain, text, MAX_BPE_BYTES, &length, NULL, NULL))
    length = 0;
  text[length] = '\0';
  for (guint n_lines = 0; merges->len < CLIP_MERGES; n_lines++)
    {
      /* Not strchr(), which may look at all of the text each time. */
      const char *newline = memchr (next, '\n', length - (gsize) (next - text));
      g_autofree char *line = newline != NULL ? g_strndup (next, (gsize) (newline - next)) : NULL;
      const char *space = line != NULL ? strchr (line, ' ') : NULL;

      next = newline != NULL ? newline + 1 : next;
      if (line != NULL && n_lines == 0)
        continue; /* names the file and its version */
      if (space == NULL || strchr (space + 1, ' ') != NULL || !g_utf8_validate (line, -1, NULL))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("%s does not hold CLIP's %d merges; get it again."), description, CLIP_MERGES);
          return NULL;
        }
      g_ptr_array_add (merges, g_steal_pointer (&line));
    }
  return g_steal_pointer (&merges);
}

/* The token that a merge makes. */
static char *
merge_symbol (const char *merge)
{
  const char *space = strchr (merge, ' ');

  return g_strdup_printf ("%.*s%s", (int) (space - merge), merge, space + 1);
}

/* The vocabulary is made from the merges: bytes, bytes at a word's end, one token a merge, the two special ones. */
static void
add_bpe_symbols (Reader *reader, GPtrArray *merges)
{
  add_bytes (reader);
  for (guint i = 0; i < merges->len; i++)
    {
      g_autofree char *symbol = merge_symbol (merges->pdata[i]);

      add_symbol (reader, symbol, 512 + (int) i);
    }
  add_symbol (reader, START_TOKEN, 512 + CLIP_MERGES);
  add_symbol (reader, END_TOKEN, 513 + CLIP_MERGES);
}

static SwittiTokenizer *
read_bpe (Reader *reader, const char *path, GError **error)
{
  g_autoptr (GPtrArray) merges = load_bpe_merges (path, reader->description, error);

  if (merges == NULL)
    return NULL;
  add_bpe_symbols (reader, merges);
  begin_merges (reader);
  for (guint i = 0; i < merges->len; i++)
    if (!add_merge_line (reader, merges->pdata[i], error))
      return NULL;
  return finish (reader, error);
}

SwittiTokenizer *
switti_tokenizer_open_bpe (const char *path, GError **error)
{
  g_autofree char *description = g_strdup_printf ("“%s”", path);
  g_auto (Reader) reader = { 0 };

  reader_init (&reader, description, -1, -1, -1);
  return read_bpe (&reader, path, error);
}

gboolean
switti_tokenizer_convert_bpe (const char *path, char **vocab_json, char **merges_text, GError **error)
{
  g_autofree char *description = g_strdup_printf ("“%s”", path);
  g_autoptr (GPtrArray) merges = load_bpe_merges (path, description, error);
  g_autoptr (JsonObject) vocabulary = json_object_new ();
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  g_autofree const char **symbols = NULL; /* by id */
  GString *text;
  g_auto (Reader) reader = { 0 };
  GHashTableIter iter;
  gpointer symbol, id;

  if (merges == NULL)
    return FALSE;
  reader_init (&reader, description, -1, -1, -1);
  add_bpe_symbols (&reader, merges);
  symbols = g_new0 (const char *, reader.vocab_size);
  g_hash_table_iter_init (&iter, reader.vocabulary);
  while (g_hash_table_iter_next (&iter, &symbol, &id))
    symbols[GPOINTER_TO_INT (id)] = symbol;
  for (int i = 0; i < reader.vocab_size; i++)
    if (symbols[i] != NULL) /* two merges may make one token */
      json_object_set_int_member (vocabulary, symbols[i], i);
  json_node_set_object (node, vocabulary);
  *vocab_json = json_to_string (node, FALSE);
  text = g_string_new ("#version: 0.2\n");
  for (guint i = 0; i < merges->len; i++)
    g_string_append_printf (text, "%s\n", (const char *) merges->pdata[i]);
  *merges_text = g_string_free (text, FALSE);
  return TRUE;
}

SwittiTokenizer *
switti_tokenizer_new_bytes (void)
{
  g_auto (Reader) reader = { 0 };

  reader_init (&reader, "the tokenizer of single bytes", -1, -1, -1);
  add_bytes (&reader);
  add_symbol (&reader, START_TOKEN, 512);
  add_symbol (&reader, END_TOKEN, 513);
  begin_merges (&reader);
  return finish (&reader, NULL);
}

/* -- a folder ----------------------------------------------------------------------------------------------- */

/* A special token is a string, or an object with its text as "content". */
static void
read_special_token (JsonObject *object, const char *name, char **text)
{
  JsonObject *token = switti_json_get_object (object, name);
  const char *content = token != NULL ? switti_json_get_string (token, "content")
                                      : switti_json_get_string (object, name);

  if (content != NULL)
    {
      g_free (*text);
      *text = g_strdup (content);
    }
}

/* Reads what special_tokens_map.json and tokenizer_config.json say, if they are there; the second has the last word. */
static gboolean
read_special_tokens (Reader *reader, const char *folder, GError **error)
{
  static const char *const files[] = { "special_tokens_map.json", "tokenizer_config.json" };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_build_filename (folder, files[i], NULL);
      g_autoptr (JsonObject) object = NULL;

      if (!g_file_test (path, G_FILE_TEST_EXISTS))
        continue;
      object = switti_json_load_object (path, MAX_FILE_BYTES, error);
      if (object == NULL)
        return FALSE;
      read_special_token (object, "bos_token", &reader->bos);
      read_special_token (object, "eos_token", &reader->eos);
      read_special_token (object, "pad_token", &reader->pad);
      read_special_token (object, "unk_token", &reader->unknown);
    }
  return TRUE;
}

static SwittiTokenizer *
open_vocab_and_merges (Reader *reader, const char *vocab_path, const char *merges_path, GError **error)
{
  g_autoptr (JsonObject) vocabulary = switti_json_load_object (vocab_path, MAX_FILE_BYTES, error);
  g_autoptr (GMappedFile) merges = NULL;
  g_autoptr (GError) open_error = NULL;

  if (vocabulary == NULL)
    return NULL;
  merges = g_mapped_file_new (merges_path, FALSE, &open_error);
  if (merges == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("The tokenizer could not be read: %s."),
                   open_error->message);
      return NULL;
    }
  if (g_mapped_file_get_length (merges) > MAX_FILE_BYTES)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("“%s” is too large for a tokenizer."),
                   merges_path);
      return NULL;
    }
  return read_vocab_and_merges (reader, vocabulary,
                                g_mapped_file_get_length (merges) > 0 ? g_mapped_file_get_contents (merges) : "",
                                g_mapped_file_get_length (merges), error);
}

SwittiTokenizer *
switti_tokenizer_open (const char *folder, int bos_id, int eos_id, int pad_id, GError **error)
{
  g_autofree char *vocab_path = g_build_filename (folder, "vocab.json", NULL);
  g_autofree char *merges_path = g_build_filename (folder, "merges.txt", NULL);
  g_autofree char *json_path = g_build_filename (folder, "tokenizer.json", NULL);
  g_autofree char *bpe_path = g_build_filename (folder, "bpe_simple_vocab_16e6.txt.gz", NULL);
  g_autofree char *description = g_strdup_printf ("“%s”", folder);
  g_autoptr (JsonObject) root = NULL;
  g_auto (Reader) reader = { 0 };

  reader_init (&reader, description, bos_id, eos_id, pad_id);
  if (!read_special_tokens (&reader, folder, error))
    return NULL;
  if (g_file_test (vocab_path, G_FILE_TEST_EXISTS) && g_file_test (merges_path, G_FILE_TEST_EXISTS))
    return open_vocab_and_merges (&reader, vocab_path, merges_path, error);
  if (g_file_test (json_path, G_FILE_TEST_EXISTS))
    {
      root = switti_json_load_object (json_path, MAX_FILE_BYTES, error);
      return root != NULL ? read_tokenizer_json (&reader, root, error) : NULL;
    }
  if (g_file_test (bpe_path, G_FILE_TEST_EXISTS))
    return read_bpe (&reader, bpe_path, error);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND,
               _ ("“%s” holds no tokenizer: vocab.json and merges.txt, or tokenizer.json, are needed."), folder);
  return NULL;
}
