#!/usr/bin/env python3
# test-download.py - `switti models download` against a hub on loopback: test-download.py SWITTI ASYNC
#
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# The hub is nginx, with a proxy in front of it where something is to go wrong. SWITTI is the program, ASYNC the one
# that calls the library as the plug-in does.
import filecmp
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import hub
import models

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.environ.get("SWITTI_FIXTURES", os.path.join(os.path.dirname(HERE), "fixtures"))
TOKENIZER = os.environ["SWITTI_TEST_TOKENIZER"]
SWITTI, ASYNC = sys.argv[1:3]
MODEL = "switti-512"
FAILURE = 1


class Failed(Exception):
    pass


def check(condition, words):
    if not condition:
        raise Failed(words)


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err


class Test:
    def __init__(self, base):
        self.base = base
        self.root = os.path.join(base, "root")
        self.needed, self.spare = models.make(self.root, FIXTURES, TOKENIZER)
        self.nginx = hub.Nginx(self.root, os.path.join(base, "nginx"), hub.find_nginx())
        self.proxy = hub.Proxy(self.nginx.ports["ranges"])
        self.n_folders = 0
        self.expected = self.folder()

    def stop(self):
        self.proxy.stop()
        self.nginx.stop()

    def folder(self):
        self.n_folders += 1
        return os.path.join(self.base, f"models-{self.n_folders}")

    def command(self, folder, *words, model=MODEL):
        return [SWITTI, "models", "download", model, "--folder", folder, *words]

    def environment(self, **variables):
        clean = {k: v for k, v in os.environ.items() if not re.match("(?i)(https?|all|no)_proxy$|HF_", k)}
        return {**clean, **variables}

    def start(self, folder, address, *words, **variables):
        return subprocess.Popen(self.command(folder, "--mirror", address, "--yes", *words), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=self.environment(**variables))

    def finish(self, process):
        out, err = process.communicate(timeout=120)
        return Result(process.returncode, out, err)

    def run(self, folder, address, *words, model=MODEL, **variables):
        done = subprocess.run(self.command(folder, "--mirror", address, "--yes", *words, model=model),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                              env=self.environment(**variables))
        return Result(done.returncode, done.stdout, done.stderr)

    def fetch(self, folder, address, *words, **variables):
        result = self.run(folder, address, *words, **variables)
        check(result.status == 0 and result.err == "", f"status {result.status}: {result.err}")

    def refused(self, result, words, status=FAILURE):
        print("#", result.err.strip())
        check(result.status == status, f"status {result.status} in place of {status}")
        check(result.err.startswith("switti: ") and result.err.endswith(".\n") and result.err.count("\n") == 1,
              f"no one sentence: {result.err}")
        check(words in result.err, f"no “{words}” in it: {result.err}")

    def same(self, folder):
        """To the byte what an undisturbed download brought, and nothing beside it."""
        here, there = os.path.join(folder, MODEL), os.path.join(self.expected, MODEL)
        check(sorted(os.listdir(folder)) == [MODEL], f"left over: {os.listdir(folder)}")
        for path, _, names in os.walk(there):
            relative = os.path.relpath(path, there)
            check(sorted(os.listdir(os.path.join(here, relative))) == sorted(os.listdir(path)), f"files of {relative}")
            for name in names:
                # Which hub it was is noted, and so the checksum of that note.
                if name not in ("download.json", "SHA256SUMS"):
                    check(filecmp.cmp(os.path.join(path, name), os.path.join(here, relative, name), shallow=False),
                          f"{relative}/{name} differs")
        shutil.rmtree(folder)


# -- what is fetched ------------------------------------------------------------------------------------------------


