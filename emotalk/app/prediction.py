"""What the page does with a recording: motion of each of the weights, files to download, faces to look at."""

import html
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from emotalk.config.use import PredictSettings
from emotalk.data.audio import waveform_blocks
from emotalk.data.containers import ContainerError
from emotalk.data.samples import to_int16
from emotalk.errors import EvaluationError, WeightsError
from emotalk.formats.files import SUFFIXES, write_motion
from emotalk.formats.motion import Motion
from emotalk.inference.postprocessing import add_blinks, smooth
from emotalk.inference.predict import INTENSITIES, resolve_subject
from emotalk.inference.windows import AudioFile, predict_speech
from emotalk.model.card import read_card
from emotalk.model.network import EmoTalk
from emotalk.model.weights import load_weights, weights_in
from emotalk.report.player import PlayerClip, encode_clips
from emotalk.timing import SAMPLING_RATE

_LOG = logging.getLogger(__name__)
MAX_DURATION_S = 600
"""Longest recording that the page takes; `emotalk predict` has no limit."""
MAX_WEIGHTS = 2
_TEMPLATES = Environment(
    loader=ChoiceLoader([PackageLoader("emotalk.app"), PackageLoader("emotalk.report")]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


@dataclass(frozen=True)
class Model:
    """Weights that are loaded.

    Attributes
    ----------
    label
        Short name for the page, different for each of the weights.
    path
        Their file or card.
    card
        What the card beside them says; empty if there is none.
    """

    label: str
    path: Path
    network: EmoTalk
    card: Mapping[str, Any]

    @property
    def training_subjects(self) -> list[int] | None:
        """Subjects that were trained, if the card tells them."""
        return self.card.get("training_subjects") or None


def load_models(weights: Sequence[Path], device: torch.device) -> list[Model]:
    """Load one or two weights.

    Raises
    ------
    WeightsError
        If they are more, one is named twice, or one cannot be loaded.
    """
    if not 1 <= len(weights) <= MAX_WEIGHTS:
        raise WeightsError(f"{len(weights)} weights are given; the page shows one, or {MAX_WEIGHTS} for comparison.")
    paths = [weights_in(path) for path in weights]
    if len({path.resolve() for path in paths}) < len(paths):
        raise WeightsError(f"{paths[0]} is given twice; a comparison needs two different weights.")
    return [
        Model(label, path, load_weights(path, device), read_card(path) or {})
        for label, path in zip(_labels(paths), paths, strict=True)
    ]


def _labels(paths: Sequence[Path]) -> list[str]:
    """The parts in which paths differ; the name of a single one."""
    parts = [path.resolve().with_suffix("").parts for path in paths]
    if len(parts) == 1:
        return [parts[0][-1]]
    shortest = min(map(len, parts))
    first = next((at for at in range(shortest) if len({each[at] for each in parts}) > 1), shortest - 1)
    same = next((at for at in range(shortest) if len({each[-1 - at] for each in parts}) > 1), 0)
    labels = ["/".join(each[first : len(each) - same]) for each in parts]
    return (
        labels
        if len(set(labels)) == len(labels) and all(labels)
        else [f"{i + 1}: {path.name}" for i, path in enumerate(paths)]
    )


def read_speech(path: Path) -> np.ndarray:
    """Speech of an audio file or a video as (N,) int16 at 16 kHz.

    Raises
    ------
    EvaluationError
        If it cannot be read, or lasts longer than `MAX_DURATION_S`.
    """
    parts, count = [np.empty(0, np.int16)], 0
    try:
        for block in waveform_blocks(path):
            parts.append(to_int16(np.nan_to_num(block)))  # AudioFile refuses those that are not finite.
            count += len(block)
            if count > MAX_DURATION_S * SAMPLING_RATE:
                limit = f"{MAX_DURATION_S // 60} minutes"
                raise EvaluationError(
                    f"{path.name} is longer than {limit}. Cut it, or use the command 'emotalk predict', which has no "
                    "limit."
                )
    except ContainerError as error:
        raise EvaluationError(f"{path.name} cannot be read: {error}.") from None
    except (soundfile.SoundFileError, OSError, ValueError):
        raise EvaluationError(
            f"{path.name} is not a recording that can be read. Give a wav, flac, mp3 or ogg file, or a video with "
            "sound."
        ) from None
    return np.concatenate(parts)


def predict(
    models: Sequence[Model], audio: Path, settings: PredictSettings
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Speech of a recording, (N,) int16 at 16 kHz, and for each label of the models its (T, 52) motion at 30 fps.

    Raises
    ------
    EmoTalkError
        If a recording cannot be used.
    """
    waveform = read_speech(audio)
    speech = _audio_file(audio)
    reference = None
    if settings.emotion_from:
        read_speech(Path(settings.emotion_from))
        reference = _audio_file(Path(settings.emotion_from))
    tracks = {}
    for model in models:
        track = predict_speech(
            model.network,
            speech,
            intensity=INTENSITIES.index(settings.intensity),
            subject=resolve_subject(settings.subject, model.path),
            emotion_from=reference,
            window_s=settings.window_s,
        )
        if settings.smooth:
            track = smooth(track)
        if settings.blink_seed is not None:
            track = add_blinks(track, seed=settings.blink_seed)
        tracks[model.label] = track
    return waveform, tracks


def _audio_file(path: Path) -> AudioFile:
    try:
        return AudioFile.from_path(path)
    except EvaluationError as error:  # Visitors are not told the server's folders.
        raise EvaluationError(str(error).replace(str(path), path.name)) from None


def write_files(
    folder: Path, stem: str, tracks: Mapping[str, np.ndarray], kinds: Sequence[str]
) -> Iterator[tuple[str, str, Path]]:
    """Write each track in each kind of file.

    Yields
    ------
    tuple of str, str and Path
        Label of the track, kind of the file, and its path.
    """
    for label, track in tracks.items():
        name = stem if len(tracks) == 1 else f"{stem}.{label.replace('/', '-').replace(': ', '-')}"
        for kind in kinds:
            path = folder / f"{name}{SUFFIXES[kind]}"
            write_motion(path, Motion.from_track(track), kind)
            yield label, kind, path


def faces_page(title: str, note: str, tracks: Mapping[str, np.ndarray], waveform: np.ndarray) -> str:
    """Page with the faces, their sound and their curves; it loads nothing."""
    clip = PlayerClip(title, note, tracks, waveform)
    return render("faces.html.j2", title=title, player=encode_clips([clip]))


def render(template: str, **content: Any) -> str:
    """Fill one of the page's templates."""
    return _TEMPLATES.get_template(template).render(content)


def in_frame(page: str) -> str:
    """Frame that shows a page without access to the one around it."""
    return (
        '<iframe class="faces" title="Faces with sound and curves" sandbox="allow-scripts" '
        f'srcdoc="{html.escape(page)}"></iframe>'
    )
