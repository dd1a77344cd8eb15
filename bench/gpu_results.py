#!/usr/bin/env python3
"""Makes the table for bench/RESULTS.md of what gpu-check has measured: gpu_results.py FOLDER COMMIT

SPDX-License-Identifier: LGPL-3.0-or-later
"""
import collections
import datetime
import json
import pathlib
import sys


def load(folder, name):
    path = folder / f'{name}.json'
    return json.loads(path.read_text(encoding='utf-8')) if path.exists() else None


def row(*cells):
    print('| ' + ' | '.join(str(cell) for cell in cells) + ' |')


def head(*cells):
    row(*cells)
    print('|---|' + '---:|' * (len(cells) - 1))


def whole(folder):
    """Images and the training step."""
    head('work', 'time', 'transformer', 'VAE', 'share of products')
    for size in ('512', '1024'):
        run = load(folder, f'image-{size}')
        if run:
            total, transformer, vae = (f"{run[part]['median']:.1f} ms" for part in ('total_ms', 'transformer_ms',
                                                                                   'vae_ms'))
            row(f'one image, {size}', total, transformer, vae, f"{run['transformer_share']:.0%}")
    step = load(folder, 'step')
    if step:
        row(f"training step, batch {step['batch']}", f"{step['step_ms']:.0f} ms",
            f"{step['tokens_per_s']:,.0f} tokens/s", '', f"{step['share']:.0%}")
    print()


def kernels(work, report):
    """An op and role of a work: the sum of its calls, and the shares at its longest shape."""
    groups = collections.OrderedDict()
    for call in work['kernels']:
        groups.setdefault((call['op'], call['role']), []).append(call)
    print(f"### {work['name']}: {work.get('sum_ms', 0):.1f} ms in all ops, one after another\n")
    head('op', 'calls', 'ms', 'longest shape', 'µs', 'MB', 'GFLOP', 'of a copy', 'of the largest product')
    for (op, role), calls in groups.items():
        timed = [call for call in calls if 'us' in call]
        if not timed:
            row(f'{op}, {role}', sum(call['calls'] for call in calls), 'not run', calls[0].get('error', ''), *[''] * 5)
            continue
        longest = max(timed, key=lambda call: call['us'])
        row(f'{op}, {role}', sum(call['calls'] for call in calls),
            f"{sum(call['us'] * call['calls'] for call in timed) / 1e3:.2f}",
            longest['words'] + (', cuDNN' if longest.get('cudnn') else ''), f"{longest['us']:.1f}",
            f"{longest['bytes'] / 1e6:.1f}", f"{longest['flop'] / 1e9:.2f}", f"{longest.get('copy_share', 0):.0%}",
            f"{longest.get('product_share', 0):.0%}")
    print(f"\nA copy reaches {report['copy_gbytes_per_s']:.0f} GB/s, the largest product "
          f"{report['product_gflops'] / 1e3:.0f} TFLOP/s.\n")


def main():
    folder, commit = pathlib.Path(sys.argv[1]), sys.argv[2] or 'an unknown commit'
    report = load(folder, 'kernels')
    found = report or next(filter(None, (load(folder, name) for name in ('image-512', 'image-1024', 'step'))), None)
    if found is None:
        print('gpu_results.py: no bench has run', file=sys.stderr)
        return 1
    print(f"## {found['device_description']}\n")
    print(f"{datetime.date.today()}, commit {commit}, `./dev gpu-check`; medians.\n")
    whole(folder)
    if report:
        for work in report['works']:
            kernels(work, report)
    return 0


if __name__ == '__main__':
    sys.exit(main())
