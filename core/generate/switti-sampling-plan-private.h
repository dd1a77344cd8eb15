/* switti-sampling-plan-private.h - what each scale of a generation does
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-config-private.h"
#include "switti-request-private.h"

G_BEGIN_DECLS

/* One scale s; r = s / (S - 1), 0 where there is one scale. */
typedef struct
{
  gboolean kept;      /* comes from the source, so nothing is drawn */
  gboolean run;       /* the transformer runs: in AR also where nothing is drawn, for the cache of later scales */
  gboolean run_null;  /* the transformer also runs for the null prompt */
  gboolean guided;    /* its logits are used: (1 + t) prompt - t null */
  gboolean smooth;    /* all codes are mixed, otherwise one is drawn */
  float guidance;     /* t = cfg r */
  float temperature;  /* 1 where none */
  float sharpness;    /* smooth: 1 + r */
  float tau;          /* smooth: max (0.27 (1 - 0.95 r), 0.005) */
} SwittiScalePlan;

/* Fills plan[0 .. n_scales - 1]. `ar`: the null prompt has a cache that its later scales read. */
void switti_sampling_plan (const SwittiParameters *parameters, gboolean ar, int n_scales, SwittiScalePlan *plan);

/* Whether any scale runs for the null prompt. */
gboolean switti_sampling_plan_needs_null (const SwittiScalePlan *plan, int n_scales);

G_END_DECLS
