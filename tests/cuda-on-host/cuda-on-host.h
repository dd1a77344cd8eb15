/* cuda-on-host.h - the part of CUDA that kernels/cuda/ uses, as plain C++ that runs on the processor
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A .cu file includes kernels/cuda/portable-private.h, which includes this where the compiler is not nvcc. Blocks run
 * one after another; a block's threads are fibres (fibres.cpp), which meet at barriers, shuffles, votes and matrix
 * instructions, and run in a seeded random order in between. Here are the built-in variables, the types, the
 * collectives and checked memory; the runtime API (streams, events, graphs) is in runtime-on-host.h.
 *
 * What a GPU would punish ends the launch, with the kernel's name, the thread, and the line:
 *   - shared memory that is read before it is written, or before cp.async has landed, or beyond its end;
 *   - two threads that touch the same shared memory, one of them writing, with no barrier in between;
 *   - reading device memory that was never written, touching what lies beside an allocation, misaligned accesses;
 *   - a barrier, shuffle, vote or matrix instruction that not all of the block's (warp's) threads reach together.
 */
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__ ((always_inline))
#define __launch_bounds__(...)

struct dim3
{
  unsigned int x, y, z;
  constexpr dim3 (unsigned int vx = 1, unsigned int vy = 1, unsigned int vz = 1) : x (vx), y (vy), z (vz) {}
};

struct alignas (8) uint2
{
  uint32_t x, y;
};

struct alignas (16) uint4
{
  uint32_t x, y, z, w;
};

struct alignas (8) float2
{
  float x, y;
};

struct alignas (16) float4
{
  float x, y, z, w;
};

