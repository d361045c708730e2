"""The network as two ONNX graphs, for speech of any length.

The emotion graph makes emotion features of speech. The motion graph makes coefficients of speech and of emotion
features, which the emotion graph made or which were stored. Together they compute what `EmoTalk.predict` computes, with
lengths that are taken from the inputs instead of a layout. Shapes: N samples; L frames at 50 Hz; F frames of emotion
features; T frames of motion; D the hidden size of the emotion encoder.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from emotalk.model.inputs import NUM_INTENSITIES, NUM_SUBJECTS
from emotalk.model.network import EmoTalk
from emotalk.timing import FPS, SAMPLING_RATE

if TYPE_CHECKING:
    import onnx_ir

OPSET = 18
"""Version of ONNX's operators. The graphs need no newer one, and older programs read it."""
_ANY_SIZE = 2**40


class EmotionGraph(nn.Module):
    """From speech to emotion features."""

    output = "emotion_features"

    def __init__(self, network: EmoTalk) -> None:
        super().__init__()
        self.encoder = network.audio_encoder_emo.wav2vec2

    def forward(self, waveform: Tensor) -> Tensor:
        """Emotion features (1, F, D) float32 at 30 fps of speech (1, N) float32 at 16 kHz, not normalised."""
        features = self.encoder.conv_features(normalised(waveform))
        # As `num_emotion_frames`: in float64, in which ONNX would not compute with lengths.
        length = torch.scalar_tensor(features.shape[1], dtype=torch.float64)
        num_frames: Any = (length / 50.0 * 30).to(torch.int64).item()
        torch._check(num_frames >= 1)  # For the exporter, which does not know the number.
        return self.encoder.encode(interpolated(features, num_frames), None)

    def examples(self) -> dict[str, Tensor]:
        """Inputs by name."""
        return {"waveform": torch.zeros(1, 16_123)}


class MotionGraph(nn.Module):
    """From speech and emotion features to coefficients."""

    output = "coefficients"

    def __init__(self, network: EmoTalk) -> None:
        super().__init__()
        self.network = network

    def forward(self, waveform: Tensor, emotion_features: Tensor, intensity: Tensor, subject: Tensor) -> Tensor:
        """Coefficients (1, T, 52) float32 at 30 fps.

        Parameters
        ----------
        waveform : (1, N) float32
            Speech at 16 kHz, not normalised.
        emotion_features : (1, F, D) float32
        intensity : (1,) int64
            0 normal, 1 strong.
        subject : (1, 24) float32
            Weights of the subjects.
        """
        # As `frames_to_predict`, but of positive numbers: ONNX rounds quotients of integers towards zero.
        num_frames = (waveform.shape[1] * FPS + SAMPLING_RATE - 1) // SAMPLING_RATE
        encoder = self.network.audio_encoder_cont
        content = encoder.encode(interpolated(encoder.conv_features(normalised(waveform)), num_frames), None)
        intensities = torch.eye(NUM_INTENSITIES).index_select(0, intensity)
        return self.network.decode(content, interpolated(emotion_features, num_frames), intensities, subject)

    def examples(self) -> dict[str, Tensor]:
        """Inputs by name."""
        return {
            "waveform": torch.zeros(1, 16_123),
            "emotion_features": torch.zeros(1, 41, self.network.encoder_configs["emotion"].hidden_size),
            "intensity": torch.tensor([0]),
            "subject": torch.zeros(1, NUM_SUBJECTS),
        }


def normalised(waveform: Tensor) -> Tensor:
    """Speech with mean 0 and variance 1, as `emotalk.model.sequences.normalise` computes it.

    The sums are float64: in float32 a browser's coefficients of 27 s were off by 3e-3.
    """
    samples = waveform.double()
    centred = samples - samples.mean()
    return (centred / torch.sqrt(centred.square().mean() + 1e-7)).float()


def interpolated(sequence: Tensor, num_frames: int) -> Tensor:
    """Sequence (1, num_frames, C) of one with another number of frames, as `emotalk.model.layout` computes it."""
    last = sequence.shape[1] - 1
    intervals = torch.scalar_tensor(num_frames - 1, dtype=torch.float32).clamp(min=1)
    step = torch.scalar_tensor(last, dtype=torch.float32) / intervals
    positions = step * torch.arange(num_frames, dtype=torch.float32)
    low = positions.to(torch.int64).clamp(max=last)
    high = (low + 1).clamp(max=last)
    weight = (positions - low)[:, None]
    return (1 - weight) * sequence.index_select(1, low) + weight * sequence.index_select(1, high)


def exported(graph: EmotionGraph | MotionGraph) -> "onnx_ir.Model":
    """A graph in ONNX."""
    from onnxscript.optimizer import optimize

    examples = graph.examples()
    any_length = {1: torch.export.Dim.DYNAMIC}
    lengths = {name: any_length if name in ("waveform", "emotion_features") else {} for name in examples}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph.eval(),
            kwargs=examples,
            input_names=list(examples),
            output_names=[graph.output],
            dynamic_shapes=lengths,
            opset_version=OPSET,
            optimize=False,
            verbose=False,
        )
        assert program is not None
        model = program.model
        # Whatever their size: transposed, normed and cut weights are stored instead of computed at each call.
        optimize(model, input_size_limit=_ANY_SIZE, output_size_limit=_ANY_SIZE)
    for node in model.graph:
        node.metadata_props.clear()  # The source of each node, with paths of this machine.
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Context without what the exporter says about packages that the network does not use, and about itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def halve_products(model: "onnx_ir.Model") -> None:
    """Let matrix products and convolutions compute in float16, with weights in float16.

    Everything else stays float32, as in training with mixed precision: norms, softmax and the sums that run through all
    layers. So does the last product, because float16 would round the differences between frames.
    """
    from onnx_ir import DataType, Value, node, tensor

    graph = model.graph
    halves: dict[Value | None, Value] = {}
    products = [each for each in graph if each.op_type in ("MatMul", "Conv")]
    for product in products[:-1]:
        for index, value in enumerate(product.inputs):
            assert value is not None
            if value not in halves and value.is_initializer():
                assert value.const_value is not None
                numbers = tensor(value.const_value.numpy().astype(np.float16), name=f"{value.name}_fp16")
                halves[value] = Value(name=numbers.name, shape=value.shape, const_value=numbers)
                halves[value].dtype = DataType.FLOAT16
                graph.register_initializer(halves[value])
            elif value not in halves:
                cast = node("Cast", [value], {"to": DataType.FLOAT16.value})
                graph.insert_before(product, cast)
                halves[value] = cast.outputs[0]
            product.replace_input_with(index, halves[value])
        (result,) = product.outputs
        cast = node("Cast", [None], {"to": DataType.FLOAT.value})
        result.replace_all_uses_with(cast.outputs[0])
        cast.replace_input_with(0, result)
        result.dtype = DataType.FLOAT16
        graph.insert_after(product, cast)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]
