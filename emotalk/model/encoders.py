"""The two speech encoders: wav2vec2 whose convolutional features are resampled in time before the transformer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from emotalk.emotions import EMOTIONS
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.layout import ConvFrames
from emotalk.model.mixed import attention_bias, mixed_layer, mixed_type
from emotalk.model.positions import positional_embedding
from emotalk.model.wav2vec2 import FeatureExtractor, FeatureProjection, Transformer, draw_parameters

VOCABULARY = 32
"""Rows of the released checkpoint's unused `lm_head`."""


class SpeechEncoder(nn.Module):
    """wav2vec2 in two halves: a convolutional stack at 50 Hz, and a transformer at any other frame rate.

    SpecAugment is never applied; `lm_head` and `masked_spec_embed` exist for the released parameter names only.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        """Whether layers are computed again in the backward pass instead of being kept."""
        self.is_compiled = False
        """Whether the plain layers, which torch compiles, run in mixed precision instead of `mixed_layer`."""
        self.feature_extractor = FeatureExtractor(config)
        self.feature_projection = FeatureProjection(config)
        self.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))
        self.encoder = Transformer(config)
        draw_parameters(self, config.initializer_range)
        for _ in range(2):  # As often as in transformers; see `draw_parameters`.
            nn.init.uniform_(self.masked_spec_embed)
        self.lm_head = nn.Linear(config.hidden_size, VOCABULARY)
        draw_parameters(self.lm_head, config.initializer_range)

    @property
    def conv_frames(self) -> ConvFrames:
        """Lengths that the convolutional stack makes of audio."""
        # Lists, because cached features are found by a digest of their text.
        return ConvFrames(list(self.config.conv_kernel), list(self.config.conv_stride))

    @torch.no_grad()
    def conv_features(self, waveforms: Tensor) -> Tensor:
        """Features (B, L, C) at 50 Hz, without gradient: the convolutional stack never trains.

        Parameters
        ----------
        waveforms : (B, N) float32
            Normalised, zeros behind the shorter clips; features behind a clip's end mean nothing.
        """
        return self.feature_extractor(waveforms).transpose(1, 2)

    def encode(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """Run the transformer over features (V, T, C) of several clips at once; returns (V, T, hidden size).

        The sum that runs through all layers stays float32 in mixed precision: it would drown in rounding.

        Parameters
        ----------
        mask : (V, T) bool, optional
            True where a clip has a frame; None if all are as long.
        """
        transformer = self.encoder
        hidden = self.feature_projection(features).float()
        if mask is not None:
            # The positional convolution looks beyond a clip's end, where a clip alone would find zeros.
            hidden = hidden * mask[..., None]
        hidden = hidden + self._positions(hidden)
        if not self.config.do_stable_layer_norm:
            hidden = transformer.layer_norm(hidden)
        hidden = transformer.dropout(hidden)
        run = self._layer_runner(hidden, mask)
        for layer in transformer.layers:
            if self.training and torch.rand(()) < self.config.layerdrop:
                continue
            if self.gradient_checkpointing and torch.is_grad_enabled():
                # Around the layer and not within it, so that a compiled layer stays one graph.
                hidden = checkpoint(run, layer, hidden, use_reentrant=False)
            else:
                hidden = run(layer, hidden)
        return transformer.layer_norm(hidden) if self.config.do_stable_layer_norm else hidden

    def _positions(self, hidden: Tensor) -> Tensor:
        embedding, dtype = self.encoder.pos_conv_embed, mixed_type(hidden.device)
        return embedding(hidden) if dtype is None else positional_embedding(embedding, hidden, dtype)

    def _layer_runner(self, hidden: Tensor, mask: Tensor | None) -> Callable[[Any, Tensor], Tensor]:
        """What runs a layer on hidden states: its own forward, or the one for mixed precision."""
        dtype = mixed_type(hidden.device)
        if dtype is None or self.is_compiled:
            seen = None if mask is None else mask[:, None, None, :]
            return lambda layer, hidden: layer(hidden, seen)
        bias = None if mask is None else attention_bias(mask, dtype)
        return lambda layer, hidden: mixed_layer(layer, hidden, bias, dtype)


class EmotionClassifier(nn.Module):
    """Head of the emotion encoder: logits of the seven emotions from the mean over a clip's frames."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.final_dropout)
        self.out_proj = nn.Linear(config.hidden_size, len(EMOTIONS))

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits (B, 7) from pooled features (B, hidden size)."""
        hidden = torch.tanh(self.dense(self.dropout(pooled)))
        return self.out_proj(self.dropout(hidden))


class EmotionEncoder(nn.Module):
    """Speech encoder at 30 fps with an emotion classifier."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.wav2vec2 = SpeechEncoder(config)
        self.classifier = EmotionClassifier(config)
        draw_parameters(self.classifier, config.initializer_range)
