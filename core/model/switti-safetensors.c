/* switti-safetensors.c - one mapped safetensors file
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The format: 8 bytes, little endian: the header's length N; N bytes of JSON that begin with '{' and may end in spaces;
 * the data. The header maps each name to { "dtype", "shape", "data_offsets": [begin, end] }, offsets counted from
 * the data's first byte; "__metadata__" maps strings to strings.
 *
 * Of the format's dtypes, those without a SwittiDtype (F8_E5M2, I8, I16, U16, U32, U64, …) are refused by name: no
 * parameter of this project's models can have them.
 */
#include "switti-safetensors-private.h"

#include "switti-error.h"
#include "switti-json-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* The limit of the format's own reader. */
#define MAX_HEADER_BYTES 100000000

struct _SwittiSafetensors
{
  GBytes *bytes; /* NULL where there is the header alone */
  char *description;
  const guint8 *data; /* the first byte after the header; NULL where there is the header alone */
  gsize data_bytes;
  JsonObject *metadata; /* nullable */
  GHashTable *stored;   /* name (owned) -> Stored * (owned) */
  const char **names;   /* sorted; the keys of stored */
};

typedef struct
{
  SwittiTensor view;
  gsize begin; /* in the data */
} Stored;

/* Where a tensor's bytes lie, for the check that they tile the data. */
typedef struct
{
  gsize begin, end;
  const char *name;
} Extent;

static gboolean
parse_dtype (const char *name, SwittiDtype *dtype)
{
  for (int i = SWITTI_DTYPE_F32; i <= SWITTI_DTYPE_BOOL; i++)
    if (strcmp (name, switti_dtype_to_string ((SwittiDtype) i)) == 0)
      {
        *dtype = (SwittiDtype) i;
        return TRUE;
      }
  return FALSE;
}

static gboolean
parse_shape (JsonArray *shape, SwittiTensor *view)
{
  if (shape == NULL || json_array_get_length (shape) > SWITTI_TENSOR_MAX_DIMS)
    return FALSE;

  view->n_dims = (int) json_array_get_length (shape);
  for (int i = 0; i < view->n_dims; i++)
    if (!switti_json_node_get_integer (json_array_get_element (shape, i), &view->dims[i]))
      return FALSE;
  return TRUE;
}

static gboolean
parse_extent (JsonArray *offsets, gsize data_bytes, Extent *extent)
{
  gint64 begin, end;

  if (offsets == NULL || json_array_get_length (offsets) != 2 ||
      !switti_json_node_get_integer (json_array_get_element (offsets, 0), &begin) ||
      !switti_json_node_get_integer (json_array_get_element (offsets, 1), &end))
    return FALSE;
  if (begin < 0 || end < begin || (guint64) end > data_bytes)
    return FALSE;
  extent->begin = (gsize) begin;
  extent->end = (gsize) end;
  return TRUE;
}

static gboolean
parse_tensor (SwittiSafetensors *self, const char *name, JsonNode *node, SwittiTensor *view, Extent *extent,
              GError **error)
{
  JsonObject *entry = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  const char *dtype = entry != NULL ? switti_json_get_string (entry, "dtype") : NULL;
  gsize bytes;

  if (dtype == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("In %s, tensor “%s” has no dtype."),
                   self->description, name);
      return FALSE;
    }
  if (!parse_dtype (dtype, &view->dtype))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("In %s, tensor “%s” has dtype “%s”; use F32, F16 or BF16 weights instead."), self->description,
                   name, dtype);
      return FALSE;
    }
  if (!parse_shape (switti_json_get_array (entry, "shape"), view) ||
      !switti_shape_bytes (view->dtype, view->n_dims, view->dims, &bytes))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("In %s, tensor “%s” needs a shape of at most %d sizes, whose product fits in memory."),
                   self->description, name, SWITTI_TENSOR_MAX_DIMS);
      return FALSE;
    }
  if (!parse_extent (switti_json_get_array (entry, "data_offsets"), self->data_bytes, extent))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("In %s, tensor “%s” lies outside the file, which is broken or cut short; get it again."),
                   self->description, name);
      return FALSE;
    }
  if (extent->end - extent->begin != bytes)
    {
      g_autofree char *shape = switti_shape_to_string (view->n_dims, view->dims);

      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("In %s, tensor “%s” of shape %s and dtype %s has %zu bytes in place of %zu."), self->description,
                   name, shape, dtype, extent->end - extent->begin, bytes);
      return FALSE;
    }

  view->data = self->data != NULL ? (void *) (self->data + extent->begin) : NULL;
  return TRUE;
}

static gboolean
parse_metadata (SwittiSafetensors *self, JsonNode *node, GError **error)
{
  if (JSON_NODE_HOLDS_OBJECT (node))
    {
      JsonObjectIter iter;
      JsonNode *value;
      gboolean all_strings = TRUE;

      json_object_iter_init (&iter, json_node_get_object (node));
      while (json_object_iter_next (&iter, NULL, &value))
        all_strings &= JSON_NODE_HOLDS_VALUE (value) && json_node_get_value_type (value) == G_TYPE_STRING;
      if (all_strings)
        {
          self->metadata = json_object_ref (json_node_get_object (node));
          return TRUE;
        }
    }
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("In %s, “__metadata__” must map strings to strings."), self->description);
  return FALSE;
}

