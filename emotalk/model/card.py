"""The card: a JSON file beside weights that says how they were made and how to build their network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotalk.errors import WeightsError


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write a card; `encoders` holds the wav2vec2 configuration values of `content` and `emotion`."""
    path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_card(weights: Path) -> dict[str, Any] | None:
    """Card beside a weights file, or None if there is none.

    Raises
    ------
    WeightsError
        If there is one that is no card.
    """
    path = weights.with_suffix(".json")
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if not {"content", "emotion"} <= card["encoders"].keys():
            raise KeyError("content, emotion")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{path} is no card of EmoTalk weights ({error}). Make it again by rule 'extract'."
        ) from None
    return card
