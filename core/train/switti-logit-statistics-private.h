/* switti-logit-statistics-private.h - what a training's logits look like: their spread, and which codes they choose
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-config-private.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct _SwittiLogitStatistics SwittiLogitStatistics;

SwittiLogitStatistics *switti_logit_statistics_new (const SwittiSchedule *schedule, int vocab);
void switti_logit_statistics_free (SwittiLogitStatistics *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiLogitStatistics, switti_logit_statistics_free)

void switti_logit_statistics_clear (SwittiLogitStatistics *self);
/* logits: host (rows, V), of the tokens from `first` on, which are ordered (image, position). */
void switti_logit_statistics_add (SwittiLogitStatistics *self, gint64 first, gint64 rows, const float *logits);

/* Means over a scale's tokens: of the logits' standard deviation (V - 1 degrees of freedom) and 2-norm. 0 without a
 * token. */
double switti_logit_statistics_get_deviation (const SwittiLogitStatistics *self, int scale);
double switti_logit_statistics_get_norm (const SwittiLogitStatistics *self, int scale);
/* Share of the codes that are the likeliest of more than a thousandth of the tokens that each would have if all had as
 * many. */
double switti_logit_statistics_get_usage (const SwittiLogitStatistics *self);

G_END_DECLS
