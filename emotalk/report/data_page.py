"""The page about the data: what was found, and what training will see of it. It can be looked at before training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emotalk.data.recordings import RECORDINGS
from emotalk.report import data_figures, data_quality
from emotalk.report.html import write_page

_MOST_LISTED = 200
_BEGIN, _END = "<!-- data -->", "<!-- /data -->"


def write_data_page(
    page: str | Path,
    *,
    recordings: str | Path,
    tracks: Sequence[str | Path],
    clips: Sequence[str | Path],
    manifest: str | Path,
    min_confidence: float,
) -> None:
    """Write the page.

    Parameters
    ----------
    min_confidence
        Confidence from which the offset of a single recording is shown.
    """
    content = _data_content(recordings, tracks, clips, manifest, min_confidence)
    write_page("data_page.html.j2", page, {"data": content})


def _data_content(
    recordings: str | Path,
    tracks: Sequence[str | Path],
    clips: Sequence[str | Path],
    manifest: str | Path,
    min_confidence: float,
) -> dict[str, Any]:
    """Tables and figures about the data."""
    columns = [name for name in RECORDINGS.names if name != "offset_scores"]
    found = pd.read_parquet(recordings, columns=columns)
    statistics = data_quality.channel_statistics(tracks)
    offsets = data_quality.synchrony(recordings)
    pairs = data_quality.pairs(manifest)
    return {
        "counts": data_quality.counts(found),
        "issues": data_quality.issues(found),
        "excluded": _with_reasons(found, "excluded"),
        "repaired": _with_reasons(found, "repaired"),
        "examples": data_quality.examples(manifest),
        "offsets": offsets,
        "min_confidence": min_confidence,
        "has_pairs": bool(pairs.to_numpy().any()),
        "speakers_figure": data_figures.speakers_figure(data_quality.clips_by_split(clips, manifest)),
        "lengths_figure": data_figures.lengths_figure(found),
        "channels_figure": data_figures.channels_figure(statistics),
        "jitter_figure": data_figures.jitter_figure(statistics, data_quality.excerpt(recordings, tracks)),
        "synchrony_figure": data_figures.synchrony_figure(offsets, min_confidence) if offsets else None,
        "pairs_figure": data_figures.pairs_figure(pairs),
    }


def _with_reasons(found: pd.DataFrame, status: str) -> dict[str, Any]:
    """How many recordings have this status, and the first of them with their reasons."""
    chosen = found.loc[found["status"] == status, ["corpus", "recording_id", "reasons"]]
    return {"count": len(chosen), "first": chosen.head(_MOST_LISTED).to_dict("records")}


def data_section(page: str | Path) -> str:
    """The body of the page about the data, below its title."""
    text = Path(page).read_text(encoding="utf-8")
    return text[text.index(_BEGIN) : text.index(_END)]
