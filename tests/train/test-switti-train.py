#!/usr/bin/env python3
# test-switti-train.py - what the trainer does with its options, its folder, and what goes wrong
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

from training import SUBJECTS, Tap, Training

CLI = os.environ['SWITTI_CLI']


def one_sentence(text):
    """What a failed run has said, without its line of parameters."""
    said = [line for line in text.splitlines() if line.startswith('switti-train: ')]
    return said[-1].removeprefix('switti-train: ') if said else ''


def wait_for_step(training, out, process, step):
    while process.poll() is None and max(training.steps(out), default=0) < step:
        time.sleep(0.002)


def check_options(tap, training):
    def fails(arguments, *words):
        result = subprocess.run([training.program] + arguments, capture_output=True, text=True, check=False)
        good = result.returncode == 2 and all(word in result.stderr for word in words)
        tap.check(good and result.stderr.count('\n') == 1, f'options/{" ".join(arguments) or "none"}', result.stderr)

    fails([], '--data-path')
    fails(['--dept=3'], 'did you mean --depth?')
    fails(['--bs=4.5'], '--bs takes a whole number')
    fails(['--uncond_proba=2'], '--uncond-proba takes a number from 0 to 1')
    fails(['--rope=maybe'], 'true or false')
    fails(['--data-path=x', '--out=y', '--vae=z', '--bs=4', '--grad-accum=3'], '--bs must be a multiple')
    fails(['--data-path=x', '--out=y', '--vae=z', '--bs=4', '--pn=3_2_1'], '--pn takes')
    fails(['--data-path=x', '--out=y', '--vae=z', '--bs=4', '--loss-scale=0'], '--loss-scale takes')
    fails(['now'], '“now” is neither')
    shown = subprocess.run([training.program, '--help'], capture_output=True, text=True, check=False)
    named = ['depth', 'pn', 'bs', 'tblr', 'tclip', 'alng', 'wp', 'wp0', 'wpe', 'sche', 'twd', 'twde', 'ls', 'opt',
             'fp16', 'use-ar', 'use-swiglu-ffn', 'rope', 'use-crop-cond', 'log-iters', 'save-iters',
             'global-save-iters', 'grad-accum', 'embed-noise-std', 'drop-path-rate', 'uncond-proba', 'data-path',
             'hflip', 'seed', 'ini', 'hd', 'aln', 'max-iters', 'adam-beta1', 'workers', 'exp-name',
             'local-out-dir-path']
    missing = [name for name in named if f'--{name}=' not in shown.stdout and f'--{name}[=' not in shown.stdout]
    tap.check(shown.returncode == 0 and not missing, 'options/published names', f'missing: {missing}')
    manual = pathlib.Path(os.environ['SWITTI_TRAIN_MAN']).read_text()
    offered = re.findall(r'^  --([a-z0-9-]+)', shown.stdout, re.MULTILINE)
    unnamed = [name for name in offered if f'\n.It Fl -{name}' not in manual]
    tap.check(len(offered) > 60 and not unnamed, 'options/manual', f'not in the manual: {unnamed}')


def check_config(tap, training):
    config = training.folder / 'options.conf'
    config.write_text('[train]\nmax_iters = 3\nsave-iters=1\nkeep=1\n')
    result = training.run('config', config=config, max_iters=None, save_iters=None)
    tap.check(result.returncode == 0 and training.steps('config') == [1, 2, 3], 'config/file', result.stderr)
    result = training.run('config-over', config=config, max_iters=2, save_iters=None)
    tap.check(training.steps('config-over') == [1, 2], 'config/the command line goes first', result.stderr)
    config.write_text('[train]\nmax_iter = 3\n')
    result = training.run('config', config=config)
    tap.check(result.returncode == 2 and 'is it “max-iters”?' in result.stderr, 'config/unknown', result.stderr)


def check_signal(tap, training):
    whole = training.run('whole', max_iters=60, save_iters=100)
    tap.check(whole.returncode == 0, 'signal/at-once', whole.stderr)
    for number in signal.SIGTERM, signal.SIGINT:
        process = training.start('stopped', max_iters=60, save_iters=100)
        wait_for_step(training, 'stopped', process, max(training.steps('stopped'), default=0) + 10)
        process.send_signal(number)
        status = process.wait(60)
        last = max(training.steps('stopped'))
        tap.check(status == 0 and last < 60 and training.checkpoints('stopped')[-1] == f'step-{last:08}',
                  f'signal/{number.name} saves', f'status {status} at step {last}')
    result = training.run('stopped', max_iters=60, save_iters=100)
    tap.check(result.returncode == 0 and training.state('stopped') == training.state('whole'), 'signal/same-bits',
              result.stderr)


