/* switti-training-checkpoints.c - writes checkpoints in the background, and keeps the wanted number of them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-training-checkpoints-private.h"

#include "switti-error.h"
#include "switti-folder-private.h"
#include "switti-model-folder-private.h"
#include "switti-safetensors-private.h"
#include "switti-training-pieces-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define STEP_PREFIX "step-"
#define PARTIAL_PREFIX ".partial-"

/* A copy of all that changes. */
typedef struct
{
  SwittiTrainingState state;
  float *values[SWITTI_N_PARTS], *first[SWITTI_N_PARTS], *second[SWITTI_N_PARTS], *average[SWITTI_N_PARTS];
  /* Of ranks that have pieces of the above, the first one's: the model that is saved, put together. */
  float *whole[SWITTI_N_PARTS];
  gint64 n_steps[SWITTI_N_PARTS];
  SwittiLossScale loss_scale;
} Snapshot;

struct _SwittiCheckpoints
{
  const SwittiTrainingModel *model;
  const SwittiTrainingOptions *options;
  char *out, *folder; /* folder: out/checkpoints */
  char *newest;
  int rank, n_pieces; /* of how many files of a part's state this rank writes one, if it does */
  gboolean has_piece;
  GThread *writer;
  Snapshot *snapshot; /* the writer's */
  GError *failure;    /* of the writer */
};

/* -- the copy -------------------------------------------------------------------------------------------------- */

static void
snapshot_free (Snapshot *snapshot)
{
  if (snapshot == NULL)
    return;
  for (int i = 0; i < SWITTI_N_PARTS; i++)
    {
      g_free (snapshot->values[i]);
      g_free (snapshot->first[i]);
      g_free (snapshot->second[i]);
      g_free (snapshot->average[i]);
      g_free (snapshot->whole[i]);
    }
  g_free (snapshot);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Snapshot, snapshot_free)

static float *
allocate (gsize size, GError **error)
{
  float *memory = g_try_new (float, size);

  if (memory == NULL)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY,
                 _ ("There is no memory for the copy of the weights that a checkpoint is written from (%.1f GB)."),
                 (double) (size * sizeof (float)) * 1e-9);
  return memory;
}

static gboolean
download (SwittiDevice *device, const float *from, gsize size, float **to, GError **error)
{
  if (from == NULL)
    return TRUE;
  *to = allocate (size, error);
  if (*to == NULL)
    return FALSE;
  SWITTI_RUN (device, download, *to, from, size * sizeof (float));
  return TRUE;
}

/* What the first rank saves as the model, from all ranks' pieces; on all of them. */
static gboolean
gather (SwittiCheckpoints *self, Snapshot *snapshot, GError **error)
{
  for (int i = 0; i < self->model->n_parts; i++)
    {
      SwittiParameters *parameters = self->model->parameters[i];
      const float *average = switti_optimizer_get_average (self->model->optimizers[i]);
      const float *saved = average != NULL ? average : switti_parameters_get_values (parameters);
      const gboolean wants = self->rank == 0;

      if (wants)
        snapshot->whole[i] = allocate (switti_parameters_get_whole_size (parameters), error);
      /* Nobody waits for a rank that has no memory. */
      if (!switti_collective_agree (self->model->sharding->ranks, !wants || snapshot->whole[i] != NULL, error)
          || !switti_parameters_gather (parameters, saved, snapshot->whole[i], error))
        return FALSE;
    }
  return TRUE;
}

static Snapshot *
snapshot_new (const SwittiTrainingModel *model, const SwittiTrainingState *state, GError **error)
{
  g_autoptr (Snapshot) snapshot = g_new0 (Snapshot, 1);

  snapshot->state = *state;
  snapshot->loss_scale = model->loss_scale;
  for (int i = 0; i < model->n_parts; i++)
    {
      SwittiOptimizer *optimizer = model->optimizers[i];
      const gsize size = switti_parameters_get_size (model->parameters[i]);

      snapshot->n_steps[i] = switti_optimizer_get_n_steps (optimizer);
      if (!download (model->device, switti_parameters_get_values (model->parameters[i]), size, &snapshot->values[i],
                     error)
          || !download (model->device, switti_optimizer_get_first_moment (optimizer), size, &snapshot->first[i], error)
          || !download (model->device, switti_optimizer_get_second_moment (optimizer), size, &snapshot->second[i],
                        error)
          || !download (model->device, switti_optimizer_get_average (optimizer), size, &snapshot->average[i], error))
        return NULL;
    }
  return g_steal_pointer (&snapshot);
}

