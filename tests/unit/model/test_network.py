import numpy as np
import pytest
import torch

from emotalk.errors import EmoTalkError
from emotalk.model import EmoTalk
from emotalk.model.batch_layout import ConvFrames, Interpolation, interpolation_positions, num_emotion_frames
from emotalk.model.decoder import causal_bias
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.sequences import normalize
from tests.conftest import TINY, reconstruct


@pytest.fixture
def network() -> EmoTalk:
    torch.manual_seed(0)
    network = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY)).eval()
    torch.nn.init.normal_(network.bs_map_r.weight, std=0.1)
    return network


def waveform(num_samples: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(num_samples).astype(np.float32)


def test_an_empty_network_has_only_tensors_that_weights_contain(network):
    empty = EmoTalk.empty(EncoderConfig(**TINY), EncoderConfig(**TINY))
    assert {name for name, _ in empty.named_buffers()} <= empty.state_dict().keys()
    assert [(name, p.shape, p.requires_grad) for name, p in empty.named_parameters()] == [
        (name, p.shape, p.requires_grad) for name, p in network.named_parameters()
    ]


def test_a_padded_batch_equals_single_clips(network):
    """docs/method.md: outputs, logits and gradients of a padded batch are those of single clips."""
    clips = [waveform(n, n) for n in (16_000, 25_000, 9000, 31_234)]
    frames = [30, 44, 17, 58]
    tracks, logits = reconstruct(network, clips, [0, 1, 2, 3], [1, 0, 3, 2], frames)
    sum(track[:n].square().mean() for track, n in zip(tracks, frames, strict=True)).backward()
    together = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    for i, (own, reference) in enumerate(zip((0, 1, 2, 3), (1, 0, 3, 2), strict=True)):
        track, logit = reconstruct(network, [clips[own], clips[reference]], [0], [1], [frames[i]])
        torch.testing.assert_close(tracks[i, : frames[i]], track[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(logits[i], logit[0], atol=1e-5, rtol=1e-4)
        track[0].square().mean().backward()
    for name, parameter in network.named_parameters():
        if name in together:
            torch.testing.assert_close(together[name], parameter.grad, atol=1e-5, rtol=1e-3, msg=name)


def test_each_distinct_clip_and_length_is_encoded_once(network, monkeypatch):
    counts = {"conv": [], "transformer": []}
    kind = type(network.audio_encoder_cont)
    conv, encode = kind.conv_features, kind.encode
    monkeypatch.setattr(kind, "conv_features", lambda self, w: counts["conv"].append(len(w)) or conv(self, w))
    monkeypatch.setattr(kind, "encode", lambda self, f, m: counts["transformer"].append(len(f)) or encode(self, f, m))
    clips = [waveform(16_000, i) for i in range(2)]
    reconstruct(
        network, clips, [0, 1, 0], [1, 0, 0], [30, 31, 29]
    )  # the paper's pair: 3 content views, 2 emotion passes
    assert counts == {"conv": [2, 2], "transformer": [3, 2]}
    reconstruct(network, clips, [0, 1, 0], [1, 0, 0], [30, 31, 30])  # the report's: A twice at its own length
    assert counts["transformer"][2:] == [2, 2]


def test_gradient_checkpointing_does_not_change_gradients(network):
    def gradients():
        network.zero_grad()
        torch.manual_seed(1)
        tracks, logits = reconstruct(network.train(), [waveform(16_000), waveform(9000)], [0, 1], [1, 0], [30, 17])
        (tracks.square().mean() + logits.square().mean()).backward()
        return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}

    stored = gradients()
    network.set_gradient_checkpointing(True)
    recomputed = gradients()
    assert stored.keys() == recomputed.keys()
    assert all(torch.equal(stored[name], recomputed[name]) for name in stored)


def test_only_the_convolutional_stacks_are_frozen(network):
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(".feature_extractor." in name for name in frozen)
    assert not any(".feature_extractor." in name for name, p in network.named_parameters() if p.requires_grad)


def test_a_new_network_predicts_the_neutral_face():
    network = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))
    assert not network.predict(waveform(16_000), intensity=0, subject=0).any()


def test_prediction_restores_the_training_mode(network):
    network.train()
    first, second = (network.predict(waveform(8000), intensity=0, subject=0) for _ in range(2))
    assert network.training
    assert (first == second).all()


def test_the_subject_may_be_a_mixture(network):
    own = network.predict(waveform(8000), intensity=0, subject=3)
    one_hot = np.eye(24)[3].tolist()
    np.testing.assert_allclose(network.predict(waveform(8000), intensity=0, subject=one_hot), own, atol=1e-6)
    assert not np.allclose(network.predict(waveform(8000), intensity=0, subject=[1 / 24] * 24), own)


