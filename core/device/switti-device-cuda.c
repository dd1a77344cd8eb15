/* switti-device-cuda.c - the module that holds CUDA's op table
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-device-cuda-private.h"

#include "switti-build-config.h"
#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <gmodule.h>

#define MODULE_NAME "switti-kernels-cuda." G_MODULE_SUFFIX
#define MODULE_ENTRY "switti_kernels_cuda"
#define DRIVER_NAME "libcuda.so.1"

typedef const SwittiKernels *(*TableFunc) (void);

gboolean
switti_device_cuda_has_driver (void)
{
  GModule *driver = g_module_open (DRIVER_NAME, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);

  if (driver == NULL)
    return FALSE;
  g_module_close (driver);
  return TRUE;
}

/* The module's path; NULL where there is none. (transfer full) */
static char *
find_module (void)
{
  const char *folders[] = { g_getenv ("SWITTI_MODULE_PATH"), SWITTI_MODULE_DIR, SWITTI_BUILD_CUDA_DIR };

  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *path = folders[i] != NULL ? g_build_filename (folders[i], MODULE_NAME, NULL) : NULL;

      if (path != NULL && g_file_test (path, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&path);
    }
  return NULL;
}

const SwittiKernels *
switti_device_cuda_load (const char *name, GError **error)
{
  g_autofree char *path = find_module ();
  gpointer entry = NULL;
  GModule *module;

  if (path == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE,
                   _ ("The device “%s” is not available, because this build of Switti has no CUDA module: choose the "
                      "device “cpu” or “auto”."),
                   name);
      return NULL;
    }
  if (!switti_device_cuda_has_driver ())
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE,
                   _ ("The device “%s” is not available, because NVIDIA's driver (%s) is not installed: install it, or "
                      "choose the device “cpu” or “auto”."),
                   name, DRIVER_NAME);
      return NULL;
    }
  module = g_module_open (path, G_MODULE_BIND_LOCAL);
  if (module == NULL || !g_module_symbol (module, MODULE_ENTRY, &entry))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE,
                   _ ("The device “%s” is not available, because the CUDA module could not be loaded (%s): install "
                      "CUDA's cuBLASLt, or choose the device “cpu” or “auto”."),
                   name, g_module_error ());
      if (module != NULL)
        g_module_close (module);
      return NULL;
    }
  /* Its table is used for as long as the process lives. */
  g_module_make_resident (module);
  return ((TableFunc) entry) ();
}
