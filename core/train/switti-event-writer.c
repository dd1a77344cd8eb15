/* switti-event-writer.c - what a training tells TensorBoard
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A record (TFRecord): the length of its contents (64 bits), the masked CRC-32C of these 8 bytes, the contents, which
 * are an Event, and their masked CRC-32C. All numbers little-endian.
 */
#include "switti-event-writer-private.h"

#include "switti-error.h"
#include "switti-events.pb-c.h"
#include "switti-png-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define FILE_VERSION "brain.Event:2"
#define RGB 3
#define N_BUCKETS 30
#define HEADER_BYTES 12
#define FOOTER_BYTES 4

struct _SwittiEventWriter
{
  char *path;
  int fd;
};

/* -- records --------------------------------------------------------------------------------------------------- */

guint32
switti_event_crc (const void *bytes, gsize n_bytes)
{
  static guint32 table[256];
  static gsize is_made = 0;
  const guint8 *byte = bytes;
  guint32 crc = 0xffffffffu;

  if (g_once_init_enter (&is_made))
    {
      for (guint32 i = 0; i < 256; i++)
        {
          table[i] = i;
          for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78u : 0); /* the polynomial, its bits reversed */
        }
      g_once_init_leave (&is_made, 1);
    }
  for (gsize i = 0; i < n_bytes; i++)
    crc = crc >> 8 ^ table[(crc ^ byte[i]) & 0xff];
  return ~crc;
}

/* A CRC over data that hold a CRC says little; so the format stores another number in its place. */
static void
put_masked_crc (guint8 *out, const void *bytes, gsize n_bytes)
{
  const guint32 crc = switti_event_crc (bytes, n_bytes);
  const guint32 masked = GUINT32_TO_LE ((crc >> 15 | crc << 17) + 0xa282ead8u);

  memcpy (out, &masked, sizeof masked);
}

static gboolean
fail (SwittiEventWriter *self, GError **error)
{
  g_autofree char *display = g_filename_display_name (self->path);

  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot write the events file %s: %s; make room for it."),
               display, g_strerror (errno));
  return FALSE;
}

static gboolean
write_record (SwittiEventWriter *self, const Tensorboard__Event *event, GError **error)
{
  const gsize n_bytes = tensorboard__event__get_packed_size (event), total = HEADER_BYTES + n_bytes + FOOTER_BYTES;
  const guint64 length = GUINT64_TO_LE ((guint64) n_bytes);
  g_autofree guint8 *record = g_malloc (total);

  memcpy (record, &length, sizeof length);
  put_masked_crc (record + sizeof length, record, sizeof length);
  tensorboard__event__pack (event, record + HEADER_BYTES);
  put_masked_crc (record + HEADER_BYTES + n_bytes, record + HEADER_BYTES, n_bytes);
  for (gsize done = 0; done < total;)
    {
      const gssize n = write (self->fd, record + done, total - done);

      if (n < 0 && errno != EINTR)
        return fail (self, error);
      done += n > 0 ? (gsize) n : 0;
    }
  return TRUE;
}

static void
init_event (Tensorboard__Event *event, gint64 step)
{
  tensorboard__event__init (event);
  event->wall_time = (double) g_get_real_time () / G_USEC_PER_SEC;
  event->step = step;
}

static gboolean
write_values (SwittiEventWriter *self, gint64 step, Tensorboard__Summary__Value **values, gsize n_values,
              GError **error)
{
  Tensorboard__Event event;
  Tensorboard__Summary summary = TENSORBOARD__SUMMARY__INIT;

  init_event (&event, step);
  summary.value = values;
  summary.n_value = n_values;
  event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
  event.summary = &summary;
  return write_record (self, &event, error);
}

/* -- life ------------------------------------------------------------------------------------------------------ */

