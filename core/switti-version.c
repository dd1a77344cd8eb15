/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "switti-build-config.h"
#include "switti-version.h"

const char *
switti_version_string (void)
{
  return SWITTI_VERSION;
}
