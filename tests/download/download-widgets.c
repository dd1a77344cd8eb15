/* download-widgets.c - the page of new models, on a display: download-widgets SCREENSHOT
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Downloads switti-512 from the hub of $HF_ENDPOINT as a user does: reads the terms, agrees, stops half-way, goes on.
 * Meanwhile the main loop must turn. Then imports what it finds in $SWITTI_TEST_CHECKPOINTS.
 */
#include "switti-import-form.h"
#include "switti-new-models.h"

#include <string.h>

#define PATIENCE_SECONDS 60

typedef struct
{
  const char *name; /* accessible */
  GType type;
  GtkWidget *found;
} Search;

static void
search (GtkWidget *widget, gpointer data)
{
  Search *wanted = data;

  if (wanted->found == NULL && g_type_is_a (G_OBJECT_TYPE (widget), wanted->type) &&
      (wanted->name == NULL ||
       g_strcmp0 (atk_object_get_name (gtk_widget_get_accessible (widget)), wanted->name) == 0))
    wanted->found = widget;
  if (wanted->found == NULL && GTK_IS_CONTAINER (widget))
    gtk_container_forall (GTK_CONTAINER (widget), search, data);
}

static GtkWidget *
find (GtkWidget *root, GType type, const char *name)
{
  Search wanted = { name, type, NULL };

  search (root, &wanted);
  if (wanted.found == NULL)
    g_error ("There is no %s called “%s”.", g_type_name (type), name != NULL ? name : "");
  return wanted.found;
}

static GtkWidget *
find_button (GtkWidget *root, const char *name)
{
  return find (root, GTK_TYPE_BUTTON, name);
}

/* A label that is shown and holds these words. */
static void
search_words (GtkWidget *widget, gpointer data)
{
  Search *wanted = data;

  if (GTK_IS_LABEL (widget) && gtk_widget_get_mapped (widget) &&
      strstr (gtk_label_get_text (GTK_LABEL (widget)), wanted->name) != NULL)
    wanted->found = widget;
  if (GTK_IS_CONTAINER (widget))
    gtk_container_forall (GTK_CONTAINER (widget), search_words, data);
}

static gboolean
shows (GtkWidget *root, const char *words)
{
  Search wanted = { words, 0, NULL };

  search_words (root, &wanted);
  return wanted.found != NULL;
}

static gboolean
count_tick (gpointer data)
{
  (*(guint *) data)++;
  return G_SOURCE_CONTINUE;
}

/* Turns the main loop until `words` are shown. */
static void
wait_for (GtkWidget *root, const char *words)
{
  gint64 end = g_get_monotonic_time () + PATIENCE_SECONDS * G_USEC_PER_SEC;

  while (!shows (root, words))
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_main_context_iteration (NULL, FALSE);
      g_usleep (2000);
    }
}

static void
settle (guint milliseconds)
{
  gint64 end = g_get_monotonic_time () + milliseconds * 1000;

  while (g_get_monotonic_time () < end)
    {
      g_main_context_iteration (NULL, FALSE);
      g_usleep (2000);
    }
}

static void
take_picture (GtkWidget *window, const char *path, const char *suffix)
{
  g_autofree char *full = g_strdup_printf ("%s-%s.png", path, suffix);
  g_autoptr (GdkPixbuf) picture = NULL;
  g_autoptr (GError) error = NULL;

  settle (400);
  picture = gdk_pixbuf_get_from_window (gtk_widget_get_window (window), 0, 0, gtk_widget_get_allocated_width (window),
                                        gtk_widget_get_allocated_height (window));
  g_assert_nonnull (picture);
  gdk_pixbuf_save (picture, full, "png", &error, NULL);
  g_assert_no_error (error);
}

