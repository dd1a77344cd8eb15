/* switti-download-private.h - a published model: what there is, and what of it is here
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-download.h"

#include "switti-catalogue-private.h"
#include "switti-download-part-private.h"
#include "switti-model-writer-private.h"

G_BEGIN_DECLS

/* What the download.json of a begun or finished model is called. */
#define SWITTI_DOWNLOAD_STATE "download.json"

struct _SwittiDownload
{
  GObject parent_instance;

  SwittiCatalogueModel *model;
  char *hub, *folder; /* nullable */
  int dtype;

  /* What was looked up; the thread that runs has it. */
  SwittiHttp *http;
  SwittiDownloadPart *parts[SWITTI_CATALOGUE_N_PARTS]; /* all, or none */

  /* What is told of it, from any thread. */
  GMutex mutex;
  gboolean is_known; /* the numbers below */
  guint64 fetched_bytes, stored_bytes;
  char *stated_licences[SWITTI_CATALOGUE_N_PARTS]; /* "" where a page states none; NULL: not known */
};

/* A path of what a run that ended has left; relative NULL: its folder. (transfer full) */
char *switti_download_get_partial_path (SwittiDownload *self, const char *relative);

/* Bytes of one part's weights in it. */
guint64 switti_download_count_kept (SwittiDownload *self, int part);

/* Forgets what was looked up; its numbers stay. */
void switti_download_forget (SwittiDownload *self);

G_END_DECLS