def dry_run(test):
    folder = test.folder()
    result = test.run(folder, test.nginx.address(), "--dry-run")
    size = sum(array.nbytes for part in ("transformer", "vae", "text_encoder", "text_encoder_2")
               for array in test.needed[part].values())
    check(result.status == 0 and result.err == "", result.err)
    stated = re.search(r"To fetch: ([0-9.]+)\sMB; on the disk: ([0-9.]+)\sMB", result.out)
    check(stated, result.out)
    # The .pt file's own bookkeeping lies between its tensors.
    check(abs(float(stated[1]) - size / 1e6) < 0.1 and abs(float(stated[2]) - size / 2e6) < 0.1, result.out)
    check("licence: mit" in result.out and "states no licence" in result.out, result.out)
    check(not os.path.exists(folder), "it wrote something")


def agreement(test):
    folder = test.folder()
    done = subprocess.run(test.command(folder, "--mirror", test.nginx.address()), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, env=test.environment())
    test.refused(Result(done.returncode, "", done.stderr), "--yes", status=2)
    check("licence: mit" in done.stdout, "no licence was shown")
    check(not os.path.exists(folder), "it wrote something")


def whole_model(test):
    test.nginx.clear_log()
    test.fetch(test.expected, test.nginx.address())
    sent = sum(int(line.split("] ")[1].split()[1]) for line in test.nginx.log() if " GET " in line and "clip" in
               line.lower())
    text = sum(array.nbytes for part in ("text_encoder", "text_encoder_2") for array in test.needed[part].values())
    check(sent < text + 500_000 < text + test.spare, f"{sent} bytes of the CLIPs for {text} that are needed")
    for part in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        stored = models.read_safetensors(os.path.join(test.expected, MODEL, part, "model.safetensors"))
        check(set(stored) == set(test.needed[part]), f"tensors of {part}")
        for name, array in test.needed[part].items():
            kept = name == "crop_embed.weight"
            wanted = ("F32", array.tobytes()) if kept else ("BF16", models.bf16(array))
            check((stored[name][0], stored[name][2]) == wanted and stored[name][1] == list(array.shape), name)
    sums = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=os.path.join(test.expected, MODEL))
    check(sums.returncode == 0, "SHA256SUMS")
    info = subprocess.run([SWITTI, "models", "info", os.path.join(test.expected, MODEL)], capture_output=True,
                          text=True)
    check(info.returncode == 0 and "512×512" in info.stdout and "licence: mit" in info.stdout, info.stderr)


def again(test):
    result = test.run(test.expected, test.nginx.address())
    check(result.status == 0 and "already" in result.out, result.err)


def other_model(test):
    """An autoregressive one; and a VAE in safetensors, of which nearly all is needed."""
    root = os.path.join(test.base, "root-2")
    needed, _ = models.make(root, FIXTURES, TOKENIZER, vae_form="safetensors")
    other = hub.Nginx(root, os.path.join(test.base, "nginx-2"), hub.find_nginx())
    folder = test.folder()
    try:
        result = test.run(folder, other.address(), "--dtype", "keep", model="switti-512-ar")
        check(result.status == 0, result.err)
        info = subprocess.run([SWITTI, "models", "info", "--json", os.path.join(folder, "switti-512-ar")],
                              capture_output=True, text=True)
        check('"use_ar" : true' in info.stdout, info.stdout)
        stored = models.read_safetensors(os.path.join(folder, "switti-512-ar", "vae", "model.safetensors"))
        check(all(stored[name][2] == array.tobytes() for name, array in needed["vae"].items()), "the VAE")
    finally:
        other.stop()


# -- breaks ---------------------------------------------------------------------------------------------------------


def cut(test):
    folder = test.folder()
    test.proxy.faults.cuts = 20
    test.proxy.faults.cut_from = 10_000
    test.fetch(folder, test.proxy.address())
    check(test.proxy.faults.cuts == 0, "not all of the 20 cuts happened")
    test.same(folder)