namespace cuda_on_host
{
constexpr int WARP = 32;

/* What a thread knows of itself. */
struct Thread
{
  dim3 thread, block, block_dim, grid_dim;
  int index; /* in the block */
};

extern Thread *current;

/* Ends the launch that runs: never returns. The words come after "kernel K, block B, thread T: ". */
[[noreturn]] void fail (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/* -- launching ------------------------------------------------------------------------------------------------- */

/* Runs every block of the grid; returns false where a check has ended it. */
bool run_grid (const char *kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void ()> &body);

/* The failure that ended the last launch, or "". With capture, failures are kept for the caller; without, as from the
 * start, they are printed and the program aborts. */
const char *last_failure ();
void capture_failures (bool capture);

/* The order of threads and of streams' work follows from the seed alone. */
void set_seed (uint64_t seed);
uint32_t random_below (uint32_t limit);

/* Launches since the program's start, for reports of launches. */
extern uint64_t n_launches;

/* -- meeting points -------------------------------------------------------------------------------------------- */

enum class Barrier
{
  PLAIN,
  OR,
  AND,
  COUNT,
};

/* All threads of the block; returns the OR, AND or count of `predicate` over them. */
int meet_block (Barrier barrier, int predicate, const char *file, int line);

/* All 32 threads of a warp. `combine` sees each lane's in and out; it runs once. */
using Combine = void (*) (const void *const in[WARP], void *const out[WARP]);
void meet_warp (const char *what, Combine combine, const void *in, void *out, const char *file, int line);

/* Barrier of a warp that orders memory, too. */
void meet_warp_memory (const char *file, int line);

/* -- memory ---------------------------------------------------------------------------------------------------- */

/* An array of this block's shared memory, one for each declaration. */
size_t shared_array (size_t bytes, size_t alignment, const char *file, int line);
size_t shared_dynamic (size_t *bytes);
unsigned char *shared_bytes (size_t offset);

/* Checks and records an access of the current thread; of every `step` bytes the first two. */
void shared_read (size_t offset, size_t bytes, size_t step);
void shared_write (size_t offset, size_t bytes, size_t step);
void shared_atomic (size_t offset, size_t bytes, size_t step);

/* What an array of T is checked by. */
template <typename T> constexpr size_t step_of = sizeof (T) % 4 == 0 ? 4 : 2;

/* A pointer into shared memory, with the array's bounds. */
template <typename T> class Shared;

/* What *pointer is: reading and writing are checked. */
template <typename T> class Element
{
public:
  explicit Element (size_t offset) : at (offset) {}

  operator T () const
  {
    T value;
    shared_read (at, sizeof (T), step_of<T>);
    memcpy (&value, shared_bytes (at), sizeof (T));
    return value;
  }

  Element &operator= (const T &value)
  {
    shared_write (at, sizeof (T), step_of<T>);
    memcpy (shared_bytes (at), &value, sizeof (T));
    return *this;
  }

  Element &operator= (const Element &other) { return *this = static_cast<T> (other); }
  Element (const Element &) = default;
  Element &operator+= (const T &value) { return *this = static_cast<T> (*this) + value; }
  Element &operator*= (const T &value) { return *this = static_cast<T> (*this) * value; }

private:
  size_t at;
};

template <typename T> class Shared
{
public:
  static_assert (sizeof (T) % 2 == 0, "checks are made for every two bytes");

  Shared (size_t first, size_t count) : base (first), length (count), position (0) {}

  Element<T> operator[] (int64_t i) const { return Element<T> (offset (i, sizeof (T))); }
  Element<T> operator* () const { return (*this)[0]; }

  Shared operator+ (int64_t i) const
  {
    Shared moved = *this;
    moved.position += i;
    return moved;
  }

  /* Where element i is, after a look at the bounds of `bytes` from there and at their alignment. */
  size_t
  offset (int64_t i, size_t bytes) const
  {
    const int64_t element = position + i;
    if (element < 0 || (size_t) element * sizeof (T) + bytes > length * sizeof (T))
      fail ("shared memory: element %lld of an array of %zu", (long long) element, length);
    const size_t at = base + (size_t) element * sizeof (T);
    if (at % bytes != 0)
      fail ("shared memory: %zu bytes at an offset of %zu are misaligned", bytes, at);
    return at;
  }

private:
  size_t base, length;
  int64_t position;
};

template <typename T>
Shared<T>
declare_shared (size_t count, const char *file, int line)
{
  return Shared<T> (shared_array (count * sizeof (T), 16, file, line), count);
}

template <typename T>
Shared<T>
declare_shared_dynamic ()
{
  size_t bytes;
  const size_t offset = shared_dynamic (&bytes);
  return Shared<T> (offset, bytes / sizeof (T));
}

/* Device memory: alignment, bounds, and (for floats) that something has written it. */
void global_read (const void *address, size_t bytes, size_t poison_unit);
void global_write (const void *address, size_t bytes);

/* -- copies to shared memory that go on behind the threads' backs --------------------------------------------- */
void async_copy (size_t to, const void *from, size_t bytes, size_t valid_bytes);
void async_commit ();
void async_wait (int groups_left);
} // namespace cuda_on_host

#define threadIdx (cuda_on_host::current->thread)
#define blockIdx (cuda_on_host::current->block)
#define blockDim (cuda_on_host::current->block_dim)
#define gridDim (cuda_on_host::current->grid_dim)

/* -- barriers, votes and shuffles, as CUDA names them ---------------------------------------------------------- */

#define ON_HOST_SITE const char *file = __builtin_FILE (), int line = __builtin_LINE ()

inline void
__syncthreads (ON_HOST_SITE)
{
  cuda_on_host::meet_block (cuda_on_host::Barrier::PLAIN, 0, file, line);
}

inline int
__syncthreads_or (int predicate, ON_HOST_SITE)
{
  return cuda_on_host::meet_block (cuda_on_host::Barrier::OR, predicate, file, line);
}

inline int
__syncthreads_and (int predicate, ON_HOST_SITE)
{
  return cuda_on_host::meet_block (cuda_on_host::Barrier::AND, predicate, file, line);
}

inline int
__syncthreads_count (int predicate, ON_HOST_SITE)
{
  return cuda_on_host::meet_block (cuda_on_host::Barrier::COUNT, predicate, file, line);
}

namespace cuda_on_host
{
[[noreturn]] void fail_mask (unsigned int mask, const char *what);

inline void
check_mask (unsigned int mask, const char *what)
{
  if (mask != 0xffffffffu)
    fail_mask (mask, what);
}

template <typename T> struct Shuffled
{
  T value;
  int source;
};

template <typename T>
void
combine_shuffle (const void *const in[WARP], void *const out[WARP])
{
  for (int lane = 0; lane < WARP; lane++)
    {
      const int source = static_cast<const Shuffled<T> *> (in[lane])->source;
      *static_cast<T *> (out[lane]) = static_cast<const Shuffled<T> *> (in[source & 31])->value;
    }
}

template <typename T>
T
shuffle (unsigned int mask, T value, int source, const char *what, const char *file, int line)
{
  const Shuffled<T> in = { value, source };
  T out;
  check_mask (mask, what);
  meet_warp (what, combine_shuffle<T>, &in, &out, file, line);
  return out;
}

inline int
lane ()
{
  return current->index % WARP;
}
} // namespace cuda_on_host

inline void
__syncwarp (unsigned int mask = 0xffffffffu, ON_HOST_SITE)
{
  cuda_on_host::check_mask (mask, "__syncwarp");
  cuda_on_host::meet_warp_memory (file, line);
}

template <typename T>
T
__shfl_sync (unsigned int mask, T value, int source, ON_HOST_SITE)
{
  return cuda_on_host::shuffle (mask, value, source, "__shfl_sync", file, line);
}

template <typename T>
T
__shfl_xor_sync (unsigned int mask, T value, int lane_mask, ON_HOST_SITE)
{
  return cuda_on_host::shuffle (mask, value, cuda_on_host::lane () ^ lane_mask, "__shfl_xor_sync", file, line);
}

template <typename T>
T
__shfl_up_sync (unsigned int mask, T value, int delta, ON_HOST_SITE)
{
  const int lane = cuda_on_host::lane ();
  return cuda_on_host::shuffle (mask, value, lane >= delta ? lane - delta : lane, "__shfl_up_sync", file, line);
}

template <typename T>
T
__shfl_down_sync (unsigned int mask, T value, int delta, ON_HOST_SITE)
{
  const int lane = cuda_on_host::lane ();
  return cuda_on_host::shuffle (mask, value, lane + delta < 32 ? lane + delta : lane, "__shfl_down_sync", file, line);
}

unsigned int __ballot_sync (unsigned int mask, int predicate, ON_HOST_SITE);

inline int
__any_sync (unsigned int mask, int predicate, ON_HOST_SITE)
{
  return __ballot_sync (mask, predicate, file, line) != 0;
}

inline int
__all_sync (unsigned int mask, int predicate, ON_HOST_SITE)
{
  return __ballot_sync (mask, predicate, file, line) == 0xffffffffu;
}

/* -- arithmetic ------------------------------------------------------------------------------------------------ */

inline int __popc (unsigned int value) { return __builtin_popcount (value); }
inline int __clz (int value) { return value == 0 ? 32 : __builtin_clz ((unsigned int) value); }
inline int __ffs (int value) { return __builtin_ffs (value); }
inline float rsqrtf (float value) { return 1.0f / sqrtf (value); }
inline float __expf (float value) { return expf (value); }
inline float __logf (float value) { return logf (value); }
inline float __fdividef (float a, float b) { return a / b; }
inline float __fmaf_rn (float a, float b, float c) { return fmaf (a, b, c); }
inline unsigned int __float_as_uint (float value) { unsigned int bits; memcpy (&bits, &value, 4); return bits; }
inline float __uint_as_float (unsigned int bits) { float value; memcpy (&value, &bits, 4); return value; }
inline int __float_as_int (float value) { int bits; memcpy (&bits, &value, 4); return bits; }
inline float __int_as_float (int bits) { float value; memcpy (&value, &bits, 4); return value; }
inline unsigned int __umulhi (unsigned int a, unsigned int b) { return (unsigned int) (((uint64_t) a * b) >> 32); }

/* Fibres take turns only at meeting points, so that a plain sum is atomic. */
template <typename T>
T
atomicAdd (T *address, T value)
{
  cuda_on_host::global_read (address, sizeof (T), 0);
  const T old = *address;
  *address = old + value;
  return old;
}

template <typename T>
T
atomicMax (T *address, T value)
{
  cuda_on_host::global_read (address, sizeof (T), 0);
  const T old = *address;
  *address = old < value ? value : old;
  return old;
}

/* On shared memory, where CUDA takes a pointer and here it is a checked one. */
template <typename T>
T
shared_atomic_add (cuda_on_host::Shared<T> address, T value)
{
  T old;
  const size_t at = address.offset (0, sizeof (T));
  cuda_on_host::shared_atomic (at, sizeof (T), cuda_on_host::step_of<T>);
  memcpy (&old, cuda_on_host::shared_bytes (at), sizeof (T));
  const T sum = old + value;
  memcpy (cuda_on_host::shared_bytes (at), &sum, sizeof (T));
  return old;
}

/* -- what portable-private.h wraps PTX for --------------------------------------------------------------------- */

/* A vector of bytes from or to shared memory in one access. */
template <typename V, typename T>
V
shared_load (cuda_on_host::Shared<T> address)
{
  V value;
  const size_t at = address.offset (0, sizeof (V));
  cuda_on_host::shared_read (at, sizeof (V), cuda_on_host::step_of<T>);
  memcpy (&value, cuda_on_host::shared_bytes (at), sizeof (V));
  return value;
}

template <typename V, typename T>
void
shared_store (cuda_on_host::Shared<T> address, const V &value)
{
  const size_t at = address.offset (0, sizeof (V));
  cuda_on_host::shared_write (at, sizeof (V), cuda_on_host::step_of<T>);
  memcpy (cuda_on_host::shared_bytes (at), &value, sizeof (V));
}

/* 16 bytes, of which the first valid_bytes come from `from` and the rest are 0. */
template <typename T>
void
copy_async_16 (cuda_on_host::Shared<T> to, const void *from, int valid_bytes)
{
  cuda_on_host::async_copy (to.offset (0, 16), from, 16, (size_t) valid_bytes);
}

inline void
copy_async_commit ()
{
  cuda_on_host::async_commit ();
}

template <int GROUPS_LEFT>
void
copy_async_wait ()
{
  cuda_on_host::async_wait (GROUPS_LEFT);
}

void load_matrices_at (uint32_t fragment[4], size_t row, bool transpose, const char *file, int line);

/* Four 8x8 matrices of 16-bit elements; lane i gives the address of row i % 8 of matrix i / 8. */
template <typename T>
void
load_matrices (uint32_t fragment[4], cuda_on_host::Shared<T> row, ON_HOST_SITE)
{
  load_matrices_at (fragment, row.offset (0, 16), false, file, line);
}

template <typename T>
void
load_matrices_transposed (uint32_t fragment[4], cuda_on_host::Shared<T> row, ON_HOST_SITE)
{
  load_matrices_at (fragment, row.offset (0, 16), true, file, line);
}

/* c (16x8, float32) += a (16x16, row) . b (16x8, column), bf16: mma.sync.m16n8k16. */
void multiply_bf16 (float c[4], const uint32_t a[4], const uint32_t b[2], ON_HOST_SITE);

#include "runtime-on-host.h"
