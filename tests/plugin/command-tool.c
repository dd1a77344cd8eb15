/* command-tool.c - what plugin/switti-command.c writes, for test-commands.py
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 *   command-tool script-fu|python|shell new|fill PROMPT [RECIPE]   writes the command to the standard output
 *   command-tool same A.png B.png                                  ends with 0 where both have the same pixels
 */
#include "switti-command.h"
#include "switti-png-private.h"

#include <stdio.h>
#include <string.h>

static int
compare (const char *a, const char *b)
{
  g_autoptr (GError) error = NULL;
  int width, height;
  g_autoptr (GBytes) of_a = switti_png_load (a, &width, &height, &error);
  g_autoptr (GBytes) of_b = of_a ? switti_png_load (b, &width, &height, &error) : NULL;

  if (error)
    g_printerr ("%s\n", error->message);
  return of_b && g_bytes_equal (of_a, of_b) ? 0 : 1;
}

/* Every argument that a command can have is not its default here. */
static void
set_up (SwittiSettings *settings, const char *mode, const char *prompt)
{
  *settings = (SwittiSettings){
    .prompt = (char *) prompt,
    .negative_prompt = (char *) "'a' robot",
    .model = (char *) "icons",
    .device = (char *) "cpu",
    .seed = 4294967297,
    .count = 1,
    .batch = 1,
    .smooth = 1,
    .precision = SWITTI_PRECISION_F32,
    .memory = SWITTI_MEMORY_LOW,
    .output = SWITTI_OUTPUT_NEW_IMAGE,
    .start = { .keep_scales = -1, .feather = 3.5, .context = 80, .grow = 2, .strength = SWITTI_STRENGTH_LAYOUT },
  };
  if (g_str_equal (mode, "fill"))
    settings->start.mode = SWITTI_MODE_FILL;
  settings->knobs[SWITTI_KNOB_GUIDANCE] = 3.7;
  settings->knobs[SWITTI_KNOB_TOP_K] = 300;
  settings->knobs[SWITTI_KNOB_TOP_P] = 0.9;
  settings->knobs[SWITTI_KNOB_SMOOTH_START] = 3;
  settings->knobs[SWITTI_KNOB_GUIDANCE_START] = 1;
  settings->knobs[SWITTI_KNOB_GUIDANCE_END] = 8;
  settings->knobs[SWITTI_KNOB_LAST_SCALE_TEMPERATURE] = 0.2;
}

static int
write_command (const char *kind, const char *mode, const char *prompt, const char *recipe_path)
{
  static const char *const kinds[] = { "script-fu", "python", "shell", NULL };
  SwittiSettings settings;
  g_autofree char *recipe = NULL;
  g_autofree char *command = NULL;
  int index = 0;

  while (kinds[index] && !g_str_equal (kind, kinds[index]))
    index++;
  if (kinds[index] == NULL || (recipe_path && !g_file_get_contents (recipe_path, &recipe, NULL, NULL)))
    return 2;
  set_up (&settings, mode, prompt);
  command = switti_command_write ((SwittiCommandKind) index, &settings, recipe);
  if (command == NULL)
    return 1;
  /* As it is: g_print() would convert it to the locale. */
  fputs (command, stdout);
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc == 4 && g_str_equal (argv[1], "same"))
    return compare (argv[2], argv[3]);
  if (argc == 4 || argc == 5)
    return write_command (argv[1], argv[2], argv[3], argc == 5 ? argv[4] : NULL);
  return 2;
}
