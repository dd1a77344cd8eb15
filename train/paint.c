/* paint.c - contact sheets of a model
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-error.h"
#include "switti-generator.h"
#include "train.h"

#include <glib/gi18n.h>
#include <string.h>

#define MAX_FILE_BYTES ((gsize) 1 << 20)

char **
train_read_prompts (const char *path, GError **error)
{
  g_autoptr (GMappedFile) file = NULL;
  g_autoptr (GError) reason = NULL;
  g_autoptr (GPtrArray) prompts = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  file = g_mapped_file_new (path, FALSE, &reason);
  if (file == NULL || g_mapped_file_get_length (file) > MAX_FILE_BYTES)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("The prompts in “%s” could not be read: %s."), path,
                   file == NULL ? reason->message : _ ("it has more than 1 MiB"));
      return NULL;
    }
  text = g_strndup (g_mapped_file_get_contents (file), g_mapped_file_get_length (file));
  if (!g_utf8_validate (text, -1, NULL))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("The prompts in “%s” are not UTF-8."), path);
      return NULL;
    }
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    if (*g_strstrip (*line) != '\0' && **line != '#')
      g_ptr_array_add (prompts, g_strdup (*line));
  if (prompts->len == 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("There is no prompt in “%s”: write one in each line."), path);
      return NULL;
    }
  g_ptr_array_add (prompts, NULL);
  return (char **) g_ptr_array_steal (prompts, NULL);
}

static gboolean
paint_prompt (const TrainPainting *painting, SwittiGenerator *generator, int prompt, SwittiSheet *sheet,
              GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiRequest) request = switti_request_new (switti_generator_get_bundle (generator));
  g_autoptr (GPtrArray) images = NULL;

  if (painting->parameters != NULL)
    cli_parameters_apply (painting->parameters, request);
  g_object_set (request, "prompt", painting->prompts[prompt], "seed", painting->seed, "count", painting->n_seeds, NULL);
  images = switti_generator_generate (generator, request, cancellable, NULL, NULL, error);
  if (images == NULL)
    return FALSE;
  for (guint i = 0; i < images->len; i++)
    switti_sheet_place (sheet, prompt * painting->n_seeds + (int) i,
                        g_bytes_get_data (switti_image_get_pixels (images->pdata[i]), NULL),
                        painting->prompts[prompt]);
  return TRUE;
}

SwittiSheet *
train_paint (const TrainPainting *painting, GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (painting->model, error);
  g_autoptr (SwittiGenerator) generator = NULL;
  g_autoptr (SwittiSheet) sheet = NULL;
  const int n_prompts = (int) g_strv_length (painting->prompts);
  const int columns = painting->columns > 0   ? painting->columns
                      : painting->n_seeds > 1 ? painting->n_seeds
                                              : 0;

  if (bundle == NULL)
    return NULL;
  sheet = switti_sheet_new (n_prompts * painting->n_seeds, columns, switti_bundle_get_resolution (bundle), TRUE, error);
  if (sheet == NULL)
    return NULL;
  generator = switti_generator_new_with_memory (bundle, painting->device, SWITTI_PRECISION_AUTO, painting->memory,
                                                cancellable, error);
  if (generator == NULL)
    return NULL;
  for (int i = 0; i < n_prompts; i++)
    {
      if (!paint_prompt (painting, generator, i, sheet, cancellable, error))
        return NULL;
      cli_progress_show ((double) (i + 1) / n_prompts, painting->prompts[i]);
    }
  cli_progress_hide ();
  return g_steal_pointer (&sheet);
}
