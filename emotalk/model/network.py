"""EmoTalk: predicts 52 blendshape coefficients per frame from the content of one clip and the emotion of another."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.model.batch_layout import BatchLayout, ConvFrames, num_emotion_frames, stretch_frames
from emotalk.model.decoder import Decoder
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.encoders import EmotionEncoder, SpeechEncoder
from emotalk.model.inputs import NUM_INTENSITIES, check_waveform
from emotalk.model.sequences import normalize
from emotalk.subjects import NUM_RELEASED_SLOTS, check_index, subject_weights
from emotalk.timing import frames_to_predict

_CONTENT_DIM, _EMOTION_DIM, _CONDITION_DIM = 512, 256, 32
_MODEL_DIM = _CONTENT_DIM + _EMOTION_DIM + 2 * _CONDITION_DIM


class EmoTalk(nn.Module):
    """The released network, for encoders of any size.

    Parameters
    ----------
    content_encoder, emotion_encoder
        Speech encoders; `emotalk.model.pretrained` loads them.
    num_slots
        Number of subject slots; the released network has 24.

    Source
    ------
    Paper, section 3; released code as described in docs/method.md.
    """

    def __init__(
        self,
        content_encoder: SpeechEncoder,
        emotion_encoder: EmotionEncoder,
        num_slots: int = NUM_RELEASED_SLOTS,
    ) -> None:
        super().__init__()
        self.audio_encoder_cont = content_encoder
        self.audio_encoder_emo = emotion_encoder
        for encoder in self.speech_encoders:
            encoder.feature_extractor.requires_grad_(False)
        self.audio_feature_map_cont = nn.Linear(content_encoder.config.hidden_size, _CONTENT_DIM)
        self.audio_feature_map_emo = nn.Linear(emotion_encoder.config.hidden_size, _MODEL_DIM)
        self.audio_feature_map_emo2 = nn.Linear(_MODEL_DIM, _EMOTION_DIM)
        self.obj_vector_level = nn.Linear(NUM_INTENSITIES, _CONDITION_DIM)
        self.obj_vector_person = nn.Linear(num_slots, _CONDITION_DIM)
        self.transformer_decoder = Decoder(_MODEL_DIM)
        self.bs_map_r = nn.Linear(_MODEL_DIM, NUM_CHANNELS)
        nn.init.zeros_(self.bs_map_r.weight)
        nn.init.zeros_(self.bs_map_r.bias)

    @classmethod
    def from_configs(
        cls, content: EncoderConfig, emotion: EncoderConfig, num_slots: int = NUM_RELEASED_SLOTS
    ) -> "EmoTalk":
        """Create a network with random weights."""
        return cls(SpeechEncoder(content), EmotionEncoder(emotion), num_slots)

    @classmethod
    def empty(cls, content: EncoderConfig, emotion: EncoderConfig, num_slots: int = NUM_RELEASED_SLOTS) -> "EmoTalk":
        """Create a network on the meta device, without memory, for `emotalk.model.weights.load_strict`.

        Random initialization takes ten seconds at full size.
        """
        with torch.device("meta"):
            return cls.from_configs(content, emotion, num_slots)

    @property
    def encoder_configs(self) -> dict[str, EncoderConfig]:
        """Configurations of the `content` and the `emotion` encoder."""
        return {"content": self.audio_encoder_cont.config, "emotion": self.audio_encoder_emo.config}

    @property
    def num_slots(self) -> int:
        """Number of subject slots, S."""
        return self.obj_vector_person.in_features

    @property
    def speech_encoders(self) -> tuple[SpeechEncoder, SpeechEncoder]:
        """The content encoder, and the emotion encoder without its classifier."""
        return self.audio_encoder_cont, self.audio_encoder_emo.wav2vec2

    @property
    def layers(self) -> tuple[nn.ModuleList, nn.ModuleList]:
        """Transformer layers of the content and of the emotion encoder, which have most of the parameters."""
        content, emotion = self.speech_encoders
        return content.encoder.layers, emotion.encoder.layers

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that are not frozen, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def compile_layers(self) -> None:
        """Compile the layers of the encoders with torch at their first use; parameter names do not change."""
        for encoder in self.speech_encoders:
            encoder.is_compiled = True
            for layer in encoder.encoder.layers:
                layer.compile(dynamic=True)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Enable or disable gradient checkpointing of both encoders."""
        for encoder in self.speech_encoders:
            encoder.gradient_checkpointing = enabled

    @property
    def conv_frames(self) -> tuple[ConvFrames, ConvFrames]:
        """Frame counts of the convolutional stacks of the content and the emotion encoder."""
        content, emotion = self.speech_encoders
        return content.conv_frames, emotion.conv_frames

    def forward(self, content: Tensor, emotion: Tensor, layout: BatchLayout) -> tuple[Tensor, Tensor]:
        """Compute R reconstructions; each distinct pair of a clip and a length is encoded once.

        Parameters
        ----------
        content : (B, N) float32
            Clips that provide the content, each normalized alone, and padded with zeros at the end.
        emotion : (B', N') float32
            Clips that provide the emotion; may be the same tensor.
        layout
            Layout of the reconstructions, from `BatchLayout.from_spec(spec, *network.conv_frames)`.

        Returns
        -------
        tracks : (R, max T, 52) float32
            Coefficients; frames after the end of a reconstruction have no meaning.
        logits : (R, 7) float32
            Logits of the emotion classifier for the clip that provides the emotion.
        """
        content_conv = self.audio_encoder_cont.conv_features(content)
        emotion_conv = self.audio_encoder_emo.wav2vec2.conv_features(emotion)
        return self.reconstruct(content_conv, emotion_conv, layout)

    def reconstruct(self, content_conv: Tensor, emotion_conv: Tensor, layout: BatchLayout) -> tuple[Tensor, Tensor]:
        """Compute reconstructions as `forward`, from the features (B, L, C) of the convolutional stacks."""
        content_views = self.audio_encoder_cont.encode(layout.content(content_conv), layout.content.attention_mask)
        encoded = self.audio_encoder_emo.wav2vec2.encode(layout.emotion(emotion_conv), layout.emotion.attention_mask)
        content_states = content_views.index_select(0, layout.view)
        emotion_states = layout.emotion_to_motion(encoded)
        valid = layout.emotion_to_motion.mask[..., None]
        pooled = (emotion_states * valid).sum(dim=1) / valid.sum(dim=1)
        tracks = self.decode(content_states, emotion_states, layout.intensity, layout.subject)
        return tracks, self.audio_encoder_emo.classifier(pooled).float()

    def decode(self, content_states: Tensor, emotion_states: Tensor, intensity: Tensor, subject: Tensor) -> Tensor:
        """Compute coefficients (R, T, 52) float32 from the hidden states of the encoders.

        Parameters
        ----------
        content_states, emotion_states : (R, T, hidden size)
            Hidden states at the frames of the motion.
        intensity : (R, 2) float32
            Weights of the intensities.
        subject : (R, S) float32
            Weights of the subjects.
        """
        memory = self.audio_feature_map_emo(emotion_states)
        num_frames = memory.shape[1]
        conditions = [self.obj_vector_level(intensity), self.obj_vector_person(subject)]
        frames = torch.cat(
            [
                self.audio_feature_map_cont(content_states),
                torch.relu(self.audio_feature_map_emo2(memory)),
                *(condition[:, None].expand(-1, num_frames, -1) for condition in conditions),
            ],
            dim=-1,
        )
        hidden = self.transformer_decoder(frames, memory).float()
        # In bf16, with 8 significant bits, rounding would hide the differences between frames.
        with torch.autocast(hidden.device.type, enabled=False):
            return self.bs_map_r(hidden)

    def predict(
        self,
        waveform: np.ndarray,
        *,
        intensity: int,
        subject: int | Sequence[float],
        emotion_from: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict motion for one clip, in evaluation mode.

        Parameters
        ----------
        waveform : (N,) float32
            Audio at 16 kHz, not normalized, at least 720 samples.
        intensity
            0 normal, 1 strong.
        subject
            Index of a training subject (0 to 23 in the released network), or the S weights of a mixture of subjects.
        emotion_from : (M,) float32, optional
            Audio that provides the emotion; by default the waveform itself.

        Returns
        -------
        (T, 52) float32
            T = ceil(30 N / 16000) frames; not clamped.

        Raises
        ------
        EmoTalkError
            If a waveform is too short, not one-dimensional or not finite, or an index is out of range.
        """
        reference = waveform if emotion_from is None else emotion_from
        for clip in (waveform, reference):
            check_waveform(clip)
        content, emotion = (torch.from_numpy(normalize(clip.astype(np.float32))) for clip in (waveform, reference))
        num_frames = frames_to_predict(len(waveform))
        features = self.encode_emotion(emotion)
        return self.infer(content, features, num_frames=num_frames, intensity=intensity, subject=subject)[0]

    @torch.no_grad()
    def encode_emotion(self, speech: Tensor) -> Tensor:
        """Compute emotion features (F, D) float32 at 30 fps from normalized audio (N,), in evaluation mode."""
        encoder = self.audio_encoder_emo.wav2vec2
        with self._evaluation_mode():
            features = encoder.conv_features(speech[None].to(self.bs_map_r.weight.device))
            return encoder.encode(stretch_frames(features, num_emotion_frames(features.shape[1])), None)[0]

    @torch.no_grad()
    def infer(
        self,
        content: Tensor,
        emotion_features: Tensor,
        *,
        num_frames: int,
        intensity: int,
        subject: int | Sequence[float],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict motion from normalized audio and emotion features, in evaluation mode.

        Parameters
        ----------
        content : (N,) float32
            Audio that provides the content.
        emotion_features : (F, D) float32
            From `encode_emotion`, for any audio.
        num_frames
            Number of frames; content and emotion are stretched evenly to it.

        Returns
        -------
        track : (T, 52) float32
        logits : (7,) float32
            For the classes of `emotalk.emotions`.
        """
        device = self.bs_map_r.weight.device
        index = check_index(intensity, NUM_INTENSITIES, "intensity")
        conditioning = (
            torch.eye(NUM_INTENSITIES)[[index]],
            torch.tensor([subject_weights(subject, self.num_slots)]),
        )
        encoder = self.audio_encoder_cont
        with self._evaluation_mode():
            conv_features = encoder.conv_features(content[None].to(device))
            states = encoder.encode(stretch_frames(conv_features, num_frames), None)
            emotion = stretch_frames(emotion_features[None].to(device), num_frames)
            track = self.decode(states, emotion, *(tensor.to(device) for tensor in conditioning))
            logits = self.audio_encoder_emo.classifier(emotion.mean(dim=1)).float()
        return track[0].cpu().numpy(), logits[0].cpu().numpy()

    @contextmanager
    def _evaluation_mode(self) -> Iterator[None]:
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)
