#!/bin/sh
# icons.sh - trains the successor of the model in the box, on the processor
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: icons.sh SWITTI-TRAIN DATA OUT
# DATA is a folder that icons-data.py made. It may be stopped and started again at any moment: it goes on where it was,
# to the bit. README.md beside it says why it has two stages, and what a first trial gave.
#
# 1. The four coarsest scales alone: 30 of 680 tokens, but all that the prompt decides. Cheap, so with large batches.
# 2. All scales, in which each scale's tokens weigh by their side and not by their number, so that the coarse ones are
#    not forgotten.
set -eu
[ $# = 3 ] || { echo "usage: icons.sh SWITTI-TRAIN DATA OUT" >&2; exit 2; }
train=$1 data=$2 out=$3

common="--data-path $data --vae icons --train-text true --depth 6 --embed-dim 192 --use-crop-cond false --seed 7
  --hflip false --uncond-proba 0.1 --twd 0.05 --fp16 2 --sche cos --wp 200 --cache $out/cache"
# shellcheck disable=SC2086 # a list of options
"$train" $common --train-scales 4 --loss-balance 0.7 --bs 48 --max-iters 3000 --tblr 1e-3 --wpe 0.3 --ema 0.99 \
  --save-iters 200 --val-iters 500 --local-out-dir-path "$out/coarse"
# shellcheck disable=SC2086
"$train" $common --init "$out/coarse/latest" --loss-balance 0.6 --bs 8 --max-iters "${SWITTI_ICONS_STEPS:-8000}" \
  --tblr 1e-3 --wpe 0.01 --ema 0.99 --save-iters 200 --val-iters 500 --local-out-dir-path "$out/all"
