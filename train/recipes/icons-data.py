#!/usr/bin/env python3
# icons-data.py - lays out what the model in the box learns from: its own subjects often, all others sometimes
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: icons-data.py DATA OUT [REPEATS]
# DATA is a folder in the COCO layout with the icons (train2014/, train2014.csv, val2014/, val2014.csv). OUT becomes one
# whose train2014.csv names the pictures of each subject below REPEATS times (default 90) and every other one once, so
# that an epoch is mostly the former. Every other row says "a fox, flat style" in place of "fox, flat style": people ask
# for either. The pictures themselves are linked, not copied.
import csv
import os
import sys

SUBJECTS = """
fox, panda, frog, unicorn, penguin, octopus, tropical fish, butterfly, sunflower, cactus, mushroom, red apple,
watermelon, pizza, birthday cake, grinning cat, robot, ghost, rocket, sailboat, castle, sun with face, rainbow, snowman,
red heart, star, cherries, strawberry, lemon, banana, carrot, cloud, crescent moon, blue circle, basketball, pig face,
baby chick, tomato, hamburger, balloon
"""


def subjects():
    return [name.strip() for name in SUBJECTS.replace("\n", " ").split(",") if name.strip()]


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: icons-data.py DATA OUT [REPEATS]")
    data, out = os.path.abspath(sys.argv[1]), sys.argv[2]
    repeats = int(sys.argv[3]) if len(sys.argv) == 4 else 90
    with open(os.path.join(data, "train2014.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    often = set(subjects())
    missing = often - {caption.split(",")[0] for _, _, caption in rows[1:]}
    if missing:
        sys.exit("icons-data.py: there are no pictures of: " + ", ".join(sorted(missing)))

    os.makedirs(out, exist_ok=True)
    for name in ("train2014", "val2014", "val2014.csv"):
        link = os.path.join(out, name)
        if os.path.lexists(link):
            os.remove(link)
        os.symlink(os.path.join(data, name), link)
    n = 0
    with open(os.path.join(out, "train2014.csv"), "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        for _, name, caption in rows[1:]:
            for _ in range(repeats if caption.split(",")[0] in often else 1):
                writer.writerow([n, name, caption if n % 2 else "a " + caption])
                n += 1
    print(f"{n} rows, {len(often)} subjects {repeats} times")


if __name__ == "__main__":
    main()
