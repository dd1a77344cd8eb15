# batch_checks.py - what plug-in-switti does, seen from a Python script inside GIMP
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# test-batch.py runs this in one GIMP and shows the TAP lines that it writes to $SWITTI_TEST_REPORT.

import os
import subprocess
import sys

from gi.repository import Gegl, Gimp, Gio

sys.path.insert(0, os.environ['SWITTI_TEST_SRCDIR'])
from gimp_checks import PARASITE, check_refused, pixels, recipe, run, tap  # noqa: E402

PROMPT = 'a grinning cat, flat style'
SIZE = 256  # of the default model's pictures

procedure = Gimp.get_pdb().lookup_procedure('plug-in-switti')


def mean_difference(a, b):
    return sum(abs(x - y) for x, y in zip(a, b)) / len(a)


def check_declaration():
    tap.equal(procedure.get_menu_paths(), ['<Image>/Filters/_Generate'], 'the menu path')
    tap.check(procedure.get_blurb() and procedure.get_help(), 'the procedure is documented')
    arguments = {pspec.name: pspec for pspec in procedure.get_arguments()}
    for name in ('prompt negative-prompt model seed count output smooth guidance top-k top-p smooth-start '
                 'guidance-start guidance-end last-scale-temperature batch device precision memory').split():
        tap.check(name in arguments and arguments[name].blurb, f'argument {name} is there and documented')
    tap.equal([pspec.name for pspec in procedure.get_return_values()], ['image', 'layers'], 'the return values')


def check_refusals():
    check_refused('no prompt', 'prompt', prompt='')
    check_refused('a prompt of white space', 'prompt', prompt=' \n\t ')
    check_refused('an unknown model', 'no-such-model', prompt=PROMPT, model='no-such-model')
    check_refused('a truncated model', 'safetensors', prompt=PROMPT, model=os.environ['SWITTI_TEST_TRUNCATED'])
    check_refused('an unknown device', 'abacus', prompt=PROMPT, device='abacus')
    check_refused('a layer without an image', 'image', prompt=PROMPT, output='new-layer')


def check_new_image():
    image, layers = run(prompt=PROMPT, seed=7.0)
    tap.equal((image.get_width(), image.get_height()), (SIZE, SIZE), 'new image: size')
    tap.equal([layer.get_name() for layer in image.get_layers()], [PROMPT], 'new image: the name of its layer')
    tap.equal([layer.get_id() for layer in layers], [layer.get_id() for layer in image.get_layers()],
              'new image: the layers are returned')
    tap.equal(layers[0].get_mask(), None, 'new image: no mask')
    parasite = layers[0].get_parasite(PARASITE)
    tap.check(parasite.is_persistent() and parasite.is_undoable(), 'the recipe stays with the file and can be undone')
    tap.equal((recipe(layers[0])['prompt'], recipe(layers[0])['seed']), (PROMPT, 7), 'the recipe has prompt and seed')
    first = pixels(layers[0])
    tap.check(len(set(first)) > 16, 'the picture is a picture', f'{len(set(first))} values')

    again, again_layers = run(prompt=PROMPT, seed=7.0)
    tap.check(pixels(again_layers[0]) == first, 'the same seed paints the same pixels')
    other, other_layers = run(prompt=PROMPT)
    other_seed = recipe(other_layers[0])['seed']
    tap.check(other_seed != 7 and 0 <= other_seed < 2**31, 'without a seed a random one is drawn', other_seed)
    for painted in (image, again, other):
        painted.delete()
    return first


def check_count(first):
    image, layers = run(prompt=PROMPT, seed=6.0, count=3)
    tap.equal([layer.get_name() for layer in image.get_layers()], [f'{PROMPT} (seed {seed})' for seed in (6, 7, 8)],
              'three pictures: layers named with their seeds, the first topmost')
    tap.equal([recipe(layer)['seed'] for layer in layers], [6, 7, 8], 'three pictures: each recipe has its seed')
    tap.check(pixels(layers[1]) == first, 'a picture of three is the picture of its seed alone')
    image.delete()


