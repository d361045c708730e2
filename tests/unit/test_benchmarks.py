"""The reference of the benchmark computes the same result as the package."""

import threading

import numpy as np
import pandas as pd
import pytest
import torch

from emotalk.data.pairing import PseudoPairSampler
from emotalk.errors import CorpusError
from tests.benchmarks import corpus, material
from tests.benchmarks.bench import Bench, Variant, variants
from tests.benchmarks.epochs import ravdess_labels
from tests.benchmarks.lengths import ravdess_lengths
from tests.benchmarks.step import measure, table
from tests.conftest import TINY

CPU = torch.device("cpu")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setitem(
        material.ENCODERS, "small", material.EncoderSettings(source="random", sizes=TINY | {"layerdrop": 0.0})
    )

    def make(recipe):
        return Bench("small", recipe, CPU, tmp_path, num_pairs=3)

    return make


@pytest.mark.parametrize("recipe", ["report", "paper"])
def test_the_loss_equals_that_of_the_reports_twelve_encoder_passes(bench, recipe):
    assert bench(recipe).loss_difference() < 1e-5


def test_the_gradients_equal_those_of_the_reports_twelve_encoder_passes(bench):
    ours = bench("report")
    ours.network.eval()
    example = ours.examples[0]

    def gradients(work):
        work()
        return {name: p.grad.clone() for name, p in ours.network.named_parameters() if p.grad is not None}

    state = {name: value.clone() for name, value in ours.network.state_dict().items()}
    reference = gradients(ours.reference_step(example))
    ours.network.load_state_dict(state)
    gradients_of_ours = gradients(ours.step(Variant(1, "fp32"), [example]))
    # The report's forward pass discards the label, so that its classifier has no gradient; ours is zero.
    for name, gradient in reference.items():
        # Tolerance for fp32 rounding; in fp64 both agree to 2e-6.
        assert (gradients_of_ours[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-8, name
    assert all(not gradients_of_ours[name].any() for name in gradients_of_ours.keys() - reference.keys())


def test_a_measurement_has_a_row_for_the_reference_and_each_variant(bench):
    chosen = [Variant(1, "fp32"), Variant(2, "fp32", cached=True), Variant(2, "fp32", checkpointing=True)]
    ours = bench("report")
    rows = table(ours, chosen, measure(ours, chosen, alternations=1))
    assert [row["variant"] for row in rows][1:] == [
        "batch 1, fp32",
        "batch 2, fp32, cached",
        "batch 2, fp32, checkpointing",
    ]
    assert rows[0]["ratio"] == 1
    assert all(row["ratio"] > 0 and row["operations_per_pair"] > 0 and row["peak_mb"] > 0 for row in rows)


def test_a_whole_run_has_as_many_clips_and_pairs_as_ravdess():
    """docs/method.md, section "Data": 1,440 clips, 159,702 frames, 4,704 combinations."""
    labels = ravdess_labels()
    assert len(labels) == 1440
    assert sum(ravdess_lengths(1440)) == pytest.approx(159_702, rel=0.01)
    table = pd.DataFrame(labels).assign(corpus="RAVDESS", is_whole=True)
    assert PseudoPairSampler(table, np.arange(1440)).num_combinations == 4704


def test_variants_have_unique_names(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    for device in ("cpu", "cuda"):
        names = [variant.name for variant in variants(torch.device(device))]
        assert len(names) == len(set(names))


def test_a_failed_stage_stops_its_watcher_thread():
    """The process would otherwise wait for the thread and never end."""

    def stage() -> None:
        raise CorpusError("no clips")

    before = threading.enumerate()
    with pytest.raises(CorpusError):
        corpus._run_with_monitor(stage)
    assert threading.enumerate() == before


def test_a_variant_that_is_not_compiled_runs_mixed_layers_beside_one_that_is(bench):
    ours = bench("report")
    for compiled in (True, False):
        ours.configure_layers(Variant(8, "bf16", compiled=compiled))
        assert {encoder.is_compiled for encoder in ours.network.speech_encoders} == {compiled}