static int
compare_extents (gconstpointer a, gconstpointer b)
{
  const Extent *x = a, *y = b;

  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

/* Whether the extents, in order, tile the data without gap or overlap. */
static gboolean
check_tiling (SwittiSafetensors *self, GArray *extents, GError **error)
{
  gsize position = 0;

  g_array_sort (extents, compare_extents);
  for (guint i = 0; i < extents->len; i++)
    {
      const Extent *extent = &g_array_index (extents, Extent, i);

      if (extent->begin != position)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("In %s, tensor “%s” %s; the file is broken, get it again."), self->description, extent->name,
                       extent->begin < position ? _ ("overlaps another one") : _ ("follows a gap"));
          return FALSE;
        }
      position = extent->end;
    }
  if (position != self->data_bytes)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s has %zu bytes that belong to no tensor; the file is broken, get it again."),
                   self->description, self->data_bytes - position);
      return FALSE;
    }
  return TRUE;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static gboolean
read_tensors (SwittiSafetensors *self, JsonObject *header, GError **error)
{
  g_autoptr (GArray) extents = g_array_new (FALSE, FALSE, sizeof (Extent));
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;
  guint n_names = 0;

  self->names = g_new0 (const char *, json_object_get_size (header) + 1);
  json_object_iter_init (&iter, header);
  while (json_object_iter_next (&iter, &name, &node))
    {
      g_autofree Stored *stored = NULL;
      Extent extent = { 0 };

      if (strcmp (name, "__metadata__") == 0)
        {
          if (!parse_metadata (self, node, error))
            return FALSE;
          continue;
        }

      stored = g_new0 (Stored, 1);
      if (!parse_tensor (self, name, node, &stored->view, &extent, error))
        return FALSE;
      stored->begin = extent.begin;
      extent.name = self->names[n_names++] = g_strdup (name);
      g_hash_table_insert (self->stored, (char *) extent.name, g_steal_pointer (&stored));
      g_array_append_val (extents, extent);
    }

  if (n_names > 0)
    qsort (self->names, n_names, sizeof *self->names, compare_names);
  return check_tiling (self, extents, error);
}

gboolean
switti_safetensors_parse_length (const guint8 *start, guint64 size, const char *description, gsize *header_bytes,
                                 GError **error)
{
  guint64 length = 0;

  if (size >= SWITTI_SAFETENSORS_START_BYTES)
    {
      memcpy (&length, start, sizeof length);
      length = GUINT64_FROM_LE (length);
    }
  if (size < SWITTI_SAFETENSORS_START_BYTES || length < 2 || (length <= MAX_HEADER_BYTES && length > size - 8))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s is not a whole safetensors file: it ends inside its header; get it again."), description);
      return FALSE;
    }
  if (length > MAX_HEADER_BYTES || start[8] != '{')
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s is not a safetensors file: it does not begin with a header of at most %d bytes."),
                   description, MAX_HEADER_BYTES);
      return FALSE;
    }
  *header_bytes = (gsize) length;
  return TRUE;
}

static SwittiSafetensors *
safetensors_new (const char *description)
{
  SwittiSafetensors *self = g_new0 (SwittiSafetensors, 1);

  self->description = g_strdup (description);
  self->stored = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return self;
}

static gboolean
read_header (SwittiSafetensors *self, const char *json, gsize header_bytes, GError **error)
{
  g_autoptr (JsonObject) header = switti_json_parse_object (json, (gssize) header_bytes, self->description, error);

  return header != NULL && read_tensors (self, header, error);
}

SwittiSafetensors *
switti_safetensors_new_from_header (const char *json, gsize header_bytes, gsize data_bytes, const char *description,
                                    GError **error)
{
  g_autoptr (SwittiSafetensors) self = safetensors_new (description);

  self->data_bytes = data_bytes;
  return read_header (self, json, header_bytes, error) ? g_steal_pointer (&self) : NULL;
}

SwittiSafetensors *
switti_safetensors_new_from_bytes (GBytes *bytes, const char *description, GError **error)
{
  g_autoptr (SwittiSafetensors) self = safetensors_new (description);
  gsize size, header_bytes;
  const guint8 *start = g_bytes_get_data (bytes, &size);

  self->bytes = g_bytes_ref (bytes);
  if (!switti_safetensors_parse_length (start, size, description, &header_bytes, error))
    return NULL;
  self->data = start + 8 + header_bytes;
  self->data_bytes = size - 8 - header_bytes;
  return read_header (self, (const char *) start + 8, header_bytes, error) ? g_steal_pointer (&self) : NULL;
}

SwittiSafetensors *
switti_safetensors_open (const char *path, GError **error)
{
  g_autoptr (GMappedFile) file = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) open_error = NULL;
  g_autofree char *description = g_strdup_printf ("“%s”", path);

  file = g_mapped_file_new (path, FALSE, &open_error);
  if (file == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("The weights could not be read: %s."), open_error->message);
      return NULL;
    }
  bytes = g_mapped_file_get_bytes (file);
  return switti_safetensors_new_from_bytes (bytes, description, error);
}

void
switti_safetensors_free (SwittiSafetensors *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->stored, g_hash_table_unref);
  g_clear_pointer (&self->metadata, json_object_unref);
  g_free (self->names);
  g_free (self->description);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_free (self);
}

gboolean
switti_safetensors_lookup (SwittiSafetensors *self, const char *name, SwittiTensor *view)
{
  gsize begin;

  return switti_safetensors_locate (self, name, view, &begin);
}

gboolean
switti_safetensors_locate (SwittiSafetensors *self, const char *name, SwittiTensor *view, gsize *begin)
{
  const Stored *found = g_hash_table_lookup (self->stored, name);

  if (found == NULL)
    return FALSE;
  *view = found->view;
  *begin = found->begin;
  return TRUE;
}

const char *const *
switti_safetensors_list (SwittiSafetensors *self)
{
  return self->names;
}

const char *
switti_safetensors_get_metadata (SwittiSafetensors *self, const char *key)
{
  return self->metadata != NULL ? switti_json_get_string (self->metadata, key) : NULL;
}
