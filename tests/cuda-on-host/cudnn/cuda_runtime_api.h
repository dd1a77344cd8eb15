/* cuda_runtime_api.h - what cuDNN's header takes from CUDA's, on host CUDA
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "cuda-on-host.h"
