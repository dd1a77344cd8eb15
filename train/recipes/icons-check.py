#!/usr/bin/env python3
# icons-check.py - paints what a trained model in the box has to know, and measures what can be measured of it
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: icons-check.py SWITTI MODEL DATA OUT [SEED]
# SWITTI is the `switti` program, MODEL a model folder, DATA the folder that it was trained on (its train2014.csv tells
# which colours a subject was seen with). Into OUT go a contact sheet of 24 subjects, and one of twelve subjects on a
# background in whose colour the model never saw them. Of the latter it prints how far the background is from the colour
# that was asked for, and ends with status 1 when fewer than nine are nearest to it.
import csv
import importlib.util
import os
import subprocess
import sys

import cairo
import gi

gi.require_version("GdkPixbuf", "2.0")
gi.require_version("Gdk", "3.0")
from gi.repository import Gdk, GdkPixbuf  # noqa: E402

N_SUBJECTS, N_COLOURED, COLUMNS, NEEDED = 24, 12, 6, 9


def load_recipe():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "icons-data.py")
    spec = importlib.util.spec_from_file_location("icons_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECIPE = load_recipe()
COLOURS = dict(RECIPE.COLOURS, white=(255, 255, 255))


def seen_pairs(data):
    """(subject, colour) of every training picture, in either style and any shade, as the files are named."""
    pairs = set()
    with open(os.path.join(data, "train2014.csv"), encoding="utf-8", newline="") as file:
        for _, name, _ in list(csv.reader(file))[1:]:
            subject, _, colour = name.rsplit(".", 1)[0].rsplit("_", 2)
            pairs.add((subject.replace("-", " "), colour.split("-")[0]))
    return pairs


def unseen_prompts(data):
    """The first twelve subjects that there is a colour for which they were never seen with; colours take turns."""
    pairs, names, prompts = seen_pairs(data), list(RECIPE.COLOURS), []
    for i, subject in enumerate(RECIPE.subjects()):
        turns = [names[(i + k) % len(names)] for k in range(len(names))]
        unseen = [colour for colour in turns if (subject, colour) not in pairs]
        if unseen and len(prompts) < N_COLOURED:
            prompts.append((f"{subject}, flat style, on a {unseen[0]} background", unseen[0]))
    return prompts


def paint(switti, model, prompt, seed, path):
    subprocess.run([switti, "generate", prompt, "--model", model, "--seed", str(seed), "-o", path], check=True,
                   stdout=subprocess.DEVNULL)
    return GdkPixbuf.Pixbuf.new_from_file(path)


def sheet(pictures, path):
    side, rows = 128, -(-len(pictures) // COLUMNS)
    surface = cairo.ImageSurface(cairo.FORMAT_RGB24, COLUMNS * side, rows * side)
    context = cairo.Context(surface)
    for i, picture in enumerate(pictures):
        small = picture.scale_simple(side, side, GdkPixbuf.InterpType.BILINEAR)
        Gdk.cairo_set_source_pixbuf(context, small, i % COLUMNS * side, i // COLUMNS * side)
        context.paint()
    surface.write_to_png(path)


def background(picture):
    """Median of the border, eight pixels wide, each channel by itself."""
    pixels, stride, n = picture.get_pixels(), picture.get_rowstride(), picture.get_n_channels()
    width, height = picture.get_width(), picture.get_height()
    border = [(x, y) for y in range(height) for x in range(width)
              if min(x, y, width - 1 - x, height - 1 - y) < 8]
    return tuple(sorted(pixels[y * stride + x * n + c] for x, y in border)[len(border) // 2] for c in range(3))


def distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b)) ** 0.5


def main():
    if len(sys.argv) not in (5, 6):
        sys.exit("usage: icons-check.py SWITTI MODEL DATA OUT [SEED]")
    switti, model, data, out = sys.argv[1:5]
    seed = int(sys.argv[5]) if len(sys.argv) == 6 else 1
    os.makedirs(out, exist_ok=True)

    subjects = RECIPE.subjects()[:N_SUBJECTS]
    sheet([paint(switti, model, f"{subject}, flat style", seed, os.path.join(out, "picture.png"))
           for subject in subjects], os.path.join(out, "subjects.png"))
    print("subjects.png:", ", ".join(subjects))

    pictures, right = [], 0
    for prompt, colour in unseen_prompts(data):
        picture = paint(switti, model, prompt, seed, os.path.join(out, "picture.png"))
        found = background(picture)
        nearest = min(COLOURS, key=lambda name: distance(COLOURS[name], found))
        right += nearest == colour
        pictures.append(picture)
        print(f"{prompt}: background {found}, nearest {nearest}, {distance(COLOURS[colour], found):.0f} from it")
    sheet(pictures, os.path.join(out, "colours.png"))
    os.remove(os.path.join(out, "picture.png"))
    print(f"{right} of {len(pictures)} backgrounds have the colour that was asked for")
    return 0 if right >= NEEDED else 1


if __name__ == "__main__":
    sys.exit(main())
