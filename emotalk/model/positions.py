"""The encoders' positional convolution in mixed precision on a GPU, as matrix products.

It has 16 groups of 64 channels and a kernel of 128 frames. cuDNN computes one group after the other.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from emotalk.model.wav2vec2 import PositionalConvolution

_GROUPS_AT_ONCE = 4
"""Of all 16 the windows would be the largest tensors of a step: 256 KiB a frame."""


class _GroupedConvolution(torch.autograd.Function):
    """Convolution over time of sequences (G, V, T, c) with kernels (G, K, c, o), to (G, V, T, o)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, left: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.left = left
        return _products(_windows(x, kernel.shape[1], left), kernel, x.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        (gradient,) = gradients
        gradient = gradient.contiguous()
        size, of_x, of_kernel = kernel.shape[1], None, None
        if ctx.needs_input_grad[0]:
            turned = kernel.flip(1).transpose(2, 3)
            of_x = _products(_windows(gradient, size, size - 1 - ctx.left), turned, x.shape)
        if ctx.needs_input_grad[1]:
            windows = _windows(x, size, ctx.left)  # Again, and not kept: 128 times what went in.
            of_kernel = torch.bmm(windows.transpose(1, 2), gradient.flatten(1, 2)).view(kernel.shape)
        return of_x, of_kernel, None


def _windows(x: Tensor, size: int, left: int) -> Tensor:
    """The `size` frames that each frame of (G, V, T, c) looks at, from `left` before it on: (G, V T, size c)."""
    groups, clips, num_frames, channels = x.shape
    padded = pad(x, (0, 0, left, size - 1 - left)).contiguous()
    strides = (*padded.stride()[:3], 1)
    return padded.as_strided((groups, clips, num_frames, size * channels), strides).reshape(groups, -1, size * channels)


def _products(windows: Tensor, kernel: Tensor, shape: torch.Size) -> Tensor:
    return torch.bmm(windows, kernel.flatten(1, 2)).view(*shape[:3], kernel.shape[3])


def positional_embedding(embedding: PositionalConvolution, hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """What the module makes of frames (V, T, C), computed in `dtype`.

    With an even kernel, as many frames behind as before are read, less one.
    """
    convolution = embedding.conv
    groups = convolution.groups
    parts: Any = convolution.parametrizations["weight"]
    weight = (parts.original1 * (parts.original0 / parts.lengths)).to(dtype)
    kernel = weight.unflatten(0, (groups, -1)).permute(0, 3, 2, 1)
    x = hidden.to(dtype).unflatten(-1, (groups, -1)).permute(2, 0, 1, 3)
    some = zip(x.split(_GROUPS_AT_ONCE), kernel.split(_GROUPS_AT_ONCE), strict=True)
    found = torch.cat([_GroupedConvolution.apply(*part, kernel.shape[1] // 2) for part in some])
    found = found.permute(1, 2, 0, 3).flatten(2) + convolution.bias.to(dtype)
    return embedding.activation(found)
