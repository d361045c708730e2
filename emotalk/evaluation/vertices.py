"""Vertex errors in millimetres on a user's blendshape basis."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS
from emotalk.errors import EvaluationError

VERTEX_REGIONS = ("lip", "upper")
"""Vertex lists of a basis: lips; eyes and forehead."""


@dataclass(frozen=True)
class Basis:
    """A neutral face and the vertex displacements of each coefficient.

    Attributes
    ----------
    neutral : (V, 3) float32
        Millimetres.
    deltas : (52, V, 3) float32
        Millimetres at coefficient 1, in the order of `CHANNELS`.
    indices
        Vertex numbers of each of `VERTEX_REGIONS`.
    """

    neutral: np.ndarray
    deltas: np.ndarray
    indices: Mapping[str, np.ndarray]

    def distances(self, predicted: np.ndarray, true: np.ndarray, region: str) -> np.ndarray:
        """Return the distances between predicted and true vertices of a region, (T, R) in millimetres.

        Faces are linear in the coefficients, so that only the difference of the tracks is needed.
        """
        deltas = self.deltas[:, self.indices[region]]
        differences = np.tensordot(predicted - true, deltas, axes=1)
        return np.linalg.norm(differences, axis=-1)


def max_squared(distances: np.ndarray) -> float:
    """Return the mean over frames of the largest squared distance, mm²: LVE of CodeTalker, ProbTalk3D, UniTalker."""
    return float(np.square(distances).max(axis=1).mean())


def max_distance(distances: np.ndarray) -> float:
    """Return the mean over frames of the largest distance, mm: LVD of UniTalker."""
    return float(distances.max(axis=1).mean())


def mean_distance(distances: np.ndarray) -> float:
    """Return the mean over frames and vertices of the distance, mm: LVE of DEEPTalk."""
    return float(distances.mean())


VERTEX_METRICS: dict[str, tuple[str, Callable[[np.ndarray], float], str]] = {
    f"{prefix}_{suffix}": (region, function, unit)
    for prefix, region in (("lve", "lip"), ("eve", "upper"))
    for suffix, function, unit in (
        ("max_sq", max_squared, "mm²"),
        ("max_l2", max_distance, "mm"),
        ("mean_l2", mean_distance, "mm"),
    )
}
"""Region, function of the distances and unit of each metric. It is not known which of the six published formulas of LVE
the paper uses."""


def read_basis(path: str | Path, *, mm_per_unit: float) -> Basis:
    """Read a basis from an npz file or a folder of OBJ files.

    Parameters
    ----------
    path
        An npz file with `neutral` (V, 3), `deltas` (52, V, 3), `lip` and `upper` (lists of vertices); or a folder with
        `neutral.obj`, `<channel>.obj` for each channel (absolute positions, not differences), and `lip.txt` and
        `upper.txt` with one vertex number per line, from 0.
    mm_per_unit
        Millimetres per unit of the file: 1 for millimetres, 10 for centimetres, 1000 for metres.

    Raises
    ------
    EvaluationError
        If an array is missing or has the wrong shape.
    """
    path = Path(path)
    try:
        parts = _read_folder(path) if path.is_dir() else _read_npz(path)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise EvaluationError(
            f"{path} is not a blendshape basis ({error}). See docs/metrics.md for the format."
        ) from None
    neutral, deltas = (parts[name].astype(np.float32) * mm_per_unit for name in ("neutral", "deltas"))
    if neutral.ndim != 2 or neutral.shape[1] != 3 or deltas.shape != (NUM_CHANNELS, *neutral.shape):
        shapes = f"neutral {neutral.shape} and deltas {deltas.shape}"
        raise EvaluationError(f"{path} has {shapes}; the shapes must be (V, 3) and ({NUM_CHANNELS}, V, 3).")
    indices = {name: _to_vertex_numbers(parts[name]) for name in VERTEX_REGIONS}
    for name, vertices in indices.items():
        if vertices.dtype.kind not in "iu" or not len(vertices) or vertices.min() < 0 or vertices.max() >= len(neutral):
            raise EvaluationError(
                f"{path} has no usable '{name}'; it must be a list of vertex numbers from 0 to {len(neutral) - 1}."
            )
    return Basis(neutral, deltas, indices)


def _to_vertex_numbers(vertices: np.ndarray) -> np.ndarray:
    """Convert a mask of vertices to vertex numbers."""
    return np.flatnonzero(vertices) if vertices.dtype == bool else vertices.ravel()


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in ("neutral", "deltas", *VERTEX_REGIONS)}


def _read_folder(folder: Path) -> dict[str, np.ndarray]:
    neutral = _read_vertices(folder / "neutral.obj")
    shapes = np.stack([_read_vertices(folder / f"{name}.obj") for name in CHANNELS])
    lists = {name: np.loadtxt(folder / f"{name}.txt", dtype=int, ndmin=1) for name in VERTEX_REGIONS}
    return {"neutral": neutral, "deltas": shapes - neutral, **lists}


def _read_vertices(path: Path) -> np.ndarray:
    """Read the vertex positions of an OBJ file, (V, 3)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float32).reshape(-1, 3)
