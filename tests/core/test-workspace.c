/* test-workspace.c - alignment, overlap of shared phases, overflow
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-error.h"
#include "switti-workspace-private.h"

#include <string.h>

static void
test_slots_are_apart (void)
{
  static const struct
  {
    SwittiDtype dtype;
    gsize count;
  } wanted[] = { { SWITTI_DTYPE_F32, 1 },  { SWITTI_DTYPE_BF16, 33 }, { SWITTI_DTYPE_U8, 0 },
                 { SWITTI_DTYPE_I32, 16 }, { SWITTI_DTYPE_F32, 1000 } };
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (SwittiWorkspace) workspace = switti_workspace_new (device);
  g_autoptr (GError) error = NULL;
  SwittiSlot slots[G_N_ELEMENTS (wanted)];

  for (gsize i = 0; i < G_N_ELEMENTS (wanted); i++)
    slots[i] = switti_workspace_reserve (workspace, wanted[i].dtype, wanted[i].count);
  g_assert_true (switti_workspace_commit (workspace, "a test", &error));
  g_assert_no_error (error);
  g_assert_cmpuint (switti_workspace_get_bytes (workspace), ==, switti_device_get_allocated_bytes (device));
  for (gsize i = 0; i < G_N_ELEMENTS (wanted); i++)
    {
      g_assert_cmpuint ((guintptr) switti_workspace_get (workspace, slots[i]) % 64, ==, 0);
      memset (switti_workspace_get (workspace, slots[i]), (int) i + 1,
              wanted[i].count * switti_dtype_size (wanted[i].dtype));
    }
  for (gsize i = 0; i < G_N_ELEMENTS (wanted); i++)
    {
      const guint8 *bytes = switti_workspace_get (workspace, slots[i]);

      for (gsize j = 0; j < wanted[i].count * switti_dtype_size (wanted[i].dtype); j++)
        g_assert_cmpint (bytes[j], ==, (int) i + 1);
    }
}

static void
test_shared_phases_overlap (void)
{
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (SwittiWorkspace) workspace = switti_workspace_new (device);
  g_autoptr (GError) error = NULL;
  const SwittiSlot before = switti_workspace_reserve (workspace, SWITTI_DTYPE_U8, 64);
  SwittiSlot small, large, large_second, after;
  guint8 *base;

  switti_workspace_begin_shared (workspace);
  small = switti_workspace_reserve (workspace, SWITTI_DTYPE_U8, 64);
  switti_workspace_next_shared (workspace);
  large = switti_workspace_reserve (workspace, SWITTI_DTYPE_U8, 128);
  large_second = switti_workspace_reserve (workspace, SWITTI_DTYPE_U8, 64);
  switti_workspace_end_shared (workspace);
  after = switti_workspace_reserve (workspace, SWITTI_DTYPE_U8, 64);
  g_assert_true (switti_workspace_commit (workspace, "a test", &error));

  base = switti_workspace_get (workspace, before);
  g_assert_true (switti_workspace_get (workspace, small) == base + 64);
  g_assert_true (switti_workspace_get (workspace, large) == base + 64);
  g_assert_true (switti_workspace_get (workspace, large_second) == base + 192);
  g_assert_true (switti_workspace_get (workspace, after) == base + 256);
  g_assert_cmpuint (switti_workspace_get_bytes (workspace), ==, 320);
}

static void
test_overflow_is_an_error (void)
{
  static const gsize counts[][2] = { { G_MAXSIZE, 1 }, { G_MAXSIZE / 4, 1 }, { G_MAXSIZE / 8, G_MAXSIZE / 8 } };
  g_autoptr (SwittiDevice) device = fixture_device (1);

  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      g_autoptr (SwittiWorkspace) workspace = switti_workspace_new (device);
      g_autoptr (GError) error = NULL;

      switti_workspace_reserve (workspace, SWITTI_DTYPE_F32, counts[i][0]);
      switti_workspace_reserve (workspace, SWITTI_DTYPE_F32, counts[i][1]);
      g_assert_false (switti_workspace_commit (workspace, "a test", &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY);
    }
  g_assert_cmpuint (switti_device_get_allocated_bytes (device), ==, 0);
}

static void
test_freed_without_commit (void)
{
  g_autoptr (SwittiDevice) device = fixture_device (1);
  SwittiWorkspace *workspace = switti_workspace_new (device);

  switti_workspace_reserve (workspace, SWITTI_DTYPE_F32, 4);
  switti_workspace_free (workspace);
  switti_workspace_free (NULL);
  g_assert_cmpuint (switti_device_get_peak_bytes (device), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/workspace/slots-are-apart", test_slots_are_apart);
  g_test_add_func ("/workspace/shared-phases-overlap", test_shared_phases_overlap);
  g_test_add_func ("/workspace/overflow-is-an-error", test_overflow_is_an_error);
  g_test_add_func ("/workspace/freed-without-commit", test_freed_without_commit);
  return g_test_run ();
}
