/* cudnn-library.cu - finds cuDNN where the program runs
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The module is not linked to it: it loads where there is none. A library once loaded stays.
 */
#include "cudnn-graph-private.h"

#include <cstdlib>
#include <cstring>

#include <dlfcn.h>

template <typename Function>
static bool
find (void *module, const char *name, Function *function)
{
  *function = reinterpret_cast<Function> (dlsym (module, name));
  return *function != nullptr;
}

bool
switti_cuda_cudnn_open (SwittiCudnnLibrary *library)
{
  const char *mode = getenv ("SWITTI_CUDNN");
  void *module;

  *library = SwittiCudnnLibrary{};
  if (mode != nullptr && strcmp (mode, "off") == 0)
    return false;
  library->always = mode != nullptr && strcmp (mode, "always") == 0;
  module = dlopen ("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
  return module != nullptr && find (module, "cudnnGetVersion", &library->get_version)
         && library->get_version () >= SWITTI_CUDNN_LEAST_VERSION && find (module, "cudnnCreate", &library->create)
         && find (module, "cudnnDestroy", &library->destroy)
         && find (module, "cudnnSetStream", &library->set_stream)
         && find (module, "cudnnBackendCreateDescriptor", &library->create_descriptor)
         && find (module, "cudnnBackendDestroyDescriptor", &library->destroy_descriptor)
         && find (module, "cudnnBackendSetAttribute", &library->set_attribute)
         && find (module, "cudnnBackendGetAttribute", &library->get_attribute)
         && find (module, "cudnnBackendFinalize", &library->finalize)
         && find (module, "cudnnBackendExecute", &library->execute);
}
