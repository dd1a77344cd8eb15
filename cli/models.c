/* models.c - `switti models`: what is there, and what it knows
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-bundle-private.h"

#include <glib/gi18n.h>
#include <json-glib/json-glib.h>

typedef struct
{
  gboolean json;
  char **words; /* list, or info and a name */
} Models;

static void
print_node (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, TRUE);

  g_print ("%s\n", text);
}

/* -- list ---------------------------------------------------------------------------------------------------- */

static JsonObject *
describe_briefly (const char *name, SwittiBundle *bundle, const GError *error)
{
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "name", name);
  if (bundle)
    {
      json_object_set_string_member (object, "path", switti_bundle_get_path (bundle));
      json_object_set_int_member (object, "resolution", switti_bundle_get_resolution (bundle));
      json_object_set_int_member (object, "parameters", (gint64) switti_bundle_get_n_parameters (bundle));
    }
  else
    json_object_set_string_member (object, "error", error->message);
  return object;
}

static void
print_briefly (const char *name, SwittiBundle *bundle, const GError *error)
{
  if (bundle)
    g_print (_ ("%s: %d×%d pixels, %.1f million parameters\n"), name, switti_bundle_get_resolution (bundle),
             switti_bundle_get_resolution (bundle), (double) switti_bundle_get_n_parameters (bundle) / 1e6);
  else
    g_print (_ ("%s: cannot be used. %s\n"), name, error->message);
}

static int
list (Models *self)
{
  g_auto (GStrv) names = switti_bundle_list ();
  g_auto (GStrv) folders = switti_bundle_get_search_path ();
  g_autofree char *where = g_strjoinv (", ", folders);
  g_autofree char *sentence = NULL;
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_ARRAY);
  JsonArray *array = json_array_new ();

  json_node_take_array (root, array);
  for (guint i = 0; names[i]; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiBundle) bundle = switti_bundle_open (names[i], &error);

      if (self->json)
        json_array_add_object_element (array, describe_briefly (names[i], bundle, error));
      else
        print_briefly (names[i], bundle, error);
    }
  if (self->json)
    print_node (root);
  else if (names[0] == NULL)
    {
      sentence = g_strdup_printf (_ ("There are no models in %s."), where);
      cli_report (sentence);
    }
  return CLI_SUCCESS;
}

/* -- info ---------------------------------------------------------------------------------------------------- */

/* Members of a recipe that are no defaults of the sampler. */
static const char *const not_sampling[] = { "generator", "version", "prompt",     "negative_prompt", "seed",
                                            "count",     "model",   "model_hash", "width",           "height" };

static JsonNode *
full_info (SwittiBundle *bundle, GError **error)
{
  JsonNode *root = json_from_string (switti_bundle_get_info_json (bundle), error);
  g_autoptr (SwittiRequest) defaults = switti_request_new (bundle);
  g_autofree char *recipe = switti_request_to_json (defaults, bundle, 0);
  g_autoptr (JsonNode) recipe_root = json_from_string (recipe, NULL);
  JsonObject *object, *sampling = json_node_get_object (recipe_root);

  if (root == NULL)
    return NULL;
  object = json_node_get_object (root);
  json_object_set_string_member (object, "name", switti_bundle_get_name (bundle));
  json_object_set_string_member (object, "path", switti_bundle_get_path (bundle));
  json_object_set_int_member (object, "resolution", switti_bundle_get_resolution (bundle));
  json_object_set_int_member (object, "scales", switti_bundle_get_n_scales (bundle));
  json_object_set_int_member (object, "parameters", (gint64) switti_bundle_get_n_parameters (bundle));
  json_object_set_string_member (object, "description", switti_bundle_get_description (bundle));
  if (json_object_has_member (sampling, "model_hash"))
    json_object_set_string_member (object, "hash", json_object_get_string_member (sampling, "model_hash"));
  for (guint i = 0; i < G_N_ELEMENTS (not_sampling); i++)
    json_object_remove_member (sampling, not_sampling[i]);
  json_object_set_object_member (object, "default_sampling", json_object_ref (sampling));
  return root;
}

static void
print_defaults (SwittiBundle *bundle)
{
  g_autoptr (SwittiRequest) request = switti_request_new (bundle);
  double guidance, top_p, temperature;
  int top_k, smooth_start, guidance_start, guidance_end;
  gboolean smooth;

  g_object_get (request, "guidance", &guidance, "top-k", &top_k, "top-p", &top_p, "smooth", &smooth, "smooth-start",
                &smooth_start, "guidance-start", &guidance_start, "guidance-end", &guidance_end,
                "last-scale-temperature", &temperature, NULL);
  g_print ("%s --cfg %g --top-k %d --top-p %g %s --smooth-start %d --cfg-start %d --cfg-end %d "
           "--last-scale-temperature %g\n",
           _ ("Defaults:"), guidance, top_k, top_p, smooth ? "--smooth" : "--no-smooth", smooth_start, guidance_start,
           guidance_end, temperature);
}

