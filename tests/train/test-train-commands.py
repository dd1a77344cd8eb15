#!/usr/bin/env python3
# test-train-commands.py - the trainer's other commands: sample, eval, vae
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import json
import struct
import subprocess
import sys

from event_files import events, files, values
from training import Tap, Training


def run(training, *arguments):
    return subprocess.run([training.program, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          check=False)


def png_size(path):
    data = path.read_bytes()
    return struct.unpack('>II', data[16:24]) if data[:8] == b'\x89PNG\r\n\x1a\n' else None


def check_sample(tap, training, model):
    prompts, sheet = training.folder / 'prompts', training.folder / 'sheet.png'
    prompts.write_text('a disc, on red\n# left out\na bar, on blue\na “cross”\n')
    options = ['--model', model, '--prompts', prompts, '--threads', 1]
    result = run(training, 'sample', *options, '--seeds', 2, '--seed', 5, '--cfg_end', 3, '-o', sheet)
    # Three rows of two pictures of 64 pixels, with 10 below each for the prompt, and 4 around all.
    tap.check(result.returncode == 0 and png_size(sheet) == (2 * 68 + 4, 3 * 78 + 4), 'sample/sheet', result.stderr)
    first = sheet.read_bytes()
    run(training, 'sample', *options, '--seeds', 2, '--seed', 5, '--cfg-end', 3, '-o', sheet)
    again = sheet.read_bytes()
    run(training, 'sample', *options, '--seeds', 2, '--seed', 5, '--cfg-end', 3, '--memory', 'low', '-o', sheet)
    tap.check(first == sheet.read_bytes(), 'sample/memory does not change it')
    result = run(training, 'sample', *options, '--memory', 'little', '-o', sheet)
    tap.check(result.returncode != 0 and 'little' in result.stderr, 'sample/unknown memory', result.stderr)
    run(training, 'sample', *options, '--seeds', 2, '--seed', 6, '--cfg-end', 3, '-o', sheet)
    tap.check(first == again != sheet.read_bytes(), 'sample/follows from its seeds')
    result = run(training, 'sample', *options, '--columns', 3, '-o', sheet)
    tap.check(png_size(sheet) == (3 * 68 + 4, 78 + 4), 'sample/columns', result.stderr)

    def fails(status, words, *arguments):
        sheet.unlink(missing_ok=True)
        failed = run(training, 'sample', *arguments)
        tap.check(failed.returncode == status and words in failed.stderr and failed.stderr.count('\n') == 1
                  and not sheet.exists(), f'sample/{words}', failed.stderr)

    fails(2, 'did you mean --seeds?', *options, '--seds', 2, '-o', sheet)
    fails(2, '--prompts FILE', '--model', model, '-o', sheet)
    fails(2, '--output FILE.png', *options)
    fails(2, '--seeds takes 1 to 1000', *options, '--seeds', 0, '-o', sheet)
    fails(1, 'There is no model called', '--model', 'nowhere', '--prompts', prompts, '-o', sheet)


def check_eval(tap, training, model):
    """The figures of a model, by batches of any size; and the loss that the training finds on the same images."""
    found, names = {}, training.folder / 'eval.json'
    for size in (1, 3, 4):  # of 4 images: one by one; 3, and one alone; all at once
        result = run(training, 'eval', '--model', model, '--data-path', training.folder / 'data', '--bs', size,
                     '--threads', 1, '--json', names)
        tap.check(result.returncode == 0, f'eval/--bs {size}', result.stderr)
        found[size] = json.loads(names.read_text())
    first = found[1]
    same = all(abs(found[size][key] - first[key]) < 1e-4 * abs(first[key])  # float32, and sums in another order
               for size in found for key in ('psnr', 'loss'))
    tap.check(same and all(found[size]['scales'][3].keys() == {'side', 'loss', 'accuracy', 'top5'} for size in found),
              'eval/the same for batches of any size', found)
    tap.check(first['images'] == 4 and first['resolution'] == 64 and len(first['scales']) == 4
              and first['psnr_least'] <= first['psnr'] <= first['psnr_most']
              and 0 < first['codes_used'] <= first['codes'] == 1024, 'eval/figures', first)
    tap.check('PSNR' in result.stdout and f'{found[4]["loss"]:.4f}' in result.stdout, 'eval/table', result.stdout)
    validated = [line['validation_loss'] for line in training.log('out') if 'validation_loss' in line][-1]
    tap.check(abs(validated - first['loss']) < 1e-4 * validated, 'eval/as the training says', validated)
    result = run(training, 'eval', '--model', model, '--data-path', training.folder / 'data', '--split', 'train2014',
                 '--images', 2, '--threads', 1, '--json', '-')
    tap.check(json.loads(result.stdout)['images'] == 2, 'eval/--images', result.stderr)
    result = run(training, 'eval', '--model', model, '--data-path', training.folder / 'nowhere')
    tap.check(result.returncode == 1 and 'nowhere' in result.stderr and result.stderr.count('\n') == 1,
              'eval/no images', result.stderr)
    result = run(training, 'eval', '--model', model)
    tap.check(result.returncode == 2 and '--data-path FOLDER' in result.stderr, 'eval/usage', result.stderr)


def check_eval_of_vae(tap, training):
    """A VAE alone has no loss to tell, and the PSNR that its training found."""
    result = run(training, 'eval', '--model', training.folder / 'vae' / 'latest', '--data-path',
                 training.folder / 'data', '--threads', 1, '--json', '-')
    found = json.loads(result.stdout or '{}')
    tap.check(result.returncode == 0 and 'loss' not in found and 3 < found['psnr'] < 60, 'eval/VAE alone', found,
              result.stderr)


VAE = {'vae': None, 'train_text': None, 'text_width': None, 'text_depth': None, 'depth': None, 'embed_dim': None,
       'pn': '1_2', 'bs': 2, 'cache': None, 'ema': 0.5}
NEW = {'vqvae_n_channels': 32, 'vqvae_vocab_size': 32, 'vqvae_channel_dim': 8}


def vae(training, out, **options):
    command = training.command(out, **{**VAE, **options})
    return subprocess.run([command[0], 'vae', *command[1:]], capture_output=True, text=True, timeout=300, check=False)


def check_vae(tap, training):
    """From scratch; and the second half again from the checkpoint between ends with the same bits."""
    options = {**NEW, 'max_iters': 4, 'save_iters': 2, 'val_iters': 4, 'log_iters': 2}
    result = vae(training, 'vae', **options)
    lines = training.log('vae')
    tap.check(result.returncode == 0 and [line['step'] for line in lines if 'loss' in line] == [1, 2, 3, 4], 'vae/run',
              result.stderr)
    last = lines[-1]
    tap.check(last['images'] == 4 and 3 < last['validation_psnr'] < 60, 'vae/validation', last)
    whole = training.state('vae')
    checkpoints = training.folder / 'vae' / 'checkpoints'
    (checkpoints / 'step-00000004').rename(training.folder / 'gone')
    (training.folder / 'vae' / 'latest').unlink()
    result = vae(training, 'vae', **options)
    tap.check(result.returncode == 0 and 'Going on from' in result.stderr and training.state('vae') == whole,
              'vae/resumed to the bit', result.stderr)
    tap.check(training.log('vae') == lines, 'vae/the same log')
    first, second = files(training.folder / 'vae' / 'tb_logs')
    tags = {value['tag'][0].decode() for event in events(second) if 'summary' in event for value in values(event)}
    tap.check({'VAE_iter_loss/L_rec', 'VAE_iter_loss/z_voc_usage', 'VAE_val_loss/psnr', 'VAE_reconstructions'} <= tags,
              'vae/TensorBoard', sorted(tags))
    result = vae(training, 'worse', **options, fp16=2)
    tap.check(result.returncode == 2 and 'float32' in result.stderr, 'vae/--fp16', result.stderr)


def check_vae_of_model(tap, training, model):
    """An RQ-VAE that goes on from a model's takes the model's place: with it, the model paints."""
    result = vae(training, 'tuned', init=model, max_iters=1)
    sheet = training.folder / 'tuned.png'
    tap.check(result.returncode == 0, 'vae/--init', result.stderr)
    result = run(training, 'sample', '--model', training.folder / 'tuned' / 'latest', '--prompts',
                 training.folder / 'prompts', '--threads', 1, '-o', sheet)
    tap.check(result.returncode == 0 and png_size(sheet), 'vae/paints', result.stderr)


def check_codes_of_vae(tap, training):
    """A folder with nothing but an RQ-VAE makes the codes of a training."""
    result = training.run('on-vae', vae=training.folder / 'vae' / 'latest', text=training.model, pn='1_2', max_iters=1)
    tap.check(result.returncode == 0, 'vae/--vae', result.stderr)


def check_text_cache(tap, training):
    """Features from the disk give the bits that the text encoders give."""
    frozen = {'train_text': None, 'text_width': None, 'text_depth': None, 'max_iters': 3, 'save_iters': 3}
    place = training.folder / 'features'
    first = training.run('plain', **frozen)
    states = [training.state('plain')]
    for out in ('filling', 'filled'):
        result = training.run(out, **frozen, cache=place, cache_text='true')
        states.append(training.state(out))
        tap.check(result.returncode == 0, f'cache/{out}', result.stderr, first.stderr)
    entries = sorted((place / 'text').glob('*/*'))
    tap.check(states[0] == states[1] == states[2] and len(entries) > 5, 'cache/the same bits', len(entries))
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-1] + b'?')
    result = training.run('broken', **frozen, cache=place, cache_text='true')
    tap.check(training.state('broken') == states[0], 'cache/broken entries are made again', result.stderr)
    result = training.run('wrong', cache_text='true')
    tap.check(result.returncode == 2 and '--cache-text' in result.stderr, 'cache/--train-text', result.stderr)


