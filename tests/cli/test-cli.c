/* test-cli.c - the `switti` program, as a user runs it
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * $SWITTI_CLI is the program, $SWITTI_MAN its man page. Pictures are of the default model.
 */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <png.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define SIDE 256 /* of the default model's pictures */
#define N_SCALES 10

typedef struct
{
  int status; /* exit status */
  char *out, *err;
} Result;

static char *folder;

static void
result_clear (Result *result)
{
  g_clear_pointer (&result->out, g_free);
  g_clear_pointer (&result->err, g_free);
}

/* Runs `switti` with the words of a NULL-terminated list, in the test's folder. */
static void
run_list (Result *result, const char *const *words)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  int wait_status;

  g_ptr_array_add (argv, (gpointer) g_getenv ("SWITTI_CLI"));
  for (guint i = 0; words[i]; i++)
    g_ptr_array_add (argv, (gpointer) words[i]);
  g_ptr_array_add (argv, NULL);
  g_assert_true (g_spawn_sync (folder, (char **) argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &result->out,
                               &result->err, &wait_status, &error));
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (wait_status));
  result->status = WEXITSTATUS (wait_status);
}

#define RUN(result, ...) run_list (result, (const char *const[]) { __VA_ARGS__, NULL })

static void
assert_success (const Result *result)
{
  g_assert_cmpstr (result->err, ==, "");
  g_assert_cmpint (result->status, ==, 0);
}

/* One sentence on stderr that holds `named`, and nothing on stdout. */
static void
assert_failure (const Result *result, int status, const char *named)
{
  g_test_message ("%s", result->err);
  g_assert_cmpint (result->status, ==, status);
  g_assert_cmpstr (result->out, ==, "");
  g_assert_true (g_str_has_prefix (result->err, "switti: "));
  g_assert_true (g_str_has_suffix (result->err, ".\n") || g_str_has_suffix (result->err, "?\n"));
  g_assert_true (strchr (result->err, '\n') == result->err + strlen (result->err) - 1);
  g_assert_nonnull (strstr (result->err, named));
}

static char *
path_of (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static gboolean
exists (const char *name)
{
  g_autofree char *path = path_of (name);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static guint
count_files (const char *name)
{
  g_autofree char *path = path_of (name);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint count = 0;

  while (dir && g_dir_read_name (dir))
    count++;
  return count;
}

/* The pixels of a PNG of SIDE x SIDE, read by libpng's simplified reader. */
static guint8 *
load_pixels (const char *name)
{
  g_autofree char *path = path_of (name);
  png_image png = { .version = PNG_IMAGE_VERSION };
  guint8 *pixels = g_malloc (SIDE * SIDE * 3);

  g_test_message ("%s", name);
  g_assert_true (png_image_begin_read_from_file (&png, path));
  g_assert_cmpuint (png.width, ==, SIDE);
  g_assert_cmpuint (png.height, ==, SIDE);
  png.format = PNG_FORMAT_RGB;
  g_assert_true (png_image_finish_read (&png, NULL, pixels, 0, NULL));
  return pixels;
}

static gboolean
same_pixels (const char *a, const char *b)
{
  g_autofree guint8 *of_a = load_pixels (a), *of_b = load_pixels (b);

  return memcmp (of_a, of_b, SIDE * SIDE * 3) == 0;
}

static JsonObject *
parse_object (JsonParser *parser, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (json_parser_load_from_data (parser, text, -1, &error));
  g_assert_no_error (error);
  g_assert_true (JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)));
  return json_node_get_object (json_parser_get_root (parser));
}

/* -- the command line ---------------------------------------------------------------------------------------- */

static void
test_help (void)
{
  static const char *const commands[] = { "generate", "models", "bench" };
  Result result = { 0 };

  RUN (&result, "--version");
  assert_success (&result);
  g_assert_true (g_str_has_prefix (result.out, "switti "));
  result_clear (&result);
  RUN (&result, "--help");
  assert_success (&result);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      Result own = { 0 };

      g_assert_nonnull (strstr (result.out, commands[i]));
      RUN (&own, commands[i], "--help");
      assert_success (&own);
      g_assert_nonnull (strstr (own.out, "Examples:"));
      result_clear (&own);
    }
  result_clear (&result);
}

