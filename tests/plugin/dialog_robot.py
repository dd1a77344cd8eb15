# dialog_robot.py - a GIMP with windows, and a robot that uses its dialog of plug-in-switti over AT-SPI
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Needs a display of its own (see tests/ui/with-xvfb.sh). $SWITTI_TEST_SCREENSHOTS, if set, is a folder that gets
# pictures of the screen to look at.

import gettext
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from gimp_profile import Profile, Tap

# On a machine that is busy with other tests, or under valgrind.
WAIT_SECONDS = int(os.environ.get('SWITTI_TEST_WAIT', 150))

# Keysyms, and the keycode of a modifier.
ENTER, ESCAPE, UP = 0xff0d, 0xff1b, 0xff52
CONTROL = 37

# Roles of what keeps its name as long as the dialog is open.
CONTROLS = {'button', 'toggle button', 'check box', 'combo box', 'text', 'spin button', 'slider', 'image', 'canvas',
            'progress bar', 'table'}

HERE = pathlib.Path(__file__).parent

tap = Tap(os.fdopen(int(os.environ['SWITTI_TEST_TAP']), 'w') if 'SWITTI_TEST_TAP' in os.environ else None)


def skip(reason):
    print(f'1..0 # SKIP {reason}', file=tap.out)
    sys.exit(0)


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
    gi.require_version('Gtk', '3.0')
    from gi.repository import Atspi, Gdk, GLib, Gtk
except (ImportError, ValueError):
    skip('AT-SPI for Python is not installed')
Gtk.init([])
# AT-SPI gives up after 0.8 s, which a busy machine needs at times, and valgrind often.
Atspi.set_timeout(200 * WAIT_SECONDS, 1000 * WAIT_SECONDS)


def wait_for(find_it, what, seconds=None, pause=0.02):
    deadline = time.monotonic() + (seconds or WAIT_SECONDS)
    while time.monotonic() < deadline:
        found = find_it()
        if found:
            return found
        time.sleep(pause)
    raise TimeoutError(f'{what} did not come')


def descendants(node):
    """A node and all below it. Windows may go while they are looked at."""
    if node is None:
        return
    yield node
    try:
        children = [node.get_child_at_index(i) for i in range(node.get_child_count())]
    except GLib.Error:
        return
    for child in children:
        yield from descendants(child)


def find(root, role, name):
    for node in descendants(root):
        try:
            if node.get_role_name() == role and node.get_name() == name:
                return node
        except GLib.Error:
            continue
    return None


def applications():
    desktop = Atspi.get_desktop(0)
    return [app for app in (desktop.get_child_at_index(i) for i in range(desktop.get_child_count())) if app]


def has_state(node, state):
    node.clear_cache_single()  # what is cached may be old
    return node.get_state_set().contains(state)


def is_sensitive(node):
    return has_state(node, Atspi.StateType.SENSITIVE)


def is_showing(node):
    return has_state(node, Atspi.StateType.SHOWING)


def press(node):
    node.get_action_iface().do_action(0)


def set_text(node, text):
    node.get_editable_text_iface().set_text_contents(text)


def get_text(node):
    # By its class: an accessible has a method of the same name.
    text = node.get_text_iface()
    return Atspi.Text.get_text(text, 0, Atspi.Text.get_character_count(text))


def type_key(keysym, *modifiers):
    """On the keyboard, to the window under the pointer; modifiers are keycodes."""
    for keycode in modifiers:
        Atspi.generate_keyboard_event(keycode, None, Atspi.KeySynthType.PRESS)
    Atspi.generate_keyboard_event(keysym, None, Atspi.KeySynthType.SYM)
    for keycode in modifiers:
        Atspi.generate_keyboard_event(keycode, None, Atspi.KeySynthType.RELEASE)


