/* train.h - what the files of `switti-train` share
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "cli.h"
#include "switti-dataset-private.h"
#include "switti-generator.h"
#include "switti-sheet-private.h"
#include "switti-training-checkpoints-private.h"
#include "switti-training-options-private.h"
#include "switti-trainer-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Exit statuses. */
enum
{
  TRAIN_SUCCESS = 0,
  TRAIN_FAILURE = 1,
  TRAIN_USAGE = 2,
};

/* -- options (options.c) ------------------------------------------------------------------------------------ */

/* A command that takes the options of a training. */
typedef struct
{
  const char *name;                 /* "switti-train bench" */
  const char *summary, *description; /* of its --help; to be translated */
  const GOptionEntry *own;          /* (nullable): its own options besides, ended by an empty one */
  /* (nullable): whether what must be named is, and fits together */
  gboolean (*check) (const SwittiTrainingOptions *options, GError **error);
} TrainCommand;

/* Fills *options, which is initialised here, from --config and the command line, which goes first. FALSE when a mistake
 * has been reported. */
gboolean train_parse_options (SwittiTrainingOptions *options, const TrainCommand *command, int argc, char **argv);

/* -- commands: each gets its own name as argv[0] and returns an exit status ---------------------------------- */

int train_bench (int argc, char **argv);

/* -- ranks (ranks.c) ------------------------------------------------------------------------------------------ */

/* The processes that train together. */
typedef struct
{
  SwittiCollective *all; /* NULL where this is the only one */
  int rank, n;
  int n_here; /* on this computer */
  int rank_here;
  gboolean on_cuda; /* each of many ranks on a GPU of its own */
} TrainRanks;

/* From the launcher's environment; through NCCL where `device`, as --device has it, is CUDA's. */
gboolean train_ranks_open (TrainRanks *self, const char *device, GError **error);
/* For commands of one process. */
gboolean train_ranks_check_alone (const char *command, GError **error);
void train_ranks_clear (TrainRanks *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TrainRanks, train_ranks_clear)

/* --threads for this rank: 0 is this computer's, shared by its ranks. */
int train_ranks_choose_threads (const TrainRanks *self, int wanted);
/* The device of this rank; of many on CUDA each has the GPU of its number on its computer. NULL on failure. */
SwittiDevice *train_ranks_open_device (const TrainRanks *self, const char *device, int threads, GError **error);
/* Images of a part of a rank's step. SWITTI_ERROR_ARGUMENT where --bs cannot be shared out. */
gboolean train_ranks_share_batch (const TrainRanks *self, const SwittiTrainingOptions *options, int *batch,
                                  GError **error);
/* Whether `mine` is TRUE on all ranks; on all of them. */
gboolean train_ranks_all (const TrainRanks *self, gboolean mine, gboolean *all, GError **error);

/* -- what every kind of training has (session.c) --------------------------------------------------------------- */

typedef struct
{
  const SwittiTrainingOptions *options;
  SwittiTrainingModel *model;
  SwittiCheckpoints *checkpoints;
  SwittiTrainingState state;
  gint64 saved_step; /* of the newest checkpoint, or -1 */
} TrainSession;

/* From now on SIGINT and SIGTERM ask the training to end. */
void train_catch_signals (void);
/* Set once one of them does. */
gboolean train_is_stopped (void);

/* Loads the checkpoint that --resume names, if there is one, into the model. Both must outlive the session. */
gboolean train_session_begin (TrainSession *self, const SwittiTrainingOptions *options, SwittiTrainingModel *model,
                              GError **error);
void train_session_clear (TrainSession *self);
/* In the background, unless there is one of this step. */
gboolean train_session_save (TrainSession *self, GError **error);
/* The last one, and until it is on the disk. */
gboolean train_session_save_at_end (TrainSession *self, GError **error);
/* Waits for the checkpoint that is being written, and where that failed puts its error in the place of `error`, which
 * is set. Always FALSE. */
gboolean train_session_blame_checkpoint (TrainSession *self, GError **error);
/* Puts into a message of a diverged training where to go on. */
void train_session_name_last_good (TrainSession *self, GError **error);

/* -- a training (run.c) ------------------------------------------------------------------------------------- */

/* Trains until the end, or until SIGINT or SIGTERM, upon which it saves. FALSE with error set otherwise. */
gboolean train_run (const SwittiTrainingOptions *options, const TrainRanks *ranks, GError **error);

