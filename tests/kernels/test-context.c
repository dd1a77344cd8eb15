/* test-context.c - the context: options, memory, errors and the profile
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "product-test.h"

static void
test_table (void)
{
  const SwittiKernels *kernels = switti_kernels_cpu ();
  void (*const *entries) (void) = (void (*const *) (void)) (const void *) &kernels->context_new;
  gsize n = (sizeof *kernels - G_STRUCT_OFFSET (SwittiKernels, context_new)) / sizeof *entries;

  g_assert_cmpuint (kernels->version, ==, SWITTI_KERNELS_VERSION);
  g_assert_cmpstr (kernels->name, ==, "cpu");
  for (gsize i = 0; i < n; i++)
    {
      gsize at = G_STRUCT_OFFSET (SwittiKernels, context_new) + i * sizeof *entries;

      /* The processor has no streams of its own, and times nothing that it would keep. */
      if (at == G_STRUCT_OFFSET (SwittiKernels, native_stream)
          || at == G_STRUCT_OFFSET (SwittiKernels, choices_identity)
          || at == G_STRUCT_OFFSET (SwittiKernels, choices_write)
          || at == G_STRUCT_OFFSET (SwittiKernels, choices_read)
          || at == G_STRUCT_OFFSET (SwittiKernels, attention_plan))
        g_assert_null (entries[i]);
      else
        g_assert_nonnull (entries[i]);
    }
}

static void
test_options (void)
{
  const SwittiKernels *kernels = switti_kernels_cpu ();
  SwittiKernelOptions options = { .isa = "z80" };
  SwittiKernelContext *context = NULL;
  SwittiKernelProperties properties;

  g_assert_cmpint (kernels->context_new (&options, &context), ==, SWITTI_KERNEL_INVALID);
  g_assert_null (context);
  g_assert_cmpstr (kernels->error_message (NULL), !=, "");
  options.isa = NULL;
  options.n_threads = -1;
  g_assert_cmpint (kernels->context_new (&options, &context), ==, SWITTI_KERNEL_INVALID);
  g_assert_cmpint (kernels->context_new (NULL, NULL), ==, SWITTI_KERNEL_INVALID);

  options.n_threads = 3;
  g_assert_cmpint (kernels->context_new (&options, &context), ==, SWITTI_KERNEL_OK);
  kernels->properties (context, &properties);
  g_assert_cmpint (properties.n_threads, ==, 3);
  g_assert_nonnull (strstr (properties.description, "3 threads"));
  g_assert_cmpuint (properties.memory_total, >, 0);
  g_assert_cmpuint (properties.memory_free, <=, properties.memory_total);
  g_assert_cmpstr (kernels->error_message (context), ==, "");
  kernels->context_free (context);

  g_assert_cmpint (kernels->context_new (NULL, &context), ==, SWITTI_KERNEL_OK);
  kernels->properties (context, &properties);
  g_assert_cmpint (properties.n_threads, >=, 1);
  kernels->context_free (context);

  /* What an AVX2 machine answers: float32 is the quicker dtype there. */
  options.isa = "generic";
  g_assert_cmpint (kernels->context_new (&options, &context), ==, SWITTI_KERNEL_OK);
  kernels->properties (context, &properties);
  g_assert_false (properties.fast_bf16);
  kernels->context_free (context);
  kernels->context_free (NULL);
}

static void
test_memory (void)
{
  static const gsize sizes[] = { 0, 1, 63, 4096, (gsize) 5 << 20 };
  const SwittiKernels *kernels = switti_kernels_cpu ();
  SwittiKernelContext *context = test_context (NULL, 1);
  void *memory = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree guint8 *host = g_malloc (sizes[i] + 1), *back = g_malloc0 (sizes[i] + 1);
      void *other = NULL;

      memset (host, (int) i + 1, sizes[i] + 1);
      g_assert_cmpint (kernels->alloc (context, sizes[i], &memory), ==, SWITTI_KERNEL_OK);
      g_assert_cmpint (kernels->alloc (context, sizes[i], &other), ==, SWITTI_KERNEL_OK);
      g_assert_cmpuint ((guintptr) memory % 64, ==, 0);
      g_assert_cmpint (kernels->upload (context, memory, host, sizes[i]), ==, SWITTI_KERNEL_OK);
      g_assert_cmpint (kernels->copy (context, other, memory, sizes[i]), ==, SWITTI_KERNEL_OK);
      g_assert_cmpint (kernels->clear (context, memory, sizes[i]), ==, SWITTI_KERNEL_OK);
      g_assert_cmpint (kernels->download (context, back, other, sizes[i]), ==, SWITTI_KERNEL_OK);
      g_assert_cmpmem (host, sizes[i], back, sizes[i]);
      for (gsize j = 0; j < sizes[i]; j++)
        g_assert_cmpint (((guint8 *) memory)[j], ==, 0);
      g_assert_cmpint (back[sizes[i]], ==, 0);
      kernels->free (context, memory);
      kernels->free (context, other);
    }
  g_assert_cmpint (kernels->synchronize (context), ==, SWITTI_KERNEL_OK);
  kernels->free (context, NULL);
  kernels->context_free (context);
}

