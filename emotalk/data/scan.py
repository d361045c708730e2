"""Scan of a folder: writes a commented settings file for its recordings, after reading only some of them."""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import yaml

from emotalk.config.corpus import SourceSettings
from emotalk.data.audio import read_waveform
from emotalk.data.containers import VIDEO_SUFFIXES
from emotalk.data.discovery import Listing, RecordingFiles, Source
from emotalk.data.lengths import matching_frame_rate
from emotalk.data.names import NAMING
from emotalk.errors import CorpusError, Issue
from emotalk.files import atomic_path, check_outputs, iter_files
from emotalk.formats.channels import guess_channel_order
from emotalk.formats.tracks import HIGHEST, TrackFormat, is_self_describing, read_track
from emotalk.timing import SAMPLING_RATE

_LOG = logging.getLogger(__name__)
_ETF = ("RAVDESS", "HDTF")
_SAMPLES = 5
"""Number of recordings per corpus that are read."""
_FEW_SPEAKERS = 3


@dataclass
class CorpusScan:
    """Result of a scan of one corpus.

    Attributes
    ----------
    source
        Settings of the source that differ from their defaults.
    subjects
        Number of recordings by subject.
    warnings
        Warnings for the user.
    """

    name: str
    source: dict[str, object]
    num_recordings: int = 0
    subjects: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


def scan_folder(folder: Path, out: Path, *, recipe: str, overwrite: bool = False) -> None:
    """Write a settings file for the recordings in a folder.

    Parameters
    ----------
    folder
        A folder in the layout of 3D-ETF, or any folder with audio and tracks of the same names.
    recipe
        Recipe named in the settings file.

    Raises
    ------
    CorpusError
        If there are no recordings.
    """
    check_outputs([out], overwrite=overwrite)
    if not folder.is_dir():
        raise CorpusError(f"Folder {folder} does not exist.")
    corpora = [name for name in _ETF if (folder / name / "audio").is_dir() and (folder / name / "blendshape").is_dir()]
    scans = [_scan(name, folder / name, is_etf=True) for name in corpora] or [_scan(_corpus_name(folder), folder)]
    if not any(scan.num_recordings for scan in scans):
        raise CorpusError(f"{folder} has no audio with a track of the same name. " + " ".join(scans[0].warnings))
    with atomic_path(out) as partial:
        partial.write_text(_format_settings(folder, scans, recipe=recipe, is_etf=bool(corpora)), encoding="utf-8")
    for scan in scans:
        _LOG.info("%s: %d recordings, speakers: %d", scan.name, scan.num_recordings, len(scan.subjects))
        for warning in scan.warnings:
            _LOG.warning("%s: %s", scan.name, warning)
    _LOG.info("Wrote %s. Inspect the data: snakemake --cores 8 data_page --configfile %s", out, out)
    _LOG.info("Then train: snakemake --cores 8 all --configfile %s", out)


