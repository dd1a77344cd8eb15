/* cudnn-compute.cpp - what a graph of the tests' cuDNN computes: its operations by their definitions, in double
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "cudnn-on-host-private.h"

#include <cmath>
#include <cstring>

namespace cudnn_on_host
{
namespace
{
/* Tensors that are in memory, and those that are not. */
struct Values
{
  const std::map<int64_t, void *> &operands;
  std::map<int64_t, std::vector<float>> made;
};

/* Position (b, c, y, x); sizes of 1 are spread. */
size_t
place (const Tensor &t, int64_t b, int64_t c, int64_t y, int64_t x)
{
  const int64_t at[] = { b, c, y, x };
  int64_t sum = 0;

  for (size_t i = 0; i < 4; i++)
    sum += t.sizes[i] == 1 ? 0 : at[i] * t.strides[i];
  return (size_t) sum;
}

double
get (const Values &values, const Tensor &t, size_t at)
{
  uint32_t bits;
  uint16_t half;
  float value;

  if (t.is_virtual)
    return values.made.at (t.identity).at (at);
  const char *base = static_cast<const char *> (values.operands.at (t.identity));
  if (t.dtype == CUDNN_DATA_FLOAT)
    {
      memcpy (&value, base + at * sizeof value, sizeof value);
      return value;
    }
  memcpy (&half, base + at * sizeof half, sizeof half);
  bits = (uint32_t) half << 16;
  memcpy (&value, &bits, sizeof value);
  return value;
}

/* Rounded once: to the nearest, to the even of two. */
uint16_t
round_to_bf16 (float value)
{
  uint32_t bits;

  memcpy (&bits, &value, sizeof bits);
  return (uint16_t) ((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

void
set (Values *values, const Tensor &t, size_t at, double exact)
{
  const float value = (float) exact;

  if (t.is_virtual)
    {
      std::vector<float> &made = values->made[t.identity];

      if (made.empty ())
        made.resize ((size_t) (t.sizes[0] * t.sizes[1] * t.sizes[2] * t.sizes[3]), NAN);
      made.at (at) = value;
      return;
    }
  char *base = static_cast<char *> (values->operands.at (t.identity));
  const uint16_t half = round_to_bf16 (value);
  if (t.dtype == CUDNN_DATA_FLOAT)
    memcpy (base + at * sizeof value, &value, sizeof value);
  else
    memcpy (base + at * sizeof half, &half, sizeof half);
}

template <typename Function>
void
for_each (const Tensor &t, Function function)
{
  for (int64_t b = 0; b < t.sizes[0]; b++)
    for (int64_t c = 0; c < t.sizes[1]; c++)
      for (int64_t y = 0; y < t.sizes[2]; y++)
        for (int64_t x = 0; x < t.sizes[3]; x++)
          function (b, c, y, x);
}

void
convolve (const Operation &o, Values *values)
{
  const Tensor &in = o.tensors[0], &w = o.tensors[1], &out = o.tensors[2];

  for_each (out, [&] (int64_t b, int64_t c, int64_t y, int64_t x) {
    double sum = 0.0;

    for (int64_t ky = 0; ky < w.sizes[2]; ky++)
      for (int64_t kx = 0; kx < w.sizes[3]; kx++)
        {
          const int64_t row = y * o.numbers[0] + ky - o.numbers[2], column = x * o.numbers[1] + kx - o.numbers[3];

          if (row < 0 || column < 0 || row >= in.sizes[2] || column >= in.sizes[3])
            continue;
          for (int64_t i = 0; i < w.sizes[1]; i++)
            sum += get (*values, in, place (in, b, i, row, column)) * get (*values, w, place (w, c, i, ky, kx));
        }
    set (values, out, place (out, b, c, y, x), sum);
  });
}

void
add (const Operation &o, Values *values)
{
  for_each (o.tensors[2], [&] (int64_t b, int64_t c, int64_t y, int64_t x) {
    set (values, o.tensors[2], place (o.tensors[2], b, c, y, x),
         get (*values, o.tensors[0], place (o.tensors[0], b, c, y, x))
             + get (*values, o.tensors[1], place (o.tensors[1], b, c, y, x)));
  });
}

void
attend (const Operation &o, Values *values)
{
  const Tensor &q = o.tensors[0], &k = o.tensors[1], &v = o.tensors[2], &out = o.tensors[4];
  const double scale = get (*values, o.tensors[3], 0);
  std::vector<double> weights ((size_t) k.sizes[2]);
  Tensor rows = out;

  rows.sizes[3] = 1;
  for_each (rows, [&] (int64_t b, int64_t h, int64_t i, int64_t) {
    double greatest = -INFINITY, total = 0.0;

    for (int64_t j = 0; j < k.sizes[2]; j++)
      {
        double score = 0.0;

        for (int64_t x = 0; x < q.sizes[3]; x++)
          score += get (*values, q, place (q, b, h, i, x)) * get (*values, k, place (k, b, h, j, x));
        weights[(size_t) j] = score * scale;
        greatest = std::fmax (greatest, score * scale);
      }
    for (double &weight : weights)
      total += weight = std::exp (weight - greatest);
    for (int64_t x = 0; x < out.sizes[3]; x++)
      {
        double sum = 0.0;

        for (int64_t j = 0; j < k.sizes[2]; j++)
          sum += weights[(size_t) j] * get (*values, v, place (v, b, h, j, x));
        set (values, out, place (out, b, h, i, x), sum / total);
      }
  });
}
} // namespace

bool
compute (const Computation &computation, const std::map<int64_t, void *> &operands)
{
  Values values = { operands, {} };

  for (const Operation &operation : computation)
    switch (operation.type)
      {
      case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR: convolve (operation, &values); break;
      case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: add (operation, &values); break;
      case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR: attend (operation, &values); break;
      default: return false;
      }
  return true;
}
} // namespace cudnn_on_host
