/* switti-choices.c - what a device has chosen by timing, kept on disk for the next process
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-choices-private.h"

#include <sys/stat.h>

/* Thousands of times what a model's products take: a larger file is none of ours. */
#define MAX_BYTES ((gsize) 64 << 20)
#define FOLDER_MODE 0700
#define FILE_MODE 0600

char *
switti_choices_get_path (const SwittiKernels *kernels, SwittiKernelContext *context)
{
  g_autofree char *hash = NULL;
  g_autofree char *name = NULL;

  if (kernels->choices_identity == NULL)
    return NULL;
  hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, kernels->choices_identity (context), -1);
  name = g_strdup_printf ("products-%.16s.txt", hash);
  return g_build_filename (g_get_user_cache_dir (), "switti", name, NULL);
}

gboolean
switti_choices_load (const SwittiKernels *kernels, SwittiKernelContext *context)
{
  g_autofree char *path = switti_choices_get_path (kernels, context);
  g_autofree char *text = NULL;
  struct stat status;
  gsize size;

  if (path == NULL || stat (path, &status) != 0 || !S_ISREG (status.st_mode) || status.st_size > (gint64) MAX_BYTES
      || !g_file_get_contents (path, &text, &size, NULL))
    return FALSE;
  return kernels->choices_read (context, text, size);
}

gboolean
switti_choices_save (const SwittiKernels *kernels, SwittiKernelContext *context)
{
  g_autofree char *path = switti_choices_get_path (kernels, context);
  g_autofree char *folder = NULL;
  g_autofree char *text = NULL;
  gsize size;

  size = path != NULL ? kernels->choices_write (context, NULL, 0) : 0;
  if (size == 0 || size > MAX_BYTES)
    return FALSE;
  folder = g_path_get_dirname (path);
  text = g_malloc (size);
  if (g_mkdir_with_parents (folder, FOLDER_MODE) != 0 || kernels->choices_write (context, text, size) != size)
    return FALSE;
  /* Beside its place, flushed, and renamed: another process reads the old choices or the new ones. */
  return g_file_set_contents_full (path, text, (gssize) size,
                                   G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, FILE_MODE, NULL);
}
