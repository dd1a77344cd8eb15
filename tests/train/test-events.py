#!/usr/bin/env python3
# test-events.py - event files, read by another implementation: records, checksums, fields by their public numbers; by
# protoc; and by TensorBoard itself, where it is installed
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import importlib.util
import math
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

from event_files import EVENT, doubles, events, fields, files, named, records, values

WRITER, PROTO = sys.argv[1], pathlib.Path(sys.argv[2])
def write(folder, mode):
    subprocess.run([WRITER, folder, mode], check=True)


def check_fields(folder):
    write(folder, 'all')
    path, = files(folder)
    found = events(path)
    assert found[0]['file_version'] == [b'brain.Event:2']
    now, = struct.unpack('<d', found[0]['wall_time'][0])
    assert abs(now - time.time()) < 600
    for step in range(6):
        event = found[1 + step]
        assert event.get('step', [0]) == [step]
        loss, rate = values(event)
        assert loss['tag'] == [b'AR_iter_loss/L_total'] and rate['tag'] == [b'AR_opt_lr/lr_max/sche_tlr']
        assert struct.unpack('<f', loss['simple_value'][0])[0] == 8.25 - step
        assert math.isclose(struct.unpack('<f', rate['simple_value'][0])[0], 1e-4, rel_tol=1e-7)
    odd = values(found[7])
    assert math.isnan(struct.unpack('<f', odd[0]['simple_value'][0])[0])
    assert odd[1]['tag'] == ['odd/ä'.encode()] and odd[1]['simple_value'] == [struct.pack('<f', -math.inf)]

    image = fields(values(found[8])[0]['image'][0])
    assert (image[1], image[2], image[3]) == ([4], [6], [3])
    check_png(image[4][0], 4, 6)

    text, = values(found[9])
    assert fields(fields(text['metadata'][0])[1][0]) == {1: [b'text']}
    tensor = fields(text['tensor'][0])
    assert tensor[1] == [7] and tensor[8] == ['switti-train --depth 8, “ä”'.encode()]
    assert fields(fields(tensor[2][0])[2][0]) == {1: [1]}

    histogram = fields(values(found[10])[0]['histo'][0])
    assert [doubles(histogram[i][0])[0] for i in range(1, 6)] == [-1, 2, 5, 3.5, 1 + 0.25 + 4 + 4]
    limits, counts = doubles(histogram[6][0]), doubles(histogram[7][0])
    assert len(limits) == len(counts) == 30 and sum(counts) == 5 and counts[29] == 2 and counts[0] == 1
    assert list(limits) == sorted(limits) and math.isclose(limits[29], 2)
    assert sum(doubles(fields(values(found[11])[0]['histo'][0])[7][0])) == 3
    assert len(found) == 12


def check_png(png, height, width):
    assert png[:8] == b'\x89PNG\r\n\x1a\n' and struct.unpack('>II', png[16:24]) == (width, height)
    data, at = b'', 8
    while at < len(png):
        size, kind = struct.unpack('>I4s', png[at:at + 8])
        if kind == b'IDAT':
            data += png[at + 8:at + 8 + size]
        at += 12 + size
    assert len(zlib.decompress(data)) == height * (1 + 3 * width)


def check_protoc(folder):
    """Every record is one of our messages, without a field that the file of messages does not have."""
    write(folder, 'all')
    for contents in records(files(folder)[0].read_bytes())[0]:
        text = subprocess.run(['protoc', f'--proto_path={PROTO.parent}', '--decode=tensorboard.Event', PROTO.name],
                              input=contents, stdout=subprocess.PIPE, check=True).stdout.decode()
        assert 'wall_time' in text
        assert not any(line.strip()[:1].isdigit() for line in text.splitlines()), text


def check_resume(folder):
    write(folder, 'all')
    for _ in range(3):
        write(folder, 'resume')
    names = files(folder)
    assert len(names) == 4
    assert b'tfevents' in names[0].name.encode() and len(events(names[0])) == 12
    for path in names[1:]:  # in the order in which they were written
        version, start, scalar = events(path)
        assert 'file_version' in version and start['step'] == [3] and fields(start['session_log'][0]) == {1: [1]}
        assert scalar['step'] == [3]


def check_killed(folder):
    process = subprocess.Popen([WRITER, folder, 'endless'])
    while not files(folder) or files(folder)[0].stat().st_size < 20000:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found, rest = records(files(folder)[0].read_bytes()[:40000])
    assert [named(data, EVENT).get('step', [0])[0] for data in found[1:]] == list(range(len(found) - 1))
    assert len(found) > 300 and len(rest) < 200


def check_full(folder):
    """A place where nothing can be written is a sentence."""
    path = os.path.join(folder, 'file')
    open(path, 'w').close()
    result = subprocess.run([WRITER, path, 'all'], stderr=subprocess.PIPE)
    assert result.returncode == 1 and result.stderr.startswith(b'Cannot write the events file')


def check_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    write(folder, 'all')
    write(folder, 'resume')
    accumulator = EventAccumulator(folder, size_guidance={'scalars': 0, 'images': 0, 'tensors': 0, 'histograms': 0})
    accumulator.Reload()
    assert [scalar.step for scalar in accumulator.Scalars('AR_iter_loss/L_total')] == [0, 1, 2, 3]
    assert accumulator.Images('samples/cfg 6') == []  # of a step that the resumed run has not reached


def main():
    checks = [check_fields, check_protoc, check_resume, check_killed, check_full]
    if importlib.util.find_spec('tensorboard'):  # no distribution's package, so far
        checks.append(check_tensorboard)
    print(f'1..{len(checks)}')
    failed = False
    for number, check in enumerate(checks, 1):
        name = f'/events/{check.__name__[6:]}'
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(folder)
                print(f'ok {number} {name}')
            except Exception as error:  # noqa: a failed check is a line of TAP
                failed = True
                print(f'not ok {number} {name} - {type(error).__name__}: {error}')
                if not isinstance(error, subprocess.CalledProcessError):
                    raise
    return failed


if __name__ == '__main__':
    sys.exit(main())
