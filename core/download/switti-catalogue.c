/* switti-catalogue.c - the published models and where their parts are
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The file is our own: a mistake in it is a mistake of this program, which the tests would find.
 */
#include "switti-build-config.h"

#include "switti-catalogue-private.h"

#include "switti-error.h"
#include "switti-json-private.h"
#include "switti-resources.h"

#include <glib/gi18n-lib.h>

static const char *const part_folders[] = { "transformer", "vae", "text_encoder", "text_encoder_2" };

static JsonObject *
load_catalogue (void)
{
  g_autoptr (GBytes) bytes = g_resource_lookup_data (switti_get_resource (), "/switti/catalogue.json",
                                                     G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);
  g_autoptr (GError) error = NULL;
  JsonObject *catalogue = NULL;

  if (bytes != NULL)
    catalogue = switti_json_parse_object (g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes),
                                          "catalogue.json", &error);
  g_assert (catalogue != NULL);
  return catalogue;
}

char **
switti_catalogue_list (void)
{
  g_autoptr (JsonObject) catalogue = load_catalogue ();
  JsonArray *models = switti_json_get_array (catalogue, "models");
  guint n_models = json_array_get_length (models);
  char **names = g_new0 (char *, n_models + 1);

  for (guint i = 0; i < n_models; i++)
    names[i] = g_strdup (switti_json_get_string (json_array_get_object_element (models, i), "name"));
  return names;
}

static char **
read_strings (JsonArray *array)
{
  guint n_strings = json_array_get_length (array);
  char **strings = g_new0 (char *, n_strings + 1);

  for (guint i = 0; i < n_strings; i++)
    strings[i] = g_strdup (json_array_get_string_element (array, i));
  return strings;
}

static void
read_part (SwittiCataloguePart *part, const char *folder, JsonObject *object, JsonObject *model)
{
  const char *repository = switti_json_get_string (object, "repository");

  part->folder = folder;
  part->repository = g_strdup (repository != NULL ? repository : switti_json_get_string (model, "repository"));
  part->parameters = (guint64) json_object_get_int_member (object, "parameters");
  part->weights = read_strings (switti_json_get_array (object, "weights"));
  part->activation = g_strdup (switti_json_get_string (object, "activation"));
  part->tokenizer = g_strdup (switti_json_get_string (object, "tokenizer"));
  part->licence = g_strdup (switti_json_get_string (object, "licence"));
  part->by = g_strdup (switti_json_get_string (object, "by"));
}

SwittiCatalogueModel *
switti_catalogue_find (const char *name, GError **error)
{
  g_autoptr (JsonObject) catalogue = load_catalogue ();
  JsonArray *models = switti_json_get_array (catalogue, "models");
  JsonObject *parts = switti_json_get_object (catalogue, "parts");
  g_auto (GStrv) names = NULL;
  g_autofree char *list = NULL;

  for (guint i = 0; i < json_array_get_length (models); i++)
    {
      JsonObject *model = json_array_get_object_element (models, i);
      SwittiCatalogueModel *self;

      if (g_strcmp0 (switti_json_get_string (model, "name"), name) != 0)
        continue;
      self = g_new0 (SwittiCatalogueModel, 1);
      self->name = g_strdup (name);
      self->title = g_strdup (switti_json_get_string (model, "title"));
      self->resolution = (int) json_object_get_int_member (model, "resolution");
      self->ar = json_object_get_boolean_member (model, "ar");
      for (guint j = 0; j < SWITTI_CATALOGUE_N_PARTS; j++)
        read_part (&self->parts[j], part_folders[j], switti_json_get_object (parts, part_folders[j]), model);
      return self;
    }
  names = switti_catalogue_list ();
  list = g_strjoinv (", ", names);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND, _ ("No model “%s” is published; there are %s."), name,
               list);
  return NULL;
}

void
switti_catalogue_model_free (SwittiCatalogueModel *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < SWITTI_CATALOGUE_N_PARTS; i++)
    {
      SwittiCataloguePart *part = &self->parts[i];

      g_free (part->repository);
      g_strfreev (part->weights);
      g_free (part->activation);
      g_free (part->tokenizer);
      g_free (part->licence);
      g_free (part->by);
    }
  g_free (self->name);
  g_free (self->title);
  g_free (self);
}
