/* switti-download-row.c - a published model: what it is, its terms, and its download
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * It asks before it fetches: the first button shows the terms and another button, which agrees to them.
 */
#include "switti-build-config.h"

#include "switti-download-row.h"

#include "switti-download.h"

#include <glib/gi18n-lib.h>

#define SPACING 6
#define WIDTH_CHARS 60

struct _SwittiDownloadRow
{
  GtkBox parent_instance;

  SwittiDownload *download;
  GCancellable *cancellable; /* while it is fetching, or NULL */
  gint64 begin;              /* of the transfer, microseconds; 0 before its first bytes */
  guint64 done_at_begin;

  GtkLabel *numbers, *terms, *message;
  GtkButton *ask, *agree, *anew, *stop;
  GtkRevealer *revealer;
  GtkProgressBar *progress;
};

enum
{
  SIGNAL_INSTALLED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (SwittiDownloadRow, switti_download_row, GTK_TYPE_BOX)

/* -- what it shows --------------------------------------------------------------------------------------------- */

static void
say (SwittiDownloadRow *self, const char *message)
{
  gtk_label_set_text (self->message, message != NULL ? message : "");
  gtk_widget_set_visible (GTK_WIDGET (self->message), message != NULL && *message != '\0');
}

/* Takes over the name that a screen reader reads. */
static void
name_button (GtkButton *button, char *name)
{
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (button)), name);
  g_free (name);
}

static void
show_numbers (SwittiDownloadRow *self, guint64 kept, gboolean is_installed)
{
  g_autofree char *fetched = g_format_size (switti_download_get_fetched_bytes (self->download));
  g_autofree char *stored = g_format_size (switti_download_get_stored_bytes (self->download));
  g_autofree char *kept_text = g_format_size (kept);
  int side = switti_download_get_resolution (self->download);
  GString *text = g_string_new (NULL);

  /* Translators: width and height of pictures, then the sizes of a download: on the way, and on the disk. */
  g_string_printf (text, _ ("%d × %d pixels; %s to fetch, %s on the disk"), side, side, fetched, stored);
  if (is_installed)
    g_string_append_printf (text, "\n%s", _ ("Installed"));
  else if (kept > 0)
    {
      g_string_append_c (text, '\n');
      g_string_append_printf (text, _ ("%s on the disk are here from an earlier download, which can go on"), kept_text);
    }
  gtk_label_set_text (self->numbers, text->str);
  g_string_free (text, TRUE);
}

/* Brings all that is shown up to date. */
static void
update (SwittiDownloadRow *self)
{
  gboolean is_busy = self->cancellable != NULL, is_installed = switti_download_is_installed (self->download);
  guint64 kept = is_busy ? 0 : switti_download_get_kept_bytes (self->download);
  g_autofree char *terms = switti_download_get_licence (self->download);
  gboolean can_ask = !is_busy && !is_installed && switti_download_is_supported ();

  show_numbers (self, kept, is_installed);
  gtk_label_set_text (self->terms, terms);
  gtk_button_set_label (self->ask, kept > 0 ? _ ("Go On…") : _ ("Download…"));
  gtk_button_set_label (self->agree, kept > 0 ? _ ("Agree and Go On") : _ ("Agree and Download"));
  gtk_widget_set_visible (GTK_WIDGET (self->ask), can_ask);
  gtk_widget_set_visible (GTK_WIDGET (self->anew), can_ask && kept > 0);
  gtk_widget_set_visible (GTK_WIDGET (self->stop), is_busy);
  gtk_widget_set_visible (GTK_WIDGET (self->progress), is_busy);
  if (!can_ask)
    gtk_revealer_set_reveal_child (self->revealer, FALSE);
}

/* -- fetching -------------------------------------------------------------------------------------------------- */

/* A call's hold on its row, which may be gone before it. */
typedef struct
{
  GWeakRef row;
} Call;

static Call *
call_new (SwittiDownloadRow *self)
{
  Call *call = g_new0 (Call, 1);

  g_weak_ref_init (&call->row, self);
  return call;
}

static void
call_free (gpointer data)
{
  Call *call = data;

  g_weak_ref_clear (&call->row);
  g_free (call);
}

