/* session.c - what every kind of training has: signals that stop it, and checkpoints that it goes on from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-error.h"
#include "train.h"

#include <glib/gi18n.h>
#include <signal.h>
#include <string.h>

/* -- signals ------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t is_stopped;

static void
on_signal (int number)
{
  is_stopped = 1;
}

/* A second signal ends the program at once: the newest checkpoint is whole. Beyond a limit on the size of files,
 * writing fails, which is told of, instead of ending the program. */
void
train_catch_signals (void)
{
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_RESTART };

  sigemptyset (&action.sa_mask);
  sigaction (SIGINT, &action, NULL);
  sigaction (SIGTERM, &action, NULL);
  signal (SIGXFSZ, SIG_IGN);
}

gboolean
train_is_stopped (void)
{
  return is_stopped != 0;
}

/* -- beginning --------------------------------------------------------------------------------------------------- */

/* Options that a resumed run has otherwise than before. */
static void
tell_of_changes (const SwittiTrainingOptions *options, const char *folder)
{
  g_autoptr (JsonObject) before = switti_checkpoints_read_options (folder, NULL);

  for (const SwittiOptionInfo *info = switti_training_option_info; before != NULL && info->name != NULL; info++)
    {
      g_autofree char *now = switti_training_options_get (options, info);
      const char *then = json_object_get_string_member_with_default (before, info->name, NULL);

      if (g_strcmp0 (now, then) != 0 && !g_str_equal (info->name, "resume"))
        train_say (_ ("--%s is %s now; it was %s."), info->name, now != NULL ? now : "“”", then != NULL ? then : "“”");
    }
}

static gboolean
resume (TrainSession *self, GError **error)
{
  const char *wanted = self->options->resume != NULL ? self->options->resume : "auto";
  const char *newest = switti_checkpoints_get_newest (self->checkpoints);
  const char *folder = g_str_equal (wanted, "auto") ? newest : wanted;

  if (g_str_equal (wanted, "no"))
    {
      if (newest == NULL)
        return TRUE;
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("“%s” has checkpoints already: without --resume no the training goes on from them; or choose "
                      "another --out."),
                   self->options->out);
      return FALSE;
    }
  if (folder == NULL)
    return TRUE;
  if (!switti_checkpoints_load (self->model, folder, &self->state, error))
    return FALSE;
  self->saved_step = g_strcmp0 (folder, newest) == 0 ? self->state.step : -1;
  train_say (_ ("Going on from “%s”."), folder);
  tell_of_changes (self->options, folder);
  return TRUE;
}

gboolean
train_session_begin (TrainSession *self, const SwittiTrainingOptions *options, SwittiTrainingModel *model,
                     GError **error)
{
  self->options = options;
  self->model = model;
  self->saved_step = -1;
  self->checkpoints = switti_checkpoints_new (model, options, error);
  return self->checkpoints != NULL && resume (self, error);
}

void
train_session_clear (TrainSession *self)
{
  g_clear_pointer (&self->checkpoints, switti_checkpoints_free);
}

/* -- checkpoints ------------------------------------------------------------------------------------------------- */

/* Adds to what went wrong with a checkpoint which one is whole. */
static gboolean
not_saved (TrainSession *self, GError *failure, GError **error)
{
  const char *newest = switti_checkpoints_get_newest (self->checkpoints);

  if (newest != NULL)
    g_set_error (error, failure->domain, failure->code,
                 _ ("A checkpoint could not be written, and the newest whole one is “%s”: %s"), newest,
                 failure->message);
  else
    g_set_error (error, failure->domain, failure->code, _ ("The first checkpoint could not be written: %s"),
                 failure->message);
  g_error_free (failure);
  return FALSE;
}

gboolean
train_session_save (TrainSession *self, GError **error)
{
  GError *failure = NULL;

  if (self->saved_step == self->state.step)
    return TRUE;
  if (!switti_checkpoints_save (self->checkpoints, &self->state, &failure))
    return not_saved (self, failure, error);
  self->saved_step = self->state.step;
  return TRUE;
}

/* The last one, and until it is on the disk. */
gboolean
train_session_save_at_end (TrainSession *self, GError **error)
{
  GError *failure = NULL;

  return train_session_save (self, error)
         && (switti_checkpoints_wait (self->checkpoints, &failure) || not_saved (self, failure, error));
}

/* A full disk is met by whoever writes next: the log, often, while a checkpoint of the background is what filled it. */
gboolean
train_session_blame_checkpoint (TrainSession *self, GError **error)
{
  GError *failure = NULL;

  if (!switti_checkpoints_wait (self->checkpoints, &failure))
    {
      g_clear_error (error);
      not_saved (self, failure, error);
    }
  return FALSE;
}

void
train_session_name_last_good (TrainSession *self, GError **error)
{
  const char *newest;

  switti_checkpoints_wait (self->checkpoints, NULL);
  newest = switti_checkpoints_get_newest (self->checkpoints);
  if (newest != NULL)
    g_prefix_error (error, _ ("Go on from the last good checkpoint, “%s”, with a lower --tblr. "), newest);
  else
    g_prefix_error (error, "%s", _ ("There is no checkpoint yet: begin again with a lower --tblr. "));
}
