/* switti-pickle-torch.c - what a checkpoint's pickle may name and call, and the tensors in what it built
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-pickle-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_DEPTH 64
/* Entries that a walk goes through. An entry takes a byte of the pickle or more, but containers may be shared: each of
 * them, again and again, in one that is shared itself, so that a few hundred bytes would be walked for seconds. */
#define MAX_ENTRIES ((gsize) 1 << 20)
#define MAX_ENTRIES_PER_BYTE ((gsize) 16)
#define MAX_NAME_BYTES 1024

typedef enum
{
  GLOBAL_ORDERED_DICT,
  GLOBAL_SIZE,
  GLOBAL_TENSOR,
  GLOBAL_TENSOR_V2,
  GLOBAL_TENSOR_V3,
  GLOBAL_PARAMETER,
  GLOBAL_STORAGE,
  GLOBAL_UNTYPED_STORAGE,
  GLOBAL_DTYPE,
} GlobalKind;

static const struct
{
  const char *module, *name;
  GlobalKind kind;
  SwittiDtype dtype; /* of storages and dtypes */
} globals[] = {
  { "collections", "OrderedDict", GLOBAL_ORDERED_DICT, 0 },
  { "torch", "Size", GLOBAL_SIZE, 0 },
  { "torch._utils", "_rebuild_tensor", GLOBAL_TENSOR, 0 },
  { "torch._utils", "_rebuild_tensor_v2", GLOBAL_TENSOR_V2, 0 },
  { "torch._utils", "_rebuild_tensor_v3", GLOBAL_TENSOR_V3, 0 },
  { "torch._utils", "_rebuild_parameter", GLOBAL_PARAMETER, 0 },
  { "torch", "FloatStorage", GLOBAL_STORAGE, SWITTI_DTYPE_F32 },
  { "torch", "DoubleStorage", GLOBAL_STORAGE, SWITTI_DTYPE_F64 },
  { "torch", "HalfStorage", GLOBAL_STORAGE, SWITTI_DTYPE_F16 },
  { "torch", "BFloat16Storage", GLOBAL_STORAGE, SWITTI_DTYPE_BF16 },
  { "torch", "LongStorage", GLOBAL_STORAGE, SWITTI_DTYPE_I64 },
  { "torch", "IntStorage", GLOBAL_STORAGE, SWITTI_DTYPE_I32 },
  { "torch", "ByteStorage", GLOBAL_STORAGE, SWITTI_DTYPE_U8 },
  { "torch", "BoolStorage", GLOBAL_STORAGE, SWITTI_DTYPE_BOOL },
  { "torch.storage", "UntypedStorage", GLOBAL_UNTYPED_STORAGE, SWITTI_DTYPE_U8 },
  { "torch", "UntypedStorage", GLOBAL_UNTYPED_STORAGE, SWITTI_DTYPE_U8 },
  { "torch", "float32", GLOBAL_DTYPE, SWITTI_DTYPE_F32 },
  { "torch", "float64", GLOBAL_DTYPE, SWITTI_DTYPE_F64 },
  { "torch", "float16", GLOBAL_DTYPE, SWITTI_DTYPE_F16 },
  { "torch", "bfloat16", GLOBAL_DTYPE, SWITTI_DTYPE_BF16 },
  { "torch", "float8_e4m3fn", GLOBAL_DTYPE, SWITTI_DTYPE_F8_E4M3 },
  { "torch", "int64", GLOBAL_DTYPE, SWITTI_DTYPE_I64 },
  { "torch", "int32", GLOBAL_DTYPE, SWITTI_DTYPE_I32 },
  { "torch", "uint8", GLOBAL_DTYPE, SWITTI_DTYPE_U8 },
  { "torch", "bool", GLOBAL_DTYPE, SWITTI_DTYPE_BOOL },
};

static gboolean
is_word (const char *bytes, gsize length, const char *word)
{
  return strlen (word) == length && memcmp (bytes, word, length) == 0;
}

int
switti_pickle_find_global (const char *module, gsize module_length, const char *name, gsize name_length)
{
  for (guint i = 0; i < G_N_ELEMENTS (globals); i++)
    if (is_word (module, module_length, globals[i].module) && is_word (name, name_length, globals[i].name))
      return (int) i;
  return -1;
}

/* -- tensors ------------------------------------------------------------------------------------------------ */