def check_arguments_arrive():
    wanted = {'guidance': 2.5, 'top-k': 30, 'top-p': 0.5, 'smooth-start': 3, 'guidance-start': 1, 'guidance-end': 7,
              'last-scale-temperature': 0.25}
    published = {'guidance': 'cfg', 'top-k': 'top_k', 'top-p': 'top_p', 'smooth-start': 'smooth_start_si',
                 'guidance-start': 'turn_on_cfg_start_si', 'guidance-end': 'turn_off_cfg_start_si',
                 'last-scale-temperature': 'last_scale_temp'}
    image, layers = run(prompt=PROMPT, negative_prompt='a robot', smooth='on', precision='f32', device='cpu',
                        model='icons', batch=1, **{name.replace('-', '_'): value for name, value in wanted.items()})
    stated = recipe(layers[0])
    tap.equal({name: stated.get(published[name]) for name in wanted}, wanted, 'every number reaches the recipe')
    tap.equal((stated.get('negative_prompt', stated.get('negative-prompt')), stated.get('more_smooth')),
              ('a robot', True), 'negative prompt and smoothing reach the recipe')
    image.delete()


def check_long_prompt():
    prompt = 'ein Kätzchen, ' * 10 + 'flach'
    image, layers = run(prompt=prompt, seed=1.0)
    tap.equal(layers[0].get_name(), prompt[:63] + '…', 'a long prompt is cut in the name of the layer')
    tap.equal(recipe(layers[0])['prompt'], prompt, 'a long prompt is whole in the recipe')
    image.delete()


def new_canvas(width, height, kind=Gimp.ImageBaseType.RGB, precision=Gimp.Precision.U8_NON_LINEAR):
    image = Gimp.Image.new_with_precision(width, height, kind, precision)
    layer_type = Gimp.ImageType.RGB_IMAGE if kind == Gimp.ImageBaseType.RGB else Gimp.ImageType.GRAY_IMAGE
    for name in ('below', 'above'):
        image.insert_layer(Gimp.Layer.new(image, name, width, height, layer_type, 100, Gimp.LayerMode.NORMAL), None, 0)
    image.set_selected_layers([image.get_layer_by_name('below')])
    return image


def check_new_layer(first):
    image = new_canvas(401, 300)
    returned, layers = run(image=image, drawables=image.get_selected_drawables(), prompt=PROMPT, seed=7.0)
    tap.equal(returned.get_id(), image.get_id(), 'an open image gets the layer without being asked')
    tap.equal([layer.get_name() for layer in image.get_layers()], ['above', PROMPT, 'below'],
              'the layer lies above the selected one')
    _, x, y = layers[0].get_offsets()
    tap.equal((x, y, layers[0].get_width(), layers[0].get_height()), (72, 22, SIZE, SIZE),
              'without a selection the layer is centred')
    tap.equal(layers[0].get_mask(), None, 'without a selection there is no mask')
    tap.check(pixels(layers[0]) == first, 'the layer has the pixels of the new image')
    fresh, _ = run(image=image, prompt=PROMPT, output='new-image')
    tap.check(fresh.get_id() != image.get_id() and len(image.get_layers()) == 3,
              'a new image is made where that is asked for')
    fresh.delete()
    image.delete()


