#!/usr/bin/env python3
# test-download-widgets.py - the page of new models, with a hub on loopback: test-download-widgets.py PROGRAM
#
# SPDX-License-Identifier: LGPL-3.0-or-later
import os
import re
import subprocess
import sys
import tempfile

import hub
import models

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.environ.get("SWITTI_FIXTURES", os.path.join(os.path.dirname(HERE), "fixtures"))


def main():
    if hub.find_nginx() is None:
        print("1..0 # SKIP nginx is not installed")
        return
    with tempfile.TemporaryDirectory(prefix="switti-widgets-") as base:
        root = os.path.join(base, "root")
        models.make(root, FIXTURES, os.environ["SWITTI_TEST_TOKENIZER"])
        nginx = hub.Nginx(root, os.path.join(base, "nginx"), hub.find_nginx())
        proxy = hub.Proxy(nginx.ports["ranges"])
        proxy.faults.delay = 0.004
        clean = {k: v for k, v in os.environ.items() if not re.match("(?i)(https?|all|no)_proxy$|HF_", k)}
        pictures = os.environ.get("SWITTI_TEST_SCREENSHOTS", base)
        data = os.path.join(base, "data")
        done = subprocess.run([sys.argv[1], os.path.join(pictures, "new-models")], timeout=150, capture_output=True,
                              text=True, env={**clean, "HF_ENDPOINT": proxy.address(), "XDG_DATA_HOME": data,
                                              "SWITTI_TEST_CHECKPOINTS": os.path.join(data, "switti/models/switti-512"),
                                              "LANGUAGE": "C", "NO_AT_BRIDGE": "1", "G_DEBUG": "fatal-criticals"})
        for line in (done.stdout + done.stderr).splitlines():
            print("#", line)
        good = done.returncode == 0 and sorted(
            name for name in os.listdir(os.path.join(data, "switti/models")) if not name.startswith(".")) == [
                "copy", "switti-512"]
        print("1..1")
        print(("ok" if good else "not ok") + " 1 /download/widgets")
        proxy.stop()
        nginx.stop()


main()