/* -- writing --------------------------------------------------------------------------------------------------- */

/* One file of a part's state: of all of it, or of this rank's pieces. */
static gboolean
write_part (SwittiCheckpoints *self, const Snapshot *snapshot, int part, const char *folder, GError **error)
{
  const struct
  {
    const char *prefix;
    float *flat;
  } arrays[] = { { "parameter.", snapshot->values[part] },
                 { "first_moment.", snapshot->first[part] },
                 { "second_moment.", snapshot->second[part] },
                 { "average.", snapshot->average[part] } };
  SwittiParameters *parameters = self->model->parameters[part];
  g_autofree char *name = switti_pieces_file_name (self->model, part,
                                                   switti_parameters_get_units (parameters)->index, self->n_pieces);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) tensors = g_array_new (FALSE, FALSE, sizeof (SwittiTensor));

  for (gsize i = 0; i < G_N_ELEMENTS (arrays); i++)
    if (arrays[i].flat != NULL && self->n_pieces > 1)
      switti_pieces_append_views (parameters, arrays[i].prefix, arrays[i].flat, names, tensors);
    else if (arrays[i].flat != NULL)
      switti_parameters_append_views (parameters, arrays[i].prefix, arrays[i].flat, names, tensors);
  return switti_safetensors_save (path, (const char *const *) names->pdata, (const SwittiTensor *) tensors->data,
                                  tensors->len, NULL, error);
}

static JsonObject *
state_to_json (SwittiCheckpoints *self, const Snapshot *snapshot)
{
  JsonObject *object = json_object_new ();
  JsonArray *sides = json_array_new ();
  const SwittiSchedule *schedule = &self->model->transformer.schedule;

  for (int s = 0; s < schedule->n_scales; s++)
    json_array_add_int_element (sides, schedule->side[s]);
  json_object_set_int_member (object, "format", SWITTI_CHECKPOINT_FORMAT);
  json_object_set_int_member (object, "step", snapshot->state.step);
  json_object_set_int_member (object, "samples", snapshot->state.samples);
  json_object_set_double_member (object, "loss", snapshot->state.loss);
  json_object_set_int_member (object, "optimizer_steps", snapshot->n_steps[0]);
  if (snapshot->loss_scale.is_used)
    {
      json_object_set_double_member (object, "loss_scale", snapshot->loss_scale.scale);
      json_object_set_int_member (object, "loss_scale_good_steps", snapshot->loss_scale.good_steps);
      json_object_set_int_member (object, "skipped_steps", snapshot->loss_scale.skipped);
    }
  json_object_set_int_member (object, "parts", self->model->n_parts);
  json_object_set_int_member (object, "pieces", self->n_pieces);
  json_object_set_boolean_member (object, "has_average", snapshot->average[0] != NULL);
  json_object_set_array_member (object, "patch_nums", sides);
  json_object_set_object_member (object, "options", switti_training_options_to_json (self->options));
  return object;
}

static char *
make_readme (SwittiCheckpoints *self, const Snapshot *snapshot)
{
  return g_strdup_printf ("# %s\n\nTrained by switti-train: %" G_GINT64_FORMAT " steps of %d images, %" G_GINT64_FORMAT
                          " images in all. training/training.json has the options.\n",
                          self->options->exp_name != NULL ? self->options->exp_name : "A model in training",
                          snapshot->state.step, self->options->bs, snapshot->state.samples);
}

static gboolean
write_checkpoint (SwittiCheckpoints *self, const Snapshot *snapshot, const char *folder, GError **error)
{
  g_autofree char *training = g_build_filename (folder, "training", NULL);
  g_autofree char *readme = make_readme (self, snapshot);
  const SwittiDtype dtype = g_str_equal (self->options->save_dtype, "f32") ? SWITTI_DTYPE_F32 : SWITTI_DTYPE_BF16;
  float *const *values = self->n_pieces > 1          ? snapshot->whole
                         : snapshot->average[0] != NULL ? snapshot->average
                                                        : snapshot->values;

  if (!switti_folder_make (training, error)
      || !switti_model_folder_write (self->model, values, dtype, readme, folder, error))
    return FALSE;
  for (int i = 0; i < self->model->n_parts; i++)
    if (!write_part (self, snapshot, i, training, error))
      return FALSE;
  if (!switti_folder_write_json (training, "training.json", state_to_json (self, snapshot), error)
      || !switti_pieces_wait (self->model, self->n_pieces, training, error))
    return FALSE;
  switti_file_flush (training, NULL);
  switti_file_flush (folder, NULL);
  return TRUE;
}

