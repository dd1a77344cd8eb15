/* main.c - `switti-train`
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-version.h"
#include "train.h"

#include <glib/gi18n.h>
#include <locale.h>
#include <stdarg.h>

void
cli_report (const char *sentence)
{
  cli_progress_hide ();
  g_printerr ("switti-train: %s\n", sentence);
}

/* The first rank speaks for all, but for what only one of them knows. */
static gboolean is_quiet;

void
train_say (const char *format, ...)
{
  g_autofree char *sentence = NULL;
  va_list arguments;

  if (is_quiet)
    return;
  va_start (arguments, format);
  sentence = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  cli_report (sentence);
}

static const TrainCommand training = {
  .name = "switti-train",
  .summary = N_ ("Trains a Switti model on a folder of images with captions."),
  .description = N_ (
      "Underscores may stand for dashes. The same command goes on where a training stopped.\n\n"
      "Commands: vae trains an RQ-VAE, eval measures a model on a folder, sample paints a sheet of prompts, bench "
      "measures how fast a training is here; “switti-train COMMAND --help” says more.\n\n"
      "Example:\n"
      "  switti-train --data-path icons --vae icons --train-text --depth 6 --embed-dim 192 --bs 8 \\\n"
      "    --max-iters 60000 --tblr 5e-4 --wp 200 --fp16 2 --ema 0.999 --out runs/icons"),
  .check = switti_training_options_check,
};

static const struct
{
  const char *name;
  int (*run) (int argc, char **argv);
} commands[] = {
  { "bench", train_bench },
  { "eval", train_eval },
  { "sample", train_sample },
  { "vae", train_vae },
};

static int
train (int argc, char **argv)
{
  g_auto (SwittiTrainingOptions) options = { 0 };
  g_auto (TrainRanks) ranks = { NULL };
  g_autoptr (GError) error = NULL;

  if (!train_parse_options (&options, &training, argc, argv))
    return TRAIN_USAGE;
  if (train_ranks_open (&ranks, options.device, &error))
    {
      is_quiet = ranks.rank > 0;
      if (train_run (&options, &ranks, &error))
        return TRAIN_SUCCESS;
    }
  cli_report (error->message);
  /* The others would wait for this one. */
  if (ranks.all != NULL)
    switti_collective_abort (ranks.all);
  return TRAIN_FAILURE;
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, SWITTI_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  g_set_prgname ("switti-train");

  if (argc >= 2 && g_str_equal (argv[1], "--version"))
    {
      g_print ("switti-train %s\n", switti_version_string ());
      return TRAIN_SUCCESS;
    }
  for (gsize i = 0; argc >= 2 && i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (argv[1], commands[i].name))
      {
        g_autofree char *name = g_strconcat ("switti-train ", commands[i].name, NULL);
        g_autoptr (GError) error = NULL;

        if (!train_ranks_check_alone (commands[i].name, &error))
          {
            cli_report (error->message);
            return TRAIN_USAGE;
          }
        g_set_prgname (name); /* the usage line of its --help says it */
        return commands[i].run (argc - 1, argv + 1);
      }
  return train (argc, argv);
}
