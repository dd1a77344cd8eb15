/* switti-model-folder.c - writes a model folder
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-model-folder-private.h"

#include "switti-bundle-folder-private.h"
#include "switti-error.h"
#include "switti-safetensors-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_INDEX_BYTES ((gsize) 1 << 20)

/* -- files ----------------------------------------------------------------------------------------------------- */

static gboolean
not_written (const char *path, const char *why, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), path, why);
  return FALSE;
}

gboolean
switti_folder_make (const char *folder, GError **error)
{
  if (g_mkdir_with_parents (folder, 0777) == 0)
    return TRUE;
  return not_written (folder, g_strerror (errno), error);
}

void
switti_folder_remove (const char *folder)
{
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (!g_file_test (folder, G_FILE_TEST_IS_SYMLINK))
    dir = g_dir_open (folder, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      switti_folder_remove (path);
    }
  g_remove (folder);
}

void
switti_folder_flush (const char *folder)
{
  const int fd = g_open (folder, O_RDONLY | O_CLOEXEC, 0);

  if (fd < 0)
    return;
  fsync (fd);
  close (fd);
}

static gboolean
write_text (const char *path, const char *text, GError **error)
{
  g_autoptr (GError) failure = NULL;

  if (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666,
                                &failure))
    return TRUE;
  return not_written (path, failure->message, error);
}

gboolean
switti_folder_write_json (const char *folder, const char *name, JsonObject *object, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL), *text = NULL;
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

  json_node_take_object (node, object);
  text = json_to_string (node, TRUE);
  return write_text (path, text, error);
}

static gboolean
copy_file (const char *from, const char *to, GError **error)
{
  g_autoptr (GFile) source = g_file_new_for_path (from), target = g_file_new_for_path (to);
  g_autoptr (GError) failure = NULL;
  int fd, result;

  if (!g_file_copy (source, target, G_FILE_COPY_OVERWRITE | G_FILE_COPY_TARGET_DEFAULT_PERMS, NULL, NULL, NULL,
                    &failure))
    return not_written (to, failure->message, error);
  fd = g_open (to, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return not_written (to, g_strerror (errno), error);
  result = fsync (fd);
  if (result != 0)
    not_written (to, g_strerror (errno), error);
  close (fd);
  return result == 0;
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

          if (!copy_file (old, new, error))
            return FALSE;
        }
  switti_folder_flush (target);
  return TRUE;
}

/* -- configurations -------------------------------------------------------------------------------------------- */

static JsonObject *
transformer_to_json (const SwittiTransformerConfig *config)
{
  JsonObject *object = json_object_new ();
  JsonArray *sides = json_array_new ();

  for (int s = 0; s < config->schedule.n_scales; s++)
    json_array_add_int_element (sides, config->schedule.side[s]);
  json_object_set_string_member (object, "_class_name", "Switti");
  json_object_set_int_member (object, "depth", config->depth);
  json_object_set_int_member (object, "embed_dim", config->width);
  json_object_set_int_member (object, "num_heads", config->heads);
  json_object_set_array_member (object, "patch_nums", sides);
  json_object_set_int_member (object, "vocab_size", config->vocab);
  json_object_set_int_member (object, "z_channels", config->latent);
  json_object_set_int_member (object, "context_dim", config->context_dim);
  json_object_set_int_member (object, "pooled_dim", config->pooled_dim);
  json_object_set_boolean_member (object, "rope", config->rope);
  json_object_set_double_member (object, "rope_theta", config->rope_theta);
  json_object_set_double_member (object, "rope_size", config->rope_size);
  json_object_set_boolean_member (object, "use_swiglu_ffn", config->swiglu);
  json_object_set_boolean_member (object, "use_ar", config->ar);
  json_object_set_boolean_member (object, "use_crop_cond", config->crop_cond);
  json_object_set_int_member (object, "reso", config->resolution);
  return object;
}

