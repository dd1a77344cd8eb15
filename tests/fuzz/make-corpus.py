#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Writes the seeds of the fuzz targets into corpus/: small inputs that reach every branch of the readers."""

import json
import pathlib
import struct

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


if __name__ == "__main__":
    write_safetensors()
    write_tokenizer()
    write_config()
