/* test-device.c - device names, the count of memory, and errors that leave the device usable
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-device-cuda-private.h"
#include "switti-error.h"

#include <string.h>

static void
test_cpu (void)
{
  static const char *const names[] = { "cpu", "auto" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiDevice) device = switti_device_new (names[i], 1, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (switti_device_get_name (device), ==, "cpu");
      g_assert_cmpuint (strlen (switti_device_get_description (device)), >, 0);
      g_assert_cmpint (switti_device_get_n_threads (device), ==, 1);
      g_assert_cmpuint (switti_device_get_allocated_bytes (device), ==, 0);
    }
}

static void
test_unknown_names (void)
{
  static const char *const names[] = { "", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:99999999999", "cudax" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiDevice) device = switti_device_new (names[i], 0, &error);

      g_assert_null (device);
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
      g_assert_nonnull (strstr (error->message, names[i]));
    }
}

static void
test_bad_thread_count (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (switti_device_new ("cpu", -1, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
}

/* A device asked for by name and absent is an error, never the CPU in its place: without the module, without the
 * driver, or past the last GPU. */
static void
test_cuda_absent (void)
{
  static const char *const names[] = { "cuda:7", "cuda", "cuda:0" };
  const gsize n_names = switti_device_cuda_has_driver () ? 1 : G_N_ELEMENTS (names);

  for (gsize i = 0; i < n_names; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiDevice) device = switti_device_new (names[i], 0, &error);

      g_assert_null (device);
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE);
      g_assert_nonnull (strstr (error->message, names[i]));
      g_assert_true (strstr (error->message, "CUDA module") != NULL || strstr (error->message, "driver") != NULL
                     || strstr (error->message, "there is no CUDA device 7") != NULL);
    }
}

static void
test_memory_is_counted (void)
{
  g_autoptr (SwittiDevice) device = fixture_device (1);
  void *a = fixture_device_alloc (device, 1000), *b = fixture_device_alloc (device, 24), *c;

  g_assert_cmpuint ((guintptr) a % 64, ==, 0);
  g_assert_cmpuint ((guintptr) b % 64, ==, 0);
  g_assert_cmpuint (switti_device_get_allocated_bytes (device), ==, 1024);
  switti_device_free (device, a);
  switti_device_free (device, NULL);
  g_assert_cmpuint (switti_device_get_allocated_bytes (device), ==, 24);
  c = fixture_device_alloc (device, 0);
  g_assert_nonnull (c);
  switti_device_free (device, b);
  switti_device_free (device, c);
  g_assert_cmpuint (switti_device_get_allocated_bytes (device), ==, 0);
  g_assert_cmpuint (switti_device_get_peak_bytes (device), ==, 1024);
}

static void
test_out_of_memory_is_an_error (void)
{
  static const gsize sizes[] = { (gsize) 1 << 50, G_MAXSIZE, G_MAXSIZE - 100 };
  g_autoptr (SwittiDevice) device = fixture_device (1);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GError) error = NULL;
      void *memory = switti_device_alloc (device, sizes[i], "a huge test", &error);

      g_assert_null (memory);
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY);
      g_assert_nonnull (strstr (error->message, "a huge test"));
      g_assert_cmpuint (switti_device_get_allocated_bytes (device), ==, 0);

      memory = fixture_device_alloc (device, 4096);
      memset (memory, 1, 4096);
      switti_device_free (device, memory);
    }
}

/* A table whose allocations fail although memory is free, as a GPU's can. */
static SwittiKernelStatus
refuse (SwittiKernelContext *context, size_t bytes, void **memory)
{
  return SWITTI_KERNEL_OUT_OF_MEMORY;
}

static void
test_refused_allocation (void)
{
  SwittiKernels kernels = *switti_kernels_cpu ();
  const SwittiKernelOptions options = { .n_threads = 1 };
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = NULL;

  kernels.alloc = refuse;
  device = switti_device_new_for_kernels ("refusing", &kernels, &options, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (switti_device_get_name (device), ==, "refusing");
  g_assert_null (switti_device_alloc (device, 16, "a small test", &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY);
  g_assert_nonnull (strstr (error->message, "refusing"));
}

static void
test_other_table_version (void)
{
  SwittiKernels kernels = *switti_kernels_cpu ();
  const SwittiKernelOptions options = { .n_threads = 1 };
  g_autoptr (GError) error = NULL;

  kernels.version = SWITTI_KERNELS_VERSION + 1;
  g_assert_null (switti_device_new_for_kernels ("other", &kernels, &options, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE);
}

static void
test_unknown_instruction_set (void)
{
  const SwittiKernelOptions options = { .n_threads = 1, .isa = "no such" };
  g_autoptr (GError) error = NULL;

  g_assert_null (switti_device_new_for_kernels ("cpu", switti_kernels_cpu (), &options, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE);
  g_assert_nonnull (strstr (error->message, "no such"));
}

static gboolean
run_invalid_op (SwittiDevice *device, GError **error)
{
  SWITTI_RUN (device, gemm_plan, &(SwittiGemm){ .m = -1 }, &(SwittiGemmPlan *){ NULL });
  return TRUE;
}

static void
test_failed_op_is_an_error (void)
{
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (GError) error = NULL;
  const float one = 1;
  void *memory;

  g_assert_false (run_invalid_op (device, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE);
  g_assert_nonnull (strstr (error->message, "gemm_plan"));
  memory = fixture_upload (device, &one, sizeof one);
  switti_device_free (device, memory);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/device/cpu", test_cpu);
  g_test_add_func ("/device/unknown-names", test_unknown_names);
  g_test_add_func ("/device/bad-thread-count", test_bad_thread_count);
  g_test_add_func ("/device/cuda-absent", test_cuda_absent);
  g_test_add_func ("/device/memory-is-counted", test_memory_is_counted);
  g_test_add_func ("/device/out-of-memory-is-an-error", test_out_of_memory_is_an_error);
  g_test_add_func ("/device/refused-allocation", test_refused_allocation);
  g_test_add_func ("/device/other-table-version", test_other_table_version);
  g_test_add_func ("/device/unknown-instruction-set", test_unknown_instruction_set);
  g_test_add_func ("/device/failed-op-is-an-error", test_failed_op_is_an_error);
  return g_test_run ();
}
