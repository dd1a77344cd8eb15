/* switti-presets.c - named sets of values, kept in a key file
 *
 * A group a preset. Group names may hold no brackets and no control characters, so the name itself is a value of the
 * group, and the groups are numbered.
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-presets.h"

#include "switti-config-file.h"

#include <gio/gio.h>

#define NAME_KEY "preset-name"

struct _SwittiPresets
{
  GObject parent_instance;

  char *path;
  GKeyFile *file;
};

enum
{
  SIGNAL_CHANGED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (SwittiPresets, switti_presets, G_TYPE_OBJECT)

/* The group of a preset, or NULL. */
static char *
find_group (SwittiPresets *self, const char *name)
{
  g_auto (GStrv) groups = g_key_file_get_groups (self->file, NULL);

  for (char **group = groups; *group; group++)
    {
      g_autofree char *its_name = g_key_file_get_string (self->file, *group, NAME_KEY, NULL);

      if (g_strcmp0 (its_name, name) == 0)
        return g_strdup (*group);
    }
  return NULL;
}

static char *
new_group (SwittiPresets *self)
{
  for (guint i = 1;; i++)
    {
      g_autofree char *group = g_strdup_printf ("Preset %u", i);

      if (!g_key_file_has_group (self->file, group))
        return g_steal_pointer (&group);
    }
}

static gboolean
write_file (SwittiPresets *self, GError **error)
{
  g_autofree char *contents = NULL;
  gsize length;

  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
  contents = g_key_file_to_data (self->file, &length, NULL);
  return switti_config_file_write (self->path, contents, length, error);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return g_utf8_collate (*(const char *const *) a, *(const char *const *) b);
}

char **
switti_presets_list (SwittiPresets *self)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) groups = NULL;

  g_return_val_if_fail (SWITTI_IS_PRESETS (self), NULL);

  groups = g_key_file_get_groups (self->file, NULL);
  for (char **group = groups; *group; group++)
    {
      char *name = g_key_file_get_string (self->file, *group, NAME_KEY, NULL);

      if (name && *name)
        g_ptr_array_add (names, name);
      else
        g_free (name);
    }
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

static void
save_property (SwittiPresets *self, const char *group, GObject *object, const char *property)
{
  g_auto (GValue) value = G_VALUE_INIT;

  g_object_get_property (object, property, &value);
  if (G_VALUE_HOLDS_STRING (&value))
    g_key_file_set_string (self->file, group, property, g_value_get_string (&value) ? g_value_get_string (&value) : "");
  else if (G_VALUE_HOLDS_INT (&value))
    g_key_file_set_integer (self->file, group, property, g_value_get_int (&value));
  else if (G_VALUE_HOLDS_DOUBLE (&value))
    g_key_file_set_double (self->file, group, property, g_value_get_double (&value));
  else if (G_VALUE_HOLDS_BOOLEAN (&value))
    g_key_file_set_boolean (self->file, group, property, g_value_get_boolean (&value));
  else
    g_return_if_reached ();
}

gboolean
switti_presets_save (SwittiPresets *self, const char *name, GObject *object, const char *const *properties,
                     GError **error)
{
  g_autofree char *group = NULL;

  g_return_val_if_fail (SWITTI_IS_PRESETS (self), FALSE);
  g_return_val_if_fail (name && *name, FALSE);

  group = find_group (self, name);
  if (!group)
    group = new_group (self);
  g_key_file_set_string (self->file, group, NAME_KEY, name);
  for (const char *const *property = properties; *property; property++)
    save_property (self, group, object, *property);
  return write_file (self, error);
}

static void
apply_property (SwittiPresets *self, const char *group, GObject *object, const char *property)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (object), property);
  g_auto (GValue) value = G_VALUE_INIT;
  g_autoptr (GError) error = NULL;

  if (!pspec || !g_key_file_has_key (self->file, group, property, NULL))
    return;
  g_value_init (&value, pspec->value_type);
  if (G_VALUE_HOLDS_STRING (&value))
    g_value_take_string (&value, g_key_file_get_string (self->file, group, property, &error));
  else if (G_VALUE_HOLDS_INT (&value))
    g_value_set_int (&value, g_key_file_get_integer (self->file, group, property, &error));
  else if (G_VALUE_HOLDS_DOUBLE (&value))
    g_value_set_double (&value, g_key_file_get_double (self->file, group, property, &error));
  else if (G_VALUE_HOLDS_BOOLEAN (&value))
    g_value_set_boolean (&value, g_key_file_get_boolean (self->file, group, property, &error));
  /* What somebody has mistyped in the file leaves the value as it is. */
  if (error)
    return;
  g_param_value_validate (pspec, &value);
  g_object_set_property (object, property, &value);
}

gboolean
switti_presets_apply (SwittiPresets *self, const char *name, GObject *object, const char *const *properties)
{
  g_autofree char *group = NULL;

  g_return_val_if_fail (SWITTI_IS_PRESETS (self), FALSE);

  group = find_group (self, name);
  if (!group)
    return FALSE;
  g_object_freeze_notify (object);
  for (const char *const *property = properties; *property; property++)
    apply_property (self, group, object, *property);
  g_object_thaw_notify (object);
  return TRUE;
}

gboolean
switti_presets_remove (SwittiPresets *self, const char *name, GError **error)
{
  g_autofree char *group = NULL;

  g_return_val_if_fail (SWITTI_IS_PRESETS (self), FALSE);

  group = find_group (self, name);
  if (!group)
    return TRUE;
  g_key_file_remove_group (self->file, group, NULL);
  return write_file (self, error);
}

static void
finalize (GObject *object)
{
  SwittiPresets *self = SWITTI_PRESETS (object);

  g_free (self->path);
  g_key_file_free (self->file);
  G_OBJECT_CLASS (switti_presets_parent_class)->finalize (object);
}

static void
switti_presets_class_init (SwittiPresetsClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = finalize;
  signals[SIGNAL_CHANGED] = g_signal_new ("changed", SWITTI_TYPE_PRESETS, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                          G_TYPE_NONE, 0);
}

static void
switti_presets_init (SwittiPresets *self)
{
  self->file = g_key_file_new ();
}

SwittiPresets *
switti_presets_new (const char *path)
{
  SwittiPresets *self = g_object_new (SWITTI_TYPE_PRESETS, NULL);

  self->path = g_strdup (path);
  if (path)
    g_key_file_load_from_file (self->file, path, G_KEY_FILE_NONE, NULL);
  return self;
}
