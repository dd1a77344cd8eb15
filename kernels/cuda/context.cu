/* context.cu - the context: device, memory, copies and errors
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Copies between host and device go through the selected stream's two pinned buffers, so that the host fills (or
 * empties) one while the device reads (or writes) the other. An upload has read its source when it returns, but may
 * not have arrived; a download has.
 */
#include "cudnn-private.h"
#include "products-private.h"
#include "runtime-private.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

/* Words where there is no context to keep them; of the thread that asked last. */
static thread_local char no_context_error[256] = "no CUDA context has been made";

SwittiKernelStatus
switti_cuda_fail (SwittiKernelContext *context, SwittiKernelStatus status, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  vsnprintf (context->error, sizeof context->error, format, args);
  va_end (args);
  return status;
}

SwittiKernelStatus
switti_cuda_check (SwittiKernelContext *context, cudaError_t error, const char *what)
{
  if (error == cudaSuccess)
    return SWITTI_KERNEL_OK;
  /* An error that is not sticky would be found again by the next call. */
  cudaGetLastError ();
  return switti_cuda_fail (context, error == cudaErrorMemoryAllocation ? SWITTI_KERNEL_OUT_OF_MEMORY
                                                                       : SWITTI_KERNEL_DEVICE,
                           "%s: %s", what, cudaGetErrorString (error));
}

const char *
switti_cuda_error_message (SwittiKernelContext *context)
{
  return context != NULL ? context->error : no_context_error;
}

/* -- life ------------------------------------------------------------------------------------------------------ */

static void
fill_ops (SwittiKernels *ops)
{
  switti_cuda_attention_fill (ops);
  switti_cuda_attention_backward_fill (ops);
  switti_cuda_cross_entropy_fill (ops);
  switti_cuda_elementwise_fill (ops);
  switti_cuda_elementwise_backward_fill (ops);
  switti_cuda_group_norm_fill (ops);
  switti_cuda_group_norm_backward_fill (ops);
  switti_cuda_norm_fill (ops);
  switti_cuda_norm_backward_fill (ops);
  switti_cuda_optimizer_fill (ops);
  switti_cuda_quantize_fill (ops);
  switti_cuda_resample_fill (ops);
  switti_cuda_resample_backward_fill (ops);
  switti_cuda_rope_fill (ops);
  switti_cuda_rope_backward_fill (ops);
  switti_cuda_sample_fill (ops);
  switti_cuda_squared_difference_fill (ops);
  switti_cuda_token_embedding_fill (ops);
}

static SwittiKernelStatus
open_device (SwittiKernelContext *context, int device)
{
  SwittiCudaRuntime *runtime = context->runtime;
  SwittiKernelStatus status;
  cudaDeviceProp properties;
  int n_devices = 0;

  status = switti_cuda_check (context, cudaGetDeviceCount (&n_devices), "looking for CUDA devices");
  if (status != SWITTI_KERNEL_OK)
    return status;
  if (device < 0 || device >= n_devices)
    return switti_cuda_fail (context, SWITTI_KERNEL_DEVICE, "there is no CUDA device %d: there are %d", device,
                             n_devices);
  runtime->device = device;
  status = switti_cuda_check (context, cudaSetDevice (device), "opening the device");
  if (status == SWITTI_KERNEL_OK)
    status = switti_cuda_check (context, cudaGetDeviceProperties (&properties, device), "looking at the device");
  if (status == SWITTI_KERNEL_OK)
    runtime->n_processors = properties.multiProcessorCount > 0 ? properties.multiProcessorCount : 1;
  if (status == SWITTI_KERNEL_OK)
    status = switti_cuda_check (context, cudaMalloc (reinterpret_cast<void **> (&runtime->partial_sums),
                                                     PARTIAL_SUMS * sizeof (double)), "device memory");
  if (status == SWITTI_KERNEL_OK)
    status = switti_cuda_products_new (context, &runtime->products);
  if (status == SWITTI_KERNEL_OK)
    runtime->cudnn = switti_cuda_cudnn_new (context);
  if (status == SWITTI_KERNEL_OK)
    status = switti_cuda_select_stream (context, SWITTI_STREAM_MAIN);
  return status;
}

SwittiKernelStatus
switti_cuda_context_new (const SwittiKernelOptions *options, SwittiKernelContext **context)
{
  SwittiKernelContext *self;
  SwittiKernelStatus status;

  if (context == NULL)
    return SWITTI_KERNEL_INVALID;
  *context = NULL;
  self = static_cast<SwittiKernelContext *> (calloc (1, sizeof *self));
  if (self == NULL)
    return SWITTI_KERNEL_OUT_OF_MEMORY;
  self->runtime = new (std::nothrow) SwittiCudaRuntime{};
  if (self->runtime == NULL)
    {
      free (self);
      return SWITTI_KERNEL_OUT_OF_MEMORY;
    }
  fill_ops (&self->ops);
  status = open_device (self, options != NULL ? options->device_index : 0);
  if (status != SWITTI_KERNEL_OK)
    {
      memcpy (no_context_error, self->error, sizeof no_context_error);
      switti_cuda_context_free (self);
      return status;
    }
  switti_cuda_profile_reset (self, false);
  *context = self;
  return SWITTI_KERNEL_OK;
}

void
switti_cuda_context_free (SwittiKernelContext *context)
{
  SwittiCudaRuntime *runtime;

  if (context == NULL)
    return;
  runtime = context->runtime;
  if (runtime->stream != NULL)
    switti_cuda_synchronize (context);
  switti_cuda_cudnn_free (runtime->cudnn);
  if (runtime->products != NULL)
    switti_cuda_products_free (runtime->products);
  cudaFree (runtime->partial_sums);
  for (cudaEvent_t event : runtime->events)
    cudaEventDestroy (event);
  switti_cuda_close_streams (runtime);
  delete runtime;
  free (context);
}

