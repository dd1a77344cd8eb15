#!/usr/bin/env python3
# test-ranks.py - a training on many processes is the training on one
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import json
import os
import shutil
import subprocess
import sys
import time

import numpy

from training import Tap, Training

STEPS = 6
TOLERANCE = 1e-5


def read_file(path):
    """The float32 tensors of a safetensors file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], 'little')
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, tensor in header.items():
        if name != '__metadata__':
            first, end = tensor['data_offsets']
            tensors[name] = numpy.frombuffer(data[8 + size + first:8 + size + end], '<f4').reshape(tensor['shape'])
    return tensors


def read_model(training, out):
    """What was trained, of the model that a run has saved, as float64 vectors by part.

    The bias of k_proj is left out: it has no gradient, and AdamW makes steps of the rounding that is left of it."""
    folder = training.folder / out / 'latest'
    parts = {}
    for part in ['transformer', 'text_encoder', 'text_encoder_2']:
        tensors = read_file(folder / part / 'model.safetensors')
        names = sorted(name for name in tensors if not name.endswith('k_proj.bias'))
        parts[part] = numpy.concatenate([tensors[name].ravel().astype('f8') for name in names])
    return parts


def distance(training, out, expected):
    """The largest relative difference of a part's values."""
    got = read_model(training, out)
    return max(numpy.linalg.norm(got[part] - values) / numpy.linalg.norm(values) for part, values in expected.items())


def losses(training, out):
    return [line['loss'] for line in training.log(out) if 'loss' in line]


def run(training, ranks, out, **options):
    """Of a training in float32, whose checkpoints are too; `ranks` 0 starts it without mpirun."""
    given = {'bs': 12, 'max_iters': STEPS, 'save_iters': 3, 'save_dtype': 'f32', 'ema': None, 'log_iters': 1}
    given.update(options)
    command = training.command(out, **given)
    if ranks > 0:
        command = [os.environ['SWITTI_WITH_RANKS'], str(ranks)] + command
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def check_same(tap, training, expected, out, ranks, **options):
    began = time.monotonic()
    result = run(training, ranks, out, **options)
    seconds = time.monotonic() - began
    if result.returncode != 0:
        tap.check(False, f'ranks/{out}', result.stderr)
        return
    far = distance(training, out, expected)
    pairs = list(zip(losses(training, out), losses(training, 'one'), strict=True))
    worst = max(abs(a - b) / b for a, b in pairs)
    tap.check(far < TOLERANCE and worst < TOLERANCE, f'ranks/{out}',
              f'weights {far:.2g} and losses {worst:.2g} from those of one rank after {STEPS} steps; {seconds:.1f} s')


def check_resume(tap, training, expected):
    """A checkpoint of 4 ranks goes on on 1 and 3, one of 1 on 2: from half-way."""
    half = training.folder / '4-sharded' / 'checkpoints' / 'step-00000003'
    pieces = sorted(path.name for path in (half / 'training').glob('transformer*'))
    tap.check(pieces == [f'transformer-0000{i}-of-00004.safetensors' for i in range(1, 5)],
              'ranks/pieces of a checkpoint', pieces)
    for source, ranks in [('4-sharded', 0), ('4-sharded', 3), ('one', 2)]:
        out = f'{source}-on-{max(ranks, 1)}'
        shutil.copytree(training.folder / source / 'checkpoints' / half.name,
                        training.folder / out / 'checkpoints' / half.name)
        result = run(training, ranks, out)
        far = distance(training, out, expected) if result.returncode == 0 else 1
        tap.check('Going on from' in result.stderr and far < TOLERANCE, f'ranks/{out}',
                  f'weights {far:.2g} from those of one rank', result.stderr if far >= TOLERANCE else '')


def check_failures(tap, training):
    result = run(training, 2, 'odd', bs=13)
    tap.check(result.returncode != 0 and '--bs must be a multiple of 2' in result.stderr, 'ranks/--bs',
              result.stderr if result.returncode == 0 else '')
    result = run(training, 3, 'groups', hybrid=2)
    tap.check(result.returncode != 0 and 'cannot be grouped by 2' in result.stderr, 'ranks/groups that do not fit',
              result.stderr if result.returncode == 0 else '')
    alone = subprocess.run([os.environ['SWITTI_WITH_RANKS'], '2', training.program, 'vae'], capture_output=True,
                           text=True, timeout=120, check=False)
    tap.check(alone.returncode != 0 and 'runs on one rank' in alone.stderr, 'ranks/a command of one process',
              alone.stderr if alone.returncode == 0 else '')
    # One rank cannot go on, and the others must not wait for it for ever.
    missing = training.folder / '4-sharded' / 'latest' / 'training' / 'transformer-00003-of-00004.safetensors'
    missing.rename(missing.with_suffix('.away'))
    result = run(training, 2, '4-sharded', max_iters=STEPS + 1)
    tap.check(result.returncode != 0 and '00003' in result.stderr, 'ranks/a piece is missing',
              result.stderr if result.returncode == 0 else '')


def main():
    tap = Tap()
    with Training() as training:
        alone = run(training, 0, 'one')
        tap.check(alone.returncode == 0, 'ranks/one', alone.stderr)
        expected = read_model(training, 'one')
        check_same(tap, training, expected, '2-sharded', 2)
        check_same(tap, training, expected, '2-replicated', 2, use_fsdp='false')
        check_same(tap, training, expected, '4-sharded', 4)
        check_same(tap, training, expected, '4-hybrid-accumulating', 4, hybrid=2, grad_accum=3)
        check_resume(tap, training, expected)
        check_failures(tap, training)
    return tap.end()


sys.exit(main())
