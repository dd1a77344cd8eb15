#!/usr/bin/env python3
# test-import.py - `switti models import`, `export`, `verify` and `remove`, with checkpoints of every form
#
# SPDX-License-Identifier: LGPL-3.0-or-later

import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile

import checkpoints
import numpy

CLI = os.environ["SWITTI_CLI"]
ICONS = pathlib.Path(os.environ["SWITTI_MODEL_PATH"]) / "icons"
FIXTURES = pathlib.Path(os.environ.get("SWITTI_FIXTURES") or pathlib.Path(__file__).parent.parent / "fixtures")
META = json.loads((FIXTURES / "meta.json").read_text())
SIDES = [1, 2, 3, 4]
# The tokenizer of icons, so its vocabulary.
VOCAB, BOS, EOS = 2560, 2558, 2559


def text_shapes(width, mlp):
    """The parameters of one of the text encoders, of one layer."""
    shapes = {name: shape for name, shape in META["clip_params"].items()
              if ".layers." not in name or ".layers.0." in name}  # fmt: skip
    return {name: [{64: width, 256: mlp, 1000: VOCAB}.get(n, n) for n in shape] for name, shape in shapes.items()}


def transformer_shapes(variant, widths):
    """The fixtures' transformer, for text encoders of these widths in place of the published 768 and 1280."""
    renamed = {2048: sum(widths), 1280: widths[1]}
    return {name: [renamed.get(n, n) for n in shape] for name, shape in META[f"switti_{variant}_params"].items()}


def model_shapes(widths):
    return {
        "transformer": transformer_shapes("nar", widths),
        "vae": META["vae_params"],
        "text_encoder": text_shapes(widths[0], 2 * widths[0]),
        "text_encoder_2": text_shapes(widths[1], 2 * widths[1]),
    }


PREFIXES = {"transformer": "switti.", "vae": "vae.", "text_encoder": "clip_l.", "text_encoder_2": "clip_g."}
# Small text encoders, but for the test of what is known of the published ones.
WIDTHS, PUBLISHED_WIDTHS = (64, 192), (768, 1280)
SHAPES = model_shapes(WIDTHS)
PARTS = {part: checkpoints.synthetic(PREFIXES[part], shapes) for part, shapes in SHAPES.items()}