static gboolean
read_sizes (const SwittiPickleValue *value, int *n_dims, gint64 *sizes)
{
  if ((value->type != SWITTI_PICKLE_TUPLE && value->type != SWITTI_PICKLE_LIST) ||
      value->list.n > SWITTI_TENSOR_MAX_DIMS)
    return FALSE;
  *n_dims = (int) value->list.n;
  for (int i = 0; i < *n_dims; i++)
    {
      const SwittiPickleValue *size = value->list.items[i];

      if (size->type != SWITTI_PICKLE_INTEGER || size->integer < 0)
        return FALSE;
      sizes[i] = size->integer;
    }
  return TRUE;
}

/* Elements of the tensor's dtype in its storage. */
static guint64
storage_elements (const SwittiPickleTensor *tensor)
{
  return tensor->storage->is_untyped ? tensor->storage->numel / switti_dtype_size (tensor->dtype)
                                     : tensor->storage->numel;
}

/* Whether all elements are inside the storage. */
static gboolean
is_inside (const SwittiPickleTensor *tensor)
{
  guint64 last = tensor->offset;
  gsize bytes;

  if (!switti_shape_bytes (tensor->dtype, tensor->n_dims, tensor->dims, &bytes))
    return FALSE;
  if (tensor->count == 0)
    return TRUE;
  for (int i = 0; i < tensor->n_dims; i++)
    {
      guint64 reach;

      if (!g_uint64_checked_mul (&reach, (guint64) tensor->dims[i] - 1, (guint64) tensor->strides[i]) ||
          !g_uint64_checked_add (&last, last, reach))
        return FALSE;
    }
  return last < storage_elements (tensor);
}

/* (storage, offset, size, stride, …): the arguments that all versions begin with. */
static gboolean
rebuild_tensor (SwittiPickle *pickle, SwittiPickleAllocate allocate, const SwittiPickleValue *arguments, int dtype,
                SwittiPickleValue *result)
{
  SwittiPickleValue **items = arguments->list.items;
  SwittiPickleTensor *tensor;
  int n_strides;

  if (arguments->list.n < 4 || items[0]->type != SWITTI_PICKLE_STORAGE || items[1]->type != SWITTI_PICKLE_INTEGER ||
      items[1]->integer < 0 || (dtype < 0 && items[0]->storage->is_untyped))
    return FALSE;
  tensor = allocate (pickle, sizeof *tensor);
  tensor->storage = items[0]->storage;
  tensor->dtype = dtype >= 0 ? (SwittiDtype) dtype : tensor->storage->dtype;
  tensor->offset = (guint64) items[1]->integer;
  if (!read_sizes (items[2], &tensor->n_dims, tensor->dims) || !read_sizes (items[3], &n_strides, tensor->strides) ||
      n_strides != tensor->n_dims || !switti_shape_count (tensor->n_dims, tensor->dims, &tensor->count) ||
      !is_inside (tensor))
    return FALSE;
  result->type = SWITTI_PICKLE_TENSOR;
  result->tensor = tensor;
  return TRUE;
}

/* The seventh argument says the dtype. */
static gboolean
rebuild_tensor_v3 (SwittiPickle *pickle, SwittiPickleAllocate allocate, const SwittiPickleValue *arguments,
                   SwittiPickleValue *result)
{
  const SwittiPickleValue *dtype = arguments->list.n >= 7 ? arguments->list.items[6] : NULL;

  if (dtype == NULL || dtype->type != SWITTI_PICKLE_GLOBAL || globals[dtype->global].kind != GLOBAL_DTYPE)
    return FALSE;
  return rebuild_tensor (pickle, allocate, arguments, (int) globals[dtype->global].dtype, result);
}

/* OrderedDict () or OrderedDict ([(key, value), …]) */
static gboolean
build_dict (const SwittiPickleValue *arguments, SwittiPickleValue *result)
{
  const SwittiPickleValue *pairs = arguments->list.n > 0 ? arguments->list.items[0] : NULL;
  SwittiPickleValue **items;

  if (arguments->list.n > 1 || (pairs != NULL && pairs->type != SWITTI_PICKLE_LIST))
    return FALSE;
  for (gsize i = 0; pairs != NULL && i < pairs->list.n; i++)
    {
      const SwittiPickleValue *pair = pairs->list.items[i];

      if ((pair->type != SWITTI_PICKLE_TUPLE && pair->type != SWITTI_PICKLE_LIST) || pair->list.n != 2)
        return FALSE;
    }
  items = pairs != NULL && pairs->list.n > 0 ? g_new (SwittiPickleValue *, 2 * pairs->list.n) : NULL;
  for (gsize i = 0; items != NULL && i < pairs->list.n; i++)
    {
      items[2 * i] = pairs->list.items[i]->list.items[0];
      items[2 * i + 1] = pairs->list.items[i]->list.items[1];
    }
  result->type = SWITTI_PICKLE_DICT;
  result->list.items = items;
  result->list.n = result->list.capacity = items != NULL ? 2 * pairs->list.n : 0;
  return TRUE;
}