static int
info (Models *self, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (name, &error);
  int side;

  if (bundle == NULL)
    {
      cli_report (error->message);
      return CLI_FAILURE;
    }
  if (self->json)
    {
      g_autoptr (JsonNode) root = full_info (bundle, &error);

      if (root == NULL)
        {
          cli_report (error->message);
          return CLI_FAILURE;
        }
      print_node (root);
      return CLI_SUCCESS;
    }
  side = switti_bundle_get_resolution (bundle);
  g_print (_ ("Model: %s\n"), switti_bundle_get_name (bundle));
  g_print (_ ("Folder: %s\n"), switti_bundle_get_path (bundle));
  g_print (_ ("Pictures: %d×%d pixels in %d scales\n"), side, side, switti_bundle_get_n_scales (bundle));
  g_print (_ ("Parameters: %.1f million\n"), (double) switti_bundle_get_n_parameters (bundle) / 1e6);
  print_defaults (bundle);
  g_print ("\n%s\n", switti_bundle_get_description (bundle));
  return CLI_SUCCESS;
}

/* -- the command line ---------------------------------------------------------------------------------------- */

/* Commands with options of their own; "list" and "info" are done here. */
static const struct
{
  const char *name;
  int (*run) (int argc, char **argv);
} subcommands[] = {
  { "download", cli_models_download },
  { "import", cli_models_import },
  { "verify", cli_models_verify },
  { "remove", cli_models_remove },
  { "export", cli_models_export },
};

static int
run (Models *self)
{
  const char *names[G_N_ELEMENTS (subcommands) + 3] = { "list", "info" };
  guint n_words = self->words ? g_strv_length (self->words) : 0;
  const char *command = n_words > 0 ? self->words[0] : "list";
  const char *meant;
  g_autofree char *sentence = NULL;
  g_autofree char *all = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (subcommands); i++)
    names[i + 2] = subcommands[i].name;
  meant = cli_suggest (command, names);
  if (g_str_equal (command, "list") && n_words <= 1)
    return list (self);
  if (g_str_equal (command, "info") && n_words <= 2)
    return info (self, n_words == 2 ? self->words[1] : NULL);
  all = g_strjoinv (", ", (char **) names);
  if (g_str_equal (command, "list") || g_str_equal (command, "info"))
    sentence = g_strdup_printf (_ ("“switti models %s” got too many names."), command);
  else if (g_strv_contains (names, command))
    sentence = g_strdup_printf (_ ("Options of “models %s” stand behind it, not before."), command);
  else if (meant)
    sentence = g_strdup_printf (_ ("There is no command “models %s”; did you mean “models %s”?"), command, meant);
  else
    sentence = g_strdup_printf (_ ("There is no command “models %s”; there are %s."), command, all);
  cli_report (sentence);
  return CLI_USAGE;
}

int
cli_models (int argc, char **argv)
{
  Models self = { 0 };
  const GOptionEntry own[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &self.json, N_ ("For programs: as JSON"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &self.words, NULL, NULL },
    { NULL },
  };
  const GOptionEntry *const entries[] = { own, NULL };
  g_autoptr (GOptionContext) context = g_option_context_new (
      _ ("list | info [NAME] | download NAME | import NAME [FILE…] | verify NAME | remove NAME | export NAME FOLDER"));
  g_auto (GStrv) arguments = g_strdupv (argv);
  int status = CLI_USAGE;

  for (guint i = 0; argc > 1 && i < G_N_ELEMENTS (subcommands); i++)
    if (g_str_equal (argv[1], subcommands[i].name))
      {
        g_autofree char *name = g_strconcat ("switti models ", subcommands[i].name, NULL);

        g_set_prgname (name); /* the usage line of its --help says it */
        return subcommands[i].run (argc - 1, argv + 1);
      }
  g_option_context_add_main_entries (context, own, GETTEXT_PACKAGE);
  g_option_context_set_summary (context, _ ("Lists the models that are installed, says what one of them knows, "
                                            "fetches published models,\nand makes models of checkpoints and "
                                            "checkpoints of models."));
  g_option_context_set_description (context, _ ("“switti models COMMAND --help” says more of each.\n\nExamples:\n"
                                                "  switti models list\n  switti models info icons\n"
                                                "  switti models import mine model_state_dict.pt --base switti-512"));
  if (cli_parse_options (context, entries, "switti models", &arguments))
    status = run (&self);
  g_strfreev (self.words);
  return status;
}
