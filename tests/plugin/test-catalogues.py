#!/usr/bin/env python3
# test-catalogues.py - the translations are complete, and up to date with the sources
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from gimp_profile import Tap

PO = pathlib.Path(os.environ['SWITTI_TEST_PO'])
SOURCE = PO.parent
# Folders whose sentences people see.
TRANSLATED = ['bench', 'cli', 'core', 'plugin', 'train', 'ui']
# What meson's preset glib makes xgettext look for.
XGETTEXT = ['--from-code=UTF-8', '--add-comments', '--keyword=_', '--keyword=N_', '--keyword=C_:1c,2',
            '--keyword=NC_:1c,2', '--keyword=g_dcgettext:2', '--keyword=g_dngettext:2,3', '--keyword=g_dpgettext2:2c,3',
            '--flag=N_:1:pass-c-format', '--flag=C_:2:pass-c-format', '--flag=NC_:2:pass-c-format',
            '--flag=g_dngettext:2:pass-c-format', '--flag=g_strdup_printf:1:c-format',
            '--flag=g_string_printf:2:c-format', '--flag=g_string_append_printf:2:c-format',
            '--flag=g_error_new:3:c-format', '--flag=g_set_error:4:c-format']

tap = Tap()


def run(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env=dict(os.environ, LC_ALL='C'), **options)


def message_ids(catalogue):
    """The set of (context, text, plural) of a catalogue, without its header and what is obsolete."""
    done = run('msgattrib', '--no-obsolete', '--no-wrap', '--no-location', str(catalogue))
    found = re.findall(r'(?:msgctxt (".*")\n)?msgid (".*")\n(?:msgid_plural (".*")\n)?', done.stdout)
    return {entry for entry in found if entry[1] != '""'}


def sources_with_sentences():
    marked = re.compile(r'\b(_|N_|C_|NC_|ngettext|g_dngettext) ?\(\s*"')
    return sorted(str(path.relative_to(SOURCE)) for folder in TRANSLATED for path in (SOURCE / folder).rglob('*.[ch]')
                  if marked.search(path.read_text(encoding='utf-8')))


def extract(listed):
    with tempfile.TemporaryDirectory() as folder:
        template = pathlib.Path(folder) / 'fresh.pot'
        done = run('xgettext', *XGETTEXT, '-o', str(template), *listed, cwd=SOURCE)
        tap.equal(done.returncode, 0, 'xgettext reads the sources')
        return message_ids(template)


if not shutil.which('xgettext'):
    print('1..0 # SKIP gettext is not installed')
    sys.exit(0)

listed = [line for line in (PO / 'POTFILES.in').read_text().split('\n') if line and not line.startswith('#')]
tap.equal(sorted(listed), sources_with_sentences(), 'POTFILES.in lists every source with sentences')
wanted = extract(listed)
template = message_ids(PO / 'switti.pot')
tap.check(template == wanted, 'switti.pot is up to date (ninja switti-update-po renews it)',
          '\n'.join(map(str, template ^ wanted)))
languages = (PO / 'LINGUAS').read_text().split()
tap.equal(languages, ['de', 'fr', 'ja'], 'the languages')
for language in languages:
    catalogue = PO / f'{language}.po'
    done = run('msgfmt', '--check', '--statistics', '-o', '/dev/null', str(catalogue))
    tap.check(done.returncode == 0, f'{language}: formats agree with the originals', done.stdout)
    tap.check('untranslated' not in done.stdout and 'fuzzy' not in done.stdout, f'{language}: all is translated',
              done.stdout)
    have = message_ids(catalogue)
    tap.check(have == wanted, f'{language}: has just the sentences of the sources', '\n'.join(map(str, have ^ wanted)))
tap.end()