def killed(test):
    folder = test.folder()
    faults = test.proxy.faults
    faults.delay = 0.012
    chance = random.Random(5)
    n_kills = 0
    for _ in range(20):
        process = test.start(folder, test.proxy.address())
        faults.kill = (faults.sent + chance.randint(9_000_000, 12_000_000), process.pid)
        result = test.finish(process)
        if result.status == 0:
            break
        check(result.status == -signal.SIGKILL, f"status {result.status}: {result.err}")
        check(not os.path.exists(os.path.join(folder, MODEL)), "an unfinished model is in its place")
        n_kills += 1
    check(result.status == 0 and n_kills >= 2, f"{n_kills} kills, then status {result.status}: {result.err}")
    size = sum(array.nbytes for part in ("transformer", "vae", "text_encoder", "text_encoder_2")
               for array in test.needed[part].values())
    print(f"# {n_kills} kills; {faults.sent} bytes sent for {size}")
    # Each kill costs what was not yet known to be on the disk, and the headers.
    check(faults.sent < size + n_kills * 11_000_000, f"{faults.sent} bytes were sent for {size}")
    test.same(folder)


def interrupted(test):
    folder = test.folder()
    test.proxy.faults.delay = 0.01
    process = test.start(folder, test.proxy.address())
    test.proxy.faults.kill = (9_000_000, process.pid)
    test.proxy.faults.signal = signal.SIGINT
    test.refused(test.finish(process), "what has arrived is kept", status=128 + signal.SIGINT)
    test.proxy.reset()
    result = test.run(folder, test.proxy.address())
    check(result.status == 0 and "from an earlier download" in result.out, result.out + result.err)
    test.same(folder)


def whole_files(test):
    """A server that knows no ranges, whose connection breaks as well."""
    folder = test.folder()
    test.fetch(folder, test.nginx.address("whole"))
    test.same(folder)
    plain, test.proxy.target = test.proxy.target, test.nginx.ports["whole"]
    test.proxy.faults.cuts, test.proxy.faults.cut_from = 2, 200_000
    test.proxy.faults.only = "vae"
    try:
        test.fetch(folder, test.proxy.address())
    finally:
        test.proxy.target = plain
    test.same(folder)


# -- hubs -----------------------------------------------------------------------------------------------------------


def linked(test):
    """The hub's own way: links to another host, which must not see the token; and a stated SHA-256."""
    folder = test.folder()
    test.nginx.clear_log()
    test.fetch(folder, test.nginx.address("linking"), HF_TOKEN="hf_secret")
    log = test.nginx.log()
    ours = [line for line in log if line.startswith(str(test.nginx.ports["linking"]))]
    theirs = [line for line in log if line.startswith(str(test.nginx.ports["ranges"]))]
    check(ours and all("[Bearer hf_secret]" in line for line in ours), "the hub did not get the token")
    check(theirs and all(line.endswith("[-]") for line in theirs), "another host got the token")
    with open(os.path.join(folder, MODEL, "download.json")) as file:
        text = file.read()
    check("0123456789abcdef0123456789abcdef01234567" in text, "the commit is not noted")
    test.same(folder)


def other_mirror(test):
    """It goes on at a mirror that has the same files, but not the commit that was noted."""
    folder = test.folder()
    ranges, test.proxy.target = test.proxy.target, test.nginx.ports["linking"]
    try:
        process = test.start(folder, test.proxy.address())
        test.proxy.faults.kill_at = ("patch14/resolve/0123456789abcdef0123456789abcdef01234567/vocab.json", process.pid)
        check(test.finish(process).status == -signal.SIGKILL, "it was not killed")
    finally:
        test.proxy.target = ranges
    test.proxy.reset()
    test.nginx.clear_log()
    result = test.run(folder, test.nginx.address("elsewhere"))
    check(result.status == 0 and "from an earlier download" in result.out, result.err)
    again = sum(int(line.split("] ")[1].split()[1]) for line in test.nginx.log() if " GET " in line and "VAE" in line)
    check(again < 12_000_000, f"{again} bytes of the VAE were fetched again")
    test.same(folder)


