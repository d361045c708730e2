"""glTF: writes motion as an animation of morph-target weights of a user's head.

The JSON of the head is edited directly, so that all other content is kept, including extensions (VRM) and extras; a
glTF library would drop unknown content.
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
_ANIMATION_NAME = "EmoTalk"
Gltf = tuple[dict[str, Any], bytes]
"""JSON and binary chunk of a file."""


def write_glb(path: str | Path, motion: Motion, head: str | Path | None) -> None:
    """Write a GLB with the motion as an animation of a head.

    Parameters
    ----------
    head
        GLB whose morph targets have the ARKit names (in any case).

    Raises
    ------
    FormatError
        If there is no head, or it is not a self-contained GLB, or it has none of the channels.
    """
    if head is None:
        raise FormatError(
            f"{path} needs a head to animate; set one whose morph targets have the ARKit names with --head HEAD.glb."
        )
    content, binary = _read(Path(head))
    try:
        chunk = _add_animation(content, binary, motion)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise FormatError(f"{head} is inconsistent ({error!r}); export the head again as GLB.") from None
    if chunk is None:
        raise FormatError(
            f"No mesh in {head} has morph targets with the ARKit names (mesh.extras.targetNames); use a head that has "
            "them."
        )
    _write(Path(path), content, chunk)


def _add_animation(content: dict[str, Any], binary: bytes, motion: Motion) -> bytes | None:
    """Add the animation to the JSON; return the extended binary chunk, or None if there is nothing to animate."""
    chunk = bytearray(binary)
    times = _add_accessor(content, chunk, motion.seconds.astype(np.float32), bounds=True)
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    for node, names in _find_faces(content).items():
        weights = np.zeros((len(motion.seconds), len(names)), np.float32)
        for target, name in enumerate(names):
            if name in CHANNELS:
                weights[:, target] = motion.values[:, CHANNELS.index(name)]
        output = _add_accessor(content, chunk, weights.ravel())
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": "weights"}})
        samplers.append({"input": times, "interpolation": "LINEAR", "output": output})
    content.setdefault("animations", []).append({"name": _ANIMATION_NAME, "channels": channels, "samplers": samplers})
    content.setdefault("buffers", [{}])[0]["byteLength"] = len(chunk)
    return bytes(chunk) if channels else None


def _find_faces(content: dict[str, Any]) -> dict[int, list[str]]:
    """Nodes whose mesh has any of the 52 channels, with the channel of each morph target ("" for others)."""
    channels = {name.lower(): name for name in CHANNELS}
    faces = {}
    for number, node in enumerate(content.get("nodes", [])):
        mesh = content["meshes"][node["mesh"]] if "mesh" in node else {}
        # Early VRM heads have the target names in their primitives.
        target_names = [part.get("extras", {}).get("targetNames") for part in (mesh, *mesh.get("primitives", []))]
        names = [channels.get(str(name).lower(), "") for name in next(filter(None, target_names), [])]
        if any(names):
            faces[number] = names
    return faces


def _add_accessor(content: dict[str, Any], chunk: bytearray, values: np.ndarray, *, bounds: bool = False) -> int:
    """Append values to the binary chunk; return the index of their accessor."""
    chunk.extend(b"\0" * (-len(chunk) % 4))
    views, accessors = content.setdefault("bufferViews", []), content.setdefault("accessors", [])
    views.append({"buffer": 0, "byteOffset": len(chunk), "byteLength": values.nbytes})
    accessor = {"bufferView": len(views) - 1, "componentType": _FLOAT, "count": len(values), "type": "SCALAR"}
    if bounds:
        accessor |= {"min": [float(values.min())], "max": [float(values.max())]}
    accessors.append(accessor)
    chunk.extend(values.astype("<f4").tobytes())
    return len(accessors) - 1


def _read(path: Path) -> Gltf:
    """Read both chunks of a GLB."""
    try:
        data = path.read_bytes()
        magic, version, _ = struct.unpack_from("<4sII", data)
        if (magic, version) != (_MAGIC, _VERSION):
            raise ValueError("it does not have the header of a GLB of version 2")
        length, kind = struct.unpack_from("<I4s", data, 12)
        content = json.loads(data[20 : 20 + length])
        if kind != _JSON or not isinstance(content, dict):
            raise ValueError("its first chunk is not a JSON object")
        if any("uri" in buffer for buffer in content.get("buffers", [])[:1]):
            raise ValueError("its first buffer is in another file; export it with all data in one file")
        return content, data[28 + length :]
    except (struct.error, ValueError, OSError) as error:
        raise FormatError(f"{path.name} is not a valid GLB file ({error}).") from None


def _write(path: Path, content: dict[str, Any], chunk: bytes) -> None:
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunk += b"\0" * (-len(chunk) % 4)
    parts = struct.pack("<I4s", len(text), _JSON) + text + struct.pack("<I4s", len(chunk), _BIN) + chunk
    path.write_bytes(struct.pack("<4sII", _MAGIC, _VERSION, 12 + len(parts)) + parts)
