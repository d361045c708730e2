"""Batched losses equal a simple implementation of the paper's equations for single clips."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from emotalk.config.training import LossWeights
from emotalk.data.clips import ClipStore, from_int16
from emotalk.model.pretrained import build_network
from emotalk.training.batches import BatchMaker
from emotalk.training.losses import loss_terms, squared_error, squared_velocity_error, total_loss
from tests.conftest import reconstruct
from tests.unit.training.conftest import example


@pytest.fixture
def network(settings):
    torch.manual_seed(0)
    network = build_network(settings().model.content_encoder, settings().model.emotion_encoder)
    torch.nn.init.normal_(network.bs_map_r.weight, std=0.1)
    return network.eval()


def naive(network, store, row, velocity_on) -> dict[str, float]:
    """Loss terms of one example, with a separate forward pass for each output."""

    def output(content, emotion, target):
        clips = [from_int16(store[name].waveform) for name in (content, emotion)]
        labels = {"intensity": row["intensity"], "subject": row["subject"]}
        track, logits = reconstruct(network, clips, [0], [1], [len(store[target].track)], **labels)
        return track[0], torch.tensor(store[target].track), logits[0]

    def mse(track, target):
        return torch.mean((track - target) ** 2)

    def velocity(track, target):
        return mse(track[1:] - track[:-1], target[1:] - target[:-1])

    a12, a21 = row["audio_c1e2"], row["audio_c2e1"]
    own = output(a12, a12, a12)
    terms = {"cross": 0.0, "self": mse(*own[:2]), "velocity": 0.0, "classification": 0.0}
    if row["kind"] == "self":
        terms["velocity"] = velocity(*own[:2])
    else:
        first, second = output(a12, a21, row["track_c1e1"]), output(a21, a12, row["track_c2e2"])
        terms["cross"] = mse(*first[:2]) + mse(*second[:2])
        outputs = {"every": (first, second, own), "cross": (first, second), "first": (first,)}[velocity_on]
        terms["velocity"] = sum(velocity(*one[:2]) for one in outputs)
        if row["kind"] == "cross":
            terms["classification"] = cross_entropy(first[2], torch.tensor(row["emotion_e1"])) + cross_entropy(
                second[2], torch.tensor(row["emotion_e2"])
            )
    return {name: float(value) for name, value in terms.items()}


@pytest.mark.parametrize("velocity_on", ["every", "cross", "first"])
@pytest.mark.parametrize("kinds", [["cross"], ["self"], ["random"], ["cross", "self", "random"]])
def test_terms_of_a_batch_are_the_means_over_single_examples(network, clips, kinds, velocity_on):
    store = ClipStore(clips)
    rows = [example(kind) for kind in kinds]
    with torch.no_grad():
        batch = BatchMaker(store, network.conv_frames, velocity_on)(rows)
        terms = loss_terms(*network(batch.audio.content, batch.audio.emotion, batch.layout), batch)
        singles = [naive(network, store, row, velocity_on) for row in rows]
    for name, value in terms.items():
        assert value.item() == pytest.approx(np.mean([single[name] for single in singles]), abs=1e-5), name


def test_total_loss_is_the_weighted_sum():
    terms = {name: torch.tensor(float(10**i)) for i, name in enumerate(("cross", "self", "velocity", "classification"))}
    assert total_loss(terms, LossWeights(self=2.0)).item() == pytest.approx(1 + 20 + 50 + 100)


def test_padding_does_not_affect_errors():
    tracks, targets = torch.full((2, 5, 52), 9.0), torch.zeros(2, 5, 52)
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    tracks[1, :2] = 1.0
    assert squared_error(tracks, targets, mask).tolist() == [81.0, 1.0]
    assert squared_velocity_error(tracks, targets, mask).tolist() == [0.0, 0.0]


def test_velocity_error_of_a_ramp_against_a_constant_is_its_slope_squared():
    ramp = 0.1 * torch.arange(10.0)[None, :, None].expand(1, 10, 52)
    mask = torch.ones(1, 10, dtype=torch.bool)
    assert squared_velocity_error(ramp, torch.zeros_like(ramp), mask).item() == pytest.approx(0.01)


def test_velocity_error_of_a_single_frame_is_zero():
    one = torch.ones(1, 1, 52)
    assert squared_velocity_error(one, 0 * one, torch.ones(1, 1, dtype=torch.bool)).tolist() == [0.0]