static void
on_progress (guint64 done, guint64 total, const char *words, gpointer data)
{
  Call *call = data;
  g_autoptr (SwittiDownloadRow) self = g_weak_ref_get (&call->row);
  g_autofree char *done_text = g_format_size (done), *total_text = g_format_size (total);
  g_autofree char *text = NULL;
  double seconds;

  if (self == NULL || self->cancellable == NULL)
    return;
  if (self->begin == 0)
    {
      self->begin = g_get_monotonic_time ();
      self->done_at_begin = done;
    }
  seconds = (double) (g_get_monotonic_time () - self->begin) / G_USEC_PER_SEC;
  if (seconds > 2 && done > self->done_at_begin)
    {
      double rate = (double) (done - self->done_at_begin) / seconds;
      g_autofree char *rate_text = g_format_size ((guint64) rate);
      int minutes = (int) ((double) (total - done) / rate / 60 + 0.5);

      /* Translators: bytes done, bytes in all, bytes a second, minutes left, and what is being fetched. */
      text = g_strdup_printf (_ ("%s of %s, %s/s, %d min left (%s)"), done_text, total_text, rate_text, minutes, words);
    }
  else
    text = g_strdup_printf (_ ("%s of %s (%s)"), done_text, total_text, words);
  gtk_progress_bar_set_fraction (self->progress, total > 0 ? (double) done / (double) total : 0);
  gtk_progress_bar_set_text (self->progress, text);
}

static void
on_done (GObject *object, GAsyncResult *result, gpointer data)
{
  Call *call = data;
  g_autoptr (SwittiDownloadRow) self = g_weak_ref_get (&call->row);
  g_autoptr (GError) error = NULL;
  gboolean good = switti_download_run_finish (SWITTI_DOWNLOAD (object), result, &error);

  call_free (call);
  if (self == NULL)
    return;
  g_clear_object (&self->cancellable);
  if (good)
    say (self, NULL);
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    say (self, _ ("Stopped; what has arrived is kept."));
  else
    say (self, error->message);
  update (self);
  if (good)
    g_signal_emit (self, signals[SIGNAL_INSTALLED], 0);
}

static void
begin (SwittiDownloadRow *self)
{
  if (self->cancellable != NULL)
    return;
  self->cancellable = g_cancellable_new ();
  self->begin = 0;
  gtk_progress_bar_set_fraction (self->progress, 0);
  gtk_progress_bar_set_text (self->progress, _ ("Asking the hub"));
  say (self, NULL);
  gtk_revealer_set_reveal_child (self->revealer, FALSE);
  update (self);
  gtk_widget_grab_focus (GTK_WIDGET (self->stop));
  switti_download_run_async (self->download, self->cancellable, on_progress, call_new (self), call_free, on_done,
                             call_new (self));
}

static void
ask (SwittiDownloadRow *self)
{
  gboolean shown = gtk_revealer_get_reveal_child (self->revealer);

  gtk_revealer_set_reveal_child (self->revealer, !shown);
  if (!shown)
    gtk_widget_grab_focus (GTK_WIDGET (self->agree));
}

static void
stop (SwittiDownloadRow *self)
{
  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
}

/* Forgets what an earlier download left. */
static void
start_anew (SwittiDownloadRow *self)
{
  g_autoptr (GError) error = NULL;

  say (self, switti_download_discard (self->download, &error) ? NULL : error->message);
  update (self);
}

/* -- building -------------------------------------------------------------------------------------------------- */

static GtkLabel *
new_text (gboolean dim)
{
  GtkWidget *label = gtk_label_new (NULL);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0);
  gtk_label_set_line_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_max_width_chars (GTK_LABEL (label), WIDTH_CHARS);
  gtk_label_set_selectable (GTK_LABEL (label), !dim);
  if (dim)
    gtk_style_context_add_class (gtk_widget_get_style_context (label), GTK_STYLE_CLASS_DIM_LABEL);
  return GTK_LABEL (label);
}

/* A button that update() shows and hides. */
static GtkButton *
new_button (SwittiDownloadRow *self, const char *label, GCallback clicked)
{
  GtkWidget *button = gtk_button_new_with_label (label);

  gtk_widget_set_no_show_all (button, TRUE);
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  g_signal_connect_swapped (button, "clicked", clicked, self);
  return GTK_BUTTON (button);
}

static GtkRevealer *
new_terms (SwittiDownloadRow *self)
{
  GtkWidget *revealer = gtk_revealer_new ();
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, SPACING);

  self->terms = new_text (FALSE);
  self->agree = GTK_BUTTON (gtk_button_new ());
  gtk_widget_set_halign (GTK_WIDGET (self->agree), GTK_ALIGN_START);
  g_signal_connect_swapped (self->agree, "clicked", G_CALLBACK (begin), self);
  gtk_box_pack_start (GTK_BOX (box), GTK_WIDGET (self->terms), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (box), GTK_WIDGET (self->agree), FALSE, FALSE, 0);
  gtk_container_add (GTK_CONTAINER (revealer), box);
  return GTK_REVEALER (revealer);
}

