/* switti-recipe-private.h - parameters to and from JSON
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-request-private.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef enum
{
  SWITTI_PARAMETER_STRING,  /* char * */
  SWITTI_PARAMETER_SEED,    /* guint64: a JSON number below 2^53, otherwise a string of digits */
  SWITTI_PARAMETER_INT,     /* int */
  SWITTI_PARAMETER_DOUBLE,  /* double */
  SWITTI_PARAMETER_BOOLEAN, /* gboolean */
} SwittiParameterKind;

/* One parameter: what it is called, where it is in SwittiParameters and what it may be with any model. */
typedef struct
{
  const char *property;  /* of SwittiRequest */
  const char *published; /* in recipes and model_index.json */
  SwittiParameterKind kind;
  gsize offset;
  double minimum, maximum;
  gboolean zero_is_off;  /* JSON null is read as 0 */
} SwittiParameterInfo;

#define SWITTI_N_PARAMETERS 15
extern const SwittiParameterInfo switti_parameter_info[SWITTI_N_PARAMETERS];

/* Sets what `object` names, the source and the mask too; on an error `parameters` is as it was. */
gboolean switti_recipe_read (JsonObject *object, SwittiParameters *parameters, GError **error);

/* Checks the ranges that hold for every model. */
gboolean switti_parameters_check (const SwittiParameters *parameters, GError **error);

/* The recipe of one image, seed + image_index; bundle may be NULL. */
JsonObject *switti_recipe_build (const SwittiParameters *parameters, SwittiBundle *bundle, int image_index);

/* Pretty-printed; free with g_free(). Takes over object. */
char *switti_recipe_to_string (JsonObject *object);

/* From a PNG that switti_image_save_png() wrote, or a JSON file; free with g_free(). */
char *switti_recipe_load (const char *path, GError **error);

void switti_parameters_copy (const SwittiParameters *from, SwittiParameters *to);
void switti_parameters_clear (SwittiParameters *parameters);

G_END_DECLS
