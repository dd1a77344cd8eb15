/* cudnn-plans.cu - cuDNN or the own kernel: timed once, kept, and run
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cuDNN compiles most of its kernels when they are planned, half a second to two for each engine. So the quick ops are
 * not offered to it, few engines are tried, and what has won is kept with its compiled kernel: a later process neither
 * times nor compiles.
 */
#include "cudnn-graph-private.h"
#include "products-private.h"

#include <cmath>
#include <memory>

/* Engines that are timed, and how often. */
#define MAX_ENGINES 2
#define TIMED_RUNS 5
/* Where the own kernel takes less, cuDNN saves less than it costs to compile. */
#define LEAST_MILLISECONDS 0.02f
/* Smaller advantages may be the clock's. */
#define LEAST_GAIN 1.03f
/* Where cuDNN's best proposal takes so much more, the next is not compiled. */
#define HOPELESS 1.5f

namespace
{
/* Memory for a problem's operands of one image, and the events between which they are worked on. */
struct Trial
{
  void *memory = nullptr;
  std::vector<void *> operands;
  cudaEvent_t start = nullptr, end = nullptr;

  ~Trial ()
  {
    if (start != nullptr)
      cudaEventDestroy (start);
    if (end != nullptr)
      cudaEventDestroy (end);
    cudaFree (memory);
    cudaGetLastError ();
  }
};

bool
make_trial (SwittiKernelContext *context, const SwittiCudnnProblem &problem, Trial *trial)
{
  size_t total = 0;

  for (size_t bytes : problem.operand_bytes)
    total += (bytes + 255) / 256 * 256;
  if (cudaMalloc (&trial->memory, total) != cudaSuccess
      || cudaMemsetAsync (trial->memory, 0, total, context->runtime->stream) != cudaSuccess
      || cudaEventCreateWithFlags (&trial->start, cudaEventDefault) != cudaSuccess
      || cudaEventCreateWithFlags (&trial->end, cudaEventDefault) != cudaSuccess)
    return false;
  total = 0;
  for (size_t bytes : problem.operand_bytes)
    {
      trial->operands.push_back (static_cast<char *> (trial->memory) + total);
      total += (bytes + 255) / 256 * 256;
    }
  return true;
}

/* Milliseconds of a run; negative where one fails. */
float
time_runs (SwittiKernelContext *context, const Trial &trial, const std::function<bool ()> &run)
{
  float milliseconds = -1.0f;

  for (int i = 0; i <= TIMED_RUNS; i++)
    {
      if (i == 1 && cudaEventRecord (trial.start, context->runtime->stream) != cudaSuccess)
        return -1.0f;
      if (!run ())
        return -1.0f;
    }
  if (cudaEventRecord (trial.end, context->runtime->stream) != cudaSuccess
      || cudaEventSynchronize (trial.end) != cudaSuccess
      || cudaEventElapsedTime (&milliseconds, trial.start, trial.end) != cudaSuccess)
    return -1.0f;
  return milliseconds / TIMED_RUNS;
}

/* The quickest plan for one image, and its engine. NULL, where none beats `limit` milliseconds. */
std::unique_ptr<SwittiCudnnPlan>
find_quickest (SwittiKernelContext *context, const SwittiCudnnProblem &problem, const Trial &trial, float limit,
               SwittiCudnnEngine *chosen)
{
  std::unique_ptr<SwittiCudnnPlan> best;

  for (const SwittiCudnnEngine &engine : switti_cuda_cudnn_find_engines (context, problem, MAX_ENGINES))
    {
      SwittiCudaChoice choice;

      if (!switti_cuda_cudnn_choice_of (engine, &choice))
        continue;
      std::unique_ptr<SwittiCudnnPlan> plan (switti_cuda_cudnn_build (context, problem, false, engine));
      if (plan == nullptr)
        continue;
      const float time
          = time_runs (context, trial, [&] { return switti_cuda_cudnn_run (context, plan.get (), trial.operands); });
      if (time > HOPELESS * limit)
        break;
      if (time >= 0.0f && time < limit)
        {
          limit = time;
          *chosen = engine;
          best = std::move (plan);
        }
    }
  return best;
}

void
keep (SwittiCudaChoices *choices, const SwittiCudnnProblem &problem, const SwittiCudaChoice &choice)
{
  choices->by_product[problem.key] = choice;
  choices->is_new = true;
}

void
keep_plan (SwittiCudaChoices *choices, const std::string &key, const SwittiCudnnPlan *plan)
{
  const std::string text = switti_cuda_cudnn_plan_to_text (plan);

  if (switti_cuda_choices_can_keep (text))
    {
      choices->plans[key] = text;
      choices->is_new = true;
    }
}

/* Chooses between cuDNN's engines and the rival, which is the own kernel. Nothing is kept where the trial itself fails:
 * the next context may have the memory. */
void
choose (SwittiKernelContext *context, const SwittiCudnnProblem &problem, const SwittiCudnnRival &rival)
{
  SwittiCudaChoices *choices = switti_cuda_products_choices (context->runtime->products);
  const bool always = context->runtime->cudnn->library.always;
  SwittiCudaChoice choice = {};
  SwittiCudnnEngine engine;
  Trial trial;
  float own;

  if (!make_trial (context, problem, &trial))
    return;
  own = time_runs (context, trial, [&] { return rival (trial.operands.data ()) == SWITTI_KERNEL_OK; });
  if (own < 0.0f)
    return;
  if (own >= LEAST_MILLISECONDS || always)
    {
      if (!switti_cuda_cudnn_prepare (context))
        return;
      const std::unique_ptr<SwittiCudnnPlan> plan
          = find_quickest (context, problem, trial, always ? INFINITY : own / LEAST_GAIN, &engine);
      if (plan != nullptr && switti_cuda_cudnn_choice_of (engine, &choice))
        keep_plan (choices, problem.key, plan.get ());
    }
  keep (choices, problem, choice);
}
} // namespace

