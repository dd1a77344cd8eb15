# gimp_profile.py - a throw-away GIMP profile that knows few plug-ins, and ours
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import os
import pathlib
import shutil
import subprocess
import tempfile

# What GIMP asks at its first start; all of its hundred plug-ins would take seconds.
NEEDED = ['script-fu', 'python-eval', 'file-png']

# Twenty pictures take half a minute on an idle machine, and five times that on one that is busy with other tests.
GIMP_TIMEOUT = 540


class Profile:
    """A context: makes the profile, and removes it with all that GIMP left there."""

    def __init__(self, language=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='switti-gimp-'))
        self.environment = dict(os.environ, GIMP3_DIRECTORY=str(self.folder / 'config'),
                                XDG_CACHE_HOME=str(self.folder / 'cache'), HOME=str(self.folder), LC_ALL='C.UTF-8')
        if language:
            self.speak(language)
        (self.folder / 'config').mkdir()
        plug_ins = self.folder / 'few-plug-ins'
        plug_ins.mkdir()
        system = pathlib.Path(os.environ['SWITTI_TEST_GIMPLIBDIR']) / 'plug-ins'
        for name in NEEDED:
            (plug_ins / name).symlink_to(system / name)
        self.write_gimprc(f'(plug-in-path "{plug_ins}:{os.environ["SWITTI_TEST_PLUG_INS"]}")\n')

    def speak(self, language):
        """gettext translates in no locale of the name C or C.UTF-8, and a bare machine has no other: it gets one of
        another name with the same contents."""
        locales = self.folder / 'locales'
        locales.mkdir()
        (locales / 'xx_XX.utf8').symlink_to('/usr/lib/locale/C.utf8')
        self.environment.update(LOCPATH=str(locales), LC_ALL='xx_XX.UTF-8', LANGUAGE=language)

    def write_gimprc(self, text):
        with open(self.folder / 'config' / 'gimprc', 'a', encoding='utf-8') as gimprc:
            gimprc.write(text)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, interpreter, command, **environment):
        """One start of the console GIMP; its exit status and all that it said."""
        gimp = ['gimp-console-3.0', '-nidfs', '--quit', f'--batch-interpreter={interpreter}', '-b', command]
        done = subprocess.run(gimp, env=dict(self.environment, **environment), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors='replace', timeout=GIMP_TIMEOUT, check=False)
        return done.returncode, done.stdout


def truncated_model(folder):
    """A copy of the default model whose transformer's file ends in its middle; its path."""
    source = pathlib.Path(os.environ['SWITTI_TEST_MODEL'])
    copy = folder / 'truncated'
    shutil.copytree(source, copy)
    weights = copy / 'transformer' / 'model.safetensors'
    os.truncate(weights, weights.stat().st_size // 2)
    return copy


class Tap:
    """Counts checks and writes them as the Test Anything Protocol; the plan comes last."""

    def __init__(self, out=None):
        self.out = out
        self.count = 0

    def check(self, passed, name, detail=''):
        self.count += 1
        print(f'{"ok" if passed else "not ok"} {self.count} - {name}', file=self.out, flush=True)
        if not passed and detail != '':
            for line in str(detail).splitlines():
                print(f'# {line}', file=self.out, flush=True)
        return passed

    def equal(self, got, wanted, name):
        return self.check(got == wanted, name, f'got {got!r}, wanted {wanted!r}')

    def end(self):
        print(f'1..{self.count}', file=self.out, flush=True)