/* -- the folder of checkpoints ----------------------------------------------------------------------------------- */

/* The step in a checkpoint's name, or -1. */
static gint64
step_of (const char *name)
{
  gint64 step;

  if (!g_str_has_prefix (name, STEP_PREFIX)
      || !g_ascii_string_to_signed (name + strlen (STEP_PREFIX), 10, 0, G_MAXINT64, &step, NULL))
    return -1;
  return step;
}

static char *
path_of (SwittiCheckpoints *self, gint64 step)
{
  g_autofree char *name = g_strdup_printf (STEP_PREFIX "%08" G_GINT64_FORMAT, step);

  return g_build_filename (self->folder, name, NULL);
}

static int
compare_steps (gconstpointer a, gconstpointer b)
{
  const gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

/* Steps of the checkpoints that are there, from the first to the last. */
static GArray *
list_steps (SwittiCheckpoints *self)
{
  GArray *steps = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (GDir) dir = g_dir_open (self->folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      const gint64 step = step_of (name);

      if (step >= 0)
        g_array_append_val (steps, step);
    }
  g_array_sort (steps, compare_steps);
  return steps;
}

/* Under a hidden name first, so that no half of it is taken for a checkpoint. */
static void
remove_checkpoint (SwittiCheckpoints *self, const char *path)
{
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *hidden_name = g_strconcat (PARTIAL_PREFIX, name, "-old", NULL);
  g_autofree char *hidden = g_build_filename (self->folder, hidden_name, NULL);

  switti_folder_remove (hidden);
  if (g_rename (path, hidden) == 0)
    switti_folder_remove (hidden);
}

static void
remove_old (SwittiCheckpoints *self)
{
  g_autoptr (GArray) steps = list_steps (self);
  const int kept_for_good = self->options->global_save_iters;
  int n_kept = 0;

  for (guint i = steps->len; i > 0; i--)
    {
      const gint64 step = g_array_index (steps, gint64, i - 1);
      g_autofree char *path = path_of (self, step);

      if (n_kept >= self->options->keep && (kept_for_good == 0 || step % kept_for_good != 0))
        remove_checkpoint (self, path);
      else if (kept_for_good == 0 || step % kept_for_good != 0)
        n_kept++;
    }
}

/* OUT/latest names the newest; without symbolic links there it is left out. */
static void
link_latest (SwittiCheckpoints *self, const char *path)
{
  g_autofree char *name = g_path_get_basename (path), *target = g_build_filename ("checkpoints", name, NULL);
  g_autofree char *link_path = g_build_filename (self->out, "latest", NULL);
  g_autofree char *partial = g_strconcat (link_path, ".partial", NULL);

  g_unlink (partial);
  if (symlink (target, partial) == 0 && g_rename (partial, link_path) != 0)
    g_unlink (partial);
}

static char *
partial_path_of (SwittiCheckpoints *self, gint64 step)
{
  g_autofree char *path = path_of (self, step), *name = g_path_get_basename (path);
  g_autofree char *partial_name = g_strconcat (PARTIAL_PREFIX, name, NULL);

  return g_build_filename (self->folder, partial_name, NULL);
}

/* The work of another rank's writer. */
static gboolean
write_pieces (SwittiCheckpoints *self, const Snapshot *snapshot, GError **error)
{
  g_autofree char *partial = partial_path_of (self, snapshot->state.step);
  g_autofree char *training = g_build_filename (partial, "training", NULL);

  for (int i = 0; i < self->model->n_parts; i++)
    if (!write_part (self, snapshot, i, training, error))
      {
        switti_pieces_give_up (training);
        return FALSE;
      }
  return TRUE;
}

/* The writer's whole work. */
static gboolean
write_and_rename (SwittiCheckpoints *self, const Snapshot *snapshot, GError **error)
{
  g_autofree char *path = path_of (self, snapshot->state.step);
  g_autofree char *partial = partial_path_of (self, snapshot->state.step);
  gboolean good;

  good = write_checkpoint (self, snapshot, partial, error);
  if (good && g_file_test (path, G_FILE_TEST_EXISTS))
    remove_checkpoint (self, path);
  if (good && g_rename (partial, path) != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), path,
                   g_strerror (errno));
      good = FALSE;
    }
  if (!good)
    {
      switti_folder_remove (partial);
      return FALSE;
    }
  switti_file_flush (self->folder, NULL);
  link_latest (self, path);
  remove_old (self);
  return TRUE;
}

