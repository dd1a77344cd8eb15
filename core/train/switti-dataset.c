/* switti-dataset.c - a folder of images with captions
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-dataset-private.h"

#include "switti-captions-private.h"
#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* Offsets into `texts`. */
typedef struct
{
  gsize file_name, caption;
} Item;

struct _SwittiDataset
{
  char *split, *images; /* the list's name; the images' folder */
  guint max_bad;
  GArray *items;   /* of Item */
  GString *texts;  /* NUL-terminated strings */

  GMutex mutex; /* of what follows */
  guint n_bad;
  GHashTable *bad_items; /* of item numbers */
  GPtrArray *reports;
};

static const char *const endings[] = { ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm",
                                       ".bmp" };

/* -- what is bad ----------------------------------------------------------------------------------------------- */

/* With the mutex held, or before there are other threads. */
static void
report (SwittiDataset *self, const char *name, const char *reason)
{
  g_autofree char *display = g_filename_display_name (name);

  self->n_bad++;
  /* One that is past the limit is told of by the error. */
  if (self->n_bad <= self->max_bad)
    g_ptr_array_add (self->reports, g_strdup_printf (_ ("%s is left out: %s."), display, reason));
}

static void
set_too_many (const SwittiDataset *self, const char *name, const char *reason, GError **error)
{
  g_autofree char *display = g_filename_display_name (name);

  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               _ ("More than %u images of %s cannot be used, the last one %s (%s); mend them, or allow more by "
                  "--max-bad."),
               self->max_bad, self->images, display, reason);
}

gboolean
switti_dataset_add_bad (SwittiDataset *self, guint item, const char *reason, GError **error)
{
  const char *name = switti_dataset_get_file_name (self, item);
  gboolean is_within;

  g_mutex_lock (&self->mutex);
  if (g_hash_table_add (self->bad_items, GUINT_TO_POINTER (item)))
    report (self, name, reason);
  is_within = self->n_bad <= self->max_bad;
  g_mutex_unlock (&self->mutex);
  if (!is_within)
    set_too_many (self, name, reason, error);
  return is_within;
}

gboolean
switti_dataset_is_bad (SwittiDataset *self, guint item)
{
  gboolean is_bad;

  g_mutex_lock (&self->mutex);
  is_bad = g_hash_table_contains (self->bad_items, GUINT_TO_POINTER (item));
  g_mutex_unlock (&self->mutex);
  return is_bad;
}

guint
switti_dataset_get_n_bad (SwittiDataset *self)
{
  guint n_bad;

  g_mutex_lock (&self->mutex);
  n_bad = self->n_bad;
  g_mutex_unlock (&self->mutex);
  return n_bad;
}

char **
switti_dataset_take_reports (SwittiDataset *self)
{
  GPtrArray *taken;

  g_mutex_lock (&self->mutex);
  taken = self->reports;
  self->reports = g_ptr_array_new_with_free_func (g_free);
  g_mutex_unlock (&self->mutex);
  g_ptr_array_add (taken, NULL);
  return (char **) g_ptr_array_free (taken, FALSE);
}

/* -- the list -------------------------------------------------------------------------------------------------- */

/* While a list is read. */
typedef struct
{
  SwittiDataset *dataset;
  GHashTable *files; /* names in the images' folder, to 0, or 1 once the list has named them */
  char *last_name, *last_reason; /* of what is bad */
} Listing;

static void
note_bad (Listing *self, const char *name, const char *reason)
{
  report (self->dataset, name, reason);
  g_free (self->last_name);
  g_free (self->last_reason);
  self->last_name = g_strdup (name);
  self->last_reason = g_strdup (reason);
}

static gsize
keep_text (SwittiDataset *self, const char *text)
{
  const gsize offset = self->texts->len;

  g_string_append_len (self->texts, text, (gssize) strlen (text) + 1);
  return offset;
}

/* A list of strangers names no file outside its folder. */
static gboolean
is_inside (const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", -1);

  if (name[0] == '/')
    return FALSE;
  for (char **part = parts; *part != NULL; part++)
    if (strcmp (*part, "..") == 0)
      return FALSE;
  return TRUE;
}

static gboolean
is_there (const Listing *self, const char *name)
{
  g_autofree char *path = NULL;

  if (strchr (name, '/') == NULL)
    return g_hash_table_contains (self->files, name);
  path = g_build_filename (self->dataset->images, name, NULL);
  return g_file_test (path, G_FILE_TEST_IS_REGULAR);
}

