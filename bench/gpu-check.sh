#!/bin/sh
# Runs everything on a GPU: op tests, fixtures, compute-sanitizer, a training step, benches; writes their table.
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# usage: gpu-check [OUT]     from a folder that ./dev bundle has made; results go to OUT, or gpu-check-results
#
# Takes CUDA's cuBLASLt, cuDNN where it is installed, and NVIDIA's driver from the machine; SWITTI_CUDA_LIBRARIES names
# folders to look in first, separated by colons. SWITTI_GPU_CHECK_QUICK=1 leaves out the sanitizer's slower tools and
# all works but 512.
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-gpu-check-results}
driver_node=${SWITTI_GPU_NODE:-/dev/nvidiactl}
passed=0 failed=0 skipped=0

# Tests of single ops, and of whole parts against measured numbers.
ops="gemm conv2d attention elementwise group-norm norm quantize rope resample sample attention-backward
  elementwise-backward loss-optimizer norm-backward vae-backward"
fixtures="pyramid text-encoder transformer vae generator-fixtures gradients"

die ()
{
  echo "gpu-check: $*" >&2
  exit 1
}

# The folder of a library: one of those given, or where the system's loader finds it; nothing where it is not.
find_library ()
{
  old_ifs=$IFS
  IFS=:
  for folder in ${SWITTI_CUDA_LIBRARIES:-} ${LD_LIBRARY_PATH:-} /usr/local/cuda/lib64 \
    /usr/local/cuda/targets/x86_64-linux/lib; do
    if [ -n "$folder" ] && ls "$folder/$1"* >/dev/null 2>&1; then
      IFS=$old_ifs
      echo "$folder"
      return
    fi
  done
  IFS=$old_ifs
  ldconfig -p 2>/dev/null | sed -n "s/^[[:space:]]*$1.* => //p" | head -n 1 | sed 's,/[^/]*$,,'
}

report ()
{
  case $1 in
    ok) passed=$((passed + 1)) ;;
    FAILED) failed=$((failed + 1)) ;;
    skipped) skipped=$((skipped + 1)) ;;
  esac
  printf '%-8s%s\n' "$1" "$2"
}

# run_test NAME LOG COMMAND...: a test that must say that it was on the GPU.
run_test ()
{
  name=$1 log=$out/$2.log
  shift 2
  if "$@" >"$log" 2>&1 && grep -q 'on the CUDA module' "$log" && ! grep -q '^not ok' "$log"; then
    report ok "$name"
  else
    report FAILED "$name (see $log)"
    tail -n 5 "$log" | sed 's/^/        /'
  fi
}

# run_bench NAME PROGRAM ARGUMENT...: a bench whose JSON goes to NAME.json.
run_bench ()
{
  name=$1
  shift
  if "$here/run" "$@" >"$out/$name.json" 2>"$out/$name.log"; then
    report ok "bench: $name"
  else
    report FAILED "bench: $name ($(tail -n 1 "$out/$name.log"))"
    rm -f "$out/$name.json"
  fi
}

has_program ()
{
  [ -e "$here/programs/$1" ]
}

# Each test program once for each tool; a finding ends it with status 9. The kernels of libraries are not looked at.
sanitize ()
{
  tools="memcheck racecheck initcheck"
  [ -z "${SWITTI_GPU_CHECK_QUICK:-}" ] || tools=memcheck
  if ! command -v compute-sanitizer >/dev/null; then
    report skipped "compute-sanitizer (not installed: it comes with CUDA's toolkit)"
    return
  fi
  for tool in $tools; do
    for name in $ops; do
      has_program "tests/test-$name-cuda-on-host" || continue
      run_test "$tool: $name" "$tool-$name" env SWITTI_CUDNN=off compute-sanitizer --tool "$tool" \
        --target-processes all --error-exitcode 9 "$here/run" "tests/test-$name-cuda-on-host"
    done
  done
}

[ -x "$here/run" ] || die "$here is no bundle: make one with ./dev bundle, or call ./dev gpu-check in a checkout."
[ -e "$driver_node" ] || die "this machine has no NVIDIA GPU that programs can use: there is no $driver_node."
driver=$(find_library libcuda.so.1)
[ -n "$driver" ] || die "NVIDIA's driver is not installed: libcuda.so.1 is missing."
cublas=$(find_library libcublasLt.so)
[ -n "$cublas" ] || die "CUDA's cuBLASLt is not installed: name the folder of libcublasLt.so in SWITTI_CUDA_LIBRARIES."
cudnn=$(find_library libcudnn.so.9)
mkdir -p "$out" || die "the folder $out cannot be made."
out=$(cd "$out" && pwd)
export LD_LIBRARY_PATH="$cublas:$driver${cudnn:+:$cudnn}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export SWITTI_TEST_CUDA=module
"$here/run" >/dev/null 2>&1 # unpacks

for name in $ops $fixtures; do
  if has_program "tests/test-$name-cuda-on-host"; then
    run_test "test: $name" "test-$name" "$here/run" "tests/test-$name-cuda-on-host"
  else
    report skipped "test: $name (not in this bundle)"
  fi
done
# The same by cuDNN wherever it can, quick or not.
for name in conv2d attention; do
  if [ -n "$cudnn" ] && has_program "tests/test-$name-cuda-on-host"; then
    run_test "cuDNN: $name" "cudnn-$name" env SWITTI_CUDNN=always "$here/run" "tests/test-$name-cuda-on-host"
  else
    report skipped "cuDNN: $name (not installed: libcudnn.so.9)"
  fi
done
sanitize
works=512,1024,train
[ -z "${SWITTI_GPU_CHECK_QUICK:-}" ] || works=512
run_bench kernels switti bench --kernels "$works" --device cuda --dtype bf16
run_bench step bench-training --depth 30 --pn 512 --bs 8 --fp16 2 --use-gradient-checkpointing --device cuda --runs 5
for size in 512 1024; do
  run_bench "image-$size" switti bench --synthetic "depth=30,reso=$size,clip=full" --dtype bf16 --device cuda --runs 7 \
    --warmup 2
done
if command -v python3 >/dev/null; then
  python3 "$here/bench/gpu_results.py" "$out" "$(cat "$here/commit" 2>/dev/null)" >"$out/RESULTS.md" &&
    cat "$out/RESULTS.md"
else
  echo "There is no python3 here: $out has the benches' JSON, and bench/gpu_results.py makes the table of it."
fi
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
