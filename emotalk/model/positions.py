"""Positional convolution of the encoders in mixed precision on a GPU, computed by matrix products.

It has 16 groups of 64 channels and a kernel of 128 frames. cuDNN is slow, because it computes the groups one by one.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from emotalk.model.wav2vec2 import PositionalConvolution

_GROUPS_AT_ONCE = 4
"""The windows of all 16 groups would be the largest tensors of a step: 256 KiB per frame."""


class _GroupedConvolution(torch.autograd.Function):
    """Convolve sequences (G, V, T, c) over time with kernels (G, K, c, o); the result is (G, V, T, o)."""

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
        size, grad_x, grad_kernel = kernel.shape[1], None, None
        if ctx.needs_input_grad[0]:
            flipped = kernel.flip(1).transpose(2, 3)
            grad_x = _products(_windows(gradient, size, size - 1 - ctx.left), flipped, x.shape)
        if ctx.needs_input_grad[1]:
            windows = _windows(x, size, ctx.left)  # Recomputed, because it is 128 times larger than x.
            grad_kernel = torch.bmm(windows.transpose(1, 2), gradient.flatten(1, 2)).view(kernel.shape)
        return grad_x, grad_kernel, None


def _windows(x: Tensor, size: int, left: int) -> Tensor:
    """Return the window of each frame of (G, V, T, c), `size` frames from `left` frames before it: (G, V T, size c)."""
    groups, clips, num_frames, channels = x.shape
    padded = pad(x, (0, 0, left, size - 1 - left)).contiguous()
    strides = (*padded.stride()[:3], 1)
    return padded.as_strided((groups, clips, num_frames, size * channels), strides).reshape(groups, -1, size * channels)


def _products(windows: Tensor, kernel: Tensor, shape: torch.Size) -> Tensor:
    return torch.bmm(windows, kernel.flatten(1, 2)).view(*shape[:3], kernel.shape[3])


def positional_embedding(embedding: PositionalConvolution, hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute the output of the module for frames (V, T, C) in `dtype`.

    With an even kernel, a window has one frame less after its frame than before it.
    """
    convolution = embedding.conv
    groups = convolution.groups
    parts: Any = convolution.parametrizations["weight"]
    weight = (parts.original1 * (parts.original0 / parts.direction_norms)).to(dtype)
    kernel = weight.unflatten(0, (groups, -1)).permute(0, 3, 2, 1)
    x = hidden.to(dtype).unflatten(-1, (groups, -1)).permute(2, 0, 1, 3)
    chunks = zip(x.split(_GROUPS_AT_ONCE), kernel.split(_GROUPS_AT_ONCE), strict=True)
    output = torch.cat([_GroupedConvolution.apply(*chunk, kernel.shape[1] // 2) for chunk in chunks])
    output = output.permute(1, 2, 0, 3).flatten(2) + convolution.bias.to(dtype)
    return embedding.activation(output)
