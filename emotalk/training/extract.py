"""Extraction: writes the weights of a finished run with the parameter names of the released code."""

import gc
import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emotalk.data.clips import ClipStore, from_int16
from emotalk.data.manifest import Manifest
from emotalk.errors import WeightsError
from emotalk.model.card import references_file, write_card
from emotalk.model.emotion_references import EmotionReferences, ReferenceKey
from emotalk.model.encoder_config import NetworkConfig
from emotalk.model.inputs import intensity_name
from emotalk.model.network import EmoTalk
from emotalk.model.sequences import normalize
from emotalk.model.weights import load_strict, load_weights, read_state, save_weights, to_released_names
from emotalk.progress import progress
from emotalk.provenance import library_versions
from emotalk.subjects import NUM_RELEASED_SLOTS
from emotalk.training.checkpoint_file import read_checkpoint

_LOG = logging.getLogger(__name__)
_NAME = "emotalk"
_MAX_CANDIDATES = 8


def extract_weights(
    checkpoint: str | Path,
    clips: Sequence[str | Path],
    manifest: str | Path,
    folder: str | Path,
    *,
    settings: dict[str, Any],
    captured: Mapping[str, Any],
) -> None:
    """Write `emotalk.pth`, `emotalk.safetensors` and the card `emotalk.json` to `folder`, and verify them.

    Also write `emotalk.emotions.safetensors`, the emotion references; see `emotalk.model.emotion_references`.

    Every tensor of the written files is compared by digest, so that memory holds the weights only once. The written
    weights must then predict a clip.

    Parameters
    ----------
    checkpoint
        Checkpoint of the finished run.
    clips
        Clip stores; the first clip is used for the test prediction.
    manifest
        Manifest with the training clips, from which the emotion references are chosen.
    settings
        Settings of the run for the card.
    captured
        For corpora that were captured from videos, an entry of the card that describes the capture.

    Raises
    ------
    WeightsError
        If weights of the checkpoint have a wrong type or shape or are not finite, or if a written file differs.
    """
    folder = Path(folder)
    notes = Manifest(manifest).notes
    description = {
        "recipe": settings,  # The key is that of earlier versions.
        "subject_slots": notes["slots"],
        "captured": dict(captured),
    }
    expected = _write_weights(checkpoint, folder, description)
    gc.collect()  # The network has reference cycles that would keep the checkpoint mapped.
    for suffix in (".pth", ".safetensors"):
        path = folder / f"{_NAME}{suffix}"
        stored = _hash_tensors(read_state(path))
        names = expected.keys() | stored.keys()
        if changed := sorted(name for name in names if expected.get(name) != stored.get(name)):
            raise WeightsError(
                f"{path} differs from the trained network in {len(changed)} tensors, for example {changed[0]}; do not "
                "use it. Check the disk and run the rule extract again."
            )
        _LOG.info("%s: %.1f MB, verified", path, path.stat().st_size / 1e6)
    store = ClipStore(clips)
    waveform = from_int16(store[store.metadata()["clip_id"][0].as_py()].waveform)
    card = folder / f"{_NAME}.json"
    network = load_weights(card)
    track = network.predict(waveform, intensity=0, subject=0)
    if not np.isfinite(track).all():
        raise WeightsError(
            f"The weights in {folder} predict values that are NaN or infinite. Use an earlier checkpoint."
        )
    references = choose_references(network, store, Manifest(manifest).training_clips())
    references.save(references_file(card))
    _LOG.info("Emotion references: %s", references.names() or "none, because no training clip has an emotion label")


def choose_references(network: EmoTalk, store: ClipStore, training_clips: Sequence[str]) -> EmotionReferences:
    """Choose the most typical training clip of each labelled emotion and intensity.

    It is the one whose emotion features, averaged over time, are closest to the mean of all of them. At most
    `_MAX_CANDIDATES` clips are compared, evenly spaced in the list sorted by id, so that they usually come from several
    speakers.
    """
    clips = store.metadata().to_pandas()
    clips = clips[clips["clip_id"].isin(training_clips) & clips["emotion"].notna()].sort_values("clip_id")
    clips = clips.assign(intensity=clips["intensity"].map(intensity_name, na_action=None))
    features: dict[ReferenceKey, Tensor] = {}
    chosen: dict[ReferenceKey, str] = {}
    groups = list(clips.groupby(["emotion", "intensity"])["clip_id"])
    for key, clip_ids in progress(groups, total=len(groups), what="Choosing emotion references", unit="emotions"):
        positions = np.linspace(0, len(clip_ids) - 1, min(len(clip_ids), _MAX_CANDIDATES)).round().astype(int)
        candidates = clip_ids.iloc[positions].tolist()
        encoded = [_encode_emotion(network, store, clip_id) for clip_id in candidates]
        means = torch.stack([states.mean(dim=0) for states in encoded])
        typical = int((means - means.mean(dim=0)).norm(dim=1).argmin())
        features[key], chosen[key] = encoded[typical], candidates[typical]
    return EmotionReferences(features, chosen)


def _encode_emotion(network: EmoTalk, store: ClipStore, clip_id: str) -> Tensor:
    return network.encode_emotion(torch.from_numpy(normalize(from_int16(store[clip_id].waveform)))).cpu()


def _write_weights(checkpoint: str | Path, folder: Path, description: Mapping[str, Any]) -> dict[str, bytes]:
    """Write the weights and their card; returns the digest of each tensor."""
    content = read_checkpoint(checkpoint)
    network = EmoTalk.empty(*NetworkConfig.from_values(content, str(checkpoint)))
    average = content["average"] or {"weights": {}}
    load_strict(network, content["model"] | average["weights"], checkpoint)
    save_weights(network, folder, _NAME)
    write_card(folder / f"{_NAME}.json", _make_card(content, network.num_slots, description))
    return _hash_tensors(to_released_names(network.state_dict()))


def _hash_tensors(state: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Digest of the type, shape and values of each tensor."""
    digests = {}
    for name, value in state.items():
        array = value.detach().numpy()
        digests[name] = hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).digest()
    return digests


def _make_card(content: dict[str, Any], num_slots: int, description: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance of the weights, and the encoder configurations that are needed to build the network.

    Parameters
    ----------
    content
        Content of the checkpoint.
    num_slots
        Number of subject slots of the network.
    description
        Entries that are not in the checkpoint.
    """
    last = [row for row in content["history"] if row["epoch"] == content["epoch"]]
    return {
        "format": "EmoTalk weights with the released parameter names, float32",
        "released_code": "loads them" if num_slots == NUM_RELEASED_SLOTS else f"cannot load {num_slots} subject slots",
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": "Weights trained on RAVDESS or 3D-ETF are for non-commercial use only, as are these data sets.",
        "epochs": content["epoch"],
        "is_average": content["average"] is not None,
        "losses": {row["split"]: {name: value for name, value in row.items() if name != "split"} for row in last},
        "training_subjects": content["subjects"],
        **description,
        "run": content["identity"],
        "encoders": content["encoders"],
        "num_subject_slots": num_slots,
        "resolved_encoders": content["identity"]["weights"],  # Digests of the encoders, or of the initial weights.
        "versions": library_versions(),
    }