/* -- images (images.c) -------------------------------------------------------------------------------------- */

typedef struct _TrainImages TrainImages; /* one split's images, with their codes */

/* This rank's `batch` images a call, from `position` on; with `split` "val2014" each once. NULL on failure. */
TrainImages *train_images_new (const char *split, const SwittiTrainingModel *model,
                               const SwittiTrainingOptions *options, SwittiCodes *codes, int batch, guint64 position,
                               GError **error);
void train_images_free (TrainImages *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TrainImages, train_images_free)

/* Good until the next call. images->n is `batch`, or at the end of a split that is gone through once less, or 0. Tells
 * of bad images on stderr. */
gboolean train_images_next (TrainImages *self, SwittiTrainingImages *images, GError **error);
/* Goes to the beginning of a split that is gone through once. */
gboolean train_images_rewind (TrainImages *self, GError **error);
guint train_images_get_n (TrainImages *self);
/* What was found to be bad since the last call, on stderr; of every rank. */
void train_say_reports (SwittiDataset *dataset);

/* -- the log (log.c) ------------------------------------------------------------------------------------------ */

typedef struct _TrainLog TrainLog;

/* Opens OUT/log.jsonl, from which lines of steps after `state` are cut: a killed run has gone further than its last
 * checkpoint. */
TrainLog *train_log_new (const SwittiTrainingOptions *options, const SwittiTrainingState *state, int n_scales,
                         GError **error);
void train_log_free (TrainLog *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TrainLog, train_log_free)

/* A line of JSON, and the line of progress where it is time for one. `step` from 1: steps done. */
gboolean train_log_step (TrainLog *self, gint64 step, const SwittiStepReport *report, GError **error);
gboolean train_log_validation (TrainLog *self, gint64 step, const SwittiTrainingLoss *loss, gint64 n_images,
                               GError **error);
/* The same for another kind of training: its line is given, and `tokens` are this step's. */
typedef struct
{
  const char *name;
  double value;
} TrainNumber;

gboolean train_log_numbers (TrainLog *self, gint64 step, const TrainNumber *numbers, gsize n, GError **error);
void train_log_progress (TrainLog *self, gint64 step, double loss, gint64 tokens);

/* -- what TensorBoard is shown (events.c) --------------------------------------------------------------------- */

typedef struct _TrainEvents TrainEvents;

/* Starts an event file in OUT/tb_logs. `state`: where the run begins. */
TrainEvents *train_events_new (const SwittiTrainingOptions *options, const SwittiTrainingState *state,
                               const SwittiTransformerConfig *transformer, GError **error);
void train_events_free (TrainEvents *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TrainEvents, train_events_free)

/* Where the logits of step `step` (from 1) are to be noted: cleared, or NULL for a step that nothing is told of. */
SwittiLogitStatistics *train_events_begin_step (TrainEvents *self, gint64 step);
gboolean train_events_step (TrainEvents *self, gint64 step, const SwittiStepReport *report, GError **error);
gboolean train_events_validation (TrainEvents *self, gint64 step, const SwittiTrainingLoss *loss, GError **error);
/* Pictures of the prompts, from a checkpoint of that step. */
gboolean train_events_paint (TrainEvents *self, gint64 step, const char *model, SwittiDevice *device, GError **error);

/* -- contact sheets (paint.c) ---------------------------------------------------------------------------------- */

/* The lines of a file that are neither empty nor begin with '#'; (transfer full). */
char **train_read_prompts (const char *path, GError **error);

typedef struct
{
  const char *model;
  SwittiDevice *device;
  char **prompts;
  int n_seeds;               /* pictures of a prompt, of seeds `seed`, seed + 1 … */
  guint64 seed;
  int columns;               /* 0: one prompt a row, or with one seed as many as rows */
  CliParameters *parameters; /* of the sampler, or NULL for the model's */
  SwittiMemory memory;
} TrainPainting;

/* Every prompt with every seed. (transfer full) */
SwittiSheet *train_paint (const TrainPainting *painting, GCancellable *cancellable, GError **error);

/* -- other commands: each gets its own name as argv[0] and returns an exit status ------------------------------- */

int train_eval (int argc, char **argv);   /* eval.c */
int train_sample (int argc, char **argv); /* sample.c */
int train_vae (int argc, char **argv);    /* vae.c */

/* A sentence on stderr, of the first rank. */
void train_say (const char *format, ...) G_GNUC_PRINTF (1, 2);

G_END_DECLS
