# fill_checks.py - fillings, variations and recipes of plug-in-switti, seen from a Python script inside GIMP
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# test-fill.py runs this in one GIMP and shows the TAP lines that it writes to $SWITTI_TEST_REPORT.

import json
import os
import pathlib
import sys

from gi.repository import Gegl, Gimp, Gio

sys.path.insert(0, os.environ['SWITTI_TEST_SRCDIR'])
from gimp_checks import check_refused, pixels, recipe, recipe_text, run, tap  # noqa: E402

PROMPT = 'a grinning cat, flat style'
SIZE, SCALES = 256, 10  # of the default model's pictures
FOLDER = pathlib.Path(os.environ['SWITTI_TEST_FOLDER'])


def visible(image, form):
    layer = Gimp.Layer.new_from_visible(image, image, 'visible')
    found = pixels(layer, form)
    layer.delete()
    return found


def drawing(width, height):
    """Bands and a disc, in R'G'B' u8."""
    data = bytearray()
    for y in range(height):
        for x in range(width):
            inside = (x - width / 3) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2
            data += bytes((230, 120, 30)) if inside else bytes((x * 255 // width, 200, y * 255 // height))
    return bytes(data)


def new_canvas(width, height, kind=Gimp.ImageBaseType.RGB, precision=Gimp.Precision.U8_NON_LINEAR):
    image = Gimp.Image.new_with_precision(width, height, Gimp.ImageBaseType.RGB, precision)
    layer = Gimp.Layer.new(image, 'canvas', width, height, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    layer.get_buffer().set(Gegl.Rectangle.new(0, 0, width, height), "R'G'B' u8", drawing(width, height))
    layer.update(0, 0, width, height)
    if kind == Gimp.ImageBaseType.GRAY:
        image.convert_grayscale()
    elif kind == Gimp.ImageBaseType.INDEXED:
        image.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.WEB, 0, False, False, '')
    return image


def selection_of(image):
    rectangle = Gegl.Rectangle.new(0, 0, image.get_width(), image.get_height())
    return bytes(image.get_selection().get_buffer().get(rectangle, 1.0, 'Y u8', Gegl.AbyssPolicy.NONE))


def ellipse(x, y, width, height):
    return lambda image: image.select_ellipse(Gimp.ChannelOps.REPLACE, x, y, width, height)


def rectangle(x, y, width, height):
    return lambda image: image.select_rectangle(Gimp.ChannelOps.REPLACE, x, y, width, height)


def two_rectangles(image):
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 10, 30, 40)
    image.select_rectangle(Gimp.ChannelOps.ADD, 200, 120, 77, 80)


def soft_triangle(image):
    image.select_polygon(Gimp.ChannelOps.REPLACE, [150.5, -40.0, 340.0, 90.0, 20.0, 150.0])
    Gimp.Selection.feather(image, 15)


def check_filling(name, select, form="R'G'B'A u8", canvas=None, **arguments):
    """Outside the selection every pixel is what it was; inside it is not."""
    image = canvas or new_canvas(300, 200)
    select(image)
    selection, before = selection_of(image), visible(image, form)
    layers_before = [layer.get_name() for layer in image.get_layers()]
    _, layers = run(image=image, prompt=PROMPT, seed=5.0, mode='fill', **arguments)
    if not tap.check(not isinstance(layers, str), f'{name}: is filled', layers):
        return
    after = visible(image, form)
    size = len(before) // len(selection)
    changed = [before[i * size:(i + 1) * size] != after[i * size:(i + 1) * size] for i in range(len(selection))]
    outside = sum(different for different, value in zip(changed, selection) if value == 0)
    inside = sum(different for different, value in zip(changed, selection) if value == 255)
    # Of a palette's few colours, the nearest is often the one that was there.
    least = (0.25 if image.get_base_type() == Gimp.ImageBaseType.INDEXED else 0.5) * selection.count(255)
    tap.equal(outside, 0, f'{name}: no pixel outside the selection is changed')
    # A single pixel is brought to what is around it, which may be what it was.
    if selection.count(255) > 1:
        tap.check(inside > least, f'{name}: what is selected is painted', f'{inside}, {least} at least')
    tap.equal([layer.get_name() for layer in image.get_layers()], [PROMPT] + layers_before,
              f'{name}: one layer, topmost')
    tap.equal(selection_of(image), selection, f'{name}: the selection stays')
    image.delete()


def check_fillings():
    check_filling('an ellipse', ellipse(90, 60, 120, 71), feather=0.0)
    check_filling('two rectangles at the edges', two_rectangles, context=200.0)
    check_filling('a soft triangle across the edges', soft_triangle, feather=6.0)
    check_filling('everything', Gimp.Selection.all, feather=0.0)
    check_filling('one pixel', rectangle(299, 0, 1, 1), feather=0.0)
    check_filling('a narrow image', rectangle(0, 100, 40, 200), canvas=new_canvas(40, 400))


def check_formats():
    precision, kind = Gimp.Precision, Gimp.ImageBaseType
    for name, form, canvas in (
            ('32-bit linear', 'RGBA float', new_canvas(200, 150, precision=precision.FLOAT_LINEAR)),
            ('16-bit grey', "Y'A u16", new_canvas(200, 150, kind.GRAY, precision.U16_NON_LINEAR)),
            ('indexed', "R'G'B'A u8", new_canvas(200, 150, kind.INDEXED))):
        check_filling(name, ellipse(50, 40, 90, 70), form, canvas)


def mask_of(image, **arguments):
    """The filling's mask, on the whole canvas."""
    _, layers = run(image=image, prompt=PROMPT, seed=5.0, mode='fill', **arguments)
    _, left, top = layers[0].get_offsets()
    width, height = layers[0].get_width(), layers[0].get_height()
    mask = pixels(layers[0].get_mask(), 'Y u8')
    rows = [bytearray(image.get_width()) for _ in range(image.get_height())]
    for y in range(height):
        rows[top + y][left:left + width] = mask[y * width:(y + 1) * width]
    return b''.join(bytes(row) for row in rows)


def check_grow_and_feather():
    image = new_canvas(120, 90)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 30, 50, 40)

    def inside(x, y, by):
        return x < 50 + by and 30 - by <= y < 70 + by

    shrunk = mask_of(image, feather=0.0, grow=-7, strength='composition')
    tap.check(all((shrunk[y * 120 + x] == 255) == inside(x, y, -7) for y in range(90) for x in range(120)),
              'shrunk by 7, though not from the edge of the image')
    grown = mask_of(image, feather=0.0, grow=7)
    outside = [(x, y) for y in range(90) for x in range(120) if grown[y * 120 + x] and not inside(x, y, 7)]
    tap.check(not outside and all(grown[y * 120 + x] for y in range(23, 77) for x in range(50)), 'grown by 7', outside)
    soft = mask_of(image, feather=10.0)
    row = [soft[50 * 120 + x] for x in range(60)]
    tap.check(row == sorted(row, reverse=True) and row[0] == 255 and 0 < row[49] < 12 and row[50] == 0,
              'feathered inwards, and not at the edge of the image', row)
    image.delete()


