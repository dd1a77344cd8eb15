#!/usr/bin/env python3
"""Works out how long each CUDA kernel must take, and writes bench/MODEL.md.

SPDX-License-Identifier: LGPL-3.0-or-later

  model.py write SWITTI LOG...   writes MODEL.md beside this file
  model.py check SWITTI LOG...   TAP: MODEL.md is what this script makes, and the kernels are within its limits

SWITTI is the built program, whose `bench --kernels ... --list` names the op calls; the LOGs are what ptxas said when
the kernels were compiled (build/kernels/cuda/*.ptxas). Another nvcc may give a kernel other registers: `check` makes
the file from the registers that it states, and then holds the log against these as limits.
"""
import dataclasses
import json
import math
import pathlib
import re
import subprocess
import sys

import cuda_kernels

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE / 'MODEL.md'
WORKS = ('512', '1024', '512-8', 'ar', 'train')


@dataclasses.dataclass
class Gpu:
    name: str
    architecture: str
    processors: int         # multiprocessors
    clock: float            # Hz
    tensor: float           # bf16 operations a second with float32 sums, dense, as the maker states
    library: float          # share of it that cuBLASLt's large products reach
    mma: float              # share of it that mma.sync can reach at all
    memory: float           # bytes a second, as the maker states
    copy: float             # share of it that a copy reaches
    cache: float            # bytes of L2
    cache_speed: float      # bytes a second from L2
    shared: int             # bytes a multiprocessor has for blocks
    threads: int
    most_blocks: int
    launch: float           # seconds from one kernel of a graph to the next, with its beginning and end
    lanes: int = 128        # float32 units a multiprocessor


GPUS = (
    Gpu('H100 SXM', 'sm_90a', 132, 1.755e9, 989e12, 0.758, 0.62, 3.35e12, 0.895, 50e6, 5.5e12, 228 << 10, 2048, 32,
        1.5e-6),
    Gpu('RTX 4090', 'sm_89', 128, 2.52e9, 165e12, 0.90, 0.95, 1.008e12, 0.92, 72e6, 4.0e12, 100 << 10, 1536, 24,
        1.5e-6),
    Gpu('RTX 3060', 'sm_86', 28, 1.777e9, 25.5e12, 0.90, 0.95, 0.360e12, 0.92, 3e6, 1.2e12, 100 << 10, 1536, 16,
        2.0e-6),
)

# What a tile of cuBLASLt's reaches of `library`, by its rows and columns; small ones read their operands more often.
TILES = {(256, 128): 1.0, (128, 256): 1.0, (128, 128): 0.93, (128, 64): 0.8, (64, 128): 0.8, (64, 64): 0.6}
SPLITS = (1, 2, 4, 8, 16)
REGISTERS = 65536               # of a multiprocessor
RESERVED_SHARED = 1 << 10       # of a block
LATENCY = 0.7e-6                # of a load from memory
MMA_EFFICIENCY = 0.75           # of `mma`, in the inner loops of our own kernels
SIMT_EFFICIENCY = 0.5           # of the float32 units, in tiles kept in shared memory
INSTRUCTION_EFFICIENCY = 0.6    # of the instructions that could be issued
WARPS_FOR_TENSORS = 8           # a multiprocessor, to keep the tensor cores busy
EXPONENTIALS = 16               # a clock of a multiprocessor
SOFTMAX_INSTRUCTIONS = 10       # a score, besides its exponential

