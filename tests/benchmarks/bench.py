"""What is measured: the ways to train, and the one network that all of them and the reference share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from emotalk.data.manifest import Example
from emotalk.data.samples import from_int16
from emotalk.device import choose_precision
from emotalk.model.pretrained import build_network
from emotalk.model.sequences import normalise
from emotalk.training.batches import BatchMaker
from emotalk.training.features import cached_features
from emotalk.training.finite import FiniteGuard
from emotalk.training.losses import batch_losses
from emotalk.training.optimizer import Optimizer
from emotalk.training.trainer import training_step
from tests.benchmarks.lengths import ravdess_lengths
from tests.benchmarks.material import ENCODERS, WEIGHTS, pairs, write_clips
from tests.benchmarks.reference import Reference

CLIPS_A_PAIR = {"report": 2, "paper": 4}
LEARNING_RATE = 1e-6
"""So small that all variants go on computing on much the same network."""
Work = Callable[[], object]


@dataclass(frozen=True)
class Variant:
    """A way to train."""

    batch_size: int
    precision: str
    compiled: bool = False
    checkpointing: bool = False
    cached: bool = False

    @property
    def name(self) -> str:
        """What the tables call it."""
        marks = [name for name in ("cached", "checkpointing", "compiled") if getattr(self, name)]
        return ", ".join([f"batch {self.batch_size}", self.precision, *marks])


def variants(device: torch.device) -> list[Variant]:
    """What is measured on a device; a CPU without bf16 units takes minutes for one product in it."""
    if device.type == "cpu":
        return [
            Variant(1, "fp32"),
            Variant(1, "fp32", cached=True),
            Variant(8, "fp32"),
            Variant(8, "fp32", cached=True),
        ]
    fast = choose_precision("auto", device)
    ones = [Variant(1, "fp32"), Variant(1, fast), Variant(1, fast, checkpointing=True)]
    batches = [Variant(8, "fp32"), *(Variant(size, fast) for size in (8, 16, 32))]
    eights = [Variant(8, fast, checkpointing=True), Variant(8, fast, cached=True)]
    compiled = [Variant(8, fast, compiled=True), Variant(8, fast, compiled=True, cached=True)]
    return [*ones, *batches, *eights, *compiled]


class Bench:
    """One network, one optimizer, the same clips for all."""

    def __init__(self, size: str, recipe: str, device: torch.device, folder: Path, num_pairs: int) -> None:
        self.device, self.recipe = device, recipe
        self._folder = folder
        torch.manual_seed(0)
        self.network = build_network(ENCODERS[size], ENCODERS[size])
        torch.nn.init.normal_(self.network.bs_map_r.weight, std=0.02)
        self.network.to(device).train()
        self._guard = FiniteGuard(device)
        self._optimizers: dict[str, Optimizer] = {}
        lengths = ravdess_lengths(num_pairs * CLIPS_A_PAIR[recipe])
        self._store = write_clips(folder / "clips.arrow", lengths)
        # Like lengths stand together, as they do in training's batches.
        self.examples = sorted(pairs(recipe, lengths), key=lambda example: example["num_frames"])
        self._make = self.maker(self._store)
        self._make_cached: BatchMaker | None = None
        self._reference = Reference(self.network, device)
        # Capturable, so that it counts its steps where the fused Adam does and both can share one pair of moments.
        on_gpu = device.type == "cuda"
        self._plain_adam = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, capturable=on_gpu)
        self._plain_adam.state = self._optimizer("fp32").optimizer.state

    def maker(self, store: object, **options: object) -> BatchMaker:
        """What makes batches of a store's clips."""
        velocity_on = "first" if self.recipe == "report" else "every"
        return BatchMaker(store, self.network.conv_frames, velocity_on, **options)

    def run_layers_as(self, variant: Variant | None) -> None:
        """Let the encoders run their layers as a variant does, or as the report's step."""
        self.network.set_gradient_checkpointing(variant is not None and variant.checkpointing)
        for encoder in self.network.speech_encoders:
            encoder.is_compiled = variant is not None and variant.compiled

    def step(self, variant: Variant, examples: list[Example], make: BatchMaker | None = None) -> Work:
        """A step of a variant on some examples, which lie on the device already."""
        make = make or self._maker_for(variant)
        optimizer, weights = self._optimizer(variant.precision), WEIGHTS[self.recipe]
        batch = make(examples).to(self.device)

        def work() -> None:
            self.run_layers_as(variant)
            with torch.compiler.set_stance("default" if variant.compiled else "force_eager"):
                training_step(self.network, optimizer, [batch], weights, precision=variant.precision)

        return work

    def reference_step(self, example: Example) -> Work:
        """The report's step on the first two clips of an example, with torch's Adam as the report called it."""

        def work() -> None:
            self.run_layers_as(None)
            with torch.compiler.set_stance("force_eager"):
                self._plain_adam.zero_grad()
                self._reference_loss(example).backward()
                self._plain_adam.step()

        return work

    def reference_frames(self, example: Example) -> int:
        """Frames that the report's step reconstructs: A twice and B once."""
        main, donor = (len(self._store[example[name]].track) for name in ("audio_c1e2", "audio_c2e1"))
        return 2 * main + donor

    @torch.no_grad()
    def loss_difference(self) -> float:
        """Relative difference of our loss from the reference's on one pair, in evaluation mode."""
        self.network.eval()
        example = self.examples[0]
        rounding = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")  # Without TF32, which rounds each of them in its own way.
        expected = self._reference_loss(example).item()
        main, donor = example["audio_c1e2"], example["audio_c2e1"]
        pair = example | {"kind": "random", "track_c1e1": main, "track_c2e2": donor}
        batch = replace(self._make, velocity_on="first")([pair]).to(self.device)
        found = batch_losses(self.network, batch, WEIGHTS["report"], precision="fp32")["loss"].item()
        torch.set_float32_matmul_precision(rounding)
        self.network.train()
        return abs(found - expected) / expected

    def _maker_for(self, variant: Variant) -> BatchMaker:
        if not variant.cached:
            return self._make
        if self._make_cached is None:
            features = cached_features(self.network, self._store, self._folder / "features")
            self._make_cached = self.maker(self._store, features=features)
        return self._make_cached

    def _optimizer(self, precision: str) -> Optimizer:
        """One optimizer, and another only for fp16, which scales its losses."""
        kind = "fp16" if precision == "fp16" else "fp32"
        if kind not in self._optimizers:
            trainable = self.network.trainable_parameters()
            self._optimizers[kind] = Optimizer(trainable, LEARNING_RATE, self._guard, moments="fp32", precision=kind)
        return self._optimizers[kind]

    def _reference_loss(self, example: Example) -> torch.Tensor:
        clips = []
        for name in ("audio_c1e2", "audio_c2e1"):
            clip = self._store[example[name]]
            waveform = torch.from_numpy(normalise(from_int16(clip.waveform)))
            clips.append((waveform[None].to(self.device), torch.tensor(clip.track)[None].to(self.device)))
        return self._reference.loss(*clips, level=example["intensity"], person=example["subject"])
