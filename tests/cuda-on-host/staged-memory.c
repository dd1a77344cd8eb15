/* staged-memory.c - copies of tests' operands on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "staged-private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the heap and the stack, whose mappings are larger than any operand there. */
#define MOST_BYTES ((size_t) 256 << 20)
#define CHUNK 4096

const SwittiKernels *staged_device;

/* Where the mapping of host memory ends; NULL where there is none. */
static char *
end_of_mapping (const void *memory)
{
  FILE *maps = fopen ("/proc/self/maps", "r");
  char *found = NULL, line[512];

  while (maps != NULL && found == NULL && fgets (line, sizeof line, maps) != NULL)
    {
      uintptr_t low, high;
      char readable;

      if (sscanf (line, "%" SCNxPTR "-%" SCNxPTR " %c", &low, &high, &readable) == 3 && low <= (uintptr_t) memory
          && (uintptr_t) memory < high && readable == 'r')
        found = (char *) high;
    }
  if (maps != NULL)
    fclose (maps);
  return found;
}

/* A part from `operand` on; or the one whose mapping it shares begins there, if that is lower. */
static void
add_part (StagedCall *call, const void *operand)
{
  char *host = (char *) operand, *end;

  if (operand == NULL || staged_is_device (operand))
    return;
  end = end_of_mapping (operand);
  if (end == NULL || call->n_parts == STAGED_MAX_PARTS)
    {
      call->status = SWITTI_KERNEL_DEVICE;
      return;
    }
  for (size_t i = 0; i < call->n_parts; i++)
    if (call->parts[i].end == end)
      {
        if (host < call->parts[i].host)
          call->parts[i].host = host;
        return;
      }
  call->parts[call->n_parts++] = (StagedPart){ .host = host, .end = end };
}

static size_t
bytes_of (const StagedPart *part)
{
  const size_t bytes = (size_t) (part->end - part->host);

  return bytes < MOST_BYTES ? bytes : MOST_BYTES;
}

SwittiKernelStatus
staged_upload (StagedCall *call)
{
  for (size_t i = 0; i < call->n_parts && call->status == SWITTI_KERNEL_OK; i++)
    {
      StagedPart *part = &call->parts[i];

      memcpy (part->before, part->host, bytes_of (part));
      call->status = staged_device->upload (call->context, part->device, part->before, bytes_of (part));
    }
  return call->status;
}

void
staged_begin (StagedCall *call, SwittiKernelContext *context, const void *const *operands, size_t n_operands)
{
  memset (call, 0, sizeof *call);
  call->context = context;
  for (size_t i = 0; i < n_operands; i++)
    add_part (call, operands[i]);
  for (size_t i = 0; i < call->n_parts && call->status == SWITTI_KERNEL_OK; i++)
    {
      StagedPart *part = &call->parts[i];

      part->before = malloc (bytes_of (part));
      call->status = part->before != NULL ? staged_device->alloc (context, bytes_of (part), &part->device)
                                          : SWITTI_KERNEL_OUT_OF_MEMORY;
    }
  staged_upload (call);
}

void *
staged_at (const StagedCall *call, const void *operand)
{
  const char *host = operand;

  if (operand == NULL || staged_is_device (operand))
    return (void *) operand;
  for (size_t i = 0; i < call->n_parts; i++)
    if (call->parts[i].host <= host && host < call->parts[i].host + bytes_of (&call->parts[i]))
      return (char *) call->parts[i].device + (host - call->parts[i].host);
  abort ();
}

/* What differs from what was uploaded goes to the host: the rest may have changed there meanwhile. */
static SwittiKernelStatus
download_part (StagedCall *call, StagedPart *part)
{
  const size_t bytes = bytes_of (part);
  char *after = malloc (bytes);
  SwittiKernelStatus status;

  if (after == NULL)
    return SWITTI_KERNEL_OUT_OF_MEMORY;
  status = staged_device->download (call->context, after, part->device, bytes);
  for (size_t at = 0; at < bytes && status == SWITTI_KERNEL_OK; at += CHUNK)
    {
      const size_t n = bytes - at < CHUNK ? bytes - at : CHUNK;

      if (memcmp (after + at, part->before + at, n) != 0)
        for (size_t i = at; i < at + n; i++)
          if (after[i] != part->before[i])
            part->host[i] = after[i];
    }
  free (after);
  return status;
}

SwittiKernelStatus
staged_download (StagedCall *call)
{
  SwittiKernelStatus status = staged_device->synchronize (call->context);

  for (size_t i = 0; i < call->n_parts && status == SWITTI_KERNEL_OK; i++)
    status = download_part (call, &call->parts[i]);
  return status;
}

void
staged_free (StagedCall *call)
{
  for (size_t i = 0; i < call->n_parts; i++)
    {
      if (call->parts[i].device != NULL)
        staged_device->free (call->context, call->parts[i].device);
      free (call->parts[i].before);
    }
  call->n_parts = 0;
}

SwittiKernelStatus
staged_finish (StagedCall *call, SwittiKernelStatus status)
{
  if (status == SWITTI_KERNEL_OK)
    status = staged_download (call);
  staged_free (call);
  return status;
}
