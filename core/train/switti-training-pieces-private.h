/* switti-training-pieces-private.h - a training's state in pieces, a file for each rank that has one
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * training/<part>-00002-of-00004.safetensors has, of each array and parameter, the elements that its rank has: a tensor
 * "first_moment.<name>:<first>" of one dimension, `first` being the place of its first element in the parameter. They
 * are read by any number of ranks, each taking what is its own.
 */
#pragma once

#include "switti-training-model-private.h"

G_BEGIN_DECLS

#define SWITTI_MAX_PIECES 65536

/* "<part>-00002-of-00004.safetensors" for piece 1 of 4, "<part>.safetensors" for the only one. */
char *switti_pieces_file_name (const SwittiTrainingModel *model, int part, int piece, int n_pieces);

/* What is here of each parameter, viewed in a flat host array of this rank's pieces, appended to names and tensors. */
void switti_pieces_append_views (SwittiParameters *parameters, const char *prefix, float *flat, GPtrArray *names,
                                 GArray *tensors);

/* Until all files of all parts are in `folder`. SWITTI_ERROR_IO when another rank gives up. */
gboolean switti_pieces_wait (const SwittiTrainingModel *model, int n_pieces, const char *folder, GError **error);
/* Tells who waits that a file will not come. */
void switti_pieces_give_up (const char *folder);

/* Of elements [first, first + count) of a parameter, whose host values are given, those that are here to a flat device
 * array. */
gboolean switti_pieces_upload (SwittiParameters *parameters, const SwittiParameter *parameter, gsize first, gsize count,
                               const float *values, float *flat, GError **error);

/* Parameters, moments and averages of a part, from a checkpoint's pieces. SWITTI_ERROR_MODEL_INVALID names what is
 * missing. */
gboolean switti_pieces_load (SwittiTrainingModel *model, int part, int n_pieces, const char *folder,
                             gboolean has_average, GError **error);

G_END_DECLS
