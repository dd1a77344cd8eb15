/* switti-bundle-search.c - where models are looked for
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-bundle-folder-private.h"

#include "switti-build-config.h"
#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define DEFAULT_MODEL "icons"
#define MODEL_INDEX "model_index.json"

static gboolean
is_model_folder (const char *folder)
{
  g_autofree char *index = g_build_filename (folder, MODEL_INDEX, NULL);

  return g_file_test (index, G_FILE_TEST_IS_REGULAR);
}

static void
add_folder (GPtrArray *folders, const char *first, const char *rest)
{
  g_autofree char *joined = g_build_filename (first, rest, NULL);
  char *folder = g_canonicalize_filename (joined, NULL);

  if (g_ptr_array_find_with_equal_func (folders, folder, g_str_equal, NULL))
    g_free (folder);
  else
    g_ptr_array_add (folders, folder);
}

static GMutex own_folders_lock;
static char **own_folders; /* NULL: none */

void
switti_bundle_set_own_folders (const char *const *folders)
{
  g_mutex_lock (&own_folders_lock);
  g_strfreev (own_folders);
  own_folders = g_strdupv ((char **) folders);
  g_mutex_unlock (&own_folders_lock);
}

static void
add_own_folders (GPtrArray *folders)
{
  g_mutex_lock (&own_folders_lock);
  for (char **folder = own_folders; folder != NULL && *folder != NULL; folder++)
    add_folder (folders, *folder, NULL);
  g_mutex_unlock (&own_folders_lock);
}

char **
switti_bundle_get_search_path (void)
{
  g_autoptr (GPtrArray) folders = g_ptr_array_new_with_free_func (g_free);
  const char *variable = g_getenv ("SWITTI_MODEL_PATH");

  if (variable != NULL)
    {
      g_auto (GStrv) named = g_strsplit (variable, G_SEARCHPATH_SEPARATOR_S, -1);

      for (char **folder = named; *folder != NULL; folder++)
        if (**folder != '\0')
          add_folder (folders, *folder, NULL);
    }
  add_own_folders (folders);
  add_folder (folders, g_get_user_data_dir (), "switti/models");
  for (const char *const *folder = g_get_system_data_dirs (); *folder != NULL; folder++)
    add_folder (folders, *folder, "switti/models");
  add_folder (folders, SWITTI_DATADIR, "models");
  if (g_file_test (SWITTI_BUILD_MODELDIR, G_FILE_TEST_IS_DIR))
    add_folder (folders, SWITTI_BUILD_MODELDIR, NULL);

  g_ptr_array_add (folders, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&folders), FALSE);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The model folders in one folder of the search path, which may itself be a model; sorted. */
static GPtrArray *
list_folder (const char *folder)
{
  GPtrArray *models = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) entries = NULL;
  const char *name;

  if (is_model_folder (folder))
    {
      g_ptr_array_add (models, g_strdup (folder));
      return models;
    }
  entries = g_dir_open (folder, 0, NULL);
  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
    {
      g_autofree char *model = g_build_filename (folder, name, NULL);

      /* A hidden one is a model in the making. */
      if (*name != '.' && g_utf8_validate (name, -1, NULL) && is_model_folder (model))
        g_ptr_array_add (models, g_steal_pointer (&model));
    }
  g_ptr_array_sort (models, compare_names);
  return models;
}

/* All models as folders, in the order in which they are found; of those with the same name the first alone. */
static GPtrArray *
list_models (void)
{
  GPtrArray *models = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) folders = switti_bundle_get_search_path ();
  g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (char **folder = folders; *folder != NULL; folder++)
    {
      g_autoptr (GPtrArray) found = list_folder (*folder);

      for (guint i = 0; i < found->len; i++)
        if (g_hash_table_add (names, g_path_get_basename (found->pdata[i])))
          g_ptr_array_add (models, g_strdup (found->pdata[i]));
    }
  return models;
}

static const char *
find_named (GPtrArray *models, const char *name)
{
  for (guint i = 0; i < models->len; i++)
    {
      g_autofree char *basename = g_path_get_basename (models->pdata[i]);

      if (strcmp (basename, name) == 0)
        return models->pdata[i];
    }
  return NULL;
}

static const char *
find_default (GPtrArray *models)
{
  const char *preferred = find_named (models, DEFAULT_MODEL);

  return preferred != NULL ? preferred : models->len > 0 ? models->pdata[0] : NULL;
}

char **
switti_bundle_list (void)
{
  g_autoptr (GPtrArray) models = list_models ();
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *default_model = find_default (models);

  for (guint i = 0; i < models->len; i++)
    if (models->pdata[i] != default_model)
      g_ptr_array_add (names, g_path_get_basename (models->pdata[i]));
  g_ptr_array_sort (names, compare_names);
  if (default_model != NULL)
    g_ptr_array_insert (names, 0, g_path_get_basename (default_model));

  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

static void
set_not_found (const char *name, GError **error)
{
  g_auto (GStrv) names = switti_bundle_list ();
  g_autofree char *installed = g_strjoinv (", ", names);
  g_autofree char *place = g_build_filename (g_get_user_data_dir (), "switti", "models", NULL);

  if (*names == NULL)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND,
                 _ ("There is no model installed; put one into “%s” or set SWITTI_MODEL_PATH."), place);
  else
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND,
                 _ ("There is no model called “%s”; installed are: %s."), name, installed);
}

char *
switti_bundle_find_folder (const char *name_or_path, GError **error)
{
  g_autoptr (GPtrArray) models = NULL;
  const char *found;

  if (name_or_path != NULL && strchr (name_or_path, G_DIR_SEPARATOR) != NULL)
    {
      if (is_model_folder (name_or_path))
        return g_canonicalize_filename (name_or_path, NULL);
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND,
                   _ ("“%s” is not a model: a folder with a %s is needed."), name_or_path, MODEL_INDEX);
      return NULL;
    }

  models = list_models ();
  found = name_or_path == NULL || *name_or_path == '\0' ? find_default (models) : find_named (models, name_or_path);
  if (found == NULL)
    set_not_found (name_or_path, error);
  return g_strdup (found);
}
