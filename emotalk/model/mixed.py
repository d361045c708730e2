"""The encoders' layers in mixed precision, by few and large kernels.

A GPU waits for its host where kernels are many and small: a plain layer under autocast asks for about 95 per step, of
which 43 only convert numbers, one weight or gradient at a time. Here a layer's weights are rounded together, and so are
their gradients widened, and query, key and value are one product: about 45. Parameters and results are the layer's own.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from emotalk.model.wav2vec2 import EncoderLayer

_ALIGNMENT = 8
"""Rows of a bias must lie a multiple of as many numbers apart, or attention copies it in every layer."""


class _Rounded(torch.autograd.Function):
    """Parameters in 16 bits, those of a group one behind the other; their gradients in fp32.

    One kernel for all of them in either direction (`_foreach_copy_` converts). `groups` tells how many parameters, in
    their order, make each group.
    """

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, groups: Sequence[int], *parameters: Tensor) -> tuple[Tensor, ...]:
        grouped = _grouped(parameters, groups)
        ctx.lengths = [[len(each) for each in group] for group in grouped]
        rounded, parts = [], []
        for group, lengths in zip(grouped, ctx.lengths, strict=True):
            rounded.append(group[0].new_empty((sum(lengths), *group[0].shape[1:]), dtype=dtype))
            parts += rounded[-1].split(lengths)
        torch._foreach_copy_(parts, parameters)
        return tuple(rounded)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        split = zip(gradients, ctx.lengths, strict=True)
        parts = [part for gradient, lengths in split for part in gradient.split(lengths)]
        as_fp32 = [torch.empty_like(part, dtype=torch.float32) for part in parts]
        torch._foreach_copy_(as_fp32, parts)
        return None, None, *as_fp32


def _grouped(parameters: Sequence[Tensor], groups: Sequence[int]) -> list[list[Tensor]]:
    remaining = iter(parameters)
    return [list(islice(remaining, count)) for count in groups]


def mixed_type(device: torch.device) -> torch.dtype | None:
    """Type of mixed precision's products; None where all is fp32, and on the CPU, which gains nothing here."""
    is_mixed = device.type == "cuda" and torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if is_mixed else None


def attention_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Bias (V, 1, 1, T) for all layers' attention: -inf where the mask (V, T) has no frame."""
    num_frames = mask.shape[1]
    valid = pad(mask, (0, -num_frames % _ALIGNMENT))
    bias = torch.zeros_like(valid, dtype=dtype).masked_fill(~valid, float("-inf"))
    return bias[:, None, None, :num_frames]


def mixed_layer(layer: EncoderLayer, hidden: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Run one transformer layer.

    Parameters
    ----------
    hidden : (V, T, C) float32
        Stays fp32 from layer to layer: what the layers add to it would drown in rounding.
    bias : (V, 1, 1, T), optional
        From `attention_bias`, in `dtype`.
    dtype
        What products are computed in.

    Returns
    -------
    (V, T, C) float32
    """
    attention, feed = layer.attention, layer.feed_forward
    projections = attention.q_proj, attention.k_proj, attention.v_proj
    others = attention.out_proj, feed.intermediate_dense, feed.output_dense
    parameters = [*(each.weight for each in projections), *(each.bias for each in projections)]
    parameters += [parameter for each in others for parameter in (each.weight, each.bias)]
    rounded = _Rounded.apply(dtype, (3, 3, 1, 1, 1, 1, 1, 1), *parameters)
    of_heads, of_output, of_intermediate, of_feed_output = zip(rounded[::2], rounded[1::2], strict=True)

    def attend(x: Tensor) -> Tensor:
        parts = linear(x.to(dtype), *of_heads).unflatten(-1, (3, attention.num_heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        return linear(attention.attend(query, key, value, bias), *of_output)

    def transform(x: Tensor) -> Tensor:
        inner = feed.intermediate_dropout(feed.activation(linear(x.to(dtype), *of_intermediate)))
        return feed.output_dropout(linear(inner, *of_feed_output))

    return layer.combine(hidden, attend, transform)
