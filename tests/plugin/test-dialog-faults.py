#!/usr/bin/env python3
# test-dialog-faults.py - faults while the dialog of plug-in-switti is open: a model that goes away, a killed plug-in
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: test-dialog-faults.py [KILLS]. The moments of the kills are drawn from $SWITTI_TEST_SEED, which the test says.

import os
import pathlib
import random
import shutil
import signal
import sys
import time

from dialog_robot import Robot, descendants, find, is_sensitive, is_showing, press, set_text, tap, wait_for

KILLS = int(sys.argv[1]) if len(sys.argv) > 1 else 8
PROGRAM = os.path.realpath(pathlib.Path(os.environ['SWITTI_TEST_PLUG_INS']) / 'switti' / 'switti')
PROMPT = 'a red apple, flat style'
# From the start of the painting; a picture takes about a second, and what follows is the insertion.
LONGEST_SECONDS = 2.5


def plug_in_of(gimp):
    """The process of the open dialog: GIMP's child that runs our program."""
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat', encoding='utf-8') as stat:
                parent = int(stat.read().rpartition(') ')[2].split()[1])
            if parent == gimp and os.path.realpath(f'/proc/{pid}/exe') == PROGRAM:
                return int(pid)
        except OSError:
            continue
    return None


def begin(robot):
    robot.open_dialog()
    start = find(robot.dialog, 'button', robot.word('Start _painting'))
    if start is not None and is_showing(start):
        press(start)
    set_text(robot.control('text', '_Prompt'), PROMPT)
    generate = robot.button('_Generate')
    wait_for(lambda: is_sensitive(generate), 'a sensitive Generate')
    return generate


def choose_model(robot, name):
    combo = robot.control('combo box', 'Model')
    items = [node.get_name() for node in descendants(combo) if node.get_role_name() == 'menu item']
    combo.get_selection_iface().select_child(items.index(name))


def paint(robot, generate):
    press(generate)
    wait_for(lambda: not is_sensitive(generate), 'the start')
    robot.wait_idle()


def check_model_deleted(robot, model):
    """What is loaded paints on; what is to be loaded anew is missed in a sentence."""
    generate = begin(robot)
    choose_model(robot, model.name)
    paint(robot, generate)
    shutil.rmtree(model)
    paint(robot, generate)
    tap.check(robot.word('finished') in robot.preview_description(), 'a model that was deleted paints on while loaded')
    choose_model(robot, 'icons (default)')
    paint(robot, generate)
    choose_model(robot, model.name)
    press(generate)
    message = wait_for(lambda: next((node.get_name() for node in descendants(robot.dialog)
                                     if node.get_role_name() == 'label' and 'no model' in node.get_name()), None),
                       'the sentence')
    tap.check(model.name in message, 'then it is missed in a sentence', message)
    choose_model(robot, 'icons (default)')
    paint(robot, generate)
    tap.check(robot.word('finished') in robot.preview_description(), 'and another one paints on')
    robot.close_dialog()


def kill_once(robot, draw, pixels):
    generate = begin(robot)
    insert = robot.button('_Insert')
    press(generate)
    deadline = time.monotonic() + draw.uniform(0, LONGEST_SECONDS)
    while time.monotonic() < deadline:
        if is_sensitive(insert):
            press(insert)
        time.sleep(0.02)
    os.kill(wait_for(lambda: plug_in_of(robot.gimp.pid), 'the plug-in'), signal.SIGKILL)
    wait_for(lambda: plug_in_of(robot.gimp.pid) is None, 'the end of the plug-in')
    if robot.gimp.poll() is not None:
        return 'GIMP has ended'
    if robot.ask('canvas.get_layers()[-1].get_name()') != 'canvas':
        return 'the layer is gone'
    if robot.ask('buffer_pixels(canvas.get_layers()[-1])') != pixels:
        return 'the layer has changed'
    return None


def check_kills(robot):
    seed = int(os.environ.get('SWITTI_TEST_SEED', time.time_ns() % 10**6))
    print(f'# SWITTI_TEST_SEED={seed}', file=tap.out, flush=True)
    draw = random.Random(seed)
    pixels = robot.ask('buffer_pixels(canvas.get_layers()[-1])')
    found = [kill_once(robot, draw, pixels) for _ in range(KILLS)]
    tap.equal([fault for fault in found if fault], [], f'{KILLS} kills leave GIMP alive and the image unharmed')
    generate = begin(robot)
    press(generate)
    wait_for(lambda: robot.word('finished') in robot.preview_description(), 'a picture after all that')
    robot.wait_idle()
    before = len(robot.ask('names(canvas)'))
    robot.press('button', '_Insert')
    wait_for(lambda: len(robot.ask('names(canvas)')) == before + 1, 'its layer')
    tap.check(True, 'and the next start works')
    robot.close_dialog()


with Robot() as player:
    mine = player.profile.folder / 'models' / 'mine'
    shutil.copytree(os.environ['SWITTI_TEST_MODEL'], mine)
    player.environment['SWITTI_MODEL_PATH'] = f'{os.environ["SWITTI_MODEL_PATH"]}:{mine.parent}'
    player.start()
    check_model_deleted(player, mine)
    check_kills(player)
    tap.equal(player.end(), 0, 'GIMP ends well')
tap.end()
