/* switti-generation-private.h - one call of a generator
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-engine-private.h"
#include "switti-generator-private.h"
#include "switti-observer-private.h"
#include "switti-request-private.h"

G_BEGIN_DECLS

/* Token ids (n_prompts, T) for each text encoder, and how many of each are valid; one null prompt. */
typedef struct
{
  int n_prompts; /* 1: of every image; otherwise image i has prompt i */
  const gint32 *ids[2];
  const int *n_valid[2];
  const gint32 *null_ids[2];
  int null_valid[2];
} SwittiPrompts;

/* Room for the ids of one text and its null prompt, which prompts points to. */
typedef struct
{
  gint32 ids[2][SWITTI_TEXT_LENGTH], null_ids[2][SWITTI_TEXT_LENGTH];
  int n_valid[2], null_valid[2];
  SwittiPrompts prompts;
} SwittiTextPrompts;

void switti_text_prompts_init (SwittiTextPrompts *self, const SwittiBundleParts *parts,
                               const SwittiParameters *parameters);

typedef struct
{
  SwittiRequest *request; /* a copy that nobody changes */
  const SwittiPrompts *prompts;
  GCancellable *cancellable;
  const SwittiObserver *observer;
  SwittiScaleTrace trace;
  gpointer trace_data;
  gboolean timed; /* wait for the device after each part, so that the times are right */
} SwittiGenerationJob;

/* The pictures in order. Thread: the one that has the device's turn. */
GPtrArray *switti_generation_run (SwittiEngine *engine, const SwittiGenerationJob *job, SwittiTimings *timings,
                                  GError **error);

G_END_DECLS