def damaged(test):
    path = os.path.join(models.folder_of(test.root, "yresearch/VQVAE-Switti"), "vae_ft_checkpoint.pt")
    folder = test.folder()
    with open(path, "r+b") as file:
        file.seek(9_000_000)
        old = file.read(1)
        file.seek(9_000_000)
        file.write(bytes([old[0] ^ 1]))
    result = test.run(folder, test.nginx.address("linking"))
    with open(path, "r+b") as file:
        file.seek(9_000_000)
        file.write(old)
    test.refused(result, "SHA-256")
    # What came before it is kept, and what was damaged is fetched anew.
    test.fetch(folder, test.nginx.address("linking"))
    test.same(folder)


def changed_on_the_way(test):
    folder = test.folder()
    faults = test.proxy.faults
    faults.cuts, faults.cut_from, faults.only = 1, 200_000, "vae"
    faults.etag_after_cut = '"another"'
    test.refused(test.run(folder, test.proxy.address()), "has changed on the hub")
    test.proxy.reset()
    test.fetch(folder, test.proxy.address())
    test.same(folder)


def changed_in_between(test):
    folder = test.folder()
    process = test.start(folder, test.proxy.address())
    test.proxy.faults.kill = (9_000_000, process.pid)
    test.proxy.faults.delay = 0.01
    test.proxy.faults.signal = signal.SIGTERM
    check(test.finish(process).status == 128 + signal.SIGTERM, "it was not cancelled")
    test.proxy.reset()
    path = os.path.join(models.folder_of(test.root, "yresearch/Switti"), "model.safetensors")
    before = os.stat(path)
    os.utime(path, (before.st_atime, before.st_mtime + 100))  # a part of nginx's ETag
    test.refused(test.run(folder, test.proxy.address()), "has changed on the hub")
    check(os.path.exists(os.path.join(folder, f".{MODEL}.partial", "transformer", "model.safetensors")), "lost")
    test.fetch(folder, test.proxy.address(), "--restart")
    test.same(folder)


def refusals(test):
    """Each its sentence; and each leaves what there was, from which the last run goes on."""
    folder = test.folder()
    address = test.proxy.address()
    process = test.start(folder, address)
    test.proxy.faults.kill = (9_000_000, process.pid)
    test.proxy.faults.delay = 0.01
    test.proxy.faults.signal = signal.SIGINT
    check(test.finish(process).status == 128 + signal.SIGINT, "it was not cancelled")
    kept = sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(folder) for name in names)

    for status, headers, token, words in (
            (401, {}, "", "set HF_TOKEN"), (403, {}, "hf_x", "the account of HF_TOKEN"),
            (429, {"Retry-After": "4000"}, "", "go on later"), (404, {}, "", "has no weights"),
            (501, {}, "", "failed to send"), (302, {"Location": "/x"}, "", "round and round"),
            (302, {"Location": "file:///etc/passwd"}, "", "which is no use"), (302, {}, "", "which is no use")):
        test.proxy.reset()
        test.proxy.faults.refuse = (status, headers, 1000)
        test.refused(test.run(folder, address, HF_TOKEN=token), words)
    test.proxy.reset()
    test.proxy.faults.total, test.proxy.faults.only = 77, "vae"
    test.refused(test.run(folder, address), "but 77 are sent")
    test.refused(test.run(folder, f"http://127.0.0.1:{hub.free_port()}"), "cannot be reached")
    test.refused(test.run(folder, "http://nowhere.invalid"), "cannot be reached")
    test.refused(test.run(folder, "here"), "is no address of a model hub")
    test.refused(test.run(folder, address, model="switti-1024"), "has no weights in yresearch/Switti-1024")
    test.refused(test.run(folder, address, model="switti-2048"), "switti-512-ar", status=2)
    test.refused(test.run(folder, address, "--dtype", "f64"), "not “f64”", status=2)

    still = sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(folder) for name in names)
    check(still == kept, f"{kept} bytes were there, and {still} are")
    test.proxy.reset()
    test.proxy.faults.refuse = (429, {"Retry-After": "1"}, 1)
    begin = time.monotonic()
    test.fetch(folder, address)
    check(time.monotonic() - begin > 1, "it did not wait")
    test.same(folder)