TARGETS = {  # the project's, in seconds; training in tokens a second
    '512': 0.035, '1024': 0.100, '512-8': 0.190, 'ar': 0.045, 'train': 45000,
    ('512', 'vae'): 0.005, ('1024', 'vae'): 0.018, ('512', 'text'): 0.003,
}
TITLES = {
    '512': '512×512, one image', '1024': '1024×1024, one image', '512-8': '512, batch of 8',
    'ar': 'Switti (AR) 512, one image', 'train': 'training, depth 30 at 512, batch 8, recompute',
}
# What would close a miss, by op.
CLOSES = {
    'gemm': '8-bit weights for the scales up to 9×9, which read all weights for few rows, and in training weights\' '
            'gradients in bf16 and biases kept in bf16 beside the float32 ones, which saves a conversion each',
    'latency': 'fewer launches a block, and programmatic dependent launches, which hide the start of a kernel behind '
               'the end of the one before',
    'attention': 'wgmma on sm_90a: mma.sync reaches 62 % of an H100\'s tensor cores, and heads of 64 columns are bound '
                 'by exponentials',
    'attention_backward': 'wgmma on sm_90a, and keys\' gradients from weights in one half instead of two',
    'conv': 'wgmma on sm_90a, or cuDNN, which is taken where it is installed and quicker: mma.sync reaches 62 % of an '
            'H100\'s tensor cores',
    'group_norm': 'statistics in the convolution before, which saves one of three passes over the map',
    'norms': 'one pass together with the product before or behind it',
}


# -- what the programs say --------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Resources:
    registers: int
    shared: int


def demangle(names):
    text = subprocess.run(['c++filt'], input='\n'.join(names), capture_output=True, text=True, check=True).stdout
    return dict(zip(names, text.split('\n')))


def read_logs(paths):
    """{(demangled name, architecture): Resources}"""
    found = {}
    for path in paths:
        name = architecture = None
        for line in pathlib.Path(path).read_text(encoding='utf-8', errors='replace').split('\n'):
            entry = re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line)
            used = re.search(r'Used (\d+) registers', line)
            if entry:
                name, architecture = entry.groups()
            elif used and name:
                shared = re.search(r'(\d+) bytes smem', line)
                found[name, architecture] = Resources(int(used.group(1)), int(shared.group(1)) if shared else 0)
                name = None
    names = demangle(sorted({name for name, _ in found}))
    return {(names[name], architecture): value for (name, architecture), value in found.items()}


def list_works(switti):
    text = subprocess.run([switti, 'bench', '--kernels', ','.join(WORKS), '--list', '--dtype', 'bf16'],
                          capture_output=True, text=True, check=True).stdout
    works = {work['name']: work for work in json.loads(text)['works']}
    for work in works.values():
        for call in work['kernels']:
            call['training'] = work['training']
    return {name: works[name] for name in WORKS}


# -- the model --------------------------------------------------------------------------------------------------------

class Kernels:
    """Registers and shared memory by the regular expression that names a kernel."""

    def __init__(self, log=None, stated=None):
        self.log, self.stated = log, stated
        self.asked = {}  # (expression, architecture): Resources
        self.threads = {}

    def has(self, expression):
        if self.stated is not None:
            return (expression, GPUS[0].architecture) in self.stated
        return any(re.search(expression, name) for name, _ in self.log)

    def find(self, expression, architecture):
        """The largest of the kernels that the expression names; None where there is none."""
        if self.stated is not None:
            found = self.stated.get((expression, architecture))
        else:
            matching = [value for (name, built_for), value in self.log.items()
                        if built_for == architecture and re.search(expression, name)]
            found = Resources(max(v.registers for v in matching), max(v.shared for v in matching)) if matching else None
        if found:
            self.asked[expression, architecture] = found
        return found


