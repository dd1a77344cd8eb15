#!/usr/bin/env python3
# test-import-full.py - a checkpoint of the published size, as .pt and as sharded safetensors, within 1 GiB of memory
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# With SWITTI_TEST_DISK=1 the disk is first timed at the same work: dd copies the checkpoint beside it, and flushes the
# copy; neither it nor the import finds the checkpoint in memory.

import functools
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import checkpoints
import numpy

CLI = os.environ["SWITTI_CLI"]
ICONS = pathlib.Path(os.environ["SWITTI_MODEL_PATH"]) / "icons"
FIXTURES = pathlib.Path(os.environ.get("SWITTI_FIXTURES") or pathlib.Path(__file__).parent.parent / "fixtures")
META = json.loads((FIXTURES / "meta.json").read_text())
SIDES = [1, 2, 3, 4, 6, 9, 13, 18, 24, 32]
DEPTH, WIDTH, HIDDEN, CODES, CONTEXT, POOLED, VOCAB = 30, 1920, 5120, 4096, 2048, 1280, 2560
N_SHARDS = 5
PARAMETERS = 2_470_518_256  # of the published models
MAX_MEMORY = 1 << 30
# The import reads what the test has written and writes as much, on two threads; other programs may be at the disk.
MAX_SLOWDOWN = 5
MIN_SHARE_OF_DD = 0.6  # on a machine that other programs use, too
BLOCK = numpy.random.default_rng(7).integers(0x3C00, 0x3F00, 1 << 20, numpy.uint16)  # bf16 of about 0.01 to 0.5


