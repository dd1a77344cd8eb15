#!/usr/bin/env python3
# test-commands.py - the commands that plug-in-switti writes paint the same picture in Script-Fu, Python and the shell
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import os
import pathlib
import subprocess
import sys

from gimp_profile import Profile, Tap

TOOL = os.environ['SWITTI_TEST_COMMAND_TOOL']
# What each language could take for something else.
PROMPT = 'a "fox", \'flat\' style \\ $HOME `id` %s (car)\nand ünïcode #t'

tap = Tap()


def write(folder, name, *words):
    """A command by the tool, into a file; its text."""
    done = subprocess.run([TOOL, *words], stdout=subprocess.PIPE, text=True, check=True)
    (folder / name).write_text(done.stdout)
    return done.stdout


def run_shell(profile, text, name):
    """The command with the name of a file to write."""
    path = os.pathsep.join([str(pathlib.Path(os.environ['SWITTI_CLI']).parent), os.environ['PATH']])
    done = subprocess.run(['sh', '-c', text.replace('switti generate', f'switti generate -o {name}', 1)],
                          cwd=profile.folder, env=dict(os.environ, PATH=path, LC_ALL='C.UTF-8'), check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    tap.check(done.returncode == 0, f'{name} is painted in the shell', done.stdout)


def check_same(folder, a, b):
    done = subprocess.run([TOOL, 'same', str(folder / a), str(folder / b)], check=False)
    tap.equal(done.returncode, 0, f'{a} and {b} have the same pixels')


def scheme(text):
    return '"' + str(text).replace('\\', '\\\\').replace('"', '\\"') + '"'


def main():
    with Profile() as profile:
        folder = profile.folder
        report = folder / 'report.tap'
        checks = pathlib.Path(__file__).with_name('command_checks.py')
        (folder / 'prompt').write_text(PROMPT)
        write(folder, 'new.py', 'python', 'new', PROMPT)
        write(folder, 'fill.py', 'python', 'fill', PROMPT)
        status, said = profile.run('python-fu-eval', f'exec(open({str(checks)!r}).read())',
                                   SWITTI_TEST_REPORT=str(report), SWITTI_TEST_SRCDIR=str(checks.parent),
                                   SWITTI_TEST_FOLDER=str(folder))
        tap.check(status == 0 and report.exists() and report.read_text().startswith('ok 1'),
                  'the filling by a command is the filling by its arguments', said)
        command = write(folder, 'new.scm', 'script-fu', 'new', PROMPT)
        status, said = profile.run('plug-in-script-fu-eval', '(gimp-file-save RUN-NONINTERACTIVE (car '
                                   f'{command.strip()}) {scheme(folder / "scheme.png")})')
        tap.check(status == 0, 'the command in Script-Fu', said)
        image = 'image (vector-ref (car (gimp-get-images)) 0)'
        tap.check(image in write(folder, 'fill.scm', 'script-fu', 'fill', PROMPT),
                  'a filling in Script-Fu is of the image that was opened last')
        run_shell(profile, write(folder, 'new.sh', 'shell', 'new', PROMPT), 'shell.png')
        tap.equal(subprocess.run([TOOL, 'shell', 'fill', PROMPT], stdout=subprocess.PIPE, check=False).returncode, 1,
                  'without its recipe a filling has no command in the shell')
        run_shell(profile, write(folder, 'fill.sh', 'shell', 'fill', PROMPT, str(folder / 'recipe.json')), 'again.png')
        check_same(folder, 'python.png', 'scheme.png')
        check_same(folder, 'python.png', 'shell.png')
        check_same(folder, 'square.png', 'again.png')
    tap.end()
    sys.exit(0)


main()
