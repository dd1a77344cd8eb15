/* switti-catalogue-private.h - the published models and where their parts are
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Read from data/catalogue.json, which is part of the library.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

enum
{
  SWITTI_CATALOGUE_TRANSFORMER,
  SWITTI_CATALOGUE_VAE,
  SWITTI_CATALOGUE_TEXT_ENCODER,
  SWITTI_CATALOGUE_TEXT_ENCODER_2,
  SWITTI_CATALOGUE_N_PARTS,
};

typedef struct
{
  const char *folder;  /* in the model's folder: "transformer", … */
  char *repository;    /* of the hub */
  guint64 parameters;  /* as published */
  char **weights;      /* names of files, the first that is there is taken */
  char *activation;    /* of a text encoder, or NULL */
  char *tokenizer;     /* the folder of the tokenizer that comes with it, or NULL */
  char *licence, *by;  /* the licence is "" where the repository stated none when the catalogue was made */
} SwittiCataloguePart;

typedef struct
{
  char *name, *title;
  int resolution;
  gboolean ar;
  SwittiCataloguePart parts[SWITTI_CATALOGUE_N_PARTS];
} SwittiCatalogueModel;

/* Names, NULL-terminated; (transfer full). */
char **switti_catalogue_list (void);
/* SWITTI_ERROR_MODEL_NOT_FOUND, with the names that there are. */
SwittiCatalogueModel *switti_catalogue_find (const char *name, GError **error);
void switti_catalogue_model_free (SwittiCatalogueModel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiCatalogueModel, switti_catalogue_model_free)

G_END_DECLS