static void
test_usage_errors (void)
{
  static const struct
  {
    const char *words[8];
    const char *named;
  } cases[] = {
    { { NULL }, "generate" },
    { { "genrate" }, "“generate”" },
    { { "paint" }, "--help" },
    { { "generate", "--promt", "a fox" }, "--prompt" },
    { { "generate", "a fox", "--last_scale_temperatur", "0.5" }, "--last-scale-temperature" },
    { { "generate", "a fox", "--xyzzy" }, "--xyzzy" },
    { { "generate", "a fox", "--cfg", "high" }, "high" },
    { { "generate", "a fox", "--cfg=" }, "--cfg" },
    { { "generate", "a fox", "--cfg", "nan" }, "nan" },
    { { "generate", "a fox", "--top-k", "1.5" }, "1.5" },
    { { "generate", "a fox", "--seed", "-1" }, "-1" },
    { { "generate", "a fox", "--threads", "x" }, "x" },
    { { "generate", "a fox", "--threads", "-1" }, "--threads" },
    { { "generate", "a", "fox" }, "quotation" },
    { { "generate", "a fox", "--prompt", "a fox" }, "twice" },
    { { "generate", "a fox", "--seed" }, "--seed" },
    { { "models", "lst" }, "models list" },
    { { "models", "list", "icons" }, "list" },
    { { "models", "improt", "x" }, "models import" },
    { { "models", "import" }, "call the model" },
    { { "models", "import", "x" }, "“x”" },
    { { "models", "import", "x", "y", "--ar", "--no-ar" }, "contradict" },
    { { "models", "import", "x", "y", "--dtype", "f8" }, "f8" },
    { { "models", "import", "x", "--foldr", "y" }, "--folder" },
    { { "models", "export", "icons" }, "folder" },
    { { "models", "verify" }, "verify" },
    { { "models", "remove" }, "remove" },
    { { "bench", "icons" }, "--help" },
    { { "bench", "--runs", "0" }, "--runs" },
    { { "bench", "--kernels", "small", "--memory", "low" }, "--kernels" },
    { { "bench", "--model", "icons", "--synthetic", "depth=1" }, "exclude" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Result result = { 0 };

      run_list (&result, cases[i].words);
      assert_failure (&result, 2, cases[i].named);
      result_clear (&result);
    }
}

static void
test_run_errors (void)
{
  static const struct
  {
    const char *words[8];
    const char *named;
  } cases[] = {
    { { "generate" }, "prompt" },
    { { "generate", "" }, "prompt" },
    { { "generate", "a fox", "--cfg", "101" }, "0 to 100" },
    { { "generate", "a fox", "--cfg-end", "11" }, "0 to 10" },
    { { "generate", "a fox", "--count", "0" }, "1 to 10000" },
    { { "generate", "a fox", "--dtype", "f16" }, "f16" },
    { { "generate", "a fox", "--memory", "little" }, "little" },
    { { "generate", "a fox", "--device", "tpu" }, "tpu" },
    { { "generate", "a fox", "--model", "no-such-model" }, "no-such-model" },
    { { "generate", "a fox", "--output", "no/such/folder.png" }, "no/such" },
    { { "generate", "a fox", "--output", "picture.jpg" }, ".png" },
    { { "generate", "a fox", "--recipe", "missing.png" }, "missing.png" },
    { { "models", "info", "no-such-model" }, "no-such-model" },
    { { "models", "verify", "no-such-model" }, "no-such-model" },
    { { "models", "remove", "icons", "--yes" }, "your own" },
    { { "models", "export", "no-such-model", "x" }, "no-such-model" },
    { { "models", "import", "x", "no-such-file.pt" }, "no-such-file.pt" },
    { { "bench", "--synthetic", "dept=30" }, "dept" },
    { { "bench", "--synthetic", "depth=1", "--memory", "little" }, "little" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Result result = { 0 };

      run_list (&result, cases[i].words);
      assert_failure (&result, 1, cases[i].named);
      result_clear (&result);
    }
  g_assert_false (exists ("picture.jpg"));
}

static void
test_output_is_a_folder (void)
{
  Result result = { 0 };
  g_autofree char *path = path_of ("folder.png");

  g_assert_cmpint (g_mkdir (path, 0777), ==, 0);
  RUN (&result, "generate", "a fox", "--output", "folder.png");
  assert_failure (&result, 1, "folder.png");
  result_clear (&result);
}

/* Every long option of --help is in the man page, and the other way round. */
static void
test_man_page (void)
{
  static const char *const commands[][3] = {
    { "generate", "--help" },          { "models", "--help" },           { "bench", "--help" },
    { "models", "import", "--help" },  { "models", "verify", "--help" }, { "models", "remove", "--help" },
    { "models", "export", "--help" },  { "models", "download", "--help" },
  };
  g_autoptr (GHashTable) in_help = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GHashTable) in_man = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GRegex) of_help = g_regex_new ("^ +(?:-., )?--([a-z-]+)", G_REGEX_MULTILINE, 0, NULL);
  g_autoptr (GRegex) of_man = g_regex_new ("Fl -([a-z-]+)", 0, 0, NULL);
  g_autofree char *man = NULL;
  g_autoptr (GError) error = NULL;
  GHashTableIter iter;
  gpointer name;

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      Result result = { 0 };
      g_autoptr (GMatchInfo) match = NULL;

      RUN (&result, commands[i][0], commands[i][1], commands[i][2]);
      assert_success (&result);
      for (g_regex_match (of_help, result.out, 0, &match); g_match_info_matches (match);
           g_match_info_next (match, NULL))
        g_hash_table_add (in_help, g_match_info_fetch (match, 1));
      result_clear (&result);
    }
  g_hash_table_add (in_help, g_strdup ("version"));
  g_hash_table_add (in_help, g_strdup ("help"));
  g_assert_true (g_file_get_contents (g_getenv ("SWITTI_MAN"), &man, NULL, &error));
  {
    g_autoptr (GMatchInfo) match = NULL;

    for (g_regex_match (of_man, man, 0, &match); g_match_info_matches (match); g_match_info_next (match, NULL))
      g_hash_table_add (in_man, g_match_info_fetch (match, 1));
  }
  g_assert_cmpuint (g_hash_table_size (in_help), >, 20);
  g_hash_table_iter_init (&iter, in_help);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    {
      g_test_message ("--%s", (const char *) name);
      g_assert_true (g_hash_table_contains (in_man, name));
    }
  g_assert_cmpuint (g_hash_table_size (in_help), ==, g_hash_table_size (in_man));
}

