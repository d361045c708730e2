"""Writing GLB heads and reading their animations, independent of the package."""

import json
import struct
from pathlib import Path

import numpy as np


def write_head(path: Path, names, *, on_primitive=False, weights=None, **extras) -> Path:
    """Write a GLB of one triangle with a morph target for each name."""
    triangle = np.eye(3, dtype="<f4")
    targets = {"extras": {"targetNames": list(names)}}
    primitive = {"attributes": {"POSITION": 0}, "targets": [{"POSITION": 0} for _ in names]}
    mesh = {"weights": weights or [0.0] * len(names)}
    (primitive if on_primitive else mesh).update(targets)
    content = {
        "asset": {"version": "2.0"},
        "nodes": [{"name": "Root"}, {"mesh": 0}],
        "meshes": [{"primitives": [primitive], **mesh}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": triangle.nbytes}],
        "buffers": [{"byteLength": triangle.nbytes}],
    }
    text = json.dumps(content | extras).encode()
    text += b" " * (-len(text) % 4)
    parts = struct.pack("<I4s", len(text), b"JSON") + text
    parts += struct.pack("<I4s", triangle.nbytes, b"BIN\0") + triangle.tobytes()
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts)
    return path


def read_animation(path: Path):
    """Read the JSON of a GLB, and times (T,) and weights (T, targets) of its last animation."""
    data = path.read_bytes()
    magic, version, total = struct.unpack_from("<4sII", data)
    assert (magic, version, total) == (b"glTF", 2, len(data))
    length = struct.unpack_from("<I", data, 12)[0]
    content, binary = json.loads(data[20 : 20 + length]), data[28 + length :]
    assert content["buffers"][0]["byteLength"] <= len(binary) == struct.unpack_from("<I", data, 20 + length)[0]

    def values(number):
        accessor = content["accessors"][number]
        view = content["bufferViews"][accessor["bufferView"]]
        return np.frombuffer(binary, "<f4", accessor["count"], view["byteOffset"])

    animation = content["animations"][-1]
    assert animation["channels"] == [{"sampler": 0, "target": {"node": 1, "path": "weights"}}]
    times, weights = (values(animation["samplers"][0][part]) for part in ("input", "output"))
    return content, times, weights.reshape(len(times), -1)