static void
dispose (GObject *object)
{
  SwittiDownloadRow *self = SWITTI_DOWNLOAD_ROW (object);

  stop (self);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->download);
  G_OBJECT_CLASS (switti_download_row_parent_class)->dispose (object);
}

static void
switti_download_row_class_init (SwittiDownloadRowClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = dispose;
  signals[SIGNAL_INSTALLED] = g_signal_new ("installed", SWITTI_TYPE_DOWNLOAD_ROW, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                            NULL, G_TYPE_NONE, 0);
}

static void
switti_download_row_init (SwittiDownloadRow *self)
{
  GtkWidget *message = GTK_WIDGET (self->message = new_text (FALSE));
  GtkWidget *progress = gtk_progress_bar_new ();

  gtk_orientable_set_orientation (GTK_ORIENTABLE (self), GTK_ORIENTATION_VERTICAL);
  gtk_box_set_spacing (GTK_BOX (self), SPACING);
  self->numbers = new_text (TRUE);
  self->progress = GTK_PROGRESS_BAR (progress);
  gtk_progress_bar_set_show_text (self->progress, TRUE);
  gtk_widget_set_no_show_all (progress, TRUE);
  gtk_widget_set_no_show_all (message, TRUE);
  atk_object_set_role (gtk_widget_get_accessible (message), ATK_ROLE_ALERT);
  self->ask = new_button (self, "", G_CALLBACK (ask));
  self->anew = new_button (self, _ ("Start Anew"), G_CALLBACK (start_anew));
  self->stop = new_button (self, _ ("Stop"), G_CALLBACK (stop));
  self->revealer = new_terms (self);
}

static void
build (SwittiDownloadRow *self)
{
  const char *title = switti_download_get_title (self->download);
  g_autofree char *markup = g_markup_printf_escaped ("<b>%s</b>  %s", title,
                                                     switti_download_get_name (self->download));
  GtkWidget *top = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, SPACING);
  GtkWidget *texts = gtk_box_new (GTK_ORIENTATION_VERTICAL, 2);
  GtkLabel *heading = new_text (FALSE);

  gtk_label_set_markup (heading, markup);
  gtk_box_pack_start (GTK_BOX (texts), GTK_WIDGET (heading), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (texts), GTK_WIDGET (self->numbers), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (top), texts, TRUE, TRUE, 0);
  gtk_box_pack_end (GTK_BOX (top), GTK_WIDGET (self->ask), FALSE, FALSE, 0);
  gtk_box_pack_end (GTK_BOX (top), GTK_WIDGET (self->anew), FALSE, FALSE, 0);
  gtk_box_pack_end (GTK_BOX (top), GTK_WIDGET (self->stop), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (self), top, FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (self), GTK_WIDGET (self->revealer), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (self), GTK_WIDGET (self->progress), FALSE, FALSE, 0);
  gtk_box_pack_start (GTK_BOX (self), GTK_WIDGET (self->message), FALSE, FALSE, 0);
  /* Translators: the names that screen readers read; a model's name. */
  name_button (self->ask, g_strdup_printf (_ ("Download %s"), title));
  name_button (self->agree, g_strdup_printf (_ ("Agree to the terms and download %s"), title));
  name_button (self->anew, g_strdup_printf (_ ("Forget what has arrived of %s"), title));
  name_button (self->stop, g_strdup_printf (_ ("Stop the download of %s"), title));
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (self->progress)), title);
}

GtkWidget *
switti_download_row_new (const char *name)
{
  SwittiDownloadRow *self = g_object_new (SWITTI_TYPE_DOWNLOAD_ROW, NULL);

  self->download = switti_download_new (name, NULL);
  g_assert (self->download != NULL);
  build (self);
  update (self);
  return GTK_WIDGET (self);
}

void
switti_download_row_set_hub (SwittiDownloadRow *self, const char *address)
{
  g_return_if_fail (SWITTI_IS_DOWNLOAD_ROW (self));

  if (self->cancellable == NULL)
    switti_download_set_hub (self->download, address);
}

gboolean
switti_download_row_is_busy (SwittiDownloadRow *self)
{
  g_return_val_if_fail (SWITTI_IS_DOWNLOAD_ROW (self), FALSE);

  return self->cancellable != NULL;
}