/* -- models -------------------------------------------------------------------------------------------------- */

/* Every number of `default_sampling` in the model's own index is what is reported. */
static void
assert_sampling_is_stated (JsonObject *sampling, const char *model)
{
  g_autofree char *path = g_build_filename (g_getenv ("SWITTI_MODEL_PATH"), model, "model_index.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GList) names = NULL;
  JsonObject *stated;

  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  stated = json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), "default_sampling");
  names = json_object_get_members (stated);
  g_assert_nonnull (names);
  for (GList *name = names; name != NULL; name = name->next)
    if (json_node_get_value_type (json_object_get_member (stated, name->data)) != G_TYPE_BOOLEAN)
      g_assert_cmpfloat (json_object_get_double_member (sampling, name->data), ==,
                         json_object_get_double_member (stated, name->data));
}

static void
test_models (void)
{
  Result result = { 0 };
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *info, *sampling;

  RUN (&result, "models", "list");
  assert_success (&result);
  g_assert_true (g_str_has_prefix (result.out, "icons:"));
  result_clear (&result);
  RUN (&result, "models", "info");
  assert_success (&result);
  g_assert_nonnull (strstr (result.out, "grinning cat"));
  result_clear (&result);
  RUN (&result, "models", "info", "icons", "--json");
  assert_success (&result);
  info = parse_object (parser, result.out);
  g_assert_cmpstr (json_object_get_string_member (info, "name"), ==, "icons");
  g_assert_cmpint (json_object_get_int_member (info, "resolution"), ==, SIDE);
  g_assert_cmpint (json_object_get_int_member (info, "scales"), ==, N_SCALES);
  g_assert_cmpint (json_object_get_int_member (info, "parameters"), >, 1000000);
  g_assert_cmpuint (strlen (json_object_get_string_member (info, "hash")), ==, 64);
  sampling = json_object_get_object_member (info, "default_sampling");
  assert_sampling_is_stated (sampling, "icons");
  result_clear (&result);
  RUN (&result, "models", "--json");
  assert_success (&result);
  g_assert_true (json_parser_load_from_data (parser, result.out, -1, NULL));
  g_assert_true (JSON_NODE_HOLDS_ARRAY (json_parser_get_root (parser)));
  result_clear (&result);
}

