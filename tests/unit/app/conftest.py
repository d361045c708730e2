"""Weights and speech for tests of the app."""

import numpy as np
import pytest
import soundfile
import torch

from emotalk.model import EmoTalk
from emotalk.model.card import write_card
from emotalk.model.emotion_references import EmotionReferences
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.weights import save_weights
from tests.conftest import TINY


@pytest.fixture(scope="session")
def app_weights(tmp_path_factory):
    """Folders of two different weights; only the card of the first has training subjects."""
    root = tmp_path_factory.mktemp("weights")
    for seed, (name, card) in enumerate({"a": {"training_subjects": [1, 3], "epochs": 7}, "b": {}}.items()):
        torch.manual_seed(seed)
        network = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))
        torch.nn.init.normal_(network.bs_map_r.weight, std=0.002)
        torch.nn.init.constant_(network.bs_map_r.bias, 0.5)
        folder = root / name / "weights"
        folder.mkdir(parents=True)
        save_weights(network, folder, "emotalk")
        write_card(folder / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}} | card)
        names = ("angry", "happy") if name == "a" else ("angry", "sad")
        features = {(emotion, "normal"): torch.randn(30, TINY["hidden_size"]) for emotion in names}
        EmotionReferences(features, dict.fromkeys(features, "clip")).save(folder / "emotalk.emotions.safetensors")
    return [root / "a/weights", root / "b/weights"]


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """Two seconds of noise."""
    path = tmp_path_factory.mktemp("speech") / "hello you.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 32_000).astype("f4"), 16_000)
    return path
