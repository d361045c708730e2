"""EmoTalk: content of one clip and emotion of another become 52 blendshape coefficients a frame."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from transformers import Wav2Vec2Config

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.model.decoder import Decoder
from emotalk.model.encoders import EmotionEncoder, SpeechEncoder, num_emotion_frames
from emotalk.model.inputs import NUM_LEVELS, NUM_PERSONS, Request, Speech, check_index, check_waveform, person_input
from emotalk.model.sequences import pad_batch, resample_frames
from emotalk.timing import frames_to_predict

T = TypeVar("T", bound=Hashable)

_CONTENT_DIM, _EMOTION_DIM, _LABEL_DIM = 512, 256, 32
_MODEL_DIM = _CONTENT_DIM + _EMOTION_DIM + 2 * _LABEL_DIM


class EmoTalk(nn.Module):
    """The released network, for any sizes of its two encoders.

    Parameters
    ----------
    content_encoder, emotion_encoder
        Speech encoders; see `emotalk.model.pretrained` for where they come from.

    Source
    ------
    Paper, section 3; released code as described in DOMAIN.md, section 2.
    """

    def __init__(self, content_encoder: SpeechEncoder, emotion_encoder: EmotionEncoder) -> None:
        super().__init__()
        # Here and not in the encoders: loading pretrained weights makes every parameter trainable again.
        content_encoder.freeze_feature_encoder()
        emotion_encoder.wav2vec2.freeze_feature_encoder()
        self.audio_encoder_cont = content_encoder
        self.audio_encoder_emo = emotion_encoder
        self.audio_feature_map_cont = nn.Linear(content_encoder.config.hidden_size, _CONTENT_DIM)
        self.audio_feature_map_emo = nn.Linear(emotion_encoder.config.hidden_size, _MODEL_DIM)
        self.audio_feature_map_emo2 = nn.Linear(_MODEL_DIM, _EMOTION_DIM)
        self.obj_vector_level = nn.Linear(NUM_LEVELS, _LABEL_DIM)
        self.obj_vector_person = nn.Linear(NUM_PERSONS, _LABEL_DIM)
        self.transformer_decoder = Decoder(_MODEL_DIM)
        self.bs_map_r = nn.Linear(_MODEL_DIM, NUM_CHANNELS)
        nn.init.zeros_(self.bs_map_r.weight)
        nn.init.zeros_(self.bs_map_r.bias)

    @classmethod
    def from_configs(cls, content: Wav2Vec2Config, emotion: Wav2Vec2Config) -> "EmoTalk":
        """A network with random weights."""
        return cls(SpeechEncoder(content), EmotionEncoder(emotion))

    @property
    def encoder_configs(self) -> dict[str, Wav2Vec2Config]:
        """Configurations of the `content` and the `emotion` encoder."""
        return {"content": self.audio_encoder_cont.config, "emotion": self.audio_encoder_emo.config}

    def forward(self, speech: Speech, request: Request) -> tuple[Tensor, Tensor]:
        """Reconstruct motion; each distinct (clip, length) is encoded once, whatever the number of reconstructions.

        Returns
        -------
        tracks : (R, max T, 52)
            Coefficients; frames behind a reconstruction's own length mean nothing.
        logits : (R, 7)
            What the emotion encoder hears in clip `emotion[r]`.
        """
        content = self._encode_content(speech, request)
        emotion = self._encode_emotion(speech, request)
        pooled = torch.stack([clip.mean(dim=0) for clip in emotion])
        tracks = self._decode(pad_batch(content), pad_batch(emotion), request.level, request.person)
        return tracks, self.audio_encoder_emo.classifier(pooled)

    def _encode_content(self, speech: Speech, request: Request) -> list[Tensor]:
        """Content states (T_r, hidden size) of each reconstruction: resampled to its frames, then contextualised."""
        encoder = self.audio_encoder_cont
        clips, indices = _unique(request.content)
        features = encoder.conv_features(*_select(speech, clips))
        views, of_request = _unique(zip(indices, request.num_frames, strict=True))
        hidden = encoder.contextualise([resample_frames(features[clip], length) for clip, length in views])
        return [hidden[view] for view in of_request]

    def _encode_emotion(self, speech: Speech, request: Request) -> list[Tensor]:
        """Emotion states (T_r, hidden size) of each reconstruction: contextualised at 30 fps, then resampled."""
        encoder = self.audio_encoder_emo.wav2vec2
        clips, indices = _unique(request.emotion)
        features = encoder.conv_features(*_select(speech, clips))
        hidden = encoder.contextualise([resample_frames(clip, num_emotion_frames(len(clip))) for clip in features])
        return [resample_frames(hidden[i], length) for i, length in zip(indices, request.num_frames, strict=True)]

    def _decode(self, content: Tensor, emotion: Tensor, level: Tensor, person: Tensor) -> Tensor:
        memory = self.audio_feature_map_emo(emotion)
        num_frames = memory.shape[1]
        persons = person if person.is_floating_point() else one_hot(person, NUM_PERSONS)
        labels = [
            self.obj_vector_level(one_hot(level, NUM_LEVELS).to(memory.dtype)),
            self.obj_vector_person(persons.to(memory.dtype)),
        ]
        frames = torch.cat(
            [
                self.audio_feature_map_cont(content),
                torch.relu(self.audio_feature_map_emo2(memory)),
                *(label[:, None].expand(-1, num_frames, -1) for label in labels),
            ],
            dim=-1,
        )
        return self.bs_map_r(self.transformer_decoder(frames, memory))

    @torch.no_grad()
    def predict(
        self,
        waveform: np.ndarray,
        *,
        intensity: int,
        subject: int | Sequence[float],
        emotion_from: np.ndarray | None = None,
    ) -> np.ndarray:
        """Motion for one clip of speech, in evaluation mode.

        Parameters
        ----------
        waveform : (N,) float32
            Speech at 16 kHz, not normalised, at least 720 samples.
        intensity
            0 normal, 1 strong.
        subject
            Index 0 to 23 of a training actor, or 24 weights of a mixture of them.
        emotion_from : (M,) float32, optional
            Speech whose emotion is worn; the clip's own by default.

        Returns
        -------
        (T, 52) float32
            T = ceil(30 N / 16000) frames; not clamped.

        Raises
        ------
        EmoTalkError
            If a waveform is too short, not one-dimensional or not finite, or an index is out of its range.
        """
        clips = [waveform] if emotion_from is None else [waveform, emotion_from]
        for clip in clips:
            check_waveform(clip)
        device = self.bs_map_r.weight.device
        request = Request(
            content=[0],
            emotion=[len(clips) - 1],
            num_frames=[frames_to_predict(len(waveform))],
            level=torch.tensor([check_index(intensity, NUM_LEVELS, "intensity")], device=device),
            person=person_input(subject, device),
        )
        speech = Speech.of([torch.from_numpy(clip.astype(np.float32, copy=False)).to(device) for clip in clips])
        was_training = self.training
        self.eval()
        try:
            tracks, _ = self(speech, request)
        finally:
            self.train(was_training)
        return tracks[0].float().cpu().numpy()


def _unique(items: Iterable[T]) -> tuple[list[T], list[int]]:
    """Distinct items in order of first appearance, and for each item its place among them."""
    places: dict[T, int] = {}
    indices = [places.setdefault(item, len(places)) for item in items]
    return list(places), indices


def _select(speech: Speech, clips: list[int]) -> tuple[Tensor, list[int]]:
    """Waveforms and lengths of some clips, cut to the longest of them."""
    lengths = [speech.num_samples[clip] for clip in clips]
    if clips == list(range(len(speech.num_samples))):
        return speech.waveforms, lengths
    return speech.waveforms[clips, : max(lengths)], lengths
