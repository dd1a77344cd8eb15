#!/usr/bin/env python3
# test-dialog-looks.py - the dialog of plug-in-switti on a small screen, in a light theme and at a scale of 2
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: test-dialog-looks.py SCALE light|dark. The screen must have SCALE times 1280 x 800 pixels. Whether it looks
# well is seen on the pictures; here is what can be told without eyes: it fits, and nothing that is shown is cut off.

import sys

from dialog_robot import Atspi, Robot, descendants, is_showing, press, screenshot, set_text, tap, wait_for

SCREEN = 1280, 800
SCALE, SCHEME = int(sys.argv[1]), sys.argv[2]
NAME = f'{SCHEME}-{SCALE}'


def extents(node):
    found = node.get_component_iface().get_extents(Atspi.CoordType.SCREEN)
    return found.x, found.y, found.width, found.height


def ancestors(node):
    while node.get_parent() is not None:
        node = node.get_parent()
        yield node


def outside(dialog):
    """Buttons that are shown and not within the dialog's window."""
    left, top, width, height = extents(dialog)
    found = []
    for node in descendants(dialog):
        if node.get_role_name() in ('button', 'toggle button') and is_showing(node):
            if any(above.get_role_name() == 'scroll pane' for above in ancestors(node)):
                continue  # what scrolls may reach out
            x, y, w, h = extents(node)
            if x < left or y < top or x + w > left + width or y + h > top + height:
                found.append((node.get_name(), (x, y, w, h)))
    return found


def check(robot, page):
    x, y, width, height = extents(robot.dialog)
    tap.check(width <= SCREEN[0] and height <= SCREEN[1], f'{page}: {width} x {height} fits the screen')
    screenshot(f'{page}-{NAME}', robot.dialog if SCALE == 1 else None)


with Robot(gimprc=f'(theme-color-scheme {SCHEME})\n', GDK_SCALE=str(SCALE)) as robot:
    robot.start()
    robot.open_dialog()
    check(robot, 'first-run')
    robot.press('button', 'Start _painting')
    set_text(robot.control('text', '_Prompt'), 'a robot, flat style')
    robot.control('spin button', 'S_eed').get_value_iface().set_current_value(3)
    robot.control('spin button', 'N_umber of pictures').get_value_iface().set_current_value(9)
    robot.control('combo box', 'M_ode').get_selection_iface().select_child(2)
    press(robot.control('toggle button', 'Samplin_g'))
    robot.press('button', '_Generate')
    wait_for(lambda: robot.word('finished') in robot.preview_description(), 'the picture')
    robot.wait_idle()
    check(robot, 'everything')
    tap.equal(outside(robot.dialog), [], 'nothing is cut off')
    robot.close_dialog()
    tap.equal(robot.end(), 0, 'GIMP ends well')
tap.end()
