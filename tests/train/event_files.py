# event_files.py - reads TensorBoard's event files, from the published description of records and messages alone
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import pathlib
import struct

# tensorboard/compat/proto: event.proto, summary.proto, histogram.proto, tensor.proto
EVENT = {1: 'wall_time', 2: 'step', 3: 'file_version', 5: 'summary', 7: 'session_log'}
VALUE = {1: 'tag', 2: 'simple_value', 4: 'image', 5: 'histo', 8: 'tensor', 9: 'metadata'}


def crc32c(data):
    """Bit by bit, by the polynomial of RFC 3720."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def masked(data):
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xa282ead8) & 0xffffffff


def records(data):
    """The contents of every whole record; what is left behind them."""
    found = []
    while len(data) >= 12:
        length, crc = struct.unpack('<QI', data[:12])
        assert crc == masked(data[:8]), 'checksum of a length'
        if len(data) < 16 + length:
            break
        contents = data[12:12 + length]
        assert struct.unpack('<I', data[12 + length:16 + length])[0] == masked(contents), 'checksum of contents'
        found.append(contents)
        data = data[16 + length:]
    return found, data


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7f) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """Number to list of values: integers, or bytes of the other kinds."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            if kind == 2:
                size, at = varint(data, at)
            else:
                size = {1: 8, 5: 4}[kind]
            value, at = data[at:at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def named(data, names):
    return {names[number]: values for number, values in fields(data).items()}  # no other number is written


def events(path):
    contents, rest = records(path.read_bytes())
    assert rest == b''
    return [named(data, EVENT) for data in contents]


def values(event):
    return [named(value, VALUE) for value in fields(event['summary'][0])[1]]


def doubles(data):
    return struct.unpack(f'<{len(data) // 8}d', data)


def files(folder):
    return sorted(pathlib.Path(folder).glob('events.out.tfevents.*'))