def check_outputs():
    image = new_canvas(300, 200)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 90, 60, 120, 71)
    before = visible(image, "R'G'B'A u8")
    _, layers = run(image=image, prompt=PROMPT, seed=5.0, mode='fill', count=3, output='layer-group')
    groups = image.get_layers()
    tap.equal([(layer.get_name(), layer.is_group()) for layer in groups], [(PROMPT, True), ('canvas', False)],
              'a group with the name of the prompt')
    tap.equal([(layer.get_name(), layer.get_visible()) for layer in groups[0].get_children()],
              [(f'{PROMPT} (seed {seed})', seed == 5) for seed in (5, 6, 7)],
              'the group has all pictures, the first is visible')
    tap.equal([layer.get_id() for layer in groups[0].get_children()], [layer.get_id() for layer in layers],
              'what is returned is what is in the group')
    image.remove_layer(groups[0])
    copy, _ = run(image=image, prompt=PROMPT, seed=5.0, mode='fill', output='new-image')
    tap.check(copy.get_id() != image.get_id() and visible(image, "R'G'B'A u8") == before,
              'a new image with the filling leaves the old one as it is')
    tap.equal([layer.get_name() for layer in copy.get_layers()], [PROMPT, 'canvas'], 'the new one is a copy with it')
    copy.delete()
    image.delete()
    fresh, _ = run(prompt=PROMPT, seed=5.0, count=2, output='layer-group')
    tap.equal([layer.get_name() for layer in fresh.get_layers()], [PROMPT], 'a group in a new image')
    fresh.delete()


def check_refusals():
    image = new_canvas(60, 50)
    empty = Gimp.Image.new(60, 50, Gimp.ImageBaseType.RGB)
    before = visible(image, "R'G'B'A u8")
    check_refused('filling without an image', 'No image is open', prompt=PROMPT, mode='fill')
    check_refused('a variation without an image', 'No image is open', prompt=PROMPT, mode='variation')
    check_refused('filling without a selection', 'Nothing is selected', prompt=PROMPT, mode='fill', image=image)
    check_refused('a variation of nothing', 'no layer to vary', prompt=PROMPT, mode='variation', image=empty)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 20, 20, 9, 9)
    check_refused('shrinking to nothing', 'Nothing is left', prompt=PROMPT, mode='fill', image=image, grow=-5)
    check_refused('too many scales', 'keep-scales', prompt=PROMPT, mode='fill', image=image, keep_scales=SCALES + 1)
    check_refused('a layer without a recipe', 'has no recipe', prompt=PROMPT, recipe_layer=image.get_layers()[0])
    (FOLDER / 'no recipe').write_text('[1, 2]')
    check_refused('a file that is no recipe', 'recipe', prompt=PROMPT,
                  recipe_file=Gio.File.new_for_path(str(FOLDER / 'no recipe')))
    tap.check(len(image.get_layers()) == 1 and visible(image, "R'G'B'A u8") == before, 'the image is as it was')
    empty.delete()
    image.delete()


