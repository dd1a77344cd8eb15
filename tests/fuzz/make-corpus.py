#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Writes the seeds of the fuzz targets into corpus/: small inputs that reach every branch of the readers."""

import io
import json
import pathlib
import struct
import zipfile

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def write(target, name, data):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def safetensors(header, data=b"", length=None):
    if not isinstance(header, bytes):
        header = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write_safetensors():
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1, "I16": 2}
    for dtype, size in sizes.items():
        data = bytes(range(3 * size))
        write("safetensors", f"dtype-{dtype}", safetensors({"a": entry(dtype, [3], 0, 3 * size)}, data))
    byte = json.dumps(entry("U8", [1], 0, 1))
    two = {"__metadata__": {"format": "pt"}, "b": entry("U8", [3], 0, 3), "a": entry("F32", [2, 1], 3, 11)}
    write("safetensors", "two", safetensors(two, bytes(11)))
    write("safetensors", "empty", safetensors("{}"))
    write("safetensors", "padded", safetensors("{}      "))
    write("safetensors", "scalar", safetensors({"a": entry("F32", [], 0, 4)}, bytes(4)))
    write("safetensors", "zero-size", safetensors({"a": entry("F32", [4, 0], 0, 0)}))
    write("safetensors", "rank-8", safetensors({"a": entry("U8", [1] * 8, 0, 1)}, bytes(1)))
    write("safetensors", "rank-9", safetensors({"a": entry("U8", [1] * 9, 0, 1)}, bytes(1)))
    write("safetensors", "overflow", safetensors({"a": entry("F32", [2**62, 2**62], 0, 0)}))
    write("safetensors", "gap", safetensors({"a": entry("U8", [1], 1, 2)}, bytes(2)))
    write("safetensors", "overlap", safetensors({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, bytes(3)))
    write("safetensors", "outside", safetensors({"a": entry("U8", [9], 0, 9)}, bytes(3)))
    write("safetensors", "after", safetensors({"a": entry("U8", [1], 0, 1)}, bytes(3)))
    write("safetensors", "twice", safetensors('{"a":%s,"a":%s}' % (byte, byte), bytes(1)))
    write("safetensors", "nested", safetensors('{"a":' * 100))
    write("safetensors", "escapes", safetensors('{"\\u0061\\n\\ud83d\\ude00":%s}' % byte, bytes(1)))
    write("safetensors", "length-huge", safetensors("{}", length=2**63))
    write("safetensors", "length-short", safetensors("{}", length=1))
    write("safetensors", "cut", safetensors("{}")[:9])


def write_tokenizer():
    special = {"<|startoftext|>": 8, "<|endoftext|>": 9}
    vocab = {"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab": 4, "ab</w>": 5, "aab</w>": 6, "\u0120</w>": 7, **special}
    merges = "#version: 0.2\na b\na b</w>\na ab</w>\n"
    texts = ["aab AB <|endoftext|>'s 12!? \u00e9", "e\u0301\u0130\u2028\u4e16", "", "aaaaaaaabbbbbbbbab"]

    def files(vocabulary, merge_text, text):
        return b"\0".join([json.dumps(vocabulary).encode(), merge_text.encode(), text.encode()])

    def model(merge_list, **more):
        root = {"model": {"type": "BPE", "vocab": vocab, "merges": merge_list, "end_of_word_suffix": "</w>"}, **more}
        return json.dumps(root).encode()

    for i, text in enumerate(texts):
        write("tokenizer", f"files-{i}", files(vocab, merges, text))
        write("tokenizer", f"json-{i}", model(["a b", ["a", "b</w>"]]) + b"\0" + text.encode())
    write("tokenizer", "crlf", files(vocab, merges.replace("\n", "\r\n"), "ab"))
    write("tokenizer", "bad-merge", files(vocab, "a c\n", "ab"))
    write("tokenizer", "three-words", files(vocab, "a b a\n", "ab"))
    write("tokenizer", "no-special", files({"a": 0}, "", "ab"))
    write("tokenizer", "negative-id", files({**special, "a": -1}, "", "a"))
    write("tokenizer", "bad-text", files(vocab, merges, "") + b"\xff\xc3a\x00b")
    write("tokenizer", "added", model([], added_tokens=[{"id": 20, "content": "<|startoftext|>"}]) + b"\0a")
    write("tokenizer", "bad-added", model([], added_tokens=[{"id": "x"}]) + b"\0a")
    write("tokenizer", "no-model", b'{"model":{"vocab":{}}}')
    write("tokenizer", "other-suffix", b'{"model":{"vocab":{},"merges":[],"end_of_word_suffix":""}}')


def write_config():
    transformer = {
        "depth": 2, "embed_dim": 128, "num_heads": 2, "patch_nums": [1, 2, 3, 4], "vocab_size": 256, "z_channels": 32,
        "context_dim": 192, "pooled_dim": 128, "rope": True, "rope_theta": 10000, "rope_size": 128,
        "use_swiglu_ffn": True, "use_ar": False, "use_crop_cond": True, "reso": 64,
    }  # fmt: skip
    vae = {"ch": 32, "vocab_size": 256, "z_channels": 32, "share_quant_resi": 4, "quant_resi": 0.5,
           "using_znorm": False, "v_patch_nums": [1, 2, 3]}  # fmt: skip
    text = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4, "num_hidden_layers": 3,
            "hidden_act": "gelu", "layer_norm_eps": 1e-5, "max_position_embeddings": 77, "vocab_size": 1000,
            "bos_token_id": 998, "eos_token_id": 999, "pad_token_id": 0}  # fmt: skip
    write("config", "transformer", "t" + json.dumps(transformer))
    write("config", "transformer-published", 't{"depth": 30, "reso": 1024, "use_ar": true}')
    write("config", "transformer-gelu", 't{"use_swiglu_ffn": false, "rope": false, "use_crop_cond": false}')
    write("config", "transformer-types", 't{"depth": 1e3, "rope": null, "reso": "512", "patch_nums": {}}')
    write("config", "vae", "v" + json.dumps(vae))
    write("config", "text", "e" + json.dumps(text))
    write("config", "text-nested", "e" + json.dumps({"text_config": text, "vision_config": {"a": [[{}]]}}))
    write("config", "twice", 't{"depth": 2, "depth": 3}')
    write("config", "nested", "t" + "[" * 100)
    write("config", "comment", "t{/* \" */}")
    write("config", "synthetic", "sdepth=2,width=128,heads=2,reso=256,vocab=64,latent=8,context=96,pooled=32,ch=32")
    write("config", "synthetic-flags", "sdepth=2,scales=1-2-4,ar,abspos,gelu,nocrop,clip=small")
    write("config", "synthetic-bad", "sdepth=x,=,reso")


