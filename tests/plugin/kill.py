# kill.py - kills a plug-in some time after it has started
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: kill.py PROGRAM PARENT SECONDS. Waits for a process of PROGRAM that is a child of the process PARENT (other
# tests run the program too), and SECONDS later ends it with SIGKILL. Exit status 0: killed. 1: it had ended before. 2:
# none came.

import os
import signal
import sys
import time

WAIT_SECONDS = 60


def parent_of(pid):
    with open(f'/proc/{pid}/stat', encoding='utf-8') as stat:
        return int(stat.read().rpartition(') ')[2].split()[1])


def find(program, parent):
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if os.path.realpath(f'/proc/{pid}/exe') == program and parent_of(pid) == parent:
                return int(pid)
        except OSError:
            continue  # ended, or not ours to look at
    return None


program, parent, seconds = os.path.realpath(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
deadline = time.monotonic() + WAIT_SECONDS
while time.monotonic() < deadline:
    pid = find(program, parent)
    if pid:
        time.sleep(seconds)
        # Still the same one: its number is not given to another process while GIMP has not asked for its end.
        if find(program, parent) != pid:
            sys.exit(1)
        os.kill(pid, signal.SIGKILL)
        sys.exit(0)
    time.sleep(0.005)
sys.exit(2)
