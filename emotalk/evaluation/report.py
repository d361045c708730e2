"""The report: one self-contained page about the data, the training and the result, with faces that speak."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from emotalk.corpus.clips import ClipStore
from emotalk.evaluation.check import mouth_improvement
from emotalk.evaluation.chosen_clips import ranked_clips, speaking_clips
from emotalk.evaluation.data_page import data_section
from emotalk.evaluation.figures import channels_figure, errors_figure, losses_figure
from emotalk.evaluation.metric_tables import metric_tables
from emotalk.evaluation.pages import write_page
from emotalk.evaluation.player import player_data
from emotalk.training.history import is_still
from emotalk.training.schedule import Schedule

_MOST_LISTED = 5


def write_report(
    page: str | Path,
    *,
    data_page: str | Path,
    losses: str | Path,
    evaluation: str | Path,
    predictions: str | Path,
    clips: Sequence[str | Path],
    manifest: str | Path,
    card: str | Path,
    figures: dict[str, str | Path],
) -> None:
    """Write the report, with what the page about the data shows, and its figures as files.

    Parameters
    ----------
    evaluation
        Folder of what `emotalk.evaluation.evaluate.evaluate` wrote.
    figures
        Files for the figures `losses`, `errors` and `channels`.
    """
    folder = Path(evaluation)
    losses_table, metrics = pd.read_parquet(losses), pd.read_csv(folder / "metrics.csv")
    by_clip, channels = pd.read_parquet(folder / "clips.parquet"), pd.read_csv(folder / "channels.csv")
    drawn = {
        "losses": losses_figure(losses_table),
        "errors": errors_figure(metrics),
        "channels": channels_figure(channels),
    }
    for name, path in figures.items():
        Path(path).write_text(drawn[name], encoding="utf-8")
    speaking = speaking_clips(
        by_clip, ClipStore(clips), Schedule(manifest), predictions=predictions, swapped=folder / "swapped"
    )
    content = {
        "player": player_data(speaking),
        "data_section": data_section(data_page),
        "is_still": is_still(losses_table.to_dict("records")),
        "figures": drawn,
        "improvement": mouth_improvement(metrics),
        "tables": metric_tables(metrics),
        "subject": by_clip["predicted_subject"].iloc[0],
        "ranked": _ranked(by_clip),
        "card": json.loads(Path(card).read_text(encoding="utf-8")),
    }
    write_page("report.html.j2", page, content)


def _ranked(by_clip: pd.DataFrame) -> list[tuple[tuple[str, float], tuple[str, float]]]:
    """The best and the worst clips side by side, each with its mouth error."""
    errors = [(str(name), value) for name, value in ranked_clips(by_clip).items()]
    return list(zip(errors, errors[::-1], strict=True))[:_MOST_LISTED]
