/* context.c - the CPU's context: the instruction set, memory, threads, errors and the profile
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "brgemm-private.h"
#include "cpu-private.h"
#include "tile-private.h"

#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* Blocks from this size on are aligned to huge pages and ask for them: weights are streamed, and 4 KiB pages would
 * cost a TLB miss every 32 AVX-512 registers of bf16. */
#define HUGE_PAGE ((size_t) 2 << 20)

static const char *const op_names[SWITTI_KERNEL_N_OPS] = {
  [SWITTI_KERNEL_OP_GEMM] = "gemm",
  [SWITTI_KERNEL_OP_CONV] = "conv",
  [SWITTI_KERNEL_OP_NORM] = "norm",
  [SWITTI_KERNEL_OP_QK_NORM_ROPE] = "qk_norm_rope",
  [SWITTI_KERNEL_OP_ATTENTION] = "attention",
  [SWITTI_KERNEL_OP_SWIGLU] = "swiglu",
  [SWITTI_KERNEL_OP_ELEMENTWISE] = "elementwise",
  [SWITTI_KERNEL_OP_GROUP_NORM] = "group_norm",
  [SWITTI_KERNEL_OP_RESAMPLE] = "resample",
  [SWITTI_KERNEL_OP_QUANTIZE] = "quantize",
  [SWITTI_KERNEL_OP_SAMPLE] = "sample",
  [SWITTI_KERNEL_OP_CROSS_ENTROPY] = "cross_entropy",
  [SWITTI_KERNEL_OP_OPTIMIZER] = "optimizer",
};

SwittiKernelStatus
switti_cpu_fail (SwittiKernelContext *context, SwittiKernelStatus status, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  vsnprintf (context->error, sizeof context->error, format, args);
  va_end (args);
  return status;
}

/* -- instruction sets ------------------------------------------------------------------------------------------ */

#define FILL(isa, ops) \
  do \
    { \
      SWITTI_CPU_PASTE (attention_fill, isa) (ops); \
      SWITTI_CPU_PASTE (elementwise_fill, isa) (ops); \
      SWITTI_CPU_PASTE (group_norm_fill, isa) (ops); \
      SWITTI_CPU_PASTE (norm_fill, isa) (ops); \
      SWITTI_CPU_PASTE (quantize_fill, isa) (ops); \
      SWITTI_CPU_PASTE (resample_fill, isa) (ops); \
      SWITTI_CPU_PASTE (rope_fill, isa) (ops); \
      SWITTI_CPU_PASTE (sample_fill, isa) (ops); \
      SWITTI_CPU_PASTE (adamw_fill, isa) (ops); \
      SWITTI_CPU_PASTE (attention_backward_fill, isa) (ops); \
      SWITTI_CPU_PASTE (cross_entropy_fill, isa) (ops); \
      SWITTI_CPU_PASTE (elementwise_backward_fill, isa) (ops); \
      SWITTI_CPU_PASTE (group_norm_backward_fill, isa) (ops); \
      SWITTI_CPU_PASTE (norm_backward_fill, isa) (ops); \
      SWITTI_CPU_PASTE (resample_backward_fill, isa) (ops); \
      SWITTI_CPU_PASTE (rope_backward_fill, isa) (ops); \
      SWITTI_CPU_PASTE (token_embedding_fill, isa) (ops); \
    } \
  while (0)

static void
fill_generic (SwittiKernelContext *context)
{
  context->isa = "generic";
  context->tiles = SWITTI_CPU_PASTE (tile_ops, generic) ();
  FILL (generic, &context->ops);
}

#if defined(__x86_64__)
static void
fill_avx2 (SwittiKernelContext *context)
{
  context->isa = "avx2";
  context->tiles = SWITTI_CPU_PASTE (tile_ops, avx2) ();
  FILL (avx2, &context->ops);
}

static void
fill_avx512 (SwittiKernelContext *context)
{
  context->isa = "avx512";
  context->tiles = SWITTI_CPU_PASTE (tile_ops, avx512) ();
  FILL (avx512, &context->ops);
}
#endif

/* Fills the table for the instruction set `wanted`, or for the best that the processor has. */
static bool
fill_isa (SwittiKernelContext *context, const char *wanted)
{
#if defined(__x86_64__)
  __builtin_cpu_init ();
  if ((wanted == NULL || strcmp (wanted, "avx512") == 0) && __builtin_cpu_supports ("x86-64-v4"))
    {
      fill_avx512 (context);
      context->has_avx512_bf16 = __builtin_cpu_supports ("avx512bf16") && switti_brgemm_has_bf16 ();
      return true;
    }
  if ((wanted == NULL || strcmp (wanted, "avx2") == 0) && __builtin_cpu_supports ("x86-64-v3"))
    {
      fill_avx2 (context);
      return true;
    }
#endif
  if (wanted != NULL && strcmp (wanted, "generic") != 0)
    return false;
  fill_generic (context);
  return true;
}

/* -- life ------------------------------------------------------------------------------------------------------ */

static void *
allocate (size_t bytes)
{
  void *memory = NULL;
  size_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : SWITTI_CPU_ALIGNMENT;

  if (bytes == 0)
    bytes = 1;
  if (posix_memalign (&memory, alignment, bytes) != 0)
    return NULL;
#ifdef MADV_HUGEPAGE
  /* Advice alone: where huge pages are off it fails, and nothing is lost. */
  if (alignment == HUGE_PAGE)
    madvise (memory, bytes & ~(HUGE_PAGE - 1), MADV_HUGEPAGE);
#endif
  return memory;
}

