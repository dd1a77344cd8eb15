/* test-tokenizer.c - CLIP's tokenizer against Hugging Face's ids, and its files
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-error.h"
#include "switti-tokenizer-private.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

/* A file of the fixtures in use, or, where they do not bring their own, of the ones beside the tests. */
static char *
fixture_path (const char *name)
{
  const char *chosen = g_getenv ("SWITTI_FIXTURES");
  g_autofree char *path = chosen != NULL ? g_build_filename (chosen, name, NULL) : NULL;

  if (path != NULL && g_file_test (path, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&path);
  return g_test_build_filename (G_TEST_DIST, "fixtures", name, NULL);
}

static SwittiTokenizer *
open_clip (void)
{
  g_autofree char *path = fixture_path ("bpe_simple_vocab_16e6.txt.gz");
  g_autoptr (GError) error = NULL;
  SwittiTokenizer *tokenizer = switti_tokenizer_open_bpe (path, &error);

  g_assert_no_error (error);
  return tokenizer;
}

/* The ids, cut to T with the end token kept, as tokens.json has them. */
static char *
encode_to_string (SwittiTokenizer *tokenizer, const char *text)
{
  gint32 ids[SWITTI_TEXT_LENGTH];
  int n_valid = switti_tokenizer_encode_padded (tokenizer, text, ids);
  GString *string = g_string_new (NULL);

  for (int i = 0; i < n_valid; i++)
    g_string_append_printf (string, "%s%d", i == 0 ? "" : " ", ids[i]);
  return g_string_free (string, FALSE);
}

/* The text of a case. json-glib cannot hold the NUL of one of them: the caller has put U+E000 in its place. */
static GString *
case_text (JsonObject *entry)
{
  GString *text = g_string_new (json_object_get_string_member (entry, "text"));
  char *stand_in;

  while ((stand_in = strstr (text->str, "\xee\x80\x80")) != NULL)
    {
      gssize place = stand_in - text->str;

      g_string_erase (text, place, 3);
      g_string_insert_c (text, place, '\0');
    }
  return text;
}

static JsonArray *
load_cases (JsonParser *parser)
{
  g_autofree char *path = fixture_path ("tokens.json");
  g_autofree char *json = NULL;
  g_autoptr (GString) text = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_get_contents (path, &json, NULL, &error));
  text = g_string_new (json);
  g_string_replace (text, "\\u0000", "\\ue000", 0);
  g_assert_true (json_parser_load_from_data (parser, text->str, -1, &error));
  return json_object_get_array_member (json_node_get_object (json_parser_get_root (parser)), "tokens");
}

/* Every case of tokens.json. */
static void
check_published_ids (SwittiTokenizer *tokenizer)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonArray *cases = load_cases (parser);

  g_assert_cmpint (switti_tokenizer_get_vocab_size (tokenizer), ==, 49408);
  g_assert_cmpuint (json_array_get_length (cases), >, 0);
  for (guint i = 0; i < json_array_get_length (cases); i++)
    {
      JsonObject *entry = json_array_get_object_element (cases, i);
      JsonArray *expected = json_object_get_array_member (entry, "ids");
      g_autoptr (GString) text = case_text (entry);
      g_autoptr (GArray) ids = switti_tokenizer_encode_length (tokenizer, text->str, text->len);
      guint n_ids = MIN (ids->len, SWITTI_TEXT_LENGTH);

      g_array_index (ids, gint32, n_ids - 1) = 49407;
      g_test_message ("case %u", i);
      g_assert_cmpuint (n_ids, ==, json_array_get_length (expected));
      for (guint j = 0; j < n_ids; j++)
        g_assert_cmpint (g_array_index (ids, gint32, j), ==, json_array_get_int_element (expected, j));
      /* A prompt is a C string. */
      if (strlen (text->str) == text->len)
        {
          gint32 padded[SWITTI_TEXT_LENGTH];

          g_assert_cmpuint (switti_tokenizer_encode_padded (tokenizer, text->str, padded), ==, n_ids);
          g_assert_cmpmem (padded, n_ids * sizeof (gint32), ids->data, n_ids * sizeof (gint32));
        }
    }
}

