/* switti-event-writer-private.h - what a training tells TensorBoard
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An event file is a row of records, each written at once: a killed run leaves whole records, but for the last one
 * perhaps, which readers leave out. Calls of one thread.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _SwittiEventWriter SwittiEventWriter;

/* Starts a new file in `folder`, which is made where it is not there. A run that resumes at a step above 0 says so:
 * then TensorBoard forgets what the killed run wrote from that step on. SWITTI_ERROR_IO. */
SwittiEventWriter *switti_event_writer_new (const char *folder, gint64 first_step, GError **error);
void switti_event_writer_free (SwittiEventWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiEventWriter, switti_event_writer_free)

const char *switti_event_writer_get_path (SwittiEventWriter *self);

/* A point of a curve each. Tags are paths ("AR_iter_loss/L_total"); TensorBoard groups curves by their first part. */
typedef struct
{
  const char *tag;
  double value;
} SwittiEventScalar;

gboolean switti_event_writer_add_scalars (SwittiEventWriter *self, gint64 step, const SwittiEventScalar *scalars,
                                          gsize n_scalars, GError **error);
/* pixels: (height, width, 3) u8, sRGB. */
gboolean switti_event_writer_add_image (SwittiEventWriter *self, gint64 step, const char *tag, int height, int width,
                                        const guint8 *pixels, GError **error);
/* UTF-8, shown as Markdown. */
gboolean switti_event_writer_add_text (SwittiEventWriter *self, gint64 step, const char *tag, const char *text,
                                       GError **error);
/* How often which value came: 30 buckets of equal width from the least to the greatest. Values that are not finite are
 * left out; without any other there is nothing to write. */
gboolean switti_event_writer_add_histogram (SwittiEventWriter *self, gint64 step, const char *tag, const float *values,
                                            gsize n_values, GError **error);
/* To the disk, so that not even a power failure takes it. */
gboolean switti_event_writer_flush (SwittiEventWriter *self, GError **error);

/* CRC-32C (Castagnoli), as the records have it (tests). */
guint32 switti_event_crc (const void *bytes, gsize n_bytes);

G_END_DECLS
