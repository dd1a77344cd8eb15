/* cli.h - what the commands of `switti` share
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-request.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Exit statuses. A signal ends with 128 + its number. */
enum
{
  CLI_SUCCESS = 0,
  CLI_FAILURE = 1,
  CLI_USAGE = 2,
};

/* Each gets its own name as argv[0] and returns an exit status. */
int cli_generate (int argc, char **argv);
int cli_bench (int argc, char **argv);
int cli_models (int argc, char **argv);
int cli_models_download (int argc, char **argv);
int cli_models_import (int argc, char **argv);
int cli_models_export (int argc, char **argv);
int cli_models_verify (int argc, char **argv);
int cli_models_remove (int argc, char **argv);

/* "switti: <sentence>" on stderr. */
void cli_report (const char *sentence);

/* Whether a line that was typed, which is stripped in place, means yes. */
gboolean cli_answer_is_yes (char *answer);

/* -- options (options.c) ------------------------------------------------------------------------------------ */

/* The word of a NULL-terminated list that was probably meant, or NULL. */
const char *cli_suggest (const char *word, const char *const *words);

/* Parses *argv, a list of g_strdupv() whose rest is left in it. Published names (--turn_on_cfg_start_si) and
 * underscores are taken for ours. `entries`: the lists that were added to the context, for suggestions. On an error it
 * is reported, with the option that was probably meant; `command` is the whole command ("switti generate"). */
gboolean cli_parse_options (GOptionContext *context, const GOptionEntry *const *entries, const char *command,
                            char ***argv);

/* -- the sampler's parameters (parameters.c) ---------------------------------------------------------------- */

/* The options of SwittiRequest's properties. Their group data must be a CliParameters. */
extern const GOptionEntry cli_parameter_entries[];

/* What the command line said, to be put onto a request. */
typedef struct
{
  GHashTable *values; /* property -> GValue */
} CliParameters;

void cli_parameters_init (CliParameters *self);
void cli_parameters_clear (CliParameters *self);
gboolean cli_parameters_has (CliParameters *self, const char *property);
void cli_parameters_apply (CliParameters *self, SwittiRequest *request);

/* -- where and how to compute (runtime.c) ------------------------------------------------------------------- */

typedef struct
{
  char *model;  /* NULL: the default one */
  char *device; /* NULL: "auto" */
  char *dtype;  /* NULL: "auto" */
  int n_threads;
} CliRuntime;

void cli_runtime_clear (CliRuntime *self);

/* "auto", "f32" or "bf16" to a SwittiPrecision. */
gboolean cli_parse_precision (const char *text, int *precision, GError **error);

/* "auto" or "low" to a SwittiMemory. */
gboolean cli_parse_memory (const char *text, int *memory, GError **error);

/* -- work that a signal can cancel (worker.c) ---------------------------------------------------------------- */

/* FALSE with error set when it failed or was cancelled. */
typedef gboolean (*CliWork) (GCancellable *cancellable, gpointer data, GError **error);

/* Runs work on a thread of its own while this one waits for it and for signals; reports its error. Returns an exit
 * status. */
int cli_run (CliWork work, gpointer data);
/* The same, with what to say when it was cancelled. */
int cli_run_with_notice (CliWork work, gpointer data, const char *cancelled);

/* -- the progress bar (progress.c) --------------------------------------------------------------------------- */

/* Shown on stderr where that is a terminal. */
void cli_progress_show (double fraction, const char *words);
void cli_progress_hide (void);

G_END_DECLS