static void
test_published_ids (void)
{
  g_autoptr (SwittiTokenizer) tokenizer = open_clip ();

  check_published_ids (tokenizer);
}

static void
write_file (const char *folder, const char *name, const char *contents)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  g_assert_true (g_file_set_contents (path, contents, -1, NULL));
}

/* The text of a tokenizer.json as Hugging Face's has it: merges as pairs, special tokens as added ones. */
static char *
make_tokenizer_json (const char *vocab, const char *merges)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  g_auto (GStrv) lines = g_strsplit (merges, "\n", -1);
  JsonObject *object, *model;
  JsonArray *pairs = json_array_new ();

  g_assert_true (json_parser_load_from_data (parser,
                                             "{\"added_tokens\":[{\"id\":49406,\"content\":\"<|startoftext|>\"},"
                                             "{\"id\":49407,\"content\":\"<|endoftext|>\"}],"
                                             "\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\"}}",
                                             -1, NULL));
  object = json_object_ref (json_node_get_object (json_parser_get_root (parser)));
  model = json_object_get_object_member (object, "model");
  for (char **line = lines; *line != NULL; line++)
    {
      g_auto (GStrv) words = g_strsplit (*line, " ", 2);
      JsonArray *pair;

      if (**line == '\0' || g_str_has_prefix (*line, "#version"))
        continue;
      pair = json_array_new ();
      json_array_add_string_element (pair, words[0]);
      json_array_add_string_element (pair, words[1]);
      json_array_add_array_element (pairs, pair);
    }
  json_object_set_array_member (model, "merges", pairs);
  json_object_set_member (model, "vocab", json_from_string (vocab, NULL));
  json_node_take_object (root, object);
  return json_to_string (root, FALSE);
}

