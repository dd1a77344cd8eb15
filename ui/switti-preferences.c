/* switti-preferences.c - what holds for every picture, kept in a key file
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-preferences.h"

#include "switti-config-file.h"
#include "switti.h"

#define GROUP "Switti"
#define FOLDERS_KEY "model-folders"
#define MAX_BATCH 64

struct _SwittiPreferences
{
  GObject parent_instance;

  char *path;
  GKeyFile *file; /* also what it holds of later versions */
  char *device, *precision, *memory;
  int batch;
  gboolean keep_loaded, welcomed;
  char **folders;
  GError *error;
};

enum
{
  PROP_DEVICE = 1,
  PROP_PRECISION,
  PROP_MEMORY,
  PROP_BATCH,
  PROP_KEEP_LOADED,
  PROP_WELCOMED,
  N_PROPS,
};

static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (SwittiPreferences, switti_preferences, G_TYPE_OBJECT)

static void
write_file (SwittiPreferences *self)
{
  g_autofree char *contents = NULL;
  gsize length;

  g_clear_error (&self->error);
  contents = g_key_file_to_data (self->file, &length, NULL);
  switti_config_file_write (self->path, contents, length, &self->error);
}

static char *
read_string (SwittiPreferences *self, const char *key, const char *otherwise)
{
  g_autofree char *value = g_key_file_get_string (self->file, GROUP, key, NULL);

  return value && *value ? g_steal_pointer (&value) : g_strdup (otherwise);
}

static gboolean
read_boolean (SwittiPreferences *self, const char *key, gboolean otherwise)
{
  g_autoptr (GError) error = NULL;
  gboolean value = g_key_file_get_boolean (self->file, GROUP, key, &error);

  return error ? otherwise : value;
}

static void
read_file (SwittiPreferences *self)
{
  if (self->path)
    g_key_file_load_from_file (self->file, self->path, G_KEY_FILE_KEEP_COMMENTS, NULL);
  self->device = read_string (self, "device", "auto");
  self->precision = read_string (self, "precision", "auto");
  self->memory = read_string (self, "memory", "auto");
  self->batch = CLAMP (g_key_file_get_integer (self->file, GROUP, "batch", NULL), 0, MAX_BATCH);
  self->keep_loaded = read_boolean (self, "keep-loaded", TRUE);
  self->welcomed = read_boolean (self, "welcomed", FALSE);
  self->folders = g_key_file_get_string_list (self->file, GROUP, FOLDERS_KEY, NULL, NULL);
  if (!self->folders)
    self->folders = g_new0 (char *, 1);
  switti_bundle_set_own_folders ((const char *const *) self->folders);
}

const char *const *
switti_preferences_get_folders (SwittiPreferences *self)
{
  g_return_val_if_fail (SWITTI_IS_PREFERENCES (self), NULL);

  return (const char *const *) self->folders;
}

static void
take_folders (SwittiPreferences *self, GPtrArray *folders)
{
  g_ptr_array_add (folders, NULL);
  g_strfreev (self->folders);
  self->folders = (char **) g_ptr_array_free (folders, FALSE);
  g_key_file_set_string_list (self->file, GROUP, FOLDERS_KEY, (const char *const *) self->folders,
                              g_strv_length (self->folders));
  switti_bundle_set_own_folders ((const char *const *) self->folders);
  write_file (self);
}

void
switti_preferences_add_folder (SwittiPreferences *self, const char *folder)
{
  GPtrArray *folders;

  g_return_if_fail (SWITTI_IS_PREFERENCES (self));

  if (g_strv_contains ((const char *const *) self->folders, folder))
    return;
  folders = g_ptr_array_new ();
  for (char **old = self->folders; *old; old++)
    g_ptr_array_add (folders, g_strdup (*old));
  g_ptr_array_add (folders, g_strdup (folder));
  take_folders (self, folders);
}

void
switti_preferences_remove_folder (SwittiPreferences *self, const char *folder)
{
  GPtrArray *folders = g_ptr_array_new ();

  g_return_if_fail (SWITTI_IS_PREFERENCES (self));

  for (char **old = self->folders; *old; old++)
    if (!g_str_equal (*old, folder))
      g_ptr_array_add (folders, g_strdup (*old));
  take_folders (self, folders);
}