def check_device(tap, training):
    if os.path.exists('/dev/nvidiactl'):
        tap.check(True, 'device/cuda # SKIP there is a driver')
        return
    result = training.run('cuda', device='cuda', max_iters=1)
    said = one_sentence(result.stderr)
    tap.check(result.returncode == 1 and '“cuda' in said and ('driver' in said or 'no CUDA module' in said),
              'device/cuda', said)


def check_keep(tap, training):
    result = training.run('kept', max_iters=12, save_iters=2, global_save_iters=4, keep=1)
    tap.check(training.checkpoints('kept') == ['step-00000004', 'step-00000008', 'step-00000010', 'step-00000012'],
              'checkpoints/kept', training.checkpoints('kept'), result.stderr)
    tap.check(os.readlink(training.folder / 'kept' / 'latest') == 'checkpoints/step-00000012', 'checkpoints/latest')
    result = training.run('kept', resume='no')
    tap.check(result.returncode == 1 and 'has checkpoints already' in result.stderr, 'checkpoints/not mixed',
              result.stderr)
    result = training.run('kept', train_text=None, text_width=None, text_depth=None, max_iters=14)
    tap.check(result.returncode == 1 and '--train-text' in one_sentence(result.stderr), 'checkpoints/other parts',
              result.stderr)
    result = training.run('kept', embed_dim=128, max_iters=14)
    tap.check(result.returncode == 1 and '(' in one_sentence(result.stderr), 'checkpoints/other shape', result.stderr)
    half = training.folder / 'kept' / 'checkpoints' / '.partial-step-00000099'
    half.mkdir()
    result = training.run('kept', max_iters=14, keep=1, global_save_iters=4, bs=2)
    tap.check(result.returncode == 0 and not half.exists() and '--bs is 2 now; it was 4' in result.stderr,
              'checkpoints/changed options are told of', result.stderr)


def check_full_disk(tap, training):
    training.run('full', max_iters=4, save_iters=4)
    before = training.state('full')

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

    result = training.run('full', preexec=limit, max_iters=20, save_iters=4)
    said = one_sentence(result.stderr)
    tap.check(result.returncode == 1 and 'step-00000004' in said and 'could not be written' in said, 'full/limit', said)
    tap.check(training.checkpoints('full') == ['step-00000004'] and training.state('full') == before,
              'full/the old checkpoint is whole', training.checkpoints('full'))

    place = training.folder / 'small'
    place.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=20M', 'tmpfs', place], check=False,
                      capture_output=True).returncode != 0:
        tap.check(True, 'full/disk # SKIP no mounting here')
        return
    try:
        result = training.run('small/run', max_iters=20, save_iters=4)
        said = one_sentence(result.stderr)
        tap.check(result.returncode == 1 and 'No space left' in said and 'step-00000004' in said
                  and training.checkpoints('small/run') == ['step-00000004'], 'full/disk', result.stderr)
    finally:
        subprocess.run(['umount', place], check=True)


def check_divergence(tap, training):
    result = training.run('diverged', max_iters=300, save_iters=1, tblr=10, twd=1, tclip=0)
    said = one_sentence(result.stderr)
    tap.check(result.returncode == 1 and 'has diverged' in said and 'step-' in said, 'diverged', said)


def check_model(tap, training):
    folder = training.folder / 'whole' / 'latest'
    picture = training.folder / 'disc.png'
    result = subprocess.run([CLI, 'generate', 'a disc, on red', '--model', folder, '--seed', '1', '-o', picture],
                            capture_output=True, text=True, check=False)
    tap.check(result.returncode == 0 and picture.read_bytes().startswith(b'\x89PNG'), 'model/generates', result.stderr)
    index = json.loads((folder / 'model_index.json').read_text())
    tap.check(index['_class_name'] == 'SwittiPipeline' and 'default_sampling' not in index, 'model/index')
    first = training.run('from', init=folder, vae=None, max_iters=2, pn='1_2_3_4_6', tblr=0)
    tap.check(first.returncode == 0, 'model/init, at another resolution', first.stderr)
    result = training.run('frozen', init=folder, vae=None, train_text=None, text_width=None, text_depth=None,
                          max_iters=2, save_dtype='f32')
    same = all((training.folder / 'frozen' / 'latest' / part / 'model.safetensors').read_bytes()
               == (folder / part / 'model.safetensors').read_bytes() for part in ['text_encoder', 'text_encoder_2'])
    tap.check(result.returncode == 0 and same, 'model/text encoders that are not trained', result.stderr)


