"""The two speech encoders: wav2vec2 with convolutional features that are resampled in time before the transformer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from emotalk.emotions import EMOTIONS
from emotalk.errors import WeightsError
from emotalk.model.batch_layout import ConvFrames
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.mixed import attention_bias, mixed_dtype, mixed_layer
from emotalk.model.positions import positional_embedding
from emotalk.model.wav2vec2 import FeatureExtractor, FeatureProjection, Transformer, init_parameters

VOCABULARY = 32
"""Rows of the unused `lm_head` in the released checkpoint."""


class SpeechEncoder(nn.Module):
    """wav2vec2 in two parts: a convolutional stack at 50 Hz, and a transformer at any other frame rate.

    SpecAugment is never applied. `lm_head` and `masked_spec_embed` are unused, and exist because the released weights
    contain them.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        """If true, activations of the layers are recomputed in the backward pass instead of stored."""
        self.is_compiled = False
        """If true, the plain layers, compiled by torch, are used in mixed precision instead of `mixed_layer`."""
        self.feature_extractor = FeatureExtractor(config)
        self.feature_projection = FeatureProjection(config)
        self.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))
        self.encoder = Transformer(config)
        init_parameters(self, config.initializer_range)
        for _ in range(2):  # The same number of random draws as in transformers; see `init_parameters`.
            nn.init.uniform_(self.masked_spec_embed)
        self.lm_head = nn.Linear(config.hidden_size, VOCABULARY)
        init_parameters(self.lm_head, config.initializer_range)

    @property
    def conv_frames(self) -> ConvFrames:
        """Frame counts of the convolutional stack."""
        # Lists, because the file names of cached features are digests of their text form.
        return ConvFrames(list(self.config.conv_kernel), list(self.config.conv_stride))

    @torch.no_grad()
    def conv_features(self, waveforms: Tensor) -> Tensor:
        """Compute features (B, L, C) at 50 Hz, without gradient, because the convolutional stack is never trained.

        Parameters
        ----------
        waveforms : (B, N) float32
            Normalized, and padded with zeros at the end. Features after the end of a clip have no meaning.
        """
        return self.feature_extractor(waveforms).transpose(1, 2)

    def encode(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """Run the transformer on features (V, T, C) of several clips; return hidden states (V, T, hidden size).

        In mixed precision, the residual sum over all layers stays float32, because rounding errors would accumulate.

        Parameters
        ----------
        mask : (V, T) bool, optional
            True for valid frames, False for padding; None if all clips have the same length.
        """
        transformer = self.encoder
        hidden = self.feature_projection(features).float()
        if mask is not None:
            # The positional convolution includes frames after the end of a clip, which are zeros for a single clip.
            hidden = hidden * mask[..., None]
        hidden = hidden + self._embed_positions(hidden)
        if not self.config.do_stable_layer_norm:
            hidden = transformer.layer_norm(hidden)
        hidden = transformer.dropout(hidden)
        run_layer = self._make_run_layer(hidden, mask)
        for layer in transformer.layers:
            if self.training and torch.rand(()) < self.config.layerdrop:
                continue
            if self.gradient_checkpointing and torch.is_grad_enabled():
                # Outside of the layer, so that a compiled layer stays one graph.
                hidden = checkpoint(run_layer, layer, hidden, use_reentrant=False)
            else:
                hidden = run_layer(layer, hidden)
        return transformer.layer_norm(hidden) if self.config.do_stable_layer_norm else hidden

    def _embed_positions(self, hidden: Tensor) -> Tensor:
        embedding, dtype = self.encoder.pos_conv_embed, mixed_dtype(hidden.device)
        return embedding(hidden) if dtype is None else positional_embedding(embedding, hidden, dtype)

    def _make_run_layer(self, hidden: Tensor, mask: Tensor | None) -> Callable[[Any, Tensor], Tensor]:
        """Make the function that runs a layer on hidden states: its forward method, or `mixed_layer`."""
        dtype = mixed_dtype(hidden.device)
        if dtype is None or self.is_compiled:
            attention_mask = None if mask is None else mask[:, None, None, :]
            return lambda layer, hidden: layer(hidden, attention_mask)
        bias = None if mask is None else attention_bias(mask, dtype)
        return lambda layer, hidden: mixed_layer(layer, hidden, bias, dtype)


class EmotionClassifier(nn.Module):
    """Head of the emotion encoder: logits of the seven emotions from the mean over the frames of a clip."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.final_dropout)
        self.out_proj = nn.Linear(config.hidden_size, len(EMOTIONS))

    def forward(self, pooled: Tensor) -> Tensor:
        """Compute logits (B, 7) from pooled features (B, hidden size)."""
        hidden = torch.tanh(self.dense(self.dropout(pooled)))
        return self.out_proj(self.dropout(hidden))


class EmotionEncoder(nn.Module):
    """Speech encoder at 30 fps with an emotion classifier."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.wav2vec2 = SpeechEncoder(config)
        self.classifier = EmotionClassifier(config)
        init_parameters(self.classifier, config.initializer_range)


def freeze(encoder: SpeechEncoder | EmotionEncoder, part: str | int) -> None:
    """Freeze a part of an encoder in addition to its convolutional stack, which is always frozen.

    Parameters
    ----------
    part
        "conv" for no additional part; a number n for all modules up to the n-th transformer layer; "all" for the whole
        encoder including the classifier.

    Raises
    ------
    WeightsError
        If the encoder has fewer than n layers.
    """
    if part == "all":
        encoder.requires_grad_(False)
    if isinstance(part, int):
        for module in _lower_part(encoder.wav2vec2 if isinstance(encoder, EmotionEncoder) else encoder, part):
            module.requires_grad_(False)


def _lower_part(encoder: SpeechEncoder, num_layers: int) -> list[nn.Module]:
    transformer = encoder.encoder
    if num_layers > len(transformer.layers):
        raise WeightsError(
            f"train.freeze is {num_layers}, but the encoder has only {len(transformer.layers)} layers to freeze."
        )
    lower_modules = [encoder.feature_projection, transformer.pos_conv_embed, *transformer.layers[:num_layers]]
    return lower_modules if encoder.config.do_stable_layer_norm else [*lower_modules, transformer.layer_norm]