def test_indices_may_be_numpy_integers(network):
    plain = network.predict(waveform(8000), intensity=1, subject=3)
    assert (network.predict(waveform(8000), intensity=np.int8(1), subject=np.int8(3)) == plain).all()


def test_an_emotion_reference_changes_the_motion_but_not_its_length(network):
    own = network.predict(waveform(8000), intensity=0, subject=0)
    other = network.predict(waveform(8000), intensity=0, subject=0, emotion_from=waveform(12_000, 1))
    assert other.shape == own.shape == (15, 52)
    assert not np.allclose(own, other)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (dict(waveform=np.zeros(719, np.float32)), "719 samples; at least 720"),
        (dict(waveform=np.zeros((1, 8000), np.float32)), r"shape \(1, 8000\)"),
        (dict(waveform=np.full(8000, np.nan, np.float32)), "NaN"),
        (dict(intensity=2), "intensity is 2; the network has the indices 0 to 1"),
        (dict(subject=24), "subject is 24; the network has the indices 0 to 23"),
        (dict(subject=-1), "subject is -1"),
        (dict(subject=[0.5, 0.5]), "2 weights; the network has 24"),
        (dict(emotion_from=np.zeros(10, np.float32)), "10 samples"),
    ],
)
def test_invalid_inputs_of_a_prediction_are_errors(network, bad, message):
    with pytest.raises(EmoTalkError, match=message):
        network.predict(**{"waveform": waveform(8000), "intensity": 0, "subject": 0, **bad})


def test_the_bias_of_the_decoder_is_causal_and_decreases_every_30_frames():
    bias = causal_bias(95, torch.device("cpu"))
    assert bias.shape == (4, 95, 95)
    assert torch.isinf(bias[:, 3, 4:]).all()
    expected = [-slope * 3 for slope in (1 / 4, 1 / 16, 1 / 64, 1 / 256)]
    assert bias[:, 94, 0].tolist() == pytest.approx(expected)
    assert not bias[:, 29, 0].any()
    assert bias[0, 30, 0] == -0.25


@pytest.mark.parametrize(("conv", "frames"), [(205, 122), (410, 245), (50, 30), (2, 1), (1, 0)])
def test_emotion_frames_follow_the_released_float_formula(conv, frames):
    assert num_emotion_frames(conv) == frames


@pytest.mark.parametrize(("num_in", "num_out"), [(50, 30), (30, 50), (181, 108), (7, 7), (5, 1), (1, 4), (499, 300)])
def test_resampling_equals_linear_interpolation_of_torch(num_in, num_out):
    source = torch.randn(2, 600, 3)
    resampling = Interpolation.from_positions(
        [600, num_in], [1, 0], [interpolation_positions(num_in, num_out), interpolation_positions(600, 450)]
    )
    expected = torch.nn.functional.interpolate(
        source[1, :num_in].T[None], size=num_out, mode="linear", align_corners=True
    )[0].T
    torch.testing.assert_close(resampling(source)[0, :num_out], expected, atol=1e-6, rtol=1e-6)
    assert resampling.mask.sum(dim=1).tolist() == [num_out, 450]


def test_resampling_preserves_straight_lines():
    line = torch.linspace(0, 1, 50)[None, :, None].expand(1, 50, 3)
    actual = Interpolation.from_positions([50], [0], [interpolation_positions(50, 30)])(line)
    torch.testing.assert_close(actual[0], torch.linspace(0, 1, 30)[:, None].expand(30, 3))


def test_the_attention_mask_is_none_without_padding():
    assert (
        Interpolation.from_positions(
            [50, 40], [0, 1], [interpolation_positions(50, 30), interpolation_positions(40, 30)]
        ).attention_mask
        is None
    )
    assert (
        Interpolation.from_positions(
            [50, 40], [0, 1], [interpolation_positions(50, 30), interpolation_positions(40, 29)]
        ).attention_mask.sum()
        == 59
    )


def test_frame_counts_equal_those_of_the_released_convolutional_stack():
    """A second of audio gives 49 frames (docs/method.md: 50 Hz)."""
    conv = ConvFrames([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2])
    assert [conv.count(samples) for samples in (16_000, 400, 399, 720)] == [49, 1, 0, 2]


def test_normalized_audio_has_mean_0_and_variance_1_and_silence_is_finite():
    normal = normalize(waveform(16_000) + 3)
    assert abs(normal.mean()) < 1e-5
    assert normal.var() == pytest.approx(1, abs=1e-4)
    assert not normalize(np.zeros(100, np.float32)).any()