/* A name that no other run has, and that comes after those of earlier runs: readers take files in that order. */
static int
create_file (const char *folder, char **path)
{
  const gint64 now = g_get_real_time () / G_USEC_PER_SEC;

  for (int number = 0; number < 10000; number++)
    {
      g_autofree char *name = g_strdup_printf ("events.out.tfevents.%010" G_GINT64_FORMAT ".%04d.%s.%d", now, number,
                                               g_get_host_name (), (int) getpid ());
      g_autofree char *first = g_strndup (name, strlen ("events.out.tfevents.0123456789.0123"));
      g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
      const char *other;
      gboolean is_taken = FALSE;
      int fd;

      while (dir != NULL && !is_taken && (other = g_dir_read_name (dir)) != NULL)
        is_taken = g_str_has_prefix (other, first);
      g_free (*path);
      *path = g_build_filename (folder, name, NULL);
      if (is_taken)
        continue;
      fd = open (*path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
      if (fd >= 0 || errno != EEXIST)
        return fd;
    }
  errno = EEXIST;
  return -1;
}

static gboolean
write_start (SwittiEventWriter *self, gint64 first_step, GError **error)
{
  Tensorboard__Event version, start;
  Tensorboard__SessionLog log = TENSORBOARD__SESSION_LOG__INIT;

  init_event (&version, 0);
  version.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
  version.file_version = (char *) FILE_VERSION;
  init_event (&start, first_step);
  log.status = TENSORBOARD__SESSION_LOG__STATUS__START;
  start.what_case = TENSORBOARD__EVENT__WHAT_SESSION_LOG;
  start.session_log = &log;
  return write_record (self, &version, error) && (first_step == 0 || write_record (self, &start, error));
}

SwittiEventWriter *
switti_event_writer_new (const char *folder, gint64 first_step, GError **error)
{
  g_autoptr (SwittiEventWriter) self = g_new0 (SwittiEventWriter, 1);

  self->fd = -1;
  self->path = g_strdup (folder);
  if (g_mkdir_with_parents (folder, 0777) != 0 || (self->fd = create_file (folder, &self->path)) < 0)
    {
      fail (self, error);
      return NULL;
    }
  if (!write_start (self, first_step, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_event_writer_free (SwittiEventWriter *self)
{
  if (self == NULL)
    return;
  if (self->fd >= 0)
    close (self->fd);
  g_free (self->path);
  g_free (self);
}

const char *
switti_event_writer_get_path (SwittiEventWriter *self)
{
  return self->path;
}

gboolean
switti_event_writer_flush (SwittiEventWriter *self, GError **error)
{
  return fsync (self->fd) == 0 || fail (self, error);
}

/* -- values ---------------------------------------------------------------------------------------------------- */

gboolean
switti_event_writer_add_scalars (SwittiEventWriter *self, gint64 step, const SwittiEventScalar *scalars,
                                 gsize n_scalars, GError **error)
{
  g_autofree Tensorboard__Summary__Value *values = g_new (Tensorboard__Summary__Value, n_scalars);
  g_autofree Tensorboard__Summary__Value **pointers = g_new (Tensorboard__Summary__Value *, n_scalars);

  for (gsize i = 0; i < n_scalars; i++)
    {
      tensorboard__summary__value__init (&values[i]);
      values[i].tag = (char *) scalars[i].tag;
      values[i].value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
      values[i].simple_value = (float) scalars[i].value;
      pointers[i] = &values[i];
    }
  return write_values (self, step, pointers, n_scalars, error);
}

static gboolean
write_value (SwittiEventWriter *self, gint64 step, Tensorboard__Summary__Value *value, GError **error)
{
  return write_values (self, step, &value, 1, error);
}

gboolean
switti_event_writer_add_image (SwittiEventWriter *self, gint64 step, const char *tag, int height, int width,
                               const guint8 *pixels, GError **error)
{
  g_autoptr (GBytes) png = switti_png_encode (width, height, pixels, NULL, error);
  Tensorboard__Summary__Image image = TENSORBOARD__SUMMARY__IMAGE__INIT;
  Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
  gsize n_bytes;

  if (png == NULL)
    return FALSE;
  image.height = height;
  image.width = width;
  image.colorspace = RGB;
  image.encoded_image_string.data = (guint8 *) g_bytes_get_data (png, &n_bytes);
  image.encoded_image_string.len = n_bytes;
  value.tag = (char *) tag;
  value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_IMAGE;
  value.image = &image;
  return write_value (self, step, &value, error);
}

gboolean
switti_event_writer_add_text (SwittiEventWriter *self, gint64 step, const char *tag, const char *text, GError **error)
{
  Tensorboard__Metadata__PluginData plugin = TENSORBOARD__METADATA__PLUGIN_DATA__INIT;
  Tensorboard__Metadata metadata = TENSORBOARD__METADATA__INIT;
  Tensorboard__Tensor__Shape__Dim dim = TENSORBOARD__TENSOR__SHAPE__DIM__INIT, *dims = &dim;
  Tensorboard__Tensor__Shape shape = TENSORBOARD__TENSOR__SHAPE__INIT;
  Tensorboard__Tensor tensor = TENSORBOARD__TENSOR__INIT;
  Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
  ProtobufCBinaryData string = { strlen (text), (guint8 *) text };

  plugin.plugin_name = (char *) "text";
  metadata.plugin_data = &plugin;
  dim.size = 1;
  shape.n_dim = 1;
  shape.dim = &dims;
  tensor.dtype = TENSORBOARD__TENSOR__TYPE__STRING;
  tensor.tensor_shape = &shape;
  tensor.n_string_val = 1;
  tensor.string_val = &string;
  value.tag = (char *) tag;
  value.metadata = &metadata;
  value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_TENSOR;
  value.tensor = &tensor;
  return write_value (self, step, &value, error);
}

/* Counts, sums and the range; the values that are finite. */
static void
measure (Tensorboard__Histogram *histogram, const float *values, gsize n_values)
{
  histogram->min = INFINITY;
  histogram->max = -INFINITY;
  for (gsize i = 0; i < n_values; i++)
    if (isfinite (values[i]))
      {
        histogram->min = MIN (histogram->min, values[i]);
        histogram->max = MAX (histogram->max, values[i]);
        histogram->num++;
        histogram->sum += values[i];
        histogram->sum_squares += (double) values[i] * values[i];
      }
}

gboolean
switti_event_writer_add_histogram (SwittiEventWriter *self, gint64 step, const char *tag, const float *values,
                                   gsize n_values, GError **error)
{
  Tensorboard__Histogram histogram = TENSORBOARD__HISTOGRAM__INIT;
  Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
  double limits[N_BUCKETS], counts[N_BUCKETS] = { 0 }, width;

  measure (&histogram, values, n_values);
  if (histogram.num == 0)
    return TRUE;
  /* All values alike still fill a bucket. */
  width = (histogram.max > histogram.min ? histogram.max - histogram.min : MAX (fabs (histogram.max), 1)) / N_BUCKETS;
  for (int i = 0; i < N_BUCKETS; i++)
    limits[i] = histogram.min + (i + 1) * width;
  for (gsize i = 0; i < n_values; i++)
    if (isfinite (values[i]))
      counts[(int) CLAMP ((values[i] - histogram.min) / width, 0, N_BUCKETS - 1)]++;
  histogram.n_bucket_limit = histogram.n_bucket = N_BUCKETS;
  histogram.bucket_limit = limits;
  histogram.bucket = counts;
  value.tag = (char *) tag;
  value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_HISTO;
  value.histo = &histogram;
  return write_value (self, step, &value, error);
}
