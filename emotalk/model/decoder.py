"""The decoder: one transformer layer whose masks are known in closed form."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, relu, scaled_dot_product_attention

from emotalk.timing import FPS

_SLOPES = (1 / 4, 1 / 16, 1 / 64, 1 / 256)
_PERIOD = FPS


def causal_bias(num_frames: int, device: torch.device) -> Tensor:
    """Bias (heads, T, T) of the self-attention: -slope * floor((i - j) / 30), and -inf for the future.

    Source
    ------
    docs/method.md, section "Network". Computed for the length at hand: any length, no table of 5,000 frames.
    """
    frames = torch.arange(num_frames, device=device)
    distance = frames[:, None] - frames[None, :]
    periods = (distance // _PERIOD).to(torch.float32)
    # One head after the other: a tensor of slopes would be copied to the device, and waited for, at every step.
    bias = torch.stack([-slope * periods for slope in _SLOPES])
    return bias.masked_fill(distance < 0, float("-inf"))


class DecoderLayer(nn.TransformerDecoderLayer):
    """The released layer: post-norm, relu, causal self-attention with a periodic bias, cross-attention to one frame.

    Cross-attention in which a frame sees its own memory frame only has all its weight there, so that it equals its two
    output projections; the query and key parameters exist but decide nothing.
    """

    def __init__(self, model_dim: int) -> None:
        super().__init__(model_dim, nhead=len(_SLOPES), dim_feedforward=model_dim, batch_first=True)

    def forward(self, tgt: Tensor, memory: Tensor) -> Tensor:  # type: ignore[override]
        """Frames (B, T, D) from frames (B, T, D) and their memory (B, T, D); padding stands behind, so it is unseen."""
        x = self.norm1(tgt + self.dropout1(self._attend_past(tgt)))
        x = self.norm2(x + self.dropout2(self._attend_own_frame(memory)))
        hidden = self.linear2(self.dropout(relu(self.linear1(x))))
        return self.norm3(x + self.dropout3(hidden))

    def _attend_past(self, x: Tensor) -> Tensor:
        attention = self.self_attn
        projected = linear(x, attention.in_proj_weight, attention.in_proj_bias)
        query, key, value = (self._split_heads(part) for part in projected.chunk(3, dim=-1))
        bias = causal_bias(x.shape[1], x.device).to(query.dtype)
        rate = attention.dropout if self.training else 0.0
        heads = scaled_dot_product_attention(query, key, value, attn_mask=bias[None], dropout_p=rate)
        return attention.out_proj(self._join_heads(heads))

    def _attend_own_frame(self, memory: Tensor) -> Tensor:
        attention = self.multihead_attn
        dim = memory.shape[-1]
        value = linear(memory, attention.in_proj_weight[2 * dim :], attention.in_proj_bias[2 * dim :])
        if self.training and attention.dropout:
            # Dropout falls on attention weights: one weight a head and frame.
            heads = self._split_heads(value)
            kept = dropout(torch.ones_like(heads[..., :1]), attention.dropout)
            value = self._join_heads(heads * kept)
        return attention.out_proj(value)

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (len(_SLOPES), -1)).transpose(1, 2)

    @staticmethod
    def _join_heads(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)


class Decoder(nn.Module):
    """One layer, under the released names `layers.0.*`."""

    def __init__(self, model_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DecoderLayer(model_dim)])

    def forward(self, frames: Tensor, memory: Tensor) -> Tensor:
        """Frames (B, T, D) from frames and memory of the same shape."""
        return self.layers[0](frames, memory)
