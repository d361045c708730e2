"""A user's blendshape basis, and errors in millimetres on its vertices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS
from emotalk.errors import EvaluationError

REGIONS = ("lip", "upper")
"""Lists of vertices: the lips, and the eyes with the forehead."""


@dataclass(frozen=True)
class Basis:
    """A neutral face and what each coefficient adds to it.

    Attributes
    ----------
    neutral : (V, 3) float32
        Millimetres.
    deltas : (52, V, 3) float32
        Millimetres at coefficient 1, in the order of `CHANNELS`.
    indices
        Vertices of each of `REGIONS`.
    """

    neutral: np.ndarray
    deltas: np.ndarray
    indices: Mapping[str, np.ndarray]

    def distances(self, predicted: np.ndarray, true: np.ndarray, region: str) -> np.ndarray:
        """Distance between predicted and true place of each vertex of a region in each frame: (T, R), millimetres.

        Both faces are linear in the coefficients, so that the difference of the tracks is all that counts.
        """
        deltas = self.deltas[:, self.indices[region]]
        apart = np.tensordot(predicted - true, deltas, axes=1)
        return np.linalg.norm(apart, axis=-1)


def max_squared(distances: np.ndarray) -> float:
    """Mean over frames of the largest squared distance, mm²: what CodeTalker, ProbTalk3D and UniTalker call LVE."""
    return float(np.square(distances).max(axis=1).mean())


def max_distance(distances: np.ndarray) -> float:
    """Mean over frames of the largest distance, mm: UniTalker's LVD."""
    return float(distances.max(axis=1).mean())


def mean_distance(distances: np.ndarray) -> float:
    """Mean over frames and vertices of the distance, mm: DEEPTalk's LVE."""
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
"""Name of each metric, the region, its function of the distances, and its unit. Which of the six public meanings of LVE
the figures of the paper have is not known."""


def read_basis(path: str | Path, *, mm_per_unit: float) -> Basis:
    """Read a basis from an npz file or a folder of OBJ files.

    Parameters
    ----------
    path
        An npz with `neutral` (V, 3), `deltas` (52, V, 3), `lip` and `upper` (lists of vertices); or a folder with
        `neutral.obj`, `<channel>.obj` for each of the 52 (absolute places, not differences), and `lip.txt` and
        `upper.txt`, one vertex number a line, from 0.
    mm_per_unit
        Millimetres in one unit of the file: 1 if it is in millimetres, 10 for centimetres, 1000 for metres.

    Raises
    ------
    EvaluationError
        If something is missing or of another shape.
    """
    path = Path(path)
    try:
        parts = _of_folder(path) if path.is_dir() else _of_npz(path)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise EvaluationError(f"{path} is no blendshape basis ({error}). See docs/metrics.md for its form.") from None
    neutral, deltas = (parts[name].astype(np.float32) * mm_per_unit for name in ("neutral", "deltas"))
    if neutral.ndim != 2 or neutral.shape[1] != 3 or deltas.shape != (NUM_CHANNELS, *neutral.shape):
        shapes = f"neutral {neutral.shape} and deltas {deltas.shape}"
        raise EvaluationError(f"{path} holds {shapes}; they must be (V, 3) and ({NUM_CHANNELS}, V, 3).")
    indices = {name: _numbers(parts[name]) for name in REGIONS}
    for name, chosen in indices.items():
        if chosen.dtype.kind not in "iu" or not len(chosen) or chosen.min() < 0 or chosen.max() >= len(neutral):
            rule = f"a list of vertices from 0 to {len(neutral) - 1}"
            raise EvaluationError(f"{path} has no usable '{name}'; it must be {rule}.")
    return Basis(neutral, deltas, indices)


def _numbers(chosen: np.ndarray) -> np.ndarray:
    """Vertices by number, whether they are given so or as a mask."""
    return np.flatnonzero(chosen) if chosen.dtype == bool else chosen.ravel()


def _of_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in ("neutral", "deltas", *REGIONS)}


def _of_folder(folder: Path) -> dict[str, np.ndarray]:
    neutral = _vertices(folder / "neutral.obj")
    shapes = np.stack([_vertices(folder / f"{name}.obj") for name in CHANNELS])
    lists = {name: np.loadtxt(folder / f"{name}.txt", dtype=int, ndmin=1) for name in REGIONS}
    return {"neutral": neutral, "deltas": shapes - neutral, **lists}


def _vertices(path: Path) -> np.ndarray:
    """Places of an OBJ file's vertices, (V, 3)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float32).reshape(-1, 3)