static void
on_row (guint row, const char *name, const char *caption, gpointer data)
{
  Listing *self = data;
  SwittiDataset *dataset = self->dataset;
  Item item;

  if (name == NULL || name[0] == '\0')
    {
      g_autofree char *words = g_strdup_printf (_ ("Row %u of %s.csv"), row, dataset->split);

      note_bad (self, words, _ ("it names no file"));
      return;
    }
  if (g_hash_table_contains (self->files, name))
    g_hash_table_insert (self->files, g_strdup (name), GINT_TO_POINTER (1));
  if (!is_inside (name))
    note_bad (self, name, _ ("it is not inside its folder"));
  else if (!is_there (self, name))
    note_bad (self, name, _ ("there is no such file"));
  else if (caption == NULL || caption[0] == '\0')
    note_bad (self, name, _ ("it has no caption"));
  else if (!g_utf8_validate (caption, -1, NULL))
    note_bad (self, name, _ ("its caption is not UTF-8"));
  else
    {
      item.file_name = keep_text (dataset, name);
      item.caption = keep_text (dataset, caption);
      g_array_append_val (dataset->items, item);
    }
}

static gboolean
is_image_name (const char *name)
{
  g_autofree char *lower = g_ascii_strdown (name, -1);

  for (gsize i = 0; i < G_N_ELEMENTS (endings); i++)
    if (g_str_has_suffix (lower, endings[i]))
      return TRUE;
  return FALSE;
}

static GHashTable *
list_files (const char *folder, GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &reason);
  GHashTable *files;
  const char *name;

  if (dir == NULL)
    {
      g_autofree char *display = g_filename_display_name (folder);

      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot list the images in %s: %s."), display,
                   reason->message);
      return NULL;
    }
  files = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_hash_table_insert (files, g_strdup (name), GINT_TO_POINTER (0));
  return files;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Images that the list does not name, in order: the folder's own order differs between file systems. */
static void
note_unlisted (Listing *self)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer name, is_listed;

  g_hash_table_iter_init (&iter, self->files);
  while (g_hash_table_iter_next (&iter, &name, &is_listed))
    if (!GPOINTER_TO_INT (is_listed) && is_image_name (name))
      g_ptr_array_add (names, name);
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    note_bad (self, g_ptr_array_index (names, i), _ ("it has no caption"));
}

static gboolean
list_items (SwittiDataset *self, const char *list, GError **error)
{
  Listing listing = { .dataset = self, .files = list_files (self->images, error) };
  gboolean good;

  if (listing.files == NULL)
    return FALSE;
  good = switti_captions_read (list, on_row, &listing, error);
  if (good)
    note_unlisted (&listing);
  if (good && self->n_bad > self->max_bad)
    {
      set_too_many (self, listing.last_name, listing.last_reason, error);
      good = FALSE;
    }
  if (good && self->items->len == 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("%s names no image with a caption that could be used."),
                   list);
      good = FALSE;
    }
  g_hash_table_unref (listing.files);
  g_free (listing.last_name);
  g_free (listing.last_reason);
  return good;
}

/* -- life ------------------------------------------------------------------------------------------------------ */

SwittiDataset *
switti_dataset_open (const char *folder, const char *split, guint max_bad, GError **error)
{
  g_autoptr (SwittiDataset) self = g_new0 (SwittiDataset, 1);
  g_autofree char *list_name = g_strconcat (split, ".csv", NULL);
  g_autofree char *list = g_build_filename (folder, list_name, NULL);

  g_mutex_init (&self->mutex);
  self->split = g_strdup (split);
  self->images = g_build_filename (folder, split, NULL);
  self->max_bad = max_bad;
  self->items = g_array_new (FALSE, FALSE, sizeof (Item));
  self->texts = g_string_new (NULL);
  self->bad_items = g_hash_table_new (NULL, NULL);
  self->reports = g_ptr_array_new_with_free_func (g_free);
  if (!switti_picture_init (error) || !list_items (self, list, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_dataset_free (SwittiDataset *self)
{
  if (self == NULL)
    return;
  g_free (self->split);
  g_free (self->images);
  g_array_unref (self->items);
  g_string_free (self->texts, TRUE);
  g_hash_table_unref (self->bad_items);
  g_ptr_array_unref (self->reports);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

guint
switti_dataset_get_n (const SwittiDataset *self)
{
  return self->items->len;
}

const char *
switti_dataset_get_caption (const SwittiDataset *self, guint item)
{
  return self->texts->str + g_array_index (self->items, Item, item).caption;
}

const char *
switti_dataset_get_file_name (const SwittiDataset *self, guint item)
{
  return self->texts->str + g_array_index (self->items, Item, item).file_name;
}

GBytes *
switti_dataset_read (const SwittiDataset *self, guint item, GError **error)
{
  g_autofree char *path = g_build_filename (self->images, switti_dataset_get_file_name (self, item), NULL);

  return switti_picture_read_file (path, error);
}