class Place:
    """A temporary folder with checkpoints, and the user's data folder in it."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="switti-import-"))
        self.models = self.folder / "data" / "switti" / "models"
        self.environment = {**os.environ, "XDG_DATA_HOME": str(self.folder / "data"), "LC_ALL": "C.UTF-8",
                            "HF_HOME": str(self.folder / "hf")}  # fmt: skip
        self.environment.pop("HF_HUB_CACHE", None)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def run(self, *words, status=0):
        """What `switti models …` says: standard output, or where it has to fail the one sentence."""
        done = subprocess.run([CLI, "models", *map(str, words)], cwd=self.folder, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)  # fmt: skip
        print(f"# models {' '.join(map(str, words))}\n# {done.stdout + done.stderr}".rstrip().replace("\n", "\n# "))
        assert done.returncode == status, (words, done)
        if status == 0:
            assert done.stderr == "", done.stderr
            return done.stdout
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("switti: ") and lines[0].endswith("."), done.stderr
        return lines[0]

    def part(self, model, part):
        return checkpoints.read_safetensors(self.models / model / part / "model.safetensors")

    def config(self, model, part):
        return json.loads((self.models / model / part / "config.json").read_text())

    def text_folders(self, parts=PARTS):
        """The two encoders as they are published: a whole CLIP in shards, and OpenCLIP's names."""
        widths = [parts[part]["final_layer_norm.weight"][1][0] for part in ("text_encoder", "text_encoder_2")]
        clip = self.folder / "clip-vit-large-patch14"
        clip.mkdir()
        whole = {f"text_model.{name}": entry for name, entry in parts["text_encoder"].items()}
        whole["text_model.embeddings.position_ids"] = checkpoints.tensor(numpy.arange(77)[None], "I64")
        whole["logit_scale"] = checkpoints.tensor(numpy.float32([2.7]).reshape(()))
        whole["text_projection.weight"] = checkpoints.tensor(numpy.zeros((8, 8), numpy.float32))
        whole["vision_model.embeddings.class_embedding"] = checkpoints.tensor(numpy.zeros(1024, numpy.float32))
        checkpoints.write_shards(clip, whole, 3)
        text = {"hidden_size": widths[0], "num_attention_heads": widths[0] // 64, "num_hidden_layers": 1,
                "intermediate_size": 2 * widths[0], "hidden_act": "quick_gelu", "vocab_size": VOCAB,
                "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": EOS}  # fmt: skip
        (clip / "config.json").write_text(json.dumps({"model_type": "clip", "text_config": text, "vision_config": {}}))
        for file in (ICONS / "tokenizer").iterdir():
            shutil.copy(file, clip)
        open_clip = self.folder / "open_clip_pytorch_model.bin"
        if parts is PARTS:  # with a configuration, for nothing is known of its width
            (self.folder / "bigG").mkdir()
            open_clip = self.folder / "bigG" / open_clip.name
            own = dict(text, hidden_size=widths[1], num_attention_heads=widths[1] // 64, hidden_act="gelu",
                       intermediate_size=2 * widths[1])  # fmt: skip
            (self.folder / "bigG/config.json").write_text(json.dumps({"text_config": own}))
        checkpoints.write_pt(open_clip, {**to_open_clip(parts["text_encoder_2"]),
                                         "logit_scale": checkpoints.tensor(numpy.float32([2.7]).reshape(())),
                                         "text_projection": checkpoints.tensor(numpy.zeros((8, 8), numpy.float32)),
                                         "visual.conv1.weight": checkpoints.tensor(numpy.zeros(5, numpy.float32)),
                                         "visual.transformer.resblocks.0.ln_1.weight":
                                         checkpoints.tensor(numpy.zeros(5, numpy.float32))})  # fmt: skip
        return clip, open_clip.parent if parts is PARTS else open_clip

    def checkpoints(self, parts=PARTS):
        """A transformer and an RQ-VAE in the published forms, and the text encoders."""
        transformer, vae = self.folder / "model_state_dict.pt", self.folder / "vae_ch160v4096z32.pth"
        checkpoints.write_pt(transformer, {**parts["transformer"], **checkpoints.transformer_buffers(SIDES, False)})
        checkpoints.write_legacy_pt(vae, {**PARTS["vae"], "quantize.ema_vocab_hit_SV":
                                          checkpoints.tensor(numpy.zeros((4, 256), numpy.float32))})  # fmt: skip
        return [transformer, vae, *self.text_folders(parts)]


def to_open_clip(tensors):
    """Hugging Face's names and tensors of a text encoder to OpenCLIP's."""
    renamed = {}
    names = {"embeddings.token_embedding.weight": "token_embedding.weight",
             "embeddings.position_embedding.weight": "positional_embedding",
             "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias"}  # fmt: skip
    words = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
             "mlp.fc2": "mlp.c_proj"}  # fmt: skip
    for name, entry in tensors.items():
        if name in names:
            renamed[names[name]] = entry
            continue
        _, _, layer, rest = name.split(".", 3)
        word, suffix = rest.rsplit(".", 1)
        if word in words:
            renamed[f"transformer.resblocks.{layer}.{words[word]}.{suffix}"] = entry
        elif word == "self_attn.q_proj":
            three = [tensors[f"encoder.layers.{layer}.self_attn.{letter}_proj.{suffix}"][2] for letter in "qkv"]
            joined = numpy.concatenate(three)
            renamed[f"transformer.resblocks.{layer}.attn.in_proj_{suffix}"] = checkpoints.tensor(joined)
    return renamed


def assert_same_tensors(stored, tensors, dtype):
    """stored (dtype, shape, bytes) are the float32 tensors in that dtype; crop_embed.weight always in float32."""
    assert stored.keys() == tensors.keys(), stored.keys() ^ tensors.keys()
    for name, (_, shape, values) in tensors.items():
        own = "F32" if name == "crop_embed.weight" else dtype
        expected = checkpoints.raw(checkpoints.tensor(values.reshape(shape), own))
        assert stored[name] == (own, tuple(shape), expected), (name, stored[name][:2])


