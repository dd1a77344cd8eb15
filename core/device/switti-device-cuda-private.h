/* switti-device-cuda-private.h - the module that holds CUDA's op table
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-kernels.h"

#include <glib.h>

G_BEGIN_DECLS

/* Whether this machine has NVIDIA's driver: what "auto" asks before it loads a module of some hundred megabytes. */
gboolean switti_device_cuda_has_driver (void);

/* CUDA's op table, from the module in $SWITTI_MODULE_PATH, where it was installed, or in the build folder; the module
 * stays loaded. NULL with SWITTI_ERROR_DEVICE set, in a sentence that says what is missing for the device `name`.
 * Thread: any. */
const SwittiKernels *switti_device_cuda_load (const char *name, GError **error);

G_END_DECLS