def blocks_per_processor(gpu, launch, resources):
    warps = cuda_kernels.ceil(launch.threads, 32)
    registers = cuda_kernels.ceil(resources.registers, 8) * 8 * 32 * warps
    shared = resources.shared + launch.dynamic + RESERVED_SHARED
    return max(1, min(REGISTERS // registers, gpu.shared // shared, gpu.threads // launch.threads, gpu.most_blocks))


def memory_seconds(gpu, launch, in_flight=1.0):
    speed = gpu.cache_speed if 0 < launch.activations < gpu.cache / 2 else gpu.memory * gpu.copy
    return (launch.activations / speed + launch.weights / (gpu.memory * gpu.copy)) / in_flight


def product_seconds(gpu, launch):
    """A product by cuBLASLt: the best of its tiles, and of sums split over k."""
    m, n, k, groups, element, out = launch.product
    if element == 4:  # float32 products are not made in a narrower format
        return max(memory_seconds(gpu, launch),
                   2 * m * n * k * groups / (gpu.processors * gpu.lanes * 2 * gpu.clock * SIMT_EFFICIENCY))
    best = math.inf
    for (rows, columns), efficiency in TILES.items():
        for split in SPLITS:
            if split > 1 and k / split < 128:
                continue
            tiles = cuda_kernels.ceil(m, rows) * cuda_kernels.ceil(n, columns) * groups * split
            waves = cuda_kernels.ceil(tiles, gpu.processors)
            one = 2 * rows * columns * k / split / (gpu.tensor * gpu.library * efficiency / gpu.processors)
            # Few blocks cannot ask for all that memory could give: a block has some 48 KB under way.
            in_flight = min(1, min(tiles, gpu.processors) * (48 << 10) / (LATENCY * gpu.memory * gpu.copy))
            moved = memory_seconds(gpu, launch, in_flight)
            if split > 1:
                moved += 2 * 4 * m * n * groups * split / gpu.cache_speed
            best = min(best, max(waves * one, moved))
    return best


def kernel_seconds(gpu, launch, resources):
    """(seconds, what bounds it) of one of our own kernels."""
    per_processor = blocks_per_processor(gpu, launch, resources)
    busy = min(gpu.processors, launch.blocks)
    resident = min(per_processor, math.ceil(launch.blocks / gpu.processors))
    waves = math.ceil(launch.blocks / gpu.processors) * gpu.processors / launch.blocks  # a processor's share of blocks
    warps = resident * cuda_kernels.ceil(launch.threads, 32)
    in_flight = min(1, busy * resident * launch.threads * launch.inflight / (LATENCY * gpu.memory * gpu.copy))
    issue = gpu.processors * gpu.lanes * gpu.clock
    times = {'memory': memory_seconds(gpu, launch, in_flight)}
    if launch.tensor:
        rate = gpu.tensor * gpu.mma * MMA_EFFICIENCY * launch.efficiency * min(1, warps / WARPS_FOR_TENSORS)
        tensor = launch.tensor / rate * waves
        score = 1 / (gpu.processors * EXPONENTIALS * gpu.clock) + SOFTMAX_INSTRUCTIONS / issue
        scores = launch.scores * score * waves
        # Half of the shorter one hides behind the other.
        times['tensor cores'] = max(tensor, scores) + 0.5 * min(tensor, scores)
    if launch.flop or launch.instructions:
        times['arithmetic'] = (launch.flop / (2 * issue * SIMT_EFFICIENCY)
                               + launch.instructions / (issue * INSTRUCTION_EFFICIENCY)) * waves
    bound = max(times, key=times.get)
    return times[bound], bound


@dataclasses.dataclass
class CallTime:
    seconds: float = 0  # of one call, launches included
    launches: int = 0
    latency: float = 0
    bound: str = ''
    missing: str = ''   # a kernel that the log does not have


def call_time(gpu, call, kernels):
    total, longest = CallTime(), 0
    for launch in cuda_kernels.launches(call, kernels.has, gpu.processors):
        if launch.kernel:
            resources = kernels.find(launch.kernel, gpu.architecture)
            if resources is None:
                total.missing = launch.kernel
                resources = Resources(128, 0)
            else:
                kernels.threads[launch.kernel] = (launch.threads, launch.dynamic, call['op'])
            seconds, bound = kernel_seconds(gpu, launch, resources)
        else:
            seconds = product_seconds(gpu, launch)
            bound = 'memory' if seconds <= memory_seconds(gpu, launch) * 1.001 else 'tensor cores'
        if seconds >= longest:
            longest, total.bound = seconds, 'launch' if gpu.launch > seconds else bound
        total.seconds += seconds + gpu.launch
        total.latency += gpu.launch
        total.launches += 1
    return total


def time_works(works, kernels):
    """{(work, gpu name): [(call, CallTime)]}"""
    return {(name, gpu.name): [(call, call_time(gpu, call, kernels)) for call in work['kernels']]
            for name, work in works.items() for gpu in GPUS}


def seconds_of(rows, part=None, op=None):
    return sum(time.seconds * call['calls'] for call, time in rows
               if (part is None or call['part'] == part) and (op is None or call['op'] == op))


# -- the page ---------------------------------------------------------------------------------------------------------

def read_limits(text):
    """The table of kernels of a MODEL.md: {(expression, architecture): Resources}"""
    stated = {}
    for line in text.split('\n'):
        row = re.match(r'\| `(.*)` \| \w+ \| \d+ \| \d+ \|((?: \d+/\d+/\d+ \|)+)$', line)
        if row:
            cells = re.findall(r'(\d+)/(\d+)/\d+', row.group(2))
            for gpu, (registers, shared) in zip(GPUS, cells):
                stated[row.group(1).replace('\\|', '|'), gpu.architecture] = Resources(int(registers), int(shared))
    return stated


def make_page(works, kernels):
    import model_page
    return model_page.page(works, time_works(works, kernels), kernels)


def excess(stated, log):
    """Kernels that need more than the page states; an architecture that was not built is not looked at."""
    built = {architecture for _, architecture in log}
    bad = []
    for (expression, architecture), limit in stated.items():
        if architecture not in built:
            continue
        found = Kernels(log).find(expression, architecture)
        if found is None:
            bad.append(f'{expression} for {architecture} is gone')
        elif cuda_kernels.ceil(found.registers, 8) > cuda_kernels.ceil(limit.registers, 8):
            bad.append(f'{expression} for {architecture} uses {found.registers} registers, not {limit.registers}')
        elif found.shared > limit.shared:
            bad.append(f'{expression} for {architecture} uses {found.shared} bytes of shared memory, not '
                       f'{limit.shared}')
    return bad


def new_kernels(works, stated, log):
    """Kernels that the calls use now and that the page does not know: it is old, which is said and fails nothing."""
    now, then = Kernels(log), Kernels(stated=stated)
    used = {launch.kernel for work in works.values() for call in work['kernels'] for gpu in GPUS
            for launch in cuda_kernels.launches(call, now.has, gpu.processors)
            if launch.kernel and now.has(launch.kernel)}
    return [f'{expression} is new' for expression in sorted(used) if not then.has(expression)]


def check(works, log):
    text = MODEL.read_text(encoding='utf-8')
    stated = read_limits(text)
    bad, new = excess(stated, log), new_kernels(works, stated, log)
    made = make_page(works, Kernels(stated=stated))
    different = [f'# line {number}: {old!r} in MODEL.md, {new!r} made now'
                 for number, (old, new) in enumerate(zip(text.split('\n'), made.split('\n')), 1) if old != new]
    print('1..2')
    print('\n'.join(f'# {words}' for words in bad + new) if bad or new else f'# {len(stated)} limits')
    print(f"{'not ok' if bad or not stated else 'ok'} 1 /model/limits")
    print('\n'.join(different[:10]) if different else '# the page is what the script makes')
    print(f"{'ok' if made == text else 'not ok'} 2 /model/page")
    if bad or new or made != text:
        print('# run: ninja -C build model-page')


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in ('write', 'check'):
        sys.exit(__doc__)
    log, works = read_logs(sys.argv[3:]), list_works(sys.argv[2])
    if sys.argv[1] == 'check':
        check(works, log)
        return
    missing = {gpu.architecture for gpu in GPUS} - {architecture for _, architecture in log}
    if missing:
        sys.exit(f"model.py: the logs are of a build without {', '.join(sorted(missing))}: "
                 'set -Dgpu_architectures to all of them')
    text = make_page(works, Kernels(log))
    partial = MODEL.with_suffix('.partial')
    partial.write_text(text, encoding='utf-8')
    partial.replace(MODEL)


if __name__ == '__main__':
    sys.modules['model'] = sys.modules['__main__']
    main()
