"""ONNX files of a network, compared with torch before they get their names."""

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
from emotalk.inference.graphs import EmotionGraph, MotionGraph, exported, halve_products
from emotalk.inference.predict import resolve_subject
from emotalk.model.card import weights_in
from emotalk.model.inputs import NUM_INTENSITIES, NUM_SUBJECTS, subject_weights
from emotalk.model.network import EmoTalk
from emotalk.model.weights import load_weights
from emotalk.timing import FPS, SAMPLING_RATE

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_LOG = logging.getLogger(__name__)
_EXTRA = ("onnx", "onnx_ir", "onnxscript", "onnxruntime")
TOLERANCES = {"fp32": 1e-4, "fp16": 5e-2}
"""Largest accepted difference of a coefficient from torch's; in fp16 only overflows and the like reach it."""
CHECKED_S = (0.5, 1.3, 3.7)
"""Seconds of the noise that written files are checked with."""
_ORT_ERRORS = 3
MOST_BYTES = 2_000_000_000
"""Parameters of a graph that fit into its file: protobuf reads no file above 2 GiB. More go to a file beside it."""


def export_onnx(weights: Path, file: Path, *, fp16: bool, overwrite: bool) -> None:
    """Write a network as ONNX; see `write_onnx`.

    Parameters
    ----------
    weights
        File, card or folder.
    overwrite
        Whether existing files may be replaced.

    Raises
    ------
    ExportError
        If the extra `[onnx]` is not installed, or `file` cannot be written or exists.
    """
    if missing := [name for name in _EXTRA if find_spec(name) is None]:
        raise ExportError(
            f"Exporting to ONNX needs {', '.join(missing)}, not installed here. "
            "Install the extra: pip install -c requirements.lock '.[onnx]'"
        )
    if file.suffix != ".onnx":
        raise ExportError(f"{file} is not the name of an ONNX file; it must end in .onnx.")
    check_outputs(_targets(file), inputs=[weights], overwrite=overwrite)
    chosen = weights_in(weights)
    mean = resolve_subject("mean", chosen)
    write_onnx(load_weights(chosen), file, fp16=fp16, metadata={"mean_subject": json.dumps(mean)})


def emotion_file(file: Path) -> Path:
    """File of the emotion graph, beside the one of the motion graph."""
    return file.with_name(f"{file.stem}.emotion.onnx")


def data_file(file: Path) -> Path:
    """File of the parameters of a graph that is too large for one file."""
    return file.with_name(f"{file.name}.data")


def _targets(file: Path) -> tuple[Path, ...]:
    """All files of an export; parameters come first, so that no graph ever stands without them."""
    emotion = emotion_file(file)
    return data_file(emotion), emotion, data_file(file), file


def write_onnx(network: EmoTalk, file: Path, *, fp16: bool = False, metadata: Mapping[str, str] | None = None) -> None:
    """Write the motion graph to `file` and the emotion graph to `emotion_file(file)`.

    They are written to a folder beside, compared with torch, and moved. What had their names is replaced.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU.
    file
        Name that ends in `.onnx`.
    fp16
        Whether matrix products and convolutions compute in float16.
    metadata
        Entries of the motion graph beside `channels`, `fps` and `sampling_rate`.

    Raises
    ------
    ExportError
        If a coefficient differs from torch's by more than `TOLERANCES`; nothing is written then.
    """
    start = time.perf_counter()
    kind = "fp16" if fp16 else "fp32"
    entries = {"channels": json.dumps(CHANNELS), "fps": str(FPS), "sampling_rate": str(SAMPLING_RATE)}
    with _folder_beside(file) as folder:
        partial = folder / file.name
        _write_graph(EmotionGraph(network), emotion_file(partial), fp16, {"sampling_rate": str(SAMPLING_RATE)})
        _write_graph(MotionGraph(network), partial, fp16, {**entries, **(metadata or {})})
        _LOG.info("Exported in %.0f s. Comparing with torch.", time.perf_counter() - start)
        difference = largest_difference(network, partial, CHECKED_S)
        lengths = ", ".join(map(str, CHECKED_S))
        _LOG.info("Largest difference of a coefficient from torch, %s, %s s: %.2g", kind, lengths, difference)
        if not difference <= TOLERANCES[kind]:
            advice = "Export without --fp16." if fp16 else "Please report this with the card of the weights."
            raise ExportError(
                f"Coefficients of the {kind} graphs differ from torch's by up to {difference:.2g}, and at most "
                f"{TOLERANCES[kind]:g} is accepted. Nothing is written. {advice}"
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
    for target in unused:  # Parameters of a graph that was replaced.
        target.unlink(missing_ok=True)


@contextmanager
def _folder_beside(file: Path) -> Iterator[Path]:
    """New folder beside a file, removed at the end."""
    folder = file.with_name(file.name + PARTIAL)
    shutil.rmtree(folder, ignore_errors=True)  # What a killed process left.
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_graph(graph: EmotionGraph | MotionGraph, path: Path, fp16: bool, metadata: Mapping[str, str]) -> None:
    import onnx_ir

    model = exported(graph)
    if fp16:
        halve_products(model)
    model.metadata_props.update(metadata)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    onnx_ir.save(model, path, external_data=data_file(path).name if size > MOST_BYTES else None)


def largest_difference(network: EmoTalk, file: Path, seconds: Sequence[float]) -> float:
    """Largest difference of a coefficient from torch's, over clips of noise; NaN if one is NaN.

    Each clip is given the emotion of the next one.

    Raises
    ------
    ExportError
        If the numbers of frames differ.
    """
    rng = np.random.default_rng(0)
    clips = [(0.1 * rng.standard_normal(round(s * SAMPLING_RATE)) + 0.01).astype(np.float32) for s in seconds]
    donors = [*clips[1:], clips[0]]
    session = open_session(emotion_file(file))
    features = [session.run(None, {"waveform": donor[None]})[0] for donor in donors]
    session = open_session(file)
    differences = []
    for number, (clip, donor) in enumerate(zip(clips, donors, strict=True)):
        intensity, subject = number % NUM_INTENSITIES, 5 * number % NUM_SUBJECTS
        inputs = {
            "waveform": clip[None],
            "emotion_features": features[number],
            "intensity": np.array([intensity]),
            "subject": np.array([subject_weights(subject)], np.float32),
        }
        found = session.run(None, inputs)[0][0]
        expected = network.predict(clip, intensity=intensity, subject=subject, emotion_from=donor)
        if found.shape != expected.shape:
            raise ExportError(f"Of {len(clip)} samples the graph makes {len(found)} frames and torch {len(expected)}.")
        differences.append(np.abs(found - expected).max())
    return float(np.max(differences))


def open_session(file: Path) -> "InferenceSession":
    """A graph, to be run on the CPU."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.log_severity_level = _ORT_ERRORS
    return InferenceSession(file, options, providers=["CPUExecutionProvider"])
