/* fixture.h - the measured numbers of $SWITTI_FIXTURES, and what tests compare with them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A missing file or tensor ends the test program with a message: a fixture that cannot be read must not look like one
 * that was met.
 */
#pragma once

#include "switti-config-private.h"
#include "switti-device-private.h"
#include "switti-safetensors-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* tests/fixtures/README.md, "How close": float32 activations, relative 2-norm. */
#define FIXTURE_F32_TOLERANCE 1e-4

SwittiSafetensors *fixture_open (const char *name);
char *fixture_path (const char *file_name);
/* A number of meta.json's top level. */
double fixture_meta (const char *key);

/* What stands before the first '/' of the names for which "<it><suffix>" exists, sorted. (transfer full) */
GStrv fixture_variants (SwittiSafetensors *file, const char *suffix);

/* (transfer full); *count is the number of elements. */
float *fixture_f32 (SwittiSafetensors *file, const char *name, gsize *count);
gint32 *fixture_i32 (SwittiSafetensors *file, const char *name, gsize *count);

/* An input of the synthetic rule, u (name) * scale. (transfer full) */
float *fixture_input (const char *name, float scale, gsize count);
/* floor ((u + 1) / 2 * below) in float64. (transfer full) */
gint32 *fixture_integers (const char *name, int below, gsize count);

/* |got - expected| / |expected|, 2-norms in float64. */
double fixture_relative_error (const float *got, const float *expected, gsize count);
/* Fails the test where the relative error is not below tolerance (NaN is not); says the error either way. */
void fixture_assert_close (const char *what, const float *got, const float *expected, gsize count, double tolerance);
void fixture_assert_codes (const char *what, const gint32 *got, const gint32 *expected, gsize count);
/* The four sums of t * u ("probe{j}/name"), then the 2-norm. */
void fixture_probe (const char *name, const float *t, gsize count, double probe[5]);

/* (transfer full) */
float *fixture_nchw_to_nhwc (const float *in, gsize batch, gsize channels, gsize positions);
float *fixture_nhwc_to_nchw (const float *in, gsize batch, gsize channels, gsize positions);

/* "cpu", with n_threads (0: all); or CUDA on the host (tests/cuda-on-host/), with another order of its threads. */
SwittiDevice *fixture_device (int n_threads);
void *fixture_device_alloc (SwittiDevice *device, gsize bytes);
void *fixture_upload (SwittiDevice *device, const void *host, gsize bytes);
/* (transfer full) */
void *fixture_download (SwittiDevice *device, const void *memory, gsize bytes);

/* The configurations of tests/fixtures/README.md. "ar" has the cache, "abspos" neither RoPE, SwiGLU nor crop
 * conditioning; any other variant is as published. */
void fixture_tiny_transformer (const char *variant, SwittiTransformerConfig *config);
/* "qK" has K shared phi. */
void fixture_tiny_vae (const char *variant, SwittiVaeConfig *config);

G_END_DECLS
