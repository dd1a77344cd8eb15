#!/usr/bin/env python3
# select-tests.py - which of meson's tests somebody means
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: meson introspect --tests FOLDER | select-tests.py NAME...
# Prints the tests that are called NAME or are in a suite of that name. Those of the suite "long" are meant only by
# their own names or that suite's.

import difflib
import json
import sys


def main():
    names = sys.argv[1:]
    known, chosen = {"asan", "fuzz"}, []
    for test in json.load(sys.stdin):
        suites = {suite.split(":")[-1] for suite in test["suite"]}
        known |= suites | {test["name"]}
        meant_by = {test["name"]} | ({"long"} if "long" in suites else suites)
        if meant_by & set(names):
            chosen.append(test["name"])
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            print(f'dev: no test or suite is called "{name}".{hint} "meson test -C build --list" lists them.',
                  file=sys.stderr)  # fmt: skip
            return 2
    print("\n".join(chosen))
    return 0


sys.exit(main())
