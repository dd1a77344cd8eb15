/* switti-dataset-private.h - a folder of images with captions
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The COCO layout: FOLDER/SPLIT.csv with the header ",file_name,caption", and the images in FOLDER/SPLIT/. An item is a
 * row of the list whose image is there and has a caption. Rows and images that cannot be used are bad: each is told of
 * once, and counted; too many of them end the training.
 */
#pragma once

#include "switti-picture-private.h"

G_BEGIN_DECLS

typedef struct _SwittiDataset SwittiDataset;

/* Lists the split. SWITTI_ERROR_IO: it cannot be read, has no item, or more than max_bad rows and images are bad.
 * Memory: about the list's size. */
SwittiDataset *switti_dataset_open (const char *folder, const char *split, guint max_bad, GError **error);
void switti_dataset_free (SwittiDataset *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiDataset, switti_dataset_free)

/* Never 0. The number and order of items do not change, whatever is found to be bad later. */
guint switti_dataset_get_n (const SwittiDataset *self);
/* UTF-8; owned by the dataset. Any thread. */
const char *switti_dataset_get_caption (const SwittiDataset *self, guint item);
const char *switti_dataset_get_file_name (const SwittiDataset *self, guint item);

/* The file's bytes; then pixels as switti_picture_decode() makes them. Any thread. SWITTI_ERROR_IO with a clause that
 * says what is wrong, to be handed to switti_dataset_add_bad(). */
GBytes *switti_dataset_read (const SwittiDataset *self, guint item, GError **error);

/* Counts an item that turned out to be bad; nothing more the second time. FALSE, with a sentence, where that makes more
 * than max_bad. Any thread. */
gboolean switti_dataset_add_bad (SwittiDataset *self, guint item, const char *reason, GError **error);
/* Whether switti_dataset_add_bad() was called for it. Any thread. */
gboolean switti_dataset_is_bad (SwittiDataset *self, guint item);
/* Rows, images and items so far. Any thread. */
guint switti_dataset_get_n_bad (SwittiDataset *self);
/* A sentence for each that was found since the last call; NULL-terminated; (transfer full). Any thread. */
char **switti_dataset_take_reports (SwittiDataset *self);

G_END_DECLS