def check_resolution(tap, training):
    shutil.copytree(training.folder / 'whole', training.folder / 'larger', symlinks=True)
    result = training.run('larger', max_iters=64, pn='1_2_3_4_6', val_iters=2)
    tap.check(result.returncode == 0 and training.steps('larger')[-1] == 64, 'resolution/resumed', result.stderr)
    config = json.loads((training.folder / 'larger/latest/transformer/config.json').read_text())
    tap.check(config['reso'] == 96 and config['patch_nums'] == [1, 2, 3, 4, 6], 'resolution/saved', config)


def check_validation(tap, training):
    result = training.run('validated', max_iters=4, val_iters=2, bs=4, ls=0.1)
    lines = [line for line in training.log('validated') if 'validation_loss' in line]
    tap.check(result.returncode == 0 and [line['step'] for line in lines] == [2, 4] and lines[0]['images'] == 4
              and len(lines[0]['scale_loss']) == 4, 'validation/lines', lines, result.stderr)


def check_bad_images(tap, training):
    folder = training.folder / 'bad'
    shutil.copytree(training.folder / 'data', folder)
    (folder / 'train2014' / f'{SUBJECTS[0]}-red.png').write_bytes(b'no image')
    result = training.run('bad-run', data_path=folder, max_iters=8)
    tap.check(result.returncode == 0 and result.stderr.count(f'{SUBJECTS[0]}-red.png') == 1, 'images/bad',
              result.stderr)
    result = training.run('bad-end', data_path=folder, max_iters=8, max_bad=0)
    tap.check(result.returncode == 1, 'images/too many are bad', result.stderr)


def check_regularisation(tap, training):
    """Stochastic depth and noise are functions of the position: stopped and resumed, the run is the same."""
    options = {'drop_path_rate': 0.4, 'embed_noise_std': 0.3, 'save_iters': 10}
    training.run('noisy', max_iters=20, **options)
    training.run('noisy-twice', max_iters=10, **options)
    result = training.run('noisy-twice', max_iters=20, **options)
    losses = [line['loss'] for line in training.log('noisy') if 'loss' in line]
    whole = [line['loss'] for line in training.log('whole') if 'loss' in line][:20]
    tap.check(result.returncode == 0 and training.state('noisy') == training.state('noisy-twice') and losses != whole,
              'regularisation', result.stderr)


def check_lora(tap, training):
    """A LoRA moves the loss, resumes, and painted with the model is the model that was saved with it."""
    # With gates that let the blocks through from the first step.
    training.run('lora-base', max_iters=60, save_iters=100, alng=1, ema=None)
    base = training.folder / 'lora-base' / 'latest'
    options = {'init': base, 'vae': None, 'train_text': None, 'text_width': None, 'text_depth': None, 'depth': None,
               'embed_dim': None, 'lora_rank': 4, 'lora_alpha': 8, 'save_iters': 10, 'tblr': 1e-2, 'ema': None,
               'uncond_proba': 0, 'twd': 0}
    result = training.run('lora', max_iters=30, **options)
    losses = [line['loss'] for line in training.log('lora') if 'loss' in line]
    whole = [line['loss'] for line in training.log('lora-base') if 'loss' in line]
    tap.check(result.returncode == 0 and abs(losses[0] - whole[-1]) < 1 and sum(losses[-8:]) < sum(losses[:8]) - 0.3,
              'lora/learns', losses, result.stderr)
    training.run('lora-twice', max_iters=10, **options)
    training.run('lora-twice', max_iters=30, **options)
    tap.check(training.state('lora-twice') == training.state('lora'), 'lora/resumes')

    def picture(model, *arguments):
        path = training.folder / 'picture.png'
        painted = subprocess.run([CLI, 'generate', 'a disc, on red', '--model', model, '--seed', '1', '--dtype', 'f32',
                                  '-o', path, *arguments], capture_output=True, text=True, check=False)
        # The pixels alone: the recipe before them has the hash of model and LoRA.
        return painted.stderr, path.read_bytes().split(b'IDAT')[1:]

    lora = training.folder / 'lora' / 'latest' / 'lora.safetensors'
    with_lora = picture(base, '--lora', lora)
    tap.check(with_lora[1] == picture(training.folder / 'lora' / 'latest')[1], 'lora/added when painting', with_lora[0])
    tap.check(picture(base, '--lora', lora)[1] != picture(base)[1]
              and picture(base, '--lora', lora, '--lora-scale', '0')[1] == picture(base)[1], 'lora/scale')
    other = subprocess.run([CLI, 'generate', 'x', '--model', training.model, '--lora', lora, '-o',
                            training.folder / 'x.png'], capture_output=True, text=True, check=False)
    tap.check(other.returncode == 1 and 'another model' in other.stderr, 'lora/of another model', other.stderr)


