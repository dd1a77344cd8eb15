# gimp_checks.py - plug-in-switti called, and what it left looked at, from a Python script inside GIMP
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# For the …_checks.py scripts that one GIMP runs; what `tap` counts goes to $SWITTI_TEST_REPORT.

import json
import os

from gi.repository import Gegl, Gimp
from gimp_profile import Tap

PARASITE = 'plug-in-switti/recipe'

Gegl.init(None)
tap = Tap(open(os.environ['SWITTI_TEST_REPORT'], 'w', encoding='utf-8'))


def run(**arguments):
    """The image and the layers, or the status and the sentence of a failure."""
    procedure = Gimp.get_pdb().lookup_procedure('plug-in-switti')
    config = procedure.create_config()
    for name, value in arguments.items():
        if name == 'drawables':
            config.set_core_object_array(name, value)
        else:
            config.set_property(name.replace('_', '-'), value)
    result = procedure.run(config)
    if result.index(0) == Gimp.PDBStatusType.SUCCESS:
        return result.index(1), result.get_core_object_array(2)
    return result.index(0), result.index(1)


def pixels(drawable, form="R'G'B' u8"):
    rectangle = Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height())
    return bytes(drawable.get_buffer().get(rectangle, 1.0, form, Gegl.AbyssPolicy.NONE))


def recipe_text(layer):
    return bytes(byte & 255 for byte in layer.get_parasite(PARASITE).get_data()).decode()


def recipe(layer):
    return json.loads(recipe_text(layer))


def check_refused(name, word, **arguments):
    """The call fails with one sentence that holds the word, and leaves no image."""
    before = len(Gimp.get_images())
    status, sentence = run(**arguments)
    tap.check(status == Gimp.PDBStatusType.EXECUTION_ERROR and isinstance(sentence, str) and word in sentence
              and '\n' not in sentence and sentence.endswith('.'), f'{name} is refused in one sentence',
              f'{status} {sentence!r}')
    tap.equal(len(Gimp.get_images()), before, f'{name}: no image is left behind')
