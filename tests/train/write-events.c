/* write-events.c - writes event files for test-events.py: write-events FOLDER all|resume|endless
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-event-writer-private.h"

#include <math.h>
#include <string.h>

static void
write_all (SwittiEventWriter *writer, GError **error)
{
  const SwittiEventScalar scalars[] = { { "AR_iter_loss/L_total", 8.25 }, { "AR_opt_lr/lr_max/sche_tlr", 1e-4 } };
  const SwittiEventScalar odd[] = { { "odd/nan", NAN }, { "odd/ä", -INFINITY } };
  const float values[] = { -1, 0, 0.5f, 2, NAN, 2, INFINITY }, same[] = { 3, 3, 3 }, none[] = { NAN };
  guint8 pixels[4 * 6 * 3];

  for (gsize i = 0; i < sizeof pixels; i++)
    pixels[i] = (guint8) (i * 3);
  for (int step = 0; step < 6; step++)
    {
      SwittiEventScalar moving[] = { scalars[0], scalars[1] };

      moving[0].value -= step;
      if (!switti_event_writer_add_scalars (writer, step, moving, 2, error))
        return;
    }
  if (switti_event_writer_add_scalars (writer, 6, odd, 2, error)
      && switti_event_writer_add_image (writer, 7, "samples/cfg 6", 4, 6, pixels, error)
      && switti_event_writer_add_text (writer, 8, "command", "switti-train --depth 8, “ä”", error)
      && switti_event_writer_add_histogram (writer, 9, "hist", values, G_N_ELEMENTS (values), error)
      && switti_event_writer_add_histogram (writer, 10, "hist", same, G_N_ELEMENTS (same), error)
      && switti_event_writer_add_histogram (writer, 11, "hist", none, 1, error))
    switti_event_writer_flush (writer, error);
}

int
main (int argc, char **argv)
{
  const char *mode = argv[2];
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiEventWriter) writer
      = switti_event_writer_new (argv[1], g_str_equal (mode, "resume") ? 3 : 0, &error);
  SwittiEventScalar scalar = { "AR_iter_loss/L_total", 1 };

  /* The check value of CRC-32C: RFC 3720, appendix B.4, 32 bytes of 0, as the standard lists their bytes. */
  if (switti_event_crc ((guint8[32]){ 0 }, 32) != 0x8a9136aau)
    return 2;
  if (writer != NULL && g_str_equal (mode, "all"))
    write_all (writer, &error);
  else if (writer != NULL && g_str_equal (mode, "resume"))
    switti_event_writer_add_scalars (writer, 3, &scalar, 1, &error);
  else
    for (gint64 step = 0; writer != NULL && error == NULL; step++)
      switti_event_writer_add_scalars (writer, step, &scalar, 1, &error);
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  return error != NULL;
}