/* The three forms of CLIP's vocabulary in a folder give the same ids. */
static void
test_published_forms (void)
{
  static const char *const names[] = { "vocab.json", "merges.txt", "tokenizer.json", "bpe_simple_vocab_16e6.txt.gz" };
  g_autofree char *path = fixture_path ("bpe_simple_vocab_16e6.txt.gz");
  g_autofree char *folder = g_dir_make_tmp ("switti-tokenizer-XXXXXX", NULL);
  g_autofree char *vocab = NULL;
  g_autofree char *merges = NULL;
  g_autofree char *json = NULL;
  g_autofree char *link = g_build_filename (folder, names[3], NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (switti_tokenizer_convert_bpe (path, &vocab, &merges, &error));
  g_assert_no_error (error);
  json = make_tokenizer_json (vocab, merges);
  for (int form = 0; form < 3; form++)
    {
      g_autoptr (SwittiTokenizer) tokenizer = NULL;

      for (guint i = 0; i < G_N_ELEMENTS (names); i++)
        {
          g_autofree char *old = g_build_filename (folder, names[i], NULL);

          g_unlink (old);
        }
      if (form == 0)
        {
          write_file (folder, "vocab.json", vocab);
          write_file (folder, "merges.txt", merges);
        }
      else if (form == 1)
        write_file (folder, "tokenizer.json", json);
      else
        g_assert_cmpint (symlink (path, link), ==, 0);
      tokenizer = switti_tokenizer_open (folder, -1, -1, -1, &error);
      g_assert_no_error (error);
      check_published_ids (tokenizer);
    }
  g_unlink (link);
  g_rmdir (folder);
}

static void
test_special_tokens_in_text (void)
{
  g_autoptr (SwittiTokenizer) tokenizer = open_clip ();
  g_autofree char *plain = encode_to_string (tokenizer, "a<|endoftext|>cat!!<|startoftext|>");
  g_autofree char *almost = encode_to_string (tokenizer, "<|endoftext>");

  /* "a", end, "cat", "!!", start between the outer start and end */
  g_assert_cmpstr (plain, ==, "49406 320 49407 2368 748 49406 49407");
  g_assert_null (strstr (almost + 6, "49406"));
}

static void
test_padding_and_cut (void)
{
  g_autoptr (SwittiTokenizer) tokenizer = open_clip ();
  g_autoptr (GString) text = g_string_new (NULL);
  gint32 ids[SWITTI_TEXT_LENGTH];

  g_assert_cmpint (switti_tokenizer_encode_padded (tokenizer, "", ids), ==, 2);
  g_assert_cmpint (ids[0], ==, 49406);
  for (int i = 1; i < SWITTI_TEXT_LENGTH; i++)
    g_assert_cmpint (ids[i], ==, 49407);

  for (int n_words = 1; n_words <= 80; n_words++)
    {
      g_autoptr (GArray) all = NULL;

      g_string_append (text, "cat ");
      all = switti_tokenizer_encode (tokenizer, text->str);
      g_assert_cmpuint (all->len, ==, n_words + 2);
      g_assert_cmpint (switti_tokenizer_encode_padded (tokenizer, text->str, ids), ==, MIN (n_words + 2, 77));
      g_assert_cmpint (ids[MIN (n_words, 75)], ==, 2368);
      g_assert_cmpint (ids[MIN (n_words + 1, 76)], ==, 49407);
    }
}

static void
test_invalid_utf8 (void)
{
  g_autoptr (SwittiTokenizer) tokenizer = open_clip ();
  g_autofree char *broken = encode_to_string (tokenizer, "a \xff\xc3 cat");
  g_autofree char *replaced = encode_to_string (tokenizer, "a \xef\xbf\xbd\xef\xbf\xbd cat");

  g_assert_cmpstr (broken, ==, replaced);
}

/* White space of any kind, and any number of it, separates words and is nothing else. */
static void
test_white_space (void)
{
  g_autoptr (SwittiTokenizer) tokenizer = open_clip ();
  const char *const spaces[] = {
    " ", "\t\n", "\xc2\xa0", "\xc2\x85", "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe3\x80\x80  ",
  };
  g_autofree char *expected = encode_to_string (tokenizer, "a cat");

  for (guint i = 0; i < G_N_ELEMENTS (spaces); i++)
    {
      g_autofree char *text = g_strconcat (spaces[i], "a", spaces[i], "cat", spaces[i], NULL);
      g_autofree char *actual = encode_to_string (tokenizer, text);

      g_assert_cmpstr (actual, ==, expected);
    }
}

/* Pairs that differ in case alone, or in how a character is composed. */
static void
test_same_ids (void)
{
  g_autoptr (SwittiTokenizer) tokenizer = open_clip ();
  const char *const pairs[][2] = {
    { "A CAT", "a cat" },
    { "\u00c9t\u00c9", "e\u0301te\u0301" }, /* É: letter and combining accent */
    { "\u0130", "i\u0307" },                     /* İ: the only one whose lower case is two characters */
    { "\u03a3\u03a3", "\u03c3\u03c3" },         /* Σ: no final sigma */
    { "\u2160 \u216f", "\u2170 \u217f" },       /* Roman numerals */
    { "\u24b6\u24cf", "\u24d0\u24e9" },         /* circled letters */
    { "\u01c5", "\u01c6" },                      /* a title-case letter */
    { "\U00010400", "\U00010428" },              /* outside the basic plane */
    { "\u1100\u1161", "\uac00" },                /* Hangul, composed by rule */
    { "\u212b", "\u00e5" },                      /* the Ångström sign */
  };

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autofree char *a = encode_to_string (tokenizer, pairs[i][0]);
      g_autofree char *b = encode_to_string (tokenizer, pairs[i][1]);

      g_assert_cmpstr (a, ==, b);
    }
}

/* Long words and long texts take time of n log n: 40 times the text takes far less than 1600 times as long. */
static void
test_long_texts (void)
{
  g_autoptr (SwittiTokenizer) tokenizer = open_clip ();
  const char *const units[] = { "a", "e\xcc\x81", "ab", "!", "9", "\xe6\xbc\xa2", "<|", "'", "the quick brown fox " };

  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    {
      g_autoptr (GString) text = g_string_new (NULL);
      gint64 start;
      g_autoptr (GArray) ids = NULL;

      while (text->len < 400000)
        g_string_append (text, units[i]);
      start = g_get_monotonic_time ();
      ids = switti_tokenizer_encode (tokenizer, text->str);
      g_test_message ("text %u: %.3f s", i, (double) (g_get_monotonic_time () - start) * 1e-6);
      g_assert_cmpuint (ids->len, >, 2);
      /* A second or two where sanitizers watch; a quadratic encoder would need minutes. */
      g_assert_cmpint (g_get_monotonic_time () - start, <, 20 * G_USEC_PER_SEC);
    }
}

