# interrupt.py - interrupts a plug-in while it paints
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: interrupt.py PROGRAM PARENT. Waits until a process of PROGRAM, a child of the process PARENT (other tests run
# the program too), has a worker thread that has used the processor, then sends it SIGINT. Exit status 1 where none
# came in time.

import os
import signal
import sys
import time

WAIT_SECONDS = 60
TICKS_AT_WORK = 30  # hundredths of a second


def worker_ticks(pid):
    """Processor time of the process's GLib pool threads."""
    ticks = 0
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/stat', encoding='utf-8') as stat:
            name, _, fields = stat.read().rpartition(') ')
        if '(pool-' in name:
            ticks += int(fields.split()[11])
    return ticks


def parent_of(pid):
    with open(f'/proc/{pid}/stat', encoding='utf-8') as stat:
        return int(stat.read().rpartition(') ')[2].split()[1])


def find_working(program, parent):
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if (os.path.realpath(f'/proc/{pid}/exe') == program and parent_of(pid) == parent
                    and worker_ticks(pid) >= TICKS_AT_WORK):
                return int(pid)
        except OSError:
            continue  # ended, or not ours to look at
    return None


program, parent = os.path.realpath(sys.argv[1]), int(sys.argv[2])
deadline = time.monotonic() + WAIT_SECONDS
while time.monotonic() < deadline:
    found = find_working(program, parent)
    if found:
        os.kill(found, signal.SIGINT)
        sys.exit(0)
    time.sleep(0.02)
sys.exit(1)
