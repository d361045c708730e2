"""The stages on a tiny corpus, figures of what each makes, and the settings that identify a run of each recipe."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from emotalk.config.config import load_config
from emotalk.data.clips import ClipStore
from emotalk.stages import STAGE_VERSIONS
from emotalk.training.settings import RunSettings

_RECIPES = Path(__file__).parents[2] / "config/recipes"
STORED = Path(__file__).parent / "stages.json"
_RECORDED = ("status", "sampling_rate", "num_samples", "num_frames", "duration_s", "subject", "emotion")
_MANIFEST = ("split", "epoch", "kind", "audio_c1e2", "audio_c2e1", "track_c1e1", "subject", "intensity", "emotion_e2")


def figures(results: Path) -> dict[str, Any]:
    """For each stage whose result is data: some numbers and words that another result would change.

    Parameters
    ----------
    results
        Folder of the finished run of `tests.project.TINY_RUN`.
    """
    recordings = pd.read_parquet(results / "recordings.parquet")
    tracks = pq.read_table(results / "tracks/RAVDESS.parquet").to_pandas()
    store = ClipStore(sorted((results / "clips").glob("*.arrow")))
    labels = store.metadata().to_pandas()
    manifest = pd.read_parquet(results / "manifest.parquet")
    losses = pd.read_parquet(results / "training/metrics.parquet")
    metrics = pd.read_csv(results / "evaluation/metrics.csv")
    card = json.loads((results / "weights/emotalk.json").read_text(encoding="utf-8"))
    return {
        "demo_corpus": {"samples": int(recordings["num_samples"].sum()), "peak": float(recordings["peak"].mean())},
        "index": {name: _words(recordings[name].iloc[::17]) for name in _RECORDED},
        "smooth": {name: _summary(tracks[name]) for name in ("jitter_before", "jitter_after", "std", "highest")},
        "slice": {
            "clips": labels["clip_id"].iloc[::13].tolist(),
            "frames": int((labels["stop_frame"] - labels["start_frame"]).sum()),
            "samples": [float(np.abs(store[name].waveform.astype(float)).mean()) for name in labels["clip_id"][::13]],
        },
        "pair": {name: _words(manifest[name].iloc[::11]) for name in _MANIFEST},
        "train": {name: losses[name].tolist() for name in ("loss", "cross", "self", "velocity", "classification")},
        "extract": {"keys": sorted(card), "subjects": card["training_subjects"]},
        "evaluate": {
            f"{row.metric} {row.region} {row.predictor}": row.value
            for row in metrics.itertuples()
            # Rounding decides between clips that are equally typical of an emotion.
            if row.value == row.value and row.predictor != "by_name"
        },
    }


def identities() -> dict[str, dict[str, Any]]:
    """For each recipe, the settings that identify a training run."""
    found = {}
    for file in sorted(_RECIPES.glob("*.yaml")):
        weights = {"init_weights": {"source": "EmoTalk.pth"}} if file.stem == "personal" else {}
        config = load_config([{"recipe": file.stem, "data": "demo", "train": weights}], recipes=_RECIPES).model_dump()
        settings = RunSettings.model_validate({**config["train"], "model": config["model"], "seed": config["seed"]})
        found[file.stem] = json.loads(json.dumps(settings.identity()))
    return found


def _words(column: pd.Series) -> list[str]:
    return ["none" if pd.isna(value) else str(value) for value in column]


def _summary(column: pd.Series) -> list[float]:
    return np.mean(np.stack(column.tolist()), axis=0)[::7].tolist()


def store(results: Path) -> None:
    """Write the figures, the versions that they belong to, and the settings that identify a run."""
    found = figures(results)
    versions = {name: STAGE_VERSIONS[name] for name in found}
    content = {"versions": versions, "identities": identities(), "figures": found}
    STORED.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
