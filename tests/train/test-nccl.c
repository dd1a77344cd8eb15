/* test-nccl.c - the NCCL module on a machine without a GPU: it loads, and what is missing is named at once
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the module's calls do is NCCL's: they have not run where there is no GPU.
 */
#include "switti-device-cuda-private.h"
#include "switti-error.h"
#include "switti-ranks-private.h"

#include <string.h>

static void
test_no_driver (void)
{
  const SwittiLaunch launch = { .launcher = "torchrun", .size = 2, .local_size = 2, .address = (char *) "localhost",
                                .port = 1 };
  const gint64 began = g_get_monotonic_time ();
  g_autoptr (GError) error = NULL;

  if (switti_device_cuda_has_driver ())
    {
      g_test_skip ("there is a driver here");
      return;
    }
  g_assert_null (switti_ranks_open (&launch, TRUE, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE);
  g_assert_nonnull (strstr (error->message, "cuda"));
  /* Not after having waited for the other rank. */
  g_assert_cmpint (g_get_monotonic_time () - began, <, 60 * G_TIME_SPAN_SECOND);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nccl/no-driver", test_no_driver);
  return g_test_run ();
}
