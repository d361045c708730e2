"""Files of weights, and their card: a JSON file that describes how they were trained and how to build the network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotalk.errors import WeightsError
from emotalk.model.encoder_config import RELEASED_ENCODER, NetworkConfig

_REFERENCES = ".emotions.safetensors"


def find_weights(path: Path) -> Path:
    """Return the path of a weights file or card; for a folder, the card or the only weights file in it.

    Raises
    ------
    WeightsError
        If there is no such file, or a folder contains no weights, or several files of one kind.
    """
    if not path.is_dir():
        if not weights_file(path).is_file():
            raise WeightsError(
                f"File {weights_file(path)} does not exist. Train first, or set a .pth, a .safetensors or a card "
                "(.json) beside its weights, with --weights or the setting predict.weights."
            )
        return path
    for suffix in (".json", ".safetensors", ".pth"):
        found = sorted(file for file in path.glob(f"*{suffix}") if not file.name.endswith(_REFERENCES))
        if len(found) == 1:
            return found[0]
        if found:
            raise WeightsError(f"{path} contains {len(found)} {suffix} files; set one of them.")
    raise WeightsError(f"{path} contains no weights. Train first, or set a .pth, a .safetensors or a card (.json).")


def weights_file(path: Path) -> Path:
    """Return the file that contains the tensors: for a card, the .safetensors file beside it."""
    return path.with_suffix(".safetensors") if path.suffix == ".json" else path


def references_file(weights: Path) -> Path:
    """Return the path of the emotion references beside weights; see `emotalk.model.emotion_references`."""
    return weights.with_suffix(_REFERENCES)


def read_network_config(path: Path, encoder: Mapping[str, Any] | None = None) -> NetworkConfig:
    """Return the encoder configurations and the number of subject slots of weights.

    Parameters
    ----------
    path
        Weights file or card.
    encoder
        wav2vec2 configuration values of both encoders; by default those of the card, without a card the released ones.

    Raises
    ------
    WeightsError
        If the card is not valid, or a value in it is out of range.
    """
    card = read_card(path)
    if card is None or encoder is not None:
        both = RELEASED_ENCODER if encoder is None else encoder
        card = {**(card or {}), "encoders": {"content": both, "emotion": both}}
    source = str(path.with_suffix(".json")) if encoder is None else "the argument 'encoder'"
    return NetworkConfig.from_values(card, source)


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write a card; `encoders` and `num_subject_slots` are read by `read_network_config`."""
    path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_card(weights: Path) -> dict[str, Any] | None:
    """Read the card beside a weights file; return None if the file has no card.

    Raises
    ------
    WeightsError
        If the card is not valid.
    """
    path = weights.with_suffix(".json")
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if not {"content", "emotion"} <= card["encoders"].keys():
            raise ValueError("'encoders' must have the keys content and emotion")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{path} is not a valid card of EmoTalk weights ({error}). Create it again with rule 'extract'."
        ) from None
    return card
