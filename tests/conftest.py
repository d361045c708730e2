from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conformance import weights

SHARED = Path(__file__).parents[2] / "shared"
"""Real recordings lie beside the project, where they are; tests that need them skip where they are not."""
CONFORMANCE = Path(__file__).parent / "conformance"

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8, 8, 8],
    "conv_kernel": [10, 16, 20],
    "conv_stride": [4, 8, 10],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
"""wav2vec2 configuration values of encoders that take milliseconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of the workflow first: they take longest, and processes share files in this order."""
    items.sort(key=lambda item: "tests/workflow" not in item.path.as_posix())


@pytest.fixture(scope="session")
def reference() -> dict[str, np.ndarray]:
    """What the released code answers."""
    with np.load(CONFORMANCE / "reference.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def released_state() -> dict[str, torch.Tensor]:
    """The recomputable state dict under its released names."""
    import json

    shapes = json.loads((CONFORMANCE / "state_dict_small.json").read_text())
    return {name: torch.from_numpy(weights.parameter(name, tuple(shape))) for name, shape in shapes.items()}


@pytest.fixture
def released(released_state, tmp_path) -> Callable:
    """A fresh network with these weights, loaded as a user loads them."""
    from emotalk.model import load_weights

    def load():
        torch.save(released_state, tmp_path / "released.pth")
        return load_weights(tmp_path / "released.pth", encoder=weights.ENCODER)

    return load


def reconstruct(network, clips, content, emotion, num_frames, *, level=0, person=0):
    """Tracks and logits for one batch of clips, as training computes them."""
    from emotalk.model.inputs import Request
    from emotalk.model.layout import Layout
    from emotalk.model.sequences import speech_batch

    clips = [np.asarray(clip, np.float32) for clip in clips]
    samples, count = [len(clip) for clip in clips], len(content)
    request = Request(samples, samples, content, emotion, num_frames, [level] * count, [person] * count)
    speech = speech_batch(clips)
    return network(speech, speech, Layout.of(request, *network.conv_frames))
