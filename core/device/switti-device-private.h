/* switti-device-private.h - the op table behind a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-device.h"
#include "switti-kernels.h"

G_BEGIN_DECLS

/* A device on a given table (tests: a chosen instruction set, a fault-injecting table). `name` as reported by
 * switti_device_get_name(). */
SwittiDevice *switti_device_new_for_kernels (const char *name, const SwittiKernels *kernels,
                                             const SwittiKernelOptions *options, GError **error);

const SwittiKernels *switti_device_get_kernels (SwittiDevice *self);
SwittiKernelContext *switti_device_get_context (SwittiDevice *self);

/* Whether ops are done after they have returned, so that the host may go on meanwhile. */
gboolean switti_device_is_asynchronous (SwittiDevice *self);

/* Bytes that can be allocated now; on the CPU without swapping, the page cache counted as free. */
guint64 switti_device_get_free_memory (SwittiDevice *self);

/* Counts allocations; the memory is 64-byte aligned and uninitialised. NULL with SWITTI_ERROR_OUT_OF_MEMORY set, in
 * a sentence that says how much was asked for `purpose` and what is free. Thread: the device's. */
void *switti_device_alloc (SwittiDevice *self, gsize bytes, const char *purpose, GError **error);
void switti_device_free (SwittiDevice *self, void *memory);

/* TRUE for SWITTI_KERNEL_OK; otherwise sets error: "<what> failed: <the device's words>". */
gboolean switti_device_check (SwittiDevice *self, SwittiKernelStatus status, const char *what, GError **error);

/* Calls one op and returns FALSE from the enclosing gboolean function when it fails; `error` must be in scope.
 *   SWITTI_RUN (device, gemm, plan, a, b, bias, d);
 */
#define SWITTI_RUN(device, op, ...)                                                                                   \
  G_STMT_START                                                                                                        \
  {                                                                                                                   \
    if (!switti_device_check ((device),                                                                               \
                              switti_device_get_kernels (device)->op (switti_device_get_context (device),             \
                                                                      __VA_ARGS__),                                   \
                              #op, error))                                                                            \
      return FALSE;                                                                                                   \
  }                                                                                                                   \
  G_STMT_END

G_END_DECLS
