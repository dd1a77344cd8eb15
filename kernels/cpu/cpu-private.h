/* cpu-private.h - what the files of kernels/cpu/ share
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files listed as `cpu_isa_sources` in meson.build are compiled once for each instruction set, with SWITTI_CPU_ISA
 * defined to its name. Everything in them is static but for one function, SWITTI_CPU_SYMBOL (<file>_fill), that puts
 * the file's ops into a table. context.c picks a table when a context is made; dispatch.c calls through it, checks
 * the arguments and keeps the profile. The products and convolutions (gemm.c, conv2d.c) are oneDNN's, which picks the
 * instruction set itself.
 */
#pragma once

#include "switti-kernels.h"

#include <oneapi/dnnl/dnnl.h>

#define SWITTI_CPU_PASTE_(name, isa) switti_cpu_##name##_##isa
#define SWITTI_CPU_PASTE(name, isa) SWITTI_CPU_PASTE_ (name, isa)
#define SWITTI_CPU_SYMBOL(name) SWITTI_CPU_PASTE (name, SWITTI_CPU_ISA)

/* Floats of scratch that each thread has for its tiles. */
#define SWITTI_CPU_THREAD_SCRATCH ((size_t) 1 << 18)

struct SwittiKernelContext
{
  SwittiKernels ops;  /* the chosen instruction set's ops; the rest is NULL */
  const char *isa;    /* "generic", "avx2" or "avx512" */
  bool has_avx512_bf16;
  int n_threads;
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  float *thread_scratch; /* n_threads * SWITTI_CPU_THREAD_SCRATCH floats, 64-byte aligned */
  char error[256];
  bool profile_enabled;
  SwittiKernelProfile profile[SWITTI_KERNEL_N_OPS];
};

/* The scratch of the calling thread of a parallel region (omp_get_thread_num ()). */
static inline float *
switti_cpu_thread_scratch (SwittiKernelContext *context, int thread)
{
  return context->thread_scratch + (size_t) thread * SWITTI_CPU_THREAD_SCRATCH;
}

static inline float
switti_bf16_to_f32 (uint16_t bits)
{
  union
  {
    uint32_t u;
    float f;
  } v = { .u = (uint32_t) bits << 16 };
  return v.f;
}

/* Round to nearest, ties to even; NaN stays a (quiet) NaN. */
static inline uint16_t
switti_f32_to_bf16 (float value)
{
  union
  {
    float f;
    uint32_t u;
  } v = { .f = value };
  if ((v.u & 0x7fffffffu) > 0x7f800000u)
    return (uint16_t) ((v.u >> 16) | 0x40u);
  return (uint16_t) ((v.u + 0x7fffu + ((v.u >> 16) & 1u)) >> 16);
}
