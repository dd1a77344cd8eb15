#!/usr/bin/env python3
# test-tensorboard.py - what a training tells TensorBoard: the published curves, pictures, and how a killed run goes on
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import struct
import sys

from event_files import events, fields, files, values
from training import Tap, Training

SCALES = [16, 32, 48, 64]  # pixels of --pn 1_2_3_4


def curves(path):
    """Tag to {step: value} of one file."""
    found = {}
    for event in events(path):
        for value in values(event) if 'summary' in event else []:
            tag, step = value['tag'][0].decode(), event.get('step', [0])[0]
            if 'simple_value' in value:
                found.setdefault(tag, {})[step] = struct.unpack('<f', value['simple_value'][0])[0]
            else:
                found.setdefault(tag, {})[step] = value
    return found


def is_close(a, b):
    return abs(a - b) <= 1e-5 * max(abs(a), abs(b))  # a float, and seven digits of JSON


def check_curves(tap, training):
    prompts = training.folder / 'prompts'
    prompts.write_text('# for TensorBoard\na disc, on red\n\na bar, on a “blue” background\n')
    result = training.run('seen', max_iters=6, log_iters=2, val_iters=3, sample_prompts=prompts, log_images_iters=4)
    tap.check(result.returncode == 0, 'curves/run', result.stderr)
    path, = files(training.folder / 'seen' / 'tb_logs')
    found = curves(path)
    named = [f'AR_iter_loss/{name}_{scale}' for name in ('L', 'acc', 'acc_top5') for scale in SCALES]
    named += [f'Logits_stats/{name}_{scale}' for name in ('logits_std', 'logits_norm') for scale in SCALES]
    named += ['AR_iter_loss/z_voc_usage', 'AR_iter_loss/L_total', 'AR_iter_loss/acc_total', 'AR_iter_loss/L_mean',
              'AR_opt_lr/lr_max/sche_tlr', 'AR_opt_lr/lr_min/sche_tlr', 'AR_opt_wd/wd_max/sche_twd',
              'AR_opt_wd/wd_min/sche_twd', 'AR_opt_grad/grad/grad_norm', 'AR_opt_grad/grad/grad_clip']
    wrong = [tag for tag in named if sorted(found.get(tag, {})) != [1, 2, 4, 6]]
    tap.check(not wrong, 'curves/published names', f'missing, or of other steps: {wrong}', sorted(found))
    lines = {line['step']: line for line in training.log('seen') if 'loss' in line}
    same = all(is_close(found[tag][step], lines[step][key]) for step in (1, 2, 4, 6)
               for tag, key in (('AR_iter_loss/L_mean', 'loss'), ('AR_opt_grad/grad/grad_norm', 'grad_norm'),
                                ('AR_opt_lr/lr_max/sche_tlr', 'lr')))
    tap.check(same, 'curves/as in the log')
    mean = sum(found[f'AR_iter_loss/L_{scale}'][6] for scale in SCALES) / len(SCALES)
    tap.check(is_close(found['AR_iter_loss/L_total'][6], mean), 'curves/total is the mean of the scales')
    usage = found['AR_iter_loss/z_voc_usage']
    tap.check(all(0 < value <= 100 for value in usage.values()), 'curves/use of the codebook', usage)
    tap.check(sorted(found.get('AR_val_loss/L_mean', {})) == [3, 6], 'curves/validation', sorted(found))
    text = fields(found['options'][1]['tensor'][0])[8][0].decode()
    tap.check('    log-iters=2\n' in text, 'curves/options', text)
    image = found.get('eval_imgs', {})
    size = fields(image[4]['image'][0]) if 4 in image else {}
    # Two pictures of 64 pixels, a gap of 4 around each, and their prompts below.
    tap.check(sorted(image) == [4] and size[2] == [140] and size[1] == [82], 'curves/pictures', list(image))


def check_resume(tap, training):
    """What a run told after its last checkpoint is taken back by the one that goes on from it."""
    training.run('again', max_iters=9, log_iters=1, save_iters=4)
    (training.folder / 'again' / 'checkpoints' / 'step-00000009').rename(training.folder / 'away')
    (training.folder / 'again' / 'latest').unlink()
    result = training.run('again', max_iters=9, log_iters=1, save_iters=4)
    first, second = files(training.folder / 'again' / 'tb_logs')
    start = next(event for event in events(second) if 'session_log' in event)
    tap.check(result.returncode == 0 and start['step'] == [9] and fields(start['session_log'][0]) == {1: [1]},
              'resume/start', start, result.stderr)
    losses = curves(first)['AR_iter_loss/L_mean'], curves(second)['AR_iter_loss/L_mean']
    tap.check(sorted(losses[1]) == [9] and losses[1][9] == losses[0][9], 'resume/the same curve', losses)


def check_prompts(tap, training):
    def fails(name, text, *words):
        prompts = training.folder / name
        if text is not None:
            prompts.write_bytes(text)
        result = training.run(name + '-out', sample_prompts=prompts)
        tap.check(result.returncode == 1 and all(word in result.stderr for word in words), f'prompts/{name}',
                  result.stderr)

    fails('absent', None, 'absent', 'could not be read')
    fails('empty', b'\n# nothing\n', 'There is no prompt')
    fails('latin', b'caf\xe9\n', 'UTF-8')


def main():
    tap = Tap()
    with Training() as training:
        check_curves(tap, training)
        check_resume(tap, training)
        check_prompts(tap, training)
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
