/* switti-logit-statistics.c - what a training's logits look like
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-logit-statistics-private.h"

#include <math.h>
#include <string.h>

/* Of an even share of the tokens: the published limit below which a code counts as unused. */
#define UNUSED_SHARE 0.001

struct _SwittiLogitStatistics
{
  SwittiSchedule schedule;
  int vocab;
  gint64 length, n_rows;
  gint64 rows[SWITTI_MAX_SCALES];
  double deviation[SWITTI_MAX_SCALES], norm[SWITTI_MAX_SCALES]; /* sums */
  gint64 *chosen; /* (V) */
};

SwittiLogitStatistics *
switti_logit_statistics_new (const SwittiSchedule *schedule, int vocab)
{
  SwittiLogitStatistics *self = g_new0 (SwittiLogitStatistics, 1);

  self->schedule = *schedule;
  self->vocab = vocab;
  self->length = switti_schedule_length (schedule);
  self->chosen = g_new0 (gint64, vocab);
  return self;
}

void
switti_logit_statistics_free (SwittiLogitStatistics *self)
{
  if (self == NULL)
    return;
  g_free (self->chosen);
  g_free (self);
}

void
switti_logit_statistics_clear (SwittiLogitStatistics *self)
{
  self->n_rows = 0;
  memset (self->rows, 0, sizeof self->rows);
  memset (self->deviation, 0, sizeof self->deviation);
  memset (self->norm, 0, sizeof self->norm);
  memset (self->chosen, 0, sizeof *self->chosen * (gsize) self->vocab);
}

static int
scale_of (const SwittiLogitStatistics *self, gint64 position)
{
  int s = 0;

  for (gint64 end = 1; position >= end && s + 1 < self->schedule.n_scales;)
    {
      s++;
      end += (gint64) self->schedule.side[s] * self->schedule.side[s];
    }
  return s;
}

static void
add_row (SwittiLogitStatistics *self, int scale, const float *logits)
{
  double sum = 0, squares = 0, mean, spread = 0;
  int best = 0;

  for (int v = 0; v < self->vocab; v++)
    {
      sum += logits[v];
      squares += (double) logits[v] * logits[v];
      if (logits[v] > logits[best])
        best = v;
    }
  mean = sum / self->vocab;
  for (int v = 0; v < self->vocab; v++)
    spread += (logits[v] - mean) * (logits[v] - mean);
  self->deviation[scale] += sqrt (spread / MAX (self->vocab - 1, 1));
  self->norm[scale] += sqrt (squares);
  self->rows[scale]++;
  self->n_rows++;
  self->chosen[best]++;
}

void
switti_logit_statistics_add (SwittiLogitStatistics *self, gint64 first, gint64 rows, const float *logits)
{
  for (gint64 row = 0; row < rows; row++)
    add_row (self, scale_of (self, (first + row) % self->length), logits + row * self->vocab);
}

double
switti_logit_statistics_get_deviation (const SwittiLogitStatistics *self, int scale)
{
  return self->rows[scale] > 0 ? self->deviation[scale] / (double) self->rows[scale] : 0;
}

double
switti_logit_statistics_get_norm (const SwittiLogitStatistics *self, int scale)
{
  return self->rows[scale] > 0 ? self->norm[scale] / (double) self->rows[scale] : 0;
}

double
switti_logit_statistics_get_usage (const SwittiLogitStatistics *self)
{
  const double least = UNUSED_SHARE * (double) self->n_rows / self->vocab;
  int n_used = 0;

  for (int v = 0; v < self->vocab; v++)
    n_used += (double) self->chosen[v] > least;
  return (double) n_used / self->vocab;
}
