/* switti-pickle.c - the stack machine of pickles, for plain data
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Opcodes of the protocols 2 to 5 as far as plain data needs them (Python's pickletools describes each). Every value is
 * owned by the pickle, so that cycles do no harm; how many there may be is bounded, so that a small file cannot fill
 * the memory.
 */
#include "switti-pickle-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_PROTOCOL 5
/* A checkpoint has some thousand tensors of about 30 values each. */
#define MAX_VALUES ((gsize) 2 << 20)
#define VALUES_PER_BLOCK 1024

enum
{
  OP_MARK = '(', OP_STOP = '.', OP_POP = '0', OP_POP_MARK = '1', OP_DUP = '2', OP_BINFLOAT = 'G', OP_BININT = 'J',
  OP_BININT1 = 'K', OP_BININT2 = 'M', OP_NONE = 'N', OP_BINPERSID = 'Q', OP_REDUCE = 'R', OP_BINSTRING = 'T',
  OP_SHORT_BINSTRING = 'U', OP_BINUNICODE = 'X', OP_APPEND = 'a', OP_BUILD = 'b', OP_GLOBAL = 'c', OP_DICT = 'd',
  OP_APPENDS = 'e', OP_BINGET = 'h', OP_LONG_BINGET = 'j', OP_LIST = 'l', OP_BINPUT = 'q', OP_LONG_BINPUT = 'r',
  OP_SETITEM = 's', OP_TUPLE = 't', OP_SETITEMS = 'u', OP_EMPTY_DICT = '}', OP_EMPTY_LIST = ']', OP_EMPTY_TUPLE = ')',
  OP_BINBYTES = 'B', OP_SHORT_BINBYTES = 'C', OP_PROTO = 0x80, OP_TUPLE1 = 0x85, OP_TUPLE2 = 0x86, OP_TUPLE3 = 0x87,
  OP_NEWTRUE = 0x88, OP_NEWFALSE = 0x89, OP_LONG1 = 0x8a, OP_LONG4 = 0x8b, OP_SHORT_BINUNICODE = 0x8c,
  OP_BINUNICODE8 = 0x8d, OP_BINBYTES8 = 0x8e, OP_STACK_GLOBAL = 0x93, OP_MEMOIZE = 0x94, OP_FRAME = 0x95,
  OP_BYTEARRAY8 = 0x96,
};

struct _SwittiPickle
{
  const char *description;
  const guint8 *start, *next, *end;
  gsize n_values;
  GPtrArray *blocks;    /* arrays of VALUES_PER_BLOCK values */
  GPtrArray *allocated; /* g_free() */
  GPtrArray *stack;     /* SwittiPickleValue; NULL is a mark */
  GArray *marks;        /* guint: places of the marks */
  GPtrArray *memo;      /* SwittiPickleValue, or NULL */
  gsize n_memoized;     /* what MEMOIZE counts */
  GPtrArray *storages;  /* SwittiPickleStorage, of allocated */
  SwittiPickleValue *root;
};

/* -- errors ------------------------------------------------------------------------------------------------- */

static gboolean
broken (SwittiPickle *self, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("%s holds a broken pickle (at byte %zu of it); get the file again."), self->description,
               (gsize) (self->next - self->start));
  return FALSE;
}

static gboolean
refuse_global (SwittiPickle *self, const char *module, gsize module_length, const char *name, gsize name_length,
               GError **error)
{
  g_autofree char *valid_module = g_utf8_make_valid (module, (gssize) MIN (module_length, 100));
  g_autofree char *valid_name = g_utf8_make_valid (name, (gssize) MIN (name_length, 100));

  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("%s is refused because it would call “%s.%s”, which is no plain data; nothing of it was run."),
               self->description, valid_module, valid_name);
  return FALSE;
}

static gboolean
too_many (SwittiPickle *self, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("%s holds more than %zu values, which no checkpoint needs."), self->description, MAX_VALUES);
  return FALSE;
}

/* -- memory ------------------------------------------------------------------------------------------------- */

static gpointer
allocate (SwittiPickle *self, gsize bytes)
{
  gpointer memory = g_malloc0 (bytes);

  g_ptr_array_add (self->allocated, memory);
  return memory;
}

