"""The two speech encoders: wav2vec2 whose convolutional features are resampled in time before the transformer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2Model, Wav2Vec2PreTrainedModel

from emotalk.emotions import EMOTIONS
from emotalk.errors import WeightsError
from emotalk.model.sequences import frame_mask, pad_batch

_CONV_RATE_HZ = 50.0
_EMOTION_FPS = 30
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
        self.post_init()

    def conv_features(self, waveforms: Tensor, num_samples: Sequence[int]) -> list[Tensor]:
        """Features (L_i, C) of each clip, at 50 Hz, without gradient: the convolutional stack never trains.

        Parameters
        ----------
        waveforms : (B, N) float32
            Normalised, zeros behind the shorter clips.
        num_samples
            Length of each clip.
        """
        with torch.no_grad():
            features = self.feature_extractor(waveforms).transpose(1, 2)
        return [clip[: self.num_conv_frames(length)] for clip, length in zip(features, num_samples, strict=True)]

    def num_conv_frames(self, num_samples: int) -> int:
        """Frames that the convolutional stack makes of a clip; 0 or less if the clip is too short for one."""
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            num_samples = (num_samples - kernel) // stride + 1
        return num_samples

    def contextualise(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Run the transformer over features (T_i, C) of several clips at once.

        Returns
        -------
        list of (T_i, hidden size)
        """
        lengths = [len(clip) for clip in features]
        hidden, _ = self.feature_projection(pad_batch(features))
        mask = None if len(set(lengths)) == 1 else frame_mask(lengths, hidden.device)
        hidden = self.encoder(hidden, attention_mask=mask).last_hidden_state
        return [clip[:length] for clip, length in zip(hidden, lengths, strict=True)]


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


def num_emotion_frames(num_conv_frames: int) -> int:
    """Frames at which the emotion transformer runs.

    The released code computes this in floating point, which differs from integer arithmetic at 205, 410, 820, … frames.
    """
    return int(num_conv_frames / _CONV_RATE_HZ * _EMOTION_FPS)
