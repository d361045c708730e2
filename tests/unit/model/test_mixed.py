"""Layers in mixed precision have the outputs and gradients of plain layers."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from emotalk.model import encoders
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.encoders import SpeechEncoder
from emotalk.model.mixed import attention_bias, mixed_layer
from emotalk.model.positions import positional_embedding
from emotalk.model.sequences import frame_mask
from emotalk.model.wav2vec2 import EncoderLayer, PositionalConvolution, init_parameters

FP32 = torch.float32
MASK = frame_mask([11, 7, 4])


def config(**changes) -> EncoderConfig:
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "feat_extract_norm": "layer"}
    return EncoderConfig(**sizes, **changes)


def states(seed=0) -> torch.Tensor:
    return torch.randn(3, 11, 32, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def outcome(module, x, compute) -> dict[str, torch.Tensor]:
    """Return the output for valid frames, and the gradients of all inputs and parameters."""
    module.zero_grad()
    x.grad = None
    actual = compute(x)[MASK]
    (actual.float() * states(1)[MASK]).sum().backward()
    return {"": actual, "x": x.grad, **{name: each.grad for name, each in module.named_parameters()}}


def assert_same(actual, expected, **tolerance):
    assert actual.keys() == expected.keys()
    for name, each in expected.items():
        torch.testing.assert_close(actual[name].float(), each.float(), **tolerance, msg=lambda text, n=name: n + text)


@pytest.fixture(params=[True, False])
def layer(request):
    torch.manual_seed(0)
    return EncoderLayer(config(do_stable_layer_norm=request.param)).eval()


def plain(layer):
    return lambda x: layer(x, MASK[:, None, None, :])


def mixed(layer, dtype):
    bias = attention_bias(MASK, dtype)
    return lambda x: mixed_layer(layer, x, bias, dtype)


def test_in_fp32_a_layer_and_its_gradients_equal_the_plain_ones(layer):
    expected = outcome(layer, states(), plain(layer))
    assert_same(outcome(layer, states(), mixed(layer, FP32)), expected, atol=1e-5, rtol=1e-4)


def test_in_bf16_a_layer_is_as_accurate_as_the_plain_layer_under_autocast(layer):
    exact = outcome(layer, states(), plain(layer))
    with torch.autocast("cpu", torch.bfloat16):
        cast = outcome(layer, states(), plain(layer))
        actual = outcome(layer, states(), mixed(layer, torch.bfloat16))

    def distance(rounded):
        return sum((rounded[name].float() - exact[name]).square().sum() for name in exact).sqrt().item()

    assert distance(actual) < 1.2 * distance(cast)
    assert all(gradient.dtype == FP32 for name, gradient in actual.items() if name not in ("", "x"))


def test_gradients_of_several_batches_are_accumulated(layer):
    layer.zero_grad()
    for _ in range(2):
        mixed(layer, FP32)(states())[MASK].sum().backward()
    twice = {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}
    layer.zero_grad()
    mixed(layer, FP32)(states())[MASK].sum().backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(twice[name], 2 * parameter.grad, msg=name)


def test_a_frozen_layer_passes_gradients_to_its_input_only(layer):
    layer.requires_grad_(False)
    hidden = states()
    mixed(layer, torch.bfloat16)(hidden).sum().backward()
    assert hidden.grad.isfinite().all()
    assert all(parameter.grad is None for parameter in layer.parameters())


@pytest.fixture(params=[True, False])
def encoder_of(request, monkeypatch):
    """Function that builds encoders in training mode, which use mixed precision on the CPU as on a GPU."""
    monkeypatch.setattr(encoders, "mixed_dtype", lambda device: torch.bfloat16)

    def build(**changes) -> SpeechEncoder:
        torch.manual_seed(0)
        sizes = {"num_hidden_layers": 6, "conv_dim": (32,) * 7, "num_conv_pos_embeddings": 8}
        sizes |= {"do_stable_layer_norm": request.param, "num_conv_pos_embedding_groups": 4}
        return SpeechEncoder(config(**sizes, **changes)).train()

    return build


def gradients(encoder) -> dict[str, torch.Tensor]:
    encoder.zero_grad()
    torch.manual_seed(1)
    encoder.encode(states(), MASK)[MASK].square().sum().backward()
    return {name: each.grad.clone() for name, each in encoder.named_parameters() if each.grad is not None}


def test_skipped_layers_have_no_gradients(encoder_of):
    """Adam skips parameters without a gradient; with a gradient of zero they would still change."""
    actual = gradients(encoder_of(layerdrop=1.0))
    assert "encoder.pos_conv_embed.conv.bias" in actual
    assert not any(name.startswith("encoder.layers.") for name in actual)


def test_gradient_checkpointing_does_not_change_gradients(encoder_of):
    """With dropout, skipped layers and frozen layers, which must be the same in the recomputation."""
    encoder = encoder_of(layerdrop=0.3)
    encoder.encoder.layers[0].requires_grad_(False)
    stored = gradients(encoder)
    encoder.gradient_checkpointing = True
    recomputed = gradients(encoder)
    trained = {name.split(".")[2] for name in stored if name.startswith("encoder.layers.")}
    assert 1 < len(trained) < 5
    assert stored.keys() == recomputed.keys()
    assert all(torch.equal(stored[name], recomputed[name]) for name in stored)


def test_attention_with_the_bias_equals_attention_with_the_mask():
    query, key, value = torch.randn(3, 3, 2, 11, 8, generator=torch.Generator().manual_seed(0))
    expected = scaled_dot_product_attention(query, key, value, attn_mask=MASK[:, None, None, :])
    actual = scaled_dot_product_attention(query, key, value, attn_mask=attention_bias(MASK, FP32))
    torch.testing.assert_close(actual, expected)


def test_the_stride_of_the_bias_is_a_multiple_of_eight():
    """Otherwise attention on a GPU copies the bias in every layer."""
    assert attention_bias(MASK, torch.bfloat16).stride(0) % 8 == 0


@pytest.mark.parametrize(("size", "groups"), [(8, 4), (7, 2), (16, 1), (2, 8), (1, 4)])
def test_positions_and_their_gradients_equal_those_of_the_plain_convolution(size, groups):
    torch.manual_seed(0)
    sizes = {"num_conv_pos_embeddings": size, "num_conv_pos_embedding_groups": groups}
    embedding = PositionalConvolution(config(**sizes))
    init_parameters(embedding, std=1.0)
    expected = outcome(embedding, states(), embedding)
    actual = outcome(embedding, states(), lambda x: positional_embedding(embedding, x, FP32))
    assert_same(actual, expected, atol=1e-5, rtol=1e-4)


def test_gradients_of_the_positional_convolution_equal_finite_differences():
    from emotalk.model.positions import _GroupedConvolution

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 5, 3, dtype=torch.float64, generator=generator).requires_grad_()
    kernel = torch.randn(2, 4, 3, 2, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: _GroupedConvolution.apply(*given, 2), (x, kernel))