static JsonObject *
text_to_json (const SwittiTextConfig *config)
{
  JsonObject *object = json_object_new ();
  JsonArray *architectures = json_array_new ();

  json_array_add_string_element (architectures, "CLIPTextModel");
  json_object_set_string_member (object, "_class_name", "CLIPTextModel");
  json_object_set_string_member (object, "model_type", "clip_text_model");
  json_object_set_array_member (object, "architectures", architectures);
  json_object_set_int_member (object, "hidden_size", config->width);
  json_object_set_int_member (object, "intermediate_size", config->mlp);
  json_object_set_int_member (object, "num_attention_heads", config->heads);
  json_object_set_int_member (object, "num_hidden_layers", config->layers);
  json_object_set_string_member (object, "hidden_act", config->quick_gelu ? "quick_gelu" : "gelu");
  json_object_set_double_member (object, "layer_norm_eps", config->norm_eps);
  json_object_set_int_member (object, "max_position_embeddings", config->positions);
  json_object_set_int_member (object, "vocab_size", config->vocab);
  json_object_set_int_member (object, "bos_token_id", config->bos_id);
  json_object_set_int_member (object, "eos_token_id", config->eos_id);
  json_object_set_int_member (object, "pad_token_id", config->pad_id);
  return object;
}

/* With the scales that the other parts of its model have; the RQ-VAE itself serves any. */
static JsonObject *
vae_to_json (const SwittiTrainingModel *model)
{
  SwittiVaeConfig config = model->vae, source;
  g_autofree char *path = g_build_filename (model->vae_folder != NULL ? model->vae_folder : "", "vae", "config.json",
                                            NULL);
  g_autofree char *text = NULL;
  g_autoptr (JsonNode) node = NULL;

  if (model->vae_folder != NULL && switti_vae_config_load (path, model->vae_weights, &source, NULL))
    config.schedule = source.schedule;
  text = switti_vae_config_to_json (&config);
  node = json_from_string (text, NULL);
  return json_node_dup_object (node);
}

static void
set_class (JsonObject *index, const char *part, const char *library, const char *class_name)
{
  JsonArray *pair = json_array_new ();

  json_array_add_string_element (pair, library);
  json_array_add_string_element (pair, class_name);
  json_object_set_array_member (index, part, pair);
}

/* With the sampling that the model of the text encoders recommends, unless that counts other scales. */
static JsonObject *
make_index (const SwittiTrainingModel *model)
{
  JsonObject *index = json_object_new (), *sampling = switti_bundle_get_default_sampling (model->text_source);

  json_object_set_string_member (index, "_class_name", "SwittiPipeline");
  set_class (index, "transformer", "switti", "Switti");
  set_class (index, "vae", "switti", "VQVAE");
  set_class (index, "text_encoder", "transformers", "CLIPTextModel");
  set_class (index, "text_encoder_2", "transformers", "CLIPTextModel");
  set_class (index, "tokenizer", "transformers", "CLIPTokenizer");
  set_class (index, "tokenizer_2", "transformers", "CLIPTokenizer");
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
  JsonObject *config = model->is_vae                     ? vae_to_json (model)
                       : part == SWITTI_PART_TRANSFORMER ? transformer_to_json (&model->transformer)
                                                         : text_to_json (&model->text[part - 1]);

  if (!switti_folder_make (target, error))
    {
      json_object_unref (config);
      return FALSE;
    }
  if (!switti_folder_write_json (target, "config.json", config, error))
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

  if (!switti_low_rank_save (model->low_rank, flat, lora, error) || !switti_folder_make (target, error)
      || !switti_folder_write_json (target, "config.json", transformer_to_json (&model->transformer), error))
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
  return !g_file_test (index, G_FILE_TEST_EXISTS) || copy_file (index, target, error);
}

gboolean
switti_model_folder_write (const SwittiTrainingModel *model, float *const values[SWITTI_N_PARTS], SwittiDtype dtype,
                           const char *readme, const char *folder, GError **error)
{
  static const char *const from_text[] = { "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2" };
  g_autofree char *readme_path = g_build_filename (folder, "README.md", NULL);

  if (!switti_folder_make (folder, error))
    return FALSE;
  if (model->is_vae)
    {
      if (!write_vae (model, values[0], dtype, folder, error) || !write_text (readme_path, readme, error))
        return FALSE;
      switti_folder_flush (folder);
      return TRUE;
    }
  for (int i = 0; i < model->n_parts; i++)
    if (model->low_rank != NULL ? !write_low_rank (model, values[i], dtype, folder, error)
                                : !write_part (model, i, values[i], dtype, folder, error))
      return FALSE;
  for (gsize i = model->n_parts > 1 ? 2 : 0; i < G_N_ELEMENTS (from_text); i++)
    if (!copy_part (switti_bundle_get_path (model->text_source), from_text[i], folder, error))
      return FALSE;
  if (!copy_part (model->vae_folder, "vae", folder, error) || !write_text (readme_path, readme, error)
      || !switti_folder_write_json (folder, "model_index.json", make_index (model), error))
    return FALSE;
  switti_folder_flush (folder);
  return TRUE;
}
