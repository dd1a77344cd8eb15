#!/usr/bin/env python3
# icons-data.py - makes what the model in the box learns from: its subjects on every background but the withheld ones
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: icons-data.py DATA OUT      (takes dwebp and numpy: Debian's packages webp and python3-numpy)
# DATA is a folder in the COCO layout with the icons (train2014/, train2014.csv, val2014/, val2014.csv). There, each
# subject has two pictures a style, one on white and one on a colour, which is enough to learn a subject's two pictures
# by heart and too little to learn what a colour is. But the two together tell how opaque the icon is at each pixel: so
# this script puts the icon on the other colours, too, and on shades of them, lest the codes of a pair be learned by
# heart. Pairs of subject and colour for which fnv1a64 ("subject|colour") mod 8 = 0 are the data set's withheld ones:
# of the subjects below they make up val2014/ here, and training never sees any.
# OUT becomes two folders in that layout: own/ has the subjects below, wide/ has all others besides, each once a style.
# Every row asks in another way: people say "fox", "a fox, flat style" and "a fox on a red background".
import csv
import os
import random
import subprocess
import sys

import gi
import numpy

gi.require_version("GdkPixbuf", "2.0")
from gi.repository import GdkPixbuf, GLib  # noqa: E402

SUBJECTS = """
fox, panda, frog, unicorn, penguin, octopus, tropical fish, butterfly, sunflower, cactus, mushroom, red apple,
watermelon, pizza, birthday cake, grinning cat, robot, ghost, rocket, sailboat, castle, sun with face, rainbow, snowman,
red heart, star, cherries, strawberry, lemon, banana, carrot, cloud, crescent moon, blue circle, basketball, pig face,
baby chick, tomato, hamburger, balloon
"""
STYLES = ("flat", "noto")
# Medians of the corners of the data set's pictures.
COLOURS = {
    "black": (21, 20, 25), "red": (214, 48, 49), "cyan": (111, 210, 231), "blue": (52, 120, 220),
    "gray": (150, 149, 154), "brown": (131, 90, 61), "yellow": (250, 210, 60), "orange": (244, 140, 38),
    "green": (46, 159, 80), "purple": (129, 80, 190), "pink": (250, 161, 191),
}
N_SHADES, SHADE = 3, 14  # of a colour; levels that a shade may be off in each channel


def subjects():
    return [name.strip() for name in SUBJECTS.replace("\n", " ").split(",") if name.strip()]


def is_withheld(subject, colour):
    value = 0xCBF29CE484222325
    for byte in f"{subject}|{colour}".encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value % 8 == 0


def load(path):
    """(height, width, 3) float64 of a WebP picture."""
    ppm = subprocess.run(["dwebp", "-quiet", path, "-ppm", "-o", "-"], check=True, stdout=subprocess.PIPE).stdout
    _, size, _, pixels = ppm.split(b"\n", 3)
    width, height = map(int, size.split())
    return numpy.frombuffer(pixels, numpy.uint8).reshape(height, width, 3).astype(float)


def save(picture, path):
    pixels = numpy.ascontiguousarray(numpy.clip(picture + 0.5, 0, 255).astype(numpy.uint8))
    height, width, _ = pixels.shape
    GdkPixbuf.Pixbuf.new_from_bytes(GLib.Bytes.new(pixels.tobytes()), GdkPixbuf.Colorspace.RGB, False, 8, width,
                                    height, 3 * width).savev(path, "png", [], [])


def transparency(white, coloured):
    """(height, width, 1): how much of the background is seen; white = icon + t * 255 and coloured = icon + t * colour.
    The ends of the range are widened, as the pictures' compression leaves a few levels of noise."""
    colour = numpy.median(coloured[:8].reshape(-1, 3), axis=0)
    span = 255 - colour
    seen = ((white - coloured) @ span) / (span @ span)
    return numpy.clip((seen - 0.06) / 0.88, 0, 1)[:, :, None]


def find_pictures(data):
    """{(subject, style): {colour: path}} of all subjects with a picture on white and one on a colour."""
    found = {}
    for half in ("train2014", "val2014"):
        with open(os.path.join(data, half + ".csv"), encoding="utf-8", newline="") as file:
            for _, name, caption in list(csv.reader(file))[1:]:
                _, style, colour = name.rsplit(".", 1)[0].rsplit("_", 2)
                found.setdefault((caption.split(",")[0], style), {})[colour] = os.path.join(data, half, name)
    found = {key: paths for key, paths in found.items() if "white" in paths and len(paths) > 1}
    for subject in subjects():
        for style in STYLES:
            if (subject, style) not in found:
                sys.exit(f"icons-data.py: there are no two pictures of: {subject}, {style} style")
    return found


def captions(chance, subject, style, colour):
    """One of the ways to ask for a picture; colour is None for white."""
    article = chance.choice(("", "an " if subject[0] in "aeio" else "a "))
    name, ending = article + subject, f", {style} style"
    if colour is None:
        return chance.choice((name + ending, name + ending, name, name + ending + ", on a white background"))
    ground = f"on a {colour} background"
    return chance.choice((f"{name}{ending}, {ground}", f"{name}{ending}, {ground}", f"{name} {ground}{ending}",
                          f"{name} {ground}"))


class Icon:
    """A subject in a style, to be put on any background."""

    def __init__(self, subject, style, paths):
        self.subject, self.style = subject, style
        self.white = load(paths["white"])
        self.seen = transparency(self.white, load(next(path for colour, path in paths.items() if colour != "white")))

    def put(self, folder, colour, levels, variant=""):
        """Saves it on a colour; returns the picture's file name."""
        name = f"{self.subject.replace(' ', '-')}_{self.style}_{colour}{variant}.png"
        save(self.white + self.seen * (numpy.array(levels) - 255.0), os.path.join(folder, name))
        return name


def own_rows(chance, icon, out):
    """Rows of train2014 and of val2014: each colour in N_SHADES shades, the plain one twice; white for a third."""
    train, val = [], []
    name = icon.put(os.path.join(out, "train2014"), "white", (255, 255, 255))
    train += [(name, captions(chance, icon.subject, icon.style, None)) for _ in range(20)]
    for colour, levels in COLOURS.items():
        if is_withheld(icon.subject, colour):
            name = icon.put(os.path.join(out, "val2014"), colour, levels)
            val.append((name, captions(chance, icon.subject, icon.style, colour)))
            continue
        name = icon.put(os.path.join(out, "train2014"), colour, levels)
        train += [(name, captions(chance, icon.subject, icon.style, colour)) for _ in range(2)]
        for shade in range(1, N_SHADES):
            offset = [chance.uniform(-SHADE, SHADE) for _ in range(3)]
            name = icon.put(os.path.join(out, "train2014"), colour, numpy.clip(numpy.add(levels, offset), 0, 255),
                            f"-{shade}")
            train.append((name, captions(chance, icon.subject, icon.style, colour)))
    return train, val


def other_row(chance, icon, out):
    colour = chance.choice([None] + [colour for colour in COLOURS if not is_withheld(icon.subject, colour)] * 2)
    offset = [chance.uniform(-SHADE, SHADE) for _ in range(3)]
    levels = (255, 255, 255) if colour is None else numpy.clip(numpy.add(COLOURS[colour], offset), 0, 255)
    name = icon.put(os.path.join(out, "train2014"), colour or "white", levels)
    return name, captions(chance, icon.subject, icon.style, colour)


def write_lists(folder, rows):
    for half, list_of_rows in rows.items():
        pictures = os.path.join(folder, half)
        os.makedirs(pictures, exist_ok=True)
        names = {name for name, _ in list_of_rows}
        for name in names:  # the trainer asks for a caption of each picture that is there
            link = os.path.join(pictures, name)
            if not os.path.lexists(link):
                os.symlink(os.path.join("..", "..", half, name), link)
        with open(pictures + ".csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["", "file_name", "caption"])
            writer.writerows([i, name, caption] for i, (name, caption) in enumerate(list_of_rows))
        print(f"{pictures}.csv: {len(names)} pictures in {len(list_of_rows)} rows")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: icons-data.py DATA OUT")
    data, out = sys.argv[1:]
    chance, wanted = random.Random(7), set(subjects())
    own, others, val = [], [], []
    for half in ("train2014", "val2014"):
        os.makedirs(os.path.join(out, half), exist_ok=True)
    for (subject, style), paths in sorted(find_pictures(data).items()):
        icon = Icon(subject, style, paths)
        if subject in wanted:
            train, withheld = own_rows(chance, icon, out)
            own += train
            val += withheld
        else:
            others.append(other_row(chance, icon, out))
    write_lists(os.path.join(out, "own"), {"train2014": own, "val2014": val})
    write_lists(os.path.join(out, "wide"), {"train2014": own + others, "val2014": val})


if __name__ == "__main__":
    main()