def vary(layer, **arguments):
    """The new layer; above the varied one."""
    image = layer.get_image()
    position = image.get_item_position(layer)
    _, layers = run(image=image, drawables=[layer], mode='variation', **arguments)
    if isinstance(layers, str):
        tap.check(False, 'a variation', layers)
        raise SystemExit
    tap.equal(image.get_item_position(layers[0]), position, 'the variation lies above the layer')
    tap.equal((layers[0].get_offsets()[1:], layers[0].get_width(), layers[0].get_height()),
              (layer.get_offsets()[1:], layer.get_width(), layer.get_height()), 'the variation covers the layer')
    return layers[0]


def check_variation_of_painted():
    image, (layer,) = run(prompt='a fox, flat style', seed=7.0)
    same = vary(layer, prompt=PROMPT, seed=9.0, keep_scales=SCALES)
    tap.check(pixels(same) == pixels(layer), 'all scales kept: the layer to the bit')
    tap.equal(recipe(same)['source']['prompt'], 'a fox, flat style', 'the source is the recipe, not the pixels')
    fresh_image, (fresh,) = run(prompt=PROMPT, seed=9.0)
    none = vary(layer, prompt=PROMPT, seed=9.0, keep_scales=0)
    tap.check(pixels(none) == pixels(fresh), 'no scale kept: a fresh picture')
    detail = vary(layer, prompt=PROMPT, seed=9.0, strength='detail')
    tap.equal(recipe(detail)['keep_scales'], 7, 'a strength in words keeps scales')
    tap.check(pixels(detail) not in (pixels(layer), pixels(fresh)), 'and makes another picture')
    # Painted over, the layer is no longer what its recipe says.
    edited = layer.copy()
    image.insert_layer(edited, None, 0)
    edited.get_buffer().set(Gegl.Rectangle.new(100, 100, 1, 1), "R'G'B' u8", bytes(3))
    edited.update(100, 100, 1, 1)
    varied = vary(edited, prompt=PROMPT, seed=9.0)
    tap.check('codes' in recipe(varied)['source'] and recipe(varied)['keep_scales'] == 5,
              'a layer that was painted over is encoded')
    fresh_image.delete()
    image.delete()


def check_variation_of_other():
    image = new_canvas(300, 170)
    layer = image.get_layers()[0]
    layer.set_offsets(11, -7)
    varied = vary(layer, prompt=PROMPT, seed=9.0)
    tap.equal(sorted(recipe(varied)['source']), ['bits', 'codes'], 'a layer of other origin is encoded')
    image.delete()


def check_recipe(layer, name, from_file):
    """A recipe, of the layer or in a file, paints its picture again to the bit; the pixels."""
    path = FOLDER / 'recipe.json'
    path.write_text(recipe_text(layer))
    settings = {'recipe_file': Gio.File.new_for_path(str(path))} if from_file else {'recipe_layer': layer}
    image, (again,) = run(output='new-image', **settings)
    tap.equal(recipe(again), recipe(layer), f'{name}: the recipe of the picture painted again is the same')
    picture = pixels(again)
    image.delete()
    return picture


def check_recipes():
    image, (layer,) = run(prompt=PROMPT, seed=7.0, guidance=3.0, negative_prompt='a robot')
    tap.check(check_recipe(layer, 'new', False) == pixels(layer), 'new: its pixels')
    other, (guided,) = run(recipe_layer=layer, guidance=5.0)
    tap.equal((recipe(guided)['cfg'], recipe(guided)['seed'], recipe(guided)['negative_prompt']), (5.0, 7, 'a robot'),
              'arguments go before the recipe')
    other.delete()
    varied = vary(layer, prompt='a fox, flat style', seed=3.0, strength='layout')
    tap.check(check_recipe(varied, 'variation', True) == pixels(varied), 'variation: its pixels')
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 60, 60, 120, 140)
    _, (filling,) = run(image=image, prompt='a robot, flat style', seed=4.0, mode='fill')
    picture = check_recipe(filling, 'filling', True)
    tap.equal(len(picture), SIZE * SIZE * 3, 'filling: it is of the square that the model saw')
    filling.set_visible(False)
    _, (again,) = run(image=image, recipe_layer=filling, mode='fill')
    tap.check(pixels(again) == pixels(filling)
              and pixels(again.get_mask(), 'Y u8') == pixels(filling.get_mask(), 'Y u8'),
              'filling: the settings of its recipe fill the selection again to the bit')
    image.delete()


check_fillings()
check_formats()
check_grow_and_feather()
check_outputs()
check_refusals()
check_variation_of_painted()
check_variation_of_other()
check_recipes()
tap.end()
