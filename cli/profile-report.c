/* profile-report.c - what the benches of `switti` and switti-train print alike
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "profile-report.h"

JsonArray *
cli_report_profile (const SwittiKernelProfile profile[SWITTI_KERNEL_N_OPS])
{
  JsonArray *array = json_array_new ();
  double seconds = 0;

  for (int i = 0; i < SWITTI_KERNEL_N_OPS; i++)
    seconds += profile[i].seconds;
  for (int i = 0; i < SWITTI_KERNEL_N_OPS; i++)
    {
      const SwittiKernelProfile *row = &profile[i];
      JsonObject *object;

      if (row->calls == 0)
        continue;
      object = json_object_new ();
      json_object_set_string_member (object, "op", row->name);
      json_object_set_int_member (object, "calls", (gint64) row->calls);
      json_object_set_double_member (object, "ms", row->seconds * 1e3);
      json_object_set_double_member (object, "share", seconds > 0 ? row->seconds / seconds : 0);
      json_object_set_double_member (object, "gflops", row->seconds > 0 ? row->flop / row->seconds / 1e9 : 0);
      json_object_set_double_member (object, "gbytes_per_s", row->seconds > 0 ? row->bytes / row->seconds / 1e9 : 0);
      json_array_add_object_element (array, object);
    }
  return array;
}

static int
compare_doubles (gconstpointer a, gconstpointer b, gpointer data)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

double
cli_median (double *values, int n)
{
  g_sort_array (values, (gsize) n, sizeof *values, compare_doubles, NULL);
  return (values[n / 2] + values[(n - 1) / 2]) / 2;
}

void
cli_print_json (JsonObject *object)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *text = NULL;

  json_node_take_object (node, object);
  text = json_to_string (node, TRUE);
  g_print ("%s\n", text);
}
