/* switti-schedule.c - learning rate and weight decay over the steps of a training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Float64 throughout, in the order of operations in which spec.md writes the formulas: a resumed run must meet the same
 * numbers.
 */
#include "switti-schedule-private.h"

#include "switti-error.h"

#include <math.h>
#include <string.h>

gboolean
switti_learning_schedule_parse (SwittiLearningSchedule *self, const char *name, GError **error)
{
  static const struct
  {
    const char *name;
    SwittiLearningShape shape;
    double threshold;
  } known[] = {
    { "cos", SWITTI_LEARNING_COSINE, 0 },   { "lin", SWITTI_LEARNING_HOLD, 0.15 },
    { "lin0", SWITTI_LEARNING_HOLD, 0.05 }, { "lin00", SWITTI_LEARNING_HOLD, 0 },
    { "exp", SWITTI_LEARNING_EXPONENTIAL, 0.15 },
  };
  char *end = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
    if (strcmp (name, known[i].name) == 0)
      {
        self->shape = known[i].shape;
        self->threshold = known[i].threshold;
        return TRUE;
      }
  if (g_str_has_prefix (name, "lin"))
    {
      double threshold = g_ascii_strtod (name + 3, &end);

      if (end != name + 3 && *end == '\0' && threshold > 0 && threshold < 1)
        {
          self->shape = SWITTI_LEARNING_TWO_LINES;
          self->threshold = threshold;
          return TRUE;
        }
    }
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               "There is no learning-rate schedule “%s”; there are cos, lin, lin0, lin00, exp, and lin followed by a "
               "number between 0 and 1, such as lin0.3.",
               name);
  return FALSE;
}

/* Share of the peak where `past` of the steps after the warm-up have gone. */
static double
share_after_warm_up (const SwittiLearningSchedule *self, double past)
{
  const double t = self->threshold, end = self->end, rest = 1 - past, max_rest = 1 - t;
  double middle;

  switch (self->shape)
    {
    case SWITTI_LEARNING_COSINE:
      return end + (1 - end) * (0.5 + 0.5 * cos (G_PI * past));
    case SWITTI_LEARNING_HOLD:
      return past < t ? 1 : end + (1 - end) * rest / max_rest;
    case SWITTI_LEARNING_TWO_LINES:
      middle = end + (1 - end) * max_rest;
      middle = (1 + middle) / 2;
      return past < t ? 1 + (middle - 1) * past / t : end + (middle - end) * rest / max_rest;
    case SWITTI_LEARNING_EXPONENTIAL:
      return past < t ? 1 : exp ((past - t) / max_rest * log (end));
    default:
      g_assert_not_reached ();
    }
}

/* 0 where there is one step alone. */
static double
share_of (gint64 step, gint64 steps)
{
  return steps > 1 ? (double) step / (double) (steps - 1) : 0;
}

double
switti_learning_schedule_rate (const SwittiLearningSchedule *self, gint64 step)
{
  double share;

  step = CLAMP (step, 0, MAX (self->steps - 1, 0));
  if (step < self->warm_up)
    share = self->warm_up_start + (1 - self->warm_up_start) * (double) step / (double) self->warm_up;
  else
    share = share_after_warm_up (self, share_of (step - self->warm_up, self->steps - self->warm_up));
  return share * self->peak;
}

double
switti_learning_schedule_decay (const SwittiLearningSchedule *self, gint64 step)
{
  step = CLAMP (step, 0, MAX (self->steps - 1, 0));
  return self->decay_end
         + (self->decay - self->decay_end) * (0.5 + 0.5 * cos (G_PI * share_of (step, self->steps)));
}
