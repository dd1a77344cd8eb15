/* staged.h - an op table for tests of single ops, whose memory is the host's, on a device that has its own
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every op's operands are copied to the device, the op runs there, is waited for, and what it has changed comes back.
 * An operand reaches from its pointer to the end of the mapping that holds it: tests' operands end where a page begins
 * that cannot be touched, and on the device where their memory ends. Memory that the table itself has handed out is
 * passed on as it is. One thread; one table at a time.
 */
#pragma once

#include "switti-kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the tests of ops run on, as SWITTI_TEST_CUDA says:
 *   (nothing)  CUDA's table on the host; any host memory is device memory to it
 *   "staged"   the same, with memory of its own and ops that are done when something waits: proves what is here
 *   "module"   the CUDA module on a GPU, from $SWITTI_MODULE_PATH
 * Ends the program with a sentence where the module cannot be loaded. */
const SwittiKernels *switti_kernels_under_test (void);

#ifdef __cplusplus
}
#endif