def truncated(test):
    path = os.path.join(models.folder_of(test.root, "openai/clip-vit-large-patch14"), "model.safetensors")
    folder = test.folder()
    shutil.copy(path, path + ".whole")
    os.truncate(path, 300_000)
    test.refused(test.run(folder, test.nginx.address()), "model.safetensors")
    os.replace(path + ".whole", path)
    check(not os.path.exists(os.path.join(folder, MODEL)), "half a model is in its place")


def full_disk(test):
    folder = test.folder()
    os.makedirs(folder)
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        return "this container may not mount a small disk"
    filler = os.path.join(folder, "filler")
    try:
        with open(filler, "wb") as file:
            file.write(bytes(60 << 20))
        test.refused(test.run(folder, test.nginx.address()), "free")
        os.unlink(filler)
        # It fills up when a part of the model is there.
        faults = test.proxy.faults
        faults.at = (9_000_000, lambda: fill(filler))
        faults.delay = 0.004
        test.refused(test.run(folder, test.proxy.address()), "No space left")
        os.unlink(filler)
        test.proxy.reset()
        result = test.run(folder, test.proxy.address())
        check(result.status == 0 and "from an earlier download" in result.out, result.err)
        here = test.folder()
        shutil.copytree(folder, here)
        test.same(here)
    finally:
        subprocess.run(["umount", folder])
    return None


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass


def proxied(test):
    """http_proxy and no_proxy."""
    folder = test.folder()
    proxy = hub.ForwardProxy()
    try:
        test.fetch(folder, test.nginx.address(), http_proxy=proxy.address())
        check(proxy.n_requests > 0, "the proxy was not used")
        test.same(folder)
        proxy.n_requests = 0
        test.fetch(folder, test.nginx.address(), http_proxy=proxy.address(), no_proxy="127.0.0.1, example.org")
        check(proxy.n_requests == 0, "the proxy was used")
        test.same(folder)
    finally:
        proxy.stop()


def asynchronous(test):
    """As the plug-in calls it: progress on the main context, cancel, and the rest."""
    folder = test.folder()
    test.proxy.faults.delay = 0.004
    done = subprocess.run([ASYNC, test.proxy.address(), folder], capture_output=True, text=True, timeout=60,
                          env=test.environment(G_DEBUG="fatal-criticals"))
    check(done.returncode == 0, done.stdout + done.stderr)
    test.same(folder)


TESTS = (dry_run, agreement, whole_model, again, other_model, cut, killed, interrupted, whole_files, linked,
         other_mirror, damaged, changed_on_the_way, refusals, truncated, full_disk, proxied, asynchronous,
         changed_in_between)


def main():
    if hub.find_nginx() is None:
        print("1..0 # SKIP nginx is not installed")
        return
    names = sys.argv[3:]
    chosen = [test for test in TESTS if not names or test.__name__ in names + ["whole_model"]]
    print(f"1..{len(chosen)}")
    with tempfile.TemporaryDirectory(prefix="switti-download-") as base:
        test = Test(base)
        for number, function in enumerate(chosen, 1):
            name = f"/download/{function.__name__.replace('_', '-')}"
            test.proxy.reset()
            begin = time.monotonic()
            try:
                skipped = function(test)
                print(f"ok {number} {name}" + (f" # SKIP {skipped}" if skipped else ""))
            except (Failed, OSError, subprocess.SubprocessError, AttributeError, KeyError) as problem:
                print(f"# {type(problem).__name__}: {problem}".replace("\n", "\n# "))
                print(f"not ok {number} {name}")
            print(f"# {time.monotonic() - begin:.1f} s", flush=True)
        test.stop()


main()
