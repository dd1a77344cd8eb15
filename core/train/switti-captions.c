/* switti-captions.c - the list of a training folder's images and captions, by libcsv
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-captions-private.h"

#include "switti-error.h"

#include <csv.h>
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES 65536
/* A quote that is never closed would take in the whole file. */
#define MAX_FIELD_BYTES ((gsize) 1 << 20)
#define MAX_COLUMNS 64
#define NO_COLUMN (-1)

enum { FILE_NAME, CAPTION, N_FIELDS };

static const char *const field_names[N_FIELDS] = { "file_name", "caption" };

typedef struct
{
  SwittiCaptionFunc func;
  gpointer data;
  int columns[N_FIELDS]; /* NO_COLUMN before the header names it */
  guint row;             /* 0 is the header's */
  int column;            /* of the next field */
  GString *fields[N_FIELDS];
  gboolean has[N_FIELDS];
  gboolean is_bad; /* the header names no such columns */
} Reader;

static void
on_field (void *bytes, size_t n_bytes, void *data)
{
  Reader *self = data;

  for (int i = 0; i < N_FIELDS; i++)
    if (self->row == 0)
      {
        if (self->column < MAX_COLUMNS && n_bytes == strlen (field_names[i])
            && memcmp (bytes, field_names[i], n_bytes) == 0)
          self->columns[i] = self->column;
      }
    else if (self->column == self->columns[i])
      {
        g_string_truncate (self->fields[i], 0);
        g_string_append_len (self->fields[i], bytes, (gssize) n_bytes);
        self->has[i] = TRUE;
      }
  if (self->column < MAX_COLUMNS)
    self->column++;
}

static void
on_row (int terminator, void *data)
{
  Reader *self = data;

  if (self->row == 0)
    self->is_bad = self->columns[FILE_NAME] == NO_COLUMN || self->columns[CAPTION] == NO_COLUMN;
  else if (!self->is_bad)
    self->func (self->row, self->has[FILE_NAME] ? self->fields[FILE_NAME]->str : NULL,
                self->has[CAPTION] ? self->fields[CAPTION]->str : NULL, self->data);
  self->has[FILE_NAME] = self->has[CAPTION] = FALSE;
  self->column = 0;
  self->row++;
}

/* Spaces around a field are the field's. */
static int
is_space (unsigned char c)
{
  return 0;
}

static gboolean
fail (GError **error, const Reader *reader, const char *path, const char *reason)
{
  g_autofree char *display = g_filename_display_name (path);

  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot read row %u of %s: %s."), reader->row, display, reason);
  return FALSE;
}

static gboolean
parse (FILE *file, const char *path, struct csv_parser *parser, Reader *reader, GError **error)
{
  g_autofree char *chunk = g_malloc (CHUNK_BYTES);
  gboolean is_first = TRUE;
  size_t n;

  while ((n = fread (chunk, 1, CHUNK_BYTES, file)) > 0)
    {
      const size_t skipped = is_first && n >= 3 && memcmp (chunk, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

      is_first = FALSE;
      if (csv_parse (parser, chunk + skipped, n - skipped, on_field, on_row, reader) != n - skipped)
        return fail (error, reader, path, csv_strerror (csv_error (parser)));
      if (parser->entry_pos > MAX_FIELD_BYTES)
        return fail (error, reader, path, _ ("a field has more than 1 MiB; close its quotes"));
      if (reader->is_bad)
        break;
    }
  if (ferror (file))
    return fail (error, reader, path, g_strerror (errno));
  /* Only the strict parser looks for the last quote; elsewhere, a quote inside a field is to be let be. */
  csv_set_opts (parser, CSV_STRICT | CSV_STRICT_FINI);
  if (!reader->is_bad && csv_fini (parser, on_field, on_row, reader) != 0)
    return fail (error, reader, path, _ ("the last field's quotes are not closed"));
  if (reader->is_bad || reader->row == 0)
    {
      reader->row = 0;
      return fail (error, reader, path,
                   _ ("the header must name the columns “file_name” and “caption”, as in “,file_name,caption”"));
    }
  return TRUE;
}

gboolean
switti_captions_read (const char *path, SwittiCaptionFunc func, gpointer data, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  Reader reader = { .func = func, .data = data, .columns = { NO_COLUMN, NO_COLUMN } };
  struct csv_parser parser;
  gboolean good = FALSE;
  FILE *file = g_fopen (path, "rbe");

  if (file == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot open %s: %s; a training folder holds a list of its "
                   "images and captions."), display, g_strerror (errno));
      return FALSE;
    }
  for (int i = 0; i < N_FIELDS; i++)
    reader.fields[i] = g_string_new (NULL);
  if (csv_init (&parser, 0) == 0)
    {
      csv_set_space_func (&parser, is_space);
      good = parse (file, path, &parser, &reader, error);
      csv_free (&parser);
    }
  else
    fail (error, &reader, path, _ ("libcsv cannot start"));
  for (int i = 0; i < N_FIELDS; i++)
    g_string_free (reader.fields[i], TRUE);
  fclose (file);
  return good;
}
