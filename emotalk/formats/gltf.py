"""glTF: writes motion as an animation of morph-target weights of a user's head.

The JSON of the head is edited directly, so that all other content is kept, including extensions (VRM) and extras; a
glTF library would drop unknown content. No accessor of the head is read, so sparse and compressed ones are kept too.
"""

import json
import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.errors import FormatError
from emotalk.formats.channels import check_missing, find_channel
from emotalk.formats.motion import Motion

_LOG = logging.getLogger(__name__)
_MAGIC, _VERSION, _JSON, _BIN = b"glTF", 2, b"JSON", b"BIN\0"
_FLOAT = 5126
_ANIMATION_NAME = "EmoTalk"
Gltf = tuple[dict[str, Any], bytes]
"""JSON and binary chunk of a file."""


def write_glb(path: Path, motion: Motion, head: Path | None, *, partial: bool = False) -> None:
    """Write a GLB with the motion as an animation of a head.

    Parameters
    ----------
    head
        GLB whose morph targets have the ARKit names, in any spelling that `find_channel` knows.
    partial
        Whether the head may lack channels other than tongueOut.

    Raises
    ------
    FormatError
        If there is no head, or it is not a self-contained GLB, or it lacks channels.
    """
    if head is None:
        raise FormatError(
            "A GLB file needs a head to animate; set one whose morph targets have the ARKit names with --head HEAD.glb."
        )
    content, binary = _read(head)
    try:
        faces = {node: list(targets) for node, targets in _find_faces(content)}
        _check_channels(head, faces, partial=partial)
        chunk = _add_animation(content, binary, motion, faces)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"{head} is inconsistent ({error!r}); export the head again as GLB.") from None
    _write(path, content, chunk)


def _check_channels(head: Path, faces: dict[int, list[str | None]], *, partial: bool) -> None:
    found = {channel for targets in faces.values() for channel in targets}
    missing = [name for name in CHANNELS if name not in found]
    try:
        check_missing(missing, "its morph targets (mesh.extras.targetNames) include", partial=partial)
    except FormatError as error:
        advice = "Use a head that has them" + ("" if len(missing) == len(CHANNELS) else ", or --partial")
        raise FormatError(f"{head}: {error}. {advice}.") from None
    if missing:
        _LOG.warning("%s has no %s; these channels are not shown.", head.name, ", ".join(missing))


def _add_animation(content: dict[str, Any], binary: bytes, motion: Motion, faces: dict[int, list[str | None]]) -> bytes:
    """Add the animation to the JSON; return the extended binary chunk. Other morph targets keep their weights."""
    chunk = bytearray(binary)
    times = _add_accessor(content, chunk, motion.seconds.astype(np.float32), bounds=True)
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    for node, targets in faces.items():
        weights = np.tile(np.array(_default_weights(content, node, len(targets)), np.float32), (len(motion.seconds), 1))
        for target, channel in enumerate(targets):
            if channel is not None:
                weights[:, target] = motion.values[:, CHANNELS.index(channel)]
        output = _add_accessor(content, chunk, weights.ravel())
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": "weights"}})
        samplers.append({"input": times, "interpolation": "LINEAR", "output": output})
    content.setdefault("animations", []).append({"name": _ANIMATION_NAME, "channels": channels, "samplers": samplers})
    content.setdefault("buffers", [{}])[0]["byteLength"] = len(chunk)
    return bytes(chunk)


def _find_faces(content: dict[str, Any]) -> Iterator[tuple[int, list[str | None]]]:
    """Yield nodes whose mesh has any of the 52 channels, with the channel of each morph target (None for others).

    A target whose name only ends with a channel name is not used if another one has exactly that name.
    """
    for number, node in enumerate(content.get("nodes", [])):
        mesh = content["meshes"][node["mesh"]] if "mesh" in node else {}
        # Early VRM heads have the target names in their primitives.
        target_names = [part.get("extras", {}).get("targetNames") for part in (mesh, *mesh.get("primitives", []))]
        names = [str(name) for name in next(filter(None, target_names), [])]
        exact = {name.lower() for name in names}
        channels = [find_channel(name) for name in names]
        targets = [
            None if channel and channel.lower() in exact and name.lower() != channel.lower() else channel
            for name, channel in zip(names, channels, strict=True)
        ]
        if any(targets):
            yield number, targets


def _default_weights(content: dict[str, Any], node: int, count: int) -> list[float]:
    """Return the weights of the morph targets without animation."""
    own = content["nodes"][node]
    weights = own.get("weights") or content["meshes"][own["mesh"]].get("weights") or [0.0] * count
    if len(weights) != count:
        raise ValueError(f"{len(weights)} weights for {count} morph targets")
    return weights


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
        if 20 + length > len(data):
            raise ValueError("it is truncated")
        content = json.loads(data[20 : 20 + length])
        if kind != _JSON or not isinstance(content, dict):
            raise ValueError("its first chunk is not a JSON object")
        _check_self_contained(content)
        return content, _binary_chunk(data, 20 + length)
    except RecursionError:
        raise FormatError(f"{path} is not a valid GLB file (its JSON is nested too deeply).") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read ({error.strerror}).") from None
    except (struct.error, ValueError, TypeError, AttributeError, KeyError) as error:
        raise FormatError(f"{path} is not a valid GLB file ({error}).") from None


def _binary_chunk(data: bytes, offset: int) -> bytes:
    """Return the content of the binary chunk at `offset`; empty if there is none."""
    if len(data) <= offset:
        return b""
    length, kind = struct.unpack_from("<I4s", data, offset)
    if kind != _BIN or offset + 8 + length > len(data):
        raise ValueError("its second chunk is not a complete binary chunk")
    return data[offset + 8 : offset + 8 + length]


def _check_self_contained(content: dict[str, Any]) -> None:
    """Raise an error if a buffer or image is in another file, or the first buffer is not the binary chunk."""
    buffers = content.get("buffers", [])
    for part in (*buffers, *content.get("images", [])):
        uri = str(part.get("uri", "data:"))
        if not uri.startswith("data:"):
            raise ValueError(f"it uses the file {uri[:80]}; export it with all data in one file")
    if buffers and "uri" in buffers[0]:
        raise ValueError("its first buffer is a data URI instead of the binary chunk; export it as GLB")


def _write(path: Path, content: dict[str, Any], chunk: bytes) -> None:
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunk += b"\0" * (-len(chunk) % 4)
    parts = struct.pack("<I4s", len(text), _JSON) + text + struct.pack("<I4s", len(chunk), _BIN) + chunk
    path.write_bytes(struct.pack("<4sII", _MAGIC, _VERSION, 12 + len(parts)) + parts)
