#!/usr/bin/env python3
"""Prints the reports of `switti bench`, given as JSON files, as one table.

SPDX-License-Identifier: LGPL-3.0-or-later
"""
import json
import pathlib
import sys

HEAD = ('', 'dtype', 'total ms', 'text ms', 'transformer', 'VAE ms', 'ceiling', 'transformer', 'VAE', 'peak GiB')
UNITS = ('', '', '', '', 'ms', '', 'GFLOP/s', 'share', 'share', '')
WIDTHS = (8, 6, 10, 9, 13, 10, 10, 13, 8, 10)


def print_row(cells):
    print(''.join(cell.rjust(width) for cell, width in zip(cells, WIDTHS)))


def main():
    print_row(HEAD)
    print_row(UNITS)
    profiles = []
    for path in map(pathlib.Path, sys.argv[1:]):
        run = json.loads(path.read_text(encoding='utf-8'))
        times = [run[f'{part}_ms']['median'] for part in ('total', 'text', 'transformer', 'vae')]
        print_row([path.stem, run['dtype'], *(f'{time:.1f}' for time in times), f"{run['ceiling_gflops']:.0f}",
                   f"{run['transformer_share']:.0%}", f"{run['vae_share']:.0%}",
                   f"{run['peak_resident_bytes'] / 2**30:.2f}"])
        longest = sorted(run['profile'], key=lambda row: -row['share'])[:6]
        profiles.append(f'  {path.stem}: ' + ', '.join(f"{row['op']} {row['share']:.0%}" for row in longest))
    print('\nWhere the time goes, by op:', *profiles, sep='\n')
    print(f"\n{run['device_description']}; JSON in {path.parent}")


main()
