/* switti-macros.h
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib.h>

/* Marks a public function; everything else in the library is hidden. */
#define SWITTI_AVAILABLE __attribute__ ((visibility ("default"))) extern
