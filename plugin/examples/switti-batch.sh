#!/bin/sh
# SPDX-License-Identifier: LGPL-3.0-or-later
# Usage: switti-batch.sh PROMPT OUT.png
#
# Paints PROMPT with the default model in GIMP's batch mode and exports it, without opening a window. Says why and exits
# with a status other than 0 when it could not; OUT.png is then left as it was.
#
# SWITTI_SEED=NUMBER      the seed: the same number paints the same picture. Without it each run paints another.
# SWITTI_PLUG_INS=FOLDER  runs the plug-in FOLDER/switti/switti of a build tree (BUILD/plugin/dev-plug-ins), with a GIMP
#                         profile of its own in $SWITTI_GIMP_PROFILE, or else in the cache folder.
# SWITTI_GIMP=PROGRAM     the console GIMP to run in place of gimp-console-3.0.
set -eu

if [ $# -ne 2 ] || [ -z "$2" ]; then
  echo "Usage: switti-batch.sh PROMPT OUT.png" >&2
  exit 64
fi
prompt=$1
seed=${SWITTI_SEED:--1}
case ${seed#-1} in
  *[!0-9]*)
    echo "switti-batch.sh: the seed \"$seed\" is no whole number; set SWITTI_SEED to one from 0 to 9007199254740992." \
      >&2
    exit 64
    ;;
esac
case $2 in
  /*) out=$2 ;;
  *) out=$PWD/$2 ;;
esac
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
gimp=${SWITTI_GIMP:-gimp-console-3.0}

if ! command -v "$gimp" >/dev/null; then
  echo "switti-batch.sh: $gimp is not installed; install GIMP 3, or name its console program in SWITTI_GIMP." >&2
  exit 69
fi

# GIMP asks every plug-in that it finds what it can do. A profile with the three that the job needs starts in a fraction
# of the time, and leaves the user's own profile alone.
if [ -n "${SWITTI_PLUG_INS:-}" ]; then
  GIMP3_DIRECTORY=${SWITTI_GIMP_PROFILE:-${XDG_CACHE_HOME:-$HOME/.cache}/switti/gimp-profile}
  export GIMP3_DIRECTORY
  system=$(pkg-config --variable=gimplibdir gimp-3.0 2>/dev/null || echo /usr/lib/gimp/3.0)/plug-ins
  mkdir -p "$GIMP3_DIRECTORY/few-plug-ins"
  for name in script-fu file-png; do
    ln -sfn "$system/$name" "$GIMP3_DIRECTORY/few-plug-ins/$name"
  done
  printf '(plug-in-path "%s:%s")\n' "$GIMP3_DIRECTORY/few-plug-ins" "$SWITTI_PLUG_INS" >"$GIMP3_DIRECTORY/gimprc"
fi

# The file is written beside its place and renamed, so that a failure leaves what was there.
picture=$(mktemp "$(dirname -- "$out")/.switti-XXXXXX.png")
log=$(mktemp)
trap 'rm -f "$picture" "$log"' EXIT
trap 'exit 130' INT TERM HUP

# In a Scheme string only the quote and the backslash are special.
scheme_string()
{
  printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"
}

command="(begin (load $(scheme_string "$here/generate.scm"))
               (switti-generate $(scheme_string "$prompt") $(scheme_string "$picture") $seed))"
status=0
"$gimp" --no-interface --no-data --no-fonts --no-splash --new-instance --quit \
  --batch-interpreter=plug-in-script-fu-eval --batch "$command" >"$log" 2>&1 || status=$?

if [ "$status" -ne 0 ] || [ ! -s "$picture" ]; then
  # GIMP's own sentence stands after "GIMP-Error:"; where it gives none, its whole output helps more than nothing.
  sentence=$(sed -n '/^GIMP-Error: Calling error/{n;p;q;}' "$log")
  if [ -n "$sentence" ]; then
    echo "switti-batch.sh: $sentence" >&2
  else
    cat "$log" >&2
  fi
  [ "$status" -ne 0 ] || status=70
  exit "$status"
fi
chmod 644 "$picture"
mv -f "$picture" "$out"