/* -- BPE restated: the leftmost pair of the lowest rank is merged until there is none -------------------------- */

static void
naive_encode (GPtrArray *symbols, const char *const *merges)
{
  for (;;)
    {
      guint best_rank = G_MAXUINT, best_place = 0;

      for (guint place = 0; place + 1 < symbols->len; place++)
        {
          g_autofree char *pair =
              g_strdup_printf ("%s %s", (char *) symbols->pdata[place], (char *) symbols->pdata[place + 1]);

          for (guint rank = 0; merges[rank] != NULL; rank++)
            if (strcmp (merges[rank], pair) == 0 && rank < best_rank)
              {
                best_rank = rank;
                best_place = place;
              }
        }
      if (best_rank == G_MAXUINT)
        return;
      {
        char *joined = g_strconcat (symbols->pdata[best_place], symbols->pdata[best_place + 1], NULL);

        g_free (symbols->pdata[best_place]);
        symbols->pdata[best_place] = joined;
        g_ptr_array_remove_index (symbols, best_place + 1);
      }
    }
}

static void
test_against_naive_merging (void)
{
  const char *const merges[] = { "a b",     "b a",   "ab a",    "a a</w>", "b b",      "aba b</w>", "ba ba",  "aa b",
                                 "bb bb",   "a a",   "c ab",    "ab c",    "b c</w>",  "a bc</w>",  "baba c", NULL };
  g_autoptr (GString) vocab = g_string_new ("{\"a\":0,\"b\":1,\"c\":2,\"a</w>\":3,\"b</w>\":4,\"c</w>\":5,"
                                            "\"<|startoftext|>\":6,\"<|endoftext|>\":7");
  g_autofree char *merge_text = g_strjoinv ("\n", (char **) merges);
  g_autoptr (GHashTable) ids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (SwittiTokenizer) tokenizer = NULL;
  g_autoptr (GRand) random = g_rand_new_with_seed (5);
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < 6; i++)
    g_hash_table_insert (ids, g_strdup_printf ("%c%s", 'a' + i % 3, i < 3 ? "" : "</w>"), GINT_TO_POINTER (i));
  for (int i = 0; merges[i] != NULL; i++)
    {
      g_auto (GStrv) pair = g_strsplit (merges[i], " ", 2);
      g_autofree char *joined = g_strconcat (pair[0], pair[1], NULL);

      g_string_append_printf (vocab, ",\"%s\":%d", joined, 8 + i);
      g_hash_table_insert (ids, g_steal_pointer (&joined), GINT_TO_POINTER (8 + i));
    }
  g_string_append_c (vocab, '}');
  tokenizer = switti_tokenizer_new (vocab->str, -1, merge_text, -1, -1, -1, -1, "a test", &error);
  g_assert_no_error (error);

  for (int trial = 0; trial < 2000; trial++)
    {
      int length = g_rand_int_range (random, 1, 14);
      g_autoptr (GPtrArray) symbols = g_ptr_array_new_with_free_func (g_free);
      g_autoptr (GString) word = g_string_new (NULL);
      g_autoptr (GArray) actual = NULL;

      for (int i = 0; i < length; i++)
        {
          char letter = (char) ('a' + g_rand_int_range (random, 0, 3));

          g_string_append_c (word, letter);
          g_ptr_array_add (symbols, g_strdup_printf ("%c%s", letter, i + 1 == length ? "</w>" : ""));
        }
      naive_encode (symbols, merges);
      actual = switti_tokenizer_encode (tokenizer, word->str);
      g_assert_cmpuint (actual->len, ==, symbols->len + 2);
      for (guint i = 0; i < symbols->len; i++)
        g_assert_cmpint (g_array_index (actual, gint32, i + 1), ==,
                         GPOINTER_TO_INT (g_hash_table_lookup (ids, symbols->pdata[i])));
    }
}

