import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from emotalk.config.training import FreezeSettings
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.errors import TrainingError
from emotalk.training.batches import BatchMaker
from emotalk.training.history import METRICS_SCHEMA, History
from emotalk.training.train import prepare_network
from emotalk.training.trainer import Trainer
from tests.benchmarks.material import make_model_settings
from tests.golden.stages import STORED, identities
from tests.unit.training.conftest import CPU, STEADY, same_weights


def test_two_runs_with_the_same_seed_have_equal_weights(run):
    first, _ = run("a")
    second, _ = run("b")
    other, _ = run("c", seed=8)
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_training_lowers_the_loss_and_writes_one_row_per_epoch_and_split(run):
    _, folder = run(epochs=4)
    table = pq.read_table(folder / "metrics.parquet")
    assert table.schema.equals(METRICS_SCHEMA)
    rows = table.to_pandas()
    assert rows[["epoch", "split"]].values.tolist() == [[e, s] for e in (1, 2, 3, 4) for s in ("train", "validation")]
    validation = rows.loc[rows["split"] == "validation", "loss"].to_numpy()
    assert validation[-1] < validation[0]


def test_number_of_epochs_is_part_of_the_identity_only_with_a_cosine_schedule(settings):
    cosine = [settings(lr_schedule="cosine", epochs=epochs).identity() for epochs in (2, 3)]
    assert cosine[0] != cosine[1]
    assert settings(epochs=2).identity() == settings(epochs=3).identity()


def test_an_update_does_not_change_the_settings_that_identify_a_run():
    """Otherwise it would train every finished run again."""
    assert identities() == json.loads(STORED.read_text(encoding="utf-8"))["identities"], (
        "Leave a new setting out of the identity at its default (emotalk/training/settings.py). If the result of "
        "training has changed, raise its version in emotalk/stages.py and run: python -m tests.golden"
    )


def test_number_of_subject_slots_is_part_of_the_identity_only_if_it_is_not_the_released_one(settings):
    identities = [
        settings(model=settings().model.model_copy(update={"num_subject_slots": slots})).identity()
        for slots in (24, 25)
    ]
    assert "num_subject_slots" not in identities[0]["model"]
    assert identities[1]["model"]["num_subject_slots"] == 25


@pytest.fixture
def make_trainer(clips, manifest, settings):
    def make(subjects, **changes):
        run_settings = settings(**changes)
        network = prepare_network(run_settings, CPU)
        make_batch = BatchMaker(ClipStore(clips), network.conv_frames, "every")
        opened = Manifest(manifest)
        opened.training_subjects = lambda: subjects
        return Trainer(network, opened, make_batch, run_settings, "fp32", history=History([], None)), network

    return make


def test_validation_uses_the_mean_of_the_training_subjects_for_other_subjects(make_trainer):
    """The embeddings of other subjects are not trained (docs/method.md, section "Data")."""
    (held_out, one), (trained, other) = (make_trainer(subjects) for subjects in ([2], [2, 4]))
    for network in (one, other):
        torch.nn.init.ones_(network.bs_map_r.weight)
    assert {example["subject"] for example in trained._validation} == {4}
    own = trained.compute_validation_means()
    trained._validation = [{**example, "subject": 2} for example in trained._validation]
    assert held_out.compute_validation_means() == trained.compute_validation_means()
    assert trained.compute_validation_means() != own


def test_training_with_cached_features_has_nearly_the_same_losses(run):
    plain, _ = run("plain")
    cached, _ = run("cached", cache_features=True)
    losses = [checkpoint["history"][-1]["loss"] for checkpoint in (plain, cached)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_accumulation_has_the_number_of_steps_of_the_larger_batch(run):
    """Three examples per epoch are two steps, both with batch size 2 and with batch size 1 accumulated twice."""
    for folder, changes in (("a", {"batch_size": 2}), ("b", {"batch_size": 1, "accumulate": 2})):
        checkpoint, _ = run(folder, epochs=2, **changes)
        # A layer that layerdrop skipped has no gradient and is not updated, hence the maximum.
        assert max(int(entry["step"]) for entry in checkpoint["optimizer"]["state"].values()) == 4


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [{}, {"gradient_checkpointing": True, "freeze": FreezeSettings(content_encoder=1, emotion_encoder="conv")}],
)
def test_compiled_layers_have_the_same_losses_and_parameter_names(run, changes):
    changes |= {"model": make_model_settings(STEADY), "epochs": 1}
    plain, _ = run("plain", **changes)
    compiled, _ = run("compiled", compile=True, **changes)
    assert plain["model"].keys() == compiled["model"].keys()
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-4)


def test_checkpoint_has_all_state_of_a_run(run):
    checkpoint, _ = run(epochs=1)
    assert {"epoch", "step", "identity", "model", "optimizer", "loss", "random_states", "history"} <= checkpoint.keys()


def test_cosine_schedule_decreases_from_the_learning_rate_to_zero(settings):
    rates = [settings(lr_schedule="cosine", epochs=4).learning_rate_at(epoch) for epoch in (0, 2, 3, 4)]
    assert rates == pytest.approx([1e-3, 0.5e-3, 1e-3 * (1 - np.sqrt(0.5)) / 2, 0])
    assert settings().learning_rate_at(3) == 1e-3


def test_warmup_increases_linearly_before_the_schedule(settings):
    """Cosine over the remaining 4 of 5 epochs."""
    warmup = settings(lr_schedule="cosine", epochs=5, warmup_epochs=1)
    assert [warmup.learning_rate_at(epoch) for epoch in (0, 0.25, 1, 3, 5)] == pytest.approx(
        [0, 0.25e-3, 1e-3, 5e-4, 0]
    )
    assert settings(warmup_epochs=2).learning_rate_at(1) == pytest.approx(0.5e-3)
    assert settings(warmup_epochs=2).learning_rate_at(2) == 1e-3


def test_frozen_parameters_are_not_in_the_optimizer(run):
    checkpoint, _ = run(epochs=1)
    frozen = [name for name in checkpoint["model"] if "feature_extractor" in name]
    assert len(checkpoint["optimizer"]["param_groups"][0]["params"]) == len(checkpoint["model"]) - len(frozen)


def test_nonfinite_loss_stops_training_before_the_update_and_names_the_clips(run, monkeypatch):
    original = BatchMaker.__call__

    def make_nan_batch(self, examples):
        batch = original(self, examples)
        batch.targets[0, 0, 0] = float("nan")
        return batch

    monkeypatch.setattr(BatchMaker, "__call__", make_nan_batch)
    with pytest.raises(
        TrainingError, match=r"not finite \(loss nan, cross .*clips .*c4.*The optimizer step was skipped"
    ):
        run()


def test_manifest_with_too_few_epochs_is_an_error(run):
    with pytest.raises(TrainingError, match=r"has 4 epochs, but train\.epochs is 9"):
        run(epochs=9)


def test_manifest_with_missing_clips_is_an_error(run, manifest, tmp_path):
    table = pq.read_table(manifest).to_pandas().replace("c0", "gone")
    table.to_parquet(manifest)
    with pytest.raises(TrainingError, match="does not contain 1 clips of the manifest, for example gone"):
        run()


def test_validation_is_deterministic_and_does_not_use_the_random_generator(make_trainer):
    """Otherwise the number of validation clips would affect training."""
    trainer, _ = make_trainer([4])
    state = torch.get_rng_state()
    losses = [trainer.compute_validation_means() for _ in range(2)]
    assert losses[0] == losses[1]
    assert torch.equal(state, torch.get_rng_state())
    assert np.isfinite(list(losses[0].values())).all()
