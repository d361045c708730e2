"""A stopped run continues with bit-identical results, and a forced run starts over."""

import os
import re
import signal
import time
from itertools import product

import pyarrow.parquet as pq
import pytest

from emotalk.errors import Interrupted, TrainingError
from emotalk.training import train as module
from emotalk.training.checkpoints import Checkpoints
from emotalk.training.trainer import Trainer
from tests.unit.training.conftest import same_weights


def same_metrics(one, other) -> bool:
    return pq.read_table(one / "metrics.parquet").equals(pq.read_table(other / "metrics.parquet"))


@pytest.mark.parametrize(("epoch", "step"), [(2, 2), (4, 1)])
def test_run_killed_within_an_epoch_has_the_same_result_as_an_uninterrupted_one(run, interrupted, epoch, step):
    """The last checkpoint is that of the previous epoch."""
    whole, whole_folder = run("whole")
    interrupted("cut", in_epoch=epoch, after_step=step)
    continued, folder = run("cut")
    assert same_weights(whole, continued)
    assert same_metrics(whole_folder, folder)
    assert whole["optimizer"]["state"].keys() == continued["optimizer"]["state"].keys()


def test_run_killed_at_every_step_has_the_same_result(run, interrupted):
    whole, whole_folder = run("whole")
    for epoch in range(1, 5):
        for step in (1, 2):
            interrupted("cut", in_epoch=epoch, after_step=step, checkpoint_every_steps=1)
    continued, folder = run("cut")
    assert same_weights(whole, continued)
    assert same_metrics(whole_folder, folder)


EVERYTHING = dict(
    ema_decay=0.9, lr_schedule="cosine", warmup_epochs=0.5, clip_norm=0.1, precision="bf16", accumulate=2, batch_size=1
)


def test_average_learning_rate_and_clipping_continue_too(run, interrupted):
    whole, whole_folder = run("whole", **EVERYTHING)
    interrupted("cut", in_epoch=3, checkpoint_every_steps=1, **EVERYTHING)
    continued, folder = run("cut", **EVERYTHING)
    assert same_weights(whole, continued)
    assert same_metrics(whole_folder, folder)
    assert same_weights(*({"model": checkpoint["average"]["weights"]} for checkpoint in (whole, continued)))


def test_continued_run_logs_its_position(run, interrupted, caplog):
    interrupted("cut", in_epoch=3, checkpoint_every_steps=1)
    caplog.clear()
    run("cut")
    assert re.search(r"Newest checkpoint: emotalk_model_epoch2_step1_\d{8}T\d{6}\.pth", caplog.text)
    assert re.search(r"Continuing after 2 epochs and 1 steps of the next one, loss \d", caplog.text)


@pytest.fixture
def run_with_signal(run):
    """Train, with a signal to this process after one epoch and one step."""

    def start(name: str, **changes):
        original = Trainer.train_epoch

        def with_signal(self):
            for _ in original(self):
                if (self.epoch, self.step) == (1, 1):
                    os.kill(os.getpid(), signal.Signals[name])
                yield

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "train_epoch", with_signal)
            return run("cut", **changes)

    return start


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"])
def test_signal_stops_after_the_step_and_saves(run, run_with_signal, name):
    whole, whole_folder = run("whole")
    with pytest.raises(Interrupted, match=rf"Stopped by {name}. Saved after 1 epochs and 1 steps"):
        run_with_signal(name, checkpoint_every_minutes=60)
    continued, folder = run("cut")
    assert same_weights(whole, continued)
    assert same_metrics(whole_folder, folder)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_ignored_signal_does_not_stop_training(run_with_signal, name):
    """`nohup` makes a program ignore SIGHUP, and a script makes its background jobs ignore SIGINT."""
    previous = signal.signal(signal.Signals[name], signal.SIG_IGN)
    try:
        checkpoint, _ = run_with_signal(name, epochs=2)
    finally:
        signal.signal(signal.Signals[name], previous)
    assert checkpoint["epoch"] == 2


def test_signal_handlers_are_restored_after_training(run):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    run(epochs=1)
    assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]


def test_more_epochs_continue_the_run_with_the_result_of_a_longer_run(run, caplog):
    longer, _ = run("longer", epochs=4)
    run("extended", epochs=2)
    caplog.clear()
    extended, _ = run("extended", epochs=4)
    assert "Newest checkpoint: emotalk_model_epoch2_" in caplog.text
    assert same_weights(longer, extended)


def test_finished_run_is_not_trained_again(run, caplog):
    first, folder = run(epochs=2)
    (folder / "checkpoint.pth").unlink()  # Snakemake deletes outputs before it runs a rule again.
    caplog.clear()
    again, _ = run(epochs=2)
    assert "This run is finished (2 epochs)" in caplog.text
    assert "epoch 1 of 2" not in caplog.text
    assert same_weights(first, again)
    assert len(pq.read_table(folder / "metrics.parquet")) == 4


