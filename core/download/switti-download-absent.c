/* switti-download-absent.c - published models, in a build without libsoup
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-download-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>

gboolean
switti_download_is_supported (void)
{
  return FALSE;
}

/* Nothing is ever looked up. */
void
switti_download_forget (SwittiDownload *self)
{
}

static gboolean
set_unsupported (GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED,
               _ ("This build of Switti cannot download: build it with libsoup 3, or fetch the files yourself and use "
                  "“switti models import”."));
  return FALSE;
}

gboolean
switti_download_look_up (SwittiDownload *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), FALSE);

  return set_unsupported (error);
}

gboolean
switti_download_run (SwittiDownload *self, GCancellable *cancellable, SwittiDownloadFunc progress, gpointer user_data,
                     GError **error)
{
  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), FALSE);

  return set_unsupported (error);
}
