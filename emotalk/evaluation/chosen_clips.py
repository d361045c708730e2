"""Which test clips the report lets speak: the best, the worst, and some between, as many as a page can hold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emotalk.corpus.clips import ClipStore
from emotalk.evaluation.player import Spoken
from emotalk.evaluation.prediction import emotion_name, has_swap, read_prediction, test_examples
from emotalk.timing import FPS
from emotalk.training.schedule import Example, Schedule

_MOST_CLIPS, _MOST_SECONDS = 12, 90.0
_LONGEST_S = 30.0


def ranked_clips(by_clip: pd.DataFrame) -> pd.Series:
    """Mouth error of the model in each test clip, by clip id, the best first."""
    chosen = by_clip.query("metric == 'mae' and region == 'mouth' and predictor == 'model'")
    return chosen.set_index("clip_id")["value"].sort_values()


def speaking_clips(
    by_clip: pd.DataFrame, store: ClipStore, schedule: Schedule, *, predictions: str | Path, swapped: str | Path
) -> list[Spoken]:
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
        note = f"{clip_id}: mouth error {errors[clip_id]:.4f}, {rank} of {len(errors)} from the best. Spoken {own}."
        worn = f"model, made {other}"
        if has_swap(example):
            tracks[worn] = read_prediction(swapped, clip_id)
            note += f" The third face wears the emotion of {example['audio_c2e1']}."
        place = "best" if rank == 1 else "worst" if rank == len(errors) else f"rank {rank}"
        spoken.append(Spoken(f"{clip_id} · {own} · {place}", note, tracks, clip.waveform, stretched=[worn]))
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
