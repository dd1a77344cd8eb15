/* switti-training-pieces.c - a training's state in pieces, a file for each rank that has one
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-training-pieces-private.h"

#include "switti-error.h"
#include "switti-safetensors-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define GIVEN_UP "given-up"
#define POLL_MICROSECONDS 20000

char *
switti_pieces_file_name (const SwittiTrainingModel *model, int part, int piece, int n_pieces)
{
  const char *name = switti_training_model_get_part_name (model, part);

  if (n_pieces == 1)
    return g_strconcat (name, ".safetensors", NULL);
  return g_strdup_printf ("%s-%05d-of-%05d.safetensors", name, piece + 1, n_pieces);
}

void
switti_pieces_append_views (SwittiParameters *parameters, const char *prefix, float *flat, GPtrArray *names,
                            GArray *tensors)
{
  for (guint i = 0; i < switti_parameters_get_n (parameters); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (parameters, i);
      SwittiTensor tensor = { .dtype = SWITTI_DTYPE_F32, .n_dims = 1 };
      gsize first, n, local;

      switti_parameters_get_piece (parameters, parameter, &first, &n, &local);
      if (n == 0)
        continue;
      tensor.dims[0] = (gint64) n;
      tensor.data = flat + local;
      g_ptr_array_add (names, g_strdup_printf ("%s%s:%" G_GSIZE_FORMAT, prefix, parameter->name, first));
      g_array_append_val (tensors, tensor);
    }
}

/* -- waiting for other ranks ------------------------------------------------------------------------------------ */

void
switti_pieces_give_up (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, GIVEN_UP, NULL);

  g_file_set_contents (path, "", 0, NULL);
}

static gboolean
are_there (const SwittiTrainingModel *model, int n_pieces, const char *folder)
{
  for (int part = 0; part < model->n_parts; part++)
    for (int piece = 0; piece < n_pieces; piece++)
      {
        g_autofree char *name = switti_pieces_file_name (model, part, piece, n_pieces);
        g_autofree char *path = g_build_filename (folder, name, NULL);

        if (!g_file_test (path, G_FILE_TEST_EXISTS))
          return FALSE;
      }
  return TRUE;
}

/* Files get their names when they are whole. */
gboolean
switti_pieces_wait (const SwittiTrainingModel *model, int n_pieces, const char *folder, GError **error)
{
  g_autofree char *given_up = g_build_filename (folder, GIVEN_UP, NULL);

  while (!are_there (model, n_pieces, folder))
    {
      if (g_file_test (given_up, G_FILE_TEST_EXISTS))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                       _ ("Another rank could not write its piece of “%s”; it says why."), folder);
          return FALSE;
        }
      g_usleep (POLL_MICROSECONDS);
    }
  return TRUE;
}

/* -- reading --------------------------------------------------------------------------------------------------- */

gboolean
switti_pieces_upload (SwittiParameters *parameters, const SwittiParameter *parameter, gsize first, gsize count,
                      const float *values, float *flat, GError **error)
{
  gsize mine, n, local, from, to;

  switti_parameters_get_piece (parameters, parameter, &mine, &n, &local);
  from = MAX (first, mine);
  to = MIN (first + count, mine + n);
  if (from < to)
    SWITTI_RUN (switti_parameters_get_device (parameters), upload, flat + local + (from - mine),
                values + (from - first), (to - from) * sizeof (float));
  return TRUE;
}

/* One of the arrays that a part's state has. */
typedef struct
{
  const char *prefix; /* in the file */
  float *flat;        /* NULL: not wanted */
  gsize *found;       /* (parameters): elements that were in the files so far */
} Array;

/* "<prefix><parameter>:<first>". NULL where the parameter is not one of the model's, or the name is of another
 * array. */
static const SwittiParameter *
parse_name (SwittiParameters *parameters, const char *prefix, const char *name, guint64 *first)
{
  const char *bare = g_str_has_prefix (name, prefix) ? name + strlen (prefix) : NULL;
  const char *colon = bare != NULL ? strrchr (bare, ':') : NULL;
  g_autofree char *parameter = NULL;

  if (colon == NULL || !g_ascii_string_to_unsigned (colon + 1, 10, 0, G_MAXINT64, first, NULL))
    return NULL;
  parameter = g_strndup (bare, (gsize) (colon - bare));
  return switti_parameters_find (parameters, parameter);
}