def check_precision(tap, training):
    """Losses in other dtypes stay within 1% of float32's."""
    options = {'max_iters': 60, 'save_iters': 100, 'cache': training.folder / 'cache'}
    whole = [line['loss'] for line in training.log('whole') if 'loss' in line]
    for name, value in [('bf16', 2), ('fp16', 1)]:
        result = training.run(name, fp16=value, **options)
        losses = [line['loss'] for line in training.log(name) if 'loss' in line]
        worst = max((abs(a - b) / b for a, b in zip(losses, whole)), default=1)
        tap.check(result.returncode == 0 and len(losses) == 60 and worst < 0.01, f'precision/{name}',
                  f'worst {worst:.3%}', result.stderr)


def check_loss_scale(tap, training):
    """A scale far beyond float16 costs steps, not the training; and what has become of it is in the checkpoints."""
    options = {'fp16': 1, 'loss_scale': 2**40, 'loss_scale_iters': 8, 'max_iters': 40, 'save_iters': 3}
    result = training.run('scaled', **options)
    lines = [line for line in training.log('scaled') if 'loss' in line]
    skipped = [line['skipped'] for line in lines]
    left_out = ['grad_norm' not in line for line in lines]
    tap.check(result.returncode == 0 and len(lines) == 40 and left_out[0] and not any(left_out[-8:]),
              'loss-scale/recovers', skipped, result.stderr)
    tap.check(skipped == [sum(left_out[:i + 1]) for i in range(40)], 'loss-scale/counted')
    # The log has seven digits.
    tap.check(all(abs(b['scale'] / a['scale'] * (2 if out else 1) - 1) < 2e-6
                  for a, b, out in zip(lines, lines[1:], left_out)), 'loss-scale/halved')
    tap.check(lines[-1]['loss'] < lines[0]['loss'], 'loss-scale/learns')
    process = training.start('scaled-killed', **options)
    wait_for_step(training, 'scaled-killed', process, 12)
    process.kill()
    process.wait()
    result = training.run('scaled-killed', **options)
    tap.check(result.returncode == 0 and 'Going on from' in result.stderr
              and training.state('scaled-killed') == training.state('scaled'), 'loss-scale/same-bits', result.stderr)
    state = training.folder / 'scaled' / 'latest' / 'training' / 'training.json'
    whole = json.loads(state.read_text())
    for scale in -1, 'large', [1]:
        state.write_text(json.dumps({**whole, 'loss_scale': scale}))
        result = training.run('scaled', **{**options, 'max_iters': 41})
        tap.check(result.returncode == 1 and 'the loss scale' in one_sentence(result.stderr),
                  f'loss-scale/{scale} in a checkpoint', result.stderr)
    training.run('grown', **{**options, 'loss_scale': 2, 'loss_scale_iters': 5, 'max_iters': 12})
    tap.check([line['scale'] for line in training.log('grown') if 'loss' in line] == [2] * 5 + [4] * 5 + [8] * 2,
              'loss-scale/grows')


CHECKS = (check_options, check_config, check_device, check_signal, check_keep, check_full_disk, check_divergence,
          check_model, check_resolution, check_validation, check_bad_images, check_regularisation, check_lora,
          check_precision, check_loss_scale)


def main():
    """All checks, or those named; what check_signal makes is needed by most."""
    tap = Tap()
    with Training() as training:
        for check in CHECKS:
            if len(sys.argv) == 1 or check.__name__.removeprefix('check_') in sys.argv[1:]:
                check(tap, training)
    return tap.end()


sys.exit(main())