/* -- files -------------------------------------------------------------------------------------------------- */

static void
test_bytes (void)
{
  g_autoptr (SwittiTokenizer) tokenizer = switti_tokenizer_new_bytes ();
  /* CLIP's order of bytes: '!' is 0, so 'a' is 64; at a word's end 256 more. */
  g_autofree char *ids = encode_to_string (tokenizer, "Ab !");

  g_assert_cmpint (switti_tokenizer_get_vocab_size (tokenizer), ==, 514);
  g_assert_cmpstr (ids, ==, "512 64 321 256 513");
}

static void
test_icons (void)
{
  g_autofree char *folder = g_test_build_filename (G_TEST_DIST, "..", "data", "models", "icons", "tokenizer", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiTokenizer) tokenizer = switti_tokenizer_open (folder, -1, -1, -1, &error);
  g_autoptr (SwittiTokenizer) other_ids = NULL;
  g_autofree char *ids = NULL;
  g_autofree char *with_other_ids = NULL;

  g_assert_no_error (error);
  g_assert_cmpint (switti_tokenizer_get_vocab_size (tokenizer), ==, 2560);
  ids = encode_to_string (tokenizer, "a");
  g_assert_cmpstr (ids, ==, "2558 320 2559");

  other_ids = switti_tokenizer_open (folder, 11, 12, 13, &error);
  g_assert_no_error (error);
  with_other_ids = encode_to_string (other_ids, "a");
  g_assert_cmpstr (with_other_ids, ==, "11 320 12");
}

/* The same tokenizer as tokenizer.json, with merges as strings and as pairs. */
static void
test_tokenizer_json (void)
{
  const char *const merges[] = { "[\"a b</w>\"]", "[[\"a\", \"b</w>\"]]" };
  const char *const bad[] = {
    "{}",
    "{\"model\": {\"vocab\": {}, \"merges\": [], \"end_of_word_suffix\": \"</w>\"}}",
    "{\"model\": {\"vocab\": {\"a\": -1}, \"merges\": [], \"end_of_word_suffix\": \"</w>\"}}",
    "{\"model\": {\"vocab\": {\"<|startoftext|>\": 0, \"<|endoftext|>\": 1}, \"merges\": []}}",
    "{\"model\": {\"vocab\": {\"<|startoftext|>\": 0, \"<|endoftext|>\": 1}, \"merges\": [5],"
    " \"end_of_word_suffix\": \"</w>\"}}",
    "{\"model\": {\"vocab\": {\"<|startoftext|>\": 0, \"<|endoftext|>\": 1}, \"merges\": [\"a b c\"],"
    " \"end_of_word_suffix\": \"</w>\"}}",
    "{\"model\": {\"vocab\": {\"<|startoftext|>\": 0, \"<|endoftext|>\": 1}, \"merges\": [[\"a\"]],"
    " \"end_of_word_suffix\": \"</w>\"}}",
    "{\"added_tokens\": [{\"id\": 99999999, \"content\": \"x\"}],"
    " \"model\": {\"vocab\": {\"<|startoftext|>\": 0, \"<|endoftext|>\": 1}, \"merges\": [],"
    " \"end_of_word_suffix\": \"</w>\"}}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (merges); i++)
    {
      g_autofree char *json =
          g_strdup_printf ("{\"added_tokens\": [{\"id\": 3, \"content\": \"<|startoftext|>\"},"
                           " {\"id\": 4, \"content\": \"<|endoftext|>\"}],"
                           " \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b</w>\": 1, \"ab</w>\": 2},"
                           " \"merges\": %s, \"end_of_word_suffix\": \"</w>\"}}",
                           merges[i]);
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiTokenizer) tokenizer = switti_tokenizer_new_from_json (json, -1, -1, -1, -1, "a test", &error);
      g_autofree char *ids = NULL;

      g_assert_no_error (error);
      /* "c" is in no vocabulary: the unknown token, which is the end token. */
      ids = encode_to_string (tokenizer, "AB b c");
      g_assert_cmpstr (ids, ==, "3 2 1 4 4");
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (switti_tokenizer_new_from_json (bad[i], -1, -1, -1, -1, "a test", &error));
      g_assert_true (error != NULL && error->domain == SWITTI_ERROR);
      g_assert_nonnull (strstr (error->message, "a test"));
    }
}

