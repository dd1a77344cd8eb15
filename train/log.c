/* log.c - a line of JSON a step, and the line of progress
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-error.h"
#include "train.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The speed that is shown is a mean over about this many steps. */
#define SPEED_STEPS 50

struct _TrainLog
{
  const SwittiTrainingOptions *options;
  char *path;
  FILE *file;
  int n_scales;
  gint64 last;            /* monotonic time of the last step's end */
  double seconds;         /* of a step, averaged */
  double tokens;          /* of a step */
  double loss;            /* averaged */
  gint64 n_shown;         /* steps in the averages */
  double validation_loss; /* 0: none yet */
};

static gboolean
not_written (TrainLog *self, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), self->path,
               g_strerror (errno));
  return FALSE;
}

/* Offset of the first line whose step is after `step`, or of a last line without an end. */
static gsize
find_end (const char *text, gsize length, gint64 step)
{
  static const char start[] = "{\"step\":";
  gsize at = 0;

  while (at < length)
    {
      const char *line = text + at, *end = memchr (line, '\n', length - at);

      if (end == NULL)
        return at;
      if ((gsize) (end - line) > strlen (start) && memcmp (line, start, strlen (start)) == 0
          && g_ascii_strtoll (line + strlen (start), NULL, 10) > step)
        return at;
      at = (gsize) (end - text) + 1;
    }
  return at;
}

static gboolean
cut (TrainLog *self, gint64 step, GError **error)
{
  g_autoptr (GMappedFile) mapped = g_mapped_file_new (self->path, FALSE, NULL);
  gsize length, end;

  if (mapped == NULL)
    return TRUE;
  length = g_mapped_file_get_length (mapped);
  end = find_end (g_mapped_file_get_contents (mapped), length, step);
  g_clear_pointer (&mapped, g_mapped_file_unref);
  return end == length || truncate (self->path, (off_t) end) == 0 || not_written (self, error);
}

TrainLog *
train_log_new (const SwittiTrainingOptions *options, const SwittiTrainingState *state, int n_scales, GError **error)
{
  g_autoptr (TrainLog) self = g_new0 (TrainLog, 1);

  self->options = options;
  self->path = g_build_filename (options->out, "log.jsonl", NULL);
  self->n_scales = n_scales;
  self->last = g_get_monotonic_time ();
  if (!cut (self, state->step, error))
    return NULL;
  self->file = g_fopen (self->path, "ae");
  if (self->file == NULL)
    {
      not_written (self, error);
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
train_log_free (TrainLog *self)
{
  if (self == NULL)
    return;
  cli_progress_hide ();
  if (self->file != NULL)
    fclose (self->file);
  g_free (self->path);
  g_free (self);
}

/* -- JSON ---------------------------------------------------------------------------------------------------- */

static void
add_number (GString *line, const char *name, double value)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  /* JSON has no infinity. */
  if (value - value == 0)
    g_string_append_printf (line, ",\"%s\":%s", name, g_ascii_formatd (number, sizeof number, "%.7g", value));
}

static void
add_numbers (GString *line, const char *name, const double *values, int n)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf (line, ",\"%s\":[", name);
  for (int i = 0; i < n; i++)
    g_string_append_printf (line, "%s%s", i > 0 ? "," : "",
                            g_ascii_formatd (number, sizeof number, "%.5g", values[i]));
  g_string_append_c (line, ']');
}

static void
add_scales (TrainLog *self, GString *line, const SwittiTrainingLoss *loss)
{
  add_numbers (line, "scale_loss", loss->scale_loss, self->n_scales);
  add_numbers (line, "scale_accuracy", loss->scale_accuracy, self->n_scales);
  add_numbers (line, "scale_top5", loss->scale_top5, self->n_scales);
}

static gboolean
write_line (TrainLog *self, GString *line, GError **error)
{
  g_string_append (line, "}\n");
  if (fwrite (line->str, 1, line->len, self->file) == line->len && fflush (self->file) == 0)
    return TRUE;
  return not_written (self, error);
}

