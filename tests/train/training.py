# training.py - a small training, to be run, stopped and looked at
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import json
import os
import pathlib
import struct
import subprocess
import tempfile
import zlib

SIDE = 64  # pixels of the images, of 16 times the last scale's side
SUBJECTS = ['disc', 'bar', 'frame', 'cross']
COLOURS = {'red': (200, 30, 40), 'green': (30, 160, 60), 'blue': (40, 60, 200), 'white': (250, 250, 250)}


def png(pixels):
    """An RGB image, rows of rows of 3 bytes, as a PNG file."""

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    rows = b''.join(b'\0' + b''.join(bytes(p) for p in row) for row in pixels)
    header = struct.pack('>IIBBBBB', len(pixels[0]), len(pixels), 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def is_inside(subject, x, y):
    u, v = x - SIDE / 2, y - SIDE / 2
    return {'disc': u * u + v * v < 400, 'bar': abs(v) < 8, 'frame': 16 < max(abs(u), abs(v)) < 24,
            'cross': abs(u) < 6 or abs(v) < 6}[subject]


def write_images(folder, split, subjects):
    (folder / split).mkdir(parents=True)
    lines = [',file_name,caption']
    for subject in subjects:
        for colour, rgb in COLOURS.items():
            name = f'{subject}-{colour}.png'
            picture = [[(20, 20, 20) if is_inside(subject, x, y) else rgb for x in range(SIDE)] for y in range(SIDE)]
            (folder / split / name).write_bytes(png(picture))
            lines.append(f'{len(lines) - 1},{name},"a {subject}, on {colour}"')
    (folder / f'{split}.csv').write_text('\n'.join(lines) + '\n')


class Training:
    """A folder with 16 images, 4 to validate on, and the runs that a test makes of them."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix='switti-train-')
        self.folder = pathlib.Path(self.temporary.name)
        self.program = os.environ['SWITTI_TRAIN']
        self.model = os.environ['SWITTI_TEST_MODEL']
        write_images(self.folder / 'data', 'train2014', SUBJECTS)
        write_images(self.folder / 'data', 'val2014', SUBJECTS[:1])

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.temporary.cleanup()

    def command(self, out, **options):
        """Of a tiny model in float32; options with None are left out."""
        given = {'data_path': self.folder / 'data', 'vae': self.model, 'train_text': 'true', 'text_width': '32,32',
                 'text_depth': '1,1', 'depth': 2, 'embed_dim': 64, 'pn': '1_2_3_4', 'bs': 4, 'tblr': 1e-3, 'twd': 0.05,
                 'ema': 0.9, 'max_iters': 20, 'save_iters': 5, 'log_iters': 5, 'threads': 1, 'workers': 1, 'seed': 3,
                 'cache': self.folder / 'cache', 'out': self.folder / out}
        given.update(options)
        return [self.program] + [f'--{name}={value}' for name, value in given.items() if value is not None]

    def start(self, out, **options):
        return subprocess.Popen(self.command(out, **options), stderr=subprocess.DEVNULL)

    def run(self, out, preexec=None, **options):
        return subprocess.run(self.command(out, **options), capture_output=True, text=True, preexec_fn=preexec,
                              timeout=300, check=False)

    def log(self, out):
        """The lines of the log that are whole."""
        path = self.folder / out / 'log.jsonl'
        text = path.read_text() if path.exists() else ''
        return [json.loads(line) for line in text.split('\n')[:-1]]

    def steps(self, out):
        return [line['step'] for line in self.log(out) if 'loss' in line]

    def checkpoints(self, out):
        return sorted(path.name for path in (self.folder / out / 'checkpoints').iterdir())

    def state(self, out):
        """All bytes that a run goes on from."""
        training = self.folder / out / 'latest' / 'training'
        return {path.name: path.read_bytes() for path in sorted(training.glob('*.safetensors'))}


class Tap:
    """Counts and prints checks in the Test Anything Protocol."""

    def __init__(self):
        self.n = 0
        self.failed = 0

    def check(self, good, name, *details):
        self.n += 1
        self.failed += not good
        print(f'{"ok" if good else "not ok"} {self.n} {name}', flush=True)
        for detail in details:
            for line in str(detail).splitlines():
                print(f'# {line}', flush=True)

    def end(self):
        print(f'1..{self.n}')
        return 1 if self.failed else 0
