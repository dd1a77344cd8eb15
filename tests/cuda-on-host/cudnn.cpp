/* cudnn.cpp - the functions of the tests' cuDNN: descriptors, engines, plans and their runs on host CUDA
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "cudnn-on-host-private.h"

#include <algorithm>
#include <cstring>

using namespace cudnn_on_host;

namespace cudnn_on_host
{
bool (*open_instead) (SwittiCudnnLibrary *library);
SwittiCudnnOnHost settings;
SwittiCudnnOnHostCounts counts;
} // namespace cudnn_on_host

struct cudnnContext
{
  cudaStream_t stream;
};

namespace
{
enum
{
  ENGINE_INEXACT = 3,
  ENGINE_WITH_WORKSPACE = 8,
  ENGINE_PLAIN = 17,
  WORKSPACE = 4096,
  ENGINE_KNOB = 1000, /* behind the index: what each engine's knob must be */
  PLAN_COMPUTATION = -1, /* what a plan's descriptor keeps beside its attributes */
};
const int64_t engines[] = { ENGINE_INEXACT, ENGINE_WITH_WORKSPACE, ENGINE_PLAIN };
int64_t failing_call = -1;

#define BEGIN() \
  counts.calls++; \
  if (failing_call >= 0 && failing_call-- == 0) \
    return CUDNN_STATUS_INTERNAL_ERROR

Descriptor *
of (cudnnBackendDescriptor_t descriptor)
{
  return static_cast<Descriptor *> (descriptor);
}

size_t
get_version ()
{
  return SWITTI_CUDNN_LEAST_VERSION;
}

