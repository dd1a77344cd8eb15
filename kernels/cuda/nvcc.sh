#!/bin/sh
# Compiles one .cu file: nvcc.sh OBJECT LOG DEPFILE SOURCE COMMAND...
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# What ptxas says of each kernel goes to LOG, which check-ptxas.py reads. A warning is an error.
set -u
object=$1 log=$2 depfile=$3 source=$4
shift 4

"$@" -c "$source" -o "$object" -MD -MF "$depfile" >"$log" 2>&1
status=$?
if [ $status != 0 ] || grep -qi 'warning' "$log"; then
  grep -v '^ptxas info' "$log" >&2
  rm -f "$object"
  exit 1
fi
