"""What the corpus holds, in tables: counted before anything is trained, so that it can be looked at first."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS
from emotalk.data.av_sync import estimate_offset
from emotalk.data.clips import ClipStore
from emotalk.data.issues import issue_code
from emotalk.data.recordings import read_rows
from emotalk.data.track_files import read_tracks
from emotalk.emotions import EMOTIONS
from emotalk.errors import Issue
from emotalk.formats.tracks import TrackFormat, read_track
from emotalk.timing import FPS

STATISTICS = ("jitter_before", "jitter_after", "mean", "std", "lowest", "highest")
_PARTS = ("audio_c1e2", "audio_c2e1")
_NAMES = 3
_CANDIDATES = 50
_SHOWN = CHANNELS.index("jawOpen")


def counts(recordings: pd.DataFrame) -> list[dict[str, Any]]:
    """Recordings, subjects and minutes by corpus."""
    rows = []
    for corpus, group in recordings.groupby("corpus"):
        usable = group[group["status"] != "excluded"]
        status = group["status"].value_counts()
        rows.append(
            {
                "corpus": corpus,
                "found": len(group),
                **{name: int(status.get(name, 0)) for name in ("ok", "repaired", "excluded")},
                "subjects": usable["subject"].nunique(),
                "minutes": usable["num_frames"].sum() / (60 * FPS),
            }
        )
    return rows


def issues(recordings: pd.DataFrame) -> list[dict[str, Any]]:
    """How often each issue was found, what it made of the recordings, and the first names."""
    told = recordings[["corpus", "recording_id", "status", "reasons"]].explode("reasons").dropna(subset="reasons")
    told = told.assign(code=told["reasons"].map(issue_code)).drop_duplicates(["corpus", "recording_id", "code"])
    return [
        {
            "code": code,
            "count": len(group),
            "status": ", ".join(f"{count} {name}" for name, count in group["status"].value_counts().items()),
            "names": ", ".join(group["recording_id"].head(_NAMES)) + (", …" if len(group) > _NAMES else ""),
        }
        for code, group in told.groupby("code")
    ]


def clips_by_split(clips: Sequence[str | Path], manifest: str | Path) -> pd.DataFrame:
    """Labels, seconds and split of each clip that the first epoch, validation and test use."""
    labels = ClipStore(clips).labels().to_pandas()
    rows = pq.read_table(manifest, columns=["split", *_PARTS], filters=[("epoch", "<=", 1)]).to_pandas()
    used = pd.concat([rows[["split", part]].rename(columns={part: "clip_id"}) for part in _PARTS]).dropna()
    labels = labels.assign(seconds=(labels["stop_frame"] - labels["start_frame"]) / FPS)
    return labels.merge(used.drop_duplicates("clip_id"), on="clip_id")


def pairs(manifest: str | Path) -> pd.DataFrame:
    """Pseudo-pairs of the first epoch by the emotions e1 (rows) and e2 (columns)."""
    keep = [("epoch", "==", 1), ("kind", "==", "cross")]
    rows = pq.read_table(manifest, columns=["emotion_e1", "emotion_e2"], filters=keep).to_pandas()
    rows = rows[(rows >= 0).all(axis=1)]
    table = pd.crosstab(rows["emotion_e1"], rows["emotion_e2"])
    every = range(len(EMOTIONS))
    table = table.reindex(index=every, columns=every, fill_value=0)
    return table.set_axis(EMOTIONS, axis=0).set_axis(EMOTIONS, axis=1)


def examples(manifest: str | Path) -> list[dict[Any, Any]]:
    """Examples by split and kind, of one epoch."""
    one = pq.read_table(manifest, columns=["split", "kind", "num_frames"], filters=[("epoch", "<=", 1)]).to_pandas()
    counted = one.groupby(["split", "kind"]).agg(examples=("kind", "size"), frames=("num_frames", "sum"))
    return counted.reset_index().to_dict("records")


def synchrony(recordings: str | Path) -> dict[str, dict[str, Any]]:
    """By corpus: the mean correlation at each lag, weighted by length, its offset and confidence, and all offsets."""
    columns = ["corpus", "status", "num_frames", "offset_scores", "offset_frames", "offset_confidence"]
    table = pq.read_table(recordings, columns=columns, filters=[("status", "!=", "excluded")])
    table = table.filter(pa.compute.is_valid(table["offset_scores"]))
    found = {}
    for corpus in sorted(set(table["corpus"].to_pylist())):
        rows = table.filter(pa.compute.equal(table["corpus"], corpus))
        scores = rows["offset_scores"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
        curve = np.average(scores, axis=0, weights=rows["num_frames"].to_numpy())
        offset, confidence = estimate_offset(curve)
        each = rows.select(["offset_frames", "offset_confidence"]).to_pandas()
        found[corpus] = {"curve": curve, "offset": offset, "confidence": confidence, "each": each}
    return found


def channel_statistics(tracks: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """Statistics of the smoothed tracks, and jitter before and after: (R, 52) each, a row a recording."""
    rows = pa.concat_tables([pq.read_table(path, columns=list(STATISTICS)) for path in tracks])
    return {
        name: rows[name].combine_chunks().flatten().to_numpy().reshape(-1, NUM_CHANNELS)
        for name in STATISTICS
    }  # fmt: skip


def excerpt(recordings: str | Path, tracks: Sequence[str | Path]) -> tuple[str, np.ndarray | None, np.ndarray]:
    """Id, delivered track (None where its file is gone) and smoothed track of one of the first recordings.

    Of those the one whose jaw smoothing calms most.
    """
    calmed: dict[tuple[str | Path, int], float] = {}
    for path in tracks:
        before, after = (channel_statistics([path])[name][:_CANDIDATES, _SHOWN] for name in STATISTICS[:2])
        calmed |= {(path, place): value for place, value in enumerate((before - after).tolist())}
    chosen, place = max(calmed, key=calmed.__getitem__)
    recording_id, smooth = next(islice(read_tracks(chosen), place, None))
    columns = ["corpus", "recording_id", "status", "track_path", "channel_order", "track_fps", "track_scale"]
    columns.append("num_track_frames")
    rows = read_rows(recordings, columns)
    wanted = (Path(chosen).stem, recording_id)
    row = next(row for row in rows if (row["corpus"], row["recording_id"]) == wanted and row["status"] != "excluded")
    try:
        form = TrackFormat.from_settings(row["channel_order"], row["track_fps"], row["track_scale"])
        raw, _ = read_track(Path(row["track_path"]), form)
    except Issue:
        return recording_id, None, smooth
    return recording_id, raw, smooth
