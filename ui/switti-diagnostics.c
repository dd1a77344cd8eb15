/* switti-diagnostics.c - what a report of a fault should say of this computer
 *
 * In English, whatever the language: it is for the people who mend it.
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-diagnostics.h"

#include "switti.h"

#include <gtk/gtk.h>

typedef struct
{
  char *host;
  char *device_name;
} Subject;

static void
subject_free (gpointer data)
{
  Subject *subject = data;

  g_free (subject->host);
  g_free (subject->device_name);
  g_free (subject);
}

/* Errors name files, and files are in somebody's folder. */
static const char *
error_word (const GError *error)
{
  static const char *const words[] = {
    [SWITTI_ERROR_ARGUMENT] = "bad argument",     [SWITTI_ERROR_MODEL_NOT_FOUND] = "not found",
    [SWITTI_ERROR_MODEL_INVALID] = "broken",      [SWITTI_ERROR_OUT_OF_MEMORY] = "out of memory",
    [SWITTI_ERROR_DEVICE] = "absent or failed",   [SWITTI_ERROR_IO] = "not readable",
    [SWITTI_ERROR_UNSUPPORTED] = "not supported",
  };

  if (error->domain != SWITTI_ERROR || error->code < 0 || error->code >= (int) G_N_ELEMENTS (words))
    return "failed";
  return words[error->code];
}

static void
append_device (GString *text, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = switti_device_new (name, 0, &error);

  if (device)
    g_string_append_printf (text, "Device: %s (asked for: %s): %s\n", switti_device_get_name (device), name,
                            switti_device_get_description (device));
  else
    g_string_append_printf (text, "Device: %s: %s\n", name, error_word (error));
}

static void
append_system (GString *text)
{
  g_autofree char *name = g_get_os_info (G_OS_INFO_KEY_PRETTY_NAME);

  g_string_append_printf (text, "System: %s\n", name ? name : "unknown");
}

static gboolean
append_model (GString *text, const char *name, GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (name, &error);
  g_autofree char *hash = bundle ? switti_bundle_hash (bundle, cancellable, &error) : NULL;

  if (g_cancellable_is_cancelled (cancellable))
    return FALSE;
  if (hash)
    g_string_append_printf (text, "Model: %s, %d pixels, %d scales, %" G_GUINT64_FORMAT " parameters, SHA-256 %s\n",
                            name, switti_bundle_get_resolution (bundle), switti_bundle_get_n_scales (bundle),
                            switti_bundle_get_n_parameters (bundle), hash);
  else
    g_string_append_printf (text, "Model: %s: %s\n", name, error_word (error));
  return TRUE;
}

static void
collect (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Subject *subject = data;
  g_autoptr (GString) text = g_string_new (NULL);
  g_auto (GStrv) names = switti_bundle_list ();

  g_string_append_printf (text, "Switti: %s\n", switti_version_string ());
  if (subject->host)
    g_string_append_printf (text, "Host: %s\n", subject->host);
  g_string_append_printf (text, "GTK: %u.%u.%u, GLib: %u.%u.%u\n", gtk_get_major_version (), gtk_get_minor_version (),
                          gtk_get_micro_version (), glib_major_version, glib_minor_version, glib_micro_version);
  append_system (text);
  append_device (text, subject->device_name);
  for (char **name = names; *name; name++)
    if (!append_model (text, *name, cancellable))
      break;
  if (!g_task_return_error_if_cancelled (task))
    g_task_return_pointer (task, g_string_free (g_steal_pointer (&text), FALSE), g_free);
}

void
switti_diagnostics_collect_async (const char *host, const char *device_name, GCancellable *cancellable,
                                  GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Subject *subject = g_new (Subject, 1);

  *subject = (Subject) { g_strdup (host), g_strdup (device_name) };
  g_task_set_task_data (task, subject, subject_free);
  g_task_run_in_thread (task, collect);
}

char *
switti_diagnostics_collect_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
