import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from emotalk.config.training import EncoderSettings
from emotalk.data.manifest import MANIFEST_SCHEMA
from emotalk.training.checkpoint_file import read_checkpoint
from emotalk.training.train import TrainingFiles, train
from emotalk.training.trainer import Trainer
from tests.benchmarks.material import PLAIN, make_model_settings
from tests.clips import ClipWriter
from tests.conftest import TINY

CPU = torch.device("cpu")
ENCODER = EncoderSettings(source="random", sizes=TINY)
_RANDOM = ("hidden_dropout", "activation_dropout", "feat_proj_dropout", "attention_dropout", "layerdrop")
STEADY = EncoderSettings(source="random", sizes=TINY | dict.fromkeys(_RANDOM, 0.0))
"""An encoder without dropout."""
SETTINGS = PLAIN.model_copy(
    update={
        "epochs": 4,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "precision": "auto",
        "model": make_model_settings(ENCODER),
        "seed": 7,
    }
)


@pytest.fixture
def clips(tmp_path):
    """Eight clips of different lengths with noise and random tracks."""
    path = tmp_path / "clips.arrow"
    rng = np.random.default_rng(0)
    with ClipWriter(path) as writer:
        for i in range(8):
            frames = 20 + 3 * i
            labels = dict(
                clip_id=f"c{i}", corpus="C", recording_id=f"c{i}", start_frame=0, stop_frame=frames, is_whole=True
            )
            labels |= dict.fromkeys(("subject", "emotion", "intensity", "statement", "repetition"))
            waveform = rng.integers(-3000, 3000, frames * 1600 // 3).astype(np.int16)
            writer.write(labels, waveform, rng.random((frames, 52)).astype(np.float32))
    return [path]


def example(kind: str, position: int = 0, split: str = "train", epoch: int = 1) -> dict:
    """Manifest row that uses the clips of fixture `clips`."""
    parts = {"audio_c1e2": "c0", "audio_c2e1": "c1", "track_c1e1": "c2", "track_c2e2": "c3"}
    if kind == "self":
        parts |= {"audio_c1e2": "c4", "audio_c2e1": None, "track_c1e1": None, "track_c2e2": None}
    if kind == "random":
        parts |= {"audio_c1e2": "c5", "audio_c2e1": "c6", "track_c1e1": "c5", "track_c2e2": "c6"}
    labels = {"emotion_e1": 3, "emotion_e2": 0} if kind == "cross" else {"emotion_e1": -1, "emotion_e2": -1}
    return {
        "split": split,
        "epoch": epoch,
        "position": position,
        "kind": kind,
        "subject": 4,
        "intensity": 1,
        "num_frames": 100,
        **parts,
        **labels,
    }


@pytest.fixture
def manifest(tmp_path):
    """Manifest of four epochs with three examples each, and two validation examples."""
    kinds = ("cross", "self", "random")
    rows = [example("cross", 0, "validation", 0), example("self", 1, "validation", 0)]
    rows += [example(kinds[(i + e) % 3], i, "train", e) for e in range(1, 5) for i in range(3)]
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA), tmp_path / "manifest.parquet")
    return tmp_path / "manifest.parquet"


@pytest.fixture
def settings():
    """Settings of a run that takes one second, with changes."""

    def make(**changes):
        return SETTINGS.model_copy(update=changes)

    return make


@pytest.fixture
def run(clips, manifest, settings, tmp_path):
    """Train with the same call as rule `train`."""

    def start(folder="run", *, start_over_before=0.0, **changes):
        files = TrainingFiles(clips, manifest, tmp_path / folder)
        train(files, settings(**changes), device=CPU, start_over_before=start_over_before)
        return read_checkpoint(tmp_path / folder / "checkpoint.pth"), tmp_path / folder

    return start


def same_weights(one, other) -> bool:
    """Whether two checkpoints have bit-identical parameters."""
    return all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])


@pytest.fixture
def interrupted(run):
    """Train until an exception within an epoch, as if the process was killed."""

    def start(folder, *, in_epoch, after_step=1, **changes):
        original = Trainer.train_epoch

        def stopping(self):
            for _ in original(self):
                yield
                if (self.epoch + 1, self.step) == (in_epoch, after_step):
                    raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Trainer, "train_epoch", stopping)
            run(folder, **changes)

    return start
