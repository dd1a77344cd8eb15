#!/bin/sh
# icons.sh - trains the model in the box, on the processor
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Usage: icons.sh SWITTI-TRAIN DATA OUT
# DATA is a folder that icons-data.py made. It may be stopped and started again at any moment: it goes on where it was,
# to the bit. README.md beside it says why it has three stages, and what each gave.
#
# 1. The four coarsest scales alone: 30 of an image's 680 tokens, but all that the prompt decides. Cheap, so with large
#    batches.
# 2. The seven coarsest: 155 tokens, the whole of an icon's shapes.
# 3. All scales, in which each scale's tokens weigh more by their side than by their number, so that the coarse ones are
#    not forgotten.
set -eu
[ $# = 3 ] || { echo "usage: icons.sh SWITTI-TRAIN DATA OUT" >&2; exit 2; }
train=$1 data=$2 out=$3

# stage NAME OPTIONS: goes on with a stage, or says at once that it is done.
stage ()
{
  name=$1 list=$2
  shift 2
  "$train" --data-path "$data/$list" --vae icons --train-text true --depth 6 --embed-dim 192 \
    --use-crop-cond false --seed 7 \
    --hflip false --uncond-proba 0.1 --twd 0.05 --fp16 2 --sche cos --wp 200 --ema 0.99 --cache "$out/cache" \
    --save-iters 200 --val-iters 400 --resume auto --local-out-dir-path "$out/$name" "$@"
}

stage coarse wide --train-scales 4 --bs 48 --tblr 2e-3 --wpe 0.1 --loss-balance 0.7 \
  --max-iters "${SWITTI_COARSE_STEPS:-1500}"
stage middle wide --init "$out/coarse/latest" --train-scales 7 --bs 24 --tblr 1.5e-3 --wpe 0.1 --loss-balance 0.7 \
  --max-iters "${SWITTI_MIDDLE_STEPS:-1500}"
stage all own --init "$out/middle/latest" --bs 8 --tblr 1e-3 --wpe 0.01 --loss-balance 0.6 \
  --max-iters "${SWITTI_ALL_STEPS:-3000}"
