#!/usr/bin/env python3
"""Checks what ptxas said of each CUDA kernel, for each architecture, and reports as TAP: check-ptxas.py LOG...

SPDX-License-Identifier: LGPL-3.0-or-later

No kernel may spill a register, have a stack frame (local memory), or take more shared memory than a block has without
asking for more.
"""
import re
import sys

# What every architecture from sm_80 on gives a thread and, without asking, a block.
MAX_REGISTERS = 255
MAX_SHARED_BYTES = 48 * 1024


def kernels(path):
    """Yields (kernel, architecture, properties) of one log."""
    name = architecture = None
    found = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            entry = re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line)
            if entry:
                name, architecture = entry.groups()
                found = {}
                continue
            frame = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)
            if frame and name:
                found["stack"], found["stores"], found["loads"] = map(int, frame.groups())
            used = re.search(r"Used (\d+) registers", line)
            if used and name:
                found["registers"] = int(used.group(1))
                shared = re.search(r"(\d+) bytes smem", line)
                found["shared"] = int(shared.group(1)) if shared else 0
                yield name, architecture, found
                name = None


def complaint(properties):
    """What is wrong with a kernel; empty where nothing is."""
    if properties.get("stores", 0) or properties.get("loads", 0):
        return "spills registers"
    if properties.get("stack", 0):
        return f"has a stack frame of {properties['stack']} bytes"
    if properties["registers"] > MAX_REGISTERS:
        return f"uses {properties['registers']} registers"
    if properties["shared"] > MAX_SHARED_BYTES:
        return f"uses {properties['shared']} bytes of shared memory"
    return ""


def main():
    paths = sys.argv[1:]
    print(f"1..{len(paths)}")
    total = 0
    for number, path in enumerate(paths, 1):
        bad = []
        for name, architecture, properties in kernels(path):
            total += 1
            words = complaint(properties)
            if words:
                bad.append(f"# {name} for {architecture} {words}")
        print("\n".join(bad) if bad else f"# {path}", flush=True)
        print(f"{'not ok' if bad else 'ok'} {number} /ptxas/{path.split('/')[-1]}")
    if total == 0:
        print("Bail out! there is no kernel in the logs")
        return 1
    print(f"# {total} kernels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
