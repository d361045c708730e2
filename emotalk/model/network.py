"""EmoTalk: content of one clip and emotion of another become 52 blendshape coefficients a frame."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.model.decoder import Decoder
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.encoders import EmotionEncoder, SpeechEncoder
from emotalk.model.inputs import NUM_INTENSITIES, NUM_SUBJECTS, check_index, check_waveform, subject_weights
from emotalk.model.layout import ConvFrames, Layout, num_emotion_frames, resample_frames
from emotalk.model.sequences import normalise
from emotalk.timing import frames_to_predict

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
    Paper, section 3; released code as described in docs/method.md.
    """

    def __init__(self, content_encoder: SpeechEncoder, emotion_encoder: EmotionEncoder) -> None:
        super().__init__()
        self.audio_encoder_cont = content_encoder
        self.audio_encoder_emo = emotion_encoder
        for encoder in self.speech_encoders:
            encoder.feature_extractor.requires_grad_(False)
        self.audio_feature_map_cont = nn.Linear(content_encoder.config.hidden_size, _CONTENT_DIM)
        self.audio_feature_map_emo = nn.Linear(emotion_encoder.config.hidden_size, _MODEL_DIM)
        self.audio_feature_map_emo2 = nn.Linear(_MODEL_DIM, _EMOTION_DIM)
        self.obj_vector_level = nn.Linear(NUM_INTENSITIES, _LABEL_DIM)
        self.obj_vector_person = nn.Linear(NUM_SUBJECTS, _LABEL_DIM)
        self.transformer_decoder = Decoder(_MODEL_DIM)
        self.bs_map_r = nn.Linear(_MODEL_DIM, NUM_CHANNELS)
        nn.init.zeros_(self.bs_map_r.weight)
        nn.init.zeros_(self.bs_map_r.bias)

    @classmethod
    def from_configs(cls, content: EncoderConfig, emotion: EncoderConfig) -> "EmoTalk":
        """A network with random weights."""
        return cls(SpeechEncoder(content), EmotionEncoder(emotion))

    @classmethod
    def empty(cls, content: EncoderConfig, emotion: EncoderConfig) -> "EmoTalk":
        """A network whose parameters have shapes but no memory yet, for `emotalk.model.weights.load_strict`.

        Drawing random ones takes ten seconds at full size.
        """
        with torch.device("meta"):
            return cls.from_configs(content, emotion)

    @property
    def encoder_configs(self) -> dict[str, EncoderConfig]:
        """Configurations of the `content` and the `emotion` encoder."""
        return {"content": self.audio_encoder_cont.config, "emotion": self.audio_encoder_emo.config}

    @property
    def speech_encoders(self) -> tuple[SpeechEncoder, SpeechEncoder]:
        """The content encoder, and the emotion encoder without its classifier."""
        return self.audio_encoder_cont, self.audio_encoder_emo.wav2vec2

    @property
    def layers(self) -> tuple[nn.ModuleList, nn.ModuleList]:
        """Transformer layers of the content and of the emotion encoder: the bulk of the network."""
        content, emotion = self.speech_encoders
        return content.encoder.layers, emotion.encoder.layers

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Parameters that are not frozen."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def compile_layers(self) -> None:
        """Let torch compile the encoders' layers when they are first used; parameter names stay."""
        for encoder in self.speech_encoders:
            encoder.is_compiled = True
            for layer in encoder.encoder.layers:
                layer.compile(dynamic=True)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Turn gradient checkpointing of both encoders on or off."""
        for encoder in self.speech_encoders:
            encoder.gradient_checkpointing = enabled

    @property
    def conv_frames(self) -> tuple[ConvFrames, ConvFrames]:
        """Lengths that the convolutional stacks of the content and the emotion encoder make of audio."""
        content, emotion = self.speech_encoders
        return content.conv_frames, emotion.conv_frames

    def forward(self, content: Tensor, emotion: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Reconstruct motion; each distinct (clip, length) is encoded once, whatever the number of reconstructions.

        Parameters
        ----------
        content : (B, N) float32
            Clips whose words are spoken, each normalised alone, zeros behind the shorter ones.
        emotion : (B', N') float32
            Clips whose emotion is worn; may be the same tensor.
        layout
            Which reconstructions to make of them, from `Layout.of(request, *network.conv_frames)`.

        Returns
        -------
        tracks : (R, max T, 52) float32
            Coefficients; frames behind a reconstruction's own length mean nothing.
        logits : (R, 7) float32
            What the emotion encoder hears in the clip whose emotion is worn.
        """
        content_features = self.audio_encoder_cont.conv_features(content)
        emotion_features = self.audio_encoder_emo.wav2vec2.conv_features(emotion)
        return self.reconstruct(content_features, emotion_features, layout)

    def reconstruct(self, content: Tensor, emotion: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Do what `forward` does, from the features (B, L, C) of the convolutional stacks on."""
        views = self.audio_encoder_cont.encode(layout.content(content), layout.content.attention_mask)
        states = self.audio_encoder_emo.wav2vec2.encode(layout.emotion(emotion), layout.emotion.attention_mask)
        worn = layout.emotion_to_motion(states)
        valid = layout.emotion_to_motion.mask[..., None]
        pooled = (worn * valid).sum(dim=1) / valid.sum(dim=1)
        tracks = self.decode(views.index_select(0, layout.view), worn, layout.intensity, layout.subject)
        return tracks, self.audio_encoder_emo.classifier(pooled).float()

    def decode(self, content: Tensor, emotion: Tensor, intensity: Tensor, subject: Tensor) -> Tensor:
        """Coefficients (R, T, 52) float32 from the outputs of the two transformers, at the frames of the motion.

        Parameters
        ----------
        content, emotion : (R, T, hidden size)
        intensity : (R, 2) float32
        subject : (R, 24) float32
            Weights of the intensities and of the subjects.
        """
        memory = self.audio_feature_map_emo(emotion)
        num_frames = memory.shape[1]
        labels = [self.obj_vector_level(intensity), self.obj_vector_person(subject)]
        frames = torch.cat(
            [
                self.audio_feature_map_cont(content),
                torch.relu(self.audio_feature_map_emo2(memory)),
                *(label[:, None].expand(-1, num_frames, -1) for label in labels),
            ],
            dim=-1,
        )
        hidden = self.transformer_decoder(frames, memory).float()
        # Coefficients rounded to 8 bits would drown the differences between frames.
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
        donor = waveform if emotion_from is None else emotion_from
        for clip in (waveform, donor):
            check_waveform(clip)
        content, emotion = (torch.from_numpy(normalise(clip.astype(np.float32))) for clip in (waveform, donor))
        num_frames = frames_to_predict(len(waveform))
        features = self.encode_emotion(emotion)
        return self.infer(content, features, num_frames=num_frames, intensity=intensity, subject=subject)[0]

    @torch.no_grad()
    def encode_emotion(self, speech: Tensor) -> Tensor:
        """Compute emotion features (F, D) float32 at 30 fps of normalised speech (N,), in evaluation mode."""
        encoder = self.audio_encoder_emo.wav2vec2
        with self._evaluation_mode():
            features = encoder.conv_features(speech[None].to(self.bs_map_r.weight.device))
            return encoder.encode(resample_frames(features, num_emotion_frames(features.shape[1])), None)[0]

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
        """Predict motion from normalised speech and emotion features, in evaluation mode.

        Parameters
        ----------
        content : (N,) float32
            Speech that provides the content.
        emotion_features : (F, D) float32
            From `encode_emotion`, of any speech.
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
        conditioning = torch.eye(NUM_INTENSITIES)[[index]], torch.tensor([subject_weights(subject)])
        encoder = self.audio_encoder_cont
        with self._evaluation_mode():
            conv_features = encoder.conv_features(content[None].to(device))
            states = encoder.encode(resample_frames(conv_features, num_frames), None)
            emotion = resample_frames(emotion_features[None].to(device), num_frames)
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
