/* switti-pickle-private.h - plain data from a pickle
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A pickle is a program for a stack machine, made to build any object by calling anything. This interpreter builds
 * numbers, strings, lists, tuples, dictionaries and descriptions of tensors, and refuses all else by name; it calls
 * nothing.
 */
#pragma once

#include "switti-tensor-private.h"

G_BEGIN_DECLS

typedef enum
{
  SWITTI_PICKLE_NONE,
  SWITTI_PICKLE_BOOLEAN,
  SWITTI_PICKLE_INTEGER,
  SWITTI_PICKLE_LONG, /* an integer of more than 64 bits: bytes, little endian */
  SWITTI_PICKLE_FLOAT,
  SWITTI_PICKLE_STRING, /* str or bytes; any bytes */
  SWITTI_PICKLE_TUPLE,
  SWITTI_PICKLE_LIST,
  SWITTI_PICKLE_DICT, /* items: key, value, key, value, … */
  SWITTI_PICKLE_GLOBAL,
  SWITTI_PICKLE_STORAGE,
  SWITTI_PICKLE_TENSOR,
} SwittiPickleType;

typedef struct _SwittiPickleValue SwittiPickleValue;

/* A storage by the name that it has in the file. */
typedef struct
{
  SwittiDtype dtype;
  gboolean is_untyped; /* numel counts bytes, and the tensor says the dtype */
  const char *key;     /* key_length bytes of the pickle, or a number as text */
  gsize key_length;
  guint64 numel;
  guint64 view_offset; /* elements of the storage `key` before this one's first (legacy files) */
} SwittiPickleStorage;

/* Every element of it is inside its storage. */
typedef struct
{
  const SwittiPickleStorage *storage;
  SwittiDtype dtype;
  guint64 offset; /* elements */
  int n_dims;
  gint64 dims[SWITTI_TENSOR_MAX_DIMS], strides[SWITTI_TENSOR_MAX_DIMS];
  gsize count;
} SwittiPickleTensor;

struct _SwittiPickleValue
{
  SwittiPickleType type;
  gboolean is_open; /* for walkers: they are inside it */
  union
  {
    gint64 integer; /* and boolean */
    double number;
    struct
    {
      const char *bytes; /* in the pickle; not terminated */
      gsize length;
    } string; /* and long */
    struct
    {
      SwittiPickleValue **items;
      gsize n, capacity;
    } list; /* and tuple and dict */
    int global;
    SwittiPickleStorage *storage;
    SwittiPickleTensor *tensor;
  };
};

typedef struct _SwittiPickle SwittiPickle;

/* Interprets the pickle at the start of data; *used is its length. The values point into data, which must stay.
 * SWITTI_ERROR_MODEL_INVALID: "<description> …". */
SwittiPickle *switti_pickle_parse (const guint8 *data, gsize length, gsize *used, const char *description,
                                   GError **error);
void switti_pickle_free (SwittiPickle *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiPickle, switti_pickle_free)

/* What it built; belongs to self. */
SwittiPickleValue *switti_pickle_get_root (SwittiPickle *self);

/* How many bytes the pickle has. */
gsize switti_pickle_get_length (SwittiPickle *self);

/* Every storage that it names, also those of no tensor, as SwittiPickleStorage; belongs to self. */
GPtrArray *switti_pickle_get_storages (SwittiPickle *self);
const char *switti_pickle_get_description (SwittiPickle *self);

/* Called with the keys that lead to a tensor, joined by dots. FALSE with error set ends the walk. */
typedef gboolean (*SwittiPickleTensorFunc) (const char *name, const SwittiPickleTensor *tensor, gpointer data,
                                            GError **error);
/* Every tensor in the dictionaries, lists and tuples of the root. Containers that hold themselves, are nested deeper
 * than 64 levels, or are shared so often that there would be millions of entries are refused. */
gboolean switti_pickle_foreach_tensor (SwittiPickle *self, SwittiPickleTensorFunc function, gpointer data,
                                       GError **error);

/* -- between switti-pickle.c (the machine) and switti-pickle-torch.c (what may be named and called) ----------- */

/* The number of an allowed global, or -1. */
int switti_pickle_find_global (const char *module, gsize module_length, const char *name, gsize name_length);
/* Calls of allowed globals: an OrderedDict, a tensor, a tuple. The result is written to *result, which has type NONE.
 * FALSE where the arguments are not those of `global`; `allocate` gives zeroed memory that lives as long as the
 * pickle. */
typedef gpointer (*SwittiPickleAllocate) (SwittiPickle *self, gsize bytes);
gboolean switti_pickle_call (SwittiPickle *self, SwittiPickleAllocate allocate, int global,
                             const SwittiPickleValue *arguments, SwittiPickleValue *result);
/* ('storage', type, key, location, numel[, view]) to a storage. */
gboolean switti_pickle_load_persistent (SwittiPickle *self, SwittiPickleAllocate allocate,
                                        const SwittiPickleValue *id, SwittiPickleValue *result);

G_END_DECLS
