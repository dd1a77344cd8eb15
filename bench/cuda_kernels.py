"""The CUDA kernels that an op call launches: which, with how many blocks and threads, and what each does of the call.

SPDX-License-Identifier: LGPL-3.0-or-later

For model.py. A kernel is named by a regular expression on its demangled name, as ptxas' log has it; where an op has
more than one way, the first whose kernel is in the log counts. `launches()` follows kernels/cuda/: when a launch
changes there, it changes here, and the test `model` finds kernels that are gone.
"""
import dataclasses
import math


@dataclasses.dataclass
class Launch:
    """One kernel of an op call."""
    kernel: str            # regular expression; '' for a product of cuBLASLt
    threads: int = 0
    blocks: float = 1
    dynamic: int = 0       # bytes of shared memory asked for at the launch
    activations: float = 0  # bytes that the kernel before may have left in the L2 cache
    weights: float = 0     # bytes that come from memory
    tensor: float = 0      # operations on tensor cores
    efficiency: float = 1  # of those, beside the best of our kernels
    scores: float = 0      # exponentials between two products on tensor cores (attention)
    flop: float = 0        # operations in float32
    instructions: float = 0  # others that count: a thread's, for elements that cost more than their bytes
    inflight: int = 32     # bytes that a thread has asked for at a time
    product: tuple = ()    # (m, n, k, groups, element bytes, bytes of D) of cuBLASLt's


