/* warp.cpp - votes and matrix instructions of a warp
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The layouts of fragments are those of the PTX ISA: for mma.m16n8k16, lane = 4 * group + member; A's registers hold
 * rows group and group + 8 and columns 2 * member and those plus 8; B's the same with columns of B for rows; C's rows
 * group and group + 8, columns 2 * member.
 */
#include "fibres-private.h"

namespace cuda_on_host
{
namespace
{
void
combine_ballot (const void *const in[WARP], void *const out[WARP])
{
  unsigned int votes = 0;
  for (int lane = 0; lane < WARP; lane++)
    votes |= *static_cast<const int *> (in[lane]) != 0 ? 1u << lane : 0u;
  for (int lane = 0; lane < WARP; lane++)
    *static_cast<unsigned int *> (out[lane]) = votes;
}

float
bf16_value (uint32_t word, int half)
{
  const uint32_t bits = half == 0 ? word << 16 : word & 0xffff0000u;
  float value;
  memcpy (&value, &bits, 4);
  return value;
}

struct Operands
{
  const uint32_t *a, *b;
  float *c;
};

/* Products are exact in float64; the sum is rounded once. */
void
combine_multiply (const void *const in[WARP], void *const[WARP])
{
  double a[16][16], b[16][8];

  for (int lane = 0; lane < WARP; lane++)
    {
      const Operands *operands = static_cast<const Operands *> (in[lane]);
      const int group = lane / 4, member = lane % 4;
      for (int half = 0; half < 2; half++)
        {
          for (int r = 0; r < 4; r++)
            a[group + r % 2 * 8][2 * member + r / 2 * 8 + half] = bf16_value (operands->a[r], half);
          for (int r = 0; r < 2; r++)
            b[2 * member + r * 8 + half][group] = bf16_value (operands->b[r], half);
        }
    }
  for (int lane = 0; lane < WARP; lane++)
    for (int r = 0; r < 4; r++)
      {
        const Operands *operands = static_cast<const Operands *> (in[lane]);
        const int row = lane / 4 + r / 2 * 8, column = 2 * (lane % 4) + r % 2;
        double sum = operands->c[r];
        for (int k = 0; k < 16; k++)
          sum += a[row][k] * b[k][column];
        operands->c[r] = (float) sum;
      }
}

struct Matrices
{
  uint32_t *fragment;
  size_t row;
  bool transpose;
};

/* Lane i's register m holds elements 2 * (i % 4) and the next of row i / 4 of matrix m; transposed, of column i / 4. */
void
combine_load (const void *const in[WARP], void *const[WARP])
{
  for (int lane = 0; lane < WARP; lane++)
    {
      const Matrices *own = static_cast<const Matrices *> (in[lane]);
      for (int m = 0; m < 4; m++)
        {
          uint16_t pair[2];
          for (int half = 0; half < 2; half++)
            {
              const int first = lane / 4, second = 2 * (lane % 4) + half;
              const int row = own->transpose ? second : first, column = own->transpose ? first : second;
              const size_t at = static_cast<const Matrices *> (in[8 * m + row])->row + 2 * (size_t) column;
              memcpy (&pair[half], shared_bytes (at), 2);
            }
          own->fragment[m] = pair[0] | (uint32_t) pair[1] << 16;
        }
    }
}
} // namespace
} // namespace cuda_on_host

using namespace cuda_on_host;

unsigned int
__ballot_sync (unsigned int mask, int predicate, const char *file, int line)
{
  unsigned int votes;
  check_mask (mask, "__ballot_sync");
  meet_warp ("__ballot_sync", combine_ballot, &predicate, &votes, file, line);
  return votes;
}

void
multiply_bf16 (float c[4], const uint32_t a[4], const uint32_t b[2], const char *file, int line)
{
  const Operands operands = { a, b, c };
  meet_warp ("mma.sync", combine_multiply, &operands, nullptr, file, line);
}

void
load_matrices_at (uint32_t fragment[4], size_t row, bool transpose, const char *file, int line)
{
  const Matrices matrices = { fragment, row, transpose };
  shared_read (row, 16, 2);
  meet_warp ("ldmatrix", combine_load, &matrices, nullptr, file, line);
}
