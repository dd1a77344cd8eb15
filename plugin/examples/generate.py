# generate.py - paints several pictures of a prompt and exports each with its recipe, in GIMP's batch mode
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# SWITTI_PROMPT="a red apple, flat style" SWITTI_COUNT=3 SWITTI_FOLDER=pictures \
#   gimp-console-3.0 -nidfs --batch-interpreter=python-fu-eval --quit -b 'exec(open("generate.py").read())'
#
# Writes SEED.png and SEED.json for each picture. Exit status 0: all written. 64: an error.

import json
import os
import pathlib

from gi.repository import Gimp, Gio


def generate(**arguments):
    """Runs plug-in-switti and returns the image and its layers, topmost first; raises RuntimeError with GIMP's
    sentence. The arguments are those of the procedure, with _ for -."""
    procedure = Gimp.get_pdb().lookup_procedure('plug-in-switti')
    config = procedure.create_config()
    for name, value in arguments.items():
        config.set_property(name.replace('_', '-'), value)
    result = procedure.run(config)
    # A procedure that fails raises nothing by itself.
    if result.index(0) != Gimp.PDBStatusType.SUCCESS:
        raise RuntimeError(result.index(1))
    return result.index(1), result.get_core_object_array(2)


def recipe_of(layer):
    """The recipe: a JSON object with every parameter, the model's name and hash, and the version."""
    data = layer.get_parasite('plug-in-switti/recipe').get_data()
    return bytes(byte & 255 for byte in data).decode()  # the bytes come as signed numbers


def export(layer, path):
    """Writes one layer as a picture of its own."""
    image = Gimp.Image.new(layer.get_width(), layer.get_height(), Gimp.ImageBaseType.RGB)
    image.insert_layer(Gimp.Layer.new_from_drawable(layer, image), None, 0)
    saved = Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(str(path)), None)
    image.delete()
    if not saved:
        raise RuntimeError(f'{path} could not be written.')


def main():
    folder = pathlib.Path(os.environ.get('SWITTI_FOLDER', '.'))
    folder.mkdir(parents=True, exist_ok=True)
    image, layers = generate(prompt=os.environ['SWITTI_PROMPT'], count=int(os.environ.get('SWITTI_COUNT', '1')),
                             seed=float(os.environ.get('SWITTI_SEED', '-1')), output='new-image')
    for layer in layers:
        recipe = recipe_of(layer)
        seed = json.loads(recipe)['seed']
        export(layer, folder / f'{seed}.png')
        (folder / f'{seed}.json').write_text(recipe)
    image.delete()


main()
