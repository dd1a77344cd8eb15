/* optimizer-plan-private.h - what every device's plan of the optimizer begins with
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-kernels.h"

struct SwittiOptimizerPlan
{
  int64_t n_tensors;
  SwittiOptimizerTensor *tensors; /* the plan's own copy */
  double n_elements;              /* of all tensors */
  bool has_parameters;            /* else it is for the norm alone */
  bool has_copies;
};
