/* switti-prompt-view.h - a box of a few lines to write a prompt in
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-prompt-history.h"

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_PROMPT_VIEW (switti_prompt_view_get_type ())
G_DECLARE_FINAL_TYPE (SwittiPromptView, switti_prompt_view, SWITTI, PROMPT_VIEW, GtkScrolledWindow)

/* Property: text (string, ""), notified at every change. @name is what a screen reader says, @lines the lines seen. */
GtkWidget *switti_prompt_view_new (const char *name, int lines);

char *switti_prompt_view_get_text (SwittiPromptView *self);
void switti_prompt_view_set_text (SwittiPromptView *self, const char *text);

/* With a history, Up on the first line and Down on the last one walk through it; NULL takes it away. */
void switti_prompt_view_set_history (SwittiPromptView *self, SwittiPromptHistory *history);

/* The widget that takes the focus, for a label's mnemonic. */
GtkWidget *switti_prompt_view_get_text_view (SwittiPromptView *self);

G_END_DECLS
