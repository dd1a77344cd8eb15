/* runtime.c - where and how to compute
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-error.h"
#include "switti-generator.h"

#include <glib/gi18n.h>

void
cli_runtime_clear (CliRuntime *self)
{
  g_clear_pointer (&self->model, g_free);
  g_clear_pointer (&self->device, g_free);
  g_clear_pointer (&self->dtype, g_free);
}

gboolean
cli_parse_precision (const char *text, int *precision, GError **error)
{
  if (text == NULL || g_str_equal (text, "auto"))
    *precision = SWITTI_PRECISION_AUTO;
  else if (g_str_equal (text, "f32"))
    *precision = SWITTI_PRECISION_F32;
  else if (g_str_equal (text, "bf16"))
    *precision = SWITTI_PRECISION_BF16;
  else
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("--dtype takes auto, f32 or bf16, not “%s”."), text);
      return FALSE;
    }
  return TRUE;
}

gboolean
cli_parse_memory (const char *text, int *memory, GError **error)
{
  if (text == NULL || g_str_equal (text, "auto"))
    *memory = SWITTI_MEMORY_AUTO;
  else if (g_str_equal (text, "low"))
    *memory = SWITTI_MEMORY_LOW;
  else
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("--memory takes auto or low, not “%s”."), text);
      return FALSE;
    }
  return TRUE;
}
