/* switti-tensor-source.c - named tensors in a checkpoint, read where they lie
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-tensor-source-parts-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* A view with strides is gathered from the part of its storage that it spans, which is held in memory for it. The
 * largest tensor of published checkpoints, bigG's token embedding in float32, has 253 MB. */
#define MAX_SPAN_BYTES ((gsize) 512 << 20)

struct _SwittiTensorSource
{
  char *description;
  GPtrArray *tensors; /* SwittiStoredTensor */
  GHashTable *by_name;
  GPtrArray *homes; /* SwittiTensorHome */

  /* the span of the strided tensor that was read last */
  const SwittiStoredTensor *spanned;
  guint8 *span;
};

static void
free_home (gpointer data)
{
  SwittiTensorHome *home = data;

  g_clear_pointer (&home->zip, switti_zip_free);
  g_array_unref (home->storages);
  switti_byte_source_unref (home->bytes);
  g_free (home);
}

static void
free_tensor (gpointer data)
{
  SwittiStoredTensor *tensor = data;

  g_free (tensor->name);
  g_free (tensor);
}

static SwittiTensorSource *
source_new (const char *description)
{
  SwittiTensorSource *self = g_new0 (SwittiTensorSource, 1);

  self->description = g_strdup (description);
  self->tensors = g_ptr_array_new_with_free_func (free_tensor);
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  self->homes = g_ptr_array_new_with_free_func (free_home);
  return self;
}

SwittiTensorSource *
switti_tensor_source_create (SwittiByteSource *bytes, SwittiZip *zip)
{
  SwittiTensorSource *self = source_new (switti_byte_source_get_description (bytes));
  SwittiTensorHome *home = g_new0 (SwittiTensorHome, 1);

  home->bytes = switti_byte_source_ref (bytes);
  home->zip = zip;
  home->storages = g_array_new (FALSE, TRUE, sizeof (SwittiStorage));
  g_ptr_array_add (self->homes, home);
  return self;
}

void
switti_tensor_source_free (SwittiTensorSource *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->by_name);
  g_ptr_array_unref (self->tensors);
  g_ptr_array_unref (self->homes);
  g_free (self->span);
  g_free (self->description);
  g_free (self);
}

SwittiTensorHome *
switti_tensor_source_get_home (SwittiTensorSource *self)
{
  return g_ptr_array_index (self->homes, 0);
}

/* -- adding ------------------------------------------------------------------------------------------------- */

/* The element that lies farthest behind the tensor's first; FALSE where that number overflows. */
static gboolean
find_reach (const SwittiStoredTensor *tensor, guint64 *reach)
{
  *reach = 0;
  for (int i = 0; i < tensor->n_dims; i++)
    {
      guint64 along;

      if (tensor->dims[i] < 1 || tensor->strides[i] < 0 ||
          !g_uint64_checked_mul (&along, (guint64) tensor->dims[i] - 1, (guint64) tensor->strides[i]) ||
          !g_uint64_checked_add (reach, *reach, along))
        return FALSE;
    }
  return TRUE;
}

static gboolean
is_inside (const SwittiStoredTensor *tensor, const SwittiStorage *storage)
{
  guint64 end;

  return tensor->count == 0 ||
         (find_reach (tensor, &end) && g_uint64_checked_add (&end, end, tensor->offset) &&
          g_uint64_checked_add (&end, end, 1) && g_uint64_checked_mul (&end, end, switti_dtype_size (tensor->dtype)) &&
          end <= storage->bytes);
}

static gboolean
is_dense (const SwittiStoredTensor *tensor)
{
  gint64 stride = 1;

  for (int i = tensor->n_dims - 1; i >= 0; i--)
    {
      if (tensor->dims[i] != 1 && tensor->strides[i] != stride)
        return FALSE;
      stride *= tensor->dims[i];
    }
  return TRUE;
}