def test_published_forms(place):
    """A .pt, a legacy .pth, a sharded whole CLIP and OpenCLIP's names become a model that paints."""
    parts = {**PARTS, **{part: checkpoints.synthetic(PREFIXES[part], shapes)
                         for part, shapes in model_shapes(PUBLISHED_WIDTHS).items() if part != "vae"}}  # fmt: skip
    place.run("import", "mine", *place.checkpoints(parts))
    for part, tensors in parts.items():
        assert_same_tensors(place.part("mine", part), tensors, "BF16")
    config = place.config("mine", "transformer")
    for name, value in {"depth": 2, "embed_dim": 128, "num_heads": 2, "patch_nums": SIDES, "reso": 64, "rope": True,
                        "use_swiglu_ffn": True, "use_ar": False, "use_crop_cond": True,
                        "vocab_size": 256}.items():  # fmt: skip
        assert config[name] == value, (name, config)
    assert place.config("mine", "vae")["share_quant_resi"] == 4
    assert place.config("mine", "text_encoder")["hidden_act"] == "quick_gelu"
    assert place.config("mine", "text_encoder_2")["hidden_act"] == "gelu"
    assert place.config("mine", "text_encoder_2")["eos_token_id"] == EOS
    place.run("verify", "mine")
    assert "64×64" in place.run("list")
    picture = place.folder / "picture.png"
    subprocess.run([CLI, "generate", "a fox", "--model", "mine", "--seed", "1", "-o", picture], env=place.environment,
                   check=True, capture_output=True)  # fmt: skip
    assert picture.read_bytes().startswith(b"\x89PNG")
    leftovers = [name for name in os.listdir(place.models) if name != "mine"]
    assert leftovers == [], leftovers


def test_variants(place):
    """AR or not, RoPE or not, FFN, crop conditioning, phi count and schedule are worked out from the tensors."""
    inputs = place.checkpoints()
    place.run("import", "base", *inputs)
    for variant, is_ar, wrap in [("ar", True, lambda state: {"module": state}),
                                 ("abspos", False,
                                  lambda state: {"trainer": {"model": state, "step": 7}, "args": ["x"]})]:  # fmt: skip
        path = place.folder / f"{variant}.pt"
        shapes = transformer_shapes(variant, WIDTHS)
        tensors = checkpoints.synthetic("switti.", shapes)
        checkpoints.write_pt(path, {**tensors, **checkpoints.transformer_buffers(SIDES, is_ar)}, wrap, protocol=4)
        place.run("import", variant, path, "--base", "base", "--dtype", "f32")
        assert_same_tensors(place.part(variant, "transformer"), tensors, "F32")
        config = place.config(variant, "transformer")
        expected = [is_ar, "pos_1LC" not in shapes, "blocks.0.ffn.fc1.weight" not in shapes,
                    "crop_embed.weight" in shapes]  # fmt: skip
        assert [config[name] for name in ("use_ar", "rope", "use_swiglu_ffn", "use_crop_cond")] == expected, config
        assert config["patch_nums"] == SIDES
        # The rest is the base's.
        assert (place.models / variant / "vae/model.safetensors").read_bytes() == (
            place.models / "base/vae/model.safetensors").read_bytes()  # fmt: skip
    one_phi = {name.replace("qresi_ls.0", "qresi"): entry for name, entry in PARTS["vae"].items()
               if "qresi_ls" not in name or "qresi_ls.0" in name}  # fmt: skip
    checkpoints.write_pt(place.folder / "one.pt", one_phi, lambda state: {"trainer": {"vae_wo_ddp": state}})
    place.run("import", "one", place.folder / "one.pt", "--base", "base", "--dtype", "keep")
    assert place.config("one", "vae")["share_quant_resi"] == 1
    assert_same_tensors(place.part("one", "vae"), one_phi, "F32")


def test_stored_dtypes(place):
    """Deflated archives, every protocol, and float16, float64 and bfloat16 as they are stored."""
    place.run("import", "base", *place.checkpoints())
    for protocol, (dtype, compression) in enumerate([("F16", zipfile.ZIP_STORED), ("F64", zipfile.ZIP_STORED),
                                                     ("BF16", zipfile.ZIP_DEFLATED),
                                                     ("F32", zipfile.ZIP_DEFLATED)], 2):  # fmt: skip
        tensors = {name: checkpoints.tensor(entry[2], dtype) for name, entry in PARTS["vae"].items()}
        path = place.folder / f"{dtype}.pt"
        checkpoints.write_pt(path, tensors, protocol=protocol, compression=compression)
        place.run("import", "typed", path, "--base", "base", "--dtype", "f32")
        for name, (_, _, data) in place.part("typed", "vae").items():
            values = tensors[name][2]
            if dtype == "BF16":
                values = (values.astype(numpy.uint32) << numpy.uint32(16)).view(numpy.float32)
            assert numpy.array_equal(numpy.frombuffer(data, "<f4"), values.astype(numpy.float32).ravel()), name