static void
test_bad_files (void)
{
  const char *const cases[][2] = {
    { "", "" },
    { "[]", "" },
    { "{}", "" },
    { "{\"<|startoftext|>\": 0}", "" },
    { "{\"<|startoftext|>\": 0, \"<|endoftext|>\": \"1\"}", "" },
    { "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1.5}", "" },
    { "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 16777216}", "" },
    { "{\"<|startoftext|>\": 0, \"<|startoftext|>\": 1, \"<|endoftext|>\": 2}", "" },
    { "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1}", "a b" },
    { "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a\": 2, \"b\": 3}", "a b" },
    { "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a\": 2, \"aa\": 3}", "a" },
    { "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a\": 2, \"aa\": 3}", "a  a" },
    { "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a\": 2, \"aa\": 3}", "\xff a" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (switti_tokenizer_new (cases[i][0], -1, cases[i][1], -1, -1, -1, -1, "a test", &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
      g_assert_nonnull (strstr (error->message, "a test"));
    }
}

/* A folder with special tokens of its own, both ways to write them, and Windows line ends. */
static void
test_folder (void)
{
  g_autofree char *folder = g_dir_make_tmp ("switti-tokenizer-XXXXXX", NULL);
  const char *const files[][2] = {
    { "vocab.json", "{\"[B]\": 0, \"[E]\": 1, \"[P]\": 2, \"x\": 3, \"y</w>\": 4, \"xy</w>\": 5}" },
    { "merges.txt", "#version: 0.2\r\nx y</w>\r\n" },
    { "special_tokens_map.json",
      "{\"bos_token\": \"wrong\", \"eos_token\": {\"content\": \"[E]\"}, \"pad_token\": \"[P]\"}" },
    { "tokenizer_config.json", "{\"bos_token\": \"[B]\", \"model_max_length\": 77}" },
  };
  g_autoptr (SwittiTokenizer) tokenizer = NULL;
  g_autoptr (GError) error = NULL;
  gint32 ids[SWITTI_TEXT_LENGTH];

  g_assert_null (switti_tokenizer_open (folder, -1, -1, -1, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND);
  g_clear_error (&error);

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_build_filename (folder, files[i][0], NULL);

      g_assert_true (g_file_set_contents (path, files[i][1], -1, NULL));
    }
  tokenizer = switti_tokenizer_open (folder, -1, -1, -1, &error);
  g_assert_no_error (error);
  g_assert_cmpint (switti_tokenizer_encode_padded (tokenizer, "xy", ids), ==, 3);
  g_assert_cmpint (ids[0], ==, 0);
  g_assert_cmpint (ids[1], ==, 5);
  g_assert_cmpint (ids[2], ==, 1);
  g_assert_cmpint (ids[3], ==, 2);

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_build_filename (folder, files[i][0], NULL);

      g_unlink (path);
    }
  g_rmdir (folder);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tokenizer/published-ids", test_published_ids);
  g_test_add_func ("/tokenizer/published-forms", test_published_forms);
  g_test_add_func ("/tokenizer/special-tokens-in-text", test_special_tokens_in_text);
  g_test_add_func ("/tokenizer/padding-and-cut", test_padding_and_cut);
  g_test_add_func ("/tokenizer/invalid-utf8", test_invalid_utf8);
  g_test_add_func ("/tokenizer/white-space", test_white_space);
  g_test_add_func ("/tokenizer/same-ids", test_same_ids);
  g_test_add_func ("/tokenizer/long-texts", test_long_texts);
  g_test_add_func ("/tokenizer/against-naive-merging", test_against_naive_merging);
  g_test_add_func ("/tokenizer/bytes", test_bytes);
  g_test_add_func ("/tokenizer/icons", test_icons);
  g_test_add_func ("/tokenizer/tokenizer-json", test_tokenizer_json);
  g_test_add_func ("/tokenizer/bad-files", test_bad_files);
  g_test_add_func ("/tokenizer/folder", test_folder);
  return g_test_run ();
}
