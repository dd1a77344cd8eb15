/* switti-settings.c - the procedure's arguments: how they are declared, read and turned into a request
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-settings.h"

#include <glib/gi18n.h>
#include <json-glib/json-glib.h>

/* The largest seed: PDB integers have 32 bits and its doubles hold every integer up to 2^53 exactly. */
#define MAX_SEED 9007199254740992.0

/* A seed that was drawn is short enough to be read out and typed again. */
#define MAX_RANDOM_SEED G_MAXINT32

#define MAX_SCALE 64

const SwittiKnob switti_knobs[SWITTI_N_KNOBS] = {
  [SWITTI_KNOB_GUIDANCE] = {
    "guidance", N_ ("Gu_idance"),
    N_ ("How strongly the picture follows the prompt: strength of classifier-free guidance at the last scale; "
        "0: none; -1: the model's default"),
    FALSE, 100.0 },
  [SWITTI_KNOB_TOP_K] = {
    "top-k", N_ ("Top-_k"),
    N_ ("How many of the most likely codes to draw from; 0: all; -1: the model's default"),
    TRUE, 65536.0 },
  [SWITTI_KNOB_TOP_P] = {
    "top-p", N_ ("Top-p"),
    N_ ("Share of probability, 0 to 1, that the codes to draw from make up together; 0: no limit; "
        "-1: the model's default"),
    FALSE, 1.0 },
  [SWITTI_KNOB_SMOOTH_START] = {
    "smooth-start", N_ ("S_mooth from scale"),
    N_ ("First scale, counted from 0, whose codes are blended in smooth sampling; -1: the model's default"),
    TRUE, MAX_SCALE },
  [SWITTI_KNOB_GUIDANCE_START] = {
    "guidance-start", N_ ("Guide _from scale"),
    N_ ("First scale, counted from 0, with guidance; -1: the model's default"),
    TRUE, MAX_SCALE },
  [SWITTI_KNOB_GUIDANCE_END] = {
    "guidance-end", N_ ("Guide until scale"),
    N_ ("First scale, counted from 0, without guidance again; the number of scales: guided to the end; "
        "-1: the model's default"),
    TRUE, MAX_SCALE },
  [SWITTI_KNOB_LAST_SCALE_TEMPERATURE] = {
    "last-scale-temperature", N_ ("Last-scale _temperature"),
    N_ ("Temperature of the scales after guidance ends: lower is cleaner, higher is more varied; 0: off; "
        "-1: the model's default"),
    FALSE, 10.0 },
};

static void
declare_what (GimpProcedure *procedure)
{
  gimp_procedure_add_string_argument (procedure, "prompt", _ ("_Prompt"),
                                      _ ("Words that say what to paint, in the language the model was trained on"), "",
                                      G_PARAM_READWRITE);
  gimp_procedure_add_string_argument (procedure, "negative-prompt", _ ("_Negative prompt"),
                                      _ ("Words that say what to keep away from; may be empty"), "",
                                      G_PARAM_READWRITE);
  gimp_procedure_add_string_argument (procedure, "model", _ ("Mo_del"),
                                      _ ("Name of an installed model or path of a model folder; empty: the default "
                                         "model"),
                                      "", G_PARAM_READWRITE);
  gimp_procedure_add_double_argument (procedure, "seed", _ ("S_eed"),
                                      _ ("Whole number that the picture depends on, up to 2^53; the picture i of "
                                         "several has seed + i; -1: a random one"),
                                      -1.0, MAX_SEED, -1.0, G_PARAM_READWRITE);
  gimp_procedure_add_int_argument (procedure, "count", _ ("N_umber of pictures"),
                                   _ ("How many pictures to paint, each in a layer"), 1, 64, 1, G_PARAM_READWRITE);
  gimp_procedure_add_choice_argument (
    procedure, "output", _ ("_Output"), _ ("Where the pictures go"),
    gimp_choice_new_with_values (
      "auto", SWITTI_OUTPUT_AUTO, _ ("Layer of the open image, if any"),
      _ ("Layers of the open image, or a new image where none is open"),
      "new-image", SWITTI_OUTPUT_NEW_IMAGE, _ ("New image"), _ ("A new image"),
      "new-layer", SWITTI_OUTPUT_NEW_LAYER, _ ("New layer"), _ ("Layers of the open image, at the selection"),
      "layer-group", SWITTI_OUTPUT_LAYER_GROUP, _ ("Layer group"),
      _ ("One group with all pictures, of which the first is visible"), NULL),
    "auto", G_PARAM_READWRITE);
}

