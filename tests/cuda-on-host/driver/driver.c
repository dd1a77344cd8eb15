/* driver.c - a libcuda.so.1 that has no device: enough of NVIDIA's driver for cuDNN to compile its kernels
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cuDNN looks these names up before it compiles anything. What loads compiled code says that it has; everything else
 * says that there is no device.
 */
#include <stddef.h>

#define NO_DEVICE 100

#define WITHOUT_DEVICE(name) \
  __attribute__ ((visibility ("default"))) int name (void); \
  int name (void) { return NO_DEVICE; }

/* Calls that fill their first argument with something that is no address, and are never asked to use it. */
#define WITH_HANDLE(name) \
  __attribute__ ((visibility ("default"))) int name (void **handle); \
  int name (void **handle) { *handle = (void *) 64; return 0; }

/* Calls whose first argument is a number. */
#define WITH_NUMBER(name, number) \
  __attribute__ ((visibility ("default"))) int name (int *value); \
  int name (int *value) { *value = number; return 0; }

#define DONE(name) \
  __attribute__ ((visibility ("default"))) int name (void); \
  int name (void) { return 0; }

#define WITH_WORDS(name) \
  __attribute__ ((visibility ("default"))) int name (int error, const char **words); \
  int name (int error, const char **words) { *words = error == 0 ? "no error" : "no device"; return 0; }

WITH_WORDS (cuGetErrorName)
WITH_WORDS (cuGetErrorString)
WITH_HANDLE (cuLibraryLoadData)
WITH_HANDLE (cuLibraryLoadFromFile)
WITH_HANDLE (cuLibraryGetKernel)
WITH_HANDLE (cuModuleLoadData)
WITH_HANDLE (cuModuleLoadDataEx)
WITH_HANDLE (cuModuleLoadFatBinary)
WITH_HANDLE (cuModuleGetFunction)
WITH_NUMBER (cuDriverGetVersion, 13000)
WITH_NUMBER (cuFuncGetAttribute, 0)
WITH_NUMBER (cuKernelGetAttribute, 0)
WITH_NUMBER (cuOccupancyMaxActiveBlocksPerMultiprocessor, 1)
WITH_NUMBER (cuOccupancyMaxActiveClusters, 8)
WITH_NUMBER (cuOccupancyMaxPotentialClusterSize, 8)
DONE (cuFuncSetAttribute)
DONE (cuKernelSetAttribute)
DONE (cuLibraryUnload)
DONE (cuModuleUnload)
WITHOUT_DEVICE (cuCtxGetCurrent)
WITHOUT_DEVICE (cuCtxGetDevice)
WITHOUT_DEVICE (cuCtxGetLimit)
WITHOUT_DEVICE (cuCtxPopCurrent)
WITHOUT_DEVICE (cuCtxPushCurrent)
WITHOUT_DEVICE (cuDeviceGet)
WITHOUT_DEVICE (cuDeviceGetAttribute)
WITHOUT_DEVICE (cuDeviceGetCount)
WITHOUT_DEVICE (cuDevicePrimaryCtxRelease)
WITHOUT_DEVICE (cuDevicePrimaryCtxReset)
WITHOUT_DEVICE (cuDevicePrimaryCtxRetain)
WITHOUT_DEVICE (cuInit)
WITHOUT_DEVICE (cuLaunchCooperativeKernel)
WITHOUT_DEVICE (cuLaunchKernel)
WITHOUT_DEVICE (cuLaunchKernelEx)
WITHOUT_DEVICE (cuLinkAddData)
WITHOUT_DEVICE (cuLinkAddData_v2)
WITHOUT_DEVICE (cuLinkAddFile_v2)
WITHOUT_DEVICE (cuLinkComplete)
WITHOUT_DEVICE (cuLinkCreate)
WITHOUT_DEVICE (cuLinkCreate_v2)
WITHOUT_DEVICE (cuLinkDestroy)
WITHOUT_DEVICE (cuMemcpyDtoH_v2)
WITHOUT_DEVICE (cuModuleGetGlobal_v2)
WITHOUT_DEVICE (cuStreamGetCtx)
WITHOUT_DEVICE (cuStreamSynchronize)
WITHOUT_DEVICE (cuTensorMapEncodeTiled)
