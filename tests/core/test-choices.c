/* test-choices.c - the file that keeps which algorithm makes each product: read, written, damaged and made again
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * On host CUDA, whose products "choose" as cuBLASLt's do (tests/cuda-on-host/products.cpp).
 */
#include "fixture.h"
#include "switti-choices-private.h"

#include <glib/gstdio.h>
#include <string.h>

/* Plans a product of n columns, as a model does. */
static void
plan_product (SwittiDevice *device, gint64 n)
{
  const SwittiKernels *kernels = switti_device_get_kernels (device);
  SwittiKernelContext *context = switti_device_get_context (device);
  const SwittiGemm gemm = { .m = 8, .n = n, .k = 16, .row_group = 4, .lda = 16, .ldb = 16, .ldd = n };
  SwittiGemmPlan *plan = NULL;

  g_assert_cmpint (kernels->gemm_plan (context, &gemm, &plan), ==, SWITTI_KERNEL_OK);
  kernels->gemm_plan_free (context, plan);
}

static char *
get_path (void)
{
  g_autoptr (SwittiDevice) device = fixture_device (1);

  return switti_choices_get_path (switti_device_get_kernels (device), switti_device_get_context (device));
}

/* What a device writes when it goes away; removes what was there before. */
static char *
make_file (const char *path, gsize *size)
{
  g_autoptr (GError) error = NULL;
  SwittiDevice *device;
  char *text;

  g_unlink (path);
  device = fixture_device (1);
  plan_product (device, 24);
  plan_product (device, 40);
  g_object_unref (device);
  g_file_get_contents (path, &text, size, &error);
  g_assert_no_error (error);
  return text;
}

static gboolean
load (SwittiDevice *device)
{
  return switti_choices_load (switti_device_get_kernels (device), switti_device_get_context (device));
}

static gsize
count_new_bytes (SwittiDevice *device)
{
  return switti_device_get_kernels (device)->choices_write (switti_device_get_context (device), NULL, 0);
}

static void
test_round_trip (void)
{
  g_autofree char *path = get_path (), *text = NULL;
  g_autoptr (SwittiDevice) device = NULL;
  gsize size;

  g_assert_true (g_str_has_suffix (path, ".txt"));
  text = make_file (path, &size);
  g_assert_nonnull (strstr (text, "\nhost CUDA\n"));
  device = fixture_device (1);
  /* What is known is not chosen again: nothing to write. */
  plan_product (device, 24);
  plan_product (device, 40);
  g_assert_cmpuint (count_new_bytes (device), ==, 0);
  g_assert_false (switti_choices_save (switti_device_get_kernels (device), switti_device_get_context (device)));
  /* What is new is added to it. */
  plan_product (device, 56);
  g_assert_cmpuint (count_new_bytes (device), >, size);
  g_assert_true (switti_choices_save (switti_device_get_kernels (device), switti_device_get_context (device)));
  g_assert_true (load (device));
}

/* Nothing of a file with one byte changed, or cut off anywhere, is taken; the next device makes it again. */
static void
test_damage (void)
{
  g_autofree char *path = get_path (), *text = NULL;
  gsize size;

  text = make_file (path, &size);
  for (gsize i = 0; i < 2 * size; i++)
    {
      g_autofree char *damaged = g_memdup2 (text, size);
      g_autoptr (SwittiDevice) device = NULL;
      gsize left = i < size ? size : i - size;

      if (i < size)
        damaged[i] ^= 1 << i % 7;
      g_assert_true (g_file_set_contents_full (path, damaged, (gssize) left, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
      device = fixture_device (1);
      g_assert_false (load (device));
      if (i % 199 != 0)
        continue;
      plan_product (device, 24);
      plan_product (device, 40);
      g_assert_cmpuint (count_new_bytes (device), ==, size);
      g_clear_object (&device);
      g_assert_true (g_file_test (path, G_FILE_TEST_IS_REGULAR));
      device = fixture_device (1);
      g_assert_true (load (device));
    }
}

/* Text that is whole, but of another GPU, driver or library. */
static void
test_other_identity (void)
{
  g_autofree char *path = get_path (), *text = NULL;
  g_autoptr (SwittiDevice) device = NULL;
  const SwittiKernels *kernels;
  gsize size;

  text = make_file (path, &size);
  device = fixture_device (1);
  kernels = switti_device_get_kernels (device);
  g_assert_true (kernels->choices_read (switti_device_get_context (device), text, size));
  memcpy (strstr (text, "host CUDA"), "host CUDB", strlen ("host CUDB"));
  g_assert_false (kernels->choices_read (switti_device_get_context (device), text, size));
  g_assert_false (kernels->choices_read (switti_device_get_context (device), NULL, 0));
}

/* A folder where the file should be, and a file where the folder should be: the device works without. */
static void
test_no_place (void)
{
  g_autofree char *path = get_path (), *folder = g_path_get_dirname (path);
  SwittiDevice *device;

  g_unlink (path);
  g_assert_cmpint (g_mkdir_with_parents (path, 0700), ==, 0);
  device = fixture_device (1);
  g_assert_false (load (device));
  plan_product (device, 24);
  g_assert_false (switti_choices_save (switti_device_get_kernels (device), switti_device_get_context (device)));
  g_object_unref (device);
  g_assert_cmpint (g_rmdir (path), ==, 0);

  g_assert_cmpint (g_rmdir (folder), ==, 0);
  g_assert_true (g_file_set_contents (folder, "", 0, NULL));
  device = fixture_device (1);
  plan_product (device, 24);
  g_object_unref (device);
  g_assert_cmpint (g_unlink (folder), ==, 0);
}

/* Where nothing is chosen there is no file. */
static void
test_cpu (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = switti_device_new ("cpu", 1, &error);
  const SwittiKernels *kernels;

  g_assert_no_error (error);
  kernels = switti_device_get_kernels (device);
  g_assert_null (switti_choices_get_path (kernels, switti_device_get_context (device)));
  g_assert_false (switti_choices_load (kernels, switti_device_get_context (device)));
  g_assert_false (switti_choices_save (kernels, switti_device_get_context (device)));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  g_test_add_func ("/choices/round-trip", test_round_trip);
  g_test_add_func ("/choices/damage", test_damage);
  g_test_add_func ("/choices/other-identity", test_other_identity);
  g_test_add_func ("/choices/no-place", test_no_place);
  g_test_add_func ("/choices/cpu", test_cpu);
  return g_test_run ();
}
