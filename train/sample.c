/* sample.c - `switti-train sample`: a contact sheet of prompts and seeds
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-error.h"
#include "train.h"

#include <glib/gi18n.h>

typedef struct
{
  CliParameters parameters; /* first: the data of the sampler's options */
  char *model, *prompts, *output, *device, *memory;
  int seeds, columns, threads;
  gint64 seed;
} Sample;

static void
sample_clear (Sample *self)
{
  cli_parameters_clear (&self->parameters);
  g_free (self->model);
  g_free (self->prompts);
  g_free (self->output);
  g_free (self->device);
  g_free (self->memory);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Sample, sample_clear)

/* The sampler's options but those that a sheet has many of. (transfer full): GOptionEntry, ended by an empty one */
static GArray *
make_entries (Sample *self)
{
  static const char *const many[] = { "prompt", "seed", "count", NULL };
  const GOptionEntry own[] = {
    { "model", 'm', 0, G_OPTION_ARG_FILENAME, &self->model, N_ ("Model or checkpoint"), N_ ("MODEL") },
    { "prompts", 'p', 0, G_OPTION_ARG_FILENAME, &self->prompts, N_ ("File with prompts, a line each"), N_ ("FILE") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &self->output, N_ ("PNG to write"), N_ ("FILE") },
    { "seeds", 0, 0, G_OPTION_ARG_INT, &self->seeds, N_ ("Pictures of each prompt (default: 1)"), N_ ("N") },
    { "seed", 0, 0, G_OPTION_ARG_INT64, &self->seed, N_ ("Seed of the first of them (default: 0)"), N_ ("N") },
    { "columns", 0, 0, G_OPTION_ARG_INT, &self->columns, N_ ("Pictures in a row; 0: choose"), N_ ("N") },
    { "device", 0, 0, G_OPTION_ARG_STRING, &self->device, N_ ("auto, cpu, cuda or cuda:N"), N_ ("DEVICE") },
    { "memory", 0, 0, G_OPTION_ARG_STRING, &self->memory, N_ ("auto, or low for a GPU of little memory"),
      N_ ("MODE") },
    { "threads", 0, 0, G_OPTION_ARG_INT, &self->threads, N_ ("Threads of the processor; 0: all"), N_ ("N") },
  };
  GArray *entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));

  g_array_append_vals (entries, own, G_N_ELEMENTS (own));
  for (const GOptionEntry *entry = cli_parameter_entries; entry->long_name != NULL; entry++)
    if (!g_strv_contains (many, entry->long_name))
      g_array_append_val (entries, *entry);
  return entries;
}

static gboolean
parse (Sample *self, char ***argv)
{
  g_autoptr (GArray) list = make_entries (self);
  const GOptionEntry *const entries[] = { (const GOptionEntry *) list->data, NULL };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  GOptionGroup *group = g_option_group_new ("sample", NULL, NULL, self, NULL);

  g_option_group_add_entries (group, entries[0]);
  g_option_group_set_translation_domain (group, GETTEXT_PACKAGE);
  g_option_context_set_main_group (context, group);
  g_option_context_set_summary (context, _ ("Paints every prompt of a file, with every seed, onto one sheet."));
  g_option_context_set_description (
      context, _ ("Example:\n"
                  "  switti-train sample --model runs/icons/latest --prompts prompts.txt --seeds 4 -o sheet.png"));
  return cli_parse_options (context, entries, "switti-train sample", argv);
}

static gboolean
check (const Sample *self, char **rest)
{
  const char *mistake = NULL;

  if (*rest != NULL)
    mistake = _ ("switti-train sample takes options alone; “switti-train sample --help” lists them.");
  else if (self->prompts == NULL)
    mistake = _ ("Say what to paint: --prompts FILE, with a prompt in each line.");
  else if (self->output == NULL)
    mistake = _ ("Say where to put the sheet: --output FILE.png.");
  else if (self->seeds < 1 || self->seeds > 1000 || self->columns < 0 || self->columns > 1000 || self->seed < 0
           || self->threads < 0)
    mistake = _ ("--seeds takes 1 to 1000, --columns 0 to 1000, --seed and --threads 0 or more.");
  if (mistake != NULL)
    cli_report (mistake);
  return mistake == NULL;
}

static gboolean
work (GCancellable *cancellable, gpointer data, GError **error)
{
  Sample *self = data;
  int memory;
  g_auto (GStrv) prompts = cli_parse_memory (self->memory, &memory, error) ? train_read_prompts (self->prompts, error)
                                                                            : NULL;
  g_autoptr (SwittiDevice) device = NULL;
  g_autoptr (SwittiSheet) sheet = NULL;
  TrainPainting painting = { .model = self->model != NULL ? self->model : "icons", .n_seeds = self->seeds,
                             .seed = (guint64) self->seed, .columns = self->columns,
                             .parameters = &self->parameters };

  if (prompts == NULL)
    return FALSE;
  painting.memory = (SwittiMemory) memory;
  device = switti_device_new (self->device != NULL ? self->device : "auto", self->threads, error);
  if (device == NULL)
    return FALSE;
  painting.device = device;
  painting.prompts = prompts;
  sheet = train_paint (&painting, cancellable, error);
  return sheet != NULL && switti_sheet_save (sheet, self->output, NULL, error);
}

int
train_sample (int argc, char **argv)
{
  g_auto (Sample) self = { .seeds = 1 };
  g_auto (GStrv) arguments = g_strdupv (argv);

  cli_parameters_init (&self.parameters);
  if (!parse (&self, &arguments) || !check (&self, arguments + 1))
    return TRAIN_USAGE;
  return cli_run (work, &self);
}
