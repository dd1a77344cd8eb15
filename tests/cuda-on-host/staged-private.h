/* staged-private.h - a call whose operands are on their way to the device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "staged.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAGED_MAX_PARTS 256

/* Host memory and its copy on the device. */
typedef struct
{
  char *host, *end;
  char *before; /* what was uploaded */
  void *device;
} StagedPart;

typedef struct
{
  SwittiKernelContext *context;
  StagedPart parts[STAGED_MAX_PARTS];
  size_t n_parts;
  SwittiKernelStatus status;
} StagedCall;

/* The table that ops run on. */
extern const SwittiKernels *staged_device;

/* Makes room for all operands, NULLs among them, and uploads them. */
void staged_begin (StagedCall *call, SwittiKernelContext *context, const void *const *operands, size_t n_operands);
/* Where an operand is on the device. */
void *staged_at (const StagedCall *call, const void *operand);
/* Waits, brings back what has changed, and frees the copies. */
SwittiKernelStatus staged_finish (StagedCall *call, SwittiKernelStatus status);
/* Upload and download for calls that outlive one op (plans). */
SwittiKernelStatus staged_upload (StagedCall *call);
SwittiKernelStatus staged_download (StagedCall *call);
void staged_free (StagedCall *call);

/* Whether the table has handed this memory out. */
bool staged_is_device (const void *memory);

#define STAGED_BEGIN(call, context, ...)                                                                              \
  StagedCall call;                                                                                                    \
  staged_begin (&call, context, (const void *const[]){ __VA_ARGS__ },                                                 \
                sizeof (const void *const[]){ __VA_ARGS__ } / sizeof (void *));                                       \
  if (call.status != SWITTI_KERNEL_OK)                                                                                \
    return staged_finish (&call, call.status)
#define AT(operand) staged_at (&call, operand)

/* -- staged-training.c ------------------------------------------------------------------------------------------ */
void staged_fill_training (SwittiKernels *table);
