"""Recordings to look at first, because of jitter, values out of range, offset of motion or gaps, and their excerpts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from emotalk.blendshapes import CHANNELS
from emotalk.data.audio import read_samples
from emotalk.data.issues import issue_code
from emotalk.data.recordings import read_rows
from emotalk.data.track_files import read_statistics, read_tracks
from emotalk.errors import Issue
from emotalk.formats.tracks import TrackFormat, read_track
from emotalk.report.names import format_seconds
from emotalk.report.player import PlayerClip
from emotalk.timing import FPS, frame_to_sample

_MAX_PER_KIND = 5
_MIN_OFFSET_FRAMES = 2
_MAX_EXCESS = 0.05
_MAX_CLIPS, _MAX_TOTAL_S, _EXCERPT_S = 20, 90.0, 8.0

RecordingKey = tuple[str, str]
"""Corpus and id of a recording."""


@dataclass(frozen=True)
class Finding:
    """What is conspicuous about a recording.

    Attributes
    ----------
    kind
        `jitter`, `range`, `offset`, `gap`, or `typical` for a recording with median jitter, to compare with.
    """

    key: RecordingKey
    kind: str
    text: str


def find_conspicuous(recordings: pd.DataFrame, tracks: Sequence[str | Path], min_confidence: float) -> list[Finding]:
    """Return the recordings with the largest deviations, the worst of each kind first; at most five of each kind.

    Parameters
    ----------
    recordings
        The table of recordings.
    min_confidence
        Minimum confidence of an offset.
    """
    statistics = pd.concat([_read_statistics(path) for path in tracks])
    usable = recordings[recordings["status"] != "excluded"]
    ranked = [_rank_offsets(usable, min_confidence), _rank_gaps(usable), _rank_ranges(statistics)]
    return [*(finding for part in ranked for finding in islice(part, _MAX_PER_KIND)), *_rank_jitter(statistics)]


def _read_statistics(path: str | Path) -> pd.DataFrame:
    """Read the jitter and the extreme values of each recording of a corpus."""
    table = read_statistics(path, ["recording_id", "jitter_before", "lowest", "highest"])
    lowest, highest = (
        np.stack(table[name].to_numpy()) if len(table) else np.zeros((0, 1)) for name in ("lowest", "highest")
    )
    jitter = [float(np.mean(values)) for values in table["jitter_before"].to_pylist()]
    excess = np.maximum(highest - 1, -lowest)
    return pd.DataFrame(
        {
            "key": [(Path(path).stem, recording_id) for recording_id in table["recording_id"].to_pylist()],
            "jitter": jitter,
            "relative_jitter": np.array(jitter) / max(float(np.median(jitter)) if jitter else 1.0, 1e-9),
            "excess": excess.max(axis=1, initial=0),
            "channel": [CHANNELS[i] for i in excess.argmax(axis=1)],
        }
    )


def _rank_jitter(statistics: pd.DataFrame) -> Iterator[Finding]:
    ordered = statistics.sort_values("relative_jitter", ascending=False)
    for row in ordered.head(_MAX_PER_KIND).to_dict("records"):
        text = f"{row['jitter']:.4f} units per frame², {row['relative_jitter']:.1f} times the median of its corpus"
        yield Finding(row["key"], "jitter", text)
    corpora = ordered["key"].map(lambda key: key[0])
    for _, rows in ordered.groupby(corpora):
        yield Finding(rows["key"].iloc[len(rows) // 2], "typical", "median jitter of its corpus, to compare with")


def _rank_ranges(statistics: pd.DataFrame) -> Iterator[Finding]:
    rows = statistics[statistics["excess"] > _MAX_EXCESS].sort_values("excess", ascending=False)
    for row in rows.to_dict("records"):
        yield Finding(row["key"], "range", f"{row['channel']} is {row['excess']:.2f} outside of 0 to 1")


def _rank_offsets(usable: pd.DataFrame, min_confidence: float) -> Iterator[Finding]:
    size = usable["offset_frames"].abs()
    rows = usable[(size >= _MIN_OFFSET_FRAMES) & (usable["offset_confidence"] >= min_confidence)]
    for row in rows.loc[size[rows.index].sort_values(ascending=False).index].to_dict("records"):
        side = "late" if row["offset_frames"] > 0 else "early"
        text = f"motion is {abs(row['offset_frames']):.1f} frames {side} (confidence {row['offset_confidence']:.2f})"
        yield Finding((row["corpus"], row["recording_id"]), "offset", text)


def _rank_gaps(usable: pd.DataFrame) -> Iterator[Finding]:
    for row in usable.to_dict("records"):
        for reason in row["reasons"]:
            if issue_code(reason) == "track_gap":
                yield Finding((row["corpus"], row["recording_id"]), "gap", reason.partition(":")[2].strip())


def read_excerpts(
    keys: Iterable[RecordingKey],
    recordings: str | Path,
    tracks: Sequence[str | Path],
    names: Mapping[RecordingKey, str],
) -> dict[RecordingKey, PlayerClip]:
    """Read excerpts of recordings for the player: delivered track, track used for training, and audio.

    At most 20 recordings, 8 seconds of each around its largest jitter, and 90 seconds in total. Files that have gone
    are left out.
    """
    wanted = list(dict.fromkeys(keys))[:_MAX_CLIPS]
    rows = {key: row for row in read_rows(recordings) if (key := (row["corpus"], row["recording_id"])) in wanted}
    used: dict[RecordingKey, np.ndarray] = {}
    for path in tracks:
        corpus = Path(path).stem
        used |= {key: track for name, track in read_tracks(path) if (key := (corpus, name)) in wanted}
    clips: dict[RecordingKey, PlayerClip] = {}
    total_s = 0.0
    for key in wanted:
        clip = _read_excerpt(rows[key], used[key], names[key])
        duration_s = len(next(iter(clip.tracks.values()))) / FPS
        if clips and total_s + duration_s > _MAX_TOTAL_S:
            break
        clips[key] = clip
        total_s += duration_s
    return clips


def _read_excerpt(row: Mapping[str, Any], used: np.ndarray, name: str) -> PlayerClip:
    delivered = _read_delivered(row)
    start = _worst_window(used if delivered is None else delivered)
    stop = start + round(_EXCERPT_S * FPS)
    # The track used for training is moved by the repair of the offset, if there is one.
    positions = (np.arange(len(used)) + (row["shift_frames"] or 0)).clip(0, len(used) - 1)
    parts = {"delivered": delivered, "used for training": used[positions]}
    parts = {caption: track[start:stop] for caption, track in parts.items() if track is not None}
    length = len(next(iter(parts.values())))
    total = row["num_track_frames"]
    place = (
        f"{format_seconds(start / FPS)} to {format_seconds((start + length) / FPS)} of {format_seconds(total / FPS)}"
    )
    kinds = ["delivered", "captured"] if delivered is not None else ["captured"]
    return PlayerClip(name, f"{row['recording_id']}, {place}", parts, _read_audio(row, start, stop), kinds=kinds)


def _read_delivered(row: Mapping[str, Any]) -> np.ndarray | None:
    """Read the delivered track, with 0 in place of missing values; None if its file has gone."""
    track_format = TrackFormat.from_settings(row["channel_order"], row["track_fps"], row["track_scale"])
    try:
        return np.nan_to_num(read_track(Path(row["track_path"]), track_format)[0])
    except (Issue, OSError):
        return None


def _read_audio(row: Mapping[str, Any], start: int, stop: int) -> np.ndarray | None:
    """Read the audio of these frames, (N,) int16; None if the file has gone."""
    first = frame_to_sample(start)
    try:
        samples = read_samples(row["wav_path"], frame_to_sample(stop))[first:]
    except (Issue, soundfile.SoundFileError, OSError, ValueError):
        return None
    return samples if len(samples) else None


def _worst_window(track: np.ndarray) -> int:
    """Return the first frame of the excerpt with the largest jitter; a multiple of three frames."""
    length = round(_EXCERPT_S * FPS)
    if len(track) <= length:
        return 0
    jitter = np.abs(np.diff(track, n=2, axis=0)).sum(axis=1)
    sums = np.convolve(jitter, np.ones(length - 2), mode="valid")
    return int(np.argmax(sums)) // 3 * 3