def ceil(a, b):
    return -(-int(a) // int(b))


def dtype_bytes(name):
    return 2 if name == 'bf16' else 4


ROW_THREADS, MAP_THREADS, MAP_ELEMENTS, GROUP_THREADS, CHUNK_ELEMENTS = 128, 256, 1024, 256, 16384


def row_shape(width):
    """The template argument and the threads of kernels that keep a row in registers (rows-private.h)."""
    threads = 128 if width <= 2048 else 1024
    return rf'RowShape<{threads}, 4, true>', threads


def map_rows(functor, rows, width, bytes_moved, instructions=0):
    return Launch(rf'map_rows<true, {functor}', MAP_THREADS, rows * ceil(width, MAP_ELEMENTS),
                  activations=bytes_moved, instructions=instructions * rows * width)


def flat(functor, count, bytes_moved, instructions=0):
    return map_rows(rf'Flat<{functor}', 1, count, bytes_moved, instructions)


def gemm(call, s):
    m, n, k, groups = s['m'], s['n'], s['k'], s['groups']
    a, d = dtype_bytes(s['a']), dtype_bytes(s['d'])
    weights = n * k * dtype_bytes(s['b'])
    done_by_library = not s['activation']
    out = d if done_by_library else 4
    result = []
    # Where nothing is learnt a bias is kept in bf16, too.
    if s['bias'] and d == 2 and done_by_library and call['training']:
        result.append(flat('Convert<float, Bf16>', n, 6 * n))
    result.append(Launch('', activations=m * k * a + m * n * out * (2 if s['accumulate'] else 1), weights=weights,
                         product=(m / groups, n, k, groups, a, out)))
    if not done_by_library:
        result.append(Launch(r'finish_product<true, Bf16>', 256, ceil(m * n / 4, 256), activations=m * n * (4 + d),
                             instructions=20 * m * n))
    return result


# Tiles of conv2d-mma.cu: positions, channels, threads, bytes of shared memory, what they reach beside the largest.
CONV_TILES = (
    (256, 160, 256, 3 * (256 + 160) * 64, 1.0), (256, 128, 256, 4 * (256 + 128) * 64, 0.95),
    (128, 80, 256, 3 * (128 + 80) * 64, 0.75), (128, 64, 256, 4 * (128 + 64) * 64, 0.7),
    (64, 64, 128, 4 * (64 + 64) * 64, 0.55), (128, 8, 128, 4 * (128 + 8) * 64, 0.25),
)


def conv_on_tensors(s, positions, phases, depth, moved, weights, processors):
    """As switti_cuda_conv_choose_tile(): whole rounds of the tile that needs the least."""
    def blocks(tile):
        return ceil(positions, tile[0]) * ceil(s['c_out'], tile[1]) * phases
    m, n, threads, shared, speed = tile = min(
        CONV_TILES, key=lambda tile: ceil(blocks(tile), processors) * tile[0] * tile[1] / tile[4])
    return Launch(rf'convolve_mma<MmaTile<{m}, {n}, .*Bf16>', threads, blocks(tile), dynamic=shared,
                  activations=moved, weights=weights, tensor=2 * blocks(tile) * m * n * depth, efficiency=speed)


def conv(call, s, processors):
    phases = 4 if s['upsample'] else 1  # an upsampled 3x3 convolution is four of 2x2
    taps = 4 if s['upsample'] else s['kernel'] ** 2
    positions = s['batch'] * s['side'] ** 2
    depth = s['c_in'] * taps
    flop = 2 * positions * phases * s['c_out'] * depth
    weights = s['c_in'] * s['c_out'] * s['kernel'] ** 2 * dtype_bytes(s['x'])
    moved = call['bytes'] - weights
    tile = ceil(positions, 64) * ceil(s['c_out'], 64) * phases
    if s['x'] == 'f32':
        return [Launch(r'convolve<true, float, float, float>', 256, tile, activations=moved, weights=weights,
                       flop=flop)]
    simt = [Launch(r'convolve<true, Bf16, Bf16, Bf16>', 256, tile, activations=moved, weights=weights, flop=flop)]
    if s['c_out'] <= 8 and s['kernel'] == 3:
        return [[Launch(r'convolve_to_few<float>', 128, ceil(positions, 128), activations=1.4 * moved, weights=weights,
                        tensor=2 * ceil(positions, 128) * 128 * 8 * depth, efficiency=0.25)], simt]
    return [[conv_on_tensors(s, positions, phases, depth, moved, weights, processors)], simt]


def norm(call, s):
    shape, threads = row_shape(s['width'])
    return [Launch(rf'norm_rows<{shape}, (true|false), Bf16, Bf16>', threads, s['rows'], activations=call['bytes'],
                   inflight=96)]


def rope(call, s):
    shape, threads = row_shape(s['width'])
    tensors = call['bytes'] / (4 * s['rows'] * s['width'])
    return [Launch(rf'rope_rows<{shape}, Bf16>', threads, s['rows'] * tensors, activations=call['bytes'], inflight=32,
                   instructions=4 * s['rows'] * s['width'])]


def attention(call, s):
    n, m, d, images = s['n'], s['m'], s['d'], s['batch'] * s['heads']
    scores = images * n * m
    columns = ceil(d, 256) if d > 64 else 1  # blocks that each make all scores
    simt = [Launch(r'attend<.*Bf16>', 256, images * ceil(n, 64) * columns, activations=call['bytes'],
                   flop=call['flop'] * (1 + columns) / 2)]
    if d > 128:
        # Each block of 128 columns makes the scores anew.
        blocks, wide = images * ceil(n, 64) * ceil(d, 128), ceil(d, 64) * 64
        return [[Launch(r'attend_wide\(', 128, blocks, activations=call['bytes'],
                        tensor=2 * blocks * 64 * ceil(m, 64) * 64 * (wide + 128), scores=scores * ceil(d, 128))], simt]
    width = 32 if d <= 32 else 64 if d <= 64 else 128
    groups = 2 if ceil(n, 128) * images >= 256 and n > 64 and width < 128 else 1
    queries = 64 * groups
    return [[Launch(rf'attend_mma<{width}, {groups}, ', 128, images * ceil(n, queries), activations=call['bytes'],
                    tensor=4 * images * ceil(n, queries) * queries * ceil(m, 64) * 64 * width, scores=scores)], simt]


def attention_backward(call, s):
    n, m, images = s['n'], s['m'], s['batch'] * s['heads']
    scores, moved = images * n * m, call['bytes']
    padded = images * ceil(n, 64) * ceil(m, 64) * 64 * 64 * s['d']
    return [[Launch(r'differentiate_queries_mma<64>', 128, images * ceil(n, 64), activations=moved / 2,
                    tensor=6 * padded, scores=scores),
             Launch(r'differentiate_keys_mma<64>', 128, images * ceil(m, 64), activations=moved / 2,
                    tensor=12 * padded, scores=scores)],  # keys' and values' weights in two halves
            [Launch(r'find_statistics<.*Bf16>', 256, images * ceil(n, 64), activations=moved / 4,
                    flop=call['flop'] / 5),
             Launch(r'differentiate_queries<.*Bf16>', 256, images * ceil(n, 64), activations=moved / 2,
                    flop=0.6 * call['flop']),
             Launch(r'differentiate_keys<.*Bf16>', 256, images * ceil(m, 64), activations=moved / 2,
                    flop=0.8 * call['flop'])]]


def swiglu(call, s):
    return [map_rows('Swiglu<Bf16>', s['rows'], s['width'], call['bytes'], 12)]


def group_norm(call, s):
    elements = s['rows'] * s['width']
    chunks = ceil(elements, CHUNK_ELEMENTS)
    return [Launch(r'chunk_statistics<true, Bf16>', GROUP_THREADS, chunks, dynamic=16 * GROUP_THREADS + 256,
                   activations=2 * elements, instructions=4 * elements),
            Launch(r'merge_chunks\(', GROUP_THREADS, 4, activations=256 * chunks),
            Launch(r'apply_factors<true, Bf16, Bf16>', GROUP_THREADS, chunks, activations=4 * elements,
                   instructions=12 * elements)]


def resample(call, s):
    return [Launch(r'resample_rows<1, true, float>', 256, ceil(s['rows'] * s['width'], 1024), activations=call['bytes'],
                   instructions=40 * s['rows'] * s['width'])]


def sample(kernel, instructions):
    def launches(call, s):
        threads = 256 if s['width'] <= 4096 else 512
        count = s['rows'] * s['width']
        return [Launch(rf'{kernel}<RowShape<{threads}, 4, true>', threads, s['rows'], activations=call['bytes'],
                       flop=call['flop'], instructions=instructions * count, inflight=64)]
    return launches


def norm_backward(call, s):
    chunks = ceil(s['rows'], 16)
    sums = 4 * 4 * chunks * s['width']  # of each chunk, for up to four parameters
    return [Launch(r'norm_backward_rows<RowShape<256, 2, true>, (true|false), 16, Bf16, Bf16>', 256, chunks,
                   activations=call['bytes'] + sums, instructions=20 * s['rows'] * s['width'], inflight=96),
            Launch(r'norm_backward_columns\(', 256, ceil(s['width'], 32), activations=sums)]


def rope_backward(call, s):
    tensors = 3 if call['words'].endswith('k') else 1
    return [Launch(r'rope_gradient_rows<.*128, 4, true.*Bf16>', 128, s['rows'] * tensors, activations=call['bytes'],
                   instructions=10 * s['rows'] * s['width'])]


def column_sum(call, s):
    return [Launch(r'sum_columns<true, Bf16>', 512, ceil(s['width'], 32), activations=call['bytes'])]


def cross_entropy(call, s):
    return [Launch(r'cross_entropy_rows<true, Bf16>', 256, s['rows'], activations=call['bytes'],
                   instructions=20 * s['rows'] * s['width'])]


def optimizer(kernel):
    def launches(call, s):
        count = s['rows'] * s['width']
        return [Launch(kernel, 256, ceil(count, 16384), weights=call['bytes'], instructions=10 * count)]
    return launches


OPS = {
    'gemm': gemm,
    'conv': conv,
    'residual_norm': norm,
    'layer_norm': norm,
    'qk_norm_rope': rope,
    'attention': attention,
    'swiglu': swiglu,
    'silu_condition': lambda call, s: [map_rows('SiluCondition<Bf16>', s['rows'], s['width'], call['bytes'])],
    'group_norm': group_norm,
    'resample': resample,
    'accumulate': lambda call, s: [flat('Accumulate', s['rows'] * s['width'], call['bytes'])],
    'convert': lambda call, s: [flat('Convert<float, Bf16>', s['rows'] * s['width'], call['bytes'])],
    'image_to_rgb8': lambda call, s: [flat('ImageToRgb8<float>', s['rows'] * s['width'], call['bytes'])],
    'sample_filtered': sample('draw_filtered', 300),
    'sample_smooth': sample('draw_smooth', 80),
    'residual_norm_backward': norm_backward,
    'qk_norm_rope_backward': rope_backward,
    'attention_backward': attention_backward,
    'swiglu_backward': lambda call, s: [map_rows('SwigluBackward<Bf16>', s['rows'], s['width'], call['bytes'], 25)],
    'column_sum': column_sum,
    'cross_entropy': cross_entropy,
    'squared_norm': optimizer(r'sum_chunks'),
    'adamw': optimizer(r'update_chunks'),
}


def launches(call, has_kernel, processors):
    """The launches of an op call on a GPU of so many multiprocessors; of the ways that there are, the first that the
    log has the kernels of, or the first."""
    make = OPS[call['op']]
    ways = make(call, call['shape'], processors) if make is conv else make(call, call['shape'])
    if isinstance(ways[0], Launch):
        return ways
    for way in ways:
        if all(not launch.kernel or has_kernel(launch.kernel) for launch in way):
            return way
    return ways[0]