static gpointer
run_writer (gpointer data)
{
  SwittiCheckpoints *self = data;

  if (self->rank == 0)
    write_and_rename (self, self->snapshot, &self->failure);
  else
    write_pieces (self, self->snapshot, &self->failure);
  return NULL;
}

/* -- life ------------------------------------------------------------------------------------------------------ */

static void
remove_partial (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, PARTIAL_PREFIX))
      {
        g_autofree char *path = g_build_filename (folder, name, NULL);

        switti_folder_remove (path);
      }
}

SwittiCheckpoints *
switti_checkpoints_new (const SwittiTrainingModel *model, const SwittiTrainingOptions *options, GError **error)
{
  g_autoptr (SwittiCheckpoints) self = g_new0 (SwittiCheckpoints, 1);
  g_autoptr (GArray) steps = NULL;

  self->model = model;
  self->options = options;
  self->rank = switti_training_model_get_rank (model);
  self->n_pieces = switti_sharding_get_n_pieces (model->sharding);
  self->has_piece = self->rank == 0
                    || (self->n_pieces > 1 && switti_collective_get_rank (model->sharding->replicas) == 0);
  self->out = g_strdup (options->out);
  self->folder = g_build_filename (options->out, "checkpoints", NULL);
  if (!switti_folder_make (self->folder, error))
    return NULL;
  if (self->rank == 0)
    remove_partial (self->folder);
  steps = list_steps (self);
  if (steps->len > 0)
    self->newest = path_of (self, g_array_index (steps, gint64, steps->len - 1));
  return g_steal_pointer (&self);
}

static void
join (SwittiCheckpoints *self)
{
  if (self->writer == NULL)
    return;
  g_thread_join (g_steal_pointer (&self->writer));
  if (self->failure == NULL)
    {
      g_free (self->newest);
      self->newest = path_of (self, self->snapshot->state.step);
    }
  g_clear_pointer (&self->snapshot, snapshot_free);
}

void
switti_checkpoints_free (SwittiCheckpoints *self)
{
  if (self == NULL)
    return;
  join (self);
  g_clear_error (&self->failure);
  g_free (self->out);
  g_free (self->folder);
  g_free (self->newest);
  g_free (self);
}

gboolean
switti_checkpoints_wait (SwittiCheckpoints *self, GError **error)
{
  join (self);
  if (self->failure == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->failure));
  return FALSE;
}

/* The folder that all ranks write to, by the first one. */
static gboolean
make_partial (SwittiCheckpoints *self, gint64 step, GError **error)
{
  gboolean good = TRUE;

  if (self->rank == 0)
    {
      g_autofree char *partial = partial_path_of (self, step), *training = g_build_filename (partial, "training", NULL);

      switti_folder_remove (partial);
      good = switti_folder_make (training, error);
    }
  return self->model->sharding == NULL ? good
                                       : switti_collective_agree (self->model->sharding->ranks, good, error);
}

gboolean
switti_checkpoints_save (SwittiCheckpoints *self, const SwittiTrainingState *state, GError **error)
{
  g_autoptr (Snapshot) snapshot = NULL;

  if (!switti_checkpoints_wait (self, error) || !make_partial (self, state->step, error))
    return FALSE;
  snapshot = snapshot_new (self->model, state, error);
  if (self->model->sharding != NULL && !switti_collective_agree (self->model->sharding->ranks, snapshot != NULL, error))
    return FALSE;
  if (snapshot == NULL || (self->n_pieces > 1 && !gather (self, snapshot, error)))
    return FALSE;
  if (!self->has_piece)
    return TRUE;
  self->snapshot = g_steal_pointer (&snapshot);
  self->writer = g_thread_new ("checkpoint", run_writer, self);
  return TRUE;
}

const char *
switti_checkpoints_get_newest (SwittiCheckpoints *self)
{
  return self->newest;
}
