"""Decoder: one transformer layer, whose masks are computed in closed form."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, relu, scaled_dot_product_attention

from emotalk.timing import FPS

_SLOPES = (1 / 4, 1 / 16, 1 / 64, 1 / 256)
_PERIOD = FPS


def causal_bias(num_frames: int, device: torch.device) -> Tensor:
    """Compute the bias of the self-attention, (heads, T, T): -slope * floor((i - j) / 30), and -inf for future frames.

    It is computed for each length, so that length is not limited by a table of 5,000 frames as in the released code.

    Source
    ------
    docs/method.md, section "Network".
    """
    frames = torch.arange(num_frames, device=device)
    distance = frames[:, None] - frames[None, :]
    periods = (distance // _PERIOD).to(torch.float32)
    # One operation per head: copying a tensor of slopes to the device would synchronize with it at every step.
    bias = torch.stack([-slope * periods for slope in _SLOPES])
    return bias.masked_fill(distance < 0, float("-inf"))


class DecoderLayer(nn.TransformerDecoderLayer):
    """The released layer: post-norm, ReLU, causal self-attention with a periodic bias, cross-attention to one frame.

    In cross-attention, a frame attends only to its own frame of the memory. The attention weight is therefore 1, and
    the result equals the value and output projections. The query and key parameters exist but have no effect.
    """

    def __init__(self, model_dim: int) -> None:
        super().__init__(model_dim, nhead=len(_SLOPES), dim_feedforward=model_dim, batch_first=True)

    def forward(self, tgt: Tensor, memory: Tensor) -> Tensor:  # type: ignore[override]
        """Compute frames (B, T, D) from frames (B, T, D) and their memory (B, T, D).

        Padding at the end has no effect on the frames before it, because self-attention is causal.
        """
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
            # Dropout applies to attention weights: one weight per head and frame.
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
    """Decoder of one layer, with the released parameter names `layers.0.*`."""

    def __init__(self, model_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DecoderLayer(model_dim)])

    def forward(self, frames: Tensor, memory: Tensor) -> Tensor:
        """Compute frames (B, T, D) from frames and memory of the same shape."""
        return self.layers[0](frames, memory)