static void
test_download (GtkWidget *window, GtkWidget *page, const char *pictures)
{
  GtkWidget *progress = find (page, GTK_TYPE_PROGRESS_BAR, "Switti");
  guint n_ticks = 0, source;

  g_assert_false (shows (page, "licence: MIT"));
  gtk_button_clicked (GTK_BUTTON (find_button (page, "Download Switti")));
  wait_for (page, "licence: MIT");
  take_picture (window, pictures, "terms");

  source = g_timeout_add (20, count_tick, &n_ticks);
  gtk_button_clicked (GTK_BUTTON (find_button (page, "Agree to the terms and download Switti")));
  while (gtk_progress_bar_get_fraction (GTK_PROGRESS_BAR (progress)) < 0.3)
    settle (20);
  g_assert_cmpuint (n_ticks, >, 5);
  g_source_remove (source);
  g_assert_true (gtk_widget_get_visible (progress));
  g_assert_false (gtk_widget_get_visible (find_button (page, "Download Switti")));
  take_picture (window, pictures, "fetching");

  gtk_button_clicked (GTK_BUTTON (find_button (page, "Stop the download of Switti")));
  wait_for (page, "Stopped; what has arrived is kept.");
  g_assert_true (shows (page, "from an earlier download"));
  g_assert_false (gtk_widget_get_visible (progress));
  take_picture (window, pictures, "stopped");

  gtk_button_clicked (GTK_BUTTON (find_button (page, "Download Switti")));
  gtk_button_clicked (GTK_BUTTON (find_button (page, "Agree to the terms and download Switti")));
  wait_for (page, "Installed");
  g_assert_false (gtk_widget_get_visible (find_button (page, "Download Switti")));
}

/* A hub that is not there ends in a sentence in the row. */
static void
test_refused (GtkWidget *page)
{
  GtkWidget *hub = find (page, GTK_TYPE_ENTRY, "Mirror");

  gtk_entry_set_text (GTK_ENTRY (hub), "http://127.0.0.1:1");
  gtk_button_clicked (GTK_BUTTON (find_button (page, "Download Switti 1024")));
  gtk_button_clicked (GTK_BUTTON (find_button (page, "Agree to the terms and download Switti 1024")));
  wait_for (page, "cannot be reached");
  gtk_entry_set_text (GTK_ENTRY (hub), "");
}

static void
test_import (GtkWidget *window, GtkWidget *page, const char *pictures)
{
  GtkWidget *expander = find (page, GTK_TYPE_EXPANDER, NULL);
  GtkWidget *form = find (page, SWITTI_TYPE_IMPORT_FORM, NULL);
  GtkWidget *button = find_button (form, "Import");
  const char *folder = g_getenv ("SWITTI_TEST_CHECKPOINTS");

  gtk_expander_set_expanded (GTK_EXPANDER (expander), TRUE);
  g_assert_false (gtk_widget_get_sensitive (button));
  switti_import_form_add (SWITTI_IMPORT_FORM (form), folder);
  g_assert_true (gtk_widget_get_sensitive (button));
  gtk_entry_set_text (GTK_ENTRY (find (form, GTK_TYPE_ENTRY, "Name of the model")), "../x");
  gtk_button_clicked (GTK_BUTTON (button));
  wait_for (form, "cannot be a model's name");
  gtk_entry_set_text (GTK_ENTRY (find (form, GTK_TYPE_ENTRY, "Name of the model")), "copy");
  take_picture (window, pictures, "import");
  gtk_button_clicked (GTK_BUTTON (button));
  wait_for (form, "Imported.");
}

static void
count_signal (guint *count)
{
  (*count)++;
}

int
main (int argc, char **argv)
{
  GtkWidget *window, *page;
  guint n_installed = 0;

  g_assert_cmpint (argc, ==, 2);
  gtk_init (&argc, &argv);
  window = gtk_window_new (GTK_WINDOW_TOPLEVEL);
  page = switti_new_models_new ();
  g_signal_connect_swapped (page, "installed", G_CALLBACK (count_signal), &n_installed);
  gtk_container_add (GTK_CONTAINER (window), page);
  gtk_window_set_default_size (GTK_WINDOW (window), 640, 720);
  gtk_widget_show_all (window);

  test_download (window, page, argv[1]);
  g_assert_cmpuint (n_installed, ==, 1);
  test_refused (page);
  test_import (window, page, argv[1]);
  g_assert_cmpuint (n_installed, ==, 2);

  /* A page that goes away while it fetches. */
  gtk_button_clicked (GTK_BUTTON (find_button (page, "Download Switti (AR)")));
  gtk_button_clicked (GTK_BUTTON (find_button (page, "Agree to the terms and download Switti (AR)")));
  settle (200);
  gtk_widget_destroy (window);
  settle (500);
  return 0;
}