def test_faults(place):
    """Missing, extra and misshapen tensors by name; questions that only an option answers."""
    inputs = place.checkpoints()
    place.run("import", "base", *inputs)
    broken = dict(PARTS["transformer"], stranger=checkpoints.tensor(numpy.zeros(3, numpy.float32)))
    del broken["blocks.1.attn.proj.bias"]
    broken["head.bias"] = checkpoints.tensor(numpy.zeros(255, numpy.float32))
    broken["crop_proj.bias"] = checkpoints.tensor(numpy.zeros(128), "I64")
    checkpoints.write_safetensors(place.folder / "broken.safetensors", broken)
    said = place.run("import", "x", "broken.safetensors", "--base", "base", "--no-ar", "--resolution", "256", status=1)
    for words in ["“blocks.1.attn.proj.bias”", "“stranger”", "head.bias of shape (255) in place of (256)",
                  "lvl_embed.weight", "crop_proj.bias of dtype I64"]:  # fmt: skip
        assert words in said, words
    checkpoints.write_safetensors(place.folder / "bare.safetensors", PARTS["transformer"])
    assert "--no-ar" in place.run("import", "x", "bare.safetensors", "--base", "base", status=1)
    assert "--resolution" in place.run("import", "x", "bare.safetensors", "--base", "base", "--ar", status=1)
    assert "RQ-VAE" in place.run("import", "x", inputs[0], status=1)
    assert "same part" in place.run("import", "x", inputs[1], inputs[1], "--base", "base", status=1)
    assert "posix.system" in place.run("import", "x", FIXTURES / "evil_system.pt", "--base", "base", status=1)
    assert "--activation" in place.run("import", "x", odd_encoder(place), "--base", "base", status=1)
    two = {f"{copy}.{name}": entry for copy in ("ema", "raw") for name, entry in PARTS["vae"].items()}
    checkpoints.write_safetensors(place.folder / "two.safetensors", two)
    assert "“ema.”, “raw.”" in place.run("import", "x", "two.safetensors", "--base", "base", status=1)
    place.run("import", "x", "two.safetensors", "--base", "base", "--prefix", "ema.")
    assert "do not fit" in place.run("import", "y", *inputs[1:], "--base", "icons", status=1)
    assert not (place.models / "y").exists()
    (place.models / "taken").mkdir()
    (place.models / "taken" / "diary.txt").write_text("dear diary")
    assert "is no model" in place.run("import", "taken", inputs[1], "--base", "base", status=1)
    assert sorted(os.listdir(place.models)) == ["base", "taken", "x"]


def odd_encoder(place):
    path = place.folder / "odd.safetensors"
    checkpoints.write_safetensors(path, checkpoints.synthetic("clip_l.", text_shapes(128, 256)))
    return path