def test_forced_run_starts_over_and_keeps_the_previous_one(run, caplog):
    first, folder = run(epochs=2)
    before = {path.name: path.read_bytes() for path in folder.glob("checkpoints/*/*.pth")}
    caplog.clear()
    forced = time.time()
    again, _ = run(epochs=2, start_over_before=forced)
    assert "epoch 1 of 2" in caplog.text
    (archive,) = folder.glob("checkpoints/*.replaced-*")
    assert str(archive) in caplog.text
    assert {path.name: path.read_bytes() for path in archive.glob("*.pth")} == before
    logs = {path.parent == archive: path.read_text() for path in folder.glob("checkpoints/*/train.log")}
    assert logs[True].count("epoch 1 of 2, train") == logs[False].count("epoch 1 of 2, train") == 1
    assert same_weights(first, again)
    caplog.clear()
    run(epochs=2, start_over_before=forced)  # Snakemake retries a job with the same resources.
    assert "This run is finished (2 epochs)" in caplog.text


def test_forced_run_that_is_retried_continues(run, interrupted, caplog):
    run("cut")
    forced = time.time()
    interrupted("cut", in_epoch=3, start_over_before=forced)
    caplog.clear()
    run("cut", start_over_before=forced)
    assert "Newest checkpoint: emotalk_model_epoch2_" in caplog.text
    assert "Continuing after 2 epochs" in caplog.text


def test_fewer_epochs_than_trained_are_an_error_and_keep_all_checkpoints(run, interrupted, tmp_path):
    interrupted("cut", in_epoch=4)
    before = sorted(tmp_path.glob("cut/checkpoints/*/*.pth"))
    with pytest.raises(TrainingError, match=r"epoch3_.* is beyond train.epochs = 1. Increase train.epochs, or force"):
        run("cut", epochs=1)
    assert sorted(tmp_path.glob("cut/checkpoints/*/*.pth")) == before