/* -- progress ------------------------------------------------------------------------------------------------- */

static void
update (TrainLog *self, double loss, gint64 tokens)
{
  const gint64 now = g_get_monotonic_time ();
  const double share = 1.0 / (double) MIN (self->n_shown + 1, SPEED_STEPS);

  self->n_shown++;
  self->seconds += ((double) (now - self->last) / G_TIME_SPAN_SECOND - self->seconds) * share;
  self->loss += (loss - self->loss) * share;
  self->tokens = (double) tokens;
  self->last = now;
}

static char *
describe_time (double seconds)
{
  const gint64 minutes = (gint64) (seconds / 60);

  if (minutes >= 60)
    return g_strdup_printf (_ ("%d h %02d min"), (int) (minutes / 60), (int) (minutes % 60));
  if (minutes >= 1)
    return g_strdup_printf (_ ("%d min"), (int) minutes);
  return g_strdup_printf (_ ("%d s"), (int) seconds);
}

static char *
describe (TrainLog *self, gint64 step)
{
  g_autofree char *left = describe_time (self->seconds * (double) (self->options->max_iters - step));
  GString *words = g_string_new (NULL);

  g_string_append_printf (words, _ ("step %d of %d, loss %.4f, %.0f tokens/s, %s left"), (int) step,
                          self->options->max_iters, self->loss, self->tokens / MAX (self->seconds, 1e-9), left);
  if (self->validation_loss > 0)
    g_string_append_printf (words, _ (", validation loss %.4f"), self->validation_loss);
  return g_string_free (words, FALSE);
}

static void
show (TrainLog *self, gint64 step)
{
  g_autofree char *words = describe (self, step);

  cli_progress_show ((double) step / self->options->max_iters, words);
  if (step % self->options->log_iters == 0)
    cli_report (words);
}

void
train_log_progress (TrainLog *self, gint64 step, double loss, gint64 tokens)
{
  update (self, loss, tokens);
  show (self, step);
}

gboolean
train_log_numbers (TrainLog *self, gint64 step, const TrainNumber *numbers, gsize n, GError **error)
{
  g_autoptr (GString) line = g_string_new (NULL);

  g_string_append_printf (line, "{\"step\":%" G_GINT64_FORMAT, step);
  for (gsize i = 0; i < n; i++)
    add_number (line, numbers[i].name, numbers[i].value);
  return write_line (self, line, error);
}

gboolean
train_log_step (TrainLog *self, gint64 step, const SwittiStepReport *report, GError **error)
{
  g_autoptr (GString) line = g_string_new (NULL);

  update (self, report->loss.loss, report->tokens);
  g_string_append_printf (line, "{\"step\":%" G_GINT64_FORMAT, step);
  add_number (line, "loss", report->loss.loss);
  add_number (line, "grad_norm", report->gradient_norm);
  if (report->loss_scale > 0)
    {
      add_number (line, "scale", report->loss_scale);
      add_number (line, "skipped", (double) report->skipped);
    }
  add_number (line, "lr", report->rate);
  add_number (line, "wd", report->decay);
  add_number (line, "tokens_per_s", self->tokens / MAX (self->seconds, 1e-9));
  if (step % self->options->log_iters == 0)
    add_scales (self, line, &report->loss);
  show (self, step);
  return write_line (self, line, error);
}

gboolean
train_log_validation (TrainLog *self, gint64 step, const SwittiTrainingLoss *loss, gint64 n_images, GError **error)
{
  g_autoptr (GString) line = g_string_new (NULL);

  self->validation_loss = loss->loss;
  self->last = g_get_monotonic_time ();
  g_string_append_printf (line, "{\"step\":%" G_GINT64_FORMAT, step);
  add_number (line, "validation_loss", loss->loss);
  add_number (line, "images", (double) n_images);
  add_scales (self, line, loss);
  return write_line (self, line, error);
}
