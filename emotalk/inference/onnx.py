"""Export of a network to ONNX files, which are compared with torch before they are renamed to their final names."""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.errors import ExportError
from emotalk.files import PARTIAL, check_outputs
from emotalk.inference.graphs import EmotionGraph, MotionGraph, convert_products_to_fp16, export_graph
from emotalk.inference.predict import resolve_subject
from emotalk.model.card import find_weights
from emotalk.model.inputs import NUM_INTENSITIES
from emotalk.model.network import EmoTalk
from emotalk.model.weights import load_weights
from emotalk.subjects import subject_weights
from emotalk.timing import FPS, SAMPLING_RATE

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_LOG = logging.getLogger(__name__)
_EXTRA = ("onnx", "onnx_ir", "onnxscript", "onnxruntime")
TOLERANCES = {"fp32": 1e-4, "fp16": 5e-2}
"""Maximum difference of a coefficient from torch. In fp16, only errors such as overflows exceed it."""
CHECK_DURATIONS_S = (0.5, 1.3, 3.7)
"""Durations of the noise that exported files are checked with."""
_ORT_ERRORS = 3
MAX_GRAPH_BYTES = 2_000_000_000
"""Maximum size of parameters in a graph file, because protobuf cannot read files above 2 GiB. Larger parameters are
written to a file beside it."""


def export_onnx(weights: Path, file: Path, *, fp16: bool, overwrite: bool) -> None:
    """Export weights to ONNX; see `write_onnx`.

    Parameters
    ----------
    weights
        File, card or folder.
    overwrite
        Whether existing files are replaced.

    Raises
    ------
    ExportError
        If the extra `[onnx]` is not installed, or `file` cannot be written or exists.
    """
    if missing := [name for name in _EXTRA if find_spec(name) is None]:
        raise ExportError(
            f"Export to ONNX needs {', '.join(missing)}, which are not installed. "
            "Install the extra: pip install -c requirements.lock '.[onnx]'"
        )
    if file.suffix != ".onnx":
        raise ExportError(f"{file} is not the name of an ONNX file; it must end in .onnx.")
    check_outputs(_targets(file), inputs=[weights], overwrite=overwrite)
    weights_path = find_weights(weights)
    mean = resolve_subject("mean", weights_path)
    write_onnx(load_weights(weights_path), file, fp16=fp16, metadata={"mean_subject": json.dumps(mean)})


def emotion_file(file: Path) -> Path:
    """Return the file of the emotion graph, beside the file of the motion graph."""
    return file.with_name(f"{file.stem}.emotion.onnx")


def data_file(file: Path) -> Path:
    """Return the file of the parameters of a graph that is too large for one file."""
    return file.with_name(f"{file.name}.data")


def _targets(file: Path) -> tuple[Path, ...]:
    """Return all files of an export in the order of writing: parameters before the graph that needs them."""
    emotion = emotion_file(file)
    return data_file(emotion), emotion, data_file(file), file


def write_onnx(network: EmoTalk, file: Path, *, fp16: bool = False, metadata: Mapping[str, str] | None = None) -> None:
    """Write the motion graph to `file` and the emotion graph to `emotion_file(file)`.

    They are written to a temporary folder beside `file`, compared with torch, and moved. Existing files are replaced.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU.
    file
        Path that ends in `.onnx`.
    fp16
        Whether matrix products and convolutions are computed in float16.
    metadata
        Entries of the motion graph in addition to `channels`, `fps` and `sampling_rate`.

    Raises
    ------
    ExportError
        If a coefficient differs from torch by more than `TOLERANCES`; then no file is written.
    """
    start = time.perf_counter()
    precision = "fp16" if fp16 else "fp32"
    entries = {"channels": json.dumps(CHANNELS), "fps": str(FPS), "sampling_rate": str(SAMPLING_RATE)}
    with _folder_beside(file) as folder:
        partial = folder / file.name
        _write_graph(EmotionGraph(network), emotion_file(partial), fp16, {"sampling_rate": str(SAMPLING_RATE)})
        _write_graph(MotionGraph(network), partial, fp16, {**entries, **(metadata or {})})
        _LOG.info("Exported in %.0f s. Comparing with torch.", time.perf_counter() - start)
        difference = max_difference(network, partial, CHECK_DURATIONS_S)
        durations = ", ".join(map(str, CHECK_DURATIONS_S))
        _LOG.info("Maximum difference of a coefficient from torch, %s, %s s: %.2g", precision, durations, difference)
        if not difference <= TOLERANCES[precision]:
            advice = "Export without --fp16." if fp16 else "Please report this with the card of the weights."
            raise ExportError(
                f"Coefficients of the {precision} graphs differ from torch by up to {difference:.2g}; the limit is "
                f"{TOLERANCES[precision]:g}. No file is written. {advice}"
            )
        _move(_targets(partial), _targets(file))


def _move(written: Sequence[Path], targets: Sequence[Path]) -> None:
    unused = []
    for source, target in zip(written, targets, strict=True):
        if source.exists():
            source.replace(target)
            _LOG.info("%s: %.1f MB", target, target.stat().st_size / 1e6)
        else:
            unused.append(target)
    for target in unused:  # Parameters of a previous graph.
        target.unlink(missing_ok=True)


@contextmanager
def _folder_beside(file: Path) -> Iterator[Path]:
    """Create a folder beside a file, and remove it at the end."""
    folder = file.with_name(file.name + PARTIAL)
    shutil.rmtree(folder, ignore_errors=True)  # Left by a killed process.
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_graph(graph: EmotionGraph | MotionGraph, path: Path, fp16: bool, metadata: Mapping[str, str]) -> None:
    import onnx_ir

    model = export_graph(graph)
    if fp16:
        convert_products_to_fp16(model)
    model.metadata_props.update(metadata)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    onnx_ir.save(model, path, external_data=data_file(path).name if size > MAX_GRAPH_BYTES else None)


def max_difference(network: EmoTalk, file: Path, durations_s: Sequence[float]) -> float:
    """Compute the maximum difference of a coefficient from torch over clips of noise; NaN if a difference is NaN.

    The emotion reference of each clip is the next clip.

    Raises
    ------
    ExportError
        If the numbers of frames differ.
    """
    rng = np.random.default_rng(0)
    clips = [(0.1 * rng.standard_normal(round(s * SAMPLING_RATE)) + 0.01).astype(np.float32) for s in durations_s]
    references = [*clips[1:], clips[0]]
    session = open_session(emotion_file(file))
    features = [session.run(None, {"waveform": reference[None]})[0] for reference in references]
    session = open_session(file)
    differences = []
    for number, (clip, reference) in enumerate(zip(clips, references, strict=True)):
        intensity, subject = number % NUM_INTENSITIES, 5 * number % network.num_slots
        inputs = {
            "waveform": clip[None],
            "emotion_features": features[number],
            "intensity": np.array([intensity]),
            "subject": np.array([subject_weights(subject, network.num_slots)], np.float32),
        }
        actual = session.run(None, inputs)[0][0]
        expected = network.predict(clip, intensity=intensity, subject=subject, emotion_from=reference)
        if actual.shape != expected.shape:
            raise ExportError(
                f"For {len(clip)} samples, the graph computes {len(actual)} frames, but torch {len(expected)}."
            )
        differences.append(np.abs(actual - expected).max())
    return float(np.max(differences))


def open_session(file: Path) -> "InferenceSession":
    """Load a graph to run it on the CPU."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.log_severity_level = _ORT_ERRORS
    return InferenceSession(file, options, providers=["CPUExecutionProvider"])
