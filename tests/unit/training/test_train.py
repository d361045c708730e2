import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from emotalk.config.training import FreezeSettings
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.errors import TrainingError
from emotalk.training.batches import BatchMaker
from emotalk.training.history import METRICS, History
from emotalk.training.train import prepare_network
from emotalk.training.trainer import Trainer
from tests.unit.training.conftest import CPU, STEADY, same_weights


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


def test_a_falling_schedule_is_not_prolonged(settings):
    cosine = [settings(lr_schedule="cosine", epochs=epochs).identity() for epochs in (2, 3)]
    assert cosine[0] != cosine[1]
    assert settings(epochs=2).identity() == settings(epochs=3).identity()


@pytest.fixture
def trainer_of(clips, manifest, settings):
    def make(subjects, **changes):
        chosen = settings(**changes)
        network = prepare_network(chosen, CPU)
        make_batch = BatchMaker(ClipStore(clips), network.conv_frames, "every")
        schedule = Manifest(manifest)
        schedule.training_subjects = lambda: subjects
        return Trainer(network, schedule, make_batch, chosen, "fp32", history=History([], None)), network

    return make


def test_validation_gives_a_held_out_subject_the_mean_of_the_training_subjects(trainer_of):
    """The vectors of the others are never trained (DOMAIN.md, section 1)."""
    (held_out, one), (trained, other) = (trainer_of(subjects) for subjects in ([2], [2, 4]))
    for network in (one, other):
        torch.nn.init.ones_(network.bs_map_r.weight)
    assert {example["subject"] for example in trained._validation} == {4}
    own = trained.validation_means()
    trained._validation = [{**example, "subject": 2} for example in trained._validation]
    assert held_out.validation_means() == trained.validation_means()
    assert trained.validation_means() != own


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


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [{}, {"gradient_checkpointing": True, "freeze": FreezeSettings(content_encoder=1, emotion_encoder="conv")}],
)
def test_compiled_layers_train_to_the_same_losses(run, changes):
    """Names in the checkpoint stay the released ones, too."""
    changes |= {"content_encoder": STEADY, "emotion_encoder": STEADY, "epochs": 1}
    plain, _ = run("plain", **changes)
    compiled, _ = run("compiled", compile=True, **changes)
    assert plain["model"].keys() == compiled["model"].keys()
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-4)


def test_a_checkpoint_holds_what_a_run_needs(run):
    checkpoint, _ = run(epochs=1)
    assert {"epoch", "step", "identity", "model", "optimizer", "loss", "random_states", "history"} <= checkpoint.keys()


def test_a_cosine_schedule_falls_from_the_learning_rate_towards_zero(settings):
    rates = [settings(lr_schedule="cosine", epochs=4).learning_rate_at(passed) for passed in (0, 2, 3, 4)]
    assert rates == pytest.approx([1e-3, 0.5e-3, 1e-3 * (1 - np.sqrt(0.5)) / 2, 0])
    assert settings().learning_rate_at(3) == 1e-3


def test_a_warm_up_rises_to_the_schedule(settings):
    """Cosine over the 4 epochs that are left of 5."""
    warm = settings(lr_schedule="cosine", epochs=5, warmup_epochs=1)
    assert [warm.learning_rate_at(passed) for passed in (0, 0.25, 1, 3, 5)] == pytest.approx(
        [0, 0.25e-3, 1e-3, 5e-4, 0]
    )
    assert settings(warmup_epochs=2).learning_rate_at(1) == pytest.approx(0.5e-3)
    assert settings(warmup_epochs=2).learning_rate_at(2) == 1e-3


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
    with pytest.raises(TrainingError, match=r"holds 4 epochs, but train\.epochs is 9"):
        run(epochs=9)


def test_a_manifest_of_other_clips_is_refused(run, manifest, tmp_path):
    table = pq.read_table(manifest).to_pandas().replace("c0", "gone")
    table.to_parquet(manifest)
    with pytest.raises(TrainingError, match="1 clips of the manifest are not in the clip store, gone first"):
        run()


def test_validation_draws_nothing_at_random(trainer_of):
    """Else the number of validation clips would change the training that follows."""
    validating, _ = trainer_of([4])
    state = torch.get_rng_state()
    losses = [validating.validation_means() for _ in range(2)]
    assert losses[0] == losses[1]
    assert torch.equal(state, torch.get_rng_state())
    assert np.isfinite(list(losses[0].values())).all()
