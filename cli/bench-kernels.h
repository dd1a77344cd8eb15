/* bench-kernels.h - `switti bench --kernels`
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "cli.h"

G_BEGIN_DECLS

/* Times every op call of the works that `names` lists, separated by commas (kernel-list.h), and prints it as JSON;
 * list_only: says what there is, without a device. Returns an exit status. */
int cli_bench_kernels (const CliRuntime *runtime, const char *names, gboolean list_only);

G_END_DECLS
