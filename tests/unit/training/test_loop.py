import logging

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from emotalk.corpus.alignments import Alignments
from emotalk.corpus.clips import ClipStore
from emotalk.errors import TrainingError
from emotalk.training.batches import BatchMaker
from emotalk.training.checkpoint import CheckpointFolder, read_checkpoint
from emotalk.training.history import METRICS
from emotalk.training.loop import train
from emotalk.training.preparation import prepare_network
from emotalk.training.schedule import Schedule
from emotalk.training.settings import Freezing
from emotalk.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def run(clips, manifest, alignments, settings, tmp_path):
    def start(folder="run", **changes):
        train(clips, manifest, alignments, folder=tmp_path / folder, settings=settings(**changes), device=CPU)
        return read_checkpoint(tmp_path / folder / "checkpoint.pth"), tmp_path / folder

    return start


def same_weights(one, other) -> bool:
    return all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])


@pytest.fixture
def interrupted(run):
    """Runs that stop as by a kill, inside an epoch."""

    def start(folder, *, in_epoch, **changes):
        original = Trainer.train_epoch

        def stopping(self, number, examples, shown):
            if number == in_epoch:
                original(self, number, examples[:1], shown)
                raise KeyboardInterrupt
            return original(self, number, examples, shown)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Trainer, "train_epoch", stopping)
            run(folder, **changes)

    return start


def test_two_runs_with_one_seed_end_with_equal_weights(run):
    first, _ = run("a")
    second, _ = run("b")
    other, _ = run("c", seed=8)
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_training_lowers_the_loss_and_writes_one_row_an_epoch_and_split(run):
    _, folder = run(epochs=4)
    table = pq.read_table(folder / "metrics.parquet")
    assert table.schema.equals(METRICS)
    rows = table.to_pandas()
    assert rows[["epoch", "split"]].values.tolist() == [[e, s] for e in (1, 2, 3, 4) for s in ("train", "validation")]
    validation = rows.loc[rows["split"] == "validation", "loss"].to_numpy()
    assert validation[-1] < validation[0]


def test_an_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(run, interrupted, caplog):
    whole, whole_folder = run("whole")
    interrupted("cut", in_epoch=3)
    caplog.set_level(logging.INFO)
    continued, folder = run("cut")
    assert "Continuing emotalk_model_epoch2_" in caplog.text
    assert ": epoch 2, loss " in caplog.text
    assert same_weights(whole, continued)
    assert pq.read_table(folder / "metrics.parquet").equals(pq.read_table(whole_folder / "metrics.parquet"))


def test_raising_the_epochs_continues_and_equals_the_longer_run(run, caplog):
    longer, _ = run("longer", epochs=4)
    run("raised", epochs=2)
    caplog.set_level(logging.INFO)
    raised, _ = run("raised", epochs=4)
    assert "Continuing emotalk_model_epoch2_" in caplog.text
    assert same_weights(longer, raised)


def test_a_finished_run_asked_for_again_begins_anew(run, caplog):
    first, _ = run(epochs=2)
    caplog.set_level(logging.INFO)
    again, _ = run(epochs=2)
    assert "Continuing" not in caplog.text
    assert "epoch 1 of 2" in caplog.text
    assert same_weights(first, again)


def test_asking_for_fewer_epochs_than_were_trained_begins_anew(run, interrupted):
    shorter, _ = run("shorter", epochs=1)
    interrupted("cut", in_epoch=4, epochs=4)
    again, folder = run("cut", epochs=1)
    assert again["epoch"] == 1
    assert same_weights(again, shorter)
    assert len(pq.read_table(folder / "metrics.parquet")) == 2