SwittiCudnnPlan *
switti_cuda_cudnn_plan (SwittiKernelContext *context, const SwittiCudnnProblem &problem, bool all_images,
                        const SwittiCudnnRival &rival)
{
  SwittiCudaChoices *choices = switti_cuda_products_choices (context->runtime->products);
  const std::string &key = all_images ? problem.plan_key : problem.key;
  SwittiCudnnEngine engine;
  SwittiCudnnPlan *plan;

  if (switti_cuda_is_capturing (context))
    return nullptr;
  if (choices->by_product.count (problem.key) == 0 && rival)
    choose (context, problem, rival);
  context->error[0] = '\0'; /* a trial's */
  const auto known = choices->by_product.find (problem.key);
  if (known == choices->by_product.end () || !switti_cuda_cudnn_engine_of (known->second, &engine)
      || !switti_cuda_cudnn_prepare (context))
    return nullptr;
  const auto text = choices->plans.find (key);
  if (text != choices->plans.end ())
    {
      plan = switti_cuda_cudnn_plan_from_text (context, problem, text->second);
      if (plan != nullptr)
        return plan;
    }
  plan = switti_cuda_cudnn_build (context, problem, all_images, engine);
  if (plan != nullptr)
    {
      keep_plan (choices, key, plan);
      /* What the plan needs must be there before anything is captured. */
      size_t bytes;
      if (plan->workspace_bytes > 0)
        switti_cuda_products_workspace (context, &bytes);
    }
  return plan;
}

void
switti_cuda_cudnn_plan_free (SwittiCudnnPlan *plan)
{
  if (plan == nullptr)
    return;
  /* Its compiled kernel goes with it: what is enqueued may still be of it. */
  if (plan->has_run && cudaDeviceSynchronize () != cudaSuccess)
    cudaGetLastError ();
  delete plan;
}

bool
switti_cuda_cudnn_run (SwittiKernelContext *context, SwittiCudnnPlan *plan, std::vector<void *> operands)
{
  SwittiCudnn *cudnn = context->runtime->cudnn;
  SwittiCudnnDescriptors pack (&cudnn->library);
  size_t workspace_bytes = 0;
  void *workspace = nullptr;

  if (plan->has_failed)
    return false;
  if (plan->workspace_bytes > 0)
    {
      workspace = switti_cuda_products_workspace (context, &workspace_bytes);
      if (workspace_bytes < (size_t) plan->workspace_bytes)
        return false;
    }
  if (operands.size () < plan->identities.size ())
    operands.push_back (&plan->value);
  if (cudnn->stream != context->runtime->stream)
    {
      pack.status = cudnn->library.set_stream (cudnn->handle, context->runtime->stream);
      cudnn->stream = pack.ok () ? context->runtime->stream : nullptr;
    }
  cudnnBackendDescriptor_t self = pack.make (CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set (self, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, plan->identities);
  pack.set (self, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, (int64_t) operands.size (),
            operands.data ());
  pack.set (self, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  pack.finish (self);
  if (pack.ok ())
    pack.status = cudnn->library.execute (cudnn->handle, plan->plan, self);
  plan->has_run = true;
  if (!pack.ok ())
    {
      plan->has_failed = true;
      cudaGetLastError ();
      return false;
    }
  /* One of ours less. */
  context->launches.kernels++;
  return true;
}
