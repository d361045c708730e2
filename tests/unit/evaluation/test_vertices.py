"""Vertex errors on a blendshape basis, compared with values computed by hand."""

import numpy as np
import pytest

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS, channel_indices
from emotalk.errors import EvaluationError
from emotalk.evaluation.vertices import VERTEX_METRICS, read_basis

JAW = channel_indices(["jawOpen"])[0]


@pytest.fixture
def parts():
    """Three vertices; jawOpen moves the first by (3, 4, 0) and the second by (0, 1, 0)."""
    deltas = np.zeros((NUM_CHANNELS, 3, 3), np.float32)
    deltas[JAW, :2] = [[3, 4, 0], [0, 1, 0]]
    neutral = np.arange(9, dtype=np.float32).reshape(3, 3)
    return {"neutral": neutral, "deltas": deltas, "lip": np.array([0, 1]), "upper": np.array([2])}


@pytest.fixture
def save(tmp_path):
    def write(parts):
        np.savez(tmp_path / "basis.npz", **parts)
        return tmp_path / "basis.npz"

    return write


def tracks():
    """Two frames; in the second, jawOpen differs by 0.5."""
    true = np.zeros((2, NUM_CHANNELS))
    predicted = true.copy()
    predicted[1, JAW] = 0.5
    return predicted, true


def compute_metrics(basis):
    distances = {region: basis.distances(*tracks(), region) for region in basis.indices}
    return {name: function(distances[region]) for name, (region, function, _) in VERTEX_METRICS.items()}


def test_each_formula_of_lve_has_its_own_name_and_value(parts, save):
    result = compute_metrics(read_basis(save(parts), mm_per_unit=1))
    # In the second frame, the distances of the two lip vertices are 2.5 mm and 0.5 mm.
    assert result["lve_max_sq"] == pytest.approx((0 + 6.25) / 2)
    assert result["lve_max_l2"] == pytest.approx((0 + 2.5) / 2)
    assert result["lve_mean_l2"] == pytest.approx((0 + 0 + 2.5 + 0.5) / 4)
    assert result["eve_max_sq"] == result["eve_max_l2"] == result["eve_mean_l2"] == 0


def test_units_are_converted_to_millimetres(parts, save):
    result = compute_metrics(read_basis(save(parts), mm_per_unit=10))
    assert result["lve_max_l2"] == pytest.approx(12.5)
    assert result["lve_max_sq"] == pytest.approx(312.5)


def test_a_vertex_list_can_be_a_mask(parts, save):
    basis = read_basis(save(parts | {"lip": np.array([True, True, False])}), mm_per_unit=1)
    assert basis.indices["lip"].tolist() == [0, 1]


def test_a_folder_of_obj_files_gives_the_same_basis_as_an_npz_file(parts, save, tmp_path):
    folder = tmp_path / "heads"
    folder.mkdir()
    shapes = dict(zip(CHANNELS, parts["neutral"] + parts["deltas"], strict=True)) | {"neutral": parts["neutral"]}
    for name, positions in shapes.items():
        lines = ["# a head", *(f"v {x} {y} {z}" for x, y, z in positions), "vn 0 0 1", "f 1 2 3"]
        (folder / f"{name}.obj").write_text("\n".join(lines))
    (folder / "lip.txt").write_text("0\n1\n")
    (folder / "upper.txt").write_text("2\n")
    assert compute_metrics(read_basis(folder, mm_per_unit=1)) == compute_metrics(read_basis(save(parts), mm_per_unit=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deltas": np.zeros((51, 3, 3))}, r"deltas \(51, 3, 3\)"),
        ({"neutral": np.zeros(9)}, r"neutral \(9,\)"),
        ({"lip": np.array([3])}, "'lip'; it must be a list of vertex numbers from 0 to 2"),
        ({"upper": np.array([], int)}, "'upper'"),
        ({"lip": np.array([-1])}, "'lip'"),
        ({"lip": np.array([0.5])}, "'lip'"),
    ],
)
def test_a_basis_of_wrong_shape_is_an_error_with_the_reason(parts, save, change, message):
    with pytest.raises(EvaluationError, match=message):
        read_basis(save(parts | change), mm_per_unit=1)


def test_an_invalid_basis_is_an_error_and_pickles_are_never_loaded(parts, save, tmp_path):
    del parts["lip"]
    for path in (save(parts), tmp_path / "none.npz", tmp_path):
        with pytest.raises(EvaluationError, match="is not a blendshape basis"):
            read_basis(path, mm_per_unit=1)
    np.savez(tmp_path / "code.npz", neutral=np.array([print], object))
    with pytest.raises(EvaluationError, match="is not a blendshape basis"):
        read_basis(tmp_path / "code.npz", mm_per_unit=1)