/* NULL where there are too many. */
static SwittiPickleValue *
new_value (SwittiPickle *self, SwittiPickleType type)
{
  SwittiPickleValue *value;

  if (self->n_values >= MAX_VALUES)
    return NULL;
  if (self->n_values % VALUES_PER_BLOCK == 0)
    g_ptr_array_add (self->blocks, g_new0 (SwittiPickleValue, VALUES_PER_BLOCK));
  value = (SwittiPickleValue *) g_ptr_array_index (self->blocks, self->blocks->len - 1)
          + self->n_values++ % VALUES_PER_BLOCK;
  value->type = type;
  return value;
}

static void
add_item (SwittiPickleValue *list, SwittiPickleValue *item)
{
  if (list->list.n == list->list.capacity)
    {
      list->list.capacity = MAX (2 * list->list.capacity, 4);
      list->list.items = g_renew (SwittiPickleValue *, list->list.items, list->list.capacity);
    }
  list->list.items[list->list.n++] = item;
}

static gboolean
has_items (const SwittiPickleValue *value)
{
  return value->type == SWITTI_PICKLE_TUPLE || value->type == SWITTI_PICKLE_LIST || value->type == SWITTI_PICKLE_DICT;
}

static void
free_block (SwittiPickleValue *block)
{
  for (int i = 0; i < VALUES_PER_BLOCK; i++)
    if (has_items (&block[i]))
      g_free (block[i].list.items);
  g_free (block);
}

void
switti_pickle_free (SwittiPickle *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->blocks->len; i++)
    free_block (g_ptr_array_index (self->blocks, i));
  g_ptr_array_unref (self->blocks);
  g_ptr_array_unref (self->allocated);
  g_ptr_array_unref (self->stack);
  g_array_unref (self->marks);
  g_ptr_array_unref (self->memo);
  g_ptr_array_unref (self->storages);
  g_free (self);
}

/* -- the stack ---------------------------------------------------------------------------------------------- */

static gboolean
push (SwittiPickle *self, SwittiPickleValue *value, GError **error)
{
  if (value == NULL || self->stack->len >= MAX_VALUES)
    return too_many (self, error);
  g_ptr_array_add (self->stack, value);
  return TRUE;
}

/* The topmost value, or NULL where there is none or it is a mark. */
static SwittiPickleValue *
top (SwittiPickle *self)
{
  return self->stack->len > 0 ? g_ptr_array_index (self->stack, self->stack->len - 1) : NULL;
}

static SwittiPickleValue *
pop (SwittiPickle *self)
{
  SwittiPickleValue *value = top (self);

  if (value != NULL)
    g_ptr_array_set_size (self->stack, (int) self->stack->len - 1);
  return value;
}

/* The place of the topmost mark; FALSE where there is none. */
static gboolean
find_mark (SwittiPickle *self, guint *place)
{
  if (self->marks->len == 0)
    return FALSE;
  *place = g_array_index (self->marks, guint, self->marks->len - 1);
  return TRUE;
}

/* How many values lie above it. */
static guint
count_above_mark (SwittiPickle *self)
{
  guint mark;

  return find_mark (self, &mark) ? self->stack->len - mark - 1 : self->stack->len;
}

/* Removes the topmost mark, and with it what lies above. */
static void
drop_to_mark (SwittiPickle *self, guint mark)
{
  g_ptr_array_set_size (self->stack, (int) mark);
  g_array_set_size (self->marks, self->marks->len - 1);
}

/* -- arguments of opcodes ----------------------------------------------------------------------------------- */

static gboolean
read_uint (SwittiPickle *self, int bytes, guint64 *number)
{
  if (self->end - self->next < bytes)
    return FALSE;
  *number = 0;
  for (int i = 0; i < bytes; i++)
    *number |= (guint64) self->next[i] << (8 * i);
  self->next += bytes;
  return TRUE;
}

