/* model-files.c - `switti models import`, `export`, `verify` and `remove`
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-bundle-folder-private.h"
#include "switti-catalogue-private.h"
#include "switti-error.h"
#include "switti-model-import-private.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  char **words;
  char *dtype, *folder, *base, *prefix, *activation;
  int resolution, heads;
  gboolean ar, no_ar, yes;

  SwittiImportOptions import;
  char *path;      /* of the model that is written, verified or removed */
  char *export_to; /* folder */
} Files;

static void
files_clear (Files *self)
{
  g_strfreev (self->words);
  g_free (self->dtype);
  g_free (self->folder);
  g_free (self->base);
  g_free (self->prefix);
  g_free (self->activation);
  g_free (self->path);
  g_free (self->export_to);
}

static int
usage_error (const char *sentence)
{
  cli_report (sentence);
  return CLI_USAGE;
}

/* "1.2 GB of 4.9 GB (blocks.3.attn.proj.weight)", and how far the bar is. */
static void
on_bytes (guint64 done, guint64 total, const char *what, gpointer data)
{
  g_autofree char *done_text = g_format_size (done), *total_text = g_format_size (total);
  g_autofree char *line = g_strdup_printf (_ ("%s of %s (%s)"), done_text, total_text, what);

  cli_progress_show (total > 0 ? (double) done / (double) total : 0, line);
}

static gboolean
parse_dtype (Files *self, int *dtype)
{
  static const struct
  {
    const char *name;
    int dtype;
  } dtypes[] = { { "bf16", SWITTI_DTYPE_BF16 },
                 { "f16", SWITTI_DTYPE_F16 },
                 { "f32", SWITTI_DTYPE_F32 },
                 { "keep", SWITTI_PLAN_KEEP_DTYPE } };
  g_autofree char *sentence = NULL;

  for (guint i = 0; self->dtype != NULL && i < G_N_ELEMENTS (dtypes); i++)
    if (strcmp (self->dtype, dtypes[i].name) == 0)
      {
        *dtype = dtypes[i].dtype;
        return TRUE;
      }
  if (self->dtype == NULL)
    return TRUE;
  sentence = g_strdup_printf (_ ("--dtype takes bf16, f16, f32 or keep, not “%s”."), self->dtype);
  cli_report (sentence);
  return FALSE;
}

/* Where a model of that name is written: a path is taken as it is. */
static char *
target_path (Files *self, const char *name)
{
  if (strchr (name, G_DIR_SEPARATOR) != NULL)
    return g_canonicalize_filename (name, NULL);
  if (self->folder != NULL)
    return g_build_filename (self->folder, name, NULL);
  return g_build_filename (g_get_user_data_dir (), "switti", "models", name, NULL);
}

/* Parses the options that a command has; FALSE where that failed and was reported. */
static gboolean
parse (Files *self, const GOptionEntry *own, const char *command, const char *usage, const char *summary,
       const char *description, char **argv)
{
  const GOptionEntry rest[] = { { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->words, NULL, NULL },
                                { NULL } };
  const GOptionEntry *const entries[] = { own, NULL };
  g_autoptr (GOptionContext) context = g_option_context_new (usage);
  g_auto (GStrv) arguments = g_strdupv (argv);

  g_option_context_add_main_entries (context, own, GETTEXT_PACKAGE);
  g_option_context_add_main_entries (context, rest, GETTEXT_PACKAGE);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  return cli_parse_options (context, entries, command, &arguments);
}

/* -- import -------------------------------------------------------------------------------------------------- */

static gboolean
run_import (GCancellable *cancellable, gpointer data, GError **error)
{
  Files *self = data;

  return switti_model_import (self->path, &self->import, on_bytes, self, cancellable, error);
}

/* A published model's repositories, which may be in Hugging Face's cache. */
static GPtrArray *
published_inputs (Files *self, const char *name, GError **error)
{
  g_autoptr (SwittiCatalogueModel) model = switti_catalogue_find (name, NULL);
  g_autoptr (GPtrArray) inputs = g_ptr_array_new_with_free_func (g_free);

  if (model == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("Say what to import “%s” from: files or folders; “switti models import --help” has examples."),
                   name);
      return NULL;
    }
  for (guint i = 0; i < SWITTI_CATALOGUE_N_PARTS; i++)
    {
      g_autofree char *snapshot = switti_hub_cache_find (model->parts[i].repository);

      if (snapshot == NULL)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                       _ ("“%s” is not in Hugging Face's cache: name its files, or use “switti models download %s”."),
                       model->parts[i].repository, name);
          return NULL;
        }
      g_ptr_array_add (inputs, g_steal_pointer (&snapshot));
    }
  self->import.hints.ar = model->ar;
  self->import.hints.resolution = model->resolution;
  g_ptr_array_add (inputs, NULL);
  return g_steal_pointer (&inputs);
}