def transformer_shapes():
    """The published transformer's parameters: those of the small fixture, with the sizes replaced."""
    shapes = {}
    for name, shape in META["switti_nar_params"].items():
        sizes = {128: WIDTH, 16: WIDTH // 8, 341: HIDDEN, 384: 3 * WIDTH, 768: 6 * WIDTH, 4: len(SIDES)}
        sizes[256] = CODES if name.startswith("head.") else 2 * WIDTH
        shape = [sizes.get(n, n) for n in shape]
        if name.startswith("blocks.0."):
            shapes.update({name.replace(".0.", f".{i}.", 1): shape for i in range(DEPTH)})
        elif not name.startswith("blocks."):
            shapes[name] = shape
    return shapes


def values(name, shape):
    """The bits of a tensor's elements: one block of random ones again and again, from another place in each."""
    return numpy.resize(numpy.roll(BLOCK, len(name) * 4099), int(numpy.prod(shape)))


def make_weights():
    return {name: ("BF16", tuple(shape), functools.partial(values, name, shape))
            for name, shape in transformer_shapes().items()}  # fmt: skip


def run(folder, *words):
    """Runs `switti models …`; returns its seconds and the most memory that it had."""
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data"), "LC_ALL": "C.UTF-8"}
    begin, peak = time.monotonic(), 0
    process = subprocess.Popen([CLI, "models", *map(str, words)], env=environment, cwd=folder)
    while process.poll() is None:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            status = ""
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        peak = max(peak, int(found.group(1)) * 1024 if found else 0)
        time.sleep(0.05)
    assert process.returncode == 0, words
    return time.monotonic() - begin, peak


def write_base(folder):
    """A small model whose other parts fit the transformer."""
    vae = {name: [CODES if name.startswith("quantize.embedding") and n == 256 else n for n in shape]
           for name, shape in META["vae_params"].items()}  # fmt: skip
    checkpoints.write_safetensors(folder / "vae.safetensors", checkpoints.synthetic("vae.", vae))
    for file, width in [("l.safetensors", CONTEXT - POOLED), ("g.safetensors", POOLED)]:
        shapes = {name: [{64: width, 256: 64, 1000: VOCAB}.get(n, n) for n in shape]
                  for name, shape in META["clip_params"].items()
                  if ".layers." not in name or ".layers.0." in name}  # fmt: skip
        checkpoints.write_safetensors(folder / file, checkpoints.synthetic("clip.", shapes))
    return [folder / name for name in ("vae.safetensors", "l.safetensors", "g.safetensors")] + [ICONS / "tokenizer"]


def compare(path, weights):
    """Every tensor of a written file with what it was made from."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        header.pop("__metadata__")
        assert header.keys() == weights.keys()
        total = 0
        for name, entry in header.items():
            file.seek(8 + length + entry["data_offsets"][0])
            data = file.read(entry["data_offsets"][1] - entry["data_offsets"][0])
            expected = weights[name][2]()
            if name == "crop_embed.weight":
                expected = (expected.astype(numpy.uint32) << numpy.uint32(16)).view(numpy.float32)
            assert data == expected.tobytes(), name
            total += expected.size
    assert total == PARAMETERS, total


def forget(path):
    """Flushes a file, and lets its pages go."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def time_dd(path):
    """Seconds that dd needs to copy a file to its folder, onto the disk."""
    copy = path.with_suffix(".copy")
    forget(path)
    begin = time.monotonic()
    subprocess.run(["dd", f"if={path}", f"of={copy}", "bs=1M", "conv=fsync", "status=none"], check=True)
    seconds = time.monotonic() - begin
    copy.unlink()
    forget(path)
    return seconds


def report(what, seconds, peak, size, disk):
    print(f"# {what}: {seconds:.1f} s, {size / seconds / 1e6:.0f} MB/s (the disk: {disk / 1e6:.0f} MB/s), "
          f"{peak / 2**20:.0f} MiB of memory")  # fmt: skip
    assert 0 < peak < MAX_MEMORY, peak
    assert seconds < MAX_SLOWDOWN * size / disk + 5, seconds


def test_pt(folder, weights):
    """Written whole, so that the import reads and writes the disk."""
    path, base = folder / "model_state_dict.pt", write_base(folder)
    begin = time.monotonic()
    checkpoints.write_pt(path, {**weights, **checkpoints.transformer_buffers(SIDES, False)})
    with open(path, "r+b") as file:
        os.fsync(file.fileno())
    size = path.stat().st_size
    disk = size / (time.monotonic() - begin)
    dd = time_dd(path) if os.environ.get("SWITTI_TEST_DISK") else None
    seconds, peak = run(folder, "import", "full", path, *base)
    report(".pt", seconds, peak, size, disk)
    if dd is not None:
        print(f"# dd copies it in {dd:.1f} s, {size / dd / 1e6:.0f} MB/s: the import has {dd / seconds:.0%} of that")
        assert dd / seconds > MIN_SHARE_OF_DD, (dd, seconds)
    config = json.loads((folder / "data/switti/models/full/transformer/config.json").read_text())
    assert (config["depth"], config["num_heads"], config["reso"], config["use_ar"]) == (DEPTH, 30, 512, False), config
    compare(folder / "data/switti/models/full/transformer/model.safetensors", weights)
    path.unlink()
    return disk, size


def test_shards(folder, weights, disk, size):
    """Files with holes, for the memory that they take is the same."""
    shards, names, weight_map = folder / "shards", list(weights), {}
    shards.mkdir()
    for i in range(N_SHARDS):
        name = f"model-{i + 1:05}-of-{N_SHARDS:05}.safetensors"
        part = {key: ("BF16", weights[key][1], b"") for key in names[i::N_SHARDS]}
        header = checkpoints.safetensors_header(part)
        with open(shards / name, "wb") as file:
            file.write(header)
            file.truncate(len(header) + sum(checkpoints.byte_count(entry) for entry in part.values()))
        weight_map.update(dict.fromkeys(part, name))
    (shards / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (shards / "config.json").write_text(json.dumps({"depth": DEPTH, "reso": 512}))
    report("shards", *run(folder, "import", "full", shards, "--base", "full"), size, disk)
    written = folder / "data/switti/models/full/transformer/model.safetensors"
    with open(written, "rb") as file:
        file.seek(-4096, os.SEEK_END)
        assert file.read() == bytes(4096)


def main():
    place = pathlib.Path(os.environ.get("G_TEST_BUILDDIR") or tempfile.gettempdir())
    for old in place.glob("switti-full-*"):  # of a run that was killed
        shutil.rmtree(old)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="switti-full-", dir=place))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    needed = 3 * 2 * PARAMETERS
    print("1..2")
    try:
        free = shutil.disk_usage(folder).free
        if free < needed:
            for i in (1, 2):
                print(f"ok {i} # SKIP {needed >> 30} GiB of disk are needed, {free >> 30} are free")
            return
        weights = make_weights()
        disk, size = test_pt(folder, weights)
        print("ok 1 .pt", flush=True)
        test_shards(folder, weights, disk, size)
        print("ok 2 shards", flush=True)
    finally:
        shutil.rmtree(folder)


sys.exit(main())
