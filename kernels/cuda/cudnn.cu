/* cudnn.cu - cuDNN for a context, and its descriptors
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "cudnn-graph-private.h"

#include <new>

SwittiCudnn *
switti_cuda_cudnn_new (SwittiKernelContext *context)
{
  SwittiCudnn *self = new (std::nothrow) SwittiCudnn{};

  if (self == nullptr || !switti_cuda_cudnn_open (&self->library))
    {
      delete self;
      return nullptr;
    }
  switti_cuda_products_choices (context->runtime->products)->identity
      += ", cuDNN " + std::to_string (self->library.get_version ()) + (self->library.always ? " always" : "");
  return self;
}

void
switti_cuda_cudnn_free (SwittiCudnn *cudnn)
{
  if (cudnn == nullptr)
    return;
  for (const auto &[key, plans] : cudnn->attentions)
    for (const auto &[images, plan] : plans)
      switti_cuda_cudnn_plan_free (plan);
  if (cudnn->handle != nullptr)
    cudnn->library.destroy (cudnn->handle);
  delete cudnn;
}

bool
switti_cuda_cudnn_prepare (SwittiKernelContext *context)
{
  SwittiCudnn *cudnn = context->runtime->cudnn;

  if (cudnn->handle == nullptr && !cudnn->has_no_handle
      && cudnn->library.create (&cudnn->handle) != CUDNN_STATUS_SUCCESS)
    {
      cudnn->handle = nullptr;
      cudnn->has_no_handle = true;
      /* What of the runtime's it has met is not for the next call to find. */
      cudaGetLastError ();
    }
  return cudnn->handle != nullptr;
}

bool
switti_cuda_is_capturing (SwittiKernelContext *context)
{
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;

  return cudaStreamIsCapturing (context->runtime->stream, &status) != cudaSuccess
         || status != cudaStreamCaptureStatusNone;
}

/* -- descriptors --------------------------------------------------------------------------------------------------- */

SwittiCudnnDescriptors::~SwittiCudnnDescriptors ()
{
  while (!owned.empty ())
    {
      library->destroy_descriptor (owned.back ());
      owned.pop_back ();
    }
}

cudnnBackendDescriptor_t
SwittiCudnnDescriptors::make (cudnnBackendDescriptorType_t type)
{
  cudnnBackendDescriptor_t descriptor = nullptr;

  if (ok ())
    status = library->create_descriptor (type, &descriptor);
  if (!ok ())
    return nullptr;
  owned.push_back (descriptor);
  return descriptor;
}

void
SwittiCudnnDescriptors::set (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                             cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
  if (ok ())
    status = library->set_attribute (descriptor, name, type, count, values);
}

void
SwittiCudnnDescriptors::set (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                             const std::vector<int64_t> &values)
{
  set (descriptor, name, CUDNN_TYPE_INT64, (int64_t) values.size (), values.data ());
}

void
SwittiCudnnDescriptors::set (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                             cudnnBackendDescriptor_t value)
{
  set (descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

void
SwittiCudnnDescriptors::set (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                             cudnnDataType_t value)
{
  set (descriptor, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

int64_t
SwittiCudnnDescriptors::get (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                             cudnnBackendAttributeType_t type, int64_t capacity, void *values)
{
  int64_t count = 0;

  if (ok ())
    status = library->get_attribute (descriptor, name, type, capacity, &count, values);
  return ok () ? count : 0;
}

void
SwittiCudnnDescriptors::finish (cudnnBackendDescriptor_t descriptor)
{
  if (ok ())
    status = library->finalize (descriptor);
}

cudnnDataType_t
switti_cuda_cudnn_dtype (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

cudnnBackendDescriptor_t
switti_cuda_cudnn_tensor (SwittiCudnnDescriptors *graph, int64_t identity, cudnnDataType_t dtype,
                          SwittiCudnnTensorKind kind, const std::vector<int64_t> &sizes,
                          const std::vector<int64_t> &strides)
{
  const int64_t alignment = 16;
  const bool yes = true;
  cudnnBackendDescriptor_t tensor = graph->make (CUDNN_BACKEND_TENSOR_DESCRIPTOR);

  graph->set (tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &identity);
  graph->set (tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, dtype);
  graph->set (tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  graph->set (tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, sizes);
  graph->set (tensor, CUDNN_ATTR_TENSOR_STRIDES, strides);
  if (kind == CUDNN_TENSOR_VIRTUAL)
    graph->set (tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &yes);
  if (kind == CUDNN_TENSOR_VALUE)
    graph->set (tensor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &yes);
  graph->finish (tensor);
  return tensor;
}
