/* switti-start.c - the arguments that say what a painting starts from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-start.h"

#include "switti-canvas.h"
#include "switti-recipe-private.h"

#include <glib/gi18n.h>
#include <math.h>

#define MAX_SCALE 64
#define MAX_GROW 1000
#define MAX_FEATHER 1000.0
#define MAX_CONTEXT 400.0

/* Enough to hide that what is painted is less sharp than a photograph. */
#define DEFAULT_FEATHER 4.0
#define DEFAULT_CONTEXT 50.0

/* Shares of the scales. Their sides grow by about the same factor from one to the next, so that a share is a size: the
 * kept part is a picture of some 2, 3, 5 and 8 positions a side. */
static const double strength_shares[] = {
  [SWITTI_STRENGTH_DETAIL] = 0.7,
  [SWITTI_STRENGTH_COMPOSITION] = 0.5,
  [SWITTI_STRENGTH_LAYOUT] = 0.3,
  [SWITTI_STRENGTH_IDEA] = 0.15,
  [SWITTI_STRENGTH_ANEW] = 0,
};

static GimpChoice *
new_modes (void)
{
  return gimp_choice_new_with_values (
    "new", SWITTI_MODE_NEW, _ ("New picture"), _ ("Paint from words alone"),
    "fill", SWITTI_MODE_FILL, _ ("Fill the selection"), _ ("Paint within the selection what fits what is around it"),
    "variation", SWITTI_MODE_VARIATION, _ ("Vary the layer"), _ ("Keep what is coarse in the layer, repaint the rest"),
    NULL);
}

static GimpChoice *
new_strengths (void)
{
  return gimp_choice_new_with_values (
    "default", SWITTI_STRENGTH_DEFAULT, _ ("Default"), _ ("Same composition in a variation, all new in a filling"),
    "detail", SWITTI_STRENGTH_DETAIL, _ ("Only the detail is new"), _ ("Keep all but the finest scales"),
    "composition", SWITTI_STRENGTH_COMPOSITION, _ ("Same composition"), _ ("Keep shapes and colours"),
    "layout", SWITTI_STRENGTH_LAYOUT, _ ("Similar layout"), _ ("Keep where what is"),
    "idea", SWITTI_STRENGTH_IDEA, _ ("Same idea"), _ ("Keep the main colours alone"),
    "anew", SWITTI_STRENGTH_ANEW, _ ("All new"), _ ("Keep nothing"), NULL);
}

static void
declare_filling (GimpProcedure *procedure)
{
  gimp_procedure_add_int_argument (procedure, "grow", _ ("_Grow selection"),
                                   _ ("Pixels by which the selection is grown before it is filled; below 0: shrunk"),
                                   -MAX_GROW, MAX_GROW, 0, G_PARAM_READWRITE);
  gimp_procedure_add_double_argument (procedure, "feather", _ ("Fea_ther"),
                                      _ ("Pixels over which the filling fades out, inwards from the selection's edge"),
                                      0.0, MAX_FEATHER, DEFAULT_FEATHER, G_PARAM_READWRITE);
  gimp_procedure_add_double_argument (procedure, "context", _ ("Conte_xt"),
                                      _ ("How much of the image around the selection the model sees, in percent of "
                                         "the selection's longer side, on each side"),
                                      0.0, MAX_CONTEXT, DEFAULT_CONTEXT, G_PARAM_READWRITE);
}

