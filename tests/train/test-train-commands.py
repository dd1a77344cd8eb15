#!/usr/bin/env python3
# test-train-commands.py - the trainer's other commands: sample, eval, vae
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import struct
import subprocess
import sys

from training import Tap, Training


def run(training, *arguments):
    return subprocess.run([training.program, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          check=False)


def png_size(path):
    data = path.read_bytes()
    return struct.unpack('>II', data[16:24]) if data[:8] == b'\x89PNG\r\n\x1a\n' else None


def check_sample(tap, training, model):
    prompts, sheet = training.folder / 'prompts', training.folder / 'sheet.png'
    prompts.write_text('a disc, on red\n# left out\na bar, on blue\na “cross”\n')
    options = ['--model', model, '--prompts', prompts, '--threads', 1]
    result = run(training, 'sample', *options, '--seeds', 2, '--seed', 5, '--cfg_end', 3, '-o', sheet)
    # Three rows of two pictures of 64 pixels, with 10 below each for the prompt, and 4 around all.
    tap.check(result.returncode == 0 and png_size(sheet) == (2 * 68 + 4, 3 * 78 + 4), 'sample/sheet', result.stderr)
    first = sheet.read_bytes()
    run(training, 'sample', *options, '--seeds', 2, '--seed', 5, '--cfg-end', 3, '-o', sheet)
    again = sheet.read_bytes()
    run(training, 'sample', *options, '--seeds', 2, '--seed', 6, '--cfg-end', 3, '-o', sheet)
    tap.check(first == again != sheet.read_bytes(), 'sample/follows from its seeds')
    result = run(training, 'sample', *options, '--columns', 3, '-o', sheet)
    tap.check(png_size(sheet) == (3 * 68 + 4, 78 + 4), 'sample/columns', result.stderr)

    def fails(status, words, *arguments):
        sheet.unlink(missing_ok=True)
        failed = run(training, 'sample', *arguments)
        tap.check(failed.returncode == status and words in failed.stderr and failed.stderr.count('\n') == 1
                  and not sheet.exists(), f'sample/{words}', failed.stderr)

    fails(2, 'did you mean --seeds?', *options, '--seds', 2, '-o', sheet)
    fails(2, '--prompts FILE', '--model', model, '-o', sheet)
    fails(2, '--output FILE.png', *options)
    fails(2, '--seeds takes 1 to 1000', *options, '--seeds', 0, '-o', sheet)
    fails(1, 'There is no model called', '--model', 'nowhere', '--prompts', prompts, '-o', sheet)


def main():
    tap = Tap()
    with Training() as training:
        result = training.run('out', max_iters=2)
        tap.check(result.returncode == 0, 'a model', result.stderr)
        model = training.folder / 'out' / 'latest'
        check_sample(tap, training, model)
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
