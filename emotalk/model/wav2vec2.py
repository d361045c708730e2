"""wav2vec2 in plain torch: a convolutional stack on the waveform, then a transformer.

Parameters have the names of the published checkpoints. Shapes: B clips of N samples; C channels; V sequences of T
frames with D features.

Source
------
arXiv 2006.11477, section 2, for the architecture; docs/method.md, section "Network", for the released encoders.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, gelu, relu, scaled_dot_product_attention, silu

from emotalk.model.encoder_config import Activation, EncoderConfig

Function = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[Activation, Function] = {
    "gelu": gelu,
    "gelu_new": partial(gelu, approximate="tanh"),
    "relu": relu,
    "silu": silu,
}


class ConvLayer(nn.Module):
    """Convolution, layer norm over the channels of each frame, activation."""

    def __init__(self, config: EncoderConfig, index: int) -> None:
        super().__init__()
        channels = (1, *config.conv_dim)
        kernel, stride = config.conv_kernel[index], config.conv_stride[index]
        self.conv = nn.Conv1d(channels[index], channels[index + 1], kernel, stride, bias=config.conv_bias)
        self.layer_norm = nn.LayerNorm(channels[index + 1])
        self.activation = _ACTIVATIONS[config.feat_extract_activation]

    def forward(self, x: Tensor) -> Tensor:
        """Compute shorter sequences (B, C', L') from (B, C, L)."""
        return self.activation(self.layer_norm(self.conv(x).transpose(1, 2)).transpose(1, 2))


class FeatureExtractor(nn.Module):
    """Convolutional stack."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList(ConvLayer(config, index) for index in range(len(config.conv_dim)))

    def forward(self, waveforms: Tensor) -> Tensor:
        """Compute features (B, C, L) from waveforms (B, N)."""
        x = waveforms[:, None]
        for layer in self.conv_layers:
            x = layer(x)
        return x


class FeatureProjection(nn.Module):
    """Projection of features to the hidden size of the transformer."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], config.layer_norm_eps)
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)
        self.dropout = nn.Dropout(config.feat_proj_dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Compute hidden states (V, T, D) from features (V, T, C)."""
        return self.dropout(self.projection(self.layer_norm(features)))


class WeightNorm(nn.Module):
    """Weight norm of weights (D, D / groups, K): directions `original1`, and a norm `original0` per kernel frame.

    The names are those of torch's weight norm. That one is not used, because for parameters on the meta device
    (`EmoTalk.empty`) it imports a compiler, which takes seconds.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.original0 = nn.Parameter(torch.empty(1, 1, weight.shape[2]))
        self.original1 = nn.Parameter(weight)

    @property
    def direction_norms(self) -> Tensor:
        """Norms (1, 1, K) of the directions."""
        return torch.linalg.vector_norm(self.original1, dim=(0, 1), keepdim=True)

    def forward(self) -> Tensor:
        """Compute the weights with torch's kernel, so that rounding is the same as in all earlier results."""
        return torch._weight_norm(self.original1, self.original0, 2)


class WeightNormConvolution(nn.Module):
    """Grouped convolution with weight norm."""

    def __init__(self, size: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.bias = nn.Parameter(torch.zeros(size))
        plain = nn.Conv1d(size, size, kernel, groups=groups)
        self.parametrizations = nn.ModuleDict({"weight": WeightNorm(plain.weight)})

    @property
    def weight(self) -> Tensor:
        """Weights (D, D / groups, K), computed from directions and norms."""
        return self.parametrizations["weight"]()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve sequences (V, D, T) to the same length; an even kernel has one frame more before than after."""
        weight = self.weight
        output = conv1d(x, weight, self.bias, padding=weight.shape[2] // 2, groups=self.groups)
        return output[..., : x.shape[2]]


class PositionalConvolution(nn.Module):
    """Relative positional embedding, computed by a grouped convolution over time."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        kernel, groups = config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
        self.conv = WeightNormConvolution(config.hidden_size, kernel, groups)
        self.activation = _ACTIVATIONS[config.feat_extract_activation]

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute the embedding (V, T, D) that is added to hidden states (V, T, D)."""
        return self.activation(self.conv(hidden.transpose(1, 2))).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.dropout = config.attention_dropout
        self.k_proj = nn.Linear(size, size)
        self.v_proj = nn.Linear(size, size)
        self.q_proj = nn.Linear(size, size)
        self.out_proj = nn.Linear(size, size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Compute new hidden states (V, T, D); see `EncoderLayer.forward`."""
        projected = (projection(hidden) for projection in (self.q_proj, self.k_proj, self.v_proj))
        query, key, value = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in projected)
        return self.out_proj(self.attend(query, key, value, mask))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Compute attention (V, T, D) from query, key and value (V, heads, T, D / heads), with dropout in training."""
        rate = self.dropout if self.training else 0.0
        heads = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        return heads.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    """Feed-forward part: two linear layers on each frame."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.intermediate_dropout = nn.Dropout(config.activation_dropout)
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = _ACTIVATIONS[config.hidden_act]
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.output_dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute new hidden states (V, T, D)."""
        inner = self.intermediate_dropout(self.activation(self.intermediate_dense(hidden)))
        return self.output_dropout(self.output_dense(inner))


class EncoderLayer(nn.Module):
    """Transformer layer: attention and feed-forward part, each with a residual connection."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm_first = config.do_stable_layer_norm
        self.attention = Attention(config)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Compute new hidden states (V, T, D).

        Parameters
        ----------
        mask : (V, 1, 1, T) bool, optional
            True for valid frames, False for padding.
        """
        return self.combine(hidden, lambda x: self.attention(x, mask), self.feed_forward)

    def combine(self, hidden: Tensor, attend: Function, transform: Function) -> Tensor:
        """Compute the layer with given functions for attention and feed-forward part."""
        if self.norm_first:
            hidden = hidden + self.dropout(attend(self.layer_norm(hidden)))
            return hidden + transform(self.final_layer_norm(hidden))
        hidden = self.layer_norm(hidden + self.dropout(attend(hidden)))
        return self.final_layer_norm(hidden + transform(hidden))


class Transformer(nn.Module):
    """Modules of the transformer, with their released names; `SpeechEncoder.encode` runs them."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalConvolution(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_hidden_layers))


@torch.no_grad()
def init_parameters(module: nn.Module, std: float) -> None:
    """Initialize all parameters of a module from torch's global generator, except on the meta device.

    - linear layers: weights N(0, std²), biases 0;
    - convolutions of C channels (per group) and kernel K: weights N(0, 2 / (C K)), biases U(-k, k), k = 1 / sqrt(C K);
    - positional convolution: the weights keep torch's initialization U(-k, k), and `original0` is set to their norms.

    The order of random draws is that of transformers, so that a seed gives the same encoder. The weights of a
    convolution are therefore drawn twice, also those of the positional convolution, where they are discarded.

    Source
    ------
    fairseq's wav2vec2 (arXiv 2006.11477), as transformers initializes subclasses of its models: without the special
    cases of the feature projection and of the positional convolution.
    """
    if not next(module.parameters()).is_meta:
        module.apply(partial(_init_module, std=std))


def _init_module(module: nn.Module, std: float) -> None:
    if isinstance(module, WeightNorm):
        module.original0.copy_(module.direction_norms)
    if isinstance(module, nn.Linear | nn.Conv1d | WeightNormConvolution):
        nn.init.normal_(module.weight, std=std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.Conv1d | WeightNormConvolution):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            bound = math.sqrt(1 / module.weight[0].numel())
            nn.init.uniform_(module.bias, -bound, bound)
