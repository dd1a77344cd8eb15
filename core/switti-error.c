/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "switti-error.h"

G_DEFINE_QUARK (switti-error-quark, switti_error)
