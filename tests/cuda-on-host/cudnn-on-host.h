/* cudnn-on-host.h - a cuDNN for tests, which checks descriptors by the backend API's rules and computes their graphs
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Three engines are proposed for every graph. The first is the quickest, and inexact by its notes: nobody may take it.
 * The second needs a workspace.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct
{
  bool installed;
  bool always;            /* as SWITTI_CUDNN=always */
  double milliseconds[2]; /* of a run of the second and the third engine, by the simulated clock */
  bool is_unsupported;    /* no engine is proposed */
  bool takes_one_image;   /* no engine takes more of them */
  bool writes_no_plans;   /* as text */
  bool fails_to_run;      /* every execution does */
} SwittiCudnnOnHost;

typedef struct
{
  uint64_t calls;       /* that can fail */
  uint64_t handles;     /* made */
  uint64_t heuristics;  /* asked */
  uint64_t built;       /* plans, by an engine */
  uint64_t restored;    /* plans, from text */
  uint64_t runs;        /* enqueued */
  uint64_t descriptors; /* that are alive */
  char error[256];      /* the first call that breaks a rule; "" */
} SwittiCudnnOnHostCounts;

/* What contexts made from now on find, and all others see change. NULL: nothing is installed, as at first. Counts, but
 * that of descriptors, begin anew. */
void switti_cudnn_on_host (const SwittiCudnnOnHost *settings);
const SwittiCudnnOnHostCounts *switti_cudnn_on_host_counts (void);
/* The call'th call from now on (0 for the next) fails; -1: none. */
void switti_cudnn_on_host_fail (int64_t call);

#ifdef __cplusplus
}
#endif
