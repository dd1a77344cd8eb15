#!/bin/sh
# SPDX-License-Identifier: LGPL-3.0-or-later
# Usage (by meson install): install-plug-in.sh PROGRAM CATALOGUES FOLDER
# Installs the program under the name of its folder, which GIMP asks for, with the catalogues beside it.
set -eu
program=$1 catalogues=$2 folder=${DESTDIR:-}$3
mkdir -p "$folder/locale"
install -m 755 "$program" "$folder/switti"
for catalogue in "$catalogues"/*/LC_MESSAGES/switti.mo; do
  [ -e "$catalogue" ] || continue
  language=${catalogue#"$catalogues/"}
  language=${language%%/*}
  mkdir -p "$folder/locale/$language/LC_MESSAGES"
  install -m 644 "$catalogue" "$folder/locale/$language/LC_MESSAGES/switti.mo"
done
