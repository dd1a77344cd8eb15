# SPDX-License-Identifier: LGPL-3.0-or-later
"""Writes checkpoints as PyTorch and its libraries do, without them: for tests of what reads them.

A tensor is (dtype, shape, data): dtype as safetensors spells it, data a NumPy array, bytes, or a function that makes
one of these when they are written. The pickles are made by Python's own pickler of classes that stand in for
PyTorch's, so that they are what PyTorch's own are.
"""
import collections
import io
import json
import math
import pickle
import struct
import sys
import types
import zipfile

import numpy

SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "U8": 1, "BOOL": 1}
STORAGES = {"F64": "Double", "I64": "Long", "F32": "Float", "I32": "Int", "F16": "Half", "BF16": "BFloat16",
            "U8": "Byte", "BOOL": "Bool"}  # fmt: skip


# ---- values ------------------------------------------------------------------------------------------------------


def uniform(name, count):
    """The synthetic rule's u(name, 0 … count - 1): docs/synthetic-rule.md."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> numpy.uint64(30)) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> numpy.uint64(27)) * numpy.uint64(0x94D049BB133111EB)
        z ^= z >> numpy.uint64(31)
    return ((z >> numpy.uint64(40)).astype(numpy.int64) - (1 << 23)).astype(numpy.float32) * numpy.float32(2.0**-23)


def parameter(name, shape):
    """A parameter of the synthetic rule, float32."""
    count = math.prod(shape)
    u = uniform(name, count)
    if name.endswith("crop_cond_scales"):
        u *= numpy.float32(0.5)
    elif len(shape) >= 2:
        fan = shape[-1] if name.endswith(("pos_start", "pos_1LC")) else count // shape[0]
        u *= numpy.float32(math.sqrt(3 / fan))
    else:
        u = u * numpy.float32(0.1) + numpy.float32(1 if name.endswith("weight") else 0)
    return u.reshape(shape)


def to_bf16(values):
    """The bits of float32 values rounded to the nearest bf16, ties to even."""
    bits = values.astype(numpy.float32).view(numpy.uint32)
    return ((bits + numpy.uint32(0x7FFF) + (bits >> numpy.uint32(16) & numpy.uint32(1))) >> numpy.uint32(16)).astype(
        numpy.uint16
    )


def tensor(values, dtype="F32"):
    if dtype == "BF16":
        return dtype, values.shape, to_bf16(values)
    kinds = {"F32": "f4", "F16": "f2", "F64": "f8", "I64": "i8", "BOOL": "?", "U8": "u1", "I32": "i4"}
    return dtype, values.shape, values.astype("<" + kinds[dtype])


def synthetic(prefix, shapes, dtype="F32"):
    """The parameters of a {name: shape}."""
    return {name: tensor(parameter(prefix + name, tuple(shape)), dtype) for name, shape in shapes.items()}


def transformer_buffers(sides, is_ar):
    """The buffers that published transformers save: each token's scale, and the mask of training."""
    levels = numpy.concatenate([numpy.full(side * side, i) for i, side in enumerate(sides)])
    seen = levels[:, None] >= levels[None, :] if is_ar else levels[:, None] == levels[None, :]
    mask = numpy.where(seen, 0.0, -numpy.inf)[None, None]
    return {"lvl_1L": tensor(levels[None], "I64"), "attn_bias_for_masking": tensor(mask)}


# ---- safetensors -------------------------------------------------------------------------------------------------


def byte_count(entry):
    return SIZES[entry[0]] * math.prod(entry[1])


def raw(entry):
    data = entry[2]() if callable(entry[2]) else entry[2]
    return data.tobytes() if isinstance(data, numpy.ndarray) else data


