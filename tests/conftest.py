"""Fixtures of all tests, their distribution over processes, and the sizes of small encoders."""

import os
from collections.abc import Callable
from pathlib import Path

# Before torch is imported: pytest-xdist starts a process per core, and more threads than cores slow each other down.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

import numpy as np
import pytest
import torch
from xdist.scheduler import LoadFileScheduling

from tests.conformance import weights

SHARED = Path(__file__).parents[2] / "shared"
"""Real recordings beside the project; tests that need them are skipped if they are missing."""
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
"""wav2vec2 configuration of encoders that run in milliseconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the folders that take longest first, so that no process works alone at the end."""
    longest = ("tests/workflow/", "tests/unit/training/")
    items.sort(key=lambda item: [folder not in item.path.as_posix() for folder in longest])


class Scheduling(LoadFileScheduling):
    """One process runs all tests of a file, and all tests that share the finished run."""

    def _split_scope(self, nodeid: str) -> str:
        folder, found, _ = nodeid.partition("/finished_run/")
        return folder if found else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> Scheduling:
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def reference() -> dict[str, np.ndarray]:
    """Outputs of the released code."""
    with np.load(CONFORMANCE / "reference.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def released_state() -> dict[str, torch.Tensor]:
    """State dict with released names and reproducible values."""
    import json

    shapes = json.loads((CONFORMANCE / "state_dict_small.json").read_text())
    return {name: torch.from_numpy(weights.parameter(name, tuple(shape))) for name, shape in shapes.items()}


@pytest.fixture
def released(released_state, tmp_path) -> Callable:
    """Function that loads a new network with these weights in the same way as a user."""
    from emotalk.model import load_weights

    def load():
        torch.save(released_state, tmp_path / "released.pth")
        return load_weights(tmp_path / "released.pth", encoder=weights.ENCODER)

    return load


def reconstruct(network, clips, content, emotion, num_frames, *, intensity=0, subject=0):
    """Return tracks and logits of one batch of clips, computed as in training."""
    from emotalk.model.batch_layout import BatchLayout
    from emotalk.model.inputs import ReconstructionSpec
    from emotalk.model.sequences import speech_batch

    clips = [np.asarray(clip, np.float32) for clip in clips]
    samples, count = [len(clip) for clip in clips], len(content)
    spec = ReconstructionSpec(samples, samples, content, emotion, num_frames, [intensity] * count, [subject] * count)
    speech = speech_batch(clips)
    return network(speech, speech, BatchLayout.from_spec(spec, *network.conv_frames))