def _corpus_name(folder: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-_")
    return name if name and name not in _ETF else "mine"


def _scan(name: str, folder: Path, *, is_etf: bool = False) -> CorpusScan:
    """Scan the files of one corpus."""
    scan = CorpusScan(name, {} if is_etf else {"audio": str(folder), "tracks": str(folder)})
    files = [Path(entry.path) for entry in iter_files(folder)]
    if not is_etf:
        scan.source |= _naming(folder, files)
    settings = SourceSettings.model_validate(scan.source)
    source = Source.from_settings(name, folder.parent, settings)
    recordings = list(Listing(source))
    complete = [item for item in recordings if item.wav and item.track and item.labels]
    scan.num_recordings = len(complete)
    scan.subjects.update(item.labels.subject for item in complete if item.labels)
    scan.source |= dict(_track_settings(complete[:: max(1, len(complete) // _SAMPLES)][:_SAMPLES]))
    scan.warnings += _warnings(recordings)
    return scan


def _naming(folder: Path, files: Sequence[Path]) -> dict[str, str]:
    """Determine the naming: names of RAVDESS or HDTF, one folder per subject, or one subject."""
    stems = {path.stem for path in files}
    for layout, parse in NAMING.items():
        if stems and sum(parse(stem) is not None for stem in stems) > len(stems) / 2:
            return {"layout": layout}
    folders = {path.relative_to(folder).parts[0] for path in files if len(path.relative_to(folder).parts) > 1}
    kinds = {"audio", "wav", "wavs", "blendshape", "blendshapes", "track", "tracks", "npy", "csv"}
    return {"subject": "folder" if len({name.lower() for name in folders} - kinds) > 1 else "one"}


def _track_settings(recordings: Sequence[RecordingFiles]) -> Iterator[tuple[str, object]]:
    """Yield settings of the npy tracks estimated from some recordings: channel order, scale and frame rate."""
    npy_recordings = [item for item in recordings if item.track and not is_self_describing(item.track)]
    orders, scales, rates = Counter[str](), Counter[int](), Counter[int]()
    for recording in npy_recordings:
        assert recording.track is not None and recording.wav is not None
        track_format = TrackFormat("livelink") if _width(recording.track) == 61 else TrackFormat()
        try:
            track, _ = read_track(recording.track, track_format)
            seconds = len(read_waveform(recording.wav)) / SAMPLING_RATE
        except (Issue, OSError, soundfile.SoundFileError):
            continue
        orders[
            track_format.channel_order if track_format.channels != "arkit" else guess_channel_order(track) or "arkit"
        ] += 1
        scales[100 if HIGHEST * 10 < track.max() <= 100 * HIGHEST else 1] += 1
        rates[matching_frame_rate(len(track), seconds, 2) or 30] += 1
    for key, counts, usual in (("channels", orders, "arkit"), ("scale", scales, 1), ("fps", rates, 30)):
        if counts and (best := counts.most_common(1)[0][0]) != usual:
            yield key, best


def _width(path: Path) -> int:
    try:
        return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[-1])
    except (ValueError, OSError, IndexError):
        return 0


def _warnings(recordings: Sequence[RecordingFiles]) -> Iterator[str]:
    """Yield warnings about recordings that cannot be used."""
    lone_audio = [item for item in recordings if item.wav and not item.track]
    lone_tracks = [item for item in recordings if item.track and not item.wav]
    for lone, missing in ((lone_audio, "track"), (lone_tracks, "audio")):
        if lone:
            names = ", ".join(item.recording_id for item in lone[:5])
            yield f"{len(lone)} recordings have no {missing} and are excluded: {names}{', …' if len(lone) > 5 else ''}"
    videos = [item for item in lone_audio if item.wav and item.wav.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        yield f"{len(videos)} videos have no track: set 'video' of the source to capture them (docs/capture.md)"
    if unnamed := [item.recording_id for item in recordings if item.labels is None]:
        yield f"{len(unnamed)} names do not follow the layout: {', '.join(unnamed[:5])}"


def _format_settings(folder: Path, scans: Sequence[CorpusScan], *, recipe: str, is_etf: bool) -> str:
    """Create the text of the settings file."""
    lines = [
        "# Written by `emotalk scan`. config/README.md describes all settings.",
        f"recipe: {recipe}   # or personal: fine-tune existing weights, set train.init_weights.source",
        f"data: {_quoted(str((folder if is_etf else folder.parent).resolve()))}",
        f"corpora: [{', '.join(scan.name for scan in scans)}]",
    ]
    for scan in scans:
        speakers = ", ".join(f"{name} ({count})" for name, count in scan.subjects.most_common(8))
        more = ", …" if len(scan.subjects) > 8 else ""
        lines.append(f"# {scan.name}: {scan.num_recordings} recordings; speakers: {speakers}{more}")
        lines += [f"# Warning: {warning}" for warning in scan.warnings]
    sources = {scan.name: scan.source for scan in scans if scan.source}
    if sources:
        lines += ["sources:", *_indented(yaml.safe_dump(sources, allow_unicode=True, sort_keys=False))]
    split = {scan.name: {"validation": 0.1, "test": 0.1} for scan in scans}
    lines.append(
        "# Held-out data: names of subjects or recordings, fractions, or none; by: subject, recording or time."
    )
    lines += ["split:", *_indented(yaml.safe_dump(split, allow_unicode=True, sort_keys=False))]
    if recipe == "demo":
        lines.append("evaluate: {required_improvement: null}")
    if len(set().union(*(scan.subjects for scan in scans))) <= _FEW_SPEAKERS and recipe == "paper":
        lines.append("# Few speakers: recipe personal is better for them than training from pretrained encoders.")
    return "\n".join(lines) + "\n"


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.rstrip("\n").splitlines()]


def _quoted(text: str) -> str:
    return (
        yaml.safe_dump(text, allow_unicode=True, width=10_000).strip().removesuffix("\n...").removesuffix("...").strip()
    )
