/* switti-model-folder.c - writes a model folder
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-model-folder-private.h"

#include "switti-bundle-folder-private.h"
#include "switti-folder-private.h"
#include "switti-safetensors-private.h"

#include <string.h>

/* -- files ----------------------------------------------------------------------------------------------------- */

static gboolean
write_text (const char *folder, const char *name, const char *text, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  return switti_file_write_text (path, text, -1, error);
}

gboolean
switti_folder_write_json (const char *folder, const char *name, JsonObject *object, GError **error)
{
  g_autofree char *text = switti_json_object_to_text (object);

  return write_text (folder, name, text, error);
}

/* A part's files as they are: those that a model is made of. */
static gboolean
copy_part (const char *from, const char *part, const char *folder, GError **error)
{
  static const char *const suffixes[] = { ".json", ".safetensors", ".txt" };
  g_autofree char *source = g_build_filename (from, part, NULL);
  g_autofree char *target = g_build_filename (folder, part, NULL);
  g_autoptr (GDir) dir = g_dir_open (source, 0, NULL);
  const char *name;

  /* A model may leave out its second tokenizer. */
  if (dir == NULL)
    return TRUE;
  if (!switti_folder_make (target, error))
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    for (gsize i = 0; i < G_N_ELEMENTS (suffixes); i++)
      if (g_str_has_suffix (name, suffixes[i]))
        {
          g_autofree char *old = g_build_filename (source, name, NULL), *new = g_build_filename (target, name, NULL);

          if (!switti_file_copy (old, new, NULL, error))
            return FALSE;
        }
  switti_file_flush (target, NULL);
  return TRUE;
}

/* -- configurations -------------------------------------------------------------------------------------------- */

/* With the scales that the other parts of its model have; the RQ-VAE itself serves any. */
static char *
vae_to_json (const SwittiTrainingModel *model)
{
  SwittiVaeConfig config = model->vae, source;
  g_autofree char *path = g_build_filename (model->vae_folder != NULL ? model->vae_folder : "", "vae", "config.json",
                                            NULL);

  if (model->vae_folder != NULL && switti_vae_config_load (path, model->vae_weights, &source, NULL))
    config.schedule = source.schedule;
  return switti_vae_config_to_json (&config);
}

/* With the sampling that the model of the text encoders recommends, unless that counts other scales. */
static JsonObject *
make_index (const SwittiTrainingModel *model)
{
  JsonObject *index = switti_model_index_new (), *sampling = switti_bundle_get_default_sampling (model->text_source);

  if (sampling != NULL && model->text_parts->transformer.schedule.n_scales == model->transformer.schedule.n_scales)
    json_object_set_object_member (index, "default_sampling", json_object_ref (sampling));
  return index;
}

/* -- weights --------------------------------------------------------------------------------------------------- */

void
switti_parameters_append_views (SwittiParameters *parameters, const char *prefix, float *flat, GPtrArray *names,
                                GArray *tensors)
{
  for (guint i = 0; i < switti_parameters_get_n (parameters); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (parameters, i);
      SwittiTensor tensor = { .dtype = SWITTI_DTYPE_F32, .n_dims = parameter->n_dims,
                              .data = flat + parameter->offset };

      memcpy (tensor.dims, parameter->dims, sizeof parameter->dims);
      g_ptr_array_add (names, g_strconcat (prefix, parameter->name, NULL));
      g_array_append_val (tensors, tensor);
    }
}

/* One part's config.json and model.safetensors. */
static gboolean
write_part (const SwittiTrainingModel *model, int part, float *flat, SwittiDtype dtype, const char *folder,
            GError **error)
{
  g_autofree char *target = g_build_filename (folder, switti_training_model_get_part_name (model, part), NULL);
  g_autofree char *path = g_build_filename (target, "model.safetensors", NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) tensors = g_array_new (FALSE, FALSE, sizeof (SwittiTensor));
  const gsize size = switti_parameters_get_whole_size (model->parameters[part]);
  g_autofree guint8 *narrow = NULL;
  g_autofree char *config = model->is_vae                     ? vae_to_json (model)
                            : part == SWITTI_PART_TRANSFORMER ? switti_transformer_config_to_json (&model->transformer)
                                                              : switti_text_config_to_json (&model->text[part - 1]);

  if (!switti_folder_make (target, error) || !write_text (target, "config.json", config, error))
    return FALSE;
  switti_parameters_append_views (model->parameters[part], part == 0 ? "" : "text_model.", flat, names, tensors);
  if (dtype != SWITTI_DTYPE_F32)
    {
      narrow = g_malloc (size * switti_dtype_size (dtype));
      switti_convert_elements (SWITTI_DTYPE_F32, flat, dtype, narrow, size);
      for (guint i = 0; i < tensors->len; i++)
        {
          SwittiTensor *tensor = &g_array_index (tensors, SwittiTensor, i);

          tensor->data = narrow + (gsize) ((float *) tensor->data - flat) * switti_dtype_size (dtype);
          tensor->dtype = dtype;
        }
    }
  return switti_safetensors_save (path, (const char *const *) names->pdata, (const SwittiTensor *) tensors->data,
                                  tensors->len, NULL, error);
}

