#!/bin/sh
# Checks what can be checked of the sources without building them, and reports as TAP: check-sources.sh FOLDER
#
# SPDX-License-Identifier: LGPL-3.0-or-later
set -u
cd "$1" || exit 1

# The files of the project: those of git, or of the folder where it is not a clone.
files()
{
  git -c safe.directory='*' ls-files -co --exclude-standard 2>/dev/null ||
    find . -path './build*' -prune -o -type f -print | sed 's|^\./||'
}

code()
{
  files | grep -E "\.(c|h|cpp|cu|cuh|py|sh|scm|build)$|^dev$|^\.ci/run$"
}

# Prints the offenders, each with its reason; nothing means that the check has passed.
line_limit()
{
  code | xargs wc -l | awk '$2 != "total" && $1 > 800 { print $2 ": " $1 " lines, more than 800" }'
}

tree()
{
  files | awk -F/ 'NF > 1 && $1 !~ /^(\.ci|kernels|core|cli|train|ui|plugin|po|docs|data|tests|bench)$/ {
    print $0 ": its folder has no place in the tree" }'
}

licence()
{
  code | xargs grep -L 'SPDX-License-Identifier: LGPL-3.0-or-later' | sed 's/$/: no SPDX line/'
}

# What every editor can keep; .clang-format has the rest, and a table set by hand may be better than what it makes.
layout()
{
  code | xargs grep -nP '\t' | sed 's/:[^:]*$/: a tab/'
  code | xargs grep -nE '[[:space:]]$' | sed 's/:[^:]*$/: white space at the end/'
  code | LC_ALL=C.UTF-8 xargs grep -nE '.{121}' | sed -E 's/^([^:]*:[0-9]*):.*/\1: more than 120 columns/'
}

# includes FOLDER PATTERN REASON
includes()
{
  code | grep -E "^$1/.*\.[ch]$" | xargs grep -nE "#include *[<\"]$2" | sed "s/\$/: $3/"
}

# An include never points up: kernels < core < cli, ui < plugin.
layers()
{
  includes kernels '(glib|gio|gtk|json|libgimp|switti\.h|switti-[a-z-]*-private)' \
    "kernels know no GLib and nothing of core"
  includes core '(gtk|libgimp)' "core knows no GTK and no GIMP"
  includes cli '(gtk|libgimp)' "the command knows no GTK and no GIMP"
  includes ui 'libgimp' "the widgets know no GIMP"
}

echo 1..5
number=0
for check in line_limit tree licence layout layers; do
  number=$((number + 1))
  offenders=$($check)
  if [ -z "$offenders" ]; then
    echo "ok $number /source/$check"
  else
    echo "$offenders" | sed 's/^/# /'
    echo "not ok $number /source/$check"
  fi
done
