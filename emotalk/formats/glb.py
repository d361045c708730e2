"""glTF: motion as an animation of morph-target weights, on a user's head or on a row of bars.

The JSON of a user's file is changed in place and everything else of it is kept, extensions (VRM) and extras included;
a library that models glTF as classes would drop what it does not know.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS
from emotalk.errors import FormatError
from emotalk.formats.bars import bars
from emotalk.formats.motion import Motion, rate_of

_MAGIC, _VERSION, _JSON, _BIN = b"glTF", 2, b"JSON", b"BIN\0"
_FLOAT = 5126
_NAME = "EmoTalk"
Gltf = tuple[dict[str, Any], bytes]
"""A file's JSON and its binary chunk."""


def write_glb(path: str | Path, motion: Motion, head: str | Path | None = None) -> None:
    """Write a GLB that plays the motion.

    Parameters
    ----------
    head
        A GLB whose morph targets have ARKit's names (in any case); without one a row of bars shows the channels.

    Raises
    ------
    FormatError
        If the head is no GLB or has none of the channels.
    """
    content, binary = bars() if head is None else _read(Path(head))
    chunk = bytearray(binary)
    times = _add(content, chunk, motion.seconds.astype(np.float32), "SCALAR", bounds=True)
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    for node, names in _faces(content).items():
        weights = np.zeros((len(motion.seconds), len(names)), np.float32)
        for place, name in enumerate(names):
            if name in CHANNELS:
                weights[:, place] = motion.values[:, CHANNELS.index(name)]
        output = _add(content, chunk, weights.ravel(), "SCALAR")
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": "weights"}})
        samplers.append({"input": times, "interpolation": "LINEAR", "output": output})
    if not channels:
        raise FormatError("none of its meshes has morph targets under ARKit's names (mesh.extras.targetNames)")
    content.setdefault("animations", []).append({"name": _NAME, "channels": channels, "samplers": samplers})
    content.setdefault("buffers", [{}])[0]["byteLength"] = len(chunk)
    _write(Path(path), content, bytes(chunk))


def read_glb(path: str | Path) -> Motion:
    """Read the last animation of morph-target weights; channels that no mesh has are 0.

    Raises
    ------
    FormatError
        If there is none, or the file is damaged.
    """
    content, binary = _read(Path(path))
    try:
        return _last_animation(content, binary)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FormatError(f"its parts do not fit each other ({error})") from None


def _last_animation(content: dict[str, Any], binary: bytes) -> Motion:
    faces = _faces(content)
    for animation in reversed(content.get("animations", [])):
        found = [channel for channel in animation["channels"] if channel["target"].get("path") == "weights"]
        found = [channel for channel in found if channel["target"].get("node") in faces]
        if not found:
            continue
        seconds = _values(content, binary, animation["samplers"][found[0]["sampler"]]["input"]).astype(float)
        values = np.zeros((len(seconds), NUM_CHANNELS), np.float32)
        for channel in found:
            sampler, names = animation["samplers"][channel["sampler"]], faces[channel["target"]["node"]]
            weights = _values(content, binary, sampler["output"]).reshape(len(seconds), -1, len(names))
            middle = weights[:, weights.shape[1] // 2]  # A spline has tangents before and after each value.
            for place, name in enumerate(names):
                if name in CHANNELS:
                    values[:, CHANNELS.index(name)] = middle[:, place]
        return Motion(seconds - seconds[0], values, rate_of(seconds), Motion.of_track(values).rotations)
    raise FormatError("it has no animation of morph targets under ARKit's names")


def _faces(content: dict[str, Any]) -> dict[int, list[str]]:
    """Nodes whose mesh has any of the 52, each with the names of its morph targets; ours as we write them."""
    ours = {name.lower(): name for name in CHANNELS}
    faces = {}
    for number, node in enumerate(content.get("nodes", [])):
        mesh = content["meshes"][node["mesh"]] if "mesh" in node else {}
        # Early VRM heads name targets on their primitives.
        named = [part.get("extras", {}).get("targetNames") for part in (mesh, *mesh.get("primitives", []))]
        names = [ours.get(str(name).lower(), "") for name in next(filter(None, named), [])]
        if any(names):
            faces[number] = names
    return faces


def _add(content: dict[str, Any], chunk: bytearray, values: np.ndarray, kind: str, *, bounds: bool = False) -> int:
    """Add numbers to the binary chunk; returns the number of their accessor."""
    chunk.extend(b"\0" * (-len(chunk) % 4))
    views, accessors = content.setdefault("bufferViews", []), content.setdefault("accessors", [])
    views.append({"buffer": 0, "byteOffset": len(chunk), "byteLength": values.nbytes})
    accessor = {"bufferView": len(views) - 1, "componentType": _FLOAT, "count": len(values), "type": kind}
    if bounds:
        accessor |= {"min": [float(values.min())], "max": [float(values.max())]}
    accessors.append(accessor)
    chunk.extend(values.astype("<f4").tobytes())
    return len(accessors) - 1


def _values(content: dict[str, Any], binary: bytes, accessor: int) -> np.ndarray:
    described = content["accessors"][accessor]
    if described["componentType"] != _FLOAT or "bufferView" not in described:
        raise FormatError("its animation is not of 32-bit floating-point numbers")
    view = content["bufferViews"][described["bufferView"]]
    start = view.get("byteOffset", 0) + described.get("byteOffset", 0)
    return np.frombuffer(binary, "<f4", described["count"], start)


def _read(path: Path) -> Gltf:
    """Both chunks of a GLB."""
    try:
        data = path.read_bytes()
        magic, version, _ = struct.unpack_from("<4sII", data)
        if (magic, version) != (_MAGIC, _VERSION):
            raise ValueError("it does not begin as a GLB of version 2 does")
        length, kind = struct.unpack_from("<I4s", data, 12)
        content = json.loads(data[20 : 20 + length])
        if kind != _JSON or not isinstance(content, dict):
            raise ValueError("its first part is no JSON object")
        return content, data[28 + length :]
    except (struct.error, ValueError, OSError) as error:
        raise FormatError(f"{path.name} is no GLB file ({error})") from None


def _write(path: Path, content: dict[str, Any], chunk: bytes) -> None:
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunk += b"\0" * (-len(chunk) % 4)
    parts = struct.pack("<I4s", len(text), _JSON) + text + struct.pack("<I4s", len(chunk), _BIN) + chunk
    path.write_bytes(struct.pack("<4sII", _MAGIC, _VERSION, 12 + len(parts)) + parts)
