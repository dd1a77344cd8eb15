/* switti-training-checkpoints-load.c - reads a checkpoint
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-training-checkpoints-private.h"

#include "switti-error.h"
#include "switti-json-private.h"
#include "switti-training-pieces-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_STATE_BYTES ((gsize) 16 << 20)

static JsonObject *
read_state (const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "training", "training.json", NULL);
  g_autoptr (JsonObject) object = NULL;
  int format = 0;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("“%s” is no checkpoint of a training: it has no training/training.json; begin from its weights "
                      "with --init."),
                   folder);
      return NULL;
    }
  object = switti_json_load_object (path, MAX_STATE_BYTES, error);
  if (object == NULL || !switti_json_read_int (object, "format", 1, G_MAXINT, &format, path, error))
    return NULL;
  if (format != SWITTI_CHECKPOINT_FORMAT)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("The checkpoint “%s” has the format %d, but this switti-train knows %d: use the version that "
                      "wrote it, or begin from its weights with --init."),
                   folder, format, SWITTI_CHECKPOINT_FORMAT);
      return NULL;
    }
  return g_steal_pointer (&object);
}

JsonObject *
switti_checkpoints_read_options (const char *folder, GError **error)
{
  g_autoptr (JsonObject) state = read_state (folder, error);
  JsonObject *options = state != NULL ? switti_json_get_object (state, "options") : NULL;

  if (state != NULL && options == NULL)
    return json_object_new ();
  return options != NULL ? json_object_ref (options) : NULL;
}

/* One array of a part, tensor by tensor. With another number of scales, lvl_embed's common rows. */
static gboolean
load_array (SwittiTrainingModel *model, int part, SwittiWeights *weights, const char *prefix, float *flat,
            GError **error)
{
  for (guint i = 0; i < switti_parameters_get_n (model->parameters[part]); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (model->parameters[part], i);
      g_autofree char *name = g_strconcat (prefix, parameter->name, NULL);
      g_autofree float *values = NULL;
      gint64 dims[G_N_ELEMENTS (parameter->dims)];
      gsize count = parameter->count;
      SwittiTensor stored;

      memcpy (dims, parameter->dims, sizeof dims);
      if (strcmp (parameter->name, "lvl_embed.weight") == 0 && switti_weights_peek (weights, name, &stored)
          && stored.n_dims == 2 && stored.dims[0] > 0 && stored.dims[0] <= SWITTI_MAX_SCALES)
        {
          dims[0] = stored.dims[0];
          count = (gsize) (dims[0] * dims[1]);
        }
      values = g_new (float, count);
      if (!switti_weights_read_f32 (weights, name, parameter->n_dims, dims, values, error)
          || !switti_pieces_upload (model->parameters[part], parameter, 0, MIN (count, parameter->count), values, flat,
                                    error))
        return FALSE;
    }
  return TRUE;
}

/* From one file. */
static gboolean
load_part (SwittiTrainingModel *model, int part, const char *folder, gboolean has_average, GError **error)
{
  g_autofree char *name = g_strconcat (switti_training_model_get_part_name (model, part), ".safetensors", NULL);
  g_autofree char *path = g_build_filename (folder, "training", name, NULL);
  g_autoptr (SwittiWeights) weights = switti_weights_open_file (path, error);
  SwittiOptimizer *optimizer = model->optimizers[part];
  float *values = switti_parameters_get_values (model->parameters[part]);
  float *average = switti_optimizer_get_average (optimizer);

  if (weights == NULL || !load_array (model, part, weights, "parameter.", values, error)
      || !load_array (model, part, weights, "first_moment.", switti_optimizer_get_first_moment (optimizer), error)
      || !load_array (model, part, weights, "second_moment.", switti_optimizer_get_second_moment (optimizer), error))
    return FALSE;
  /* An average that begins with the resumed run begins at its weights. */
  return (average == NULL || load_array (model, part, weights, has_average ? "average." : "parameter.", average, error))
         && switti_parameters_refresh (model->parameters[part], error);
}

/* A checkpoint of a training without one leaves the options'. */
static gboolean
load_loss_scale (SwittiTrainingModel *model, JsonObject *object, const char *folder, GError **error)
{
  const double scale = json_object_get_double_member_with_default (object, "loss_scale", 0);
  const gint64 good_steps = json_object_get_int_member_with_default (object, "loss_scale_good_steps", 0);
  const gint64 skipped = json_object_get_int_member_with_default (object, "skipped_steps", 0);

  if (!json_object_has_member (object, "loss_scale"))
    return TRUE;
  if (!(scale >= SWITTI_LOSS_SCALE_MIN && scale <= 0x1p60) || good_steps < 0 || skipped < 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("In “%s”, the loss scale or its counts are outside what they can be."), folder);
      return FALSE;
    }
  switti_training_model_set_loss_scale (model, scale, good_steps, skipped);
  return TRUE;
}

gboolean
switti_checkpoints_load (SwittiTrainingModel *model, const char *folder, SwittiTrainingState *state, GError **error)
{
  g_autoptr (JsonObject) object = read_state (folder, error);
  gboolean has_average = FALSE;
  int step = 0, optimizer_steps = 0, parts = 1, pieces = 1;

  if (object == NULL || !switti_json_read_int (object, "step", 0, G_MAXINT, &step, folder, error)
      || !switti_json_read_int (object, "optimizer_steps", 0, G_MAXINT, &optimizer_steps, folder, error)
      || !switti_json_read_int (object, "parts", 1, SWITTI_N_PARTS, &parts, folder, error)
      || !switti_json_read_int (object, "pieces", 1, SWITTI_MAX_PIECES, &pieces, folder, error)
      || !switti_json_read_boolean (object, "has_average", &has_average, folder, error))
    return FALSE;
  if (parts != model->n_parts)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   parts > 1 ? _ ("The checkpoint “%s” was made with --train-text: give it again, or begin from its "
                                  "weights with --init and --resume no.")
                             : _ ("The checkpoint “%s” was made without --train-text: leave it out, or begin from its "
                                  "weights with --init and --resume no."),
                   folder);
      return FALSE;
    }
  for (int i = 0; i < model->n_parts; i++)
    {
      if (pieces > 1 ? !switti_pieces_load (model, i, pieces, folder, has_average, error)
                     : !load_part (model, i, folder, has_average, error))
        return FALSE;
      switti_optimizer_set_n_steps (model->optimizers[i], optimizer_steps);
    }
  if ((model->low_rank != NULL && !switti_low_rank_compose (model->low_rank, error))
      || !load_loss_scale (model, object, folder, error))
    return FALSE;
  state->step = step;
  state->samples = json_object_get_int_member_with_default (object, "samples", 0);
  state->loss = json_object_get_double_member_with_default (object, "loss", 0);
  if (state->samples >= 0)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("In “%s”, “samples” is below 0."), folder);
  return FALSE;
}