/* A copy of the default model whose transformer ends in the middle. */
static void
test_truncated_model (void)
{
  g_autofree char *copy = path_of ("broken");
  g_autofree char *weights = g_build_filename (copy, "transformer", "model.safetensors", NULL);
  g_autofree char *contents = NULL;
  g_autofree char *model = g_build_filename (g_getenv ("SWITTI_MODEL_PATH"), "icons", NULL);
  const char *argv[] = { "cp", "-r", model, copy, NULL };
  Result result = { 0 };
  gsize length;
  int status;

  g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL));
  g_assert_cmpint (status, ==, 0);
  g_assert_true (g_file_get_contents (weights, &contents, &length, NULL));
  g_assert_true (g_file_set_contents (weights, contents, (gssize) length / 2, NULL));
  RUN (&result, "generate", "a fox", "--model", "./broken", "--output", "broken.png");
  assert_failure (&result, 1, "transformer");
  g_assert_false (exists ("broken.png"));
  result_clear (&result);
}

/* -- pictures ------------------------------------------------------------------------------------------------ */

static void
test_generate (void)
{
  Result result = { 0 };

  /* What the model in the box has not learnt by heart: there a seed makes a difference. */
  RUN (&result, "generate", "a grinning cat, flat style, on a blue background", "--seed", "11", "--output", "cat.png");
  assert_success (&result);
  g_assert_cmpstr (result.out, ==, "cat.png (seed 11)\n");
  result_clear (&result);

  /* The recipe inside paints the same picture again; with another seed, another one. */
  RUN (&result, "generate", "--recipe", "cat.png", "--output", "again.png");
  assert_success (&result);
  g_assert_cmpstr (result.out, ==, "again.png (seed 11)\n");
  g_assert_true (same_pixels ("cat.png", "again.png"));
  result_clear (&result);
  RUN (&result, "generate", "--recipe", "cat.png", "--seed", "12", "--output", "other.png");
  assert_success (&result);
  g_assert_false (same_pixels ("cat.png", "other.png"));
  result_clear (&result);
}

static void
test_default_output (void)
{
  Result result = { 0 };

  RUN (&result, "generate", "a fox, flat style", "--seed", "3");
  assert_success (&result);
  g_free (load_pixels ("switti-3.png"));
  result_clear (&result);
}

/* Pictures of a count are those of the seeds that follow. --json says all of it. */
static void
test_count_and_json (void)
{
  Result result = { 0 };
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object;
  JsonArray *pictures;

  RUN (&result, "generate", "a fox, flat style", "--seed", "5", "--count", "3", "--output", "fox.png", "--json");
  assert_success (&result);
  object = parse_object (parser, result.out);
  pictures = json_object_get_array_member (object, "pictures");
  g_assert_cmpuint (json_array_get_length (pictures), ==, 3);
  for (guint i = 0; i < 3; i++)
    {
      JsonObject *picture = json_array_get_object_element (pictures, i);
      JsonObject *recipe = json_object_get_object_member (picture, "recipe");
      g_autofree char *name = g_strdup_printf ("fox-%04u.png", i + 1);

      g_assert_cmpstr (json_object_get_string_member (picture, "file"), ==, name);
      g_assert_cmpint (json_object_get_int_member (recipe, "seed"), ==, 5 + (int) i);
      g_free (load_pixels (name));
    }
  g_assert_cmpstr (json_object_get_string_member (object, "model"), ==, "icons");
  g_assert_cmpfloat (json_object_get_double_member (object, "total_ms"), >, 0);
  result_clear (&result);
  RUN (&result, "generate", "a fox, flat style", "--seed", "6", "--output", "six.png");
  assert_success (&result);
  g_assert_true (same_pixels ("six.png", "fox-0002.png"));
  result_clear (&result);
}