gboolean
switti_tensor_source_add (SwittiTensorSource *self, SwittiStoredTensor *tensor, GError **error)
{
  SwittiTensorHome *home = g_ptr_array_index (self->homes, tensor->home);
  gsize bytes;

  g_ptr_array_add (self->tensors, tensor);
  if (!switti_shape_bytes (tensor->dtype, tensor->n_dims, tensor->dims, &bytes) ||
      !switti_shape_count (tensor->n_dims, tensor->dims, &tensor->count) ||
      !is_inside (tensor, &g_array_index (home->storages, SwittiStorage, tensor->storage)))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("In %s, tensor “%s” lies outside the file, which is broken or cut short; get it again."),
                   self->description, tensor->name);
      return FALSE;
    }
  tensor->is_dense = tensor->count == 0 || is_dense (tensor);
  if (g_hash_table_insert (self->by_name, tensor->name, tensor))
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("%s holds two tensors of the name “%s”."),
               self->description, tensor->name);
  return FALSE;
}

static int
compare_places (gconstpointer a, gconstpointer b)
{
  const SwittiStoredTensor *x = *(const SwittiStoredTensor *const *) a, *y = *(const SwittiStoredTensor *const *) b;

  if (x->home != y->home)
    return x->home < y->home ? -1 : 1;
  if (x->storage != y->storage)
    return x->storage < y->storage ? -1 : 1;
  if (x->offset != y->offset)
    return x->offset < y->offset ? -1 : 1;
  return strcmp (x->name, y->name);
}

void
switti_tensor_source_sort (SwittiTensorSource *self)
{
  g_ptr_array_sort (self->tensors, compare_places);
}

SwittiTensorSource *
switti_tensor_source_new_joined (GPtrArray *sources, const char *description, GError **error)
{
  g_autoptr (SwittiTensorSource) self = source_new (description);

  for (guint i = 0; i < sources->len; i++)
    {
      g_autoptr (SwittiTensorSource) part = g_ptr_array_index (sources, i);
      guint first_home = self->homes->len;

      sources->pdata[i] = NULL;
      g_ptr_array_extend_and_steal (self->homes, g_steal_pointer (&part->homes));
      part->homes = g_ptr_array_new_with_free_func (free_home);
      while (part->tensors->len > 0)
        {
          SwittiStoredTensor *tensor = g_ptr_array_steal_index (part->tensors, 0);

          tensor->home += first_home;
          g_ptr_array_add (self->tensors, tensor);
          if (g_hash_table_insert (self->by_name, tensor->name, tensor))
            continue;
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("%s holds two tensors of the name “%s”."),
                       description, tensor->name);
          for (guint j = i + 1; j < sources->len; j++)
            switti_tensor_source_free (g_steal_pointer (&sources->pdata[j]));
          return NULL;
        }
    }
  return g_steal_pointer (&self);
}

/* -- reading ------------------------------------------------------------------------------------------------ */

const char *
switti_tensor_source_get_description (SwittiTensorSource *self)
{
  return self->description;
}

guint
switti_tensor_source_get_n (SwittiTensorSource *self)
{
  return self->tensors->len;
}

const SwittiStoredTensor *
switti_tensor_source_get (SwittiTensorSource *self, guint index)
{
  return g_ptr_array_index (self->tensors, index);
}

const SwittiStoredTensor *
switti_tensor_source_find (SwittiTensorSource *self, const char *name)
{
  return g_hash_table_lookup (self->by_name, name);
}

/* The tensor's storage, located where that is possible. */
static SwittiStorage *
find_storage (SwittiTensorSource *self, const SwittiStoredTensor *tensor, GCancellable *cancellable, GError **error)
{
  SwittiTensorHome *home = g_ptr_array_index (self->homes, tensor->home);
  SwittiStorage *storage = &g_array_index (home->storages, SwittiStorage, tensor->storage);

  if (home->zip != NULL && !switti_zip_locate (home->zip, tensor->storage, storage, cancellable, error))
    return NULL;
  return storage;
}

