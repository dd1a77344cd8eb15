/* switti-new-models.c - ways to get a model: published ones to download, and checkpoints to import
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-new-models.h"

#include "switti-download-row.h"
#include "switti-download.h"
#include "switti-import-form.h"

#include <glib/gi18n-lib.h>

#define SPACING 6
#define LIST_HEIGHT 180

struct _SwittiNewModels
{
  GtkBox parent_instance;

  GPtrArray *rows; /* SwittiDownloadRow, not owned */
  GtkEntry *hub;
};

enum
{
  SIGNAL_INSTALLED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (SwittiNewModels, switti_new_models, GTK_TYPE_BOX)

static void
on_installed (SwittiNewModels *self)
{
  g_signal_emit (self, signals[SIGNAL_INSTALLED], 0);
}

static void
on_hub_changed (SwittiNewModels *self)
{
  for (guint i = 0; i < self->rows->len; i++)
    switti_download_row_set_hub (self->rows->pdata[i], gtk_entry_get_text (self->hub));
}

static GtkWidget *
new_list (SwittiNewModels *self)
{
  GtkWidget *scrolled = gtk_scrolled_window_new (NULL, NULL);
  GtkWidget *list = gtk_list_box_new ();
  g_auto (GStrv) names = switti_download_list ();

  gtk_list_box_set_selection_mode (GTK_LIST_BOX (list), GTK_SELECTION_NONE);
  atk_object_set_name (gtk_widget_get_accessible (list), _ ("Published models"));
  for (char **name = names; *name != NULL; name++)
    {
      GtkWidget *row = gtk_list_box_row_new ();
      GtkWidget *child = switti_download_row_new (*name);

      gtk_list_box_row_set_activatable (GTK_LIST_BOX_ROW (row), FALSE);
      atk_object_set_name (gtk_widget_get_accessible (row), *name);
      gtk_container_set_border_width (GTK_CONTAINER (child), SPACING);
      gtk_container_add (GTK_CONTAINER (row), child);
      gtk_container_add (GTK_CONTAINER (list), row);
      g_signal_connect_swapped (child, "installed", G_CALLBACK (on_installed), self);
      g_ptr_array_add (self->rows, child);
    }
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (scrolled), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  gtk_scrolled_window_set_shadow_type (GTK_SCROLLED_WINDOW (scrolled), GTK_SHADOW_IN);
  gtk_scrolled_window_set_min_content_height (GTK_SCROLLED_WINDOW (scrolled), LIST_HEIGHT);
  gtk_container_add (GTK_CONTAINER (scrolled), list);
  return scrolled;
}

static GtkWidget *
new_hub (SwittiNewModels *self)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);
  GtkWidget *label = gtk_label_new_with_mnemonic (_ ("_Mirror:"));
  const char *usual = g_getenv ("HF_ENDPOINT");

  self->hub = GTK_ENTRY (gtk_entry_new ());
  gtk_entry_set_placeholder_text (self->hub, usual != NULL && *usual != '\0' ? usual
                                                                             : _ ("Where the models were published"));
  gtk_label_set_mnemonic_widget (GTK_LABEL (label), GTK_WIDGET (self->hub));
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (self->hub)), _ ("Mirror"));
  g_signal_connect_swapped (self->hub, "changed", G_CALLBACK (on_hub_changed), self);
  gtk_box_pack_start (GTK_BOX (box), label, FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (box), GTK_WIDGET (self->hub), TRUE, TRUE, 0);
  return box;
}

static GtkWidget *
new_heading (const char *text)
{
  g_autofree char *markup = g_markup_printf_escaped ("<b>%s</b>", text);
  GtkWidget *label = gtk_label_new (NULL);

  gtk_label_set_markup (GTK_LABEL (label), markup);
  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  return label;
}

static void
finalize (GObject *object)
{
  g_ptr_array_unref (SWITTI_NEW_MODELS (object)->rows);
  G_OBJECT_CLASS (switti_new_models_parent_class)->finalize (object);
}

static void
switti_new_models_class_init (SwittiNewModelsClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = finalize;
  signals[SIGNAL_INSTALLED] = g_signal_new ("installed", SWITTI_TYPE_NEW_MODELS, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                            G_TYPE_NONE, 0);
}

static void
switti_new_models_init (SwittiNewModels *self)
{
  GtkBox *box = GTK_BOX (self);
  GtkWidget *expander = gtk_expander_new_with_mnemonic (_ ("_Import checkpoints that you have"));
  GtkWidget *form = switti_import_form_new ();

  gtk_orientable_set_orientation (GTK_ORIENTABLE (self), GTK_ORIENTATION_VERTICAL);
  gtk_box_set_spacing (box, SPACING);
  self->rows = g_ptr_array_new ();
  gtk_box_pack_start (box, new_heading (_ ("Published models")), FALSE, FALSE, 0);
  gtk_box_pack_start (box, new_list (self), TRUE, TRUE, 0);
  if (switti_download_is_supported ())
    gtk_box_pack_start (box, new_hub (self), FALSE, FALSE, 0);
  else
    gtk_box_pack_start (box, gtk_label_new (_ ("This build of Switti cannot download: it was made without libsoup.")),
                        FALSE, FALSE, 0);
  gtk_container_set_border_width (GTK_CONTAINER (form), SPACING);
  gtk_container_add (GTK_CONTAINER (expander), form);
  gtk_box_pack_start (box, expander, FALSE, FALSE, 0);
  g_signal_connect_swapped (form, "installed", G_CALLBACK (on_installed), self);
}

GtkWidget *
switti_new_models_new (void)
{
  return g_object_new (SWITTI_TYPE_NEW_MODELS, NULL);
}
