#!/usr/bin/env python3
# test-dialog.py - the dialog of plug-in-switti, played by a robot over AT-SPI in a GIMP with windows
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Runs on a display of its own (see tests/ui/with-xvfb.sh). $SWITTI_TEST_SCREENSHOTS, if set, is a folder that gets
# pictures of the screen to look at.

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from gimp_profile import Profile, Tap

WAIT_SECONDS = 60
PROMPT = 'a grinning cat, flat style'
# Roles that take the focus without being a control of their own.
NO_CONTROLS = {'scroll pane', 'label', 'viewport'}

tap = Tap(os.fdopen(int(os.environ['SWITTI_TEST_TAP']), 'w') if 'SWITTI_TEST_TAP' in os.environ else None)


def skip(reason):
    print(f'1..0 # SKIP {reason}', file=tap.out)
    sys.exit(0)


def wait_for(find, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = find()
        if found:
            return found
        time.sleep(0.1)
    raise TimeoutError(f'{what} did not come')


def descendants(node):
    """A node and all below it. Windows may go while they are looked at."""
    if node is None:
        return
    yield node
    try:
        count = node.get_child_count()
        children = [node.get_child_at_index(i) for i in range(count)]
    except GLib.Error:
        return
    for child in children:
        yield from descendants(child)


def applications():
    desktop = Atspi.get_desktop(0)
    return [app for app in (desktop.get_child_at_index(i) for i in range(desktop.get_child_count())) if app]


def find(root, role, name):
    for node in descendants(root):
        if node.get_role_name() == role and node.get_name() == name:
            return node
    return None


def find_dialog():
    for app in applications():
        dialog = find(app, 'dialog', 'Generate with Switti') if app.get_name() == 'plug-in-switti' else None
        if dialog and find(dialog, 'button', 'Generate'):
            return dialog
    return None


def has_state(node, state):
    return node.get_state_set().contains(state)


def press(node):
    node.get_action_iface().do_action(0)


def screenshot(name):
    folder = os.environ.get('SWITTI_TEST_SCREENSHOTS')
    if folder:
        time.sleep(1)  # let GTK draw
        root = Gdk.get_default_root_window()
        picture = Gdk.pixbuf_get_from_window(root, 0, 0, root.get_width(), root.get_height())
        picture.savev(f'{folder}/{name}.png', 'png', [], [])


def check_names(dialog):
    controls = [node for node in descendants(dialog)
                if (has_state(node, Atspi.StateType.FOCUSABLE) or node.get_role_name() == 'combo box')
                and node.get_role_name() not in NO_CONTROLS]
    nameless = [node.get_role_name() for node in controls if not node.get_name()]
    tap.check(len(controls) >= 20 and not nameless, 'every control has a name for screen readers',
              f'{len(controls)} controls, nameless: {nameless}')
    names = [node.get_name() for node in controls]
    tap.equal(sorted(name for name in set(names) if names.count(name) > 1), [], 'no two controls have the same name')


def play_cancel():
    dialog = wait_for(find_dialog, 'the dialog')
    check_names(dialog)
    tap.check(not has_state(find(dialog, 'button', 'Generate'), Atspi.StateType.SENSITIVE),
              'without a prompt there is nothing to generate')
    screenshot('dialog')
    press(find(dialog, 'toggle button', 'Sampling and device'))
    press(find(dialog, 'toggle button', 'What this model knows'))
    screenshot('dialog-expanded')
    press(find(dialog, 'button', 'Cancel'))


def play_generate():
    dialog = wait_for(find_dialog, 'the dialog, again')
    find(dialog, 'text', 'Prompt').get_editable_text_iface().set_text_contents(PROMPT)
    find(dialog, 'spin button', 'Seed').get_value_iface().set_current_value(11.0)
    generate = find(dialog, 'button', 'Generate')
    wait_for(lambda: has_state(generate, Atspi.StateType.SENSITIVE), 'a sensitive Generate button')
    press(generate)


def play_undo():
    def find_undo():
        for app in applications():
            if app.get_name().startswith('gimp'):
                for node in descendants(app):
                    if node.get_role_name() == 'menu item' and node.get_name().startswith('Undo'):
                        return node
        return None

    press(wait_for(find_undo, 'the menu item Undo'))


def play(steps):
    def result(step):
        return json.loads(wait_for(lambda: (steps / step).exists() and (steps / step).read_text(), f'step {step}'))

    play_cancel()
    tap.equal(result('cancelled'), {'status': 'cancel'}, 'Cancel ends without a picture')
    play_generate()
    painted = result('painted')
    tap.equal((painted['status'], painted.get('layers'), painted.get('masked')), ('success', [PROMPT, 'canvas'], True),
              'Generate paints into the selection')
    screenshot('painted')
    recipe = json.loads(painted.get('recipe', '{}'))
    tap.equal((recipe.get('prompt'), recipe.get('seed')), (PROMPT, 11), 'the recipe has what was entered')
    play_undo()
    tap.equal(result('undone'), ['canvas'], 'one undo takes all of it away')
    again = result('again')
    tap.check(again.get('recipe') == painted.get('recipe', ''), 'the last values paint the same again', again)


def main():
    with Profile() as profile:
        steps = profile.folder / 'steps'
        steps.mkdir()
        driver = pathlib.Path(__file__).with_name('dialog_checks.py')
        with open(profile.folder / 'log', 'w', encoding='utf-8') as log, subprocess.Popen(
                ['gimp-3.0', '-nfds', '--quit', '--batch-interpreter=python-fu-eval', '-b',
                 f'exec(open({str(driver)!r}).read())'],
                env=dict(profile.environment, SWITTI_TEST_STEPS=str(steps)), stdout=log, stderr=log) as gimp:
            try:
                play(steps)
                tap.equal(gimp.wait(WAIT_SECONDS), 0, 'GIMP ends well')
            except (TimeoutError, subprocess.TimeoutExpired) as error:
                tap.check(False, str(error))
            finally:
                gimp.kill()
        for line in (profile.folder / 'log').read_text(errors='replace').splitlines():
            print(f'# {line}', file=tap.out)
    tap.end()


if tap.out is None:
    # A session bus of our own has an accessibility bus of its own, with nobody else's windows on it. The buses talk on
    # the standard output, which therefore becomes the error output; the tests' words go where it was.
    if not shutil.which('dbus-run-session'):
        skip('dbus-run-session is not installed')
    output = os.dup(1)
    os.set_inheritable(output, True)
    os.dup2(2, 1)
    os.environ['SWITTI_TEST_TAP'] = str(output)
    os.execvp('dbus-run-session', ['dbus-run-session', '--', sys.executable, *sys.argv])

try:
    import gi
    gi.require_version('Atspi', '2.0')
    gi.require_version('Gdk', '3.0')
    from gi.repository import Atspi, Gdk, GLib
except (ImportError, ValueError):
    skip('AT-SPI for Python is not installed')
Gdk.init([])
main()
