/* portable-private.h - CUDA as the .cu files are written in it: by nvcc for a GPU, by any C++ compiler for host CUDA
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * README.md has the rules. What is wrapped here is what host CUDA (tests/cuda-on-host/) has to see: launches, shared
 * memory, asynchronous copies, matrix instructions and accesses to device memory.
 */
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define SWITTI_NOINLINE __noinline__
/* The compiler moves no access to memory across: where an unrolled loop's loads would all be made at once and not fit
 * the registers. */
#define SWITTI_IN_ORDER() asm volatile ("" ::: "memory")

/* A pointer into shared memory. */
template <typename T> using Shared = T *;

/* An array of shared memory, 16-byte aligned; one that the launch has given the size of. */
#define SWITTI_SHARED(type, name, count) __shared__ __align__ (16) type name[count]
#define SWITTI_SHARED_DYNAMIC(type, name) \
  extern __shared__ __align__ (16) unsigned char switti_dynamic_shared[]; \
  type *name = reinterpret_cast<type *> (switti_dynamic_shared)

/* kernel<<<grid, block, shared_bytes, stream>>> (arguments...); `name` is for host CUDA's messages. */
template <typename... Parameters, typename... Arguments>
cudaError_t
launch_kernel (const char *, void (*kernel) (Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
               cudaStream_t stream, Arguments... arguments)
{
  /* In the parameters' own types. */
  struct Launch
  {
    static cudaError_t
    with (void (*function) (Parameters...), dim3 g, dim3 b, size_t bytes, cudaStream_t s, Parameters... values)
    {
      /* More than a block has without asking. */
      if (bytes > 48 * 1024)
        {
          const cudaError_t error
              = cudaFuncSetAttribute (reinterpret_cast<const void *> (function),
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int> (bytes));
          if (error != cudaSuccess)
            return error;
        }
      void *addresses[] = { const_cast<void *> (static_cast<const void *> (&values))... };
      return cudaLaunchKernel (reinterpret_cast<const void *> (function), g, b, addresses, bytes, s);
    }
  };
  return Launch::with (kernel, grid, block, shared_bytes, stream, static_cast<Parameters> (arguments)...);
}

/* One access of sizeof (V) bytes to shared memory, which must be so aligned. */
template <typename V, typename T>
__device__ __forceinline__ V
shared_load (const T *address)
{
  return *reinterpret_cast<const V *> (address);
}

template <typename V, typename T>
__device__ __forceinline__ void
shared_store (T *address, const V &value)
{
  *reinterpret_cast<V *> (address) = value;
}

template <typename T>
__device__ __forceinline__ T
shared_atomic_add (T *address, T value)
{
  return atomicAdd (address, value);
}

__device__ __forceinline__ uint32_t
shared_address (const void *pointer)
{
  return static_cast<uint32_t> (__cvta_generic_to_shared (pointer));
}

/* 16 bytes, of which the first valid_bytes come from `from` and the rest are 0. */
__device__ __forceinline__ void
copy_async_16 (void *to, const void *from, int valid_bytes)
{
  asm volatile ("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address (to)), "l"(from),
                "r"(valid_bytes)
                : "memory");
}

__device__ __forceinline__ void
copy_async_commit ()
{
  asm volatile ("cp.async.commit_group;\n" ::: "memory");
}

template <int GROUPS_LEFT>
__device__ __forceinline__ void
copy_async_wait ()
{
  asm volatile ("cp.async.wait_group %0;\n" ::"n"(GROUPS_LEFT) : "memory");
}

/* Four 8x8 matrices of 16-bit elements; lane i gives the address of row i % 8 of matrix i / 8. */
__device__ __forceinline__ void
load_matrices (uint32_t fragment[4], const void *row)
{
  asm volatile ("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                : "r"(shared_address (row))
                : "memory");
}

__device__ __forceinline__ void
load_matrices_transposed (uint32_t fragment[4], const void *row)
{
  asm volatile ("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                : "r"(shared_address (row))
                : "memory");
}

/* c (16x8, float32) += a (16x16, row) . b (16x8, column), bf16. */
__device__ __forceinline__ void
multiply_bf16 (float c[4], const uint32_t a[4], const uint32_t b[2])
{
  asm volatile ("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                "{%0, %1, %2, %3};\n"
                : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Host CUDA's checks of an access to device memory. */
__device__ __forceinline__ void
check_read (const void *, size_t, size_t)
{
}

__device__ __forceinline__ void
check_write (const void *, size_t)
{
}

#else

#include "cuda-on-host.h"

#define SWITTI_NOINLINE __attribute__ ((noinline))
#define SWITTI_IN_ORDER()

template <typename T> using Shared = cuda_on_host::Shared<T>;

#define SWITTI_SHARED(type, name, count) \
  Shared<type> name = cuda_on_host::declare_shared<type> (count, __FILE__, __LINE__)
#define SWITTI_SHARED_DYNAMIC(type, name) Shared<type> name = cuda_on_host::declare_shared_dynamic<type> ()

/* `unit`: bytes of an element that must have been written, 0 where any bytes will do. */
inline void
check_read (const void *address, size_t bytes, size_t unit)
{
  cuda_on_host::global_read (address, bytes, unit);
}

inline void
check_write (const void *address, size_t bytes)
{
  cuda_on_host::global_write (address, bytes);
}

#endif
