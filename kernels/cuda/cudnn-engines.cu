/* cudnn-engines.cu - cuDNN's engines for a graph, and plans by one of them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "cudnn-graph-private.h"

#include <algorithm>
#include <memory>

/* As much memory as products have (products-private.h). */
#define MAX_WORKSPACE_BYTES ((int64_t) 32 << 20)
/* Longer texts are of kernels that are not worth their place. */
#define MAX_TEXT_BYTES ((int64_t) 4 << 20)
/* Two knobs a word, behind their number and the engine. */
#define MAX_KNOBS (2 * (std::tuple_size<SwittiCudaChoice>::value - 2))

namespace
{
cudnnBackendDescriptor_t
make_graph (SwittiCudnn *cudnn, SwittiCudnnDescriptors *graph, const SwittiCudnnProblem &problem, bool all_images)
{
  std::vector<cudnnBackendDescriptor_t> operations = problem.describe (graph, all_images);
  cudnnBackendDescriptor_t self = graph->make (CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);

  graph->set (self, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &cudnn->handle);
  graph->set (self, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, (int64_t) operations.size (),
              operations.data ());
  graph->finish (self);
  return self;
}

/* Bits that repeat, and no less exact than products of bf16 with float32 sums are. */
bool
is_exact (SwittiCudnnDescriptors *graph, cudnnBackendDescriptor_t engine)
{
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  const int64_t count = graph->get (engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                    CUDNN_NUMERICAL_NOTE_TYPE_COUNT, notes);

  return std::all_of (notes, notes + std::min<int64_t> (count, CUDNN_NUMERICAL_NOTE_TYPE_COUNT),
                      [] (cudnnBackendNumericalNote_t note) {
                        return note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE
                               || note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
                      });
}

/* The engine of a configuration and its knobs. FALSE where it is none for us. */
bool
read_configuration (SwittiCudnnDescriptors *graph, cudnnBackendDescriptor_t configuration, SwittiCudnnEngine *engine)
{
  cudnnBackendDescriptor_t self = graph->make (CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  std::vector<cudnnBackendDescriptor_t> choices;
  int64_t count;

  graph->get (configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &self);
  graph->get (self, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &engine->index);
  if (!graph->ok () || !is_exact (graph, self))
    return false;
  for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
    choices.push_back (graph->make (CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
  count = graph->get (configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                      CUDNN_KNOB_TYPE_COUNTS, choices.data ());
  for (int64_t i = 0; i < std::min<int64_t> (count, CUDNN_KNOB_TYPE_COUNTS); i++)
    {
      cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
      int64_t value = 0;

      graph->get (choices[(size_t) i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
      graph->get (choices[(size_t) i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
      engine->knobs.push_back ({ (int) type, value });
    }
  return graph->ok ();
}

/* Finishes the plan of what its descriptor has been given. */
SwittiCudnnPlan *
finish_plan (std::unique_ptr<SwittiCudnnPlan> self, const SwittiCudnnProblem &problem)
{
  self->descriptors.finish (self->plan);
  self->descriptors.get (self->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                         &self->workspace_bytes);
  for (size_t i = 0; i < problem.operand_bytes.size () + problem.has_value; i++)
    self->identities.push_back ((int64_t) i + 1);
  self->value = problem.value;
  return self->descriptors.ok () && self->workspace_bytes <= MAX_WORKSPACE_BYTES ? self.release () : nullptr;
}

std::unique_ptr<SwittiCudnnPlan>
start_plan (SwittiCudnn *cudnn)
{
  return std::unique_ptr<SwittiCudnnPlan> (new SwittiCudnnPlan (&cudnn->library));
}

void
make_plan (SwittiCudnn *cudnn, SwittiCudnnPlan *self)
{
  self->plan = self->descriptors.make (CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  self->descriptors.set (self->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &cudnn->handle);
}
} // namespace

std::vector<SwittiCudnnEngine>
switti_cuda_cudnn_find_engines (SwittiKernelContext *context, const SwittiCudnnProblem &problem, size_t most)
{
  SwittiCudnn *cudnn = context->runtime->cudnn;
  const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  SwittiCudnnDescriptors graph (&cudnn->library);
  cudnnBackendDescriptor_t operations = make_graph (cudnn, &graph, problem, false);
  cudnnBackendDescriptor_t heuristic = graph.make (CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  std::vector<cudnnBackendDescriptor_t> configurations;
  std::vector<SwittiCudnnEngine> engines;
  int64_t count;

  graph.set (heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, operations);
  graph.set (heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  graph.finish (heuristic);
  count = graph.get (heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  for (int64_t i = 0; i < count && graph.ok (); i++)
    configurations.push_back (graph.make (CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
  if (count > 0)
    count = std::min (count, graph.get (heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count,
                                        configurations.data ()));
  for (int64_t i = 0; i < count && graph.ok () && engines.size () < most; i++)
    {
      SwittiCudnnEngine engine = {};

      if (read_configuration (&graph, configurations[(size_t) i], &engine))
        engines.push_back (engine);
    }
  return engines;
}

SwittiCudnnPlan *
switti_cuda_cudnn_build (SwittiKernelContext *context, const SwittiCudnnProblem &problem, bool all_images,
                         const SwittiCudnnEngine &engine)
{
  SwittiCudnn *cudnn = context->runtime->cudnn;
  std::unique_ptr<SwittiCudnnPlan> self = start_plan (cudnn);
  SwittiCudnnDescriptors *graph = &self->descriptors;
  cudnnBackendDescriptor_t operations = make_graph (cudnn, graph, problem, all_images), configuration, chosen;
  std::vector<cudnnBackendDescriptor_t> choices;

  chosen = graph->make (CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  graph->set (chosen, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, operations);
  graph->set (chosen, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &engine.index);
  graph->finish (chosen);
  for (const auto &[knob, value] : engine.knobs)
    {
      const cudnnBackendKnobType_t type = (cudnnBackendKnobType_t) knob;

      choices.push_back (graph->make (CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
      graph->set (choices.back (), CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
      graph->set (choices.back (), CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
      graph->finish (choices.back ());
    }
  configuration = graph->make (CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  graph->set (configuration, CUDNN_ATTR_ENGINECFG_ENGINE, chosen);
  if (!choices.empty ())
    graph->set (configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                (int64_t) choices.size (), choices.data ());
  graph->finish (configuration);
  make_plan (cudnn, self.get ());
  graph->set (self->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  return finish_plan (std::move (self), problem);
}

/* -- what is kept -------------------------------------------------------------------------------------------------- */

std::string
switti_cuda_cudnn_plan_to_text (const SwittiCudnnPlan *plan)
{
  const SwittiCudnnLibrary *library = plan->descriptors.library;
  int64_t size = 0;
  std::string text;

  if (library->get_attribute (plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, &size,
                              nullptr)
          != CUDNN_STATUS_SUCCESS
      || size < 1 || size > MAX_TEXT_BYTES)
    return std::string ();
  text.resize ((size_t) size);
  if (library->get_attribute (plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, size, &size,
                              &text[0])
      != CUDNN_STATUS_SUCCESS)
    return std::string ();
  while (!text.empty () && text.back () == '\0')
    text.pop_back ();
  return text;
}

SwittiCudnnPlan *
switti_cuda_cudnn_plan_from_text (SwittiKernelContext *context, const SwittiCudnnProblem &problem,
                                  const std::string &text)
{
  std::unique_ptr<SwittiCudnnPlan> self = start_plan (context->runtime->cudnn);

  make_plan (context->runtime->cudnn, self.get ());
  self->descriptors.set (self->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                         (int64_t) text.size (), text.data ());
  return finish_plan (std::move (self), problem);
}

bool
switti_cuda_cudnn_choice_of (const SwittiCudnnEngine &engine, SwittiCudaChoice *choice)
{
  choice->fill (0);
  if (engine.knobs.size () > MAX_KNOBS)
    return false;
  (*choice)[0] = engine.knobs.size () + 1;
  (*choice)[1] = (uint64_t) engine.index;
  for (size_t i = 0; i < engine.knobs.size (); i++)
    {
      const auto &[type, value] = engine.knobs[i];

      if (type < 0 || type > 0xff || value < 0 || value > 0xffffff)
        return false;
      (*choice)[2 + i / 2] |= ((uint64_t) type << 24 | (uint64_t) value) << (i % 2 * 32);
    }
  return true;
}

bool
switti_cuda_cudnn_engine_of (const SwittiCudaChoice &choice, SwittiCudnnEngine *engine)
{
  *engine = SwittiCudnnEngine{};
  if (choice[0] < 1 || choice[0] > MAX_KNOBS + 1)
    return false;
  engine->index = (int64_t) choice[1];
  for (size_t i = 0; i < choice[0] - 1; i++)
    {
      const uint32_t knob = (uint32_t) (choice[2 + i / 2] >> (i % 2 * 32));

      engine->knobs.push_back ({ (int) (knob >> 24), (int64_t) (knob & 0xffffff) });
    }
  return true;
}