def check_selection(x, y, width, height, first):
    name = f'selection {width}x{height}'
    image = new_canvas(400, 300)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, x, y, width, height)
    _, layers = run(image=image, prompt=PROMPT, seed=7.0, output='new-layer')
    layer = layers[0]
    _, left, top = layer.get_offsets()
    tap.equal((left, top, layer.get_width(), layer.get_height()), (x, y, width, height), f'{name}: covers the bounds')
    mask = layer.get_mask()
    rectangle = Gegl.Rectangle.new(x, y, width, height)
    selection = image.get_selection().get_buffer().get(rectangle, 1.0, 'Y float', Gegl.AbyssPolicy.NONE)
    tap.check(mask is not None and pixels(mask, 'Y float') == selection, f'{name}: the mask is the selection')
    _, still, *bounds = Gimp.Selection.bounds(image)
    tap.equal((still, bounds), (True, [x, y, x + width, y + height]), f'{name}: the selection stays')
    # The picture's centre is the layer's: the icons are dark or coloured there and white at their border.
    centre = 3 * (SIZE // 2 * SIZE + SIZE // 2)
    ours = 3 * (height // 2 * width + width // 2)
    here, there = list(pixels(layer)[ours:ours + 3]), list(first[centre:centre + 3])
    tap.check(mean_difference(here, there) < 48, f'{name}: the centre stays the centre', (here, there))
    tap.equal(recipe(layer)['seed'], 7, f'{name}: the recipe is on the layer')
    image.delete()


def check_formats(first):
    image = new_canvas(SIZE, SIZE, precision=Gimp.Precision.FLOAT_LINEAR)
    _, layers = run(image=image, prompt=PROMPT, seed=7.0)
    tap.check(pixels(layers[0]) == first, '32-bit linear image: the same colours')
    image.delete()

    image = new_canvas(SIZE, SIZE, kind=Gimp.ImageBaseType.GRAY, precision=Gimp.Precision.U16_NON_LINEAR)
    _, layers = run(image=image, prompt=PROMPT, seed=7.0)
    luminance = [0.2225 * r + 0.7169 * g + 0.0606 * b
                 for r, g, b in zip(*(([(v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4)
                                        for v in first[channel::3]]) for channel in range(3)))]
    painted = memoryview(pixels(layers[0], 'Y float')).cast('f')
    # The weights are those of sRGB adapted to D50, as in ICC profiles, to the fourth digit: three of them may be wrong
    # by half of it. 16 bits lose less.
    worst = max(abs(a - b) for a, b in zip(luminance, painted))
    tap.check(worst < 2e-4, 'grey image: luminance', worst)
    image.delete()

    image = new_canvas(SIZE, SIZE)
    image.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.WEB, 0, False, False, '')
    _, layers = run(image=image, prompt=PROMPT, seed=7.0)
    worst = mean_difference(pixels(layers[0]), first)
    # The web palette has steps of 51: half a step is the most that a channel can lose on its way to the nearest colour.
    tap.check(worst < 26, 'indexed image: the nearest colours', worst)
    image.delete()

    image = new_canvas(SIZE, SIZE, precision=Gimp.Precision.FLOAT_NON_LINEAR)
    adobe = Gimp.ColorProfile.new_rgb_adobe()
    image.convert_color_profile(adobe, Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC, True)
    _, layers = run(image=image, prompt=PROMPT, seed=7.0)
    worst = max(abs(a - b) for a, b in zip(pixels(layers[0]), first))
    # Float32 there and back loses at most one rounding to 8 bits.
    tap.check(worst <= 1, 'image in Adobe RGB: the same colours', worst)
    image.delete()


def check_cancel():
    """A signal to the plug-in ends the run. 64 pictures, one after another, last long enough for it to arrive."""
    plug_in = os.path.join(os.environ['SWITTI_TEST_PLUG_INS'], 'switti', 'switti')
    interrupt = os.path.join(os.environ['SWITTI_TEST_SRCDIR'], 'interrupt.py')
    killer = subprocess.Popen([sys.executable, interrupt, plug_in, str(os.getppid())])  # our parent is GIMP
    check_refused('a cancelled run', 'cancelled', prompt=PROMPT, count=64, batch=1)
    tap.equal(killer.wait(), 0, 'a cancelled run: the plug-in was interrupted at work')
    image, _ = run(prompt=PROMPT)
    tap.check(isinstance(image, Gimp.Image), 'after a cancelled run the next one paints', image)
    image.delete()


check_declaration()
check_refusals()
picture = check_new_image()
check_count(picture)
check_arguments_arrive()
check_long_prompt()
check_new_layer(picture)
check_selection(40, 50, 300, 100, picture)
check_selection(11, 13, 61, 87, picture)
check_formats(picture)
check_cancel()
tap.end()