/* A string with its length before it. */
static gboolean
push_string (SwittiPickle *self, int length_bytes, GError **error)
{
  SwittiPickleValue *value;
  guint64 length;

  if (!read_uint (self, length_bytes, &length) || length > (guint64) (self->end - self->next))
    return broken (self, error);
  value = new_value (self, SWITTI_PICKLE_STRING);
  if (value != NULL)
    {
      value->string.bytes = (const char *) self->next;
      value->string.length = (gsize) length;
    }
  self->next += length;
  return push (self, value, error);
}

static gboolean
push_integer (SwittiPickle *self, int bytes, GError **error)
{
  SwittiPickleValue *value;
  guint64 number;

  if (!read_uint (self, bytes, &number))
    return broken (self, error);
  value = new_value (self, SWITTI_PICKLE_INTEGER);
  if (value != NULL)
    value->integer = bytes == 4 ? (gint32) number : (gint64) number;
  return push (self, value, error);
}

/* Two's complement, little endian, as many bytes as it needs. */
static gboolean
push_long (SwittiPickle *self, int length_bytes, GError **error)
{
  SwittiPickleValue *value;
  guint64 length;

  if (!read_uint (self, length_bytes, &length) || length > (guint64) (self->end - self->next))
    return broken (self, error);
  value = new_value (self, length <= 8 ? SWITTI_PICKLE_INTEGER : SWITTI_PICKLE_LONG);
  if (value != NULL && length <= 8)
    {
      guint64 number = length > 0 && self->next[length - 1] >= 0x80 ? G_MAXUINT64 : 0;

      for (guint64 i = length; i > 0; i--)
        number = number << 8 | self->next[i - 1];
      value->integer = (gint64) number;
    }
  else if (value != NULL)
    {
      value->string.bytes = (const char *) self->next;
      value->string.length = (gsize) length;
    }
  self->next += length;
  return push (self, value, error);
}

/* Big endian, unlike all else. */
static gboolean
push_float (SwittiPickle *self, GError **error)
{
  SwittiPickleValue *value;
  guint64 bits;

  if (!read_uint (self, 8, &bits))
    return broken (self, error);
  bits = GUINT64_SWAP_LE_BE (bits);
  value = new_value (self, SWITTI_PICKLE_FLOAT);
  if (value != NULL)
    memcpy (&value->number, &bits, sizeof bits);
  return push (self, value, error);
}

static gboolean
push_boolean (SwittiPickle *self, gboolean truth, GError **error)
{
  SwittiPickleValue *value = new_value (self, SWITTI_PICKLE_BOOLEAN);

  if (value != NULL)
    value->integer = truth;
  return push (self, value, error);
}

/* -- containers --------------------------------------------------------------------------------------------- */

/* Moves what lies above `place` to the end of `container`. */
static void
move_items (SwittiPickle *self, guint place, SwittiPickleValue *container)
{
  for (guint i = place; i < self->stack->len; i++)
    add_item (container, g_ptr_array_index (self->stack, i));
  g_ptr_array_set_size (self->stack, (int) place);
}

/* A container of what lies above the mark, which goes. */
static gboolean
collect (SwittiPickle *self, SwittiPickleType type, GError **error)
{
  SwittiPickleValue *value;
  guint mark;

  if (!find_mark (self, &mark) || (type == SWITTI_PICKLE_DICT && (self->stack->len - mark - 1) % 2 != 0))
    return broken (self, error);
  value = new_value (self, type);
  if (value == NULL)
    return too_many (self, error);
  move_items (self, mark + 1, value);
  drop_to_mark (self, mark);
  return push (self, value, error);
}

static gboolean
push_tuple (SwittiPickle *self, guint n_items, GError **error)
{
  SwittiPickleValue *value;

  if (count_above_mark (self) < n_items)
    return broken (self, error);
  value = new_value (self, SWITTI_PICKLE_TUPLE);
  if (value == NULL)
    return too_many (self, error);
  move_items (self, self->stack->len - n_items, value);
  return push (self, value, error);
}

/* Puts the n_items topmost values into the container below them. */
static gboolean
extend (SwittiPickle *self, SwittiPickleType type, guint n_items, GError **error)
{
  SwittiPickleValue *container;

  if (count_above_mark (self) < n_items + 1 || (type == SWITTI_PICKLE_DICT && n_items % 2 != 0))
    return broken (self, error);
  container = g_ptr_array_index (self->stack, self->stack->len - n_items - 1);
  if (container->type != type || container->list.n + n_items > MAX_VALUES)
    return broken (self, error);
  move_items (self, self->stack->len - n_items, container);
  return TRUE;
}

