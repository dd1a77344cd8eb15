/* switti-word-scale.h - a slider whose places are words
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

typedef struct
{
  const char *id;   /* the value */
  const char *word; /* what it is called, translated already */
} SwittiWordPlace;

#define SWITTI_TYPE_WORD_SCALE (switti_word_scale_get_type ())
G_DECLARE_FINAL_TYPE (SwittiWordScale, switti_word_scale, SWITTI, WORD_SCALE, GtkScale)

/* Copies @places. Property: id (string): the id of the place; one that is none of them stands at the place of
 * @otherwise, and stays what it is until the slider is moved. */
GtkWidget *switti_word_scale_new (const SwittiWordPlace *places, int n_places, const char *otherwise);

/* Where an id that is none of the places' stands from now on. */
void switti_word_scale_set_otherwise (SwittiWordScale *self, const char *otherwise);

G_END_DECLS
