"""A head for those who have none: 52 bars, each raised by the morph target of its channel."""

from typing import Any

import numpy as np

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS

_WIDTH, _LOWEST, _PITCH = 0.018, 0.004, 0.022
_FLOAT, _UINT16 = 5126, 5123
_VERTICES, _FACES = 34962, 34963
_SIDES = np.array([[0, 2, 6, 4], [1, 5, 7, 3], [0, 1, 3, 2], [4, 6, 7, 5], [2, 3, 7, 6], [0, 4, 5, 1]])


def bars() -> tuple[dict[str, Any], bytes]:
    """JSON and binary chunk of the glTF: a bar a channel, 1 metre wide together, raised to a third of that at 1."""
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
    places = corners * [_WIDTH, _LOWEST, _WIDTH]
    offsets = [np.array([i * _PITCH - 0.57, 0, 0]) for i in range(NUM_CHANNELS)]
    positions = np.concatenate([places + offset for offset in offsets]).astype(np.float32)
    triangles = np.concatenate([_SIDES[:, [0, 1, 2]], _SIDES[:, [0, 2, 3]]])
    faces = np.concatenate([triangles + len(corners) * i for i in range(NUM_CHANNELS)]).astype(np.uint16)
    raised = np.zeros((4, 3), np.float32)
    raised[:, 1] = 0.33
    tops = np.flatnonzero(corners[:, 1])
    lists = [(tops + len(corners) * i).astype(np.uint16) for i in range(NUM_CHANNELS)]
    parts: list[np.ndarray] = [positions, faces, raised, *lists]
    views, chunk = [], b""
    for part in parts:
        chunk += b"\0" * (-len(chunk) % 4)
        views.append({"buffer": 0, "byteOffset": len(chunk), "byteLength": part.nbytes})
        chunk += part.tobytes()
    views[0]["target"], views[1]["target"] = _VERTICES, _FACES
    accessors = [
        {"bufferView": 0, "componentType": _FLOAT, "count": len(positions), "type": "VEC3"} | _bounds(positions),
        {"bufferView": 1, "componentType": _UINT16, "count": faces.size, "type": "SCALAR"},
        *(_raised(len(positions), 3 + i) for i in range(NUM_CHANNELS)),
    ]
    targets = [{"POSITION": 2 + i} for i in range(NUM_CHANNELS)]
    primitive = {"attributes": {"POSITION": 0}, "indices": 1, "material": 0, "targets": targets}
    colour = {"baseColorFactor": [0.18, 0.44, 0.87, 1.0], "metallicFactor": 0.0}
    return {
        "asset": {"version": "2.0", "generator": "EmoTalk training pipeline"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "Bars"}],
        "meshes": [
            {
                "name": "Bars",
                "primitives": [primitive],
                "weights": [0.0] * NUM_CHANNELS,
                "extras": {"targetNames": list(CHANNELS)},
            }
        ],
        "materials": [{"pbrMetallicRoughness": colour, "doubleSided": True}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(chunk)}],
    }, chunk


def _bounds(positions: np.ndarray) -> dict[str, list[float]]:
    return {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}


def _raised(num_vertices: int, view: int) -> dict[str, Any]:
    """Accessor of a morph target: zero but for the four corners at a bar's top."""
    indices = {"bufferView": view, "componentType": _UINT16}
    sparse = {"count": 4, "indices": indices, "values": {"bufferView": 2}}
    accessor = {"componentType": _FLOAT, "count": num_vertices, "type": "VEC3", "sparse": sparse}
    return accessor | {"min": [0.0, 0.0, 0.0], "max": [0.0, 0.33, 0.0]}
