"""Our network has the outputs of the released one (tests/conformance/README.md)."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from emotalk.config.training import LossWeights
from emotalk.data.clips import Clip
from emotalk.model import EmoTalk
from emotalk.model.encoder_config import RELEASED_ENCODER, EncoderConfig
from emotalk.model.weights import to_released_names
from emotalk.training import batches
from emotalk.training.finite import FiniteGuard
from emotalk.training.optimizer import Optimizer
from emotalk.training.trainer import training_step
from tests.conformance import weights
from tests.conftest import CONFORMANCE, reconstruct


def forward(network, waveforms, content, emotion, num_frames, *, intensity, subject):
    with torch.no_grad():
        tracks, logits = reconstruct(
            network, waveforms, content, emotion, num_frames, intensity=intensity, subject=subject
        )
    return [track[:length].numpy() for track, length in zip(tracks, num_frames, strict=True)], logits


@pytest.mark.parametrize("i", range(4))
def test_predictions_equal_the_released_ones(released, reference, i):
    waveform = weights.waveform(i, weights.PREDICT_SAMPLES[i])
    predicted = released().predict(waveform, intensity=weights.PREDICT_LEVEL[i], subject=weights.PREDICT_PERSON[i])
    np.testing.assert_allclose(predicted, reference[f"predict_{i}"], atol=1e-4)


def test_the_training_forward_equals_the_released_one_in_one_padded_batch(released, reference):
    waveforms = [weights.waveform(i, weights.PREDICT_SAMPLES[i]) for i in (0, 1)]
    tracks, logits = forward(released(), waveforms, [0, 0], [1, 0], [91, 117], intensity=1, subject=7)
    np.testing.assert_allclose(tracks[0], reference["forward_bs_output11"], atol=1e-4)
    np.testing.assert_allclose(tracks[1], reference["forward_bs_output12"], atol=1e-4)
    np.testing.assert_allclose(logits[0], reference["forward_label1"], atol=1e-4)


def test_the_papers_pair_has_the_released_losses(released, reference):
    waveforms = [weights.waveform(30, 50_000), weights.waveform(31, 56_000)]
    targets = [weights.track(30, 97), weights.track(31, 101), weights.track(32, 93)]
    tracks, logits = forward(released(), waveforms, [0, 1, 0], [1, 0, 0], [97, 101, 93], intensity=1, subject=4)
    errors = [np.square(track - target).mean() for track, target in zip(tracks, targets, strict=True)]
    assert errors[0] + errors[1] == pytest.approx(reference["paper_cross"], abs=1e-4)
    assert errors[2] == pytest.approx(reference["paper_self"], abs=1e-4)
    np.testing.assert_allclose(logits[0], reference["paper_logits_21"], atol=1e-4)
    np.testing.assert_allclose(logits[1], reference["paper_logits_12"], atol=1e-4)
    entropies = cross_entropy(logits[:2], torch.tensor([3, 0]), reduction="none")
    np.testing.assert_allclose(
        entropies, [reference["paper_ce_21_is_class3"], reference["paper_ce_12_is_class0"]], atol=1e-4
    )


@pytest.fixture
def threads_of_the_reference():
    """Use two threads as in the reference.

    Adam amplifies gradients that are only rounding errors, so that the order of sums matters after five steps: with two
    threads the difference from the reference is 2e-6, with one or four threads 1.2e-4.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_of_the_reference")
def test_five_steps_of_the_reports_recipe_follow_the_released_trajectory(released, reference, monkeypatch):
    network = released().train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    monkeypatch.setattr(batches, "from_int16", lambda samples: samples)
    guard = FiniteGuard(torch.device("cpu"))
    optimizer = Optimizer(network.trainable_parameters(), 1e-4, guard, moments="fp32", precision="fp32")
    example = dict(
        kind="random", audio_c1e2="A", audio_c2e1="B", track_c1e1="A", track_c2e2="B", subject=0, intensity=1
    )
    for k in range(5):
        store = {
            "A": Clip("A", weights.waveform(10 + 2 * k, 40_000 + 1600 * k), weights.track(10 + 2 * k, 75 + 3 * k)),
            "B": Clip("B", weights.waveform(11 + 2 * k, 47_000 - 800 * k), weights.track(11 + 2 * k, 88 - k)),
        }
        batch = batches.BatchMaker(store, network.conv_frames, velocity_on="first")([example])
        loss_weights = LossWeights(cross=1, self=1, velocity=0.5, classification=0)
        terms = training_step(network, optimizer, [batch], loss_weights, precision="fp32")
        if k == 0:
            assert_gradients_equal(network)
        actual = [terms[name].item() for name in ("cross", "self", "velocity", "loss")]
        np.testing.assert_allclose(actual, reference["report_trajectory"][k], rtol=1e-3)
    waveform = weights.waveform(0, weights.PREDICT_SAMPLES[0])
    predicted = network.predict(waveform, intensity=weights.PREDICT_LEVEL[0], subject=weights.PREDICT_PERSON[0])
    np.testing.assert_allclose(predicted, reference["predict_after_5_steps"], atol=1e-4)


def assert_gradients_equal(network) -> None:
    expected = json.loads((CONFORMANCE / "gradient_norms_step0.json").read_text())
    actual = {
        name: 0.0 if parameter.grad is None else parameter.grad.norm().item()
        for name, parameter in to_released_names(dict(network.named_parameters())).items()
    }
    assert actual.keys() == expected.keys()
    for name, norm in expected.items():
        assert actual[name] == pytest.approx(norm or 0.0, rel=1e-3, abs=1e-6), name


def test_the_full_size_network_has_the_882_released_names_and_shapes():
    with torch.device("meta"):
        network = EmoTalk.from_configs(EncoderConfig(**RELEASED_ENCODER), EncoderConfig(**RELEASED_ENCODER))
    shapes = {name: list(value.shape) for name, value in to_released_names(network.state_dict()).items()}
    assert shapes == json.loads((CONFORMANCE / "state_dict_full.json").read_text())
    assert len(shapes) == 882
    assert sum(p.numel() for p in network.parameters()) == 640_570_427
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 632_150_075
