/* generate.c - `switti generate`: pictures from a prompt
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "start.h"
#include "switti-bundle-private.h"
#include "switti-error.h"
#include "switti-generator-private.h"
#include "switti-recipe-private.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  CliRuntime runtime;
  CliParameters parameters;
  CliStart start;
  char *recipe_path, *output, *preview_dir, *lora;
  double lora_scale;
  gboolean json;
  char **positional;

  char *memory;
  int precision, memory_mode;
  char *recipe; /* JSON */
  SwittiBundle *bundle;
  SwittiDevice *device;
  SwittiRequest *request;
  SwittiGenerator *generator;
  int count, n_scales;
  GError *preview_error; /* of the first preview that could not be written */
  JsonArray *pictures;   /* for --json */
} Generate;

static void
generate_clear (Generate *self)
{
  cli_runtime_clear (&self->runtime);
  cli_parameters_clear (&self->parameters);
  cli_start_clear (&self->start);
  g_free (self->recipe_path);
  g_free (self->output);
  g_free (self->preview_dir);
  g_free (self->lora);
  g_free (self->memory);
  g_free (self->recipe);
  g_strfreev (self->positional);
  g_clear_object (&self->generator);
  g_clear_object (&self->request);
  g_clear_object (&self->device);
  g_clear_object (&self->bundle);
  g_clear_error (&self->preview_error);
  g_clear_pointer (&self->pictures, json_array_unref);
}

/* -- the recipe ---------------------------------------------------------------------------------------------- */

static gboolean
load_recipe (Generate *self, GError **error)
{
  if (self->recipe_path == NULL)
    return TRUE;
  self->recipe = switti_recipe_load (self->recipe_path, error);
  return self->recipe != NULL;
}

/* A text of the recipe, or NULL. */
static char *
recipe_text (Generate *self, const char *key)
{
  g_autoptr (JsonNode) root = self->recipe ? json_from_string (self->recipe, NULL) : NULL;
  JsonNode *node;

  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root))
    return NULL;
  node = json_object_get_member (json_node_get_object (root), key);
  if (node == NULL || json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;
  return json_node_dup_string (node);
}

static void
warn_other_model (Generate *self, GCancellable *cancellable)
{
  g_autofree char *stated = recipe_text (self, "model_hash");
  g_autofree char *hash = stated ? switti_bundle_hash (self->bundle, cancellable, NULL) : NULL;

  if (hash && !g_str_equal (hash, stated))
    cli_report (_ ("The recipe was made with another model; the picture will differ."));
}

/* What the command line leaves open is as the recipe says, where that can be had here. */
static void
take_runtime_from_recipe (Generate *self)
{
  g_autofree char *precision = recipe_text (self, "precision");
  g_autofree char *model = recipe_text (self, "model");

  if (self->runtime.dtype == NULL && precision)
    cli_parse_precision (precision, &self->precision, NULL);
  if (self->runtime.model == NULL && model)
    {
      g_auto (GStrv) models = switti_bundle_list ();

      if (g_strv_contains ((const char *const *) models, model))
        self->runtime.model = g_steal_pointer (&model);
    }
}

/* -- the request --------------------------------------------------------------------------------------------- */

static gboolean
make_request (Generate *self, GError **error)
{
  self->request = switti_request_new (self->bundle);
  if (self->recipe)
    {
      if (!switti_request_apply_json (self->request, self->recipe, error))
        return FALSE;
    }
  else
    g_object_set (self->request, "seed", (guint64) g_random_int (), NULL);
  cli_parameters_apply (&self->parameters, self->request);
  if (self->positional)
    g_object_set (self->request, "prompt", self->positional[0], NULL);
  if (!cli_start_load (&self->start, self->request, self->bundle,
                       cli_parameters_has (&self->parameters, "keep-scales"), error))
    return FALSE;
  if (!switti_request_validate (self->request, self->bundle, error))
    return FALSE;
  g_object_get (self->request, "count", &self->count, NULL);
  return TRUE;
}

