/* switti-device.c - a device: its op table, its context and the memory it has handed out
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-device-private.h"

#include "switti-choices-private.h"
#include "switti-device-cuda-private.h"
#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* From this size on an allocation is held against the memory that is free: a host that overcommits grants it and
 * kills the process later, where an error now leaves the user a choice. */
#define CHECKED_ALLOCATION ((gsize) 1 << 20)

struct _SwittiDevice
{
  GObject parent_instance;

  char *name;
  const SwittiKernels *kernels;
  SwittiKernelContext *context;
  SwittiKernelProperties properties;

  GMutex lock;             /* guards what follows: the counts may be read from any thread */
  GHashTable *allocations; /* address -> GSIZE_TO_POINTER (bytes) */
  guint64 allocated_bytes;
  guint64 peak_bytes;
};

G_DEFINE_FINAL_TYPE (SwittiDevice, switti_device, G_TYPE_OBJECT)

static void
switti_device_finalize (GObject *object)
{
  SwittiDevice *self = SWITTI_DEVICE (object);

  if (self->context != NULL)
    {
      GHashTableIter iter;
      gpointer memory;

      g_hash_table_iter_init (&iter, self->allocations);
      while (g_hash_table_iter_next (&iter, &memory, NULL))
        self->kernels->free (self->context, memory);
      switti_choices_save (self->kernels, self->context);
      self->kernels->context_free (self->context);
    }
  g_hash_table_unref (self->allocations);
  g_mutex_clear (&self->lock);
  g_free (self->name);
  G_OBJECT_CLASS (switti_device_parent_class)->finalize (object);
}

static void
switti_device_class_init (SwittiDeviceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = switti_device_finalize;
}

static void
switti_device_init (SwittiDevice *self)
{
  g_mutex_init (&self->lock);
  self->allocations = g_hash_table_new (NULL, NULL);
}

SwittiDevice *
switti_device_new_for_kernels (const char *name, const SwittiKernels *kernels, const SwittiKernelOptions *options,
                               GError **error)
{
  g_autoptr (SwittiDevice) self = g_object_new (SWITTI_TYPE_DEVICE, NULL);
  SwittiKernelContext *context = NULL;

  if (kernels->version != SWITTI_KERNELS_VERSION)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE,
                   _ ("The module of the device “%s” has version %u of the op table where %u is needed: install the "
                      "module that belongs to this version of Switti."),
                   name, kernels->version, (guint) SWITTI_KERNELS_VERSION);
      return NULL;
    }
  switch (kernels->context_new (options, &context))
    {
    case SWITTI_KERNEL_OK:
      break;
    case SWITTI_KERNEL_OUT_OF_MEMORY:
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY,
                   _ ("The device “%s” could not be opened for want of memory: close other programs and try again."),
                   name);
      return NULL;
    default:
      if (options->isa != NULL)
        g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE,
                     _ ("The device “%s” could not be opened with the instruction set “%s”: choose one that it has."),
                     name, options->isa);
      else
        g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE,
                     _ ("The device “%s” could not be opened (%s): choose another device."), name,
                     kernels->error_message (NULL));
      return NULL;
    }
  self->name = g_strdup (name);
  self->kernels = kernels;
  self->context = context;
  kernels->properties (context, &self->properties);
  switti_choices_load (kernels, context);
  return g_steal_pointer (&self);
}

/* Whether name is "cuda" or "cuda:N"; N, or 0. */
static gboolean
parse_cuda_name (const char *name, int *index)
{
  guint64 number;

  *index = 0;
  if (g_str_equal (name, "cuda"))
    return TRUE;
  if (!g_str_has_prefix (name, "cuda:")
      || !g_ascii_string_to_unsigned (name + strlen ("cuda:"), 10, 0, G_MAXINT, &number, NULL))
    return FALSE;
  *index = (int) number;
  return TRUE;
}

static SwittiDevice *
new_cuda (const char *name, int index, GError **error)
{
  const SwittiKernelOptions options = { .device_index = index };
  const SwittiKernels *kernels = switti_device_cuda_load (name, error);
  g_autofree char *full_name = g_strdup_printf ("cuda:%d", index);

  return kernels != NULL ? switti_device_new_for_kernels (full_name, kernels, &options, error) : NULL;
}

SwittiDevice *
switti_device_new (const char *name, int n_threads, GError **error)
{
  SwittiKernelOptions options = { .n_threads = n_threads };
  SwittiDevice *cuda;
  int index;

  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (n_threads < 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The number of threads is %d: give 1 or more, or 0 for all processors."), n_threads);
      return NULL;
    }
  if (parse_cuda_name (name, &index))
    return new_cuda (name, index, error);
  if (!g_str_equal (name, "auto") && !g_str_equal (name, "cpu"))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("There is no device “%s”: choose “auto”, “cpu”, “cuda” or “cuda:N”."), name);
      return NULL;
    }
  if (g_str_equal (name, "auto") && switti_device_cuda_has_driver ())
    {
      cuda = new_cuda ("cuda:0", 0, NULL);
      if (cuda != NULL)
        return cuda;
    }
  return switti_device_new_for_kernels ("cpu", switti_kernels_cpu (), &options, error);
}

