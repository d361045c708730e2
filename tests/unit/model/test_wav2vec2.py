"""Our wav2vec2 has the outputs and gradients of the one in transformers."""

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.encoders import SpeechEncoder
from emotalk.model.sequences import frame_mask
from tests.conftest import TINY

LENGTHS = [16_000, 9000, 12_345]


@pytest.fixture(params=[True, False])
def is_stable(request):
    return request.param


@pytest.fixture(params=[0, 1, 2])
def values(request, is_stable) -> dict:
    """Sizes and activations of a small encoder."""
    changes = [
        {"conv_bias": True, "layer_norm_eps": 1e-3},
        {"conv_bias": False, "hidden_act": "gelu_new", "feat_extract_activation": "relu", "num_conv_pos_embeddings": 5},
        {"conv_dim": (6, 10, 12), "hidden_size": 48, "num_attention_heads": 6, "hidden_act": "silu"},
    ][request.param]
    return TINY | {"num_hidden_layers": 3, "do_stable_layer_norm": is_stable, **changes}


@pytest.fixture
def pair(values) -> tuple[SpeechEncoder, Wav2Vec2Model]:
    """Our encoder and that of transformers with the same parameters, which differ from the initial ones."""
    torch.manual_seed(0)
    theirs = Wav2Vec2Model(Wav2Vec2Config(**values)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours = SpeechEncoder(EncoderConfig(**values)).eval()
    mismatch = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert mismatch == (["lm_head.weight", "lm_head.bias"], [])
    return ours, theirs


def speech() -> tuple[torch.Tensor, torch.Tensor]:
    """Return three clips, padded with zeros at the end, and the mask of valid samples."""
    mask = frame_mask(LENGTHS)
    return torch.randn(mask.shape, generator=torch.Generator().manual_seed(1)) * mask, mask


def encoded(ours: SpeechEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Return hidden states of the padded batch, and the mask of valid frames."""
    mask = frame_mask([ours.conv_frames.count(length) for length in LENGTHS])
    return ours.encode(ours.conv_features(speech()[0]), mask), mask


def test_parameters_have_the_same_names_in_the_same_order(pair):
    """The optimizer state in checkpoints identifies parameters by their order."""
    ours, theirs = ([(name, p.shape) for name, p in encoder.named_parameters()] for encoder in pair)
    assert [name for name, _ in ours[-2:]] == ["lm_head.weight", "lm_head.bias"]
    assert ours[:-2] == theirs


def test_hidden_states_of_a_padded_batch_are_the_same(pair):
    ours, theirs = pair
    waveforms, mask = speech()
    with torch.no_grad():
        actual, valid = encoded(ours)
        expected = theirs(waveforms, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(actual[valid], expected[valid], atol=1e-5, rtol=1e-5)


def test_hidden_states_of_one_clip_are_the_same(pair):
    ours, theirs = pair
    waveform = speech()[0][:1]
    with torch.no_grad():
        actual = ours.encode(ours.conv_features(waveform), None)
        torch.testing.assert_close(actual, theirs(waveform).last_hidden_state, atol=1e-5, rtol=1e-5)


def test_gradients_are_the_same(pair):
    ours, theirs = pair
    waveforms, mask = speech()
    actual, valid = encoded(ours)
    weights = torch.randn(actual[valid].shape, generator=torch.Generator().manual_seed(2))
    (actual[valid] * weights).sum().backward()
    theirs.freeze_feature_encoder()
    (theirs(waveforms, attention_mask=mask).last_hidden_state[valid] * weights).sum().backward()
    gradients = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    expected = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        tolerance = 1e-5 * gradient.abs().max().clamp(min=1).item()
        torch.testing.assert_close(
            gradients[name], gradient, atol=tolerance, rtol=1e-4, msg=lambda text, n=name: n + text
        )


def test_random_encoders_have_the_stated_distributions():
    sizes = {"hidden_size": 256, "intermediate_size": 512, "conv_dim": (128, 128, 128), "initializer_range": 0.05}
    torch.manual_seed(0)
    state = SpeechEncoder(EncoderConfig(**TINY | sizes)).state_dict()

    def std(name):
        return state[name].std().item()

    for name in ("feature_projection.projection", "encoder.layers.0.feed_forward.output_dense", "lm_head"):
        assert std(f"{name}.weight") == pytest.approx(0.05, rel=0.05)
        assert not state[f"{name}.bias"].any()
    layer = "feature_extractor.conv_layers.1"
    assert std(f"{layer}.conv.weight") == pytest.approx((2 / (128 * 16)) ** 0.5, rel=0.05)
    assert std(f"{layer}.conv.bias") == pytest.approx((1 / (128 * 16) / 3) ** 0.5, rel=0.2)
    assert std("encoder.pos_conv_embed.conv.parametrizations.weight.original1") == pytest.approx(
        (1 / (128 * 4) / 3) ** 0.5, rel=0.05
    )
    assert (state["encoder.layer_norm.weight"] == 1).all()


def test_a_new_positional_convolution_has_the_weights_of_its_directions():
    torch.manual_seed(0)
    convolution = SpeechEncoder(EncoderConfig(**TINY)).encoder.pos_conv_embed.conv
    torch.testing.assert_close(convolution.weight, convolution.parametrizations["weight"].original1)
