"""Means over examples of several batches, processes and checkpoints."""

from types import SimpleNamespace

import pytest
import torch

from emotalk.training.losses import Means

CPU = torch.device("cpu")


def make_means(*batches) -> Means:
    means = Means()
    for values, count in batches:
        means.add({name: torch.tensor(value, requires_grad=True) for name, value in values.items()}, count)
    return means


def test_all_examples_have_equal_weight_in_the_mean():
    assert make_means(({"loss": 1.0}, 3), ({"loss": 5.0}, 1)).read() == {"loss": 2.0}


def test_values_are_matched_by_name_in_any_order():
    means = make_means(({"loss": 1.0, "motion": 10.0}, 1), ({"motion": 30.0, "loss": 3.0}, 1))
    assert means.read() == {"loss": 2.0, "motion": 20.0}
    assert {name: value.item() for name, value in means.tensors().items()} == means.read()


def test_means_without_examples_are_empty():
    assert Means().read() == Means().tensors() == make_means(({}, 3)).read() == {}


def test_sums_of_a_long_epoch_are_precise():
    """In fp32, 2^24 + 1 rounds to 2^24."""
    means = make_means(({"loss": 1.0}, 2**24), ({"loss": 2.0}, 2**24), ({"loss": 1.0}, 1))
    assert means.read()["loss"] == pytest.approx((3 * 2**24 + 1) / (2**25 + 1), abs=1e-12)


def test_process_without_examples_does_not_change_the_mean():
    states = [Means().state(), make_means(({"loss": 1.0}, 1)).state(), make_means(({"loss": 4.0}, 2)).state()]
    processes = SimpleNamespace(all_gather=lambda state: states)
    assert Means().gather(processes).read() == {"loss": 3.0}


def test_means_continue_from_a_checkpoint():
    for first in ([({"loss": 1.0}, 2)], []):
        restored = Means.from_state(make_means(*first).state(), CPU)
        restored.add({"loss": torch.tensor(4.0)}, 1)
        assert restored.read() == make_means(*first, ({"loss": 4.0}, 1)).read()
