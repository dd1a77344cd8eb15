/* switti-sha256-private.h - SHA-256 of what has gigabytes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * By nettle, which uses the processor's own instructions for it, where it was there to build with; else by GLib, which
 * takes five times as long: more than a fast disk takes to write.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _SwittiSha256 SwittiSha256;

SwittiSha256 *switti_sha256_new (void);
void switti_sha256_update (SwittiSha256 *self, const void *data, gsize bytes);
/* The hash of all, 64 hexadecimal digits that belong to self. Nothing can be added after it; asking again is fine. */
const char *switti_sha256_finish (SwittiSha256 *self);
void switti_sha256_free (SwittiSha256 *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiSha256, switti_sha256_free)

G_END_DECLS
