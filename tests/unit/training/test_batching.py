"""Batches hold like lengths, and an epoch holds what the manifest says."""

import numpy as np
import pytest

from emotalk.training.batches import form_batches, in_groups


def epoch(count: int, seed: int = 0) -> list[dict]:
    lengths = np.random.default_rng(seed).integers(60, 160, count)
    return [
        {"position": i, "kind": "self" if i % 3 == 0 else "cross", "num_frames": int(n) * (1 if i % 3 == 0 else 3)}
        for i, n in enumerate(lengths)
    ]


def length(example: dict) -> float:
    return example["num_frames"] / (1 if example["kind"] == "self" else 3)


@pytest.mark.parametrize(("batch_size", "max_frames"), [(1, None), (8, None), (8, 1000), (64, 500), (8, 1)])
def test_every_example_is_in_exactly_one_batch_and_no_batch_is_too_large(batch_size, max_frames):
    examples = epoch(700)
    batches = form_batches(examples, batch_size, max_frames)
    assert sorted(example["position"] for batch in batches for example in batch) == list(range(700))
    assert max(map(len, batches)) <= batch_size
    if max_frames:
        assert all(len(b) == 1 or sum(example["num_frames"] for example in b) <= max_frames for b in batches)


def test_examples_of_like_length_stand_together():
    """Padding, the share of a batch that no example fills, falls from a quarter to a few hundredths."""

    def padding(batches) -> float:
        padded = sum(len(batch) * max(map(length, batch)) for batch in batches)
        return 1 - sum(length(example) for batch in batches for example in batch) / padded

    examples = epoch(1024)
    assert padding(form_batches(examples, 8, None)) < 0.05
    assert padding(in_groups(examples, 8)) > 0.2


def test_batches_come_in_random_order_of_length():
    """Else an epoch would begin with its shortest clips."""
    means = [np.mean([length(example) for example in batch]) for batch in form_batches(epoch(256), 8, None)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def test_the_same_examples_always_form_the_same_batches():
    assert form_batches(epoch(300), 8, 2000) == form_batches(epoch(300), 8, 2000)


def test_single_examples_stay_in_the_manifests_order():
    examples = epoch(600)
    assert form_batches(examples, 1, None) == [[example] for example in examples]


def test_an_empty_epoch_has_no_batches():
    assert form_batches([], 8, None) == []
