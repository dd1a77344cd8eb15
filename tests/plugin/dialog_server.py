# dialog_server.py - answers questions about GIMP's images, from a Python script inside GIMP
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# A test that plays the user in GIMP's windows (see dialog_robot.py) has this run by one GIMP. It makes a canvas with a
# selection, then evaluates the Python expression of each file ask-N in the folder $SWITTI_TEST_STEPS, and leaves the
# result as JSON in answer-N. It ends with GIMP, or with the expression "None".

import json
import os
import pathlib
import time

from gi.repository import Gegl, Gimp, Gio

STEPS = pathlib.Path(os.environ['SWITTI_TEST_STEPS'])
RECIPE = 'plug-in-switti/recipe'


def names(image):
    """The layers from the top, those of a group in a list behind it."""
    def walk(items):
        found = []
        for item in items:
            found.append(item.get_name())
            if item.is_group_layer() if hasattr(item, 'is_group_layer') else item.is_group():
                found.append(walk(item.get_children()))
        return found
    return walk(image.get_layers())


def recipe(layer):
    parasite = layer.get_parasite(RECIPE)
    return json.loads(bytes(byte & 255 for byte in parasite.get_data()).decode()) if parasite else None


def seed_of(layer):
    return (recipe(layer) or {}).get('seed')


def images():
    return Gimp.get_images()


def buffer_pixels(layer):
    """A checksum of a layer's pixels."""
    buffer = layer.get_buffer()
    return hash(bytes(buffer.get(buffer.get_extent(), 1.0, "R'G'B' u8", Gegl.AbyssPolicy.NONE)))


def pixels(image):
    """A checksum of what is seen."""
    copy = image.duplicate()
    found = buffer_pixels(copy.flatten())
    copy.delete()
    return found


def put_icon(path):
    """A picture of 256 x 256 on the lower edge of the canvas, its lower half selected."""
    global icon
    layer = Gimp.file_load_layer(Gimp.RunMode.NONINTERACTIVE, canvas, Gio.File.new_for_path(path))
    canvas.insert_layer(layer, None, 0)
    layer.set_offsets(72, 44)
    canvas.select_rectangle(Gimp.ChannelOps.REPLACE, 72, 172, 256, 128)
    icon = layer.get_name()
    return icon


def place_of(layer):
    _, x, y = layer.get_offsets()
    return [x, y, layer.get_width(), layer.get_height()]


def pick(number):
    """Selects the layer with this number from the top."""
    return canvas.set_selected_layers([canvas.get_layers()[number]])


def answer(number, expression):
    try:
        value = eval(expression, globals())  # the test's own words
    except Exception as error:  # told to the test, which fails
        value = {'error': repr(error)}
    beside = STEPS / f'answer-{number}.new'
    beside.write_text(json.dumps(value))
    beside.rename(STEPS / f'answer-{number}')
    return value is not None or expression != 'None'


canvas = Gimp.Image.new(400, 300, Gimp.ImageBaseType.RGB)
canvas.insert_layer(Gimp.Layer.new(canvas, 'canvas', 400, 300, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL),
                    None, 0)
Gimp.context_set_foreground(Gegl.Color.new('teal'))
canvas.get_layers()[0].edit_fill(Gimp.FillType.FOREGROUND)
canvas.select_ellipse(Gimp.ChannelOps.REPLACE, 100, 50, 150, 200)
canvas.clean_all()
Gimp.Display.new(canvas)
count = 0
going = True
while going:
    ask = STEPS / f'ask-{count}'
    if ask.exists():
        going = answer(count, ask.read_text())
        count += 1
    else:
        time.sleep(0.05)
canvas.clean_all()
