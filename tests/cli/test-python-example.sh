#!/bin/sh
# SPDX-License-Identifier: LGPL-3.0-or-later
# The Python snippet of docs/ paints a picture through GObject introspection: test-python-example.sh PYTHON SCRIPT
folder=$(mktemp -d) || exit 1
trap 'rm -r "$folder"' EXIT
echo 1..4

check ()
{
  number=$1
  words=$2
  shift 2
  if "$@"; then echo "ok $number - $words"; else echo "not ok $number - $words"; fi
}

is_png ()
{
  [ "$(head -c 4 "$folder/fox.png" | tail -c 3)" = PNG ]
}


check 1 "the example ends well" sh -c 'timeout 90 "$@" >"$0" 2>&1' \
  "$folder/out" "$1" "$2" "a fox, flat style" "$folder/fox.png"
sed 's/^/# /' "$folder/out"
check 2 "it wrote a PNG" is_png
check 3 "previews came, and the recipe is in the file" \
  sh -c 'grep -q "after scale 6: 256" "$0" && grep -q "a fox" "$0"' "$folder/out"
check 4 "nothing went wrong on the way" sh -c '! grep -qi -e error -e critical "$0"' "$folder/out"
