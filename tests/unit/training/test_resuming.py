"""A run that was stopped goes on as if nothing had happened, and one that is forced begins anew."""

import os
import re
import signal
from itertools import product

import pyarrow.parquet as pq
import pytest

from emotalk.errors import Interrupted, TrainingError
from emotalk.training import train as module
from emotalk.training.checkpoints import Checkpoints
from emotalk.training.trainer import Trainer
from tests.unit.training.conftest import same_weights

MOMENTS = [(2, 2), (4, 1)]
"""Epoch, and steps of its two that were done."""


def same_metrics(one, other) -> bool:
    return pq.read_table(one / "metrics.parquet").equals(pq.read_table(other / "metrics.parquet"))


@pytest.mark.parametrize("every_steps", [1, None])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_was_killed_at_any_step_ends_with_the_bits_of_one_that_was_not(
    run, interrupted, moment, every_steps
):
    """Whatever was saved by then: this step, the one before, or the epoch before."""
    whole, whole_folder = run("whole")
    interrupted("cut", in_epoch=moment[0], after_step=moment[1], checkpoint_every_steps=every_steps)
    continued, folder = run("cut", checkpoint_every_steps=every_steps)
    assert same_weights(whole, continued)
    assert same_metrics(whole_folder, folder)
    assert whole["optimizer"]["state"].keys() == continued["optimizer"]["state"].keys()


def test_a_run_that_was_killed_at_every_step_ends_with_the_same_bits(run, interrupted):
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


def test_averages_schedules_and_clipping_are_continued_too(run, interrupted):
    whole, whole_folder = run("whole", **EVERYTHING)
    interrupted("cut", in_epoch=3, checkpoint_every_steps=1, **EVERYTHING)
    continued, folder = run("cut", **EVERYTHING)
    assert same_weights(whole, continued)
    assert same_metrics(whole_folder, folder)
    assert same_weights(*({"model": each["average"]["weights"]} for each in (whole, continued)))


def test_a_continued_run_tells_from_where(run, interrupted, caplog):
    interrupted("cut", in_epoch=3, checkpoint_every_steps=1)
    caplog.clear()
    run("cut")
    assert re.search(r"Newest checkpoint: emotalk_model_epoch2_step1_\d{8}T\d{6}\.pth", caplog.text)
    assert re.search(r"Continuing: epoch 2, step 1, loss \d", caplog.text)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"])
def test_a_signal_lets_the_step_finish_and_saves(run, monkeypatch, name):
    whole, whole_folder = run("whole")
    original = Trainer.train_epoch

    def signalled(self):
        for _ in original(self):
            if (self.epoch, self.step) == (1, 1):
                os.kill(os.getpid(), signal.Signals[name])
            yield

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", signalled)
        with pytest.raises(Interrupted, match=rf"Stopped by {name}. Epoch 1, step 1 is saved: the same command contin"):
            run("cut", checkpoint_every_minutes=60)
    continued, folder = run("cut")
    assert same_weights(whole, continued)
    assert same_metrics(whole_folder, folder)


def test_signals_are_what_they_were_after_training(run):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    run(epochs=1)
    assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]


def test_raising_the_epochs_continues_and_equals_the_longer_run(run, caplog):
    longer, _ = run("longer", epochs=4)
    run("raised", epochs=2)
    caplog.clear()
    raised, _ = run("raised", epochs=4)
    assert "Newest checkpoint: emotalk_model_epoch2_" in caplog.text
    assert same_weights(longer, raised)


def test_a_finished_run_is_delivered_again_whatever_asks_for_it(run, caplog):
    first, folder = run(epochs=2)
    (folder / "checkpoint.pth").unlink()  # As Snakemake does before it runs the rule again.
    caplog.clear()
    again, _ = run(epochs=2)
    assert "This run is finished (2 epochs)" in caplog.text
    assert "epoch 1 of 2" not in caplog.text
    assert same_weights(first, again)
    assert len(pq.read_table(folder / "metrics.parquet")) == 4


def test_a_forced_run_starts_over_and_the_one_before_is_kept(run, caplog):
    first, folder = run(epochs=2)
    before = {path.name: path.read_bytes() for path in folder.glob("checkpoints/*/*.pth")}
    caplog.clear()
    again, _ = run(epochs=2, start_over=True)
    assert "epoch 1 of 2" in caplog.text
    (aside,) = folder.glob("checkpoints/*.replaced-*")
    assert str(aside) in caplog.text
    assert {path.name: path.read_bytes() for path in aside.glob("*.pth")} == before
    logs = {path.parent == aside: path.read_text() for path in folder.glob("checkpoints/*/train.log")}
    assert logs[True].count("epoch 1 of 2, train") == logs[False].count("epoch 1 of 2, train") == 1
    assert same_weights(first, again)


