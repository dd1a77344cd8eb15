#!/bin/sh
# SPDX-License-Identifier: LGPL-3.0-or-later
# Usage: make-plug-in-folder.sh PROGRAM CATALOGUES FOLDER STAMP
# Lays out a plug-in folder in the build tree as GIMP wants it: FOLDER/switti/switti with locale/ beside it.
set -eu
program=$1 catalogues=$2 folder=$3 stamp=$4
mkdir -p "$folder/switti"
# A running GIMP may hold the old program open: put the new one beside it and rename.
cp -f "$program" "$folder/switti/switti.new"
mv -f "$folder/switti/switti.new" "$folder/switti/switti"
ln -sfn "$catalogues" "$folder/switti/locale"
touch "$stamp"
