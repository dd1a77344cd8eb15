#!/usr/bin/env python3
# test-dialog-leaks.py - the dialog of plug-in-switti under valgrind: opened, painted in and closed, three times
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# What GTK, GIMP, fontconfig and their like keep until a process ends is theirs: tests/plugin/valgrind.supp names it;
# of the rest what counts is what a function of ours has asked for, itself or through GLib.

import os
import pathlib
import re
import shutil
import sys

# Painting takes a minute of an idle processor there.
os.environ.setdefault('SWITTI_TEST_WAIT', '1000')

from dialog_robot import Robot, find, is_sensitive, is_showing, press, set_text, skip, tap, wait_for

TIMES = int(sys.argv[1]) if len(sys.argv) > 1 else 3
HERE = pathlib.Path(__file__).parent
# A frame, and where it is: a library, the plug-in without or a source file of ours with line numbers.
FRAME = re.compile(r'(?:by|at) 0x[0-9A-F]+: (?:\S+) \((?:in )?([^)]*)\)')
# What others allocate with.
ALLOCATORS = re.compile(r'vg_replace_malloc|libglib|libgobject|libgio|libc\.so')
OURS = re.compile(r'/switti$|switti-[\w-]+\.[ch]:\d+$')

if not shutil.which('valgrind'):
    skip('valgrind is not installed')


def play(robot):
    robot.open_dialog()
    start = find(robot.dialog, 'button', robot.word('Start _painting'))
    if start is not None and is_showing(start):
        press(start)
    set_text(robot.control('text', '_Prompt'), 'a fox, flat style')
    generate = robot.button('_Generate')
    wait_for(lambda: is_sensitive(generate), 'a sensitive Generate')
    press(generate)
    wait_for(lambda: robot.word('finished') in robot.preview_description(), 'the picture')
    robot.wait_idle()
    robot.press('button', '_Insert')
    wait_for(lambda: find(robot.dialog, 'label', robot.word('Inserted; the dialog stays open for the next picture.')),
             'the insertion')
    robot.close_dialog()


def ours(log):
    """Lost blocks that a function of ours asked for; nearly all is on the stack of our main loop."""
    found = []
    for block in re.split(r'==\d+== \n', log):
        places = [place for place in FRAME.findall(block) if not ALLOCATORS.search(place)]
        if 'definitely lost' in block and places and OURS.search(places[0]):
            found.append(block)
    return found


with Robot() as player:
    logs = player.profile.folder / 'valgrind'
    logs.mkdir()
    player.environment.update(
        GIMP_PLUGIN_DEBUG_WRAP='switti,run', G_SLICE='always-malloc', G_DEBUG='gc-friendly', OMP_NUM_THREADS='1',
        GIMP_PLUGIN_DEBUG_WRAPPER=f'valgrind --leak-check=full --num-callers=40 --suppressions={HERE}/valgrind.supp '
                                  f'--log-file={logs}/%p')
    player.start()
    for _ in range(TIMES):
        play(player)
    tap.equal(player.end(), 0, 'GIMP ends well')
    texts = [path.read_text(errors='replace') for path in sorted(logs.iterdir())]
    tap.equal(len(texts), TIMES, 'the plug-in ran under valgrind each time')
    for text in texts:
        tap.check('ERROR SUMMARY' in text, 'valgrind has come to its end')
        tap.equal([block for block in ours(text)], [], 'nothing of ours is lost')
tap.end()