static int
import (Files *self)
{
  g_autoptr (GPtrArray) published = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  if (self->words == NULL)
    return usage_error (_ ("Say what to call the model, and the files or folders that it is in."));
  if (self->ar && self->no_ar)
    return usage_error (_ ("--ar and --no-ar contradict each other; give one of them."));
  if (self->activation != NULL && strcmp (self->activation, "quick_gelu") != 0 &&
      strcmp (self->activation, "gelu") != 0)
    return usage_error (_ ("--activation takes quick_gelu or gelu."));
  if (self->heads < 0 || self->resolution < 0)
    return usage_error (_ ("--heads and --resolution take positive numbers."));
  self->import.dtype = SWITTI_DTYPE_BF16;
  if (!parse_dtype (self, &self->import.dtype))
    return CLI_USAGE;
  self->import.base = self->base;
  self->import.inputs = (const char *const *) self->words + 1;
  self->import.hints = (SwittiCheckpointHints){
    .ar = self->ar ? TRUE : self->no_ar ? FALSE : -1,
    .resolution = self->resolution,
    .heads = self->heads,
    .activation = self->activation,
    .prefix = self->prefix,
  };
  if (self->words[1] == NULL && self->base == NULL)
    {
      published = published_inputs (self, self->words[0], &error);
      if (published == NULL)
        return usage_error (error->message);
      self->import.inputs = (const char *const *) published->pdata;
    }
  self->path = target_path (self, self->words[0]);
  status = cli_run (run_import, self);
  if (status == CLI_SUCCESS)
    g_print (_ ("The model is in %s.\n"), self->path);
  return status;
}

int
cli_models_import (int argc, char **argv)
{
  Files self = { 0 };
  const GOptionEntry own[] = {
    { "dtype", 0, 0, G_OPTION_ARG_STRING, &self.dtype,
      N_ ("Store the weights as bf16 (the default), f16, f32, or keep what the files have"), N_ ("TYPE") },
    { "base", 0, 0, G_OPTION_ARG_FILENAME, &self.base, N_ ("Take the parts that the files lack from this model"),
      N_ ("MODEL") },
    { "folder", 0, 0, G_OPTION_ARG_FILENAME, &self.folder,
      N_ ("Put the model's folder there, in place of the user's models"), N_ ("FOLDER") },
    { "ar", 0, 0, G_OPTION_ARG_NONE, &self.ar, N_ ("The transformer's scales see the coarser ones: Switti (AR)"),
      NULL },
    { "no-ar", 0, 0, G_OPTION_ARG_NONE, &self.no_ar, N_ ("They do not: Switti"), NULL },
    { "resolution", 0, 0, G_OPTION_ARG_INT, &self.resolution, N_ ("The side of its pictures: 256, 512 or 1024"),
      N_ ("PIXELS") },
    { "heads", 0, 0, G_OPTION_ARG_INT, &self.heads, N_ ("The transformer's attention heads"), N_ ("NUMBER") },
    { "activation", 0, 0, G_OPTION_ARG_STRING, &self.activation, N_ ("The text encoder's: quick_gelu or gelu"),
      N_ ("NAME") },
    { "prefix", 0, 0, G_OPTION_ARG_STRING, &self.prefix,
      N_ ("What the tensors' names begin with, where a file holds several copies"), N_ ("TEXT") },
    { NULL },
  };
  int status = CLI_USAGE;

  if (parse (&self, own, "switti models import", _ ("NAME [FILE|FOLDER|ORG/REPOSITORY…]"),
             _ ("Makes a model of checkpoints: PyTorch's .pt and .pth files, safetensors (sharded, too), folders of "
                "Hugging\nFace's and their cache. What each file is is seen from the tensors in it."),
             _ ("The options say what the files do not; they are asked for where they are needed. ORG/REPOSITORY is "
                "looked up in\nHugging Face's cache; with NAME alone, so are the parts of that published "
                "model.\n\nExamples:\n"
                "  switti models import mine model_state_dict.pt vae_ft_checkpoint.pt clip-vit-large-patch14/ bigG/\n"
                "  switti models import tuned model_state_dict.pt --base switti-512\n"
                "  switti models import switti-512"),
             argv))
    status = import (&self);
  files_clear (&self);
  return status;
}

/* -- export -------------------------------------------------------------------------------------------------- */

static gboolean
run_export (GCancellable *cancellable, gpointer data, GError **error)
{
  Files *self = data;

  return switti_model_export (self->path, self->export_to, self->import.dtype, on_bytes, self, cancellable, error);
}

/* The folder of an installed model, or NULL, which was reported. */
static char *
find_model (const char *name)
{
  g_autoptr (GError) error = NULL;
  char *folder = switti_bundle_find_folder (name, &error);

  if (folder == NULL)
    cli_report (error->message);
  return folder;
}

