#!/usr/bin/env python3
# test-resume.py - a training that is killed again and again is the same training
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import random
import signal
import sys
import time

from training import Tap, Training

STEPS = 200
KILLS = 20


def kill_at_random(training, out, generator, **options):
    """20 times: lets a run go on for some steps, and kills it wherever it is then. Returns the steps it had come to."""
    reached = []
    for i in range(KILLS):
        process = training.start(out, **options)
        # The kills are spread over the whole training, and a moment longer than a step or a checkpoint takes.
        goal = (i + 1) * (STEPS - 10) // KILLS
        while process.poll() is None and max(training.steps(out), default=0) < goal:
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.05))
        if process.poll() is not None:
            return reached
        process.send_signal(signal.SIGKILL)
        process.wait()
        reached.append(max(training.steps(out), default=0))
    return reached


def main():
    tap = Tap()
    generator = random.Random()
    with Training() as training:
        options = {'max_iters': STEPS, 'save_iters': 3}
        began = time.monotonic()
        whole = training.run('whole', **options)
        tap.check(whole.returncode == 0, 'resume/at-once', whole.stderr)
        tap.check(training.steps('whole') == list(range(1, STEPS + 1)), 'resume/log')

        reached = kill_at_random(training, 'killed', generator, **options)
        tap.check(len(reached) == KILLS and reached[-1] < STEPS, 'resume/killed', f'at steps {reached}')
        last = training.run('killed', **options)
        tap.check(last.returncode == 0 and 'Going on from' in last.stderr, 'resume/to-the-end', last.stderr)
        tap.check(training.steps('killed') == list(range(1, STEPS + 1)), 'resume/log-without-gaps')
        tap.check([line['loss'] for line in training.log('killed') if 'loss' in line]
                  == [line['loss'] for line in training.log('whole') if 'loss' in line], 'resume/losses')
        tap.check(len(training.state('whole')) == 3 and training.state('killed') == training.state('whole'),
                  'resume/same-bits', f'{time.monotonic() - began:.1f} s')
        tap.check(all(name.startswith('step-') for name in training.checkpoints('killed')), 'resume/nothing-left-over')
    return tap.end()


sys.exit(main())