/* The same with all values above the mark, which goes. */
static gboolean
extend_from_mark (SwittiPickle *self, SwittiPickleType type, GError **error)
{
  guint n_items = count_above_mark (self), mark;

  if (!find_mark (self, &mark))
    return broken (self, error);
  g_ptr_array_remove_index (self->stack, mark);
  g_array_set_size (self->marks, self->marks->len - 1);
  return extend (self, type, n_items, error);
}

/* -- the memo ----------------------------------------------------------------------------------------------- */

static gboolean
memo_put (SwittiPickle *self, guint64 index, GError **error)
{
  if (top (self) == NULL)
    return broken (self, error);
  if (index >= MAX_VALUES)
    return too_many (self, error);
  if (index >= self->memo->len)
    g_ptr_array_set_size (self->memo, (int) index + 1);
  if (g_ptr_array_index (self->memo, index) == NULL)
    self->n_memoized++;
  g_ptr_array_index (self->memo, index) = top (self);
  return TRUE;
}

static gboolean
memo_get (SwittiPickle *self, int bytes, GError **error)
{
  guint64 index;

  if (!read_uint (self, bytes, &index) || index >= self->memo->len || g_ptr_array_index (self->memo, index) == NULL)
    return broken (self, error);
  return push (self, g_ptr_array_index (self->memo, index), error);
}

static gboolean
memo_put_argument (SwittiPickle *self, int bytes, GError **error)
{
  guint64 index;

  return read_uint (self, bytes, &index) ? memo_put (self, index, error) : broken (self, error);
}

/* -- names and calls ---------------------------------------------------------------------------------------- */

static gboolean
push_global (SwittiPickle *self, const char *module, gsize module_length, const char *name, gsize name_length,
             GError **error)
{
  int global = switti_pickle_find_global (module, module_length, name, name_length);
  SwittiPickleValue *value;

  if (global < 0)
    return refuse_global (self, module, module_length, name, name_length, error);
  value = new_value (self, SWITTI_PICKLE_GLOBAL);
  if (value != NULL)
    value->global = global;
  return push (self, value, error);
}

/* Two lines. */
static gboolean
read_global (SwittiPickle *self, GError **error)
{
  const guint8 *module = self->next;
  const guint8 *module_end = memchr (module, '\n', (gsize) (self->end - module));
  const guint8 *name = module_end != NULL ? module_end + 1 : NULL;
  const guint8 *name_end = name != NULL ? memchr (name, '\n', (gsize) (self->end - name)) : NULL;

  if (name_end == NULL)
    return broken (self, error);
  self->next = name_end + 1;
  return push_global (self, (const char *) module, (gsize) (module_end - module), (const char *) name,
                      (gsize) (name_end - name), error);
}

static gboolean
read_stack_global (SwittiPickle *self, GError **error)
{
  SwittiPickleValue *name = pop (self), *module = name != NULL ? pop (self) : NULL;

  if (module == NULL || module->type != SWITTI_PICKLE_STRING || name->type != SWITTI_PICKLE_STRING)
    return broken (self, error);
  return push_global (self, module->string.bytes, module->string.length, name->string.bytes, name->string.length,
                      error);
}

static gboolean
call (SwittiPickle *self, GError **error)
{
  SwittiPickleValue *arguments = pop (self), *callee = arguments != NULL ? pop (self) : NULL;
  SwittiPickleValue *result = new_value (self, SWITTI_PICKLE_NONE);

  if (result == NULL)
    return too_many (self, error);
  if (callee == NULL || callee->type != SWITTI_PICKLE_GLOBAL || arguments->type != SWITTI_PICKLE_TUPLE)
    return broken (self, error);
  if (!switti_pickle_call (self, allocate, callee->global, arguments, result))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s describes a tensor that is outside its storage or no tensor at all (at byte %zu of its "
                      "pickle); get the file again."),
                   self->description, (gsize) (self->next - self->start));
      return FALSE;
    }
  return push (self, result, error);
}