/* Published names reach the recipe, and a recipe may be a JSON file. */
static void
test_published_names (void)
{
  Result result = { 0 };
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *recipe;
  g_autofree char *path = path_of ("recipe.json");
  g_autofree char *text = NULL;

  RUN (&result, "generate", "a fox, flat style", "--seed", "5", "--more_smooth", "--turn_on_cfg_start_si=1",
       "--turn_off_cfg_start_si", "7", "--last_scale_temp=0.25", "--smooth_start_si", "3", "--top_k", "33", "--top_p",
       "0.5", "--negative_prompt", "blue", "--output", "names.png", "--json");
  assert_success (&result);
  recipe = json_object_get_object_member (
    json_array_get_object_element (json_object_get_array_member (parse_object (parser, result.out), "pictures"), 0),
    "recipe");
  g_assert_true (json_object_get_boolean_member (recipe, "more_smooth"));
  g_assert_cmpint (json_object_get_int_member (recipe, "turn_on_cfg_start_si"), ==, 1);
  g_assert_cmpint (json_object_get_int_member (recipe, "turn_off_cfg_start_si"), ==, 7);
  g_assert_cmpint (json_object_get_int_member (recipe, "smooth_start_si"), ==, 3);
  g_assert_cmpint (json_object_get_int_member (recipe, "top_k"), ==, 33);
  g_assert_cmpfloat (json_object_get_double_member (recipe, "top_p"), ==, 0.5);
  g_assert_cmpfloat (json_object_get_double_member (recipe, "last_scale_temp"), ==, 0.25);
  g_assert_cmpstr (json_object_get_string_member (recipe, "negative_prompt"), ==, "blue");
  {
    g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

    json_node_set_object (node, recipe);
    text = json_to_string (node, FALSE);
  }
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  result_clear (&result);
  RUN (&result, "generate", "--recipe", "recipe.json", "--output", "names-again.png");
  assert_success (&result);
  g_assert_true (same_pixels ("names.png", "names-again.png"));
  result_clear (&result);
}

static void
test_previews (void)
{
  Result result = { 0 };

  RUN (&result, "generate", "a fox, flat style", "--seed", "5", "--preview-dir", "previews/of-fox", "--output",
       "previewed.png");
  assert_success (&result);
  g_assert_cmpuint (count_files ("previews/of-fox"), ==, N_SCALES);
  for (int s = 0; s < N_SCALES; s++)
    {
      g_autofree char *name = g_strdup_printf ("previews/of-fox/image-0001-scale-%02d.png", s);

      g_assert_cmpint (same_pixels (name, "previewed.png"), ==, s == N_SCALES - 1);
    }
  result_clear (&result);
}

static void
test_long_prompt (void)
{
  g_autoptr (GString) prompt = g_string_new (NULL);
  Result result = { 0 };

  for (int i = 0; i < 100; i++)
    g_string_append (prompt, "fox ");
  RUN (&result, "generate", prompt->str, "--seed", "5", "--output", "long.png");
  g_assert_cmpint (result.status, ==, 0);
  g_assert_nonnull (strstr (result.err, "tokens"));
  g_free (load_pixels ("long.png"));
  result_clear (&result);
}

/* A signal in the middle ends the program with 130, in time, and leaves no picture. */
static void
test_interrupt (void)
{
  g_autoptr (GSubprocessLauncher) launcher
    = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *err = NULL, *out = NULL;

  g_subprocess_launcher_set_cwd (launcher, folder);
  process = g_subprocess_launcher_spawn (launcher, &error, g_getenv ("SWITTI_CLI"), "generate", "a fox, flat style",
                                         "--count", "1000", "--output", "interrupted.png", "--preview-dir",
                                         "interrupted", NULL);
  g_assert_no_error (error);
  /* The first preview says that it is painting. */
  for (int i = 0; i < 6000 && count_files ("interrupted") == 0; i++)
    g_usleep (10000);
  g_assert_cmpuint (count_files ("interrupted"), >, 0);
  g_subprocess_send_signal (process, SIGINT);
  g_assert_true (g_subprocess_communicate_utf8 (process, NULL, NULL, &out, &err, &error));
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 130);
  g_assert_cmpstr (out, ==, "");
  g_assert_cmpstr (err, ==, "switti: Cancelled; nothing was written.\n");
  g_assert_false (exists ("interrupted-0001.png"));
}

