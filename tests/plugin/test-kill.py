#!/usr/bin/env python3
# test-kill.py - plug-in-switti killed at random moments in GIMP's batch mode
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import pathlib
import sys

from gimp_profile import Profile

with Profile() as profile:
    report = profile.folder / 'report.tap'
    checks = pathlib.Path(__file__).with_name('kill_checks.py')
    status, said = profile.run('python-fu-eval', f'exec(open({str(checks)!r}).read())', SWITTI_TEST_REPORT=str(report),
                               SWITTI_TEST_SRCDIR=str(checks.parent))
    # A script that stops early has written no plan, which TAP takes for a failure.
    if report.exists():
        sys.stdout.write(report.read_text())
    for line in said.splitlines():
        print(f'# {line}')
    sys.exit(0 if status == 0 else 1)
