#!/usr/bin/env python3
"""./dev gpu-check without a GPU, and what bench/gpu-check.sh does with programs that stand in for a GPU's.

SPDX-License-Identifier: LGPL-3.0-or-later
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(sys.argv[1])
SWITTI = sys.argv[2]

# A test says that it is on the module; `bad` fails, and `lost` is on no GPU.
RUN = '''#!/bin/sh
case $1 in
  tests/test-gemm-*) echo "# on the CUDA module"; echo "ok 1 /gemm" ;;
  tests/test-norm-*) echo "# on the CUDA module"; echo "not ok 1 /norm - is off" ;;
  tests/test-rope-*) echo "ok 1 /rope" ;;
  switti) shift; [ "$2" = --kernels ] && exec cat "$(dirname "$0")/kernels.json"; echo "switti: no room" >&2; exit 1 ;;
  bench-training) cat "$(dirname "$0")/step.json" ;;
esac
'''


def run(command, **variables):
    environment = dict(os.environ, **variables)
    environment.pop('SWITTI_MODULE_PATH', None)
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def one_sentence(result, *words):
    lines = result.stderr.strip().split('\n')
    assert result.returncode == 1, result
    assert len(lines) == 1 and all(word in lines[0] for word in words), lines


def test_dev():
    result = run(['bash', SOURCE / 'dev', 'gpu-check'], SWITTI_GPU_NODE='/nowhere/gpu')
    one_sentence(result, 'NVIDIA GPU', '/nowhere/gpu')


def make_bundle(folder):
    shutil.copy(SOURCE / 'bench' / 'gpu-check.sh', folder / 'gpu-check')
    (folder / 'run').write_text(RUN, encoding='utf-8')
    (folder / 'run').chmod(0o755)
    (folder / 'commit').write_text('abc123\n', encoding='utf-8')
    (folder / 'bench').mkdir()
    shutil.copy(SOURCE / 'bench' / 'gpu_results.py', folder / 'bench')
    (folder / 'programs' / 'tests').mkdir(parents=True)
    for name in ('gemm', 'norm', 'rope'):
        (folder / 'programs' / 'tests' / f'test-{name}-cuda-on-host').touch()
    libraries = folder / 'cuda'
    libraries.mkdir()
    (libraries / 'libcublasLt.so.13').touch()
    report = json.loads(run([SWITTI, 'bench', '--kernels', 'small-train', '--threads', '1']).stdout)
    (folder / 'kernels.json').write_text(json.dumps(report), encoding='utf-8')
    step = {'device_description': 'x', 'batch': 8, 'step_ms': 400.0, 'tokens_per_s': 44800.0, 'share': 0.5}
    (folder / 'step.json').write_text(json.dumps(step), encoding='utf-8')
    return libraries


def test_missing():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copy(SOURCE / 'bench' / 'gpu-check.sh', folder / 'gpu-check')
        one_sentence(run(['sh', folder / 'gpu-check']), 'no bundle')
        (folder / 'run').touch(mode=0o755)
        one_sentence(run(['sh', folder / 'gpu-check'], SWITTI_GPU_NODE='/nowhere/gpu'), 'no NVIDIA GPU')
        empty = dict(SWITTI_GPU_NODE='/dev/null', LD_LIBRARY_PATH='', PATH=f'{folder}:/usr/bin:/bin')
        (folder / 'ldconfig').write_text('#!/bin/sh\n', encoding='utf-8')
        (folder / 'ldconfig').chmod(0o755)
        one_sentence(run(['sh', folder / 'gpu-check'], **empty), 'driver', 'libcuda.so.1')


def test_flow():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        libraries = make_bundle(folder)
        (libraries / 'libcuda.so.1').touch()
        result = run(['sh', folder / 'gpu-check', folder / 'out'], SWITTI_GPU_NODE='/dev/null',
                     SWITTI_CUDA_LIBRARIES=str(libraries), PATH='/usr/bin:/bin')
        lines = result.stdout.strip().split('\n')
        assert result.returncode != 0
        assert 'ok      test: gemm' in lines
        assert any(line.startswith('FAILED  test: norm') for line in lines)
        # A test that passes, but not on the GPU, is no success.
        assert any(line.startswith('FAILED  test: rope') for line in lines)
        assert any(line.startswith('skipped test: attention') for line in lines)
        assert any(line.startswith('skipped compute-sanitizer') for line in lines)
        assert 'FAILED  bench: image-512 (switti: no room)' in lines
        assert 'ok      bench: kernels' in lines and 'ok      bench: step' in lines
        assert lines[-1].startswith('3 passed, 4 failed, '), lines[-1]
        page = (folder / 'out' / 'RESULTS.md').read_text(encoding='utf-8')
        assert 'commit abc123' in page and '44,800 tokens/s' in page
        assert '| attention_backward, self |' in page and 'A copy reaches' in page


def main():
    tests = [test_dev, test_missing, test_flow]
    print(f'1..{len(tests)}')
    status = 0
    for number, test in enumerate(tests, 1):
        try:
            test()
            print(f'ok {number} /gpu-check/{test.__name__[5:]}')
        except (AssertionError, OSError, ValueError) as error:
            print(f'not ok {number} /gpu-check/{test.__name__[5:]}\n# {error}')
            status = 1
    return status


if __name__ == '__main__':
    sys.exit(main())
