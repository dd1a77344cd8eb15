#!/usr/bin/env python3
# test-dialog-leaks.py - the dialog of plug-in-switti under valgrind: opened, painted in and closed, three times
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# What GTK, GIMP, fontconfig and their like keep until a process ends is theirs. What counts is what a function of ours
# has asked for, itself or by a call that hands over what it returns: nothing of that may be lost. The model is the
# default one cut down to one block and four scales, as valgrind makes all of it fifty times as slow.

import json
import os
import pathlib
import re
import shutil
import sys

# Starting takes half a minute of an idle processor there.
os.environ.setdefault('SWITTI_TEST_WAIT', '600')

from dialog_robot import Robot, is_sensitive, is_showing, press, set_text, skip, tap, wait_for

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent / 'cli'))
try:
    import checkpoints
except ImportError:
    skip('NumPy is not installed')

TIMES = int(sys.argv[1]) if len(sys.argv) > 1 else 3
SIDES = [1, 2, 3, 4]
# A frame, and where it is: a library, the plug-in without or a source file of ours with line numbers.
FRAME = re.compile(r'(?:by|at) 0x[0-9A-F]+: (?:\S+) \((?:in )?([^)]*)\)')
# What others allocate with; GLib has some of it in its headers.
ALLOCATORS = re.compile(r'vg_replace_malloc|libglib|libgobject|libgio|libc\.so|gstrfuncs\.h|gmem\.h')
# How many frames of others may lie between an allocation and a function of ours: all is on our main loop's stack.
N_FRAMES = 4
OURS = re.compile(r'/switti$|switti-[\w-]+\.[ch]:\d+$')

if not shutil.which('valgrind'):
    skip('valgrind is not installed')


def small_model(folder):
    """The default model's first block and scales, as a model of its own."""
    def change(path, **values):
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    shutil.copytree(os.environ['SWITTI_TEST_MODEL'], folder)
    change(folder / 'transformer' / 'config.json', patch_nums=SIDES, depth=1, reso=16 * SIDES[-1])
    change(folder / 'vae' / 'config.json', patch_nums=SIDES)
    change(folder / 'model_index.json', default_sampling={})
    weights = folder / 'transformer' / 'model.safetensors'
    tensors = {name: tensor for name, tensor in checkpoints.read_safetensors(weights).items()
               if not re.match(r'blocks\.[1-9]', name)}
    dtype, shape, data = tensors['lvl_embed.weight']
    size = len(data) // shape[0] * len(SIDES)
    tensors['lvl_embed.weight'] = dtype, (len(SIDES), shape[1]), data[:size]
    checkpoints.write_safetensors(weights, tensors)


def play(robot):
    """Asks the dialog little: each answer takes it a while."""
    robot.open_dialog()
    start = robot.find_control('button', 'Start _painting')
    if start is not None and is_showing(start):
        press(start)
    set_text(robot.control('text', '_Prompt'), 'a fox, flat style')
    robot.press('button', '_Generate')
    insert = robot.button('_Insert')
    wait_for(lambda: is_sensitive(insert), 'the picture', pause=1)
    before = len(robot.ask('names(canvas)'))
    press(insert)
    wait_for(lambda: len(robot.ask('names(canvas)')) > before, 'the insertion', pause=0.5)
    robot.close_dialog()


def ours(log):
    """Lost blocks that a function of ours asked for."""
    found = []
    for block in re.split(r'==\d+== \n', log):
        places = [place for place in FRAME.findall(block) if not ALLOCATORS.search(place)]
        if re.search('(definitely|possibly) lost in', block) and any(map(OURS.search, places[:N_FRAMES])):
            found.append(block)
    return found


with Robot() as player:
    logs = player.profile.folder / 'valgrind'
    logs.mkdir()
    small_model(player.profile.folder / 'models' / 'icons')  # the default one's name
    player.environment.update(
        SWITTI_MODEL_PATH=str(player.profile.folder / 'models'), GIMP_PLUGIN_DEBUG_WRAP='switti,run',
        G_SLICE='always-malloc', G_DEBUG='gc-friendly', OMP_NUM_THREADS='1',
        OMP_WAIT_POLICY='passive',  # or the plug-in starts itself anew, without valgrind
        GIMP_PLUGIN_DEBUG_WRAPPER=f'valgrind --leak-check=full --num-callers=40 --log-file={logs}/%p')
    player.start()
    for _ in range(TIMES):
        play(player)
    tap.equal(player.end(), 0, 'GIMP ends well')
    texts = [path.read_text(errors='replace') for path in sorted(logs.iterdir())]
    tap.equal(len(texts), TIMES, 'the plug-in ran under valgrind each time')
    for text in texts:
        tap.check('ERROR SUMMARY' in text, 'valgrind has come to its end')
        lost = ours(text)
        tap.check(not lost, 'nothing of ours is lost', ''.join(lost))
tap.end()
