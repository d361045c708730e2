"""Training step as in the training report and the released code (docs/method.md, sections "Losses", "Released code").

Three forward passes, each of which encodes the content twice and the emotion twice; all attention maps are kept; masks
are made from a table and in a loop over frames; batch size 1, fp32. It uses the parameters of our network, which saves
memory and makes the losses comparable.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, interpolate, mse_loss, one_hot

from emotalk.model.batch_layout import num_emotion_frames
from emotalk.model.encoders import SpeechEncoder
from emotalk.model.network import EmoTalk
from emotalk.model.wav2vec2 import Attention

_TABLE_FRAMES = 2000
_SLOPES = (1 / 4, 1 / 16, 1 / 64, 1 / 256)
_WEIGHTS = (1.0, 1.0, 0.5)


def biased_table() -> Tensor:
    """Table of attention masks of the released code, (4, frames, frames)."""
    distance = torch.arange(_TABLE_FRAMES)[:, None] - torch.arange(_TABLE_FRAMES)[None, :]
    bias = torch.stack([-slope * (distance // 30).float() for slope in _SLOPES])
    return bias.masked_fill(distance < 0, float("-inf"))


class Reference:
    """Loss of the training report for one pair of clips, with the parameters of a network."""

    def __init__(self, network: EmoTalk, device: torch.device) -> None:
        self._network, self._device = network, device
        self._table = biased_table()

    def loss(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], intensity: int, subject: int) -> Tensor:
        """Loss of clips A and B, each a normalised waveform (1, N) and a track (1, T, 52)."""
        (waveform_a, track_a), (waveform_b, track_b) = a, b
        labels = {"intensity": intensity, "subject": subject}
        swapped_a = self._forward(waveform_a, waveform_b, track_a, track_a, **labels)[0]
        swapped_b = self._forward(waveform_b, waveform_a, track_b, track_b, **labels)[0]
        own_a = self._forward(waveform_a, waveform_a, track_a, track_a, **labels)[0]
        cross = mse_loss(swapped_a, track_a) + mse_loss(swapped_b, track_b)
        velocity = mse_loss(swapped_a[:, 1:] - swapped_a[:, :-1], track_a[:, 1:] - track_a[:, :-1])
        return _WEIGHTS[0] * cross + _WEIGHTS[1] * mse_loss(own_a, track_a) + _WEIGHTS[2] * velocity

    def _forward(
        self, input12: Tensor, input21: Tensor, target11: Tensor, target12: Tensor, *, intensity: int, subject: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        network = self._network
        frames11, frames12 = target11.shape[1], target12.shape[1]
        content11, content12 = self._content(input12, frames11), self._content(input12, frames12)
        emotion11, emotion12 = self._emotion(input21, frames11), self._emotion(input12, frames12)
        label = network.audio_encoder_emo.classifier(emotion11.mean(dim=1))
        output11 = self._decode(content11, emotion11, intensity, subject)
        return output11, self._decode(content12, emotion12, intensity, subject), label

    def _content(self, waveform: Tensor, num_frames: int) -> Tensor:
        encoder = self._network.audio_encoder_cont
        return _transform(encoder, _interpolate(encoder.feature_extractor(waveform), num_frames))

    def _emotion(self, waveform: Tensor, num_frames: int) -> Tensor:
        encoder = self._network.audio_encoder_emo.wav2vec2
        features = encoder.feature_extractor(waveform)
        hidden = _transform(encoder, _interpolate(features, num_emotion_frames(features.shape[2])))
        return _interpolate(hidden.transpose(1, 2), num_frames)

    def _decode(self, content: Tensor, emotion: Tensor, intensity: int, subject: int) -> Tensor:
        network, count = self._network, content.shape[1]
        memory = network.audio_feature_map_emo(emotion)
        intensities = one_hot(torch.tensor([[intensity]], device=self._device), 2).float()
        subjects = one_hot(torch.tensor([[subject]], device=self._device), 24).float()
        labels = [network.obj_vector_level(intensities), network.obj_vector_person(subjects)]
        parts = [network.audio_feature_map_cont(content), torch.relu(network.audio_feature_map_emo2(memory))]
        frames = torch.cat([*parts, *(label.repeat(1, count, 1) for label in labels)], dim=2)
        off_diagonal = torch.ones(count, count)
        for i in range(count):
            off_diagonal[i, i] = 0
        hidden = nn.TransformerDecoderLayer.forward(
            network.transformer_decoder.layers[0],
            frames,
            memory,
            tgt_mask=self._table[:, :count, :count].clone().to(self._device),
            memory_mask=(off_diagonal == 1).to(self._device),
        )
        return network.bs_map_r(hidden)


def _interpolate(features: Tensor, num_frames: int) -> Tensor:
    """Interpolate features (1, C, L) to (1, T, C)."""
    return interpolate(features, size=num_frames, mode="linear", align_corners=True).transpose(1, 2)


def _transform(encoder: SpeechEncoder, features: Tensor) -> Tensor:
    """The transformer with plain attention, all maps of which are kept until the graph is freed."""
    maps: list[Tensor] = []
    transformer = encoder.encoder
    hidden = encoder.feature_projection(features)
    hidden = transformer.dropout(hidden + transformer.pos_conv_embed(hidden))
    for layer in transformer.layers:
        if not encoder.training or torch.rand(()) >= encoder.config.layerdrop:
            hidden = layer.combine(hidden, partial(_attend, layer.attention, maps), layer.feed_forward)
    hidden = transformer.layer_norm(hidden)
    hidden.attention_maps = maps
    return hidden


def _attend(attention: Attention, maps: list[Tensor], hidden: Tensor) -> Tensor:
    projected = (projection(hidden) for projection in (attention.q_proj, attention.k_proj, attention.v_proj))
    query, key, value = (x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for x in projected)
    weights = torch.softmax(query @ key.transpose(2, 3) * key.shape[-1] ** -0.5, dim=-1)
    maps.append(dropout(weights, attention.dropout, attention.training))
    return attention.out_proj((maps[-1] @ value).transpose(1, 2).flatten(2))
