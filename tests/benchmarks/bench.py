"""Benchmark of training steps: variants, and the network that they share with the reference."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from emotalk.data.clips import from_int16
from emotalk.data.manifest import Example
from emotalk.device import choose_precision
from emotalk.model.pretrained import build_network
from emotalk.model.sequences import normalize
from emotalk.training.batches import BatchMaker
from emotalk.training.features import load_cached_features
from emotalk.training.finite import FiniteGuard
from emotalk.training.losses import batch_losses
from emotalk.training.optimizer import Optimizer
from emotalk.training.trainer import training_step
from tests.benchmarks.lengths import ravdess_lengths
from tests.benchmarks.material import ENCODERS, WEIGHTS, pairs, write_clips
from tests.benchmarks.reference import Reference

CLIPS_PER_PAIR = {"report": 2, "paper": 4}
LEARNING_RATE = 1e-6
"""Small, so that the network hardly changes between measurements."""
Work = Callable[[], object]


@dataclass(frozen=True)
class Variant:
    """Variant of the training step."""

    batch_size: int
    precision: str
    compiled: bool = False
    checkpointing: bool = False
    cached: bool = False

    @property
    def name(self) -> str:
        """Name in the tables."""
        options = [name for name in ("cached", "checkpointing", "compiled") if getattr(self, name)]
        return ", ".join([f"batch {self.batch_size}", self.precision, *options])


def variants(device: torch.device) -> list[Variant]:
    """Variants for a device; without bf16 on a CPU, where one matrix product may take minutes."""
    if device.type == "cpu":
        return [
            Variant(1, "fp32"),
            Variant(1, "fp32", cached=True),
            Variant(8, "fp32"),
            Variant(8, "fp32", cached=True),
        ]
    mixed = choose_precision("auto", device)
    singles = [Variant(1, "fp32"), Variant(1, mixed), Variant(1, mixed, checkpointing=True)]
    batches = [Variant(8, "fp32"), *(Variant(size, mixed) for size in (8, 16, 32))]
    options = [Variant(8, mixed, checkpointing=True), Variant(8, mixed, cached=True)]
    compiled = [Variant(8, mixed, compiled=True), Variant(8, mixed, compiled=True, cached=True)]
    return [*singles, *batches, *options, *compiled]


class Bench:
    """Network, optimizer and clips that all variants and the reference share."""

    def __init__(self, size: str, recipe: str, device: torch.device, folder: Path, num_pairs: int) -> None:
        self.device, self.recipe = device, recipe
        self._folder = folder
        torch.manual_seed(0)
        self.network = build_network(ENCODERS[size], ENCODERS[size])
        torch.nn.init.normal_(self.network.bs_map_r.weight, std=0.02)
        self.network.to(device).train()
        self._guard = FiniteGuard(device)
        self._optimizers: dict[str, Optimizer] = {}
        lengths = ravdess_lengths(num_pairs * CLIPS_PER_PAIR[recipe])
        self._store = write_clips(folder / "clips.arrow", lengths)
        # Sorted, as batches of training have examples of similar length.
        self.examples = sorted(pairs(recipe, lengths), key=lambda example: example["num_frames"])
        self._make_batch = self.make_batch_maker(self._store)
        self._make_cached_batch: BatchMaker | None = None
        self._reference = Reference(self.network, device)
        # Capturable Adam counts its steps on the GPU like the fused Adam, so that both can share their moments.
        on_gpu = device.type == "cuda"
        self._plain_adam = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, capturable=on_gpu)
        self._plain_adam.state = self._optimizer("fp32").optimizer.state

    def make_batch_maker(self, store: object, **options: object) -> BatchMaker:
        """Make the collator of batches from a clip store."""
        velocity_on = "first" if self.recipe == "report" else "every"
        return BatchMaker(store, self.network.conv_frames, velocity_on, **options)

    def configure_layers(self, variant: Variant | None) -> None:
        """Configure the layers of the encoders for a variant, or for the reference (None)."""
        self.network.set_gradient_checkpointing(variant is not None and variant.checkpointing)
        for encoder in self.network.speech_encoders:
            encoder.is_compiled = variant is not None and variant.compiled

    def step(self, variant: Variant, examples: list[Example], make_batch: BatchMaker | None = None) -> Work:
        """Training step of a variant; the batch is on the device already."""
        make_batch = make_batch or self._batch_maker(variant)
        optimizer, weights = self._optimizer(variant.precision), WEIGHTS[self.recipe]
        batch = make_batch(examples).to(self.device)

        def work() -> None:
            self.configure_layers(variant)
            with torch.compiler.set_stance("default" if variant.compiled else "force_eager"):
                training_step(self.network, optimizer, [batch], weights, precision=variant.precision)

        return work

    def reference_step(self, example: Example) -> Work:
        """Step of the training report on the first two clips of an example, with the default Adam of torch."""

        def work() -> None:
            self.configure_layers(None)
            with torch.compiler.set_stance("force_eager"):
                self._plain_adam.zero_grad()
                self._reference_loss(example).backward()
                self._plain_adam.step()

        return work

    def reference_frames(self, example: Example) -> int:
        """Number of frames that the reference reconstructs: clip A twice and B once."""
        main, partner = (len(self._store[example[name]].track) for name in ("audio_c1e2", "audio_c2e1"))
        return 2 * main + partner

    @torch.no_grad()
    def loss_difference(self) -> float:
        """Relative difference between our loss and that of the reference for one pair, in evaluation mode."""
        self.network.eval()
        example = self.examples[0]
        matmul_precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")  # Without TF32, whose rounding differs between the two.
        expected = self._reference_loss(example).item()
        main, partner = example["audio_c1e2"], example["audio_c2e1"]
        pair = example | {"kind": "random", "track_c1e1": main, "track_c2e2": partner}
        batch = replace(self._make_batch, velocity_on="first")([pair]).to(self.device)
        loss = batch_losses(self.network, batch, WEIGHTS["report"], precision="fp32")["loss"].item()
        torch.set_float32_matmul_precision(matmul_precision)
        self.network.train()
        return abs(loss - expected) / expected

    def _batch_maker(self, variant: Variant) -> BatchMaker:
        if not variant.cached:
            return self._make_batch
        if self._make_cached_batch is None:
            features = load_cached_features(self.network, self._store, self._folder / "features")
            self._make_cached_batch = self.make_batch_maker(self._store, features=features)
        return self._make_cached_batch

    def _optimizer(self, precision: str) -> Optimizer:
        """Shared optimizer; a separate one for fp16, which scales the losses."""
        kind = "fp16" if precision == "fp16" else "fp32"
        if kind not in self._optimizers:
            trainable = self.network.trainable_parameters()
            self._optimizers[kind] = Optimizer(trainable, LEARNING_RATE, self._guard, moments="fp32", precision=kind)
        return self._optimizers[kind]

    def _reference_loss(self, example: Example) -> torch.Tensor:
        clips = []
        for name in ("audio_c1e2", "audio_c2e1"):
            clip = self._store[example[name]]
            waveform = torch.from_numpy(normalize(from_int16(clip.waveform)))
            clips.append((waveform[None].to(self.device), torch.tensor(clip.track)[None].to(self.device)))
        return self._reference.loss(*clips, intensity=example["intensity"], subject=example["subject"])
