#!/usr/bin/env python3
# test-script-fu.py - plug-in-switti in GIMP's batch mode: exit status, Script-Fu, the example scripts, languages
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import json
import os
import pathlib
import struct
import subprocess
import sys

from gimp_profile import Profile, Tap, truncated_model

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = pathlib.Path(os.environ['SWITTI_TEST_EXAMPLES'])
SCRIPT_FU = 'plug-in-script-fu-eval'
FAILED = 70  # GIMP's exit status after a batch command that failed
RAISED = 64  # and after a Python script that ended with an exception

tap = Tap()


def scheme(text):
    return '"' + str(text).replace('\\', '\\\\').replace('"', '\\"') + '"'


def call(**arguments):
    return ('(plug-in-switti #:run-mode RUN-NONINTERACTIVE '
            + ' '.join(f'#:{name} {value}' for name, value in arguments.items()) + ')')


def png_size(path):
    with open(path, 'rb') as png:
        head = png.read(24)
    return struct.unpack('>II', head[16:24]) if head.startswith(b'\x89PNG') else None


def check_refused(profile, name, sentence, command):
    status, said = profile.run(SCRIPT_FU, command)
    tap.equal(status, FAILED, f'{name}: exit status')
    tap.check(sentence in said, f'{name}: GIMP says why', said)


def check_refusals(profile):
    check_refused(profile, 'no prompt', 'The prompt is empty;', call(prompt='""'))
    check_refused(profile, 'a truncated model', 'safetensors',
                  call(prompt='"a fox"', model=scheme(truncated_model(profile.folder))))


def check_script_fu(profile):
    commands = ' '.join(f'(load {scheme(path)})' for path in (EXAMPLES / 'generate.scm', HERE / 'script_fu_checks.scm'))
    status, said = profile.run(SCRIPT_FU, f'(begin {commands} (switti-check-new-image) (switti-check-selection)'
                                          ' (switti-check-goes-on))')
    tap.check(status == 0, 'Script-Fu: image, names, recipe, selection, and on after an error', said)


def check_example_scheme(profile):
    out = profile.folder / 'scheme.png'
    status, said = profile.run(SCRIPT_FU, f'(begin (load {scheme(EXAMPLES / "generate.scm")})'
                                          f' (switti-generate "a fox, flat style" {scheme(out)}))')
    tap.check(status == 0 and png_size(out) == (256, 256), 'generate.scm writes a picture', said)


def check_example_python(profile):
    folder = profile.folder / 'python pictures'
    command = f'exec(open({str(EXAMPLES / "generate.py")!r}).read())'
    status, said = profile.run('python-fu-eval', command, SWITTI_PROMPT='a fox, flat style', SWITTI_COUNT='2',
                               SWITTI_SEED='41', SWITTI_FOLDER=str(folder))
    tap.check(status == 0 and all(png_size(folder / f'{seed}.png') == (256, 256) for seed in (41, 42)),
              'generate.py writes its pictures', said)
    tap.equal([json.loads((folder / f'{seed}.json').read_text())['seed'] for seed in (41, 42)], [41, 42],
              'generate.py writes their recipes')
    status, said = profile.run('python-fu-eval', command, SWITTI_PROMPT='', SWITTI_FOLDER=str(folder))
    tap.check(status == RAISED and 'The prompt is empty;' in said, 'generate.py tells of an error', said)


def run_batch(profile, *arguments, **environment):
    return subprocess.run(
        [str(EXAMPLES / 'switti-batch.sh'), *arguments], cwd=profile.folder, check=False, text=True,
        env=dict(profile.environment, SWITTI_PLUG_INS=os.environ['SWITTI_TEST_PLUG_INS'],
                 SWITTI_GIMP_PROFILE=str(profile.folder / 'batch'), **environment),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def check_batch(profile):
    out = profile.folder / 'in "quotes" \\ too.png'
    done = run_batch(profile, 'a "fox" \\ (car \'())\n, flat style', out.name)
    tap.check(done.returncode == 0 and png_size(out) == (256, 256), 'switti-batch.sh quotes what it passes on',
              done.stdout)
    before = out.read_bytes()
    done = run_batch(profile, ' ', out.name)
    tap.equal((done.returncode, done.stdout.count('\n')), (FAILED, 1), 'switti-batch.sh says one sentence')
    tap.check('The prompt is empty;' in done.stdout, 'switti-batch.sh says why', done.stdout)
    tap.check(out.read_bytes() == before, 'switti-batch.sh leaves the old file where it fails')
    tap.equal(list(profile.folder.glob('.switti-*')), [], 'switti-batch.sh leaves nothing else behind')
    tap.equal(run_batch(profile, 'a fox').returncode, 64, 'switti-batch.sh asks for both arguments')
    done = run_batch(profile, 'a fox', 'x.png', SWITTI_GIMP='no-such-gimp')
    tap.check(done.returncode == 69 and 'no-such-gimp' in done.stdout, 'switti-batch.sh names a GIMP that is missing',
              done.stdout)


def check_languages():
    """The sentence of an empty prompt, as the catalogues have it."""
    for language, sentence in (('de', 'Der Prompt ist leer;'), ('fr', 'Le prompt est vide'), ('ja', 'プロンプトが空です')):
        with Profile(language) as profile:
            status, said = profile.run(SCRIPT_FU, call(prompt='""'))
            tap.check(status == FAILED and sentence in said, f'{language}: errors are translated', said)
    with Profile('de') as profile:
        _, said = profile.run(SCRIPT_FU, call(prompt='"x"', model='"no-such-model"'))
        tap.check('Ein Modell „no-such-model“ gibt es nicht' in said, 'the library speaks the language, too', said)


with Profile() as shared:
    check_refusals(shared)
    check_script_fu(shared)
    check_example_scheme(shared)
    check_example_python(shared)
    check_batch(shared)
check_languages()
tap.end()
sys.exit(0)