def test_cache(place):
    """Hugging Face's cache: snapshots of links to blobs, by repository, and all of a published model by its name."""
    clip, open_clip = place.text_folders()
    part_config = {"depth": 2, "embed_dim": 128, "num_heads": 2, "patch_nums": SIDES, "vocab_size": 256,
                   "use_ar": False}  # fmt: skip
    repositories = {
        "yresearch/Switti": {"model.safetensors": PARTS["transformer"], "config.json": part_config},
        "yresearch/VQVAE-Switti": {"model.safetensors": PARTS["vae"], "config.json": {"v_patch_nums": SIDES}},
    }
    for repository, files in repositories.items():
        folder = place.folder / "hf/hub" / ("models--" + repository.replace("/", "--"))
        snapshot = folder / "snapshots/0123abcd"
        for path in (folder / "blobs", snapshot, folder / "refs"):
            path.mkdir(parents=True)
        (folder / "refs/main").write_text("0123abcd")
        for name, content in files.items():
            blob = folder / "blobs" / hashlib.sha256(name.encode()).hexdigest()
            if name.endswith(".json"):
                blob.write_text(json.dumps(content))
            else:
                checkpoints.write_safetensors(blob, content)
            (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    place.run("import", "cached", "yresearch/Switti", "yresearch/VQVAE-Switti", clip, open_clip)
    for part, tensors in PARTS.items():
        assert_same_tensors(place.part("cached", part), tensors, "BF16")
    assert "cache" in place.run("import", "switti-512", status=2)
    assert "no/such" in place.run("import", "x", "no/such", status=1)


def test_export(place):
    """Names and shapes are the published ones; exported and imported again, every byte is the same."""
    place.run("import", "mine", *place.checkpoints())
    for dtype in ("keep", "f32"):
        exported = place.folder / f"exported-{dtype}"
        place.run("export", "mine", exported, "--dtype", dtype)
        for part, prefix in [("transformer", ""), ("vae", ""), ("text_encoder", "text_model."),
                             ("text_encoder_2", "text_model.")]:  # fmt: skip
            folder = exported if part == "transformer" else exported / part
            stored = checkpoints.read_safetensors(folder / "model.safetensors")
            shapes = {prefix + name: tuple(shape) for name, shape in SHAPES[part].items()}
            assert {name: entry[1] for name, entry in stored.items()} == shapes
            assert {entry[0] for entry in stored.values()} <= {"F32", "BF16" if dtype == "keep" else "F32"}
            assert json.loads((folder / "config.json").read_text())
        place.run("import", f"again-{dtype}", exported)
        sums = [(place.models / model / "SHA256SUMS").read_text() for model in ("mine", f"again-{dtype}")]
        # bf16 to float32 and back is exact, so that even this way round nothing changes.
        assert sums[0] == sums[1], sums
    assert "no-such" in place.run("export", "no-such", place.folder / "x", status=1)


def test_verify_and_remove(place):
    """A changed, a missing and an untouched file; what is removed is gone, what is not the user's own stays."""
    place.run("import", "mine", *place.checkpoints())
    weights = place.models / "mine/transformer/model.safetensors"
    with open(weights, "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x55")
    assert "transformer/model.safetensors" in place.run("verify", "mine", status=1)
    weights.unlink()
    assert "transformer/model.safetensors" in place.run("verify", place.models / "mine", status=1)
    assert "SHA256SUMS" in place.run("verify", "icons", status=1)
    place.run("import", "mine", *(place.folder / name for name in ("model_state_dict.pt", "vae_ch160v4096z32.pth")),
              "clip-vit-large-patch14", "bigG")  # fmt: skip
    place.run("verify", "mine")
    assert "--yes" in place.run("remove", "mine", status=2)
    assert "not one of your own" in place.run("remove", "icons", "--yes", status=1)
    assert ICONS.is_dir()
    place.run("remove", "mine", "--yes")
    assert os.listdir(place.models) == []
    assert "mine" in place.run("remove", "mine", "--yes", status=1)


def test_kills(place):
    """Killed at any moment, an import leaves the old model or the new one whole; the next run finishes."""
    inputs = place.checkpoints()
    sums, duration = {}, {}
    for dtype in ("bf16", "f32"):
        begin = time.monotonic()
        place.run("import", "mine", *inputs, "--dtype", dtype)
        duration[dtype] = time.monotonic() - begin
        sums[dtype] = (place.models / "mine/SHA256SUMS").read_text()
    chance = random.Random(7)
    n_killed, found = 0, set()
    for i in range(16):
        dtype = ("bf16", "f32")[i % 2]
        process = subprocess.Popen([CLI, "models", "import", "mine", *inputs, "--dtype", dtype], cwd=place.folder,
                                   env=place.environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        # Some just before the end, where the folders are exchanged.
        time.sleep(duration[dtype] * (chance.random() if i % 3 else chance.uniform(0.8, 2)))
        process.send_signal(signal.SIGKILL)
        n_killed += process.wait() == -signal.SIGKILL
        now = (place.models / "mine/SHA256SUMS").read_text()
        assert now in sums.values()
        found.add(now)
        place.run("verify", "mine")
    print(f"# killed {n_killed} of 16; found {len(found)} states")
    assert n_killed >= 5
    place.run("import", "mine", *inputs)
    assert (place.models / "mine/SHA256SUMS").read_text() == sums["bf16"]
    assert os.listdir(place.models) == ["mine"], os.listdir(place.models)


def main():
    tests = [(name, function) for name, function in globals().items() if name.startswith("test_")]
    tests = [(name, function) for name, function in tests if not sys.argv[1:] or name in sys.argv[1:]]
    print(f"1..{len(tests)}")
    failed = False
    for i, (name, function) in enumerate(tests, 1):
        try:
            with Place() as place:
                function(place)
            print(f"ok {i} {name}", flush=True)
        except Exception:
            failed = True
            print("# " + traceback.format_exc().replace("\n", "\n# "))
            print(f"not ok {i} {name}", flush=True)
    sys.exit(failed)


main()