static guint
index_of (SwittiParameters *parameters, const SwittiParameter *parameter)
{
  return (guint) (parameter - switti_parameters_get (parameters, 0));
}

/* One tensor of a file, where it is of this array. */
static gboolean
take_tensor (SwittiParameters *parameters, Array *array, const char *name, const SwittiTensor *tensor, GError **error)
{
  guint64 first;
  const SwittiParameter *parameter = parse_name (parameters, array->prefix, name, &first);
  gsize count, n;

  if (parameter == NULL || array->flat == NULL || tensor->dtype != SWITTI_DTYPE_F32
      || !switti_shape_count (tensor->n_dims, tensor->dims, &count) || first >= parameter->count)
    return TRUE;
  /* Of a parameter with more scales than the model has, the rest is left out. */
  n = MIN (count, parameter->count - (gsize) first);
  array->found[index_of (parameters, parameter)] += n;
  return switti_pieces_upload (parameters, parameter, (gsize) first, n, tensor->data, array->flat, error);
}

static gboolean
take_file (SwittiParameters *parameters, Array *arrays, gsize n_arrays, const char *path, GError **error)
{
  g_autoptr (SwittiSafetensors) file = switti_safetensors_open (path, error);

  if (file == NULL)
    return FALSE;
  for (const char *const *name = switti_safetensors_list (file); *name != NULL; name++)
    for (gsize i = 0; i < n_arrays; i++)
      {
        SwittiTensor tensor;

        if (switti_safetensors_lookup (file, *name, &tensor)
            && !take_tensor (parameters, &arrays[i], *name, &tensor, error))
          return FALSE;
      }
  return TRUE;
}

/* Nothing is missing, but for scales that the checkpoint did not have. */
static gboolean
check_whole (SwittiParameters *parameters, const Array *array, const char *folder, GError **error)
{
  for (guint i = 0; array->flat != NULL && i < switti_parameters_get_n (parameters); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (parameters, i);

      if (array->found[i] != parameter->count
          && (strcmp (parameter->name, "lvl_embed.weight") != 0 || array->found[i] == 0))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("The checkpoint “%s” has %zu elements of “%s%s” where the model has %zu: give the "
                          "options that it was made with, or begin from its weights with "
                          "--init."),
                       folder, array->found[i], array->prefix, parameter->name, parameter->count);
          return FALSE;
        }
    }
  return TRUE;
}

gboolean
switti_pieces_load (SwittiTrainingModel *model, int part, int n_pieces, const char *folder, gboolean has_average,
                    GError **error)
{
  SwittiParameters *parameters = model->parameters[part];
  SwittiOptimizer *optimizer = model->optimizers[part];
  const gsize n = switti_parameters_get_n (parameters);
  g_autofree gsize *found = g_new0 (gsize, 4 * n);
  Array arrays[] = {
    { "parameter.", switti_parameters_get_values (parameters), found },
    { "first_moment.", switti_optimizer_get_first_moment (optimizer), found + n },
    { "second_moment.", switti_optimizer_get_second_moment (optimizer), found + 2 * n },
    /* An average that begins with the resumed run begins at its weights. */
    { has_average ? "average." : "parameter.", switti_optimizer_get_average (optimizer), found + 3 * n },
  };

  for (int piece = 0; piece < n_pieces; piece++)
    {
      g_autofree char *name = switti_pieces_file_name (model, part, piece, n_pieces);
      g_autofree char *path = g_build_filename (folder, "training", name, NULL);

      if (!take_file (parameters, arrays, G_N_ELEMENTS (arrays), path, error))
        return FALSE;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (arrays); i++)
    if (!check_whole (parameters, &arrays[i], folder, error))
      return FALSE;
  return switti_parameters_refresh (parameters, error);
}
