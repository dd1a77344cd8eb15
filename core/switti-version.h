/* switti-version.h
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-macros.h"

G_BEGIN_DECLS

/**
 * switti_version_string:
 *
 * The version of the library that runs.
 *
 * Returns: (transfer none): such as "0.1.0"
 */
SWITTI_AVAILABLE
const char *switti_version_string (void);

G_END_DECLS