def test_run_killed_after_its_last_checkpoint_is_completed(run, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(epochs=2)
    caplog.clear()
    checkpoint, _ = run(epochs=2)
    assert checkpoint["epoch"] == 2
    assert "epoch 1 of 2" not in caplog.text


def test_unreadable_files_of_other_folders_are_logged(run, caplog):
    _, folder = run(epochs=1)
    for name, content in (("stranger", "no json"), ("list", "[1]"), ("binary", "\x00")):
        (folder / "checkpoints" / name).mkdir()
        (folder / "checkpoints" / name / "run.json").write_text(content)
        (folder / "checkpoints" / name / "emotalk_model_epoch9_20260101T000000.pth").write_text("damaged")
    caplog.clear()
    run(epochs=2)
    assert caplog.text.count("Cannot read run.json of the other folder") == 3
    assert len(list((folder / "checkpoints" / "stranger").iterdir())) == 2


def test_other_files_in_the_folder_of_a_run_are_kept(run):
    _, folder = run(epochs=1)
    (run_folder,) = (path for path in (folder / "checkpoints").iterdir() if path.is_dir())
    for name in ("notes.txt", "mine.partial", "model.pth", "model.pth.sha256"):
        (run_folder / name).write_text("mine")
    run(epochs=2)
    assert {"notes.txt", "mine.partial", "model.pth", "model.pth.sha256"} <= {
        path.name for path in run_folder.iterdir()
    }


def test_log_of_the_run_has_all_attempts(run, interrupted, tmp_path):
    interrupted("cut", in_epoch=3)
    run("cut")
    (log,) = tmp_path.glob("cut/checkpoints/*/train.log")
    assert "epoch 1 of 4" in log.read_text()
    assert "epoch 4 of 4" in log.read_text()
    assert log.read_text().count("Continuing after 2 epochs") == 1


def test_run_continues_with_other_memory_settings(run, interrupted, caplog):
    """For example with gradient checkpointing after it ran out of memory."""
    whole, _ = run("whole")
    interrupted("cut", in_epoch=3)
    caplog.clear()
    continued, _ = run("cut", gradient_checkpointing=True)
    assert "Newest checkpoint: emotalk_model_epoch2_" in caplog.text
    assert same_weights(whole, continued)


def test_finished_run_is_not_trained_again_after_settings_outside_its_identity_change(run, caplog):
    """Snakemake runs the rule again if train.keep_last changes."""
    first, _ = run(epochs=2)
    caplog.clear()
    again, folder = run(epochs=2, keep_last=5)
    assert "epoch 1 of 2" not in caplog.text
    assert same_weights(first, again)
    assert len(pq.read_table(folder / "metrics.parquet")) == 4


def test_checkpoints_are_saved_at_their_interval_and_at_the_end(run, monkeypatch):
    saved = []
    original = Checkpoints._write
    monkeypatch.setattr(
        Checkpoints,
        "_write",
        lambda self, content: saved.append((content["epoch"], content["step"])) or original(self, content),
    )

    def positions(**changes):
        saved.clear()
        run(str(changes), **changes)
        return list(saved)

    assert positions(checkpoint_every_minutes=0) == [(1, 0), (2, 0), (3, 0), (4, 0)]
    assert positions(checkpoint_every_minutes=60) == [(4, 0)]
    assert positions(checkpoint_every_minutes=60, checkpoint_every_steps=2) == [(e, 2) for e in range(4)] + [(4, 0)]
    assert positions(checkpoint_every_minutes=1e-9) == [*product(range(4), range(3)), (4, 0)][1:]


def test_other_settings_do_not_continue_a_run(run, caplog):
    run(epochs=2)
    caplog.clear()
    _, folder = run(epochs=2, learning_rate=2e-3)
    assert "Continuing" not in caplog.text
    assert len(list(folder.glob("checkpoints/*/run.json"))) == 2
    assert "is another run (learning_rate: 0.001 in that run, 0.002 in this run)" in caplog.text


@pytest.mark.parametrize("precisions", [("fp32", "bf16"), ("bf16", "fp16"), ("fp16", "fp32")])
def test_run_continues_if_auto_selects_another_precision(run, interrupted, monkeypatch, caplog, precisions):
    """Slurm may restart a preempted job on another type of GPU."""
    first, second = precisions
    monkeypatch.setattr(module, "choose_precision", lambda precision, device: first)
    interrupted("cut", in_epoch=3, precision="auto")
    monkeypatch.setattr(module, "choose_precision", lambda precision, device: second)
    caplog.clear()
    _, folder = run("cut", precision="auto")
    assert "Newest checkpoint: emotalk_model_epoch2_" in caplog.text
    assert f"The run used precision {first}; it continues with {second}." in caplog.text
    assert len(pq.read_table(folder / "metrics.parquet")) == 8


def test_another_precision_setting_makes_another_run(run):
    run(epochs=1)
    _, folder = run(epochs=1, precision="bf16")
    assert len(list(folder.glob("checkpoints/*/run.json"))) == 2


def test_checkpoint_of_another_run_is_an_error_with_keys_and_both_values(run, interrupted, tmp_path):
    interrupted("one", in_epoch=2)
    interrupted("other", in_epoch=2, learning_rate=2e-3, seed=8)
    ours, theirs = (next(tmp_path.glob(f"{name}/checkpoints/*/run.json")).parent for name in ("one", "other"))
    for path in theirs.glob("*.pth*"):
        path.rename(ours / path.name)
    expected = r"belongs to another run: learning_rate: 0.002 in that run, 0.001 in this run; seed: 8 in that run"
    with pytest.raises(TrainingError, match=expected):
        run("one")


def test_damaged_newest_checkpoint_falls_back_to_the_previous_one_with_a_warning(run, interrupted, tmp_path, caplog):
    whole, _ = run("whole")
    interrupted("cut", in_epoch=4)
    newest = next(tmp_path.glob("cut/checkpoints/*/emotalk_model_epoch3_*.pth"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    caplog.clear()
    continued, _ = run("cut")
    assert re.search(r"epoch3_\S+ is damaged: its SHA-256 is .* Renamed it to .*broken", caplog.text)
    assert "Newest checkpoint: emotalk_model_epoch2_" in caplog.text
    assert same_weights(whole, continued)


def test_early_stopping_ends_training_and_more_patience_continues_it(run, monkeypatch):
    losses = iter([5.0, 3.0, 4.0, 3.5])
    original = Trainer.compute_validation_means
    monkeypatch.setattr(Trainer, "compute_validation_means", lambda self: original(self) | {"loss": next(losses)})
    for _ in range(2):
        checkpoint, _ = run(early_stopping=1)
        assert checkpoint["epoch"] == 3
    continued, _ = run(early_stopping=2)
    assert continued["epoch"] == 4


def test_best_epoch_is_kept_and_published(run, monkeypatch):
    losses = iter([5.0, 3.0, 4.0, 3.5])
    original = Trainer.compute_validation_means
    monkeypatch.setattr(Trainer, "compute_validation_means", lambda self: original(self) | {"loss": next(losses)})
    checkpoint, folder = run(checkpoint="best", keep_last=1, keep_best=2, checkpoint_every_minutes=60)
    assert checkpoint["epoch"] == 2
    kept = sorted(path.name.split("_")[2] for path in folder.glob("checkpoints/*/*.pth"))
    assert kept == ["epoch2", "epoch4"]
    assert len(pq.read_table(folder / "metrics.parquet")) == 8


def test_early_stopping_without_validation_examples_is_an_error(run, manifest):
    table = pq.read_table(manifest).to_pandas()
    table[table["split"] != "validation"].to_parquet(manifest)
    with pytest.raises(TrainingError, match=r"train.checkpoint: best and train.keep_best need valid"):
        run(early_stopping=3)
