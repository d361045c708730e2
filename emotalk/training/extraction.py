"""Extraction: the finished run becomes weights that the released EmoTalk code loads unchanged."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from transformers import Wav2Vec2Config

from emotalk.corpus.clips import ClipStore
from emotalk.corpus.samples import from_int16
from emotalk.errors import WeightsError
from emotalk.model.card import write_card
from emotalk.model.network import EmoTalk
from emotalk.model.weights import load_weights, save_weights
from emotalk.provenance import library_versions
from emotalk.training.checkpoint_file import read_checkpoint

_LOG = logging.getLogger(__name__)
_NAME = "emotalk"


def extract_weights(
    checkpoint: str | Path, clips: Sequence[str | Path], folder: str | Path, *, recipe: dict[str, Any]
) -> None:
    """Write `emotalk.pth`, `.safetensors` and the card `.json` into `folder`, load both back and compare.

    Parameters
    ----------
    checkpoint
        The finished run.
    clips
        Clip stores; the first clip is what the comparison predicts.
    recipe
        Settings to tell on the card.

    Raises
    ------
    WeightsError
        If what was written does not predict exactly what the trained network predicts.
    """
    folder = Path(folder)
    content = read_checkpoint(checkpoint)
    encoders = content["encoders"]
    network = EmoTalk.unfilled(Wav2Vec2Config(**encoders["content"]), Wav2Vec2Config(**encoders["emotion"]))
    average = content["average"] or {"weights": {}}
    network.load_state_dict(content["model"] | average["weights"])
    save_weights(network, folder, _NAME)
    write_card(folder / f"{_NAME}.json", _card(content, recipe))
    store = ClipStore(clips)
    waveform = from_int16(store[store.labels()["clip_id"][0].as_py()].waveform)
    expected = network.predict(waveform, intensity=0, subject=0)
    for suffix in (".pth", ".safetensors"):
        path = folder / f"{_NAME}{suffix}"
        if not np.array_equal(load_weights(path).predict(waveform, intensity=0, subject=0), expected):
            raise WeightsError(f"{path} does not predict what the trained network predicts; it must not be used.")
        _LOG.info("%s: %.1f MB, loaded back strictly, predicts the same", path, path.stat().st_size / 1e6)


def _card(content: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """How the weights were made, and what is needed to build their network."""
    last = [row for row in content["history"] if row["epoch"] == content["epoch"]]
    return {
        "format": "EmoTalk weights under the released parameter names, float32",
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": "Weights trained on RAVDESS or 3D-ETF are for non-commercial use: so are their data.",
        "epochs": content["epoch"],
        "is_average": content["average"] is not None,
        "losses": {row["split"]: {name: value for name, value in row.items() if name != "split"} for row in last},
        "training_subjects": content["subjects"],
        "recipe": recipe,
        "run": content["identity"],
        "encoders": content["encoders"],
        "resolved_encoders": content["identity"]["weights"],
        "versions": library_versions(),
    }
