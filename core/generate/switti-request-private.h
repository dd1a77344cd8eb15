/* switti-request-private.h - a request's values, as the generator reads them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-request.h"
#include "switti-source.h"

G_BEGIN_DECLS

/* The largest value of parameters that have no natural end. */
#define SWITTI_MAX_COUNT 10000
#define SWITTI_MAX_GUIDANCE 100.0
#define SWITTI_MAX_BATCH 64

/* Names and units: SwittiRequest's properties. */
typedef struct
{
  char *prompt, *negative_prompt;
  guint64 seed;
  int count;
  double guidance;
  int top_k;
  double top_p;
  gboolean smooth;
  int smooth_start;
  int guidance_start, guidance_end;
  double last_scale_temperature;
  int batch;
  int keep_scales, stop_scale;
  SwittiSource *source; /* may be NULL */
  GBytes *mask;         /* likewise */
} SwittiParameters;

/* How many scales come from the source, of S. */
int switti_parameters_count_kept (const SwittiParameters *parameters, int n_scales);
/* How many scales are painted, of S. */
int switti_parameters_count_painted (const SwittiParameters *parameters, int n_scales);

/* The request's own; valid until a property changes. */
const SwittiParameters *switti_request_get_parameters (SwittiRequest *self);

/* A request of its own with the same values. */
SwittiRequest *switti_request_copy (SwittiRequest *self);

/* switti_request_validate() without the rule that a prompt is needed: token ids stand in for it. */
gboolean switti_request_validate_sampling (SwittiRequest *self, SwittiBundle *bundle, GError **error);

G_END_DECLS
