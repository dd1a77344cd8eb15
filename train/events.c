/* events.c - what TensorBoard is shown of a training, under the published trainer's names
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-event-writer-private.h"
#include "train.h"

#include <glib/gi18n.h>
#include <math.h>

/* Pixels of a side for each position: the published names of scales are their sides in pixels. */
#define PIXELS_PER_LATENT 16

struct _TrainEvents
{
  const SwittiTrainingOptions *options;
  SwittiSchedule schedule;
  SwittiEventWriter *writer;
  SwittiLogitStatistics *statistics;
  char **prompts; /* NULL: no pictures */
};

/* Curves of one step. */
typedef struct
{
  GArray *scalars; /* SwittiEventScalar, whose tags are its own */
} Curves;

static void
clear_scalar (gpointer data)
{
  g_free ((char *) ((SwittiEventScalar *) data)->tag);
}

static void
curves_init (Curves *self)
{
  self->scalars = g_array_new (FALSE, FALSE, sizeof (SwittiEventScalar));
  g_array_set_clear_func (self->scalars, clear_scalar);
}

static void
curves_clear (Curves *self)
{
  g_clear_pointer (&self->scalars, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Curves, curves_clear)

static void
add (Curves *self, const char *tag, double value)
{
  const SwittiEventScalar scalar = { g_strdup (tag), value };

  g_array_append_val (self->scalars, scalar);
}

static void
add_of_scale (Curves *self, const char *tag, int resolution, double value)
{
  const SwittiEventScalar scalar = { g_strdup_printf ("%s_%d", tag, resolution), value };

  g_array_append_val (self->scalars, scalar);
}

static gboolean
write_curves (TrainEvents *self, const Curves *curves, gint64 step, GError **error)
{
  return switti_event_writer_add_scalars (self->writer, step, (const SwittiEventScalar *) curves->scalars->data,
                                          curves->scalars->len, error);
}

/* -- life ------------------------------------------------------------------------------------------------------ */

/* Four spaces make a line of Markdown one of code. */
static gboolean
write_options (TrainEvents *self, gint64 step, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (const SwittiOptionInfo *info = switti_training_option_info; info->name != NULL; info++)
    {
      g_autofree char *value = switti_training_options_get (self->options, info);

      if (value != NULL)
        g_string_append_printf (text, "    %s=%s\n", info->name, value);
    }
  return switti_event_writer_add_text (self->writer, step, "options", text->str, error);
}

TrainEvents *
train_events_new (const SwittiTrainingOptions *options, const SwittiTrainingState *state,
                  const SwittiTransformerConfig *transformer, GError **error)
{
  g_autoptr (TrainEvents) self = g_new0 (TrainEvents, 1);
  g_autofree char *folder = g_build_filename (options->out, "tb_logs", NULL);

  self->options = options;
  self->schedule = transformer->schedule;
  self->statistics = switti_logit_statistics_new (&transformer->schedule, transformer->vocab);
  if (options->sample_prompts != NULL)
    {
      self->prompts = train_read_prompts (options->sample_prompts, error);
      if (self->prompts == NULL)
        return NULL;
    }
  /* A killed run has gone further than its last checkpoint. */
  self->writer = switti_event_writer_new (folder, state->step + 1, error);
  if (self->writer == NULL || !write_options (self, state->step + 1, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
train_events_free (TrainEvents *self)
{
  if (self == NULL)
    return;
  switti_event_writer_free (self->writer);
  switti_logit_statistics_free (self->statistics);
  g_strfreev (self->prompts);
  g_free (self);
}

/* -- curves ---------------------------------------------------------------------------------------------------- */

static gboolean
is_told_of (TrainEvents *self, gint64 step)
{
  return step == 1 || step % self->options->log_iters == 0;
}

SwittiLogitStatistics *
train_events_begin_step (TrainEvents *self, gint64 step)
{
  if (!is_told_of (self, step))
    return NULL;
  switti_logit_statistics_clear (self->statistics);
  return self->statistics;
}

/* In percent, and with totals that are means over the scales, as published; the mean over the tokens is what the
 * training lowers. */
static void
add_loss (TrainEvents *self, Curves *curves, const char *head, const SwittiTrainingLoss *loss)
{
  const int n_scales = self->schedule.n_scales;
  g_autofree char *l = g_strconcat (head, "/L", NULL), *acc = g_strconcat (head, "/acc", NULL);
  g_autofree char *top5 = g_strconcat (head, "/acc_top5", NULL), *l_total = g_strconcat (l, "_total", NULL);
  g_autofree char *acc_total = g_strconcat (acc, "_total", NULL), *l_mean = g_strconcat (l, "_mean", NULL);
  double total = 0, total_accuracy = 0;

  for (int s = 0; s < n_scales; s++)
    {
      const int resolution = self->schedule.side[s] * PIXELS_PER_LATENT;

      add_of_scale (curves, l, resolution, loss->scale_loss[s]);
      add_of_scale (curves, acc, resolution, 100 * loss->scale_accuracy[s]);
      add_of_scale (curves, top5, resolution, 100 * loss->scale_top5[s]);
      total += loss->scale_loss[s] / n_scales;
      total_accuracy += 100 * loss->scale_accuracy[s] / n_scales;
    }
  add (curves, l_total, total);
  add (curves, acc_total, total_accuracy);
  add (curves, l_mean, loss->loss);
}

static void
add_statistics (TrainEvents *self, Curves *curves)
{
  for (int s = 0; s < self->schedule.n_scales; s++)
    {
      const int resolution = self->schedule.side[s] * PIXELS_PER_LATENT;

      add_of_scale (curves, "Logits_stats/logits_std", resolution,
                    switti_logit_statistics_get_deviation (self->statistics, s));
      add_of_scale (curves, "Logits_stats/logits_norm", resolution,
                    switti_logit_statistics_get_norm (self->statistics, s));
    }
  add (curves, "AR_iter_loss/z_voc_usage", 100 * switti_logit_statistics_get_usage (self->statistics));
}

gboolean
train_events_step (TrainEvents *self, gint64 step, const SwittiStepReport *report, GError **error)
{
  g_auto (Curves) curves = { NULL };

  if (!is_told_of (self, step))
    return TRUE;
  curves_init (&curves);
  add_loss (self, &curves, "AR_iter_loss", &report->loss);
  add_statistics (self, &curves);
  add (&curves, "AR_opt_lr/lr_min/sche_tlr", report->rate);
  add (&curves, "AR_opt_lr/lr_max/sche_tlr", report->rate);
  add (&curves, "AR_opt_wd/wd_max/sche_twd", report->decay);
  add (&curves, "AR_opt_wd/wd_min/sche_twd", 0); /* of what does not decay */
  if (isfinite (report->gradient_norm))
    add (&curves, "AR_opt_grad/grad/grad_norm", report->gradient_norm);
  if (report->loss_scale > 0)
    {
      add (&curves, "AR_opt_grad/fp16/scale", report->loss_scale);
      add (&curves, "AR_opt_grad/fp16/skipped", (double) report->skipped);
    }
  if (self->options->tclip > 0)
    add (&curves, "AR_opt_grad/grad/grad_clip", self->options->tclip);
  return write_curves (self, &curves, step, error);
}

gboolean
train_events_validation (TrainEvents *self, gint64 step, const SwittiTrainingLoss *loss, GError **error)
{
  g_auto (Curves) curves = { NULL };

  curves_init (&curves);
  add_loss (self, &curves, "AR_val_loss", loss);
  return write_curves (self, &curves, step, error);
}

/* -- pictures -------------------------------------------------------------------------------------------------- */

gboolean
train_events_paint (TrainEvents *self, gint64 step, const char *model, SwittiDevice *device, GError **error)
{
  const TrainPainting painting = { .model = model, .device = device, .prompts = self->prompts, .n_seeds = 1 };
  g_autoptr (SwittiSheet) sheet = train_paint (&painting, NULL, error);

  return sheet != NULL
         && switti_event_writer_add_image (self->writer, step, "eval_imgs", switti_sheet_get_height (sheet),
                                           switti_sheet_get_width (sheet), switti_sheet_get_pixels (sheet), error);
}
