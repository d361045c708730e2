"""The two speech encoders: wav2vec2 whose convolutional features are resampled in time before the transformer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import Wav2Vec2Config, Wav2Vec2Model, Wav2Vec2PreTrainedModel

from emotalk.emotions import EMOTIONS
from emotalk.errors import WeightsError
from emotalk.model.layout import ConvFrames
from emotalk.model.mixed import attention_bias, mixed_layer, mixed_type
from emotalk.model.positions import positional_embedding

_VOCABULARY = 32
"""Rows of the released checkpoint's unused `lm_head`."""


class SpeechEncoder(Wav2Vec2Model):
    """wav2vec2 in two halves: a convolutional stack at 50 Hz, and a transformer at any other frame rate.

    SpecAugment is never applied; `lm_head` and `masked_spec_embed` exist for the released parameter names only.

    Raises
    ------
    WeightsError
        If the configuration normalises features over time ("group"): padding would leak into the clips of a batch.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        if config.feat_extract_norm != "layer":
            raise WeightsError(
                f"The encoder has feat_extract_norm={config.feat_extract_norm!r}, which mixes all frames of a batch's "
                "padded clips. Use an encoder with feat_extract_norm='layer' (the large wav2vec2 models)."
            )
        super().__init__(config)
        self.masked_spec_embed = nn.Parameter(torch.empty(config.hidden_size).uniform_())
        self.lm_head = nn.Linear(config.hidden_size, _VOCABULARY)
        self.recomputes = False
        """Whether layers are computed again in the backward pass instead of being kept (gradient checkpointing)."""
        self.is_compiled = False
        """Whether the library's layers, which torch compiles, run in mixed precision instead of ours."""
        self.post_init()

    @property
    def conv_frames(self) -> ConvFrames:
        """Lengths that the convolutional stack makes of audio."""
        return ConvFrames(self.config.conv_kernel, self.config.conv_stride)

    @torch.no_grad()
    def conv_features(self, waveforms: Tensor) -> Tensor:
        """Features (B, L, C) at 50 Hz, without gradient: the convolutional stack never trains.

        Parameters
        ----------
        waveforms : (B, N) float32
            Normalised, zeros behind the shorter clips; features behind a clip's end mean nothing.
        """
        return self.feature_extractor(waveforms).transpose(1, 2)

    def contextualise(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """Run the transformer over features (V, T, C) of several clips at once; returns (V, T, hidden size).

        Its own loop over the layers, and not the library's: that one waits for the device to look into the mask, and
        lets mixed precision round the sum that runs through all layers.

        Parameters
        ----------
        mask : (V, T) bool, optional
            True where a clip has a frame; None if all are as long.
        """
        transformer = self.encoder
        hidden, _ = self.feature_projection(features)
        hidden = hidden.float()
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
            if self.recomputes and torch.is_grad_enabled():
                # Around the layer, not within it as the library has it: so a compiled layer stays one graph.
                hidden = checkpoint(run, layer, hidden, use_reentrant=False)
            else:
                hidden = run(layer, hidden)
        return transformer.layer_norm(hidden) if self.config.do_stable_layer_norm else hidden

    def _positions(self, hidden: Tensor) -> Tensor:
        embedding, dtype = self.encoder.pos_conv_embed, mixed_type(hidden.device)
        return embedding(hidden) if dtype is None else positional_embedding(embedding, hidden, dtype)

    def _layer_runner(self, hidden: Tensor, mask: Tensor | None) -> Callable[[nn.Module, Tensor], Tensor]:
        """What runs a layer on hidden states: the library's own code, or ours."""
        dtype = mixed_type(hidden.device)
        if dtype is None or self.is_compiled or self.config.adapter_attn_dim is not None:
            seen = None if mask is None else mask[:, None, None, :]
            return lambda layer, hidden: layer(hidden, attention_mask=seen)
        bias = None if mask is None else attention_bias(mask, dtype)
        norm_first = self.config.do_stable_layer_norm
        return lambda layer, hidden: mixed_layer(layer, hidden, bias, dtype, norm_first=norm_first)


class EmotionClassifier(nn.Module):
    """Head of the emotion encoder: logits of the seven emotions from the mean over a clip's frames."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.final_dropout)
        self.out_proj = nn.Linear(config.hidden_size, len(EMOTIONS))

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits (B, 7) from pooled features (B, hidden size)."""
        hidden = torch.tanh(self.dense(self.dropout(pooled)))
        return self.out_proj(self.dropout(hidden))


class EmotionEncoder(Wav2Vec2PreTrainedModel):
    """Speech encoder at 30 fps with an emotion classifier."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        self.wav2vec2 = SpeechEncoder(config)
        self.classifier = EmotionClassifier(config)
        self.post_init()