static void
declare_sampling (GimpProcedure *procedure)
{
  gimp_procedure_add_choice_argument (
    procedure, "smooth", _ ("Smooth sampling"), _ ("Blend codes on the scales with guidance, for calmer pictures"),
    gimp_choice_new_with_values ("default", -1, _ ("Model's default"), _ ("What the model's authors chose"),
                                 "on", 1, _ ("On"), _ ("Blend codes"),
                                 "off", 0, _ ("Off"), _ ("Draw single codes"), NULL),
    "default", G_PARAM_READWRITE);
  for (int i = 0; i < SWITTI_N_KNOBS; i++)
    {
      const SwittiKnob *knob = &switti_knobs[i];

      if (knob->is_integer)
        gimp_procedure_add_int_argument (procedure, knob->name, _ (knob->nick), _ (knob->blurb), -1,
                                         (int) knob->maximum, -1, G_PARAM_READWRITE);
      else
        gimp_procedure_add_double_argument (procedure, knob->name, _ (knob->nick), _ (knob->blurb), -1.0, knob->maximum,
                                            -1.0, G_PARAM_READWRITE);
    }
}

static void
declare_how (GimpProcedure *procedure)
{
  gimp_procedure_add_int_argument (procedure, "batch", _ ("_At once"),
                                   _ ("How many pictures to paint at once; the pictures are the same, only memory and "
                                      "time differ; 0: as many as fit"),
                                   0, 64, 0, G_PARAM_READWRITE);
  gimp_procedure_add_string_argument (procedure, "device", _ ("De_vice"),
                                      _ ("Where to compute: auto, cpu, cuda, or cuda:N for the GPU number N"), "auto",
                                      G_PARAM_READWRITE);
  gimp_procedure_add_choice_argument (
    procedure, "precision", _ ("Precision"), _ ("What to compute in"),
    gimp_choice_new_with_values ("auto", SWITTI_PRECISION_AUTO, _ ("Automatic"), _ ("What the device is faster in"),
                                 "f32", SWITTI_PRECISION_F32, _ ("32 bits"), _ ("float32 all through"),
                                 "bf16", SWITTI_PRECISION_BF16, _ ("16 bits"), _ ("bfloat16 with float32 statistics"),
                                 NULL),
    "auto", G_PARAM_READWRITE);
  gimp_procedure_add_choice_argument (
    procedure, "memory", _ ("Memory"),
    _ ("How much of the device's memory to take; the pictures are the same, only memory and time differ"),
    gimp_choice_new_with_values ("auto", SWITTI_MEMORY_AUTO, _ ("Automatic"),
                                 _ ("All of the model stays on the device where it fits"),
                                 "low", SWITTI_MEMORY_LOW, _ ("Little"),
                                 _ ("Parts of the model come when they are needed, for a GPU of little memory"), NULL),
    "auto", G_PARAM_READWRITE);
}

void
switti_settings_declare_arguments (GimpProcedure *procedure)
{
  declare_what (procedure);
  switti_start_declare_arguments (procedure);
  declare_sampling (procedure);
  declare_how (procedure);
}

/* A knob is an int or a double in the config, as in the request. */
static double
get_knob (GimpProcedureConfig *config, const SwittiKnob *knob)
{
  double value;
  int integer;

  if (!knob->is_integer)
    {
      g_object_get (config, knob->name, &value, NULL);
      return value;
    }
  g_object_get (config, knob->name, &integer, NULL);
  return integer;
}

static char *
dup_text (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_dup_string (node) : NULL;
}

/* What the arguments leave open and is not the request's is as the recipe says, where that can be had here. */
static void
take_runtime (SwittiSettings *self)
{
  g_autoptr (JsonNode) root = json_from_string (self->start.recipe, NULL);
  g_autofree char *model = dup_text (json_node_get_object (root), "model");
  g_autofree char *precision = dup_text (json_node_get_object (root), "precision");
  g_auto (GStrv) installed = switti_bundle_list ();

  if (self->model == NULL && model && g_strv_contains ((const char *const *) installed, model))
    self->model = g_steal_pointer (&model);
  if (self->precision == SWITTI_PRECISION_AUTO && precision)
    self->precision = g_str_equal (precision, "bf16") ? SWITTI_PRECISION_BF16 : SWITTI_PRECISION_F32;
}