static void
warn_long_prompt (Generate *self)
{
  g_autofree char *prompt = NULL, *sentence = NULL;
  g_autoptr (GArray) ids = NULL;

  g_object_get (self->request, "prompt", &prompt, NULL);
  ids = switti_tokenizer_encode (switti_bundle_get_parts (self->bundle)->tokenizer[1], prompt);
  if (ids->len <= SWITTI_TEXT_LENGTH)
    return;
  sentence = g_strdup_printf (_ ("The prompt has %u tokens; the model reads the first %d of them."), ids->len - 2,
                              SWITTI_TEXT_LENGTH - 2);
  cli_report (sentence);
}

/* -- files --------------------------------------------------------------------------------------------------- */

/* name.png, or name-0001.png where there are several. */
static char *
output_path (Generate *self, int index)
{
  g_autofree char *stem = NULL;
  guint64 seed;

  if (self->output)
    stem = g_str_has_suffix (self->output, ".png") ? g_strndup (self->output, strlen (self->output) - 4)
                                                   : g_strdup (self->output);
  else
    {
      g_object_get (self->request, "seed", &seed, NULL);
      stem = g_strdup_printf ("switti-%" G_GUINT64_FORMAT, seed);
    }
  if (self->count == 1)
    return g_strconcat (stem, ".png", NULL);
  return g_strdup_printf ("%s-%04d.png", stem, index + 1);
}

/* Before the minutes that painting may take. */
static gboolean
check_folder (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);

  if (!g_file_test (folder, G_FILE_TEST_IS_DIR))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("There is no folder %s to write to; make it first."),
                   folder);
      return FALSE;
    }
  if (g_access (folder, W_OK) != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot write to the folder %s: %s."), folder,
                   g_strerror (errno));
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_output (Generate *self, GError **error)
{
  g_autofree char *path = output_path (self, 0);
  const char *suffix = self->output ? strrchr (self->output, '.') : NULL;

  if (suffix && strchr (suffix, G_DIR_SEPARATOR) == NULL && !g_str_equal (suffix, ".png"))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("Pictures are written as PNG; give --output a name that ends in .png, not “%s”."), suffix);
      return FALSE;
    }
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("%s is a folder; give --output a file's name."), path);
      return FALSE;
    }
  if (!check_folder (path, error))
    return FALSE;
  if (self->preview_dir && g_mkdir_with_parents (self->preview_dir, 0777) != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot make the folder %s: %s."), self->preview_dir,
                   g_strerror (errno));
      return FALSE;
    }
  return TRUE;
}

static void
on_preview (int image_index, int scale, SwittiImage *image, gpointer data)
{
  Generate *self = data;
  g_autofree char *name = g_strdup_printf ("image-%04d-scale-%02d.png", image_index + 1, scale);
  g_autofree char *path = g_build_filename (self->preview_dir, name, NULL);

  if (self->preview_error == NULL)
    switti_image_save_png (image, path, &self->preview_error);
}

static gboolean
save_pictures (Generate *self, GPtrArray *images, GError **error)
{
  for (guint i = 0; i < images->len; i++)
    {
      SwittiImage *image = g_ptr_array_index (images, i);
      g_autofree char *path = output_path (self, (int) i);
      JsonObject *picture;

      if (!cli_start_save (&self->start, image, path, error))
        return FALSE;
      if (!self->json)
        {
          cli_progress_hide ();
          g_print (_ ("%s (seed %" PRIu64 ")\n"), path, (uint64_t) switti_image_get_seed (image));
          continue;
        }
      picture = json_object_new ();
      json_object_set_string_member (picture, "file", path);
      json_object_set_member (picture, "recipe", json_from_string (switti_image_get_recipe (image), NULL));
      json_array_add_object_element (self->pictures, picture);
    }
  return TRUE;
}

/* -- painting ------------------------------------------------------------------------------------------------ */

static void
on_progress (double fraction, int scale, gpointer data)
{
  Generate *self = data;
  g_autofree char *words = NULL;

  if (scale < 0)
    words = g_strdup (_ ("Reading the prompt"));
  else if (scale < self->n_scales)
    words = g_strdup_printf (_ ("Scale %d of %d"), scale + 1, self->n_scales);
  else
    words = g_strdup (_ ("Decoding"));
  cli_progress_show (fraction, words);
}