/* Size ((2, 3)) is the tuple. */
static gboolean
build_size (const SwittiPickleValue *arguments, SwittiPickleValue *result)
{
  const SwittiPickleValue *sizes = arguments->list.n == 1 ? arguments->list.items[0] : NULL;

  if (sizes == NULL || (sizes->type != SWITTI_PICKLE_TUPLE && sizes->type != SWITTI_PICKLE_LIST))
    return FALSE;
  result->type = SWITTI_PICKLE_TUPLE;
  result->list.items = g_memdup2 (sizes->list.items, sizes->list.n * sizeof *sizes->list.items);
  result->list.n = result->list.capacity = sizes->list.n;
  return TRUE;
}

gboolean
switti_pickle_call (SwittiPickle *self, SwittiPickleAllocate allocate, int global, const SwittiPickleValue *arguments,
                    SwittiPickleValue *result)
{
  switch (globals[global].kind)
    {
    case GLOBAL_ORDERED_DICT:
      return build_dict (arguments, result);
    case GLOBAL_SIZE:
      return build_size (arguments, result);
    case GLOBAL_TENSOR:
    case GLOBAL_TENSOR_V2:
      return rebuild_tensor (self, allocate, arguments, -1, result);
    case GLOBAL_TENSOR_V3:
      return rebuild_tensor_v3 (self, allocate, arguments, result);
    case GLOBAL_PARAMETER: /* (tensor, requires_grad, hooks) */
      if (arguments->list.n < 1 || arguments->list.items[0]->type != SWITTI_PICKLE_TENSOR)
        return FALSE;
      result->type = SWITTI_PICKLE_TENSOR;
      result->tensor = arguments->list.items[0]->tensor;
      return TRUE;
    case GLOBAL_STORAGE:
    case GLOBAL_UNTYPED_STORAGE:
    case GLOBAL_DTYPE:
      return FALSE;
    }
  return FALSE;
}

/* (view key, offset, size): the storage is a part of another one, which has the key. */
static gboolean
read_view (const SwittiPickleValue *view, SwittiPickleStorage *storage)
{
  if (view->type == SWITTI_PICKLE_NONE)
    return TRUE;
  if (view->type != SWITTI_PICKLE_TUPLE || view->list.n != 3 || view->list.items[1]->type != SWITTI_PICKLE_INTEGER ||
      view->list.items[1]->integer < 0 || view->list.items[2]->type != SWITTI_PICKLE_INTEGER ||
      view->list.items[2]->integer < 0)
    return FALSE;
  storage->view_offset = (guint64) view->list.items[1]->integer;
  storage->numel = (guint64) view->list.items[2]->integer;
  return TRUE;
}

gboolean
switti_pickle_load_persistent (SwittiPickle *self, SwittiPickleAllocate allocate, const SwittiPickleValue *id,
                               SwittiPickleValue *result)
{
  SwittiPickleValue **items = id->list.items;
  SwittiPickleStorage *storage;
  guint64 bytes;

  if (id->type != SWITTI_PICKLE_TUPLE || id->list.n < 5 || id->list.n > 6)
    return FALSE;
  if (items[0]->type != SWITTI_PICKLE_STRING || !is_word (items[0]->string.bytes, items[0]->string.length, "storage") ||
      items[1]->type != SWITTI_PICKLE_GLOBAL || items[2]->type != SWITTI_PICKLE_STRING ||
      items[4]->type != SWITTI_PICKLE_INTEGER || items[4]->integer < 0)
    return FALSE;
  if (globals[items[1]->global].kind != GLOBAL_STORAGE && globals[items[1]->global].kind != GLOBAL_UNTYPED_STORAGE)
    return FALSE;

  storage = allocate (self, sizeof *storage);
  storage->dtype = globals[items[1]->global].dtype;
  storage->is_untyped = globals[items[1]->global].kind == GLOBAL_UNTYPED_STORAGE;
  storage->key = items[2]->string.bytes;
  storage->key_length = items[2]->string.length;
  storage->numel = (guint64) items[4]->integer;
  if (id->list.n == 6 && !read_view (items[5], storage))
    return FALSE;
  if (!g_uint64_checked_add (&bytes, storage->view_offset, storage->numel) ||
      !g_uint64_checked_mul (&bytes, bytes, switti_dtype_size (storage->dtype)))
    return FALSE;
  result->type = SWITTI_PICKLE_STORAGE;
  result->storage = storage;
  return TRUE;
}

