"""glTF: motion as an animation of morph-target weights, on a user's head. It is written only, never read.

The JSON of the head's file is changed in place and everything else of it is kept, extensions (VRM) and extras included;
a library that models glTF as classes would drop what it does not know.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.errors import FormatError
from emotalk.formats.motion import Motion

_MAGIC, _VERSION, _JSON, _BIN = b"glTF", 2, b"JSON", b"BIN\0"
_FLOAT = 5126
_NAME = "EmoTalk"
Gltf = tuple[dict[str, Any], bytes]
"""A file's JSON and its binary chunk."""


def write_glb(path: str | Path, motion: Motion, head: str | Path | None) -> None:
    """Write a GLB in which a head plays the motion.

    Parameters
    ----------
    head
        A GLB whose morph targets have ARKit's names (in any case).

    Raises
    ------
    FormatError
        If there is no head, or it is no GLB that holds its own data, or has none of the channels.
    """
    if head is None:
        raise FormatError(
            f"{path} needs a head to animate; give one whose morph targets have ARKit's names by --head HEAD.glb."
        )
    content, binary = _read(Path(head))
    try:
        chunk = _animated(content, binary, motion)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise FormatError(
            f"The parts of {head} do not fit each other ({error!r}); export the head again as GLB."
        ) from None
    if chunk is None:
        raise FormatError(
            f"None of the meshes in {head} has morph targets under ARKit's names (mesh.extras.targetNames); give a "
            "head that has them."
        )
    _write(Path(path), content, chunk)


def _animated(content: dict[str, Any], binary: bytes, motion: Motion) -> bytes | None:
    """Add the animation to a file's JSON; returns its longer binary chunk, or None if there is nothing to animate."""
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
    content.setdefault("animations", []).append({"name": _NAME, "channels": channels, "samplers": samplers})
    content.setdefault("buffers", [{}])[0]["byteLength"] = len(chunk)
    return bytes(chunk) if channels else None


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
        if any("uri" in buffer for buffer in content.get("buffers", [])[:1]):
            raise ValueError("its first buffer lies elsewhere, under a uri; export it with all data in the file")
        return content, data[28 + length :]
    except (struct.error, ValueError, OSError) as error:
        raise FormatError(f"{path.name} is no GLB file that can be animated ({error}).") from None


def _write(path: Path, content: dict[str, Any], chunk: bytes) -> None:
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunk += b"\0" * (-len(chunk) % 4)
    parts = struct.pack("<I4s", len(text), _JSON) + text + struct.pack("<I4s", len(chunk), _BIN) + chunk
    path.write_bytes(struct.pack("<4sII", _MAGIC, _VERSION, 12 + len(parts)) + parts)
