/* switti-choices-private.h - what a device has chosen by timing, kept on disk for the next process
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One file for each device, driver and library (SwittiKernels.choices_identity), in the user's cache folder:
 * switti/products-HASH.txt. It is a cache: one that cannot be read, or is damaged, is made again, and one that cannot
 * be written is done without.
 */
#pragma once

#include "switti-kernels.h"

#include <glib.h>

G_BEGIN_DECLS

/* The file for a context; NULL where nothing is chosen there. (transfer full) */
char *switti_choices_get_path (const SwittiKernels *kernels, SwittiKernelContext *context);
/* TRUE where choices were read. */
gboolean switti_choices_load (const SwittiKernels *kernels, SwittiKernelContext *context);
/* Writes the file where there is something new. TRUE where it was written. */
gboolean switti_choices_save (const SwittiKernels *kernels, SwittiKernelContext *context);

G_END_DECLS
