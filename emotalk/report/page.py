"""The report: one self-contained page about the data, the training and the result, with faces that speak."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Example, Manifest
from emotalk.evaluation.evaluate import mouth_improvement
from emotalk.evaluation.prediction import emotion_name, has_swap, read_prediction, test_examples
from emotalk.report.data_page import data_section
from emotalk.report.figures import channels_figure, empty_figure, errors_figure, losses_figure
from emotalk.report.html import write_page
from emotalk.report.player import PlayerClip, player_data
from emotalk.report.tables import metric_tables
from emotalk.timing import FPS
from emotalk.training.history import is_still

_MOST_LISTED = 5
_NOT_EVALUATED = "There is no test split."


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
    is_evaluated = not metrics.empty
    drawn = {
        "losses": losses_figure(losses_table),
        "errors": errors_figure(metrics) if is_evaluated else empty_figure(_NOT_EVALUATED),
        "channels": channels_figure(channels) if is_evaluated else empty_figure(_NOT_EVALUATED),
    }
    for name, path in figures.items():
        Path(path).write_text(drawn[name], encoding="utf-8")
    content = {
        "is_evaluated": is_evaluated,
        "notes": Manifest(manifest).notes,
        "data_section": data_section(data_page),
        "is_still": is_still(losses_table.to_dict("records")),
        "figures": drawn,
        "card": json.loads(Path(card).read_text(encoding="utf-8")),
    }
    if is_evaluated:
        speaking = speaking_clips(
            by_clip, ClipStore(clips), Manifest(manifest), predictions=predictions, swapped=folder / "swapped"
        )
        content |= {
            "player": player_data(speaking),
            "improvement": mouth_improvement(metrics),
            "tables": metric_tables(metrics),
            "subject": by_clip["predicted_subject"].iloc[0],
            "ranked": _ranked(by_clip),
        }
    write_page("report.html.j2", page, content)


def _ranked(by_clip: pd.DataFrame) -> list[tuple[tuple[str, float], tuple[str, float]]]:
    """The best and the worst clips side by side, each with its mouth error."""
    errors = [(str(name), value) for name, value in ranked_clips(by_clip).items()]
    return list(zip(errors, errors[::-1], strict=True))[:_MOST_LISTED]


_LOG = logging.getLogger(__name__)


_MOST_CLIPS, _MOST_SECONDS = 12, 90.0
_LONGEST_S = 30.0


def ranked_clips(by_clip: pd.DataFrame) -> pd.Series:
    """Mouth error of the model in each test clip, by clip id, the best first."""
    chosen = by_clip.query("metric == 'mae' and region == 'mouth' and predictor == 'model'")
    return chosen.set_index("clip_id")["value"].sort_values()


def speaking_clips(
    by_clip: pd.DataFrame, store: ClipStore, schedule: Manifest, *, predictions: str | Path, swapped: str | Path
) -> list[PlayerClip]:
    """Clips with captured and predicted motion, and with another clip's emotion where there is one to compare with.

    One of each pair of emotions before a second one, then evenly from the best to the worst, 90 seconds together.
    """
    errors = ranked_clips(by_clip)
    examples = {example["audio_c1e2"]: example for example in test_examples(schedule)}
    spoken = []
    for clip_id in _choice(errors, examples, store):
        clip, example = store[clip_id], examples[clip_id]
        tracks = {"captured": clip.track, "model": read_prediction(predictions, clip_id)}
        own, other = emotion_name(example["emotion_e2"]), emotion_name(example["emotion_e1"])
        rank = int(np.flatnonzero(errors.index == clip_id)[0]) + 1
        note = f"{clip_id}: mouth error {errors[clip_id]:.4f}, {rank} of {len(errors)} from the best. PlayerClip {own}."
        worn = f"model, made {other}"
        if has_swap(example):
            tracks[worn] = read_prediction(swapped, clip_id)
            note += f" The third face wears the emotion of {example['audio_c2e1']}."
        place = "best" if rank == 1 else "worst" if rank == len(errors) else f"rank {rank}"
        spoken.append(PlayerClip(f"{clip_id} · {own} · {place}", note, tracks, clip.waveform, stretched=[worn]))
    return spoken


def _choice(errors: pd.Series, examples: dict[str, Example], store: ClipStore) -> Sequence[str]:
    """Ids of the clips to show, the best first."""
    order = list(errors.index)
    short = [clip_id for clip_id in order if len(store[clip_id].track) / FPS <= _LONGEST_S] or order[:1]
    wanted = [short[0], short[-1]]
    seen: set[tuple[int, int]] = set()
    for clip_id in short:
        pair = examples[clip_id]["emotion_e2"], examples[clip_id]["emotion_e1"]
        if has_swap(examples[clip_id]) and pair not in seen:
            seen.add(pair)
            wanted.append(clip_id)
    wanted += [short[place] for place in np.linspace(0, len(short) - 1, _MOST_CLIPS).astype(int)]
    chosen: list[str] = []
    seconds = 0.0
    for clip_id in dict.fromkeys(wanted):
        length = len(store[clip_id].track) / FPS
        if len(chosen) < _MOST_CLIPS and (not chosen or seconds + length <= _MOST_SECONDS):
            chosen.append(clip_id)
            seconds += length
    return sorted(chosen, key=order.index)