void
switti_start_declare_arguments (GimpProcedure *procedure)
{
  gimp_procedure_add_choice_argument (procedure, "mode", _ ("M_ode"), _ ("What the painting starts from"), new_modes (),
                                      "new", G_PARAM_READWRITE);
  gimp_procedure_add_choice_argument (procedure, "strength", _ ("Stren_gth"),
                                      _ ("How much of what is there is kept, when a layer is varied or a selection is "
                                         "filled"),
                                      new_strengths (), "default", G_PARAM_READWRITE);
  gimp_procedure_add_int_argument (procedure, "keep-scales", _ ("_Keep scales"),
                                   _ ("How many scales to keep, the coarsest first, in place of a strength; 0: none; "
                                      "the model's number of scales: all; -1: as the strength says"),
                                   -1, MAX_SCALE, -1, G_PARAM_READWRITE);
  declare_filling (procedure);
  gimp_procedure_add_file_argument (procedure, "recipe-file", _ ("_Recipe file"),
                                    _ ("A PNG of Switti's, or a recipe as a JSON file, to take the settings from that "
                                       "other arguments leave open"),
                                    GIMP_FILE_CHOOSER_ACTION_OPEN, TRUE, NULL, G_PARAM_READWRITE);
  gimp_procedure_add_layer_argument (procedure, "recipe-layer", _ ("Recipe la_yer"),
                                     _ ("A layer that Switti painted, to take the settings from that other arguments "
                                        "leave open"),
                                     TRUE, G_PARAM_READWRITE);
}

/* -- reading ---------------------------------------------------------------------------------------------------- */

static char *
load_recipe_file (GFile *file, GError **error)
{
  g_autofree char *path = g_file_get_path (file);

  if (path)
    return switti_recipe_load (path, error);
  g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("The recipe must be a file on this computer."));
  return NULL;
}

/* The recipe that the arguments name, or NULL, with @error set where there is one that cannot be read. */
static char *
load_recipe (SwittiStart *self, GimpProcedureConfig *config, GError **error)
{
  g_autoptr (GFile) file = NULL;
  g_autoptr (GimpLayer) layer = NULL;
  char *recipe;

  g_object_get (config, "recipe-file", &file, "recipe-layer", &layer, NULL);
  if (file)
    {
      self->recipe_file = g_file_get_path (file);
      return load_recipe_file (file, error);
    }
  if (layer == NULL)
    return NULL;
  recipe = switti_canvas_get_recipe (GIMP_ITEM (layer));
  if (recipe == NULL)
    g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                         _ ("The layer to take the settings from has no recipe; choose one that Switti painted."));
  return recipe;
}

gboolean
switti_start_init (SwittiStart *self, GimpProcedureConfig *config, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (SwittiRequest) probe = NULL;

  g_object_get (config, "grow", &self->grow, "feather", &self->feather, "context", &self->context, "keep-scales",
                &self->keep_scales, NULL);
  self->mode = (SwittiMode) gimp_procedure_config_get_choice_id (config, "mode");
  self->strength = (SwittiStrength) gimp_procedure_config_get_choice_id (config, "strength");
  self->recipe = load_recipe (self, config, &local);
  if (self->recipe)
    {
      probe = switti_request_new (NULL);
      if (!switti_request_apply_json (probe, self->recipe, &local))
        g_clear_pointer (&self->recipe, g_free);
    }
  if (local == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

void
switti_start_clear (SwittiStart *self)
{
  g_clear_pointer (&self->recipe, g_free);
  g_clear_pointer (&self->recipe_file, g_free);
}

/* -- scales ----------------------------------------------------------------------------------------------------- */

int
switti_strength_keep_scales (SwittiStrength strength, SwittiMode mode, int n_scales)
{
  if (mode == SWITTI_MODE_NEW)
    return 0;
  if (strength == SWITTI_STRENGTH_DEFAULT)
    strength = mode == SWITTI_MODE_FILL ? SWITTI_STRENGTH_ANEW : SWITTI_STRENGTH_COMPOSITION;
  return (int) lrint (strength_shares[strength] * n_scales);
}

int
switti_start_keep_scales (const SwittiStart *self, int n_scales)
{
  if (self->mode != SWITTI_MODE_NEW && self->keep_scales >= 0)
    return self->keep_scales;
  return switti_strength_keep_scales (self->strength, self->mode, n_scales);
}