SwittiKernelStatus
switti_cpu_context_new (const SwittiKernelOptions *options, SwittiKernelContext **context)
{
  SwittiKernelContext *self;
  int n_threads = options != NULL ? options->n_threads : 0;

  if (context == NULL)
    return SWITTI_KERNEL_INVALID;
  *context = NULL;
  if (n_threads < 0)
    return SWITTI_KERNEL_INVALID;
  if (n_threads == 0)
    n_threads = omp_get_max_threads ();

  self = calloc (1, sizeof *self);
  if (self == NULL)
    return SWITTI_KERNEL_OUT_OF_MEMORY;
  self->n_threads = n_threads;
  if (!fill_isa (self, options != NULL ? options->isa : NULL))
    {
      free (self);
      return SWITTI_KERNEL_INVALID;
    }
  self->thread_scratch = allocate ((size_t) n_threads * SWITTI_CPU_THREAD_SCRATCH * sizeof (float));
  self->brgemms = switti_brgemm_cache_new ();
  if (self->thread_scratch == NULL || self->brgemms == NULL)
    {
      switti_cpu_context_free (self);
      return SWITTI_KERNEL_OUT_OF_MEMORY;
    }
  switti_cpu_profile_reset (self, false);
  *context = self;
  return SWITTI_KERNEL_OK;
}

void
switti_cpu_context_free (SwittiKernelContext *context)
{
  if (context == NULL)
    return;
  switti_brgemm_cache_free (context->brgemms);
  free (context->thread_scratch);
  free (context);
}

/* The processor's own name, or "CPU". */
static void
processor_name (char name[49])
{
#if defined(__x86_64__)
  unsigned int words[12];

  if (__get_cpuid_max (0x80000000, NULL) >= 0x80000004)
    {
      char *start, *end;

      for (unsigned int i = 0; i < 3; i++)
        __get_cpuid (0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
      memcpy (name, words, 48);
      name[48] = '\0';
      for (start = name; *start == ' '; start++)
        ;
      memmove (name, start, strlen (start) + 1);
      for (end = name + strlen (name); end > name && end[-1] == ' '; end--)
        end[-1] = '\0';
      if (name[0] != '\0')
        return;
    }
#endif
  strcpy (name, "CPU");
}

void
switti_cpu_properties (SwittiKernelContext *context, SwittiKernelProperties *properties)
{
  char name[49];
  const char *isa = "portable code";
  uint64_t page = (uint64_t) sysconf (_SC_PAGESIZE);
  long free_pages = 0, total_pages;

#ifdef _SC_AVPHYS_PAGES
  free_pages = sysconf (_SC_AVPHYS_PAGES);
#endif
  total_pages = sysconf (_SC_PHYS_PAGES);
  memset (properties, 0, sizeof *properties);
  processor_name (name);
  if (context->has_avx512_bf16)
    isa = "AVX-512 BF16";
  else if (strcmp (context->isa, "avx512") == 0)
    isa = "AVX-512";
  else if (strcmp (context->isa, "avx2") == 0)
    isa = "AVX2";
  snprintf (properties->description, sizeof properties->description, "%s, %d %s, %s", name, context->n_threads,
            context->n_threads == 1 ? "thread" : "threads", isa);
  properties->n_threads = context->n_threads;
  properties->fast_bf16 = context->has_avx512_bf16;
  properties->memory_total = total_pages > 0 ? (uint64_t) total_pages * page : 0;
  properties->memory_free = free_pages > 0 ? (uint64_t) free_pages * page : 0;
}

const char *
switti_cpu_error_message (SwittiKernelContext *context)
{
  if (context == NULL)
    return "the CPU context could not be made: too little memory, or an instruction set that this processor lacks";
  return context->error;
}

/* -- memory ---------------------------------------------------------------------------------------------------- */

SwittiKernelStatus
switti_cpu_alloc (SwittiKernelContext *context, size_t bytes, void **memory)
{
  *memory = allocate (bytes);
  if (*memory == NULL)
    return switti_cpu_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "%zu bytes of memory could not be had", bytes);
  return SWITTI_KERNEL_OK;
}

void
switti_cpu_free (SwittiKernelContext *context, void *memory)
{
  free (memory);
}

SwittiKernelStatus
switti_cpu_copy (SwittiKernelContext *context, void *dst, const void *src, size_t bytes)
{
  if (bytes > 0)
    memcpy (dst, src, bytes);
  return SWITTI_KERNEL_OK;
}

SwittiKernelStatus
switti_cpu_clear (SwittiKernelContext *context, void *dst, size_t bytes)
{
  if (bytes > 0)
    memset (dst, 0, bytes);
  return SWITTI_KERNEL_OK;
}

SwittiKernelStatus
switti_cpu_synchronize (SwittiKernelContext *context)
{
  return SWITTI_KERNEL_OK;
}

/* -- profile --------------------------------------------------------------------------------------------------- */

void
switti_cpu_profile_reset (SwittiKernelContext *context, bool enable)
{
  context->profile_enabled = enable;
  memset (context->profile, 0, sizeof context->profile);
  for (int op = 0; op < SWITTI_KERNEL_N_OPS; op++)
    context->profile[op].name = op_names[op];
}

double
switti_cpu_profile_start (SwittiKernelContext *context)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

void
switti_cpu_profile_stop (SwittiKernelContext *context, SwittiKernelOp op, double start)
{
  context->profile[op].seconds += switti_cpu_profile_start (context) - start;
}

void
switti_cpu_profile_read (SwittiKernelContext *context, SwittiKernelProfile rows[SWITTI_KERNEL_N_OPS])
{
  memcpy (rows, context->profile, sizeof context->profile);
}