def string(text):
    text = text if isinstance(text, bytes) else text.encode()
    return b"X" + struct.pack("<I", len(text)) + text


def number(value):
    return b"K" + bytes([value]) if 0 <= value < 256 else b"\x8a\x08" + struct.pack("<q", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind, key, numel, view=b""):
    return (b"(" + string("storage") + b"ctorch\n" + kind.encode() + b"\n" + string(key) + string("cpu") + number(numel)
            + view + b"tQ")  # fmt: skip


def tensor(shape, strides, offset=0, kind="FloatStorage", key="0", numel=4, view=b""):
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(kind, key, numel, view) + number(offset) + numbers(shape)
            + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR")  # fmt: skip


def state(**tensors):
    return b"}(" + b"".join(string(name) + value for name, value in tensors.items()) + b"u"


PICKLES = {
    "state": b"\x80\2" + state(w=tensor([2, 2], [2, 1])) + b".",
    "view": b"\x80\2" + state(w=tensor([2], [1], 2), t=tensor([2, 2], [1, 2])) + b".",
    "nested": b"\x80\2" + state(trainer=state(vae=state(w=tensor([4], [1])), step=number(7))) + b".",
    "ordered": b"\x80\2ccollections\nOrderedDict\n)R(" + string("w") + tensor([4], [1]) + b"u}" + string("_metadata")
    + b"}sb.",
    "parameter": b"\x80\2" + state(w=b"ctorch._utils\n_rebuild_parameter\n(" + tensor([4], [1]) + b"\x88}tR") + b".",
    "v3": b"\x80\2" + state(w=b"ctorch._utils\n_rebuild_tensor_v3\n("
    + storage("UntypedStorage", "0", 16) + number(0) + numbers([4]) + numbers([1])
    + b"\x89}ctorch\nfloat32\ntR") + b".",
    "kinds": b"\x80\2" + state(**{kind[0].lower() + str(i): tensor([1], [1], 0, kind + "Storage")
                                 for i, kind in enumerate(
        ["Double", "Half", "BFloat16", "Long", "Int", "Byte", "Bool"])}) + b".",
    "plain": b"\x80\5\x95\0\0\0\0\0\0\0\0](K\1M\1\2J\xff\xff\xff\xffG?\xf0\0\0\0\0\0\0N\x88\x89\x8c\1aC\1bU\1c"
    b"\x8a\1\x80\x8a\x0a0123456789)K\1\x85K\1K\2\x86K\1K\2K\3\x87(K\1t(K\1l(K\1K\2d2e.",
    "memo": b"\x80\4]\x94q\0h\0N0(01r\2\0\0\0j\2\0\0\0a.",
    "stack-global": b"\x80\4\x8c\5torch\x8c\4Size\x93K\2\x85\x85R.",
    "expanded": b"\x80\2" + state(w=tensor([2**40], [0])) + b".",
    "outside": b"\x80\2" + state(w=tensor([3, 2], [2, 1])) + b".",
    "overflow": b"\x80\2" + state(w=tensor([2**62, 2**62], [2**62, 2**62])) + b".",
    "cycle": b"\x80\2}q\0" + string("a") + b"h\0s.",
    "deep": b"\x80\2" + b"]" * 100 + b"a" * 99 + b".",
    "shared": b"\x80\2]" + b"q\0]q\1h\0ah\0a" * 24 + b".",
    "system": b"\x80\2cposix\nsystem\n" + string("true") + b"\x85R.",
    "opcode": b"\x80\2(iposix\nsystem\n.",
    "key": b"\x80\2}" + string(b"\xff") + tensor([4], [1]) + b"s.",
}