def test_asking_for_fewer_epochs_than_were_trained_is_refused_and_costs_nothing(run, interrupted, tmp_path):
    interrupted("cut", in_epoch=4)
    before = sorted(tmp_path.glob("cut/checkpoints/*/*.pth"))
    with pytest.raises(TrainingError, match=r"epoch3_.* is beyond the 1 epochs of train.epochs. Set more, or force"):
        run("cut", epochs=1)
    assert sorted(tmp_path.glob("cut/checkpoints/*/*.pth")) == before


def test_a_run_killed_between_its_last_checkpoint_and_its_end_is_completed(run, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "deliver", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(epochs=2)
    caplog.clear()
    checkpoint, _ = run(epochs=2)
    assert checkpoint["epoch"] == 2
    assert "epoch 1 of 2" not in caplog.text


def test_what_cannot_be_read_in_another_run_s_folder_is_a_log_line(run, caplog):
    _, folder = run(epochs=1)
    for name, content in (("stranger", "no json"), ("list", "[1]"), ("binary", "\x00")):
        (folder / "checkpoints" / name).mkdir()
        (folder / "checkpoints" / name / "run.json").write_text(content)
        (folder / "checkpoints" / name / "emotalk_model_epoch9_20260101T000000.pth").write_text("damaged")
    caplog.clear()
    run(epochs=2)
    assert caplog.text.count("is another folder, whose run.json cannot be read") == 3
    assert len(list((folder / "checkpoints" / "stranger").iterdir())) == 2


def test_files_of_others_in_a_run_s_folder_stay(run):
    _, folder = run(epochs=1)
    (run_folder,) = (path for path in (folder / "checkpoints").iterdir() if path.is_dir())
    for name in ("notes.txt", "mine.partial", "model.pth", "model.pth.sha256"):
        (run_folder / name).write_text("mine")
    run(epochs=2)
    assert {"notes.txt", "mine.partial", "model.pth", "model.pth.sha256"} <= {
        path.name for path in run_folder.iterdir()
    }


def test_all_attempts_stand_in_the_log_of_the_run(run, interrupted, tmp_path):
    interrupted("cut", in_epoch=3)
    run("cut")
    (log,) = tmp_path.glob("cut/checkpoints/*/train.log")
    assert "epoch 1 of 4" in log.read_text()
    assert "epoch 4 of 4" in log.read_text()
    assert log.read_text().count("Continuing: epoch 2") == 1


def test_what_trades_time_for_memory_may_change_in_a_stopped_run(run, interrupted, caplog):
    """Out of memory at night, continued with gradient checkpointing in the morning: the same run."""
    whole, _ = run("whole")
    interrupted("cut", in_epoch=3)
    caplog.clear()
    continued, _ = run("cut", gradient_checkpointing=True)
    assert "Newest checkpoint: emotalk_model_epoch2_" in caplog.text
    assert same_weights(whole, continued)


def test_a_finished_run_whose_free_settings_change_is_finished_still(run, caplog):
    """Keeping more checkpoints makes the engine's rule stale, and costs no training."""
    first, _ = run(epochs=2)
    caplog.clear()
    again, folder = run(epochs=2, keep_last=5)
    assert "epoch 1 of 2" not in caplog.text
    assert same_weights(first, again)
    assert len(pq.read_table(folder / "metrics.parquet")) == 4


def test_a_checkpoint_waits_for_its_time_but_not_at_the_end(run, monkeypatch):
    saved = []
    original = Checkpoints._store
    monkeypatch.setattr(
        Checkpoints,
        "_store",
        lambda self, content: saved.append((content["epoch"], content["step"])) or original(self, content),
    )

    def moments(**changes):
        saved.clear()
        run(str(changes), **changes)
        return list(saved)

    assert moments(checkpoint_every_minutes=0) == [(1, 0), (2, 0), (3, 0), (4, 0)]
    assert moments(checkpoint_every_minutes=60) == [(4, 0)]
    assert moments(checkpoint_every_minutes=60, checkpoint_every_steps=2) == [(e, 2) for e in range(4)] + [(4, 0)]
    assert moments(checkpoint_every_minutes=1e-9) == [*product(range(4), range(3)), (4, 0)][1:]


def test_other_settings_never_meet_a_runs_checkpoints(run, caplog):
    run(epochs=2)
    caplog.clear()
    _, folder = run(epochs=2, learning_rate=2e-3)
    assert "Continuing" not in caplog.text
    assert len(list(folder.glob("checkpoints/*/run.json"))) == 2
    assert "is another run (learning_rate: 0.001 there, 0.002 here)" in caplog.text


@pytest.mark.parametrize("moved", [("fp32", "bf16"), ("bf16", "fp16"), ("fp16", "fp32")])
def test_a_run_goes_on_where_auto_means_another_precision(run, interrupted, monkeypatch, caplog, moved):
    """Slurm may put a preempted job on another kind of GPU."""
    here, there = moved
    monkeypatch.setattr(module, "choose_precision", lambda wanted, device: here)
    interrupted("cut", in_epoch=3, precision="auto")
    monkeypatch.setattr(module, "choose_precision", lambda wanted, device: there)
    caplog.clear()
    _, folder = run("cut", precision="auto")
    assert "Newest checkpoint: emotalk_model_epoch2_" in caplog.text
    assert f"The run was computed in {here} so far; it continues in {there}." in caplog.text
    assert len(pq.read_table(folder / "metrics.parquet")) == 8


def test_other_precisions_that_are_asked_for_are_other_runs(run):
    run(epochs=1)
    _, folder = run(epochs=1, precision="bf16")
    assert len(list(folder.glob("checkpoints/*/run.json"))) == 2


def test_a_checkpoint_of_another_run_is_refused_with_the_keys_and_both_values(run, interrupted, tmp_path):
    interrupted("one", in_epoch=2)
    interrupted("other", in_epoch=2, learning_rate=2e-3, seed=8)
    mine, theirs = (next(tmp_path.glob(f"{name}/checkpoints/*/run.json")).parent for name in ("one", "other"))
    for path in theirs.glob("*.pth*"):
        path.rename(mine / path.name)
    expected = r"is of another run: learning_rate: 0.002 there, 0.001 here; seed: 8 there, 7 here. Continuing needs"
    with pytest.raises(TrainingError, match=expected):
        run("one")


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_and_says_so(run, interrupted, tmp_path, caplog):
    whole, _ = run("whole")
    interrupted("cut", in_epoch=4)
    newest = next(tmp_path.glob("cut/checkpoints/*/emotalk_model_epoch3_*.pth"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    caplog.clear()
    continued, _ = run("cut")
    assert re.search(r"epoch3_\S+ is damaged: its SHA-256 is .* It is put aside as .*broken", caplog.text)
    assert "Newest checkpoint: emotalk_model_epoch2_" in caplog.text
    assert same_weights(whole, continued)


def test_training_ends_early_when_validation_no_longer_falls(run, monkeypatch):
    """And stays ended when it is asked for in another manner."""
    losses = iter([5.0, 3.0, 4.0, 3.5])
    original = Trainer.validation_means
    monkeypatch.setattr(Trainer, "validation_means", lambda self: original(self) | {"loss": next(losses)})
    for _ in range(2):
        checkpoint, _ = run(early_stopping=1)
        assert checkpoint["epoch"] == 3
    goes_on, _ = run(early_stopping=2)
    assert goes_on["epoch"] == 4


def test_the_best_epoch_is_kept_and_delivered(run, monkeypatch):
    losses = iter([5.0, 3.0, 4.0, 3.5])
    original = Trainer.validation_means
    monkeypatch.setattr(Trainer, "validation_means", lambda self: original(self) | {"loss": next(losses)})
    checkpoint, folder = run(checkpoint="best", keep_last=1, keep_best=2, checkpoint_every_minutes=60)
    assert checkpoint["epoch"] == 2
    kept = sorted(path.name.split("_")[2] for path in folder.glob("checkpoints/*/*.pth"))
    assert kept == ["epoch2", "epoch4"]
    assert len(pq.read_table(folder / "metrics.parquet")) == 8


def test_deciding_by_validation_without_validation_is_refused(run, manifest):
    table = pq.read_table(manifest).to_pandas()
    table[table["split"] != "validation"].to_parquet(manifest)
    with pytest.raises(TrainingError, match=r"train.checkpoint: best and train.keep_best decide by valid"):
        run(early_stopping=3)
