/* switti-sampling-plan.c - what each scale of a generation does
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * spec.md, "Sampling one image", steps 1 to 3, worked out ahead of the loop.
 */
#include "switti-sampling-plan-private.h"

static SwittiScalePlan
plan_scale (const SwittiParameters *parameters, int scale, int n_scales)
{
  double r = n_scales > 1 ? (double) scale / (n_scales - 1) : 0;
  gboolean before_end = scale < parameters->guidance_end;
  gboolean started = scale >= parameters->guidance_start;
  SwittiScalePlan plan = {
    .smooth = parameters->smooth && before_end && scale >= parameters->smooth_start,
    .guidance = (float) (parameters->guidance * r),
    .temperature = 1,
    .sharpness = (float) (1 + r),
    .tau = (float) MAX (0.27 * (1 - 0.95 * r), 0.005),
  };

  /* Where t is 0 the null logits have no weight: the first scale, and every one without guidance. */
  plan.guided = started && before_end && plan.guidance != 0;
  if (started && !before_end && parameters->last_scale_temperature > 0)
    plan.temperature = (float) parameters->last_scale_temperature;
  return plan;
}

void
switti_sampling_plan (const SwittiParameters *parameters, gboolean ar, int n_scales, SwittiScalePlan *plan)
{
  const int n_kept = switti_parameters_count_kept (parameters, n_scales);
  gboolean guided_later = FALSE;

  for (int s = n_scales - 1; s >= 0; s--)
    {
      plan[s] = plan_scale (parameters, s, n_scales);
      plan[s].kept = s < n_kept;
      plan[s].guided = plan[s].guided && !plan[s].kept;
      plan[s].run = !plan[s].kept || (ar && n_kept < n_scales);
      guided_later = guided_later || plan[s].guided;
      plan[s].run_null = ar ? guided_later : plan[s].guided;
    }
}

gboolean
switti_sampling_plan_needs_null (const SwittiScalePlan *plan, int n_scales)
{
  for (int s = 0; s < n_scales; s++)
    if (plan[s].run_null)
      return TRUE;
  return FALSE;
}
