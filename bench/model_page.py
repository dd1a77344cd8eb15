"""Lays out MODEL.md from the times that model.py works out.

SPDX-License-Identifier: LGPL-3.0-or-later
"""
import collections

import model

PARTS = {'512': ('text', 'conditions', 'transformer', 'sampling', 'pyramid', 'vae'), 'train': ('step', 'optimizer')}


def table(head, rows, align=''):
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '|'.join(['---'] + ['---:'] * (len(head) - 1)) + '|']
    return lines + ['| ' + ' | '.join(str(cell) for cell in row) + ' |' for row in rows]


def milliseconds(seconds):
    return f'{seconds * 1e3:.3g}' if seconds < 1 else f'{seconds * 1e3:.0f}'


def assumptions():
    rows = [(gpu.name, gpu.processors, f'{gpu.tensor / 1e12:g}', f'{gpu.tensor * gpu.library / 1e12:.0f}',
             f'{gpu.tensor * gpu.mma * model.MMA_EFFICIENCY / 1e12:.0f}', f'{gpu.memory / 1e12:g}',
             f'{gpu.memory * gpu.copy / 1e12:.2f}', f'{gpu.cache / 1e6:g}', f'{gpu.cache_speed / 1e12:g}',
             f'{gpu.launch * 1e6:g}') for gpu in model.GPUS]
    return table(('GPU', 'multi­processors', 'bf16 peak, TFLOP/s', 'large products', 'our mma.sync kernels',
                  'memory, TB/s', 'a copy', 'L2, MB', 'from L2, TB/s', 'a launch, µs'), rows)


def verdict(work, rows, tokens):
    total, target = model.seconds_of(rows), model.TARGETS[work]
    if work == 'train':
        return f'{tokens / total:,.0f} tokens/s', f'≥ {target:,}', tokens / total >= target
    return f'{milliseconds(total)} ms', f'≤ {target * 1e3:g} ms', total <= target


def sums(works, times):
    rows, misses = [], []
    for name, work in works.items():
        cells = [model.TITLES[name]]
        for gpu in model.GPUS:
            words, target, met = verdict(name, times[name, gpu.name], work['tokens'])
            cells.append(words)
            if gpu is model.GPUS[0]:
                first = (target, 'yes' if met else '**no**')
                if not met:
                    misses.append((name, words, target))
        rows.append(cells + list(first))
    for (name, part), target in ((key, value) for key, value in model.TARGETS.items() if isinstance(key, tuple)):
        cells = [f'{part.upper() if part == "vae" else part} of {name}']
        cells += [f'{milliseconds(model.seconds_of(times[name, gpu.name], part))} ms' for gpu in model.GPUS]
        met = model.seconds_of(times[name, model.GPUS[0].name], part) <= target
        rows.append(cells + [f'≤ {target * 1e3:g} ms', 'yes' if met else '**no**'])
        if not met:
            misses.append((f'{name} {part}', cells[1], f'≤ {target * 1e3:g} ms'))
    head = ['work', *(gpu.name for gpu in model.GPUS), "target on the H100", 'met']
    return table(head, rows), misses


def ops_of_miss(name, times):
    work, _, part = name.partition(' ')
    rows = [(call, time) for call, time in times[work, model.GPUS[0].name] if not part or call['part'] == part]
    by_op = collections.Counter()
    latency = collections.Counter()
    for call, time in rows:
        by_op[call['op']] += time.seconds * call['calls']
        latency[call['op']] += time.latency * call['calls']
    return by_op, latency


def explain(misses, times):
    lines = []
    for name, words, target in misses:
        by_op, latency = ops_of_miss(name, times)
        total = sum(by_op.values())
        starts = milliseconds(sum(latency.values()))
        lines.append(f'- **{name}**: {words} where {target} is asked for; of that, {starts} ms are starts of kernels. '
                     'The longest:')
        for op, seconds in by_op.most_common(3):
            close = model.CLOSES.get(op, model.CLOSES['norms'])
            if latency[op] > 0.5 * seconds:
                close = model.CLOSES['latency']
            lines.append(f'  - {op}: {milliseconds(seconds)} ms ({seconds / total:.0%}), of which '
                         f'{milliseconds(latency[op])} ms starts. What would close it: {close}.')
    return lines or ['Every sum is within its target.']


def limits(kernels):
    """The kernels that the model uses. model.py reads this table back."""
    rows = []
    for expression, (threads, dynamic, op) in sorted(kernels.threads.items(), key=lambda item: (item[1][2], item[0])):
        launch = model.cuda_kernels.Launch(expression, threads, dynamic=dynamic)
        cells = [f'`{expression}`'.replace('|', '\\|'), op, threads, dynamic]
        for gpu in model.GPUS:
            # Not every GPU's calls take every tile.
            found = kernels.find(expression, gpu.architecture)
            cells.append(f'{found.registers}/{found.shared}/{model.blocks_per_processor(gpu, launch, found)}')
        rows.append(cells)
    return table(('kernel', 'op', 'threads', 'dynamic bytes', *(gpu.architecture for gpu in model.GPUS)), rows)


