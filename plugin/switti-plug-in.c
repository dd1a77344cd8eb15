/* switti-plug-in.c - plug-in-switti: GIMP paints what a prompt says
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-capture.h"
#include "switti-dialog.h"
#include "switti-painting.h"
#include "switti-placing.h"
#include "switti-preferences.h"
#include "switti-settings.h"
#include "switti-spinning-private.h"

#include <glib/gi18n.h>
#include <libgimp/gimpui.h>

#define PROCEDURE "plug-in-switti"

#define SWITTI_TYPE_PLUG_IN (switti_plug_in_get_type ())
G_DECLARE_FINAL_TYPE (SwittiPlugIn, switti_plug_in, SWITTI, PLUG_IN, GimpPlugIn)

struct _SwittiPlugIn
{
  GimpPlugIn parent_instance;
};

G_DEFINE_FINAL_TYPE (SwittiPlugIn, switti_plug_in, GIMP_TYPE_PLUG_IN)

static GimpValueArray *
new_success (GimpProcedure *procedure, GimpImage *image, GPtrArray *layers)
{
  GimpValueArray *values = gimp_procedure_new_return_values (procedure, GIMP_PDB_SUCCESS, NULL);

  GIMP_VALUES_SET_IMAGE (values, 1, image);
  GIMP_VALUES_SET_CORE_OBJECT_ARRAY (values, 2, layers->pdata);
  return values;
}

static GPtrArray *
paint_at_once (GimpProcedureConfig *config, GimpRunMode run_mode, GimpImage **image, GimpDrawable **drawables,
               GError **error)
{
  g_autoptr (SwittiSettings) settings = switti_settings_new (config);
  g_autoptr (SwittiCapture) capture = NULL;
  g_autoptr (GPtrArray) pictures = NULL;

  if (!switti_settings_check (settings, *image != NULL, error))
    return NULL;
  capture = switti_capture_new (settings, *image, drawables, error);
  if (capture == NULL)
    return NULL;
  pictures = switti_painting_run (settings, capture, error);
  if (pictures == NULL)
    return NULL;
  return switti_placing_run (settings, capture, pictures, image, run_mode != GIMP_RUN_NONINTERACTIVE, error);
}

static GimpValueArray *
run_procedure (GimpProcedure *procedure, GimpRunMode run_mode, GimpImage *image, GimpDrawable **drawables,
               GimpProcedureConfig *config, gpointer run_data)
{
  g_autofree char *path = g_build_filename (gimp_directory (), "switti", "preferences.ini", NULL);
  g_autoptr (SwittiPreferences) preferences = switti_preferences_new (path);
  g_autoptr (GPtrArray) layers = NULL;
  GError *error = NULL;

  gegl_init (NULL, NULL);
  if (run_mode == GIMP_RUN_INTERACTIVE)
    {
      layers = switti_dialog_run (procedure, config, preferences, &image);
      if (!layers)
        return gimp_procedure_new_return_values (procedure, GIMP_PDB_CANCEL, NULL);
      return new_success (procedure, image, layers);
    }
  layers = paint_at_once (config, run_mode, &image, drawables, &error);
  if (!layers)
    return gimp_procedure_new_return_values (procedure, GIMP_PDB_EXECUTION_ERROR, error);
  return new_success (procedure, image, layers);
}

/* The help pages where they are installed, or in the source tree of a plug-in that is not. */
static void
set_help_domain (GimpPlugIn *plug_in)
{
  const char *folder = g_file_test (SWITTI_HELPDIR, G_FILE_TEST_IS_DIR) ? SWITTI_HELPDIR : SWITTI_BUILD_HELPDIR;
  g_autoptr (GFile) uri = g_file_new_for_path (folder);

  gimp_plug_in_set_help_domain (plug_in, PROCEDURE, uri);
}

static GList *
query_procedures (GimpPlugIn *plug_in)
{
  set_help_domain (plug_in);
  return g_list_append (NULL, g_strdup (PROCEDURE));
}

/* GIMP has no submenu of that name to translate for us: it makes one of the last part of the path, as it is. */
static void
add_to_menu (GimpProcedure *procedure)
{
  g_autofree char *path = g_build_path ("/", "<Image>/Filters", _ ("_Generate"), NULL);

  gimp_procedure_set_menu_label (procedure, _ ("_Switti…"));
  gimp_procedure_add_menu_path (procedure, path);
  gimp_procedure_set_icon_name (procedure, PROCEDURE);
}

static GimpProcedure *
create_procedure (GimpPlugIn *plug_in, const char *name)
{
  GimpProcedure *procedure;

  if (!g_str_equal (name, PROCEDURE))
    return NULL;
  procedure = gimp_image_procedure_new (plug_in, name, GIMP_PDB_PROC_TYPE_PLUGIN, run_procedure, NULL, NULL);
  gimp_procedure_set_image_types (procedure, "*");
  gimp_procedure_set_sensitivity_mask (procedure, GIMP_PROCEDURE_SENSITIVE_ALWAYS);
  add_to_menu (procedure);
  gimp_procedure_set_documentation (
      procedure, _ ("Paint what a prompt says"),
      _ ("Generates pictures from words with a scale-wise transformer, on this computer. The pictures become a new "
         "image, or layers of the open image: there they fill the selection and are masked by it. They may also start "
         "from what is there: fill a selection so that it fits what is around it, or vary a layer. Each layer carries "
         "its recipe, a JSON object with every parameter, as the parasite “plug-in-switti/recipe”."),
      PROCEDURE);
  gimp_procedure_set_attribution (procedure, "Switti for GIMP", "LGPL-3.0-or-later", "2026");
  switti_settings_declare_arguments (procedure);
  gimp_procedure_add_image_return_value (procedure, "image", _ ("Image"), _ ("The image that was painted into"), TRUE,
                                         G_PARAM_READWRITE);
  gimp_procedure_add_core_object_array_return_value (procedure, "layers", _ ("Layers"),
                                                     _ ("The new layers, one a picture, the first topmost"),
                                                     GIMP_TYPE_LAYER, G_PARAM_READWRITE);
  return procedure;
}

/* The catalogue of the library and its programs is the plug-in's too. */
static gboolean
set_i18n (GimpPlugIn *plug_in, const char *procedure_name, char **gettext_domain, char **catalog_dir)
{
  *gettext_domain = g_strdup (GETTEXT_PACKAGE);
  return TRUE;
}

static void
switti_plug_in_class_init (SwittiPlugInClass *klass)
{
  GimpPlugInClass *plug_in_class = GIMP_PLUG_IN_CLASS (klass);

  plug_in_class->query_procedures = query_procedures;
  plug_in_class->create_procedure = create_procedure;
  plug_in_class->set_i18n = set_i18n;
}

static void
switti_plug_in_init (SwittiPlugIn *self)
{
}

int
main (int argc, char *argv[])
{
  /* Not where GIMP, at its start, asks only what there is. */
  if (g_strv_contains ((const char *const *) argv, "-run"))
    switti_spin_briefly (argv);
  return gimp_main (SWITTI_TYPE_PLUG_IN, argc, argv);
}