/* More than there is: an error with words, and the context stays usable. */
static void
test_out_of_memory (void)
{
  const SwittiKernels *kernels = switti_kernels_cpu ();
  SwittiKernelContext *context = test_context (NULL, 1);
  void *memory = &memory;

#if defined(__SANITIZE_ADDRESS__)
  g_test_skip ("AddressSanitizer ends the program where memory is short");
#else
  g_assert_cmpint (kernels->alloc (context, G_MAXSIZE / 4, &memory), ==, SWITTI_KERNEL_OUT_OF_MEMORY);
  g_assert_null (memory);
  g_assert_cmpstr (kernels->error_message (context), !=, "");
#endif
  g_assert_cmpint (kernels->alloc (context, 100, &memory), ==, SWITTI_KERNEL_OK);
  kernels->free (context, memory);
  kernels->context_free (context);
}

static void
test_profile (void)
{
  const SwittiKernels *kernels = switti_kernels_cpu ();
  SwittiKernelContext *context = test_context (NULL, 1);
  SwittiGemm gemm = { .m = 3, .n = 5, .k = 7, .row_group = 3, .lda = 7, .ldb = 7, .ldd = 5 };
  SwittiGemmPlan *plan = NULL;
  SwittiKernelProfile rows[SWITTI_KERNEL_N_OPS];
  float a[21] = { 0 }, b[35] = { 0 }, d[15];

  g_assert_cmpint (kernels->gemm_plan (context, &gemm, &plan), ==, SWITTI_KERNEL_OK);
  kernels->gemm (context, plan, a, b, NULL, d);
  kernels->profile_read (context, rows);
  g_assert_cmpuint (rows[SWITTI_KERNEL_OP_GEMM].calls, ==, 0);

  kernels->profile_reset (context, true);
  kernels->gemm (context, plan, a, b, NULL, d);
  kernels->gemm (context, plan, a, b, NULL, d);
  g_assert_cmpint (kernels->gemm (context, plan, NULL, b, NULL, d), ==, SWITTI_KERNEL_INVALID);
  g_assert_cmpstr (kernels->error_message (context), !=, "");
  g_assert_cmpint (kernels->accumulate (context, 10, 1.0f, a, 0.0f, NULL, d), ==, SWITTI_KERNEL_OK);
  g_assert_cmpstr (kernels->error_message (context), ==, "");
  kernels->profile_read (context, rows);
  g_assert_cmpstr (rows[SWITTI_KERNEL_OP_GEMM].name, ==, "gemm");
  g_assert_cmpuint (rows[SWITTI_KERNEL_OP_GEMM].calls, ==, 2);
  g_assert_cmpfloat (rows[SWITTI_KERNEL_OP_GEMM].flop, ==, 2.0 * 2.0 * 3.0 * 5.0 * 7.0);
  g_assert_cmpfloat (rows[SWITTI_KERNEL_OP_GEMM].bytes, ==, 2.0 * 4.0 * (21.0 + 35.0 + 15.0));
  g_assert_cmpfloat (rows[SWITTI_KERNEL_OP_GEMM].seconds, >, 0.0);
  g_assert_cmpuint (rows[SWITTI_KERNEL_OP_ELEMENTWISE].calls, ==, 1);
  g_assert_cmpfloat (rows[SWITTI_KERNEL_OP_ELEMENTWISE].bytes, ==, 120.0);
  kernels->gemm_plan_free (context, plan);
  kernels->context_free (context);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/context/table", test_table);
  g_test_add_func ("/context/options", test_options);
  g_test_add_func ("/context/memory", test_memory);
  g_test_add_func ("/context/out-of-memory", test_out_of_memory);
  g_test_add_func ("/context/profile", test_profile);
  return g_test_run ();
}
