/* cudnn-on-host-private.h - what the tests' cuDNN keeps of its descriptors, and what a graph of them computes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "cudnn-graph-private.h"
#include "cudnn-on-host.h"

#include <map>
#include <string>
#include <vector>

namespace cudnn_on_host
{
struct Descriptor
{
  cudnnBackendDescriptorType_t type;
  bool finished;
  std::map<int, std::vector<char>> values; /* by attribute */
};

struct Tensor
{
  int64_t identity, dtype, is_virtual, is_value;
  std::vector<int64_t> sizes, strides;
};

/* What an operation reads comes first, what it writes last. */
struct Operation
{
  int64_t type; /* cudnnBackendDescriptorType_t */
  std::vector<int64_t> numbers; /* of a convolution: strides, paddings before, paddings after */
  std::vector<Tensor> tensors;
};

typedef std::vector<Operation> Computation;

/* In place of the tests' own functions; NULL: those. */
extern bool (*open_instead) (SwittiCudnnLibrary *library);
extern SwittiCudnnOnHost settings;
extern SwittiCudnnOnHostCounts counts;

/* Notes a broken rule. */
cudnnStatus_t refuse (cudnnStatus_t status, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/* A value that is set; FALSE where it is not. */
bool has (const Descriptor *descriptor, int attribute);
template <typename T>
std::vector<T>
get_all (const Descriptor *descriptor, int attribute)
{
  const std::vector<char> &bytes = descriptor->values.at (attribute);
  std::vector<T> values (bytes.size () / sizeof (T));

  for (size_t i = 0; i < bytes.size (); i++)
    reinterpret_cast<char *> (values.data ())[i] = bytes[i];
  return values;
}
template <typename T>
T
get_one (const Descriptor *descriptor, int attribute)
{
  return get_all<T> (descriptor, attribute).at (0);
}
void put (Descriptor *descriptor, int attribute, const void *value, size_t size);
/* What an attribute refers to. */
const Descriptor *refer (const Descriptor *descriptor, int attribute);

/* Type, number of elements and what they refer to. */
cudnnStatus_t check_attribute (const Descriptor *descriptor, int attribute, int type, int64_t count,
                               const void *values);
/* Whether all is there and fits together. */
cudnnStatus_t check_whole (const Descriptor *descriptor);
Computation read_graph (const Descriptor *graph);

/* cudnn-compute.cpp */
bool compute (const Computation &computation, const std::map<int64_t, void *> &operands);
} // namespace cudnn_on_host