void
switti_cuda_properties (SwittiKernelContext *context, SwittiKernelProperties *properties)
{
  cudaDeviceProp device;
  size_t free_bytes = 0, total_bytes = 0;

  memset (properties, 0, sizeof *properties);
  properties->n_threads = 1;
  properties->fast_bf16 = true;
  properties->asynchronous = true;
  if (cudaGetDeviceProperties (&device, context->runtime->device) == cudaSuccess)
    snprintf (properties->description, sizeof properties->description, "%.90s, CUDA %d.%d", device.name, device.major,
              device.minor);
  if (cudaMemGetInfo (&free_bytes, &total_bytes) == cudaSuccess)
    {
      properties->memory_total = total_bytes;
      properties->memory_free = free_bytes;
    }
}

/* -- memory ---------------------------------------------------------------------------------------------------- */

SwittiKernelStatus
switti_cuda_alloc (SwittiKernelContext *context, size_t bytes, void **memory)
{
  SwittiKernelStatus status = switti_cuda_enter (context, "alloc");

  *memory = NULL;
  if (status != SWITTI_KERNEL_OK)
    return status;
  return switti_cuda_check (context, cudaMalloc (memory, bytes > 0 ? bytes : 1), "device memory");
}

void
switti_cuda_free (SwittiKernelContext *, void *memory)
{
  cudaFree (memory);
}

static SwittiCudaStream *
selected_stream (SwittiKernelContext *context)
{
  return &context->runtime->streams[context->runtime->selected];
}

/* One buffer's worth to the device. */
static SwittiKernelStatus
upload_part (SwittiKernelContext *context, int buffer, char *dst, const char *host, size_t bytes)
{
  SwittiCudaStream *self = selected_stream (context);
  SwittiKernelStatus status;

  status = switti_cuda_check (context, cudaEventSynchronize (self->staged[buffer]), "upload");
  if (status != SWITTI_KERNEL_OK)
    return status;
  memcpy (self->staging[buffer], host, bytes);
  status = switti_cuda_check (
      context, cudaMemcpyAsync (dst, self->staging[buffer], bytes, cudaMemcpyHostToDevice, self->stream), "upload");
  if (status != SWITTI_KERNEL_OK)
    return status;
  return switti_cuda_check (context, cudaEventRecord (self->staged[buffer], self->stream), "upload");
}

SwittiKernelStatus
switti_cuda_upload (SwittiKernelContext *context, void *dst, const void *host, size_t bytes)
{
  SwittiKernelStatus status = switti_cuda_enter (context, "upload");

  for (size_t at = 0, i = 0; at < bytes && status == SWITTI_KERNEL_OK; at += STAGING_BYTES, i++)
    status = upload_part (context, (int) (i % 2), static_cast<char *> (dst) + at,
                          static_cast<const char *> (host) + at,
                          bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES);
  return status;
}

/* Asks for part `i` of a download, where there is one. */
static SwittiKernelStatus
request_part (SwittiKernelContext *context, size_t i, const char *src, size_t bytes)
{
  SwittiCudaStream *self = selected_stream (context);
  const size_t at = i * STAGING_BYTES;
  SwittiKernelStatus status;

  if (at >= bytes)
    return SWITTI_KERNEL_OK;
  status = switti_cuda_check (context,
                              cudaMemcpyAsync (self->staging[i % 2], src + at,
                                               bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES,
                                               cudaMemcpyDeviceToHost, self->stream),
                              "download");
  if (status != SWITTI_KERNEL_OK)
    return status;
  return switti_cuda_check (context, cudaEventRecord (self->staged[i % 2], self->stream), "download");
}

SwittiKernelStatus
switti_cuda_download (SwittiKernelContext *context, void *host, const void *src, size_t bytes)
{
  const char *from = static_cast<const char *> (src);
  SwittiCudaStream *self = selected_stream (context);
  SwittiKernelStatus status = switti_cuda_enter (context, "download");

  if (status == SWITTI_KERNEL_OK)
    status = request_part (context, 0, from, bytes);

  for (size_t at = 0, i = 0; at < bytes && status == SWITTI_KERNEL_OK; at += STAGING_BYTES, i++)
    {
      status = request_part (context, i + 1, from, bytes);
      if (status == SWITTI_KERNEL_OK)
        status = switti_cuda_check (context, cudaEventSynchronize (self->staged[i % 2]), "download");
      if (status == SWITTI_KERNEL_OK)
        memcpy (static_cast<char *> (host) + at, self->staging[i % 2],
                bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES);
    }
  return status;
}

SwittiKernelStatus
switti_cuda_copy (SwittiKernelContext *context, void *dst, const void *src, size_t bytes)
{
  if (bytes == 0)
    return SWITTI_KERNEL_OK;
  return switti_cuda_check (
      context, cudaMemcpyAsync (dst, src, bytes, cudaMemcpyDeviceToDevice, context->runtime->stream), "copy");
}

SwittiKernelStatus
switti_cuda_clear (SwittiKernelContext *context, void *dst, size_t bytes)
{
  if (bytes == 0)
    return SWITTI_KERNEL_OK;
  return switti_cuda_check (context, cudaMemsetAsync (dst, 0, bytes, context->runtime->stream), "clear");
}

void *
switti_cuda_native_stream (SwittiKernelContext *context)
{
  return context->runtime->stream;
}
