/* switti-schedule-private.h - learning rate and weight decay over the steps of a training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  SWITTI_LEARNING_COSINE,   /* "cos" */
  SWITTI_LEARNING_HOLD,     /* "lin", "lin0", "lin00": the peak for a share of the steps, then a line down */
  SWITTI_LEARNING_TWO_LINES, /* "linX", X such as 0.3: a slow line, then a steeper one */
  SWITTI_LEARNING_EXPONENTIAL, /* "exp": the peak for a share of the steps, then a geometric fall */
} SwittiLearningShape;

typedef struct
{
  SwittiLearningShape shape;
  double threshold;       /* T: the share of the steps after the warm-up at which the shape changes */
  double peak;            /* learning rate after the warm-up */
  double warm_up_start;   /* wp0: share of the peak at step 0 */
  double end;             /* wpe: share of the peak at the last step */
  gint64 warm_up, steps;  /* w, N */
  double decay, decay_end; /* weight decay at the first and the last step */
} SwittiLearningSchedule;

/* Sets shape and threshold from a published name. SWITTI_ERROR_ARGUMENT names the known ones. */
gboolean switti_learning_schedule_parse (SwittiLearningSchedule *self, const char *name, GError **error);

/* Step from 0. Past the last step, the last step's. */
double switti_learning_schedule_rate (const SwittiLearningSchedule *self, gint64 step);
double switti_learning_schedule_decay (const SwittiLearningSchedule *self, gint64 step);

G_END_DECLS