def write_pickle():
    for name, data in PICKLES.items():
        write("pickle", name, data)


def archive(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as zipped:
        for name, data in members.items():
            zipped.writestr(zipfile.ZipInfo(name), data, compression)
    return file.getvalue()


def legacy(pickle, keys, storages, endian=b"\x88"):
    return (b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\2M\xe9\3.\x80\2}" + string("little_endian") + endian + b"s."
            + pickle + b"\x80\2](" + b"".join(map(string, keys)) + b"e." + storages)  # fmt: skip


def write_pt():
    four = struct.pack("<4f", 1, -2, 3, 0.5)
    members = {"m/data.pkl": PICKLES["view"], "m/byteorder": b"little", "m/data/0": four, "m/version": b"3\n"}
    stored = archive(members)
    write("pt", "stored", stored)
    write("pt", "deflated", archive(members, zipfile.ZIP_DEFLATED))
    write("pt", "cut", stored[:-30])
    write("pt", "big-endian", archive({**members, "m/byteorder": b"big"}))
    write("pt", "no-pickle", archive({"m/data/0": four}))
    write("pt", "no-storage", archive({"m/data.pkl": PICKLES["state"]}))
    write("pt", "short-storage", archive({**members, "m/data/0": four[:9]}))
    write("pt", "outside", archive({**members, "../evil": b"x"}))
    write("pt", "bomb", archive({**members, "m/data/1": bytes(1 << 20)}, zipfile.ZIP_DEFLATED))
    write("pt", "comment", stored[:-2] + b"\5\0hello")
    numel = struct.pack("<q", 4)
    write("pt", "legacy", legacy(PICKLES["state"], ["0"], numel + four))
    sub = b"(" + string("v") + number(1) + number(2) + b"t"
    view = b"\x80\2" + state(w=tensor([4], [1], view=b"N"), v=tensor([2], [1], view=sub)) + b"."
    write("pt", "legacy-view", legacy(view, ["0"], numel + four))
    write("pt", "legacy-cut", legacy(PICKLES["state"], ["0"], numel + four[:9]))
    write("pt", "legacy-huge", legacy(PICKLES["state"], ["0"], struct.pack("<q", 2**62) + four))
    write("pt", "legacy-big-endian", legacy(PICKLES["state"], ["0"], numel + four, b"\x89"))
    write("pt", "legacy-unused", legacy(PICKLES["state"], ["0", "1"], numel + four + numel + four))
    write("pt", "pickle", PICKLES["state"])


if __name__ == "__main__":
    write_pickle()
    write_pt()
    write_safetensors()
    write_tokenizer()
    write_config()
