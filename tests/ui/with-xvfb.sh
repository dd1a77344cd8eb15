#!/bin/sh
# SPDX-License-Identifier: LGPL-3.0-or-later
# Usage: with-xvfb.sh PROGRAM ARGUMENTS…
# Runs a TAP program on an X server of its own, which nobody sees; reports it as skipped where Xvfb is missing.
# $SWITTI_TEST_SCREEN: its width and height.
set -eu
if ! command -v Xvfb >/dev/null; then
  echo "1..0 # SKIP Xvfb is not installed"
  exit 0
fi
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || :; rm -rf "$folder"' EXIT
trap 'exit 143' INT TERM HUP
# Xvfb looks for a free display itself, and says which once it listens.
mkfifo "$folder/display"
screen=${SWITTI_TEST_SCREEN:-1400x1200}x24
Xvfb -displayfd 3 -screen 0 "$screen" -nolisten tcp 3>"$folder/display" >"$folder/log" 2>&1 &
server=$!
read -r display <"$folder/display" || { cat "$folder/log" >&2; exit 1; }
status=0
DISPLAY=:$display GDK_BACKEND=x11 "$@" || status=$?
exit "$status"
