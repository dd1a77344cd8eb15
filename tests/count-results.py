#!/usr/bin/env python3
"""Prints how many tests of a meson log passed, failed and were skipped, and names the failed ones on stderr.

SPDX-License-Identifier: LGPL-3.0-or-later

count-results.py BUILD/meson-logs/testlog.json

Every case of a TAP program counts, any other program counts as one. A case that was planned and never reported has
failed, and so has a program that came to a bad end although all its cases passed.
"""
import json
import re
import sys

PLAN = re.compile(r'1\.\.(\d+)(\s*#.*)?')
POINT = re.compile(r'\s*(not )?ok\b\s*\d*\s*-?\s*([^#]*)(#\s*(SKIP|TODO)\b)?', re.IGNORECASE)


def count(test):
    """Returns (passed, failed cases by name, skipped) of one program."""
    result = test['result']
    if result == 'SKIP' and not test.get('stdout'):
        return 0, [], 1
    passed = skipped = 0
    failed = []
    planned = None
    for line in test.get('stdout', '').splitlines():
        if plan := PLAN.fullmatch(line):
            planned = int(plan[1])
        elif point := POINT.match(line):
            if point[4]:
                skipped += 1
            elif point[1]:
                failed.append(point[2].strip())
            else:
                passed += 1
    good = result in ('OK', 'SKIP', 'EXPECTEDFAIL')
    if planned is None:
        return (1, [], 0) if good else (0, [result.lower()], 0)
    failed += ['(did not run)'] * (planned - passed - len(failed) - skipped)
    if not good and not failed:
        failed.append(result.lower())
    return passed, failed, skipped


def main():
    totals = [0, 0, 0]
    with open(sys.argv[1], encoding='utf-8') as log:
        for line in log:
            test = json.loads(line)
            passed, failed, skipped = count(test)
            for case in failed:
                print(f"FAILED  {test['name']}: {case}", file=sys.stderr)
            totals = [totals[0] + passed, totals[1] + len(failed), totals[2] + skipped]
    print(*totals)


main()
