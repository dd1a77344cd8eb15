/* cudnn-graph-private.h - cuDNN's backend API as the adapter's files use it
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The functions are found when the program runs, by cudnn-library.cu; tests/cuda-on-host/ has others in their place.
 * The types are those of cuDNN's header.
 */
#pragma once

#include "choices-private.h"
#include "cudnn-private.h"

#include <cudnn_graph.h>

/* The first version whose attention is one operation. */
#define SWITTI_CUDNN_LEAST_VERSION 91301

struct SwittiCudnnLibrary
{
  decltype (&cudnnGetVersion) get_version;
  decltype (&cudnnCreate) create;
  decltype (&cudnnDestroy) destroy;
  decltype (&cudnnSetStream) set_stream;
  decltype (&cudnnBackendCreateDescriptor) create_descriptor;
  decltype (&cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype (&cudnnBackendSetAttribute) set_attribute;
  decltype (&cudnnBackendGetAttribute) get_attribute;
  decltype (&cudnnBackendFinalize) finalize;
  decltype (&cudnnBackendExecute) execute;
  bool always; /* for tests: choose it wherever it can do the op, however long it takes */
};

/* FALSE where cuDNN is not installed, too old or switched off. */
bool switti_cuda_cudnn_open (SwittiCudnnLibrary *library);

/* Descriptors that live and die together. The first failure is kept, and everything after it does nothing: what has
 * been made is good if `status` is. */
struct SwittiCudnnDescriptors
{
  const SwittiCudnnLibrary *library;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  std::vector<cudnnBackendDescriptor_t> owned;

  explicit SwittiCudnnDescriptors (const SwittiCudnnLibrary *own) : library (own) {}
  SwittiCudnnDescriptors (const SwittiCudnnDescriptors &) = delete;
  SwittiCudnnDescriptors &operator= (const SwittiCudnnDescriptors &) = delete;
  ~SwittiCudnnDescriptors ();

  bool ok () const { return status == CUDNN_STATUS_SUCCESS; }
  cudnnBackendDescriptor_t make (cudnnBackendDescriptorType_t type);
  void set (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
            int64_t count, const void *values);
  void set (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, const std::vector<int64_t> &values);
  void set (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value);
  void set (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnDataType_t value);
  /* How many values there are; at most `capacity` are stored. */
  int64_t get (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
               int64_t capacity, void *values);
  /* What is made of it cannot change any more. */
  void finish (cudnnBackendDescriptor_t descriptor);
};

/* A tensor of a graph. Operand i of a problem has the identity i + 1; what is made on the way has higher ones. */
enum SwittiCudnnTensorKind
{
  CUDNN_TENSOR_OPERAND,
  CUDNN_TENSOR_VIRTUAL, /* made on the way, never in memory */
  CUDNN_TENSOR_VALUE,   /* a single number, of the host */
};

cudnnBackendDescriptor_t switti_cuda_cudnn_tensor (SwittiCudnnDescriptors *graph, int64_t identity,
                                                   cudnnDataType_t dtype, SwittiCudnnTensorKind kind,
                                                   const std::vector<int64_t> &sizes,
                                                   const std::vector<int64_t> &strides);
cudnnDataType_t switti_cuda_cudnn_dtype (SwittiDtype dtype);

/* Attention's key in the cache: all of the shape but the number of images and the strides between them. */
typedef std::array<int64_t, 8> SwittiCudnnAttentionKey;
/* Those. */
typedef std::array<int64_t, 5> SwittiCudnnAttentionImages;

struct SwittiCudnn
{
  SwittiCudnnLibrary library;
  cudnnHandle_t handle; /* made when it is first needed; it loads hundreds of megabytes */
  bool has_no_handle;   /* that has failed */
  cudaStream_t stream;  /* the handle's */
  /* Attention has no plan that its caller keeps. NULL: the own kernel. */
  std::map<SwittiCudnnAttentionKey, std::map<SwittiCudnnAttentionImages, SwittiCudnnPlan *>> attentions;
};

/* Makes the handle; FALSE where that fails. */
bool switti_cuda_cudnn_prepare (SwittiKernelContext *context);

/* What cuDNN may do in place of a kernel. */
struct SwittiCudnnProblem
{
  std::string key;      /* of the choice, in choices-private.h: the same for any number of images */
  std::string plan_key; /* of this plan: `key`, and the number of images where there are more than one */
  std::vector<size_t> operand_bytes; /* for one image, as the rival gets them */
  float value;                       /* of the operand after those, where `has_value` */
  bool has_value;
  /* Makes the operations, for one image, or for all of them. */
  std::function<std::vector<cudnnBackendDescriptor_t> (SwittiCudnnDescriptors *graph, bool all_images)> describe;
};

/* -- cudnn-engines.cu ---------------------------------------------------------------------------------------------- */

/* One of cuDNN's ways to do a graph, and how it is set: (cudnnBackendKnobType_t, value). */
struct SwittiCudnnEngine
{
  int64_t index;
  std::vector<std::pair<int, int64_t>> knobs;
};

struct SwittiCudnnPlan
{
  SwittiCudnnDescriptors descriptors;
  cudnnBackendDescriptor_t plan = nullptr;
  int64_t workspace_bytes = 0;
  std::vector<int64_t> identities; /* of the operands, then of the value */
  float value = 0.0f;
  bool has_run = false;
  bool has_failed = false;

  explicit SwittiCudnnPlan (const SwittiCudnnLibrary *library) : descriptors (library) {}
};

/* The engines that cuDNN proposes for one image, best first, without those that are inexact or whose sums have no fixed
 * order. */
std::vector<SwittiCudnnEngine> switti_cuda_cudnn_find_engines (SwittiKernelContext *context,
                                                               const SwittiCudnnProblem &problem, size_t most);
/* NULL where the engine cannot do it. */
SwittiCudnnPlan *switti_cuda_cudnn_build (SwittiKernelContext *context, const SwittiCudnnProblem &problem,
                                          bool all_images, const SwittiCudnnEngine &engine);
/* A plan as text, with the kernels that cuDNN has compiled for it; empty where it has none that can be kept. */
std::string switti_cuda_cudnn_plan_to_text (const SwittiCudnnPlan *plan);
SwittiCudnnPlan *switti_cuda_cudnn_plan_from_text (SwittiKernelContext *context, const SwittiCudnnProblem &problem,
                                                   const std::string &text);

/* An engine in the words of a choice, where they hold it; no engine is the own kernel. */
bool switti_cuda_cudnn_choice_of (const SwittiCudnnEngine &engine, SwittiCudaChoice *choice);
bool switti_cuda_cudnn_engine_of (const SwittiCudaChoice &choice, SwittiCudnnEngine *engine);

/* -- cudnn-plans.cu ------------------------------------------------------------------------------------------------ */

/* A plan for one image of the problem, or, where `all_images`, for all of them by the engine that was chosen for one:
 * so an image's bits do not depend on their number. Where nothing is chosen yet, the engines are timed against the
 * rival, unless that is empty. NULL for the own kernel. */
SwittiCudnnPlan *switti_cuda_cudnn_plan (SwittiKernelContext *context, const SwittiCudnnProblem &problem,
                                         bool all_images, const SwittiCudnnRival &rival);
/* Operands in their order, aligned to 16 bytes. FALSE where it fails, which the plan remembers. */
bool switti_cuda_cudnn_run (SwittiKernelContext *context, SwittiCudnnPlan *plan, std::vector<void *> operands);

bool switti_cuda_is_capturing (SwittiKernelContext *context);
