/* switti-sha256.c - SHA-256 of what has gigabytes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-sha256-private.h"

#ifdef SWITTI_HAVE_NETTLE

#include <nettle/sha2.h>
#include <nettle/version.h>

struct _SwittiSha256
{
  struct sha256_ctx state;
  char text[2 * SHA256_DIGEST_SIZE + 1]; /* empty before the end */
};

SwittiSha256 *
switti_sha256_new (void)
{
  SwittiSha256 *self = g_new0 (SwittiSha256, 1);

  sha256_init (&self->state);
  return self;
}

void
switti_sha256_update (SwittiSha256 *self, const void *data, gsize bytes)
{
  sha256_update (&self->state, bytes, data);
}

const char *
switti_sha256_finish (SwittiSha256 *self)
{
  guint8 digest[SHA256_DIGEST_SIZE];

  if (self->text[0] != '\0')
    return self->text;
#if NETTLE_VERSION_MAJOR >= 4
  sha256_digest (&self->state, digest);
#else
  sha256_digest (&self->state, sizeof digest, digest);
#endif
  for (gsize i = 0; i < sizeof digest; i++)
    g_snprintf (self->text + 2 * i, 3, "%02x", digest[i]);
  return self->text;
}

void
switti_sha256_free (SwittiSha256 *self)
{
  g_free (self);
}

#else

struct _SwittiSha256
{
  GChecksum *state;
};

SwittiSha256 *
switti_sha256_new (void)
{
  SwittiSha256 *self = g_new (SwittiSha256, 1);

  self->state = g_checksum_new (G_CHECKSUM_SHA256);
  return self;
}

void
switti_sha256_update (SwittiSha256 *self, const void *data, gsize bytes)
{
  const guchar *next = data;

  while (bytes > 0)
    {
      gsize part = MIN (bytes, (gsize) 1 << 30); /* g_checksum_update() takes a signed size */

      g_checksum_update (self->state, next, (gssize) part);
      next += part;
      bytes -= part;
    }
}

const char *
switti_sha256_finish (SwittiSha256 *self)
{
  return g_checksum_get_string (self->state);
}

void
switti_sha256_free (SwittiSha256 *self)
{
  if (self == NULL)
    return;
  g_checksum_free (self->state);
  g_free (self);
}

#endif
