/* switti-prompt-history.h - the prompts that were painted, newest last, kept in a file
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* More are forgotten, the oldest first. */
#define SWITTI_MAX_HISTORY 200

#define SWITTI_TYPE_PROMPT_HISTORY (switti_prompt_history_get_type ())
G_DECLARE_FINAL_TYPE (SwittiPromptHistory, switti_prompt_history, SWITTI, PROMPT_HISTORY, GObject)

/* Reads what is kept in @path (filename; nullable: in memory alone); a file that is not there, or is none of ours, is
 * an empty history. */
SwittiPromptHistory *switti_prompt_history_new (const char *path);

/* Puts @prompt last, however often it was there, and writes the file. Also ends the walk. Returns whether it could be
 * written. */
gboolean switti_prompt_history_add (SwittiPromptHistory *self, const char *prompt, GError **error);

/* The prompt before or after the one that was walked to last, or NULL at the end; @now is what stands in the box, which
 * comes back at the walk's newer end. */
const char *switti_prompt_history_older (SwittiPromptHistory *self, const char *now);
const char *switti_prompt_history_newer (SwittiPromptHistory *self, const char *now);

G_END_DECLS
