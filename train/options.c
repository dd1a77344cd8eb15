/* options.c - the command line and the configuration file
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-error.h"
#include "train.h"

#include <glib/gi18n.h>
#include <string.h>

#define CONFIG_GROUP "train"

/* Other names, that published scripts and habits have. */
static const struct
{
  const char *name, *meant;
} aliases[] = {
  { "out", "local-out-dir-path" },         { "vae-ckpt", "vae" },     { "text-encoder-path", "text" },
  { "drop-path", "drop-path-rate" },       { "steps", "max-iters" },  { "lr", "tblr" },
  { "recompute", "use-gradient-checkpointing" },
};

/* One option as given. */
typedef struct
{
  const SwittiOptionInfo *info;
  char *text; /* NULL: a switch without a value */
} Setting;

typedef struct
{
  GArray *settings; /* Setting, in the order of the command line */
  char *config;
} Given;

static const SwittiOptionInfo *
find_option (const char *name)
{
  g_autofree char *dashed = g_strdelimit (g_strdup (name), "_", '-');

  for (gsize i = 0; i < G_N_ELEMENTS (aliases); i++)
    if (g_str_equal (dashed, aliases[i].name))
      return switti_training_options_find (aliases[i].meant);
  return switti_training_options_find (dashed);
}

static void
clear_setting (gpointer data)
{
  g_free (((Setting *) data)->text);
}

static gboolean
on_option (const char *option, const char *text, gpointer data, GError **error)
{
  Given *given = data;
  Setting setting = { find_option (option + strspn (option, "-")), g_strdup (text) };

  g_assert (setting.info != NULL);
  g_array_append_val (given->settings, setting);
  return TRUE;
}

/* -- the configuration file ---------------------------------------------------------------------------------- */

static void
unknown_key (const char *path, const char *key, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const char *meant;

  for (const SwittiOptionInfo *info = switti_training_option_info; info->name != NULL; info++)
    g_ptr_array_add (names, (gpointer) info->name);
  g_ptr_array_add (names, NULL);
  meant = cli_suggest (key, (const char *const *) names->pdata);
  if (meant != NULL)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("“%s” has “%s”, which is no option; is it “%s”?"), path,
                 key, meant);
  else
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                 _ ("“%s” has “%s”, which is no option; “switti-train --help” lists them."), path, key);
}

static gboolean
apply_config (SwittiTrainingOptions *options, const char *path, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) failure = NULL;
  g_auto (GStrv) keys = NULL;

  if (!g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, &failure)
      || (keys = g_key_file_get_keys (file, CONFIG_GROUP, NULL, &failure)) == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                   _ ("The options in “%s” could not be read: %s; it needs lines such as “depth=16” below “[train]”."),
                   path, failure->message);
      return FALSE;
    }
  for (char **key = keys; *key != NULL; key++)
    {
      const SwittiOptionInfo *info = find_option (*key);
      g_autofree char *text = g_key_file_get_string (file, CONFIG_GROUP, *key, NULL);

      if (info == NULL)
        {
          unknown_key (path, *key, error);
          return FALSE;
        }
      if (text != NULL && !switti_training_options_set (options, info, g_strstrip (text), error))
        {
          g_prefix_error (error, "%s: ", path);
          return FALSE;
        }
    }
  return TRUE;
}

/* -- the command line ------------------------------------------------------------------------------------------ */

static GOptionEntry
make_entry (const char *name, const SwittiOptionInfo *info, GOptionFlags flags)
{
  return (GOptionEntry){
    .long_name = name,
    .flags = flags | (info->kind == SWITTI_OPTION_BOOLEAN ? G_OPTION_FLAG_OPTIONAL_ARG : 0),
    .arg = G_OPTION_ARG_CALLBACK,
    .arg_data = (gpointer) on_option,
    .description = info->help,
    .arg_description = info->argument,
  };
}

/* (transfer full): GOptionEntry, ended by an empty one. */
static GArray *
make_entries (Given *given)
{
  GArray *entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));
  const GOptionEntry config = { "config", 0, 0, G_OPTION_ARG_FILENAME, &given->config,
                                N_ ("File with options; the command line overrides it"), N_ ("FILE") };

  g_array_append_val (entries, config);
  for (const SwittiOptionInfo *info = switti_training_option_info; info->name != NULL; info++)
    {
      const GOptionEntry entry = make_entry (info->name, info, 0);

      g_array_append_val (entries, entry);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (aliases); i++)
    {
      const GOptionEntry entry
          = make_entry (aliases[i].name, switti_training_options_find (aliases[i].meant), G_OPTION_FLAG_HIDDEN);

      g_array_append_val (entries, entry);
    }
  return entries;
}

static gboolean
parse (Given *given, const TrainCommand *command, char ***argv)
{
  static const GOptionEntry none[] = { { NULL } };
  g_autoptr (GArray) list = make_entries (given);
  const GOptionEntry *own = command->own != NULL ? command->own : none;
  const GOptionEntry *const entries[] = { own, (const GOptionEntry *) list->data, NULL };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  GOptionGroup *group = g_option_group_new ("train", NULL, NULL, given, NULL);

  g_option_group_add_entries (group, entries[0]);
  g_option_group_add_entries (group, entries[1]);
  g_option_group_set_translation_domain (group, GETTEXT_PACKAGE);
  g_option_context_set_main_group (context, group);
  g_option_context_set_summary (context, _ (command->summary));
  g_option_context_set_description (context, _ (command->description));
  return cli_parse_options (context, entries, command->name, argv);
}

static gboolean
apply (SwittiTrainingOptions *options, const Given *given, const TrainCommand *command, GError **error)
{
  if (given->config != NULL && !apply_config (options, given->config, error))
    return FALSE;
  for (guint i = 0; i < given->settings->len; i++)
    {
      const Setting *setting = &g_array_index (given->settings, Setting, i);

      if (!switti_training_options_set (options, setting->info, setting->text, error))
        return FALSE;
    }
  return command->check == NULL || command->check (options, error);
}

gboolean
train_parse_options (SwittiTrainingOptions *options, const TrainCommand *command, int argc, char **argv)
{
  Given given = { .settings = g_array_new (FALSE, FALSE, sizeof (Setting)) };
  g_auto (GStrv) arguments = g_new0 (char *, argc + 1);
  g_autoptr (GError) error = NULL;
  gboolean good;

  for (int i = 0; i < argc; i++)
    arguments[i] = g_strdup (argv[i]);
  g_array_set_clear_func (given.settings, clear_setting);
  switti_training_options_init (options);
  good = parse (&given, command, &arguments);
  if (good && arguments[1] != NULL)
    {
      train_say (_ ("“%s” is neither an option nor a command; “switti-train --help” says more."), arguments[1]);
      good = FALSE;
    }
  else if (good && !apply (options, &given, command, &error))
    {
      cli_report (error->message);
      good = FALSE;
    }
  g_array_unref (given.settings);
  g_free (given.config);
  return good;
}