def safetensors_header(tensors):
    header, position = {"__metadata__": {"format": "pt"}}, 0
    for name, entry in tensors.items():
        end = position + byte_count(entry)
        header[name] = {"dtype": entry[0], "shape": list(entry[1]), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write_safetensors(path, tensors):
    with open(path, "wb") as file:
        file.write(safetensors_header(tensors))
        for entry in tensors.values():
            file.write(raw(entry))


def write_shards(folder, tensors, n_shards, stem="model"):
    """Shards in turn, and their index."""
    names, weight_map = list(tensors), {}
    for i in range(n_shards):
        shard = f"{stem}-{i + 1:05}-of-{n_shards:05}.safetensors"
        part = {name: tensors[name] for name in names[i::n_shards]}
        write_safetensors(folder / shard, part)
        weight_map.update(dict.fromkeys(part, shard))
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], tuple(entry["shape"]), data[8 + length + entry["data_offsets"][0] :][
            : entry["data_offsets"][1] - entry["data_offsets"][0]
        ])
        for name, entry in header.items()
    }  # fmt: skip


# ---- PyTorch -----------------------------------------------------------------------------------------------------


class Storage:
    def __init__(self, dtype, key, numel):
        self.dtype, self.key, self.numel = dtype, key, numel


class Tensor:
    """Pickles as torch._utils._rebuild_tensor_v2 (…)."""

    def __init__(self, storage, shape, strides=None):
        self.storage, self.shape = storage, tuple(shape)
        self.strides = strides
        if strides is None:
            self.strides = tuple(math.prod(self.shape[i + 1 :]) for i in range(len(self.shape)))

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (self.storage, 0, self.shape, self.strides, False, collections.OrderedDict())


def stand_in(module, name):
    """Makes `name` importable from `module`, as pickle insists."""
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[: i + 1]), types.ModuleType(".".join(parts[: i + 1])))

    def function(*_):
        raise AssertionError

    function.__module__, function.__name__, function.__qualname__ = module, name, name
    setattr(sys.modules[module], name, function)
    return function


class Pickler(pickle.Pickler):
    def __init__(self, file, protocol, is_legacy):
        super().__init__(file, protocol)
        self.is_legacy = is_legacy

    def persistent_id(self, item):
        if not isinstance(item, Storage):
            return None
        kind = getattr(sys.modules["torch"], STORAGES[item.dtype] + "Storage")
        return ("storage", kind, item.key, "cpu", item.numel) + ((None,) if self.is_legacy else ())


stand_in("torch._utils", "_rebuild_tensor_v2")
for storage in STORAGES.values():
    stand_in("torch", storage + "Storage")


def to_pickle(tensors, wrap, protocol, is_legacy):
    """The pickle of {name: tensor}, or of what `wrap` makes of it."""
    state = collections.OrderedDict()
    for i, (name, entry) in enumerate(tensors.items()):
        state[name] = Tensor(Storage(entry[0], str(i), math.prod(entry[1])), entry[1])
    state._metadata = collections.OrderedDict(version=1)  # an attribute, as of torch.nn.Module's
    file = io.BytesIO()
    Pickler(file, protocol, is_legacy).dump(wrap(state))
    return file.getvalue()


def write_pt(path, tensors, wrap=lambda state: state, protocol=2, compression=zipfile.ZIP_STORED):
    """As torch.save() writes since PyTorch 1.6."""
    stem = path.stem
    with zipfile.ZipFile(path, "w", compression, allowZip64=True) as archive:
        archive.writestr(f"{stem}/data.pkl", to_pickle(tensors, wrap, protocol, False))
        archive.writestr(f"{stem}/byteorder", "little")
        for i, entry in enumerate(tensors.values()):
            archive.writestr(f"{stem}/data/{i}", raw(entry))
        archive.writestr(f"{stem}/version", "3\n")


def write_legacy_pt(path, tensors, wrap=lambda state: state, protocol=2):
    """As it wrote before."""
    with open(path, "wb") as file:
        pickle.dump(0x1950A86A20F9469CFC6C, file, protocol)
        pickle.dump(1001, file, protocol)
        pickle.dump({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, file, protocol)
        file.write(to_pickle(tensors, wrap, protocol, True))
        pickle.dump([str(i) for i in range(len(tensors))], file, protocol)
        for entry in tensors.values():
            file.write(struct.pack("<q", math.prod(entry[1])))
            file.write(raw(entry))
