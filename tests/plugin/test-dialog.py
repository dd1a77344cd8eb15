#!/usr/bin/env python3
# test-dialog.py - the dialog of plug-in-switti, used by a robot in a GIMP with windows
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: test-dialog.py [LANGUAGE]

import pathlib
import sys
import time

from dialog_robot import (CONTROL, ENTER, ESCAPE, UP, Atspi, Gdk, Gtk, Robot, click, descendants, find, get_text,
                          has_state, is_sensitive, is_showing, press, screenshot, set_text, tap, type_key, wait_for)

PROMPT = 'a grinning cat, flat style'
SEED = 11
ICON = pathlib.Path(__file__).parents[2].resolve() / 'docs' / 'grinning-cat.png'
N_SCALES = 10
GUIDED = 4  # of them, as the model in the box says

# Roles that take the focus without being a control of their own.
NO_CONTROLS = {'scroll pane', 'label', 'viewport', 'list', 'list item', 'panel', 'grouping', 'page tab list',
               'page tab', 'split pane'}


def controls(dialog):
    return [node for node in descendants(dialog)
            if (has_state(node, Atspi.StateType.FOCUSABLE) or node.get_role_name() == 'combo box')
            and node.get_role_name() not in NO_CONTROLS and is_showing(node)]


def check_names(robot):
    found = controls(robot.dialog)
    nameless = [node.get_role_name() for node in found if not node.get_name()]
    tap.check(len(found) >= 20 and not nameless, 'every control has a name for screen readers',
              f'{len(found)} controls, nameless: {nameless}')
    names = [(node.get_role_name(), node.get_name()) for node in found]
    tap.equal(sorted(name for name in set(names) if names.count(name) > 1), [], 'no two controls have the same name')


def check_first_run(robot):
    robot.open_dialog()
    texts = [node.get_name() for node in descendants(robot.dialog) if node.get_role_name() == 'label']
    tap.check(any('grinning cat' in text and 'snowman' in text for text in texts),
              'the first run says what the default model knows', texts)
    screenshot(robot.picture('first-run'), robot.dialog)
    robot.press('button', 'Start _painting')
    wait_for(lambda: is_showing(robot.control('text', '_Prompt')), 'the page to paint on')
    tap.check(not is_sensitive(robot.button('_Generate')), 'without a prompt there is nothing to generate')
    check_names(robot)
    screenshot(robot.picture('dialog'), robot.dialog)


def enter(robot, seed, count):
    set_text(robot.control('text', '_Prompt'), PROMPT)
    robot.control('spin button', 'S_eed').get_value_iface().set_current_value(seed)
    robot.control('spin button', 'N_umber of pictures').get_value_iface().set_current_value(count)


def watch_preview(robot):
    """What the preview says of itself, from the start to the end of a painting, each once."""
    image = robot.control('image', 'Preview')
    finished = robot.word('finished')
    wait_for(lambda: finished not in image.get_description(), 'the start')
    seen = []
    while not seen or finished not in seen[-1]:
        description = image.get_description()
        if not seen or description != seen[-1]:
            seen.append(description)
        if len(seen) > 4 * N_SCALES:
            break
    return seen


def check_generate(robot):
    """Asking what is seen takes as long as a scale does, so that one may be missed: then it is painted again."""
    scales = [robot.translate('Seed %s, %s') % (SEED, robot.translate('scale %d of %d') % (scale + 1, N_SCALES))
              for scale in range(N_SCALES - 1)]
    met, in_order = set(), True
    for _ in range(6):
        enter(robot, SEED, 1)
        robot.press('button', '_Generate')
        seen = [said for said in watch_preview(robot) if said in scales]
        met.update(seen)
        in_order = in_order and seen == [scale for scale in scales if scale in seen]
        if len(met) == len(scales):
            break
        robot.wait_idle()
    tap.check(in_order and len(met) == len(scales), 'the preview changes after each scale',
              ', '.join(scale for scale in scales if scale not in met))
    robot.wait_idle()
    screenshot(robot.picture('painted'), robot.dialog)


def look(robot):
    """What an undo has to bring back."""
    return robot.ask('[names(canvas), pixels(canvas)]')


