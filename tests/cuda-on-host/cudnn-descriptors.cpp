/* cudnn-descriptors.cpp - the rules of cuDNN's backend API for the descriptors that the adapter makes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Each attribute's type and number of elements, what is required, and how sizes belong together, as cuDNN's
 * documentation has them.
 */
#include "cudnn-on-host-private.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <set>

namespace cudnn_on_host
{
namespace
{
struct Rule
{
  int descriptor, attribute, type;
  int64_t least, most;
  bool required;
  int refers_to; /* a type of descriptors; -1: none, -2: an operation's */
};

const int ANY_OPERATION = -2;

const Rule rules[] = {
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, 1, true, -1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 1, true, -1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, 1, true, -1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, 4, true, -1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, 4, true, -1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, 1, false, -1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, 1, false, -1 },
  { CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 1, true, -1 },
  { CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, 1, true,
    -1 },
  { CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, 1, true, -1 },
  { CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, 2, true, -1 },
  { CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, 2, true, -1 },
  { CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, 2, true, -1 },
  { CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, 2, true, -1 },
  { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
    CUDNN_TYPE_FLOAT, 1, 1, true, -1 },
  { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
    CUDNN_TYPE_FLOAT, 1, 1, true, -1 },
  { CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, 1, true, -1 },
  { CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, 1, true, -1 },
  { CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true, CUDNN_BACKEND_POINTWISE_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
    1, 1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
    1, 1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
    1, 1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
    1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
    1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
    1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
    1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC,
    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true, CUDNN_BACKEND_TENSOR_DESCRIPTOR },
  { CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, 1, true, -1 },
  { CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 8, true,
    ANY_OPERATION },
  { CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1,
    true, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR },
  { CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, 1, true, -1 },
  { CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true,
    CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR },
  { CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, 1, true, -1 },
  { CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, 1, true, -1 },
  { CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, 1, true, -1 },
  { CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true,
    CUDNN_BACKEND_ENGINE_DESCRIPTOR },
  { CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 16, false,
    CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR },
  { CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, 1, true, -1 },
  { CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
    1, false, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR },
  { CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 1,
    INT32_MAX, false, -1 },
  { CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 1, 16, true, -1 },
  { CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 1, 16, true,
    -1 },
  { CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, 1, true, -1 },
};

bool
is_operation (int type)
{
  return type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR
         || type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR
         || type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR;
}

Tensor
read_tensor (const Descriptor *descriptor)
{
  Tensor tensor = {};

  tensor.identity = get_one<int64_t> (descriptor, CUDNN_ATTR_TENSOR_UNIQUE_ID);
  tensor.dtype = get_one<cudnnDataType_t> (descriptor, CUDNN_ATTR_TENSOR_DATA_TYPE);
  tensor.is_virtual = has (descriptor, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
  tensor.is_value = has (descriptor, CUDNN_ATTR_TENSOR_IS_BY_VALUE);
  tensor.sizes = get_all<int64_t> (descriptor, CUDNN_ATTR_TENSOR_DIMENSIONS);
  tensor.strides = get_all<int64_t> (descriptor, CUDNN_ATTR_TENSOR_STRIDES);
  return tensor;
}

Operation
read_operation (const Descriptor *descriptor)
{
  static const int conv[] = { CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y };
  static const int sum[] = { CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                             CUDNN_ATTR_OPERATION_POINTWISE_YDESC };
  static const int sdpa[] = { CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC,
                              CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC,
                              CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC };
  Operation operation = { descriptor->type, {}, {} };
  const auto add = [&] (int attribute) {
    operation.tensors.push_back (read_tensor (refer (descriptor, attribute)));
  };

  if (descriptor->type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR)
    std::for_each (std::begin (sdpa), std::end (sdpa), add);
  else if (descriptor->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
    std::for_each (std::begin (sum), std::end (sum), add);
  else
    {
      const Descriptor *how = refer (descriptor, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);

      std::for_each (std::begin (conv), std::end (conv), add);
      for (int attribute : { CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS,
                             CUDNN_ATTR_CONVOLUTION_POST_PADDINGS })
        for (int64_t value : get_all<int64_t> (how, attribute))
          operation.numbers.push_back (value);
    }
  return operation;
}

/* -- how sizes belong together ------------------------------------------------------------------------------------- */

cudnnStatus_t
check_tensor (const Descriptor *descriptor)
{
  const Tensor tensor = read_tensor (descriptor);

  for (size_t i = 0; i < 4; i++)
    if (tensor.sizes[i] < 1 || tensor.strides[i] < 1)
      return refuse (CUDNN_STATUS_BAD_PARAM, "tensor %d: a size or stride below 1", (int) tensor.identity);
  if (tensor.is_value && tensor.sizes != std::vector<int64_t>{ 1, 1, 1, 1 })
    return refuse (CUDNN_STATUS_BAD_PARAM, "tensor %d: a value of more than one number", (int) tensor.identity);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
check_conv (const Descriptor *descriptor)
{
  const Operation o = read_operation (descriptor);
  const std::vector<int64_t> &x = o.tensors[0].sizes, &w = o.tensors[1].sizes, &y = o.tensors[2].sizes;

  if (get_one<float> (descriptor, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA) != 1.0f
      || get_one<float> (descriptor, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA) != 0.0f)
    return refuse (CUDNN_STATUS_BAD_PARAM, "convolution: alpha is not 1, or beta not 0");
  if (y[0] != x[0] || y[1] != w[0] || x[1] != w[1])
    return refuse (CUDNN_STATUS_BAD_PARAM, "convolution: channels or images do not match");
  for (size_t i = 0; i < 2; i++)
    if (y[2 + i] != (x[2 + i] + o.numbers[2 + i] + o.numbers[4 + i] - w[2 + i]) / o.numbers[i] + 1)
      return refuse (CUDNN_STATUS_BAD_PARAM, "convolution: a map of %d positions in dimension %d", (int) y[2 + i],
                     (int) i);
  for (const Tensor &tensor : o.tensors)
    if (tensor.strides[1] != 1)
      return refuse (CUDNN_STATUS_BAD_PARAM, "convolution: tensor %d is not NHWC", (int) tensor.identity);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
check_sum (const Descriptor *descriptor)
{
  const Operation o = read_operation (descriptor);

  if (get_one<cudnnPointwiseMode_t> (refer (descriptor, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
                                     CUDNN_ATTR_POINTWISE_MODE)
      != CUDNN_POINTWISE_ADD)
    return refuse (CUDNN_STATUS_NOT_SUPPORTED, "pointwise: no addition");
  for (size_t i = 0; i < 4; i++)
    if (o.tensors[0].sizes[i] != o.tensors[2].sizes[i]
        || (o.tensors[1].sizes[i] != o.tensors[2].sizes[i] && o.tensors[1].sizes[i] != 1))
      return refuse (CUDNN_STATUS_BAD_PARAM, "pointwise: dimension %d does not match", (int) i);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
check_sdpa (const Descriptor *descriptor)
{
  const Operation o = read_operation (descriptor);
  const std::vector<int64_t> &q = o.tensors[0].sizes, &k = o.tensors[1].sizes;

  if (o.tensors[4].sizes != q || o.tensors[2].sizes != k || k[0] != q[0] || k[1] != q[1] || k[3] != q[3])
    return refuse (CUDNN_STATUS_BAD_PARAM, "attention: sizes do not match");
  if (!o.tensors[3].is_value || o.tensors[3].dtype != CUDNN_DATA_FLOAT)
    return refuse (CUDNN_STATUS_BAD_PARAM, "attention: the scale is no float32 value");
  for (size_t i : { 0, 1, 2, 4 })
    {
      const std::vector<int64_t> &strides = o.tensors[i].strides;

      if (strides[3] != 1 || (strides[0] | strides[1] | strides[2]) % 8 != 0 || q[3] % 8 != 0)
        return refuse (CUDNN_STATUS_BAD_PARAM, "attention: rows of tensor %d do not begin at 16 bytes", (int) i);
    }
  return CUDNN_STATUS_SUCCESS;
}

/* Identities name one tensor each, and what is virtual is made before it is read. */
cudnnStatus_t
check_graph (const Descriptor *descriptor)
{
  std::map<int64_t, Tensor> known;
  std::set<int64_t> made;

  for (const Operation &operation : read_graph (descriptor))
    for (const Tensor &tensor : operation.tensors)
      {
        const Tensor &first = known.insert ({ tensor.identity, tensor }).first->second;

        if (first.sizes != tensor.sizes || first.strides != tensor.strides || first.dtype != tensor.dtype)
          return refuse (CUDNN_STATUS_BAD_PARAM, "graph: two tensors of identity %d", (int) tensor.identity);
        if (&tensor == &operation.tensors.back ())
          {
            if (!made.insert (tensor.identity).second)
              return refuse (CUDNN_STATUS_BAD_PARAM, "graph: tensor %d is made twice", (int) tensor.identity);
          }
        else if (tensor.is_virtual && made.count (tensor.identity) == 0)
          return refuse (CUDNN_STATUS_BAD_PARAM, "graph: tensor %d is read before it is made", (int) tensor.identity);
      }
  return CUDNN_STATUS_SUCCESS;
}
} // namespace

cudnnStatus_t
refuse (cudnnStatus_t status, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (counts.error[0] == '\0')
    vsnprintf (counts.error, sizeof counts.error, format, args);
  va_end (args);
  return status;
}

bool
has (const Descriptor *descriptor, int attribute)
{
  return descriptor->values.count (attribute) != 0;
}

void
put (Descriptor *descriptor, int attribute, const void *value, size_t size)
{
  descriptor->values[attribute].assign (static_cast<const char *> (value), static_cast<const char *> (value) + size);
}

const Descriptor *
refer (const Descriptor *descriptor, int attribute)
{
  return static_cast<const Descriptor *> (get_one<cudnnBackendDescriptor_t> (descriptor, attribute));
}

Computation
read_graph (const Descriptor *graph)
{
  Computation computation;

  for (cudnnBackendDescriptor_t operation :
       get_all<cudnnBackendDescriptor_t> (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS))
    computation.push_back (read_operation (static_cast<const Descriptor *> (operation)));
  return computation;
}

cudnnStatus_t
check_attribute (const Descriptor *descriptor, int attribute, int type, int64_t count, const void *values)
{
  const Rule *rule = std::find_if (std::begin (rules), std::end (rules), [&] (const Rule &r) {
    return r.descriptor == descriptor->type && r.attribute == attribute;
  });

  if (rule == std::end (rules))
    return refuse (CUDNN_STATUS_BAD_PARAM, "descriptor %d has no attribute %d", descriptor->type, attribute);
  if (descriptor->finished)
    return refuse (CUDNN_STATUS_BAD_PARAM, "attribute %d is set of what is finished", attribute);
  if (type != rule->type || values == nullptr)
    return refuse (CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute %d of type %d", attribute, type);
  if (count < rule->least || count > rule->most)
    return refuse (CUDNN_STATUS_BAD_PARAM, "attribute %d of %d elements", attribute, (int) count);
  for (int64_t i = 0; i < count && rule->refers_to != -1; i++)
    {
      const Descriptor *other
          = static_cast<const Descriptor *> (static_cast<const cudnnBackendDescriptor_t *> (values)[i]);

      if (other == nullptr || !other->finished
          || (rule->refers_to == ANY_OPERATION ? !is_operation (other->type) : other->type != rule->refers_to))
        return refuse (CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "attribute %d refers to something else", attribute);
    }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
check_whole (const Descriptor *descriptor)
{
  for (const Rule &rule : rules)
    /* A plan that is read needs no configuration, and one of a configuration no text. */
    if (rule.descriptor == descriptor->type && rule.required && !has (descriptor, rule.attribute))
      return refuse (CUDNN_STATUS_BAD_PARAM, "descriptor %d lacks attribute %d", descriptor->type, rule.attribute);
  switch ((int) descriptor->type)
    {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR: return check_tensor (descriptor);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR: return check_conv (descriptor);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: return check_sum (descriptor);
    case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR: return check_sdpa (descriptor);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: return check_graph (descriptor);
    default: return CUDNN_STATUS_SUCCESS;
    }
}
} // namespace cudnn_on_host
