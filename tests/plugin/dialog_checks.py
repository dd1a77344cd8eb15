# dialog_checks.py - runs plug-in-switti with its dialog, from a Python script inside GIMP
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# test-dialog.py runs this in one GIMP with windows, plays the user, and reads the JSON that each step leaves in the
# folder $SWITTI_TEST_STEPS.

import json
import os
import pathlib
import time

from gi.repository import Gimp

STEPS = pathlib.Path(os.environ['SWITTI_TEST_STEPS'])
WAIT_SECONDS = 60

procedure = Gimp.get_pdb().lookup_procedure('plug-in-switti')


def report(step, value):
    """Whole, or not there."""
    beside = STEPS / f'{step}.new'
    beside.write_text(json.dumps(value))
    beside.rename(STEPS / step)


def names(image):
    return [layer.get_name() for layer in image.get_layers()]


def run(image, run_mode):
    config = procedure.create_config()
    config.set_property('run-mode', run_mode)
    config.set_property('image', image)
    result = procedure.run(config)
    if result.index(0) != Gimp.PDBStatusType.SUCCESS:
        return {'status': result.index(0).value_nick}
    layer = result.get_core_object_array(2)[0]
    return {'status': 'success', 'layers': names(image), 'masked': layer.get_mask() is not None,
            'recipe': bytes(byte & 255 for byte in layer.get_parasite('plug-in-switti/recipe').get_data()).decode()}


def wait_for_undo(image):
    """The layer names once they have changed; what they are when time is up."""
    painted = names(image)
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and names(image) == painted:
        time.sleep(0.1)
    return names(image)


canvas = Gimp.Image.new(400, 300, Gimp.ImageBaseType.RGB)
canvas.insert_layer(Gimp.Layer.new(canvas, 'canvas', 400, 300, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL),
                    None, 0)
canvas.select_ellipse(Gimp.ChannelOps.REPLACE, 100, 50, 150, 200)
Gimp.Display.new(canvas)
report('cancelled', run(canvas, Gimp.RunMode.INTERACTIVE))
report('painted', run(canvas, Gimp.RunMode.INTERACTIVE))
report('undone', wait_for_undo(canvas))
report('again', run(canvas, Gimp.RunMode.WITH_LAST_VALS))
canvas.delete()
