/* profile-report.h - what the benches of `switti` and switti-train print alike
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-kernels.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* An object for each kind of op that ran: op, calls, ms, its share of the sum, gflops, gbytes_per_s. */
JsonArray *cli_report_profile (const SwittiKernelProfile profile[SWITTI_KERNEL_N_OPS]);

/* Median, which sorts the values. */
double cli_median (double *values, int n);

/* Prints it, indented, on stdout. Takes it over. */
void cli_print_json (JsonObject *object);

G_END_DECLS
