"""Extraction: the finished run becomes weights that the released EmoTalk code loads unchanged."""

import gc
import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from emotalk.data.clips import ClipStore
from emotalk.data.samples import from_int16
from emotalk.errors import WeightsError
from emotalk.model.card import write_card
from emotalk.model.encoder_config import encoder_configs
from emotalk.model.network import EmoTalk
from emotalk.model.weights import fit_state, load_weights, read_state, released_names, save_weights
from emotalk.provenance import library_versions
from emotalk.training.checkpoint_file import read_checkpoint

_LOG = logging.getLogger(__name__)
_NAME = "emotalk"


def extract_weights(
    checkpoint: str | Path, clips: Sequence[str | Path], folder: str | Path, *, recipe: dict[str, Any]
) -> None:
    """Write `emotalk.pth`, `.safetensors` and the card `.json` into `folder`, read both back and compare every tensor.

    Memory holds the weights once: they are mapped from one file at a time, and told apart by digests.

    Parameters
    ----------
    checkpoint
        The finished run.
    clips
        Clip stores; what was written predicts the first clip, once.
    recipe
        Settings to tell on the card.

    Raises
    ------
    WeightsError
        If the checkpoint's weights are of a wrong type or shape or not finite, or a file holds other ones afterwards.
    """
    folder = Path(folder)
    written = _write(checkpoint, folder, recipe)
    gc.collect()  # A network refers to itself, and would keep the checkpoint mapped.
    for suffix in (".pth", ".safetensors"):
        path = folder / f"{_NAME}{suffix}"
        found = _digests(read_state(path))
        if unlike := sorted(name for name in written.keys() | found.keys() if written.get(name) != found.get(name)):
            raise WeightsError(
                f"{path} does not hold what the trained network has in {len(unlike)} tensors, {unlike[0]} first; it "
                "must not be used. Look after the disk and extract again."
            )
        _LOG.info("%s: %.1f MB, read back, every tensor is the same", path, path.stat().st_size / 1e6)
    store = ClipStore(clips)
    waveform = from_int16(store[store.labels()["clip_id"][0].as_py()].waveform)
    track = load_weights(folder / f"{_NAME}.json").predict(waveform, intensity=0, subject=0)
    if not np.isfinite(track).all():
        raise WeightsError(f"The weights in {folder} predict values that are NaN or infinite; they must not be used.")


def _write(checkpoint: str | Path, folder: Path, recipe: dict[str, Any]) -> dict[str, bytes]:
    """Write the weights and their card; returns digests of the tensors."""
    content = read_checkpoint(checkpoint)
    network = EmoTalk.empty(*encoder_configs(content["encoders"], str(checkpoint)))
    average = content["average"] or {"weights": {}}
    fit_state(network, content["model"] | average["weights"], checkpoint)
    save_weights(network, folder, _NAME)
    write_card(folder / f"{_NAME}.json", _card(content, recipe))
    return _digests(released_names(network.state_dict()))


def _digests(state: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Digest of each tensor's type, shape and numbers."""
    found = {}
    for name, value in state.items():
        array = value.detach().numpy()
        found[name] = hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).digest()
    return found


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