cudnnStatus_t
create (cudnnHandle_t *handle)
{
  BEGIN ();
  counts.handles++;
  *handle = new cudnnContext{};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
destroy (cudnnHandle_t handle)
{
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
set_stream (cudnnHandle_t handle, cudaStream_t stream)
{
  BEGIN ();
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
create_descriptor (cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *descriptor)
{
  BEGIN ();
  counts.descriptors++;
  *descriptor = new Descriptor{ type, false, {} };
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
destroy_descriptor (cudnnBackendDescriptor_t descriptor)
{
  counts.descriptors--;
  delete of (descriptor);
  return CUDNN_STATUS_SUCCESS;
}

size_t
size_of (cudnnBackendAttributeType_t type)
{
  switch ((int) type)
    {
    case CUDNN_TYPE_BOOLEAN: return sizeof (bool);
    case CUDNN_TYPE_CHAR: return sizeof (char);
    case CUDNN_TYPE_FLOAT: return sizeof (float);
    case CUDNN_TYPE_INT64: return sizeof (int64_t);
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR: return sizeof (void *);
    default: return sizeof (cudnnDataType_t); /* any enumeration */
    }
}

cudnnStatus_t
set_attribute (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
               int64_t count, const void *values)
{
  BEGIN ();
  const cudnnStatus_t status = check_attribute (of (descriptor), name, type, count, values);

  if (status == CUDNN_STATUS_SUCCESS)
    put (of (descriptor), name, values, (size_t) count * size_of (type));
  return status;
}

/* -- engines and plans --------------------------------------------------------------------------------------------- */

/* Numbers, each behind how many there are of its kind. */
struct Writer
{
  std::string text;

  void number (int64_t value) { text += (text.empty () ? "[" : ",") + std::to_string (value); }
  void
  list (const std::vector<int64_t> &values)
  {
    number ((int64_t) values.size ());
    for (int64_t value : values)
      number (value);
  }
};

struct Reader
{
  const char *at;

  int64_t
  number ()
  {
    char *end;
    const int64_t value = *at != '\0' ? strtoll (at + 1, &end, 10) : 0;

    at = *at != '\0' ? end : at;
    return value;
  }
  std::vector<int64_t>
  list ()
  {
    std::vector<int64_t> values ((size_t) (number () & 0xff));

    for (int64_t &value : values)
      value = number ();
    return values;
  }
};

std::string
write_plan (int64_t engine, const Computation &computation)
{
  Writer writer;

  writer.number (engine);
  writer.number ((int64_t) computation.size ());
  for (const Operation &operation : computation)
    {
      writer.number (operation.type);
      writer.list (operation.numbers);
      writer.number ((int64_t) operation.tensors.size ());
      for (const Tensor &tensor : operation.tensors)
        {
          writer.list ({ tensor.identity, tensor.dtype, tensor.is_virtual, tensor.is_value });
          writer.list (tensor.sizes);
          writer.list (tensor.strides);
        }
    }
  return writer.text + "]";
}

Computation
read_plan (const std::string &text, int64_t *engine)
{
  Reader reader = { text.c_str () };
  Computation computation;

  *engine = reader.number ();
  for (int64_t n = reader.number () & 0xff; n > 0; n--)
    {
      Operation operation = {};

      operation.type = reader.number ();
      operation.numbers = reader.list ();
      for (int64_t tensors = reader.number () & 0xff; tensors > 0; tensors--)
        {
          const std::vector<int64_t> flags = reader.list ();
          Tensor tensor = { flags.at (0), flags.at (1), flags.at (2), flags.at (3), {}, {} };

          tensor.sizes = reader.list ();
          tensor.strides = reader.list ();
          operation.tensors.push_back (tensor);
        }
      computation.push_back (operation);
    }
  return computation;
}

/* A plan keeps itself as the text that it can be read from. */
void
keep_plan (Descriptor *plan, const std::string &text)
{
  put (plan, PLAN_COMPUTATION, text.data (), text.size ());
}

std::string
plan_text (const Descriptor *plan)
{
  const std::vector<char> bytes = get_all<char> (plan, PLAN_COMPUTATION);

  return std::string (bytes.begin (), bytes.end ());
}

cudnnStatus_t
finish_engine (const Descriptor *engine)
{
  const int64_t index = get_one<int64_t> (engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  const Computation graph = read_graph (refer (engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH));

  if (std::find (std::begin (engines), std::end (engines), index) == std::end (engines))
    return refuse (CUDNN_STATUS_BAD_PARAM, "there is no engine %d", (int) index);
  return settings.takes_one_image && graph[0].tensors[0].sizes[0] > 1 ? CUDNN_STATUS_NOT_SUPPORTED
                                                                     : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
finish_configuration (const Descriptor *configuration)
{
  const Descriptor *engine = refer (configuration, CUDNN_ATTR_ENGINECFG_ENGINE);

  if (!has (configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES))
    return refuse (CUDNN_STATUS_BAD_PARAM, "an engine without its knobs");
  const Descriptor *knob = refer (configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
  if (get_one<cudnnBackendKnobType_t> (knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE) != CUDNN_KNOB_TYPE_KERNEL_CFG
      || get_one<int64_t> (knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE)
             != ENGINE_KNOB + get_one<int64_t> (engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX))
    return refuse (CUDNN_STATUS_BAD_PARAM, "a knob that is not the engine's");
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
finish_plan (Descriptor *plan)
{
  if (has (plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION))
    {
      const std::vector<char> text = get_all<char> (plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);

      counts.restored++;
      keep_plan (plan, std::string (text.begin (), text.end ()));
      return CUDNN_STATUS_SUCCESS;
    }
  if (!has (plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG))
    return refuse (CUDNN_STATUS_BAD_PARAM, "a plan of nothing");
  const Descriptor *engine = refer (refer (plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG), CUDNN_ATTR_ENGINECFG_ENGINE);
  counts.built++;
  keep_plan (plan, write_plan (get_one<int64_t> (engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX),
                               read_graph (refer (engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH))));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
finalize (cudnnBackendDescriptor_t descriptor)
{
  BEGIN ();
  Descriptor *self = of (descriptor);
  cudnnStatus_t status = check_whole (self);

  if (status == CUDNN_STATUS_SUCCESS && self->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
    counts.heuristics++;
  if (status == CUDNN_STATUS_SUCCESS && self->type == CUDNN_BACKEND_ENGINE_DESCRIPTOR)
    status = finish_engine (self);
  if (status == CUDNN_STATUS_SUCCESS && self->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
    status = finish_configuration (self);
  if (status == CUDNN_STATUS_SUCCESS && self->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
    status = finish_plan (self);
  self->finished = status == CUDNN_STATUS_SUCCESS;
  return status;
}

/* -- what is asked of descriptors ---------------------------------------------------------------------------------- */

template <typename T>
cudnnStatus_t
answer (const std::vector<T> &values, int64_t capacity, int64_t *count, void *to)
{
  *count = (int64_t) values.size ();
  if (to != nullptr)
    memcpy (to, values.data (), (size_t) std::min<int64_t> (capacity, *count) * sizeof (T));
  return CUDNN_STATUS_SUCCESS;
}

/* Fills the caller's descriptors of configurations: each of an engine, by its index. */
cudnnStatus_t
propose (int64_t capacity, int64_t *count, void *to)
{
  *count = settings.is_unsupported ? 0 : 3;
  for (int64_t i = 0; to != nullptr && i < std::min<int64_t> (capacity, *count); i++)
    {
      Descriptor *configuration = of (static_cast<cudnnBackendDescriptor_t *> (to)[i]);

      if (configuration->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
        return refuse (CUDNN_STATUS_BAD_PARAM, "proposals go to configurations");
      put (configuration, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, &engines[i], sizeof engines[i]);
      configuration->finished = true;
    }
  return CUDNN_STATUS_SUCCESS;
}

/* A configuration's engine, or its knob, into the caller's descriptor. */
cudnnStatus_t
read_configuration (const Descriptor *self, cudnnBackendAttributeName_t name, int64_t *count, void *to)
{
  const int64_t index = get_one<int64_t> (self, CUDNN_ATTR_ENGINE_GLOBAL_INDEX), value = ENGINE_KNOB + index;
  const cudnnBackendKnobType_t knob = CUDNN_KNOB_TYPE_KERNEL_CFG;
  Descriptor *part = of (static_cast<cudnnBackendDescriptor_t *> (to)[0]);

  *count = 1;
  if (part->type
      != (name == CUDNN_ATTR_ENGINECFG_ENGINE ? CUDNN_BACKEND_ENGINE_DESCRIPTOR : CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR))
    return refuse (CUDNN_STATUS_BAD_PARAM, "attribute %d goes to something else", name);
  if (name == CUDNN_ATTR_ENGINECFG_ENGINE)
    put (part, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, &index, sizeof index);
  else
    {
      put (part, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, &knob, sizeof knob);
      put (part, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, &value, sizeof value);
    }
  part->finished = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
read_plan_attribute (const Descriptor *self, cudnnBackendAttributeName_t name, int64_t capacity, int64_t *count,
                     void *to)
{
  int64_t engine;

  if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION)
    return settings.writes_no_plans ? CUDNN_STATUS_NOT_SUPPORTED
                                    : answer (get_all<char> (self, PLAN_COMPUTATION), capacity, count, to);
  read_plan (plan_text (self), &engine);
  return answer<int64_t> ({ engine == ENGINE_WITH_WORKSPACE ? (int64_t) WORKSPACE : 0 }, capacity, count, to);
}

cudnnStatus_t
get_attribute (cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t,
               int64_t capacity, int64_t *count, void *to)
{
  BEGIN ();
  const Descriptor *self = static_cast<const Descriptor *> (descriptor);

  if (!self->finished)
    return refuse (CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "attribute %d of what is not finished", name);
  switch ((int) name)
    {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS: return propose (capacity, count, to);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES: return read_configuration (self, name, count, to);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
      return answer<cudnnBackendNumericalNote_t> (
          { CUDNN_NUMERICAL_NOTE_TENSOR_CORE,
            get_one<int64_t> (self, CUDNN_ATTR_ENGINE_GLOBAL_INDEX) == ENGINE_INEXACT
                ? CUDNN_NUMERICAL_NOTE_WINOGRAD
                : CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP },
          capacity, count, to);
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE: return answer (get_all<int64_t> (self, name), capacity, count, to);
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE:
      return answer (get_all<cudnnBackendKnobType_t> (self, name), capacity, count, to);
    case CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION:
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE: return read_plan_attribute (self, name, capacity, count, to);
    default: return refuse (CUDNN_STATUS_BAD_PARAM, "attribute %d is asked for", name);
    }
}

/* -- running ------------------------------------------------------------------------------------------------------- */

/* The operands by identity: those of the graph that are in memory, each once and aligned. */
bool
match_operands (const Computation &computation, const Descriptor *pack, std::map<int64_t, void *> *operands)
{
  const std::vector<int64_t> identities = get_all<int64_t> (pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const std::vector<void *> pointers = get_all<void *> (pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  std::map<int64_t, bool> wanted;

  for (const Operation &operation : computation)
    for (const Tensor &tensor : operation.tensors)
      if (!tensor.is_virtual)
        wanted[tensor.identity] = tensor.is_value;
  for (size_t i = 0; i < std::min (identities.size (), pointers.size ()); i++)
    if (pointers[i] == nullptr || wanted.count (identities[i]) == 0
        || (!wanted[identities[i]] && reinterpret_cast<uintptr_t> (pointers[i]) % 16 != 0))
      return false;
    else
      (*operands)[identities[i]] = pointers[i];
  return identities.size () == pointers.size () && operands->size () == wanted.size ();
}

cudnnStatus_t
execute (cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t variant_pack)
{
  BEGIN ();
  const Descriptor *pack = static_cast<const Descriptor *> (variant_pack);
  std::map<int64_t, void *> operands;
  std::map<int64_t, float> numbers;
  int64_t engine;

  if (!of (plan)->finished || !pack->finished)
    return refuse (CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "a run of what is not finished");
  const Computation computation = read_plan (plan_text (of (plan)), &engine);
  void *workspace = get_one<void *> (pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  const size_t workspace_bytes = engine == ENGINE_WITH_WORKSPACE ? WORKSPACE : 0;
  if (!match_operands (computation, pack, &operands) || (workspace_bytes > 0 && workspace == nullptr))
    return refuse (CUDNN_STATUS_BAD_PARAM, "a run without its operands or workspace");
  if (settings.fails_to_run)
    return CUDNN_STATUS_EXECUTION_FAILED;
  /* Of the host: it is read now. */
  for (const Operation &operation : computation)
    for (const Tensor &tensor : operation.tensors)
      if (tensor.is_value)
        numbers[tensor.identity] = *static_cast<float *> (operands[tensor.identity]);
  const double milliseconds = settings.milliseconds[engine == ENGINE_PLAIN];
  counts.runs++;
  return cuda_on_host::enqueue (handle->stream,
                                [=] () mutable {
                                  cuda_on_host::advance_clock (milliseconds);
                                  for (auto &[identity, number] : numbers)
                                    operands[identity] = &number;
                                  if (workspace_bytes > 0)
                                    memset (workspace, 0xff, workspace_bytes);
                                  return compute (computation, operands);
                                })
                 == cudaSuccess
             ? CUDNN_STATUS_SUCCESS
             : CUDNN_STATUS_EXECUTION_FAILED_CUDART;
}
} // namespace

bool
switti_cuda_cudnn_open (SwittiCudnnLibrary *library)
{
  if (open_instead != nullptr)
    return open_instead (library);
  *library = SwittiCudnnLibrary{ get_version,        create,        destroy,       set_stream, create_descriptor,
                                 destroy_descriptor, set_attribute, get_attribute, finalize,   execute,
                                 settings.always };
  return settings.installed;
}

void
switti_cudnn_on_host (const SwittiCudnnOnHost *wanted)
{
  settings = wanted != nullptr ? *wanted : SwittiCudnnOnHost{};
  const uint64_t descriptors = counts.descriptors;
  counts = SwittiCudnnOnHostCounts{};
  counts.descriptors = descriptors;
  failing_call = -1;
  cuda_on_host::simulate_clock (settings.installed);
}

const SwittiCudnnOnHostCounts *
switti_cudnn_on_host_counts (void)
{
  return &counts;
}

void
switti_cudnn_on_host_fail (int64_t call)
{
  failing_call = call;
}
