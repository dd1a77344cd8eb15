/* switti-prompt-history.c - the prompts that were painted, newest last, kept in a file
 *
 * The file is plain text: one prompt a line, escaped as g_strescape() does, so that a prompt of several
 * lines stays one.
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-prompt-history.h"

#include "switti-config-file.h"

/* A file that is larger than this was not written by us. */
#define MAX_FILE_SIZE (4 * 1024 * 1024)

struct _SwittiPromptHistory
{
  GObject parent_instance;

  char *path;
  GPtrArray *prompts;
  guint position; /* of the walk; prompts->len: at the draft */
  char *draft;    /* what stood in the box when the walk began */
};

G_DEFINE_FINAL_TYPE (SwittiPromptHistory, switti_prompt_history, G_TYPE_OBJECT)

static void
remove_prompt (SwittiPromptHistory *self, const char *prompt)
{
  guint index;

  if (g_ptr_array_find_with_equal_func (self->prompts, prompt, g_str_equal, &index))
    g_ptr_array_remove_index (self->prompts, index);
}

static void
append_prompt (SwittiPromptHistory *self, const char *prompt)
{
  remove_prompt (self, prompt);
  g_ptr_array_add (self->prompts, g_strdup (prompt));
  if (self->prompts->len > SWITTI_MAX_HISTORY)
    g_ptr_array_remove_index (self->prompts, 0);
  self->position = self->prompts->len;
}

static void
read_file (SwittiPromptHistory *self)
{
  g_autofree char *contents = NULL;
  g_auto (GStrv) lines = NULL;
  gsize length;

  if (!self->path || !g_file_get_contents (self->path, &contents, &length, NULL) || length > MAX_FILE_SIZE
      || !g_utf8_validate (contents, (gssize) length, NULL))
    return;
  lines = g_strsplit (contents, "\n", -1);
  for (char **line = lines; *line; line++)
    {
      g_autofree char *prompt = g_strcompress (*line);

      if (*prompt && g_utf8_validate (prompt, -1, NULL))
        append_prompt (self, prompt);
    }
}

static gboolean
write_file (SwittiPromptHistory *self, GError **error)
{
  g_autoptr (GString) contents = g_string_new (NULL);

  for (guint i = 0; i < self->prompts->len; i++)
    {
      g_autofree char *line = g_strescape (g_ptr_array_index (self->prompts, i), NULL);

      g_string_append (contents, line);
      g_string_append_c (contents, '\n');
    }
  return switti_config_file_write (self->path, contents->str, contents->len, error);
}

gboolean
switti_prompt_history_add (SwittiPromptHistory *self, const char *prompt, GError **error)
{
  g_return_val_if_fail (SWITTI_IS_PROMPT_HISTORY (self), FALSE);

  g_clear_pointer (&self->draft, g_free);
  self->position = self->prompts->len;
  if (!prompt || !*prompt)
    return TRUE;
  append_prompt (self, prompt);
  return write_file (self, error);
}

const char *
switti_prompt_history_older (SwittiPromptHistory *self, const char *now)
{
  g_return_val_if_fail (SWITTI_IS_PROMPT_HISTORY (self), NULL);

  if (self->position == 0)
    return NULL;
  if (self->position == self->prompts->len)
    {
      g_free (self->draft);
      self->draft = g_strdup (now);
    }
  self->position--;
  /* The newest one is mostly what stands there already. */
  if (self->position > 0 && g_strcmp0 (g_ptr_array_index (self->prompts, self->position), now) == 0)
    self->position--;
  return g_ptr_array_index (self->prompts, self->position);
}

const char *
switti_prompt_history_newer (SwittiPromptHistory *self, const char *now)
{
  g_return_val_if_fail (SWITTI_IS_PROMPT_HISTORY (self), NULL);

  if (self->position == self->prompts->len)
    return NULL;
  self->position++;
  if (self->position < self->prompts->len)
    return g_ptr_array_index (self->prompts, self->position);
  return g_strcmp0 (self->draft, now) == 0 ? NULL : self->draft;
}

static void
finalize (GObject *object)
{
  SwittiPromptHistory *self = SWITTI_PROMPT_HISTORY (object);

  g_free (self->path);
  g_free (self->draft);
  g_ptr_array_unref (self->prompts);
  G_OBJECT_CLASS (switti_prompt_history_parent_class)->finalize (object);
}

static void
switti_prompt_history_class_init (SwittiPromptHistoryClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = finalize;
}

static void
switti_prompt_history_init (SwittiPromptHistory *self)
{
  self->prompts = g_ptr_array_new_with_free_func (g_free);
}

SwittiPromptHistory *
switti_prompt_history_new (const char *path)
{
  SwittiPromptHistory *self = g_object_new (SWITTI_TYPE_PROMPT_HISTORY, NULL);

  self->path = g_strdup (path);
  read_file (self);
  return self;
}