static gboolean
read_storage (SwittiTensorSource *self, const SwittiStoredTensor *tensor, guint64 offset, void *out, gsize bytes,
              GCancellable *cancellable, GError **error)
{
  SwittiTensorHome *home = g_ptr_array_index (self->homes, tensor->home);
  const SwittiStorage *storage = find_storage (self, tensor, cancellable, error);

  if (storage == NULL)
    return FALSE;
  if (storage->is_compressed)
    return switti_zip_read (home->zip, tensor->storage, offset, out, bytes, cancellable, error);
  return switti_byte_source_read (home->bytes, storage->begin + offset, out, bytes, cancellable, error);
}

static gboolean
read_span (SwittiTensorSource *self, const SwittiStoredTensor *tensor, GCancellable *cancellable, GError **error)
{
  gsize size = switti_dtype_size (tensor->dtype);
  guint64 reach;

  g_clear_pointer (&self->span, g_free);
  self->spanned = NULL;
  if (!find_reach (tensor, &reach) || reach >= MAX_SPAN_BYTES / size)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED,
                   _ ("In %s, tensor “%s” is a view across more than %zu MiB; save it as a tensor of its own."),
                   self->description, tensor->name, MAX_SPAN_BYTES >> 20);
      return FALSE;
    }
  self->span = g_try_malloc ((gsize) (reach + 1) * size);
  if (self->span == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY,
                   _ ("There are not %zu bytes of memory free for “%s”; close other programs."),
                   (gsize) (reach + 1) * size, tensor->name);
      return FALSE;
    }
  if (!read_storage (self, tensor, tensor->offset * size, self->span, (gsize) (reach + 1) * size, cancellable, error))
    return FALSE;
  self->spanned = tensor;
  return TRUE;
}

/* Copies elements of `size` bytes from the span in row-major order. */
static void
gather (const SwittiStoredTensor *tensor, const guint8 *span, gsize first, gsize count, guint8 *out)
{
  gsize size = switti_dtype_size (tensor->dtype);
  gint64 index[SWITTI_TENSOR_MAX_DIMS];
  gsize rest = first;

  for (int i = tensor->n_dims - 1; i >= 0; i--)
    {
      index[i] = (gint64) (rest % (gsize) tensor->dims[i]);
      rest /= (gsize) tensor->dims[i];
    }
  for (gsize n = 0; n < count; n++)
    {
      gsize place = 0;

      for (int i = 0; i < tensor->n_dims; i++)
        place += (gsize) (index[i] * tensor->strides[i]);
      memcpy (out + n * size, span + place * size, size);
      for (int i = tensor->n_dims - 1; i >= 0 && ++index[i] == tensor->dims[i]; i--)
        index[i] = 0;
    }
}

gboolean
switti_tensor_source_read (SwittiTensorSource *self, const SwittiStoredTensor *tensor, gsize first, gsize count,
                           void *out, GCancellable *cancellable, GError **error)
{
  gsize size = switti_dtype_size (tensor->dtype);

  g_assert (first <= tensor->count && count <= tensor->count - first);
  if (count == 0)
    return TRUE;
  if (tensor->is_dense)
    return read_storage (self, tensor, (tensor->offset + first) * size, out, count * size, cancellable, error);
  if (self->spanned != tensor && !read_span (self, tensor, cancellable, error))
    return FALSE;
  gather (tensor, self->span, first, count, out);
  if (first + count == tensor->count)
    {
      g_clear_pointer (&self->span, g_free);
      self->spanned = NULL;
    }
  return TRUE;
}

gboolean
switti_tensor_source_locate (SwittiTensorSource *self, const SwittiStoredTensor *tensor, SwittiByteSource **bytes,
                             guint64 *begin, guint64 *end)
{
  SwittiTensorHome *home = g_ptr_array_index (self->homes, tensor->home);
  const SwittiStorage *storage = find_storage (self, tensor, NULL, NULL);
  gsize size = switti_dtype_size (tensor->dtype);

  if (storage == NULL || storage->is_compressed || !tensor->is_dense)
    return FALSE;
  *bytes = home->bytes;
  *begin = storage->begin + tensor->offset * size;
  *end = *begin + tensor->count * size;
  return TRUE;
}