def test_a_run_killed_between_its_last_checkpoint_and_its_end_is_completed(run, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFolder, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(epochs=2)
    caplog.set_level(logging.INFO)
    checkpoint, _ = run(epochs=2)
    assert checkpoint["epoch"] == 2
    assert "epoch 1 of 2" not in caplog.text


def test_a_falling_schedule_is_not_prolonged(settings):
    cosine = [settings(schedule="cosine", epochs=epochs).identity() for epochs in (2, 3)]
    assert cosine[0] != cosine[1]
    assert settings(epochs=2).identity() == settings(epochs=3).identity()


@pytest.fixture
def trainer_of(clips, alignments, settings):
    def make(subjects, **changes):
        chosen = settings(**changes)
        network, _ = prepare_network(chosen, CPU)
        make_batch = BatchMaker(ClipStore(clips), Alignments(alignments), network.conv_frames, "every")
        return Trainer(network, make_batch, chosen, subjects, "fp32"), network

    return make


def test_validation_gives_a_held_out_subject_the_mean_of_the_training_subjects(trainer_of, manifest):
    """The vectors of the others are never trained (DOMAIN.md, section 1)."""
    examples = Schedule(manifest).examples("validation")
    (held_out, one), (trained, other) = (trainer_of(subjects) for subjects in ([2], [2, 4]))
    for network in (one, other):
        torch.nn.init.ones_(network.bs_map_r.weight)
    expected = trained.validate([{**example, "subject": 2} for example in examples])
    assert held_out.validate(examples) == expected
    assert trained.validate(examples) != expected


def test_what_trades_time_for_memory_may_change_in_a_stopped_run(run, interrupted, caplog):
    """Out of memory at night, continued with gradient checkpointing in the morning: the same run."""
    whole, _ = run("whole")
    interrupted("cut", in_epoch=3)
    caplog.set_level(logging.INFO)
    continued, _ = run("cut", gradient_checkpointing=True, workers=0)
    assert "Continuing emotalk_model_epoch2_" in caplog.text
    assert same_weights(whole, continued)


def test_a_finished_run_asked_for_in_another_manner_is_finished_already(run, caplog):
    """Another number of workers makes the engine's rule stale, and costs no training."""
    first, _ = run(epochs=2)
    caplog.set_level(logging.INFO)
    again, folder = run(epochs=2, workers=5)
    assert "epoch 1 of 2" not in caplog.text
    assert same_weights(first, again)
    assert len(pq.read_table(folder / "metrics.parquet")) == 4
    run(epochs=2, workers=5)
    assert "epoch 1 of 2" in caplog.text


def test_cached_features_end_with_nearly_the_same_losses(run):
    plain, _ = run("plain")
    cached, _ = run("cached", cache_features=True)
    losses = [checkpoint["history"][-1]["loss"] for checkpoint in (plain, cached)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_accumulated_batches_make_the_steps_of_one_batch(run):
    """Three examples an epoch: two steps with a batch size of 2, and with 1 accumulated twice."""
    for folder, changes in (("a", {"batch_size": 2}), ("b", {"batch_size": 1, "accumulate": 2})):
        checkpoint, _ = run(folder, epochs=2, **changes)
        # A layer that layerdrop skipped has no gradient and makes no step.
        assert max(int(entry["step"]) for entry in checkpoint["optimizer"]["state"].values()) == 4


def test_a_checkpoint_waits_for_its_time_but_not_at_the_end(run, monkeypatch):
    saved = []
    original = CheckpointFolder.save
    monkeypatch.setattr(
        CheckpointFolder, "save", lambda self, epoch, c: saved.append(epoch) or original(self, epoch, c)
    )
    run("often", checkpoint_every_minutes=0)
    assert saved == [1, 2, 3, 4]
    saved.clear()
    run("seldom", checkpoint_every_minutes=60)
    assert saved == [4]


def test_other_precisions_are_other_runs(run):
    run(epochs=1)
    _, folder = run(epochs=1, precision="bf16")
    assert len(list((folder / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize("changes", [{}, {"gradient_checkpointing": True, "freeze": Freezing(1, "conv")}])
def test_compiled_layers_train_to_the_same_losses(run, changes):
    """Names in the checkpoint stay the released ones, too."""
    plain, _ = run("plain", epochs=1, **changes)
    compiled, _ = run("compiled", epochs=1, compile=True, **changes)
    assert plain["model"].keys() == compiled["model"].keys()
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-4)


def test_other_settings_never_meet_a_runs_checkpoints(run, caplog):
    run(epochs=2)
    caplog.set_level(logging.INFO)
    _, folder = run(epochs=2, learning_rate=2e-3)
    assert "Continuing" not in caplog.text
    assert len(list((folder / "checkpoints").iterdir())) == 2


def test_one_checkpoint_is_kept_under_its_name_and_shared_with_the_output(run):
    _, folder = run()
    (kept,) = (folder / "checkpoints").glob("*/*.pth")
    assert kept.name.startswith("emotalk_model_epoch4_")
    assert kept.samefile(folder / "checkpoint.pth")
    assert not list(folder.rglob("*.partial"))


def test_a_checkpoint_holds_what_a_run_needs(run):
    checkpoint, _ = run(epochs=1)
    assert {"epoch", "model", "optimizer", "loss", "random_states", "history"} <= checkpoint.keys()


def test_a_cosine_schedule_falls_from_the_learning_rate_towards_zero(settings):
    rates = [settings(schedule="cosine", epochs=4).learning_rate_at(epoch) for epoch in (1, 3, 4)]
    assert rates == pytest.approx([1e-3, 0.5e-3, 1e-3 * (1 - np.sqrt(0.5)) / 2])
    assert settings().learning_rate_at(3) == 1e-3


def test_frozen_parameters_are_not_optimised(run):
    checkpoint, _ = run(epochs=1)
    frozen = [name for name in checkpoint["model"] if "feature_extractor" in name]
    assert len(checkpoint["optimizer"]["param_groups"][0]["params"]) == len(checkpoint["model"]) - len(frozen)


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_clips(run, monkeypatch):
    original = BatchMaker.__call__

    def poisoned(self, examples):
        batch = original(self, examples)
        batch.targets[0, 0, 0] = float("nan")
        return batch

    monkeypatch.setattr(BatchMaker, "__call__", poisoned)
    with pytest.raises(TrainingError, match=r"not finite \(loss nan, cross .*clips .*c4.*Nothing was updated"):
        run()


def test_a_manifest_with_too_few_epochs_is_refused(run):
    with pytest.raises(TrainingError, match="holds 4 epochs, 9 are asked for"):
        run(epochs=9)


def test_a_manifest_of_other_clips_is_refused(run, manifest, tmp_path):
    table = pq.read_table(manifest).to_pandas().replace("c0", "gone")
    table.to_parquet(manifest)
    with pytest.raises(TrainingError, match="1 clips of the manifest are not in the clip store, gone first"):
        run()


def test_the_newest_checkpoint_is_the_one_of_the_highest_epoch(tmp_path):
    for name in ("epoch9_20260101T000000", "epoch10_20250101T000000", "epoch2_20270101T000000"):
        (tmp_path / f"emotalk_model_{name}.pth").touch()
    (tmp_path / "notes.pth").touch()
    assert CheckpointFolder(tmp_path).newest().name == "emotalk_model_epoch10_20250101T000000.pth"


def test_a_failed_save_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path)
    good = folder.save(1, {"epoch": 1})

    def full_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        folder.save(2, {"epoch": 2})
    assert folder.newest() == good
    assert read_checkpoint(good)["epoch"] == 1


@pytest.mark.parametrize("content", [b"", b"noise" * 50])
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path, content):
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(TrainingError, match=r"c.pth is no readable checkpoint.*Remove it"):
        read_checkpoint(tmp_path / "c.pth")


def test_validation_draws_nothing_at_random(trainer_of, manifest):
    """Else the number of validation clips would change the training that follows."""
    validating, _ = trainer_of([4])
    state = torch.get_rng_state()
    losses = [validating.validate(Schedule(manifest).examples("validation")) for _ in range(2)]
    assert losses[0] == losses[1]
    assert torch.equal(state, torch.get_rng_state())
    assert np.isfinite(list(losses[0].values())).all()