def undo(robot, before, what):
    press(wait_for(lambda: robot.find_menu_item(robot.undo_pattern()), 'the menu item Undo'))
    wait_for(lambda: robot.ask('names(canvas)') == before[0], 'the layer to go')
    tap.equal(look(robot), before, f'one undo takes all of {what} away')


def check_insert(robot):
    before = look(robot)
    robot.press('button', '_Insert')
    wait_for(lambda: robot.ask('names(canvas)') == [PROMPT, 'canvas'], 'the layer')
    # All of it comes in a few calls, of which the mask's is the last.
    wait_for(lambda: robot.ask('canvas.get_layers()[0].get_mask() is not None'), "the selection as the layer's mask")
    recipe = wait_for(lambda: robot.ask('recipe(canvas.get_layers()[0])'), 'the recipe')
    tap.equal((recipe['prompt'], recipe['seed']), (PROMPT, SEED), 'the layer has the recipe of what was entered')
    tap.check(robot.find_dialog() is not None, 'the dialog stays open')
    screenshot(robot.picture('inserted'))
    undo(robot, before, 'an insertion')


def check_again(robot):
    """By keyboard, and from the model that is loaded."""
    progress = robot.control('progress bar', 'Progress')
    click(robot.control('text', '_Prompt'))
    type_key(ord('z'))
    wait_for(lambda: len(get_text(robot.control('text', '_Prompt'))) > len(PROMPT), 'what was typed')
    prompt = get_text(robot.control('text', '_Prompt'))
    tap.equal(prompt.replace('z', ''), PROMPT, 'the prompt takes what is typed')
    type_key(ENTER, CONTROL)
    seen = watch_preview(robot)
    tap.check(len(seen) > N_SCALES // 2, 'Ctrl+Enter paints again', seen)
    robot.wait_idle()
    tap.equal(get_text(robot.control('text', '_Prompt')), prompt, 'and leaves the prompt as it was')
    type_key(UP)
    wait_for(lambda: get_text(robot.control('text', '_Prompt')) == PROMPT, 'the older prompt')
    tap.check(True, 'Up brings the prompt before it back')
    tap.equal(progress.get_name(), robot.word('Progress'), 'the progress has a name')


def check_stop(robot):
    """How soon it stops is measured in tests/ui/test-studio.c, where no other program is in between."""
    enter(robot, 100, 8)
    robot.press('button', '_Generate')
    wanted = robot.translate('scale %d of %d') % (2, N_SCALES)
    wait_for(lambda: wanted in robot.preview_description(), 'the second scale')
    press(robot.button('S_top'))
    robot.wait_idle()
    tap.check(robot.word('finished') not in robot.preview_description(), 'Stop leaves the picture as it was')
    tap.check(not is_sensitive(robot.button('_Insert')), 'what is half done is not inserted')
    screenshot(robot.picture('stopped'), robot.dialog)


def check_escape(robot):
    enter(robot, 200, 8)
    click(robot.control('text', '_Prompt'))
    type_key(ENTER, CONTROL)
    wait_for(lambda: not is_sensitive(robot.button('_Generate')), 'the start')
    type_key(ESCAPE)
    robot.wait_idle()
    tap.check(robot.find_dialog() is not None, 'Esc stops the painting, and leaves the dialog open')


def check_dice(robot):
    seed = robot.control('spin button', 'S_eed').get_value_iface()
    seed.set_current_value(-1)
    lock = robot.control('toggle button', 'Keep the seed')
    wait_for(lambda: not has_state(lock, Atspi.StateType.CHECKED), 'an open lock')
    robot.press('button', 'Roll the dice')
    wait_for(lambda: seed.get_current_value() >= 0, 'a seed')
    tap.check(has_state(lock, Atspi.StateType.CHECKED), 'the dice draw a seed and keep it')
    rolled = seed.get_current_value()
    robot.press('button', 'Roll the dice')
    tap.check(wait_for(lambda: seed.get_current_value() != rolled, 'another seed'), 'and another one')
    press(lock)
    wait_for(lambda: seed.get_current_value() == -1, 'the open lock')
    tap.check(True, 'the lock opens again')


def strip_item(robot, seed, state):
    name = robot.translate('Seed %s, %s') % (seed, state)
    return find(robot.dialog, 'list item', name)


def check_contact_sheet(robot):
    enter(robot, 20, 4)
    robot.press('check box', 'Contact s_heet')
    robot.press('button', '_Generate')
    middle = robot.translate('scale %d of %d') % (N_SCALES // 2, N_SCALES)
    wait_for(lambda: strip_item(robot, 23, middle), 'a sheet of four up to the middle scale')
    robot.wait_idle()
    screenshot(robot.picture('contact-sheet'), robot.dialog)
    picked = strip_item(robot, 22, middle)
    # As a screen reader does it: the strip is a selection.
    strip = robot.control('table', 'Pictures of this run')
    selection = strip.get_selection_iface()
    selection.clear_selection()
    selection.select_child(picked.get_index_in_parent())
    wait_for(lambda: '22' in robot.preview_description(), 'the picked one in the preview')
    robot.press('button', '_Finish picked')
    wait_for(lambda: strip_item(robot, 22, robot.word('finished')), 'the finished one')
    robot.wait_idle()
    tap.check(strip_item(robot, 20, middle) is not None, 'only the picked one of the sheet is finished')
    screenshot(robot.picture('finished-picked'), robot.dialog)
    robot.press('button', '_Insert')
    recipe = wait_for(lambda: robot.ask('recipe(canvas.get_layers()[0])'), 'the picked one as a layer')
    tap.equal(recipe['seed'], 22, 'and it is what goes into GIMP')
    robot.press('check box', 'Contact s_heet')


def check_expanders(robot):
    robot.press('toggle button', 'Samplin_g')
    wait_for(lambda: is_showing(robot.control('canvas', 'Sampling over the scales')), 'the curve')
    screenshot(robot.picture('sampling'), robot.dialog)
    robot.press('toggle button', 'All n_umbers, and the device')
    spin = robot.control('spin button', 'Guide _from scale')
    spin.get_value_iface().set_current_value(2)
    curve = robot.control('canvas', 'Sampling over the scales')
    words = robot.translate('Scales %d to %d of %d follow the prompt closely.') % (3, GUIDED, N_SCALES)
    wait_for(lambda: words in curve.get_description(), 'the number in the words of the curve')
    tap.check(True, 'the numbers and the curve are the same')
    screenshot(robot.picture('numbers'), robot.dialog)
    robot.press('button', "Model's _defaults")
    wait_for(lambda: spin.get_value_iface().get_current_value() == -1, 'the default')
    tap.check(True, 'and both are reset together')


def check_favourites(robot):
    press(robot.control('toggle button', 'Favourites'))
    name = wait_for(lambda: find(robot.dialog, 'text', robot.word('Name of these settings')), 'the name')
    set_text(name, 'Cats')
    robot.press('button', '_Keep')
    wait_for(lambda: find(robot.dialog, 'list item', 'Cats'), 'the favourite')
    screenshot(robot.picture('favourites'), robot.dialog)
    press(robot.control('toggle button', 'Favourites'))
    kept = (robot.profile.folder / 'config' / 'switti' / 'favourites.ini').read_text()
    tap.check(PROMPT in kept, 'a favourite is kept in a file', kept)
    history = (robot.profile.folder / 'config' / 'switti' / 'prompts').read_text()
    tap.equal(sorted(history.splitlines()), sorted({PROMPT, *history.splitlines()}), 'and the prompts are, each once')


def choose_mode(robot, index):
    robot.control('combo box', 'M_ode').get_selection_iface().select_child(index)


def choose_menu(robot, text):
    press(robot.control('toggle button', 'More'))
    item = wait_for(lambda: find(Atspi.get_desktop(0), 'menu item', robot.word(text)), f'the menu item {text}')
    press(item)


def paint(robot, seed):
    enter(robot, seed, 1)
    robot.press('button', '_Generate')
    wait_for(lambda: robot.word('finished') in robot.preview_description() and str(seed) in robot.preview_description(),
             'the picture')
    robot.wait_idle()


def insert(robot, seed):
    """The recipe of the new layer."""
    robot.press('button', '_Insert')
    recipe = wait_for(lambda: next((found for found in robot.ask('[recipe(layer) for layer in canvas.get_layers()]')
                                    if found and found['seed'] == seed), None), f'a layer of the seed {seed}')
    is_sensitive(robot.button('_Insert'))  # which it says when it has done all that belongs to it
    return recipe


def check_fill(robot):
    """The lower half of an icon is painted anew; the square that the model sees is the icon."""
    robot.ask(f'put_icon({str(ICON)!r})')
    choose_mode(robot, 1)
    context = robot.control('spin button', 'Conte_xt')
    wait_for(lambda: is_showing(context), 'what belongs to filling')
    context.get_value_iface().set_current_value(0)
    untouched = look(robot)
    paint(robot, 31)
    screenshot(robot.picture('filled'), robot.dialog)
    before = robot.control('toggle button', '_Before')
    tap.check(is_sensitive(before), 'there is a before to compare a filling with')
    tap.check('mask' in insert(robot, 31), 'a filling is inserted, with its source in the recipe')
    undo(robot, untouched, 'a filling')
    insert(robot, 31)


def check_variation(robot):
    """Of the icon, below the filling."""
    robot.ask('pick(1)')
    choose_mode(robot, 2)
    strength = robot.control('slider', 'Stren_gth')
    wait_for(lambda: is_showing(strength), 'what belongs to varying')
    strength.get_value_iface().set_current_value(2)
    wait_for(lambda: strength.get_description() == robot.word('Similar layout'), 'the strength in words')
    paint(robot, 32)
    screenshot(robot.picture('varied'), robot.dialog)
    untouched = look(robot)
    recipe = insert(robot, 32)
    tap.check('source' in recipe and 'mask' not in recipe, 'a layer is varied, with its source in the recipe', recipe)
    tap.equal(robot.ask('place_of(next(layer for layer in canvas.get_layers() if seed_of(layer) == 32))'),
              robot.ask('place_of(canvas.get_layer_by_name(icon))'), 'of the layer that is selected now')
    undo(robot, untouched, 'a variation')
    choose_mode(robot, 0)


def check_recipe(robot):
    """The filling is the topmost layer; its recipe says seed 31."""
    robot.ask('pick(0)')
    set_text(robot.control('text', '_Prompt'), 'something else')
    choose_menu(robot, 'Settings of the selected _layer')
    wait_for(lambda: get_text(robot.control('text', '_Prompt')) == PROMPT, 'the prompt of the layer')
    tap.equal(robot.control('spin button', 'S_eed').get_value_iface().get_current_value(), 31,
              'the settings of a layer are taken up')
    screenshot(robot.picture('recipe'), robot.dialog)
    robot.press('button', 'Forget the recipe')
    choose_menu(robot, 'Copy as _Script-Fu')
    wait_for(lambda: find(robot.dialog, 'label', robot.word('Copied; paste it where it is to run.')), 'the word of it')
    text = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text() or ''
    tap.check('plug-in-switti' in text and PROMPT in text, 'a command can be copied', text)


def check_setup(robot):
    choose_menu(robot, '_Models and preferences…')
    tab = wait_for(lambda: find(robot.dialog, 'page tab', robot.word('Device and memor_y')), 'the tab')
    tab.get_parent().get_selection_iface().select_child(tab.get_index_in_parent())
    copy = robot.button('Cop_y diagnostics')
    wait_for(lambda: is_showing(copy), 'the page of the device')
    screenshot(robot.picture('preferences'), robot.dialog)
    press(copy)
    wait_for(lambda: find(robot.dialog, 'button', robot.word('Diagnostics copied')), 'the diagnostics')
    text = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text() or ''
    tap.check('Model: icons' in text and PROMPT not in text and str(robot.profile.folder) not in text,
              'diagnostics have the model, and neither prompt nor folder', text)
    robot.press('button', 'Start _painting')


def play(robot):
    check_first_run(robot)
    check_generate(robot)
    check_insert(robot)
    check_again(robot)
    check_stop(robot)
    if robot.language == 'en':
        check_escape(robot)
    check_dice(robot)
    check_contact_sheet(robot)
    check_expanders(robot)
    check_favourites(robot)
    check_fill(robot)
    check_variation(robot)
    check_recipe(robot)
    check_setup(robot)
    robot.close_dialog()
    robot.open_dialog()
    tap.check(is_showing(robot.control('text', '_Prompt')), 'the second time begins with painting')
    tap.equal(get_text(robot.control('text', '_Prompt')), PROMPT, 'and with what was entered last')
    robot.close_dialog()
    tap.equal(robot.end(), 0, 'GIMP ends well')


with Robot(sys.argv[1] if len(sys.argv) > 1 else None) as player:
    player.start()
    play(player)
tap.end()
