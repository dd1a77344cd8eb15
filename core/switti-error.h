/* switti-error.h
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-macros.h"

G_BEGIN_DECLS

/**
 * SWITTI_ERROR:
 *
 * The one error domain of libswitti. Every message is one sentence that names the thing and the remedy. A cancelled
 * operation reports %G_IO_ERROR_CANCELLED instead.
 */
#define SWITTI_ERROR (switti_error_quark ())

/**
 * SwittiError:
 * @SWITTI_ERROR_ARGUMENT: a parameter is missing or out of range
 * @SWITTI_ERROR_MODEL_NOT_FOUND: no model of that name or at that path
 * @SWITTI_ERROR_MODEL_INVALID: a model file is broken, or its parts do not fit together
 * @SWITTI_ERROR_OUT_OF_MEMORY: the device or the host has too little memory
 * @SWITTI_ERROR_DEVICE: the device is absent or failed
 * @SWITTI_ERROR_IO: a file could not be read or written
 * @SWITTI_ERROR_UNSUPPORTED: the model needs something this version does not have
 *
 * Codes of %SWITTI_ERROR.
 */
typedef enum
{
  SWITTI_ERROR_ARGUMENT,
  SWITTI_ERROR_MODEL_NOT_FOUND,
  SWITTI_ERROR_MODEL_INVALID,
  SWITTI_ERROR_OUT_OF_MEMORY,
  SWITTI_ERROR_DEVICE,
  SWITTI_ERROR_IO,
  SWITTI_ERROR_UNSUPPORTED,
} SwittiError;

SWITTI_AVAILABLE
GQuark switti_error_quark (void);

G_END_DECLS
