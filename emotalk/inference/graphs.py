"""Two ONNX graphs of the network, for audio of any length.

The emotion graph computes emotion features from audio. The motion graph computes coefficients from audio and emotion
features, which are an output of the emotion graph or stored ones. Together they compute the same as `EmoTalk.predict`.
Shapes: N samples; L frames at 50 Hz; F frames of emotion features; T frames of motion; D hidden size of the emotion
encoder.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from emotalk.model.inputs import NUM_INTENSITIES
from emotalk.model.network import EmoTalk
from emotalk.timing import FPS, SAMPLING_RATE

if TYPE_CHECKING:
    import onnx_ir

OPSET = 18
"""Version of the ONNX operators: the oldest that is sufficient, for compatibility with older programs."""
_UNLIMITED = 2**40


class EmotionGraph(nn.Module):
    """Graph that computes emotion features from audio."""

    output = "emotion_features"

    def __init__(self, network: EmoTalk) -> None:
        super().__init__()
        self.encoder = network.audio_encoder_emo.wav2vec2

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute emotion features (1, F, D) float32 at 30 fps from audio (1, N) float32 at 16 kHz, not normalized."""
        features = self.encoder.conv_features(normalize_waveform(waveform))
        # As `num_emotion_frames`; explicitly float64, because ONNX would use float32.
        length = torch.scalar_tensor(features.shape[1], dtype=torch.float64)
        num_frames: Any = (length / 50.0 * 30).to(torch.int64).item()
        torch._check(num_frames >= 1)  # Informs the exporter, for which the number is unknown.
        return self.encoder.encode(interpolate(features, num_frames), None)

    def example_inputs(self) -> dict[str, Tensor]:
        """Return example inputs by name."""
        return {"waveform": torch.zeros(1, 16_123)}


class MotionGraph(nn.Module):
    """Graph that computes coefficients from audio and emotion features."""

    output = "coefficients"

    def __init__(self, network: EmoTalk) -> None:
        super().__init__()
        self.network = network

    def forward(self, waveform: Tensor, emotion_features: Tensor, intensity: Tensor, subject: Tensor) -> Tensor:
        """Compute coefficients (1, T, 52) float32 at 30 fps.

        Parameters
        ----------
        waveform : (1, N) float32
            Audio at 16 kHz, not normalized.
        emotion_features : (1, F, D) float32
        intensity : (1,) int64
            0 normal, 1 strong.
        subject : (1, S) float32
            Weights of the subjects.
        """
        # As `frames_to_predict`, but with positive numbers, because integer division of ONNX rounds towards zero.
        num_frames = (waveform.shape[1] * FPS + SAMPLING_RATE - 1) // SAMPLING_RATE
        encoder = self.network.audio_encoder_cont
        content = encoder.encode(interpolate(encoder.conv_features(normalize_waveform(waveform)), num_frames), None)
        intensities = torch.eye(NUM_INTENSITIES).index_select(0, intensity)
        return self.network.decode(content, interpolate(emotion_features, num_frames), intensities, subject)

    def example_inputs(self) -> dict[str, Tensor]:
        """Return example inputs by name."""
        return {
            "waveform": torch.zeros(1, 16_123),
            "emotion_features": torch.zeros(1, 41, self.network.encoder_configs["emotion"].hidden_size),
            "intensity": torch.tensor([0]),
            "subject": torch.zeros(1, self.network.num_slots),
        }


def normalize_waveform(waveform: Tensor) -> Tensor:
    """Normalize audio to mean 0 and variance 1, as `emotalk.model.sequences.normalize`.

    Sums are computed in float64: with float32 sums, coefficients of 27 s of audio in a browser had an error of 3e-3.
    """
    samples = waveform.double()
    centred = samples - samples.mean()
    return (centred / torch.sqrt(centred.square().mean() + 1e-7)).float()


def interpolate(sequence: Tensor, num_frames: int) -> Tensor:
    """Interpolate a sequence to (1, num_frames, C), as `emotalk.model.batch_layout.stretch_frames`."""
    last = sequence.shape[1] - 1
    intervals = torch.scalar_tensor(num_frames - 1, dtype=torch.float32).clamp(min=1)
    step = torch.scalar_tensor(last, dtype=torch.float32) / intervals
    positions = step * torch.arange(num_frames, dtype=torch.float32)
    low = positions.to(torch.int64).clamp(max=last)
    high = (low + 1).clamp(max=last)
    weight = (positions - low)[:, None]
    return (1 - weight) * sequence.index_select(1, low) + weight * sequence.index_select(1, high)


def export_graph(graph: EmotionGraph | MotionGraph) -> "onnx_ir.Model":
    """Export a graph to ONNX."""
    from onnxscript.optimizer import optimize

    examples = graph.example_inputs()
    any_length = {1: torch.export.Dim.DYNAMIC}
    lengths = {name: any_length if name in ("waveform", "emotion_features") else {} for name in examples}
    with _quiet_exporter(), torch.no_grad():
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
        # Fold constants of any size: transposed, normalized and sliced weights are stored and not computed at each run.
        optimize(model, input_size_limit=_UNLIMITED, output_size_limit=_UNLIMITED)
    for node in model.graph:
        node.metadata_props.clear()  # Source lines of the node, with paths of this machine.
    return model


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide log lines and warnings of the exporter about its own state and unused packages."""
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


def convert_products_to_fp16(model: "onnx_ir.Model") -> None:
    """Convert matrix products, convolutions and their weights to float16.

    Everything else stays float32, as in training with mixed precision: norms, softmax and residual sums. The last
    product also stays float32, because float16 would round the differences between frames.
    """
    from onnx_ir import DataType, Value, node, tensor

    graph = model.graph
    converted: dict[Value | None, Value] = {}
    products = [each for each in graph if each.op_type in ("MatMul", "Conv")]
    for product in products[:-1]:
        for index, value in enumerate(product.inputs):
            assert value is not None
            if value not in converted and value.is_initializer():
                assert value.const_value is not None
                numbers = tensor(value.const_value.numpy().astype(np.float16), name=f"{value.name}_fp16")
                converted[value] = Value(name=numbers.name, shape=value.shape, const_value=numbers)
                converted[value].dtype = DataType.FLOAT16
                graph.register_initializer(converted[value])
            elif value not in converted:
                cast = node("Cast", [value], {"to": DataType.FLOAT16.value})
                graph.insert_before(product, cast)
                converted[value] = cast.outputs[0]
            product.replace_input_with(index, converted[value])
        (result,) = product.outputs
        cast = node("Cast", [None], {"to": DataType.FLOAT.value})
        result.replace_all_uses_with(cast.outputs[0])
        cast.replace_input_with(0, result)
        result.dtype = DataType.FLOAT16
        graph.insert_after(product, cast)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]