/* The prompt and the seed, where the arguments leave them open. */
static void
take_recipe (SwittiSettings *self, gboolean seed_is_open)
{
  g_autoptr (SwittiRequest) request = switti_request_new (NULL);
  g_autofree char *prompt = NULL;
  guint64 seed;

  switti_request_apply_json (request, self->start.recipe, NULL);
  g_object_get (request, "prompt", &prompt, "seed", &seed, NULL);
  if (!*self->prompt)
    {
      g_free (self->prompt);
      self->prompt = g_strdup (prompt);
    }
  if (seed_is_open)
    self->seed = seed;
  take_runtime (self);
}

SwittiSettings *
switti_settings_new (GimpProcedureConfig *config)
{
  SwittiSettings *self = g_atomic_rc_box_new0 (SwittiSettings);
  double seed;

  g_object_get (config, "prompt", &self->prompt, "negative-prompt", &self->negative_prompt, "model", &self->model,
                "device", &self->device, "seed", &seed, "count", &self->count, "batch", &self->batch, NULL);
  /* An empty string comes from Python as NULL. */
  self->prompt = g_strstrip (self->prompt ? self->prompt : g_strdup (""));
  if (!self->negative_prompt)
    self->negative_prompt = g_strdup ("");
  if (!self->device || !*self->device)
    {
      g_free (self->device);
      self->device = g_strdup ("auto");
    }
  if (self->model && !*self->model)
    g_clear_pointer (&self->model, g_free);
  self->seed = seed < 0.0 ? (guint64) g_random_int_range (0, MAX_RANDOM_SEED) : (guint64) seed;

  self->smooth = gimp_procedure_config_get_choice_id (config, "smooth");
  self->precision = (SwittiPrecision) gimp_procedure_config_get_choice_id (config, "precision");
  self->memory = (SwittiMemory) gimp_procedure_config_get_choice_id (config, "memory");
  self->output = (SwittiOutput) gimp_procedure_config_get_choice_id (config, "output");
  for (int i = 0; i < SWITTI_N_KNOBS; i++)
    self->knobs[i] = get_knob (config, &switti_knobs[i]);
  switti_start_init (&self->start, config, &self->recipe_error);
  if (self->start.recipe)
    take_recipe (self, seed < 0.0);
  return self;
}

SwittiSettings *
switti_settings_ref (SwittiSettings *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
clear (gpointer data)
{
  SwittiSettings *self = data;

  g_free (self->prompt);
  g_free (self->negative_prompt);
  g_free (self->model);
  g_free (self->device);
  switti_start_clear (&self->start);
  g_clear_error (&self->recipe_error);
}

void
switti_settings_unref (SwittiSettings *self)
{
  g_atomic_rc_box_release_full (self, clear);
}

gboolean
switti_settings_check (const SwittiSettings *self, gboolean image_is_open, GError **error)
{
  if (self->recipe_error)
    {
      g_propagate_error (error, g_error_copy (self->recipe_error));
      return FALSE;
    }
  if (!*self->prompt && self->start.recipe == NULL)
    {
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                           _ ("The prompt is empty; write in a few words what to paint."));
      return FALSE;
    }
  if (self->start.mode != SWITTI_MODE_NEW && !image_is_open)
    {
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                           _ ("No image is open to start from; open one, or choose to paint a new picture."));
      return FALSE;
    }
  if (self->output == SWITTI_OUTPUT_NEW_LAYER && !image_is_open)
    {
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                           _ ("No image is open to add a layer to; open one, or choose a new image as the output."));
      return FALSE;
    }
  return TRUE;
}

SwittiRequest *
switti_settings_to_request (const SwittiSettings *self, SwittiBundle *bundle)
{
  SwittiRequest *request = switti_request_new (bundle);

  /* It was read when the settings were made. */
  if (self->start.recipe)
    switti_request_apply_json (request, self->start.recipe, NULL);
  if (*self->negative_prompt || self->start.recipe == NULL)
    g_object_set (request, "negative-prompt", self->negative_prompt, NULL);
  g_object_set (request, "prompt", self->prompt, "seed", self->seed, "count", self->count, "batch", self->batch, NULL);
  if (self->start.mode != SWITTI_MODE_NEW)
    g_object_set (request, "source", NULL, "mask", NULL, "keep-scales",
                  switti_start_keep_scales (&self->start, switti_bundle_get_n_scales (bundle)), NULL);
  if (self->smooth >= 0)
    g_object_set (request, "smooth", self->smooth, NULL);
  for (int i = 0; i < SWITTI_N_KNOBS; i++)
    {
      const SwittiKnob *knob = &switti_knobs[i];

      if (self->knobs[i] < 0.0)
        continue;
      if (knob->is_integer)
        g_object_set (request, knob->name, (int) self->knobs[i], NULL);
      else
        g_object_set (request, knob->name, self->knobs[i], NULL);
    }
  return request;
}
