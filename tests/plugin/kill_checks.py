# kill_checks.py - plug-in-switti killed while it fills, from a Python script inside GIMP
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# test-kill.py runs this in one GIMP and shows the TAP lines that it writes to $SWITTI_TEST_REPORT.

import os
import random
import subprocess
import sys
import time

from gi.repository import Gegl, Gimp

sys.path.insert(0, os.environ['SWITTI_TEST_SRCDIR'])
from gimp_checks import pixels, run, tap  # noqa: E402

KILLS = int(os.environ.get('SWITTI_TEST_KILLS', '50'))
WIDTH, HEIGHT = 160, 120
PLUG_IN = os.path.join(os.environ['SWITTI_TEST_PLUG_INS'], 'switti', 'switti')
KILL = os.path.join(os.environ['SWITTI_TEST_SRCDIR'], 'kill.py')

seed = random.SystemRandom().randrange(2**32)
moments = random.Random(seed)
print(f'# the moments are of the seed {seed}', file=tap.out, flush=True)


def fill(image):
    """The new layers, or nothing."""
    _, layers = run(image=image, prompt='a fox, flat style', seed=3.0, mode='fill')
    return layers if isinstance(layers, list) else None


image = Gimp.Image.new(WIDTH, HEIGHT, Gimp.ImageBaseType.RGB)
canvas = Gimp.Layer.new(image, 'canvas', WIDTH, HEIGHT, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
image.insert_layer(canvas, None, 0)
canvas.get_buffer().set(Gegl.Rectangle.new(0, 0, WIDTH, HEIGHT), "R'G'B' u8",
                        bytes((x * y) % 256 for y in range(HEIGHT) for x in range(3 * WIDTH)))
image.select_ellipse(Gimp.ChannelOps.REPLACE, 30, 20, 90, 80)
original, selection = pixels(canvas), pixels(image.get_selection(), 'Y u8')
began = time.monotonic()
layers = fill(image)
lasts = time.monotonic() - began
expected = pixels(layers[0])
image.remove_layer(layers[0])

killed, late, harmed = 0, 0, []
for i in range(KILLS):
    # Some come a little late, when the layer is being placed or the plug-in has ended.
    delay = moments.uniform(0, 1.1 * lasts)
    killer = subprocess.Popen([sys.executable, KILL, PLUG_IN, str(os.getppid()), str(delay)])  # our parent is GIMP
    fill(image)
    status = killer.wait()
    killed += status == 0
    late += status == 1
    if pixels(canvas) != original or pixels(image.get_selection(), 'Y u8') != selection \
            or image.get_layers()[-1].get_id() != canvas.get_id():
        harmed.append(f'kill {i} after {delay:.3f} s')
    for layer in image.get_layers():
        if layer.get_id() != canvas.get_id():
            image.remove_layer(layer)
tap.check(killed >= KILLS // 2 and killed + late == KILLS, f'the plug-in was killed at {KILLS} moments, or had ended',
          f'{killed} killed, {late} late')
tap.equal(harmed, [], 'GIMP lives, the image and its selection are unharmed')
layers = fill(image)
tap.check(layers is not None and pixels(layers[0]) == expected, 'the next start works and paints the same')
image.delete()
tap.end()
