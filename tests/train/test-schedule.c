/* test-schedule.c - learning rates and weight decay against the published code's
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-error.h"
#include "switti-schedule-private.h"

#include <json-glib/json-glib.h>
#include <string.h>

static void
test_published (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = fixture_path ("meta.json");
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GList) names = NULL;
  JsonObject *schedules;
  int n_rows = 0;

  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  schedules = json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), "lr_schedules");
  names = json_object_get_members (schedules);
  for (GList *name = names; name != NULL; name = name->next)
    {
      /* The member “note” says: peak 1e-4, decay 0.05 to 0.01, warm-up 10 of 200 steps, wp0 0.005, wpe 0.01. */
      SwittiLearningSchedule schedule = { .peak = 1e-4, .warm_up_start = 0.005, .end = 0.01, .warm_up = 10,
                                          .steps = 200, .decay = 0.05, .decay_end = 0.01 };
      JsonArray *rows;

      if (strcmp (name->data, "note") == 0)
        continue;
      switti_learning_schedule_parse (&schedule, name->data, &error);
      g_assert_no_error (error);
      rows = json_object_get_array_member (schedules, name->data);
      for (guint i = 0; i < json_array_get_length (rows); i++, n_rows++)
        {
          JsonArray *row = json_array_get_array_element (rows, i);
          const gint64 step = json_array_get_int_element (row, 0);
          const double rate = json_array_get_double_element (row, 1), decay = json_array_get_double_element (row, 2);

          /* Float64 and the same order of operations; two units in the last place for another cos or exp. */
          g_assert_cmpfloat_with_epsilon (switti_learning_schedule_rate (&schedule, step), rate, 4.5e-16 * rate);
          g_assert_cmpfloat_with_epsilon (switti_learning_schedule_decay (&schedule, step), decay, 4.5e-16 * decay);
        }
    }
  g_assert_cmpint (n_rows, >=, 60);
}

/* No warm-up, one step, steps past the end: nothing is divided by zero, nothing goes on changing. */
static void
test_edges (void)
{
  static const char *const names[] = { "cos", "lin", "lin0", "lin00", "lin0.3", "exp" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      SwittiLearningSchedule schedule = { .peak = 2, .warm_up_start = 0.5, .end = 0.25, .warm_up = 0, .steps = 1,
                                          .decay = 0.5, .decay_end = 0.125 };

      g_assert_true (switti_learning_schedule_parse (&schedule, names[i], NULL));
      g_assert_cmpfloat (switti_learning_schedule_rate (&schedule, 0), ==, 2);
      g_assert_cmpfloat (switti_learning_schedule_decay (&schedule, 0), ==, 0.5);
      schedule.steps = 11;
      g_assert_cmpfloat_with_epsilon (switti_learning_schedule_rate (&schedule, 10), 0.5, 1e-15);
      g_assert_cmpfloat (switti_learning_schedule_rate (&schedule, 1000), ==,
                         switti_learning_schedule_rate (&schedule, 10));
      g_assert_cmpfloat_with_epsilon (switti_learning_schedule_decay (&schedule, 1000), 0.125, 1e-15);
      schedule.warm_up = 10;
      g_assert_cmpfloat (switti_learning_schedule_rate (&schedule, 0), ==, 1);
      g_assert_cmpfloat (switti_learning_schedule_rate (&schedule, 10), ==, 2);
    }
}

static void
test_unknown (void)
{
  static const char *const names[] = { "", "cosine", "line", "lin1", "lin-0.5", "lin0.3x", "linnan" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GError) error = NULL;
      SwittiLearningSchedule schedule = { 0 };

      g_assert_false (switti_learning_schedule_parse (&schedule, names[i], &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedule/published", test_published);
  g_test_add_func ("/schedule/edges", test_edges);
  g_test_add_func ("/schedule/unknown", test_unknown);
  return g_test_run ();
}