def click(node):
    extents = node.get_component_iface().get_extents(Atspi.CoordType.SCREEN)
    Atspi.generate_mouse_event(extents.x + extents.width // 2, extents.y + extents.height // 2, 'b1c')


def screenshot(name, crop=None):
    """Of the whole screen, or of a node."""
    folder = os.environ.get('SWITTI_TEST_SCREENSHOTS')
    if not folder:
        return
    root = Gdk.get_default_root_window()
    # Where the pointer stood a tooltip may hang over what is to be seen.
    Atspi.generate_mouse_event(root.get_width() - 1, root.get_height() - 1, 'abs')
    time.sleep(0.7)  # let GTK draw
    x, y, width, height = 0, 0, root.get_width(), root.get_height()
    if crop:
        extents = crop.get_component_iface().get_extents(Atspi.CoordType.SCREEN)
        x, y = max(extents.x, 0), max(extents.y, 0)
        width, height = min(extents.width, width - x), min(extents.height, height - y)
    picture = Gdk.pixbuf_get_from_window(root, x, y, width, height)
    picture.savev(f'{folder}/{name}.png', 'png', [], [])


class Robot:
    """A context: one GIMP in a profile of its own, in a language, with the dialog's names in that language."""

    def __init__(self, language=None, gimprc='', **environment):
        self.profile = Profile(language)
        if gimprc:
            self.profile.write_gimprc(gimprc)
        self.environment = dict(self.profile.environment, **environment)
        self.steps = self.profile.folder / 'steps'
        self.asked = 0
        catalogues = pathlib.Path(os.environ['SWITTI_TEST_PLUG_INS']) / 'switti' / 'locale'
        translation = gettext.translation('switti', catalogues, [language or 'C'], fallback=True)
        self.translate = translation.gettext

        self.gimp_translation = gettext.translation('gimp30', '/usr/share/locale', [language or 'C'], fallback=True)
        self.language = language or 'en'

    def picture(self, name):
        """The name of a screenshot."""
        return f'{name}-{self.language}'

    def undo_pattern(self):
        """What GIMP's menu item Undo matches, in GIMP's own translation."""
        text = self.gimp_translation.gettext('_Undo %s').replace('_', '')
        return '.*'.join(re.escape(part) for part in text.split('%s'))

    def word(self, text):
        """A text of ours as it stands in the window: translated, without its mnemonic."""
        return self.translate(text).replace('_', '')

    def __enter__(self):
        return self

    def start(self):
        self.steps.mkdir()
        self.log = open(self.profile.folder / 'log', 'w', encoding='utf-8')
        self.gimp = subprocess.Popen(
            ['gimp-3.0', '-nfds', '--quit', '--batch-interpreter=python-fu-eval', '-b',
             f'exec(open({str(HERE / "dialog_server.py")!r}).read())'],
            env=dict(self.environment, SWITTI_TEST_STEPS=str(self.steps)), stdout=self.log, stderr=self.log)

    def __exit__(self, kind, error, traceback):
        if isinstance(error, (TimeoutError, subprocess.TimeoutExpired, GLib.Error)):
            screenshot('failure')
            tap.check(False, str(error))
        self.gimp.kill()
        self.gimp.wait()
        self.log.close()
        for line in (self.profile.folder / 'log').read_text(errors='replace').splitlines():
            print(f'# {line}', file=tap.out)
        self.profile.__exit__()
        return isinstance(error, (TimeoutError, subprocess.TimeoutExpired, GLib.Error))

    def ask(self, expression):
        """The value of a Python expression inside GIMP, see dialog_server.py."""
        number, self.asked = self.asked, self.asked + 1
        beside = self.steps / 'ask.new'
        beside.write_text(expression)
        beside.rename(self.steps / f'ask-{number}')
        answer = self.steps / f'answer-{number}'
        wait_for(answer.exists, f'the answer to {expression}')
        value = json.loads(answer.read_text())
        if isinstance(value, dict) and 'error' in value:
            raise RuntimeError(f'{expression}: {value["error"]}')
        return value

    def find_menu_item(self, pattern):
        """Of GIMP's own window, by a regular expression of its name."""
        for app in applications():
            if app.get_name().startswith('gimp'):
                for node in descendants(app):
                    try:
                        if node.get_role_name() == 'menu item' and re.match(pattern, node.get_name()):
                            return node
                    except GLib.Error:
                        continue
        return None

    def find_dialog(self):
        for app in applications():
            if app.get_name() == 'plug-in-switti':
                dialog = find(app, 'dialog', self.word('Generate with Switti'))
                if dialog and find(dialog, 'button', self.word('_Generate')):
                    return dialog
        return None

    def open_dialog(self):
        item = wait_for(lambda: self.find_menu_item(re.escape(self.word('_Switti…'))), 'the menu item')
        press(item)
        self.dialog = wait_for(self.find_dialog, 'the dialog')
        self.found = {}
        return self.dialog

    def find_control(self, role, text):
        """A control, or None. Looking through the whole window takes a second, and half a minute under valgrind: what
        is met on the way and shows is kept. What does not may be another page's, where a name comes again."""
        wanted = role, self.word(text)
        if wanted not in self.found:
            for node in descendants(self.dialog):
                try:
                    met = node.get_role_name(), node.get_name()
                    if met not in self.found and (met == wanted or met[0] in CONTROLS and is_showing(node)):
                        self.found[met] = node
                except GLib.Error:
                    continue
        return self.found.get(wanted)

    def control(self, role, text):
        return wait_for(lambda: self.find_control(role, text), f'the {role} “{self.word(text)}”')

    def button(self, text):
        return self.control('button', text)

    def press(self, role, text):
        node = self.control(role, text)
        wait_for(lambda: is_sensitive(node), f'a sensitive {text}')
        press(node)

    def preview_description(self):
        return self.control('image', 'Preview').get_description()

    def wait_idle(self):
        node = self.button('_Generate')
        wait_for(lambda: is_sensitive(node), 'the end of the painting')

    def close_dialog(self):
        press(self.button('_Close'))
        wait_for(lambda: self.find_dialog() is None, 'the end of the dialog')

    def end(self):
        """GIMP's exit status."""
        self.ask('None')
        return self.gimp.wait(WAIT_SECONDS)