const char *
switti_device_get_name (SwittiDevice *self)
{
  g_return_val_if_fail (SWITTI_IS_DEVICE (self), NULL);
  return self->name;
}

const char *
switti_device_get_description (SwittiDevice *self)
{
  g_return_val_if_fail (SWITTI_IS_DEVICE (self), NULL);
  return self->properties.description;
}

int
switti_device_get_n_threads (SwittiDevice *self)
{
  g_return_val_if_fail (SWITTI_IS_DEVICE (self), 0);
  return self->properties.n_threads;
}

gboolean
switti_device_has_fast_bf16 (SwittiDevice *self)
{
  g_return_val_if_fail (SWITTI_IS_DEVICE (self), FALSE);
  return self->properties.fast_bf16;
}

guint64
switti_device_get_allocated_bytes (SwittiDevice *self)
{
  guint64 bytes;

  g_return_val_if_fail (SWITTI_IS_DEVICE (self), 0);
  g_mutex_lock (&self->lock);
  bytes = self->allocated_bytes;
  g_mutex_unlock (&self->lock);
  return bytes;
}

guint64
switti_device_get_peak_bytes (SwittiDevice *self)
{
  guint64 bytes;

  g_return_val_if_fail (SWITTI_IS_DEVICE (self), 0);
  g_mutex_lock (&self->lock);
  bytes = self->peak_bytes;
  g_mutex_unlock (&self->lock);
  return bytes;
}

const SwittiKernels *
switti_device_get_kernels (SwittiDevice *self)
{
  return self->kernels;
}

SwittiKernelContext *
switti_device_get_context (SwittiDevice *self)
{
  return self->context;
}

gboolean
switti_device_is_asynchronous (SwittiDevice *self)
{
  return self->properties.asynchronous;
}

static void
set_out_of_memory (SwittiDevice *self, gsize bytes, const char *purpose, guint64 free_bytes, GError **error)
{
  g_autofree char *asked = g_format_size_full (bytes, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *free_text = g_format_size_full (free_bytes, G_FORMAT_SIZE_IEC_UNITS);

  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY,
               _ ("There is not enough memory on the device “%s” for %s: %s more is needed and %s is free; make fewer "
                  "images at once, choose a smaller model, or close other programs."),
               self->name, purpose, asked, free_text);
}

/* Linux's own estimate of what can be had without swapping, the page cache included; 0 where there is none. Mapped
 * model files fill the page cache, so that counting unused pages alone would refuse models that fit. */
static guint64
host_available_memory (void)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/meminfo", &text, NULL, NULL))
    return 0;
  line = strstr (text, "MemAvailable:");
  return line != NULL ? g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10) * 1024 : 0;
}

guint64
switti_device_get_free_memory (SwittiDevice *self)
{
  SwittiKernelProperties now;

  self->kernels->properties (self->context, &now);
  if (!g_str_equal (self->kernels->name, "cpu"))
    return now.memory_free;
  return MAX (now.memory_free, host_available_memory ());
}

void *
switti_device_alloc (SwittiDevice *self, gsize bytes, const char *purpose, GError **error)
{
  void *memory = NULL;

  if ((bytes >= CHECKED_ALLOCATION && bytes > switti_device_get_free_memory (self))
      || self->kernels->alloc (self->context, MAX (bytes, 1), &memory) != SWITTI_KERNEL_OK)
    {
      set_out_of_memory (self, bytes, purpose, switti_device_get_free_memory (self), error);
      return NULL;
    }
  g_mutex_lock (&self->lock);
  g_hash_table_insert (self->allocations, memory, GSIZE_TO_POINTER (bytes));
  self->allocated_bytes += bytes;
  self->peak_bytes = MAX (self->peak_bytes, self->allocated_bytes);
  g_mutex_unlock (&self->lock);
  return memory;
}

void
switti_device_free (SwittiDevice *self, void *memory)
{
  gpointer bytes;
  gboolean known;

  if (memory == NULL)
    return;
  g_mutex_lock (&self->lock);
  known = g_hash_table_steal_extended (self->allocations, memory, NULL, &bytes);
  if (known)
    self->allocated_bytes -= GPOINTER_TO_SIZE (bytes);
  g_mutex_unlock (&self->lock);
  g_assert (known);
  self->kernels->free (self->context, memory);
}

gboolean
switti_device_check (SwittiDevice *self, SwittiKernelStatus status, const char *what, GError **error)
{
  if (G_LIKELY (status == SWITTI_KERNEL_OK))
    return TRUE;
  g_set_error (error, SWITTI_ERROR,
               status == SWITTI_KERNEL_OUT_OF_MEMORY ? SWITTI_ERROR_OUT_OF_MEMORY : SWITTI_ERROR_DEVICE,
               _ ("%s failed on the device “%s”: %s"), what, self->name, self->kernels->error_message (self->context));
  return FALSE;
}