static gboolean
load_persistent (SwittiPickle *self, GError **error)
{
  SwittiPickleValue *id = pop (self);
  SwittiPickleValue *result = new_value (self, SWITTI_PICKLE_NONE);

  if (result == NULL)
    return too_many (self, error);
  if (id == NULL || !switti_pickle_load_persistent (self, allocate, id, result))
    return broken (self, error);
  g_ptr_array_add (self->storages, result->storage);
  return push (self, result, error);
}

/* A state dictionary carries versions of its modules as an attribute, which say nothing here. */
static gboolean
build (SwittiPickle *self, GError **error)
{
  SwittiPickleValue *state = pop (self), *object = state != NULL ? top (self) : NULL;

  if (object == NULL || object->type != SWITTI_PICKLE_DICT || state->type != SWITTI_PICKLE_DICT)
    return broken (self, error);
  return TRUE;
}

/* -- the machine -------------------------------------------------------------------------------------------- */

static gboolean
check_protocol (SwittiPickle *self, GError **error)
{
  guint64 protocol;

  if (!read_uint (self, 1, &protocol))
    return broken (self, error);
  if (protocol <= MAX_PROTOCOL)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED,
               _ ("%s is a pickle of protocol %d; save it with protocol %d or an older one."), self->description,
               (int) protocol, MAX_PROTOCOL);
  return FALSE;
}

static gboolean
push_mark (SwittiPickle *self, GError **error)
{
  if (self->stack->len >= MAX_VALUES)
    return too_many (self, error);
  g_array_append_val (self->marks, self->stack->len);
  g_ptr_array_add (self->stack, NULL);
  return TRUE;
}

static gboolean
pop_mark (SwittiPickle *self, GError **error)
{
  guint mark;

  if (!find_mark (self, &mark))
    return broken (self, error);
  drop_to_mark (self, mark);
  return TRUE;
}

static gboolean
pop_value (SwittiPickle *self, GError **error)
{
  return pop (self) != NULL ? TRUE : pop_mark (self, error);
}

/* Strings, numbers and constants. FALSE in *known where the opcode is none of these. */
static gboolean
run_constant (SwittiPickle *self, guint8 opcode, gboolean *known, GError **error)
{
  *known = TRUE;
  switch (opcode)
    {
    case OP_NONE:
      return push (self, new_value (self, SWITTI_PICKLE_NONE), error);
    case OP_NEWTRUE:
    case OP_NEWFALSE:
      return push_boolean (self, opcode == OP_NEWTRUE, error);
    case OP_BININT:
      return push_integer (self, 4, error);
    case OP_BININT1:
      return push_integer (self, 1, error);
    case OP_BININT2:
      return push_integer (self, 2, error);
    case OP_LONG1:
      return push_long (self, 1, error);
    case OP_LONG4:
      return push_long (self, 4, error);
    case OP_BINFLOAT:
      return push_float (self, error);
    case OP_SHORT_BINSTRING:
    case OP_SHORT_BINUNICODE:
    case OP_SHORT_BINBYTES:
      return push_string (self, 1, error);
    case OP_BINSTRING:
    case OP_BINUNICODE:
    case OP_BINBYTES:
      return push_string (self, 4, error);
    case OP_BINUNICODE8:
    case OP_BINBYTES8:
    case OP_BYTEARRAY8:
      return push_string (self, 8, error);
    default:
      *known = FALSE;
      return TRUE;
    }
}