def check_noise(tap, training):
    """Noise in the latents makes other codes, the same again each run, of which none is kept."""
    options = {'max_iters': 2, 'save_iters': 2, 'log_iters': 1}
    losses = []
    for out, noise in (('quiet', 0), ('noisy', 0.5), ('again', 0.5)):
        result = training.run(out, **options, embed_noise_std=noise, cache=training.folder / out / 'codes')
        losses.append([line['loss'] for line in training.log(out)])
        tap.check(result.returncode == 0, f'noise/{out}', result.stderr)
    tap.check(losses[0][0] != losses[1][0] and losses[1] == losses[2], 'noise/codes', losses)
    tap.check((training.folder / 'quiet' / 'codes').exists() and not (training.folder / 'noisy' / 'codes').exists(),
              'noise/cache')


def main():
    tap = Tap()
    with Training() as training:
        result = training.run('out', max_iters=2, val_iters=2, ema=0, save_dtype='f32')
        tap.check(result.returncode == 0, 'a model', result.stderr)
        model = training.folder / 'out' / 'latest'
        check_sample(tap, training, model)
        check_eval(tap, training, model)
        check_vae(tap, training)
        check_eval_of_vae(tap, training)
        check_vae_of_model(tap, training, model)
        check_codes_of_vae(tap, training)
        check_text_cache(tap, training)
        check_noise(tap, training)
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