def by_role(work, times):
    """One row an op and role, added up over the work."""
    groups = collections.OrderedDict()
    for gpu in model.GPUS:
        for call, time in times[work, gpu.name]:
            row = groups.setdefault((call['part'], call['op'], call['role']),
                                    {'calls': 0, 'flop': 0, 'bytes': 0, 'bounds': collections.Counter(), 'ms': {}})
            row['ms'][gpu.name] = row['ms'].get(gpu.name, 0) + time.seconds * call['calls']
            if gpu is model.GPUS[0]:
                row['calls'] += call['calls']
                row['flop'] += call['flop'] * call['calls']
                row['bytes'] += call['bytes'] * call['calls']
                row['bounds'][time.bound] += time.seconds * call['calls']
    rows = [(part, op, role, row['calls'], f"{row['flop'] / 1e9:,.0f}", f"{row['bytes'] / 1e6:,.0f}",
             row['bounds'].most_common(1)[0][0], *(milliseconds(row['ms'][gpu.name]) for gpu in model.GPUS))
            for (part, op, role), row in groups.items()]
    rows.append(('all', '', '', sum(row['calls'] for row in groups.values()),
                 f"{sum(row['flop'] for row in groups.values()) / 1e9:,.0f}",
                 f"{sum(row['bytes'] for row in groups.values()) / 1e6:,.0f}", '',
                 *(milliseconds(model.seconds_of(times[work, gpu.name])) for gpu in model.GPUS)))
    return table(('part', 'op', 'role', 'calls', 'GFLOP', 'MB', 'bound by (H100)',
                  *(f'{gpu.name}, ms' for gpu in model.GPUS)), rows)


def by_scale(work, times):
    """One call of each op at each scale on the first GPU, in microseconds."""
    calls = [(call, time) for call, time in times[work, model.GPUS[0].name] if call['scale'] >= 0]
    scales = sorted({call['scale'] for call, _ in calls})
    names = list(collections.OrderedDict.fromkeys((call['op'], call['role']) for call, _ in calls))
    cells = {(call['op'], call['role'], call['scale']): time for call, time in calls}
    rows = [(f'{op}, {role}', *(f'{cells[op, role, s].seconds * 1e6:.3g}' if (op, role, s) in cells else ''
                                for s in scales)) for op, role in names]
    return table(('one call on the H100, µs, at scale', *(str(s + 1) for s in scales)), rows)


def page(works, times, kernels):
    total, misses = sums(works, times)
    missing = sorted({time.missing for rows in times.values() for _, time in rows if time.missing})
    lines = [
        '# What each kernel must take', '',
        'Made by `bench/model.py` (`ninja -C build model-page`) from the op calls that `switti bench --kernels … '
        '--list` names, the launches that `bench/cuda_kernels.py` has for them, and the registers and shared memory '
        'that ptxas reports. It is arithmetic, not a measurement: nothing here has run on a GPU. `./dev gpu-check` '
        'measures the same calls.', '',
        '## Assumptions', '', *assumptions(), '',
        'Of the H100, large products (750 TFLOP/s) and a copy (3.0 TB/s) are measured; peaks and sizes are the '
        'makers\'; the rest are assumptions. A kernel takes the longest of: its bytes (activations from L2 where they '
        'are less than half of it, weights from memory), slower where its resident threads do not have enough bytes '
        f'under way for {model.LATENCY * 1e6:g} µs of latency; its products on tensor cores, rounded up to whole '
        'rounds of blocks over the multiprocessors (attention adds the exponentials, of which half hide); its other '
        'instructions. Every kernel adds the time of a launch inside a graph, with its start and end. Products are '
        "cuBLASLt's, with the best of the usual tiles and of sums split over k.", '',
        '## Sums and targets', '', *total, '', *explain(misses, times), '',
    ]
    if missing:
        lines += ['These kernels are not built yet, and are counted as if they had 128 registers: '
                  + ', '.join(f'`{name}`' for name in missing) + '.', '']
    lines += ['## Kernels', '',
              'Registers of a thread / static shared memory of a block in bytes / blocks that a multiprocessor holds. '
              'The test `model` fails where a kernel needs more: registers count in eights.', '', *limits(kernels), '']
    for work in works:
        lines += [f'## {model.TITLES[work]}', '', *by_role(work, times), '']
        if work != 'train':
            lines += [*by_scale(work, times), '']
    return '\n'.join(lines).rstrip() + '\n'
