/* switti-device.h - where the arithmetic runs
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-macros.h"

#include <glib-object.h>

G_BEGIN_DECLS

/**
 * SwittiDevice:
 *
 * Where the arithmetic runs: the processor, or a GPU.
 */
#define SWITTI_TYPE_DEVICE (switti_device_get_type ())
SWITTI_AVAILABLE
G_DECLARE_FINAL_TYPE (SwittiDevice, switti_device, SWITTI, DEVICE, GObject)

/**
 * switti_device_new:
 * @name: "auto", "cpu", "cuda" or "cuda:N"
 * @n_threads: for the CPU: the number of threads, or 0 for all that the process may use
 * @error: return location for a #GError
 *
 * Opens a device. "auto" is the first CUDA device where the CUDA module and a driver are there, otherwise the CPU; a
 * device that was asked for by name and is absent is an error (%SWITTI_ERROR_DEVICE), never a silent fall-back.
 *
 * Returns: (transfer full): a device, or %NULL with @error set
 */
SWITTI_AVAILABLE
SwittiDevice *switti_device_new (const char *name, int n_threads, GError **error);

/**
 * switti_device_get_name:
 * @self: a device
 *
 * What the device is called in options.
 *
 * Returns: (transfer none): "cpu" or "cuda:N"
 */
SWITTI_AVAILABLE
const char *switti_device_get_name (SwittiDevice *self);

/**
 * switti_device_get_description:
 * @self: a device
 *
 * Says what the device is, for people.
 *
 * Returns: (transfer none): words such as "AMD EPYC, 2 threads, AVX-512 BF16"
 */
SWITTI_AVAILABLE
const char *switti_device_get_description (SwittiDevice *self);

/**
 * switti_device_get_n_threads:
 * @self: a device
 *
 * How many threads of the processor it computes with.
 *
 * Returns: the number of threads; 1 for a GPU
 */
SWITTI_AVAILABLE
int switti_device_get_n_threads (SwittiDevice *self);

/**
 * switti_device_has_fast_bf16:
 * @self: a device
 *
 * What an automatic precision goes by.
 *
 * Returns: whether bf16 products are faster than float32 ones here
 */
SWITTI_AVAILABLE
gboolean switti_device_has_fast_bf16 (SwittiDevice *self);

/**
 * switti_device_get_allocated_bytes:
 * @self: a device
 *
 * How much memory the device holds now.
 *
 * Returns: bytes of tensors that are allocated on the device
 */
SWITTI_AVAILABLE
guint64 switti_device_get_allocated_bytes (SwittiDevice *self);

/**
 * switti_device_get_peak_bytes:
 * @self: a device
 *
 * How much memory the device has held at most.
 *
 * Returns: the most bytes of tensors that were allocated at one time
 */
SWITTI_AVAILABLE
guint64 switti_device_get_peak_bytes (SwittiDevice *self);

G_END_DECLS
