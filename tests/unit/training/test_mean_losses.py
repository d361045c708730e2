"""Means over examples that come in batches, from several processes and from checkpoints."""

from types import SimpleNamespace

import pytest
import torch

from emotalk.training.losses import Means

CPU = torch.device("cpu")


def added(*batches) -> Means:
    means = Means()
    for values, count in batches:
        means.add({name: torch.tensor(value, requires_grad=True) for name, value in values.items()}, count)
    return means


def test_each_example_counts_as_much_whatever_its_batch():
    assert added(({"loss": 1.0}, 3), ({"loss": 5.0}, 1)).read() == {"loss": 2.0}


def test_values_are_found_by_name_in_whatever_order_they_come():
    means = added(({"loss": 1.0, "motion": 10.0}, 1), ({"motion": 30.0, "loss": 3.0}, 1))
    assert means.read() == {"loss": 2.0, "motion": 20.0}
    assert {name: value.item() for name, value in means.tensors().items()} == means.read()


def test_without_examples_there_are_no_means():
    assert Means().read() == Means().tensors() == added(({}, 3)).read() == {}


def test_a_small_loss_is_not_lost_in_a_long_epoch():
    """In fp32 a sum of 2^24 ones grows no more."""
    means = added(({"loss": 1.0}, 2**24), ({"loss": 2.0}, 2**24), ({"loss": 1.0}, 1))
    assert means.read()["loss"] == pytest.approx((3 * 2**24 + 1) / (2**25 + 1), abs=1e-12)


def test_a_process_without_examples_changes_nothing_of_all():
    states = [Means().state(), added(({"loss": 1.0}, 1)).state(), added(({"loss": 4.0}, 2)).state()]
    processes = SimpleNamespace(all_gather=lambda state: states)
    assert Means().over_all(processes).read() == {"loss": 3.0}


def test_what_was_kept_in_a_checkpoint_goes_on():
    for first in ([({"loss": 1.0}, 2)], []):
        rest = Means.restored(added(*first).state(), CPU)
        rest.add({"loss": torch.tensor(4.0)}, 1)
        assert rest.read() == added(*first, ({"loss": 4.0}, 1)).read()
