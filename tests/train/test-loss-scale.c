/* test-loss-scale.c - what becomes of the loss' scale
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-loss-scale-private.h"

#include <glib.h>

static void
test_unused (void)
{
  SwittiLossScale scale;

  switti_loss_scale_init (&scale, FALSE, 2048, 1);
  g_assert_false (switti_loss_scale_can_shrink (&scale));
  switti_loss_scale_update (&scale, FALSE);
  switti_loss_scale_update (&scale, TRUE);
  g_assert_cmpfloat (scale.scale, ==, 1);
  g_assert_cmpint (scale.skipped, ==, 0);
}

static void
test_follows (void)
{
  SwittiLossScale scale;

  switti_loss_scale_init (&scale, TRUE, 3000, 3);
  g_assert_cmpfloat (scale.scale, ==, 2048); /* powers of two change no bit of a gradient */
  for (int i = 0; i < 2; i++)
    switti_loss_scale_update (&scale, TRUE);
  g_assert_cmpfloat (scale.scale, ==, 2048);
  switti_loss_scale_update (&scale, FALSE);
  g_assert_cmpfloat (scale.scale, ==, 1024);
  for (int i = 0; i < 3; i++)
    switti_loss_scale_update (&scale, TRUE);
  g_assert_cmpfloat (scale.scale, ==, 2048); /* three good steps in a row */
  g_assert_cmpint (scale.skipped, ==, 1);
}

static void
test_limits (void)
{
  SwittiLossScale scale;

  switti_loss_scale_init (&scale, TRUE, 16384, 1);
  for (int i = 0; i < 5; i++)
    switti_loss_scale_update (&scale, TRUE);
  g_assert_cmpfloat (scale.scale, ==, SWITTI_LOSS_SCALE_MAX);
  switti_loss_scale_init (&scale, TRUE, 0x1p40, 1);
  switti_loss_scale_update (&scale, TRUE);
  g_assert_cmpfloat (scale.scale, ==, 0x1p40); /* it stands, but grows no more */
  switti_loss_scale_init (&scale, TRUE, 2, 1);
  g_assert_true (switti_loss_scale_can_shrink (&scale));
  switti_loss_scale_update (&scale, FALSE);
  g_assert_false (switti_loss_scale_can_shrink (&scale));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/loss-scale/unused", test_unused);
  g_test_add_func ("/loss-scale/follows", test_follows);
  g_test_add_func ("/loss-scale/limits", test_limits);
  return g_test_run ();
}