/* One tensor of a model with its LoRA, in `dtype`; appended with memory of its own. */
static gboolean
append_merged (SwittiWeights *merged, const SwittiParameter *parameter, SwittiDtype dtype, GPtrArray *memory,
               GPtrArray *names, GArray *tensors, GError **error)
{
  g_autofree float *values = g_new (float, parameter->count);
  SwittiTensor tensor = { .dtype = dtype, .n_dims = parameter->n_dims };

  if (!switti_weights_read_f32 (merged, parameter->name, parameter->n_dims, parameter->dims, values, error))
    return FALSE;
  tensor.data = g_malloc (parameter->count * switti_dtype_size (dtype));
  switti_convert_elements (SWITTI_DTYPE_F32, values, dtype, tensor.data, parameter->count);
  memcpy (tensor.dims, parameter->dims, sizeof parameter->dims);
  g_ptr_array_add (memory, tensor.data);
  g_ptr_array_add (names, g_strdup (parameter->name));
  g_array_append_val (tensors, tensor);
  return TRUE;
}

/* lora.safetensors, and a transformer to which it has been added. */
static gboolean
write_low_rank (const SwittiTrainingModel *model, float *flat, SwittiDtype dtype, const char *folder, GError **error)
{
  g_autofree char *target = g_build_filename (folder, "transformer", NULL);
  g_autofree char *lora = g_build_filename (folder, "lora.safetensors", NULL);
  g_autofree char *path = g_build_filename (target, "model.safetensors", NULL);
  g_autoptr (GPtrArray) memory = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) tensors = g_array_new (FALSE, FALSE, sizeof (SwittiTensor));
  g_autoptr (SwittiWeights) merged = NULL;
  g_autofree char *config = switti_transformer_config_to_json (&model->transformer);

  if (!switti_low_rank_save (model->low_rank, flat, lora, error) || !switti_folder_make (target, error)
      || !write_text (target, "config.json", config, error))
    return FALSE;
  merged = switti_weights_with_lora (model->frozen_source, lora, 1, error);
  if (merged == NULL)
    return FALSE;
  for (guint i = 0; i < switti_parameters_get_n (model->frozen); i++)
    if (!append_merged (merged, switti_parameters_get (model->frozen, i), dtype, memory, names, tensors, error))
      return FALSE;
  return switti_safetensors_save (path, (const char *const *) names->pdata, (const SwittiTensor *) tensors->data,
                                  tensors->len, NULL, error);
}

/* An RQ-VAE among the other parts of the model that it came from, if it came from one. */
static gboolean
write_vae (const SwittiTrainingModel *model, float *values, SwittiDtype dtype, const char *folder, GError **error)
{
  static const char *const others[] = { "transformer",  "text_encoder", "text_encoder_2",
                                        "tokenizer", "tokenizer_2" };
  g_autofree char *index = NULL, *target = g_build_filename (folder, "model_index.json", NULL);

  if (!write_part (model, 0, values, dtype, folder, error))
    return FALSE;
  if (model->vae_folder == NULL)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++)
    if (!copy_part (model->vae_folder, others[i], folder, error))
      return FALSE;
  index = g_build_filename (model->vae_folder, "model_index.json", NULL);
  return !g_file_test (index, G_FILE_TEST_EXISTS) || switti_file_copy (index, target, NULL, error);
}

gboolean
switti_model_folder_write (const SwittiTrainingModel *model, float *const values[SWITTI_N_PARTS], SwittiDtype dtype,
                           const char *readme, const char *folder, GError **error)
{
  static const char *const from_text[] = { "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2" };

  if (!switti_folder_make (folder, error))
    return FALSE;
  if (model->is_vae)
    {
      if (!write_vae (model, values[0], dtype, folder, error) || !write_text (folder, "README.md", readme, error))
        return FALSE;
      switti_file_flush (folder, NULL);
      return TRUE;
    }
  for (int i = 0; i < model->n_parts; i++)
    if (model->low_rank != NULL ? !write_low_rank (model, values[i], dtype, folder, error)
                                : !write_part (model, i, values[i], dtype, folder, error))
      return FALSE;
  for (gsize i = model->n_parts > 1 ? 2 : 0; i < G_N_ELEMENTS (from_text); i++)
    if (!copy_part (switti_bundle_get_path (model->text_source), from_text[i], folder, error))
      return FALSE;
  if (!copy_part (model->vae_folder, "vae", folder, error) || !write_text (folder, "README.md", readme, error)
      || !switti_folder_write_json (folder, "model_index.json", make_index (model), error))
    return FALSE;
  switti_file_flush (folder, NULL);
  return TRUE;
}
