# command_checks.py - runs commands that plug-in-switti wrote, in a Python script inside GIMP
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# test-commands.py runs this. $SWITTI_TEST_FOLDER has the commands new.py and fill.py; pictures and a recipe go there.

import os
import pathlib
import sys

from gi.repository import Gegl, Gimp, Gio

sys.path.insert(0, os.environ['SWITTI_TEST_SRCDIR'])
from gimp_checks import pixels, recipe_text, run, tap  # noqa: E402

FOLDER = pathlib.Path(os.environ['SWITTI_TEST_FOLDER'])


def command(name):
    """The image and the layers of a command's run."""
    names = {}
    exec((FOLDER / name).read_text(), names)
    return names['image'], names['layers']


def save(image, name):
    Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(str(FOLDER / name)), None)


image, _ = command('new.py')
save(image, 'python.png')
image.select_ellipse(Gimp.ChannelOps.REPLACE, 60, 60, 120, 140)
filled, layers = command('fill.py')
direct, expected = run(image=image, output='new-image', mode='fill', prompt=(FOLDER / 'prompt').read_text(),
                       negative_prompt="'a' robot", seed=4294967297.0, guidance=3.7, top_k=300, top_p=0.9, smooth='on',
                       smooth_start=3, guidance_start=1, guidance_end=8, last_scale_temperature=0.2, precision='f32',
                       strength='layout', grow=2, feather=3.5, context=80.0)
tap.check(pixels(layers[0]) == pixels(expected[0]) and
          pixels(layers[0].get_mask(), 'Y u8') == pixels(expected[0].get_mask(), 'Y u8'),
          'the filling by a command is the filling by its arguments')
(FOLDER / 'recipe.json').write_text(recipe_text(layers[0]))
square, _ = run(recipe_layer=layers[0], output='new-image')
save(square, 'square.png')
for painted in (image, filled, direct, square):
    painted.delete()
tap.end()