static gboolean
open_model (Generate *self, GError **error)
{
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (self->runtime.model, error);

  if (bundle != NULL && self->lora != NULL)
    self->bundle = switti_bundle_apply_lora (bundle, self->lora, self->lora_scale, error);
  else
    self->bundle = g_steal_pointer (&bundle);
  return self->bundle != NULL;
}

static gboolean
prepare (Generate *self, GCancellable *cancellable, GError **error)
{
  if (!cli_parse_precision (self->runtime.dtype, &self->precision, error)
      || !cli_parse_memory (self->memory, &self->memory_mode, error) || !load_recipe (self, error))
    return FALSE;
  take_runtime_from_recipe (self);
  if (!open_model (self, error) || !make_request (self, error) || !check_output (self, error))
    return FALSE;
  self->n_scales = switti_bundle_get_n_scales (self->bundle);
  warn_long_prompt (self);
  warn_other_model (self, cancellable);
  self->device = switti_device_new (self->runtime.device ? self->runtime.device : "auto", self->runtime.n_threads,
                                    error);
  return self->device != NULL;
}

static gboolean
paint (GCancellable *cancellable, gpointer data, GError **error)
{
  Generate *self = data;
  g_autoptr (GPtrArray) images = NULL;

  if (!prepare (self, cancellable, error))
    return FALSE;
  cli_progress_show (0, _ ("Loading the model"));
  self->generator = switti_generator_new_with_memory (self->bundle, self->device, (SwittiPrecision) self->precision,
                                                      (SwittiMemory) self->memory_mode, cancellable, error);
  if (self->generator == NULL
      || !cli_start_prepare (&self->start, self->generator, self->request, cancellable, error))
    return FALSE;
  if (self->preview_dir)
    switti_generator_set_preview (self->generator, on_preview, self, NULL, NULL, 0);
  images = switti_generator_generate (self->generator, self->request, cancellable, on_progress, self, error);
  if (images == NULL || g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (self->preview_error)
    {
      g_propagate_error (error, g_steal_pointer (&self->preview_error));
      return FALSE;
    }
  return save_pictures (self, images, error);
}

static void
print_json (Generate *self)
{
  const SwittiTimings *timings = switti_generator_get_timings (self->generator);
  SwittiPrecision precision = switti_generator_get_precision (self->generator);
  JsonObject *object = json_object_new ();
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *text = NULL;

  json_object_set_array_member (object, "pictures", json_array_ref (self->pictures));
  json_object_set_string_member (object, "model", switti_bundle_get_name (self->bundle));
  json_object_set_string_member (object, "device", switti_device_get_name (self->device));
  json_object_set_string_member (object, "dtype", precision == SWITTI_PRECISION_BF16 ? "bf16" : "f32");
  json_object_set_double_member (object, "total_ms", timings->total * 1e3);
  json_node_take_object (node, object);
  text = json_to_string (node, TRUE);
  g_print ("%s\n", text);
}

/* -- the command line ---------------------------------------------------------------------------------------- */

static gboolean
parse (Generate *self, char ***argv)
{
  const GOptionEntry own[] = {
    { "model", 'm', 0, G_OPTION_ARG_STRING, &self->runtime.model, N_ ("Name or folder of the model"), N_ ("MODEL") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &self->output, N_ ("PNG to write (default: switti-SEED.png)"),
      N_ ("FILE") },
    { "recipe", 0, 0, G_OPTION_ARG_FILENAME, &self->recipe_path,
      N_ ("Start from the recipe in a PNG of ours, or in a JSON file"), N_ ("FILE") },
    { "init", 0, 0, G_OPTION_ARG_FILENAME, &self->start.init,
      N_ ("PNG to vary, or, with --mask, to redraw a part of"), N_ ("FILE") },
    { "source", 0, 0, G_OPTION_ARG_FILENAME, &self->start.source,
      N_ ("PNG of ours, or a recipe, to start from as it was painted"), N_ ("FILE") },
    { "mask", 0, 0, G_OPTION_ARG_FILENAME, &self->start.mask, N_ ("PNG that is white where to redraw"), N_ ("FILE") },
    { "grow", 0, 0, G_OPTION_ARG_INT, &self->start.grow, N_ ("Grow the mask by so many pixels"), N_ ("N") },
    { "feather", 0, 0, G_OPTION_ARG_DOUBLE, &self->start.feather, N_ ("Soften the mask's edge inwards, in pixels"),
      N_ ("X") },
    { "context", 0, 0, G_OPTION_ARG_DOUBLE, &self->start.context,
      N_ ("What to show the model around the mask, in percent of its size (default: 50)"), N_ ("X") },
    { "preview-dir", 0, 0, G_OPTION_ARG_FILENAME, &self->preview_dir, N_ ("Write the picture after every scale here"),
      N_ ("FOLDER") },
    { "lora", 0, 0, G_OPTION_ARG_FILENAME, &self->lora, N_ ("LoRA to add to the model (safetensors)"), N_ ("FILE") },
    { "lora-scale", 0, 0, G_OPTION_ARG_DOUBLE, &self->lora_scale, N_ ("How much of it (default: 1)"), N_ ("X") },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self->json, N_ ("Say on standard output what was made, as JSON"), NULL },
    { "device", 0, 0, G_OPTION_ARG_STRING, &self->runtime.device, N_ ("auto, cpu, cuda or cuda:N"), N_ ("DEVICE") },
    { "dtype", 0, 0, G_OPTION_ARG_STRING, &self->runtime.dtype, N_ ("auto, f32 or bf16"), N_ ("TYPE") },
    { "memory", 0, 0, G_OPTION_ARG_STRING, &self->memory, N_ ("auto, or low for a GPU of little memory"),
      N_ ("MODE") },
    { "threads", 0, 0, G_OPTION_ARG_INT, &self->runtime.n_threads, N_ ("Threads of the processor; 0: all"), N_ ("N") },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &self->positional, NULL, NULL },
    { NULL },
  };
  const GOptionEntry *const entries[] = { own, cli_parameter_entries, NULL };
  g_autoptr (GOptionContext) context = g_option_context_new (_ ("[PROMPT]"));
  GOptionGroup *group = g_option_group_new ("generate", NULL, NULL, &self->parameters, NULL);

  g_option_group_add_entries (group, cli_parameter_entries);
  g_option_group_add_entries (group, own);
  g_option_group_set_translation_domain (group, GETTEXT_PACKAGE);
  g_option_context_set_main_group (context, group);
  g_option_context_set_summary (context, _ ("Paints what a prompt says, and writes it as PNG with its recipe inside."));
  g_option_context_set_description (
    context, _ ("Examples:\n"
                "  switti generate \"a grinning cat, flat style\" --output cat.png\n"
                "  switti generate \"a fox, flat style\" --count 4 --seed 7 --output fox.png\n"
                "  switti generate --recipe cat.png --cfg 5 --output cat-5.png\n"
                "  switti generate \"a fox, flat style\" --source cat.png --keep-scales 4 --output fox-like-cat.png\n"
                "  switti generate \"a robot, flat style\" --init photo.png --mask part.png --output robot.png\n"
                "\nThe names of the published code (--more_smooth, --turn_on_cfg_start_si, …) are understood too.\n"
                "What the model knows is said by “switti models info”."));
  return cli_parse_options (context, entries, "switti generate", argv);
}

/* What no single option can see. */
static const char *
find_conflict (Generate *self)
{
  if (self->positional && self->positional[1])
    return _ ("There is more than one prompt; put it between quotation marks.");
  if (self->positional && cli_parameters_has (&self->parameters, "prompt"))
    return _ ("The prompt is given twice; leave out --prompt or the other one.");
  if (self->runtime.n_threads < 0)
    return _ ("--threads takes 0 or more.");
  return cli_start_find_conflict (&self->start);
}

int
cli_generate (int argc, char **argv)
{
  Generate self = { .pictures = json_array_new (), .lora_scale = 1 };
  g_auto (GStrv) arguments = g_strdupv (argv);
  const char *conflict = NULL;
  int status = CLI_USAGE;

  cli_parameters_init (&self.parameters);
  cli_start_init (&self.start);
  if (parse (&self, &arguments))
    {
      conflict = find_conflict (&self);
      if (conflict)
        cli_report (conflict);
      else
        status = cli_run (paint, &self);
    }
  if (status == CLI_SUCCESS && self.json)
    print_json (&self);
  generate_clear (&self);
  return status;
}
