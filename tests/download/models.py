# models.py - repositories as the published ones are laid out, with small shapes and random weights
#
# SPDX-License-Identifier: LGPL-3.0-or-later
import io
import json
import os
import pickle
import shutil
import struct
import sys
import types
import zipfile

import numpy as np

CONTEXT = (64, 128)  # widths of the two text encoders
SIDES = {512: (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)}
CLIP = ("openai/clip-vit-large-patch14", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k")


def folder_of(root, repository):
    folder = os.path.join(root, repository, "resolve", "main")
    os.makedirs(folder, exist_ok=True)
    return folder


def write_safetensors(path, tensors):
    """As the format's own writer does: larger elements first, then by name."""
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    dtypes = {"float32": "F32", "int64": "I64"}
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        array = tensors[name]
        header[name] = {"dtype": dtypes[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(np.ascontiguousarray(tensors[name]).tobytes())


def read_safetensors(path):
    """name -> (dtype, shape, bytes)"""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
            for name, entry in header.items()}


def write_pt(path, tensors):
    """A state dict as torch.save() writes it, without PyTorch: pickle names its functions, and numbers its storages."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    class FloatStorage:
        pass

    def _rebuild_tensor_v2(*arguments):
        raise NotImplementedError

    for thing, module in ((FloatStorage, torch), (_rebuild_tensor_v2, utils)):
        thing.__module__, thing.__qualname__ = module.__name__, thing.__name__
        setattr(module, thing.__name__, thing)
    torch._utils = utils
    sys.modules.update({"torch": torch, "torch._utils": utils})

    class Storage:
        def __init__(self, key, count):
            self.key, self.count = key, count

    class Tensor:
        def __init__(self, key, array):
            self.key, self.array = key, array

        def __reduce__(self):
            strides = tuple(s // self.array.itemsize for s in np.ascontiguousarray(self.array).strides)
            return (_rebuild_tensor_v2, (Storage(self.key, self.array.size), 0, self.array.shape, strides, False, {}))

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, Storage):
                return ("storage", FloatStorage, thing.key, "cpu", thing.count)
            return None

    stream = io.BytesIO()
    Pickler(stream, 2).dump({name: Tensor(str(i), array) for i, (name, array) in enumerate(tensors.items())})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        for i, array in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{i}", np.ascontiguousarray(array).tobytes())
        archive.writestr("archive/version", "3\n")
    for name in ("torch", "torch._utils"):
        del sys.modules[name]


def bf16(array):
    """Its bytes in bfloat16, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def random_tensors(generator, shapes):
    return {name: generator.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def transformer(generator, meta, side, is_ar):
    replaced = {2048: sum(CONTEXT), 1280: CONTEXT[1], 4: len(SIDES[side])}
    tensors = random_tensors(generator, {name: [replaced.get(n, n) for n in shape]
                                         for name, shape in meta["switti_nar_params"].items()})
    levels = np.concatenate([np.full(n * n, i) for i, n in enumerate(SIDES[side])])
    seen = levels[:, None] >= levels[None, :] if is_ar else levels[:, None] == levels[None, :]
    buffers = {"lvl_1L": levels[None].astype(np.int64),
               "attn_bias_for_masking": np.where(seen, np.float32(0), np.float32(-np.inf))[None, None]}
    return tensors, buffers


def clip(generator, width, layers, act):
    """(text tensors, all others) of a full CLIP, and its config.json"""
    mlp, vocab = 4 * width, 2560
    shapes = {"embeddings.token_embedding.weight": [vocab, width], "embeddings.position_embedding.weight": [77, width],
              "final_layer_norm.weight": [width], "final_layer_norm.bias": [width]}
    for i in range(layers):
        layer = f"encoder.layers.{i}."
        for name in ("q", "k", "v", "out"):
            shapes[layer + f"self_attn.{name}_proj.weight"] = [width, width]
            shapes[layer + f"self_attn.{name}_proj.bias"] = [width]
        for name in ("layer_norm1", "layer_norm2"):
            shapes[layer + name + ".weight"] = shapes[layer + name + ".bias"] = [width]
        shapes.update({layer + "mlp.fc1.weight": [mlp, width], layer + "mlp.fc1.bias": [mlp],
                       layer + "mlp.fc2.weight": [width, mlp], layer + "mlp.fc2.bias": [width]})
    text = random_tensors(generator, {"text_model." + name: shape for name, shape in shapes.items()})
    others = random_tensors(generator, {
        "logit_scale": [], "text_projection.weight": [width, width], "visual_projection.weight": [width, 1664],
        "vision_model.embeddings.patch_embedding.weight": [1664, 3, 14, 14],
        "vision_model.encoder.layers.0.mlp.fc1.weight": [1664, 1664], "vision_model.post_layernorm.weight": [1664]})
    others["logit_scale"] = np.array(4.6, np.float32)
    others["text_model.embeddings.position_ids"] = np.arange(77, dtype=np.int64)[None]
    config = {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": width,
              "text_config": {"hidden_size": width, "intermediate_size": mlp, "num_attention_heads": width // 64,
                              "num_hidden_layers": layers, "hidden_act": act, "vocab_size": vocab,
                              "max_position_embeddings": 77, "layer_norm_eps": 1e-5, "bos_token_id": 2558,
                              "eos_token_id": 2559, "pad_token_id": 2559},
              "vision_config": {"hidden_size": 1664}}
    return text, others, config


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(value, file)


def make(root, fixtures, tokenizer, vae_form="pt", seed=1):
    """Repositories for switti-512 and switti-512-ar: part -> name -> array of what the model needs, and the number of
    bytes of what it does not."""
    generator = np.random.default_rng(seed)
    with open(os.path.join(fixtures, "meta.json")) as file:
        meta = json.load(file)
    needed, spare = {}, 0

    for repository, part, is_ar in (("yresearch/Switti", "transformer", False),
                                    ("yresearch/Switti-AR", "transformer-ar", True)):
        folder = folder_of(root, repository)
        needed[part], buffers = transformer(generator, meta, 512, is_ar)
        write_safetensors(os.path.join(folder, "model.safetensors"), {**needed[part], **buffers})
        write_json(folder, "config.json", {"depth": 2, "rope": True, "rope_size": 128, "rope_theta": 10000,
                                           "use_ar": is_ar, "use_crop_cond": True, "use_swiglu_ffn": True})
        with open(os.path.join(folder, "README.md"), "w") as file:
            file.write("---\ntags:\n- text-to-image\n---\n# Switti\n")

    folder = folder_of(root, "yresearch/VQVAE-Switti")
    needed["vae"] = random_tensors(generator, meta["vae_params"])
    vae = {**needed["vae"], "quantize.ema_vocab_hit_SV": np.zeros((10, 256), np.float32)}
    if vae_form == "pt":
        write_pt(os.path.join(folder, "vae_ft_checkpoint.pt"), vae)
    else:
        write_safetensors(os.path.join(folder, "model.safetensors"), vae)
        write_json(folder, "config.json", {"ch": 32, "vocab_size": 256, "z_channels": 32, "share_quant_resi": 4,
                                           "v_patch_nums": SIDES[512]})

    for i, (repository, act) in enumerate(zip(CLIP, ("quick_gelu", "gelu"))):
        folder = folder_of(root, repository)
        part = ("text_encoder", "text_encoder_2")[i]
        text, others, config = clip(generator, CONTEXT[i], 2, act)
        needed[part] = {name.removeprefix("text_model."): array for name, array in text.items()}
        spare += sum(array.nbytes for array in others.values())
        if i == 0:
            write_safetensors(os.path.join(folder, "model.safetensors"), {**text, **others})
        else:
            write_shards(folder, text, others)
        write_json(folder, "config.json", config)
        for name in os.listdir(tokenizer):
            shutil.copy(os.path.join(tokenizer, name), folder)
        with open(os.path.join(folder, "README.md"), "w") as file:
            file.write("---\nlicense: mit\n---\n# CLIP\n")
    return needed, spare


def write_shards(folder, text, others):
    """The two text layers and the vision tower over two files."""
    first = {name: array for name, array in {**text, **others}.items() if "layers.1." not in name}
    second = {name: array for name, array in text.items() if "layers.1." in name}
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    index = {"metadata": {"total_size": 0}, "weight_map": {}}
    for name, tensors in zip(names, (first, second)):
        write_safetensors(os.path.join(folder, name), tensors)
        index["weight_map"].update({tensor: name for tensor in tensors})
    write_json(folder, "model.safetensors.index.json", index)