/* -- bench --------------------------------------------------------------------------------------------------- */

static void
assert_summary (JsonObject *summary)
{
  double least = json_object_get_double_member (summary, "min");
  double median = json_object_get_double_member (summary, "median");

  g_assert_cmpfloat (least, >=, 0);
  g_assert_cmpfloat (median, >=, least);
  g_assert_cmpfloat (json_object_get_double_member (summary, "max"), >=, median);
}

static void
test_bench (void)
{
  static const char *const summaries[] = { "total_ms", "text_ms", "transformer_ms", "sampling_ms", "vae_ms" };
  static const char *const positive[] = { "load_ms", "peak_bytes", "ceiling_gflops", "transformer_share", "vae_share" };
  Result result = { 0 };
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object, *launches;
  JsonArray *scales;

  RUN (&result, "bench", "--synthetic",
       "depth=1,width=64,scales=1-2-3-4,ch=32,vocab=64,context=128,pooled=64,clip=small", "--runs", "2",
       "--warmup", "0", "--dtype", "f32", "--memory", "low", "--threads", "1");
  assert_success (&result);
  object = parse_object (parser, result.out);
  for (guint i = 0; i < G_N_ELEMENTS (summaries); i++)
    assert_summary (json_object_get_object_member (object, summaries[i]));
  for (guint i = 0; i < G_N_ELEMENTS (positive); i++)
    g_assert_cmpfloat (json_object_get_double_member (object, positive[i]), >, 0);
  scales = json_object_get_array_member (object, "scales_ms");
  g_assert_cmpuint (json_array_get_length (scales), ==, 4);
  for (guint s = 0; s < 4; s++)
    assert_summary (json_array_get_object_element (scales, s));
  g_assert_cmpstr (json_object_get_string_member (object, "device"), ==, "cpu");
  g_assert_cmpstr (json_object_get_string_member (object, "dtype"), ==, "f32");
  g_assert_cmpstr (json_object_get_string_member (object, "memory"), ==, "low");
  g_assert_cmpint (json_object_get_int_member (object, "threads"), ==, 1);
  /* The processor launches nothing. */
  launches = json_object_get_object_member (object, "launches_per_block");
  g_assert_cmpint (json_object_get_int_member (launches, "kernels"), ==, 0);
  g_assert_cmpint (json_object_get_int_member (launches, "products"), ==, 0);
  g_assert_cmpint (json_object_get_int_member (object, "other_launches"), ==, 0);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (object, "profile")), >, 3);
  result_clear (&result);
}

static void
remove_folder (const char *path)
{
  const char *argv[] = { "rm", "-r", path, NULL };

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_nonnull (g_getenv ("SWITTI_CLI"));
  g_assert_nonnull (g_getenv ("SWITTI_MAN"));
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  folder = g_dir_make_tmp ("switti-cli-XXXXXX", NULL);
  g_assert_nonnull (folder);
  g_test_add_func ("/cli/help", test_help);
  g_test_add_func ("/cli/usage-errors", test_usage_errors);
  g_test_add_func ("/cli/run-errors", test_run_errors);
  g_test_add_func ("/cli/output-is-a-folder", test_output_is_a_folder);
  g_test_add_func ("/cli/man-page", test_man_page);
  g_test_add_func ("/cli/models", test_models);
  g_test_add_func ("/cli/truncated-model", test_truncated_model);
  g_test_add_func ("/cli/generate", test_generate);
  g_test_add_func ("/cli/default-output", test_default_output);
  g_test_add_func ("/cli/count-and-json", test_count_and_json);
  g_test_add_func ("/cli/published-names", test_published_names);
  g_test_add_func ("/cli/previews", test_previews);
  g_test_add_func ("/cli/long-prompt", test_long_prompt);
  g_test_add_func ("/cli/interrupt", test_interrupt);
  g_test_add_func ("/cli/bench", test_bench);
  status = g_test_run ();
  remove_folder (folder);
  g_free (folder);
  return status;
}