static gboolean
run_container (SwittiPickle *self, guint8 opcode, gboolean *known, GError **error)
{
  *known = TRUE;
  switch (opcode)
    {
    case OP_EMPTY_TUPLE:
      return push (self, new_value (self, SWITTI_PICKLE_TUPLE), error);
    case OP_EMPTY_LIST:
      return push (self, new_value (self, SWITTI_PICKLE_LIST), error);
    case OP_EMPTY_DICT:
      return push (self, new_value (self, SWITTI_PICKLE_DICT), error);
    case OP_TUPLE1:
    case OP_TUPLE2:
    case OP_TUPLE3:
      return push_tuple (self, 1 + opcode - OP_TUPLE1, error);
    case OP_TUPLE:
      return collect (self, SWITTI_PICKLE_TUPLE, error);
    case OP_LIST:
      return collect (self, SWITTI_PICKLE_LIST, error);
    case OP_DICT:
      return collect (self, SWITTI_PICKLE_DICT, error);
    case OP_APPEND:
      return extend (self, SWITTI_PICKLE_LIST, 1, error);
    case OP_APPENDS:
      return extend_from_mark (self, SWITTI_PICKLE_LIST, error);
    case OP_SETITEM:
      return extend (self, SWITTI_PICKLE_DICT, 2, error);
    case OP_SETITEMS:
      return extend_from_mark (self, SWITTI_PICKLE_DICT, error);
    default:
      *known = FALSE;
      return TRUE;
    }
}

static gboolean
run_other (SwittiPickle *self, guint8 opcode, GError **error)
{
  guint64 frame;

  switch (opcode)
    {
    case OP_PROTO:
      return check_protocol (self, error);
    case OP_FRAME: /* says how far to read ahead */
      return read_uint (self, 8, &frame) ? TRUE : broken (self, error);
    case OP_MARK:
      return push_mark (self, error);
    case OP_POP:
      return pop_value (self, error);
    case OP_POP_MARK:
      return pop_mark (self, error);
    case OP_DUP:
      return top (self) != NULL ? push (self, top (self), error) : broken (self, error);
    case OP_BINPUT:
      return memo_put_argument (self, 1, error);
    case OP_LONG_BINPUT:
      return memo_put_argument (self, 4, error);
    case OP_MEMOIZE:
      return memo_put (self, self->n_memoized, error);
    case OP_BINGET:
      return memo_get (self, 1, error);
    case OP_LONG_BINGET:
      return memo_get (self, 4, error);
    case OP_GLOBAL:
      return read_global (self, error);
    case OP_STACK_GLOBAL:
      return read_stack_global (self, error);
    case OP_REDUCE:
      return call (self, error);
    case OP_BUILD:
      return build (self, error);
    case OP_BINPERSID:
      return load_persistent (self, error);
    default:
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s is refused: its pickle has the opcode 0x%02x at byte %zu, which no plain data needs."),
                   self->description, opcode, (gsize) (self->next - 1 - self->start));
      return FALSE;
    }
}

static gboolean
run (SwittiPickle *self, GError **error)
{
  while (self->next < self->end)
    {
      guint8 opcode = *self->next++;
      gboolean known;

      if (opcode == OP_STOP)
        {
          self->root = pop (self);
          return self->root != NULL ? TRUE : broken (self, error);
        }
      if (!run_constant (self, opcode, &known, error))
        return FALSE;
      if (!known && !run_container (self, opcode, &known, error))
        return FALSE;
      if (!known && !run_other (self, opcode, error))
        return FALSE;
    }
  return broken (self, error);
}

SwittiPickle *
switti_pickle_parse (const guint8 *data, gsize length, gsize *used, const char *description, GError **error)
{
  g_autoptr (SwittiPickle) self = g_new0 (SwittiPickle, 1);

  self->description = description;
  self->start = self->next = data;
  self->end = data + length;
  self->blocks = g_ptr_array_new ();
  self->allocated = g_ptr_array_new_with_free_func (g_free);
  self->stack = g_ptr_array_new ();
  self->marks = g_array_new (FALSE, FALSE, sizeof (guint));
  self->memo = g_ptr_array_new ();
  self->storages = g_ptr_array_new ();
  if (!run (self, error))
    return NULL;
  *used = (gsize) (self->next - self->start);
  return g_steal_pointer (&self);
}

SwittiPickleValue *
switti_pickle_get_root (SwittiPickle *self)
{
  return self->root;
}

gsize
switti_pickle_get_length (SwittiPickle *self)
{
  return (gsize) (self->next - self->start);
}

GPtrArray *
switti_pickle_get_storages (SwittiPickle *self)
{
  return self->storages;
}

const char *
switti_pickle_get_description (SwittiPickle *self)
{
  return self->description;
}
