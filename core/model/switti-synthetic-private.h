/* switti-synthetic-private.h - the synthetic rule: parameters made from their names (docs/synthetic-rule.md)
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-tensor-private.h"

G_BEGIN_DECLS

/* out[i] = offset + scale * u (name, i) in float32, i < count; dtype F32 or BF16 (rounded from the float32 value).
 * Threads share large tensors; the result does not depend on their number. */
void switti_synthetic_generate (const char *name, float offset, float scale, SwittiDtype dtype, gsize count, void *out);

/* The parameter `name` (with its prefix) of that shape. */
void switti_synthetic_parameter (const char *name, int n_dims, const gint64 *dims, SwittiDtype dtype, gsize count,
                                 void *out);

G_END_DECLS
