#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Paints a picture through GObject introspection: python-example.py [PROMPT [FILE]]"""

import sys

import gi

gi.require_version("Switti", "1")
from gi.repository import GLib, Switti


def main():
    prompt = sys.argv[1] if len(sys.argv) > 1 else "a grinning cat, flat style"
    path = sys.argv[2] if len(sys.argv) > 2 else "cat.png"

    bundle = Switti.Bundle.open(None)
    device = Switti.Device.new("auto", 0)
    generator = Switti.Generator.new(bundle, device, Switti.Precision.AUTO, None)
    request = Switti.Request.new(bundle)
    request.props.prompt = prompt
    request.props.seed = 1

    loop = GLib.MainLoop()
    errors = []

    def on_progress(fraction, scale):
        print(f"{fraction:.0%}")

    def on_preview(index, scale, image, _data):
        print(f"picture {index + 1} after scale {scale}: {image.get_width()}×{image.get_height()}")

    def on_done(source, result):
        try:
            source.generate_finish(result)[0].save_png(path)
        except GLib.Error as error:
            errors.append(error.message)
        loop.quit()

    # After on_preview comes a value that it gets as its last argument; after on_progress, a tuple of such values.
    generator.set_preview(on_preview, None, [3, 6])
    generator.generate_async(request, None, on_progress, (), on_done)
    loop.run()
    if errors:
        sys.exit(errors[0])
    print(Switti.Image.load_recipe(path))


if __name__ == "__main__":
    main()
