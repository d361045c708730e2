"""Transformer layers of the encoders in mixed precision, with fewer kernel launches than autocast.

With many small kernels a GPU waits for the CPU. A plain layer under autocast launches about 95 kernels per step, of
which 43 only convert single weights or gradients. Here all weights of a layer are cast together, their gradients too,
and query, key and value are one matrix product: about 45 kernels. Parameters and results are those of the plain layer.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from emotalk.model.wav2vec2 import EncoderLayer

_ALIGNMENT = 8
"""The stride of the rows of an attention bias must be a multiple of this number; else attention copies the bias."""


class _CastTo16Bit(torch.autograd.Function):
    """Cast parameters to a 16-bit type, concatenated by group, and their gradients back to fp32.

    `_foreach_copy_` casts all parameters in one kernel. `groups` is the number of parameters in each group.
    """

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, groups: Sequence[int], *parameters: Tensor) -> tuple[Tensor, ...]:
        grouped = _split_into_groups(parameters, groups)
        ctx.lengths = [[len(each) for each in group] for group in grouped]
        outputs, parts = [], []
        for group, lengths in zip(grouped, ctx.lengths, strict=True):
            outputs.append(group[0].new_empty((sum(lengths), *group[0].shape[1:]), dtype=dtype))
            parts += outputs[-1].split(lengths)
        torch._foreach_copy_(parts, parameters)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        split = zip(gradients, ctx.lengths, strict=True)
        parts = [part for gradient, lengths in split for part in gradient.split(lengths)]
        as_fp32 = [torch.empty_like(part, dtype=torch.float32) for part in parts]
        torch._foreach_copy_(as_fp32, parts)
        return None, None, *as_fp32


def _split_into_groups(parameters: Sequence[Tensor], groups: Sequence[int]) -> list[list[Tensor]]:
    remaining = iter(parameters)
    return [list(islice(remaining, count)) for count in groups]


def mixed_dtype(device: torch.device) -> torch.dtype | None:
    """Return the type of matrix products under autocast on a GPU; None without autocast, and always on the CPU."""
    is_mixed = device.type == "cuda" and torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if is_mixed else None


def attention_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the attention bias of all layers, (V, 1, 1, T): -inf where the mask (V, T) is False."""
    num_frames = mask.shape[1]
    valid = pad(mask, (0, -num_frames % _ALIGNMENT))
    bias = torch.zeros_like(valid, dtype=dtype).masked_fill(~valid, float("-inf"))
    return bias[:, None, None, :num_frames]


def mixed_layer(layer: EncoderLayer, hidden: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Run one transformer layer in mixed precision.

    Parameters
    ----------
    hidden : (V, T, C) float32
        The residual sum stays fp32 over all layers, because rounding errors would accumulate.
    bias : (V, 1, 1, T), optional
        From `attention_bias`, in `dtype`.
    dtype
        Type of matrix products.

    Returns
    -------
    (V, T, C) float32
    """
    attention, feed_forward = layer.attention, layer.feed_forward
    projections = attention.q_proj, attention.k_proj, attention.v_proj
    others = attention.out_proj, feed_forward.intermediate_dense, feed_forward.output_dense
    parameters = [*(each.weight for each in projections), *(each.bias for each in projections)]
    parameters += [parameter for each in others for parameter in (each.weight, each.bias)]
    cast = _CastTo16Bit.apply(dtype, (3, 3, 1, 1, 1, 1, 1, 1), *parameters)
    qkv, out_proj, intermediate_dense, output_dense = zip(cast[::2], cast[1::2], strict=True)

    def attend(x: Tensor) -> Tensor:
        parts = linear(x.to(dtype), *qkv).unflatten(-1, (3, attention.num_heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        return linear(attention.attend(query, key, value, bias), *out_proj)

    def transform(x: Tensor) -> Tensor:
        inner = feed_forward.activation(linear(x.to(dtype), *intermediate_dense))
        return feed_forward.output_dropout(linear(feed_forward.intermediate_dropout(inner), *output_dense))

    return layer.combine(hidden, attend, transform)