/* -- walking ------------------------------------------------------------------------------------------------ */

typedef struct
{
  const char *description;
  SwittiPickleTensorFunc function;
  gpointer data;
  GString *name; /* of where the walk is */
  gsize n_entries, max_entries;
  guint depth;
} Walk;

static gboolean
refuse (const Walk *self, const char *why, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("%s is refused: its dictionaries %s, as no checkpoint's do."), self->description, why);
  return FALSE;
}

static gboolean walk (Walk *self, SwittiPickleValue *value, GError **error);

/* Goes into an entry under its key. Keys that are neither text nor numbers name no tensor of a model. */
static gboolean
walk_entry (Walk *self, const SwittiPickleValue *key, gsize index, SwittiPickleValue *value, GError **error)
{
  gsize length = self->name->len;
  gboolean good;

  if (value->type != SWITTI_PICKLE_TENSOR && value->type != SWITTI_PICKLE_DICT &&
      value->type != SWITTI_PICKLE_LIST && value->type != SWITTI_PICKLE_TUPLE)
    return TRUE;
  if (length > 0)
    g_string_append_c (self->name, '.');
  if (key == NULL)
    g_string_append_printf (self->name, "%zu", index);
  else if (key->type == SWITTI_PICKLE_INTEGER)
    g_string_append_printf (self->name, "%" G_GINT64_FORMAT, key->integer);
  else if (key->type == SWITTI_PICKLE_STRING)
    {
      if (key->string.length > MAX_NAME_BYTES || memchr (key->string.bytes, '\0', key->string.length) != NULL ||
          !g_utf8_validate (key->string.bytes, (gssize) key->string.length, NULL))
        return refuse (self, _ ("have keys that are no text"), error);
      g_string_append_len (self->name, key->string.bytes, (gssize) key->string.length);
    }
  else
    {
      g_string_truncate (self->name, length);
      return TRUE;
    }
  good = walk (self, value, error);
  g_string_truncate (self->name, length);
  return good;
}

static gboolean
walk_items (Walk *self, SwittiPickleValue *value, GError **error)
{
  gboolean is_dict = value->type == SWITTI_PICKLE_DICT;

  for (gsize i = 0; i < value->list.n; i += is_dict ? 2 : 1)
    {
      if (++self->n_entries > self->max_entries)
        return refuse (self, _ ("hold the same parts again and again, or millions of entries"), error);
      if (!walk_entry (self, is_dict ? value->list.items[i] : NULL, i, value->list.items[is_dict ? i + 1 : i], error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
walk (Walk *self, SwittiPickleValue *value, GError **error)
{
  gboolean good;

  if (value->type == SWITTI_PICKLE_TENSOR)
    return self->function (self->name->str, value->tensor, self->data, error);
  if (value->type != SWITTI_PICKLE_DICT && value->type != SWITTI_PICKLE_LIST && value->type != SWITTI_PICKLE_TUPLE)
    return TRUE;
  if (value->is_open)
    return refuse (self, _ ("hold themselves"), error);
  if (self->depth >= MAX_DEPTH)
    return refuse (self, _ ("are nested deeper than 64 levels"), error);
  value->is_open = TRUE;
  self->depth++;
  good = walk_items (self, value, error);
  self->depth--;
  value->is_open = FALSE;
  return good;
}

gboolean
switti_pickle_foreach_tensor (SwittiPickle *self, SwittiPickleTensorFunc function, gpointer data, GError **error)
{
  g_autoptr (GString) name = g_string_new (NULL);
  gsize max_entries = MIN (MAX_ENTRIES, MAX_ENTRIES_PER_BYTE * switti_pickle_get_length (self));
  Walk state = { switti_pickle_get_description (self), function, data, name, 0, max_entries, 0 };

  return walk (&state, switti_pickle_get_root (self), error);
}