static int
export (Files *self)
{
  int status;

  if (self->words == NULL || g_strv_length (self->words) != 2)
    return usage_error (_ ("Say which model to export, and the folder to make of it."));
  self->import.dtype = SWITTI_PLAN_KEEP_DTYPE;
  if (!parse_dtype (self, &self->import.dtype))
    return CLI_USAGE;
  self->path = find_model (self->words[0]);
  if (self->path == NULL)
    return CLI_FAILURE;
  self->export_to = g_canonicalize_filename (self->words[1], NULL);
  status = cli_run (run_export, self);
  if (status == CLI_SUCCESS)
    g_print (_ ("The checkpoints are in %s.\n"), self->export_to);
  return status;
}

int
cli_models_export (int argc, char **argv)
{
  Files self = { 0 };
  const GOptionEntry own[] = {
    { "dtype", 0, 0, G_OPTION_ARG_STRING, &self.dtype,
      N_ ("Store the weights as f32, bf16 or f16; keep (the default) what the model has"), N_ ("TYPE") },
    { NULL },
  };
  int status = CLI_USAGE;

  if (parse (&self, own, "switti models export", _ ("NAME FOLDER"),
             _ ("Makes a folder that the published code loads: config.json and model.safetensors of the transformer, "
                "and folders\nof the other parts below it."),
             _ ("Example:\n  switti models export mine hf/mine --dtype f32"), argv))
    status = export (&self);
  files_clear (&self);
  return status;
}

/* -- verify -------------------------------------------------------------------------------------------------- */

static gboolean
run_verify (GCancellable *cancellable, gpointer data, GError **error)
{
  Files *self = data;

  return switti_model_verify (self->path, on_bytes, self, cancellable, error);
}

int
cli_models_verify (int argc, char **argv)
{
  Files self = { 0 };
  const GOptionEntry own[] = { { NULL } };
  int status = CLI_USAGE;

  if (!parse (&self, own, "switti models verify", _ ("NAME"),
              _ ("Reads a whole model and compares it with the SHA-256 sums of when it was imported or downloaded."),
              _ ("Example:\n  switti models verify mine"), argv))
    ;
  else if (self.words == NULL || self.words[1] != NULL)
    status = usage_error (_ ("Say which one model to verify."));
  else
    {
      self.path = find_model (self.words[0]);
      status = self.path != NULL ? cli_run (run_verify, &self) : CLI_FAILURE;
      if (status == CLI_SUCCESS)
        g_print (_ ("%s is as it was imported.\n"), self.words[0]);
    }
  files_clear (&self);
  return status;
}

/* -- remove -------------------------------------------------------------------------------------------------- */

/* Whether the user agrees, on a terminal or by --yes; *status is what to end with where not. */
static gboolean
ask (Files *self, int *status)
{
  char answer[16] = "";

  if (self->yes)
    return TRUE;
  if (!isatty (STDIN_FILENO) || !isatty (STDOUT_FILENO))
    {
      *status = usage_error (_ ("Say --yes to remove a model without being asked."));
      return FALSE;
    }
  g_print (_ ("Remove %s? [y/N] "), self->path);
  fflush (stdout);
  *status = CLI_SUCCESS;
  return fgets (answer, sizeof answer, stdin) != NULL && cli_answer_is_yes (answer);
}

/* A name means one of the user's own models; another has to be named by its path. */
static gboolean
is_own (Files *self)
{
  g_autofree char *folder = g_path_get_dirname (self->path);
  g_autofree char *own = g_build_filename (g_get_user_data_dir (), "switti", "models", NULL);
  g_autofree char *canonical = g_canonicalize_filename (own, NULL);
  g_autofree char *sentence = NULL;

  if (strchr (self->words[0], G_DIR_SEPARATOR) != NULL || g_str_equal (folder, canonical))
    return TRUE;
  sentence = g_strdup_printf (_ ("“%s” is not one of your own models: to remove it, give its path, %s."),
                              self->words[0], self->path);
  cli_report (sentence);
  return FALSE;
}

static int
remove_model (Files *self)
{
  g_autoptr (GError) error = NULL;
  int status;

  self->path = find_model (self->words[0]);
  if (self->path == NULL || !is_own (self))
    return CLI_FAILURE;
  if (!ask (self, &status))
    return status;
  if (!switti_model_remove (self->path, &error))
    {
      cli_report (error->message);
      return CLI_FAILURE;
    }
  g_print (_ ("%s is removed.\n"), self->path);
  return CLI_SUCCESS;
}

int
cli_models_remove (int argc, char **argv)
{
  Files self = { 0 };
  const GOptionEntry own[] = {
    { "yes", 'y', 0, G_OPTION_ARG_NONE, &self.yes, N_ ("Do not ask"), NULL },
    { NULL },
  };
  int status = CLI_USAGE;

  if (!parse (&self, own, "switti models remove", _ ("NAME"), _ ("Removes a model's folder."),
              _ ("Example:\n  switti models remove mine --yes"), argv))
    ;
  else if (self.words == NULL || self.words[1] != NULL)
    status = usage_error (_ ("Say which one model to remove."));
  else
    status = remove_model (&self);
  files_clear (&self);
  return status;
}