const GError *
switti_preferences_get_error (SwittiPreferences *self)
{
  g_return_val_if_fail (SWITTI_IS_PREFERENCES (self), NULL);

  return self->error;
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  SwittiPreferences *self = SWITTI_PREFERENCES (object);

  switch (id)
    {
    case PROP_DEVICE:
      g_value_set_string (value, self->device);
      break;
    case PROP_PRECISION:
      g_value_set_string (value, self->precision);
      break;
    case PROP_MEMORY:
      g_value_set_string (value, self->memory);
      break;
    case PROP_BATCH:
      g_value_set_int (value, self->batch);
      break;
    case PROP_KEEP_LOADED:
      g_value_set_boolean (value, self->keep_loaded);
      break;
    case PROP_WELCOMED:
      g_value_set_boolean (value, self->welcomed);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

/* Whether it is another one. */
static gboolean
set_string (SwittiPreferences *self, char **field, const char *key, const GValue *value)
{
  const char *string = g_value_get_string (value) ? g_value_get_string (value) : "auto";

  if (g_str_equal (*field, string))
    return FALSE;
  g_free (*field);
  *field = g_strdup (string);
  g_key_file_set_string (self->file, GROUP, key, string);
  return TRUE;
}

static gboolean
set_boolean (SwittiPreferences *self, gboolean *field, const char *key, const GValue *value)
{
  if (*field == g_value_get_boolean (value))
    return FALSE;
  *field = g_value_get_boolean (value);
  g_key_file_set_boolean (self->file, GROUP, key, *field);
  return TRUE;
}

static gboolean
set_batch (SwittiPreferences *self, int batch)
{
  if (self->batch == batch)
    return FALSE;
  self->batch = batch;
  g_key_file_set_integer (self->file, GROUP, "batch", batch);
  return TRUE;
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  SwittiPreferences *self = SWITTI_PREFERENCES (object);
  gboolean changed = FALSE;

  switch (id)
    {
    case PROP_DEVICE:
      changed = set_string (self, &self->device, "device", value);
      break;
    case PROP_PRECISION:
      changed = set_string (self, &self->precision, "precision", value);
      break;
    case PROP_MEMORY:
      changed = set_string (self, &self->memory, "memory", value);
      break;
    case PROP_BATCH:
      changed = set_batch (self, g_value_get_int (value));
      break;
    case PROP_KEEP_LOADED:
      changed = set_boolean (self, &self->keep_loaded, "keep-loaded", value);
      break;
    case PROP_WELCOMED:
      changed = set_boolean (self, &self->welcomed, "welcomed", value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  if (!changed)
    return;
  write_file (self);
  g_object_notify_by_pspec (object, pspec);
}

static void
finalize (GObject *object)
{
  SwittiPreferences *self = SWITTI_PREFERENCES (object);

  g_free (self->path);
  g_key_file_free (self->file);
  g_free (self->device);
  g_free (self->precision);
  g_free (self->memory);
  g_strfreev (self->folders);
  g_clear_error (&self->error);
  G_OBJECT_CLASS (switti_preferences_parent_class)->finalize (object);
}

static void
switti_preferences_class_init (SwittiPreferencesClass *klass)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = get_property;
  object_class->set_property = set_property;
  object_class->finalize = finalize;
  props[PROP_DEVICE] = g_param_spec_string ("device", NULL, NULL, "auto", flags);
  props[PROP_PRECISION] = g_param_spec_string ("precision", NULL, NULL, "auto", flags);
  props[PROP_MEMORY] = g_param_spec_string ("memory", NULL, NULL, "auto", flags);
  props[PROP_BATCH] = g_param_spec_int ("batch", NULL, NULL, 0, MAX_BATCH, 0, flags);
  props[PROP_KEEP_LOADED] = g_param_spec_boolean ("keep-loaded", NULL, NULL, TRUE, flags);
  props[PROP_WELCOMED] = g_param_spec_boolean ("welcomed", NULL, NULL, FALSE, flags);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
switti_preferences_init (SwittiPreferences *self)
{
  self->file = g_key_file_new ();
}

SwittiPreferences *
switti_preferences_new (const char *path)
{
  SwittiPreferences *self = g_object_new (SWITTI_TYPE_PREFERENCES, NULL);

  self->path = g_strdup (path);
  read_file (self);
  return self;
}
