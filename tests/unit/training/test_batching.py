"""Batches have examples of similar length, and an epoch has the examples of the manifest."""

import numpy as np
import pytest

from emotalk.training.batches import form_batches, group_batches


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


def test_batches_have_examples_of_similar_length():
    """The share of padding falls from 25 % to less than 5 %."""

    def padding(batches) -> float:
        padded = sum(len(batch) * max(map(length, batch)) for batch in batches)
        return 1 - sum(length(example) for batch in batches for example in batch) / padded

    examples = epoch(1024)
    assert padding(form_batches(examples, 8, None)) < 0.05
    assert padding(group_batches(examples, 8)) > 0.2


def test_order_of_batches_is_independent_of_length():
    """Otherwise each epoch would start with its shortest clips."""
    means = [np.mean([length(example) for example in batch]) for batch in form_batches(epoch(256), 8, None)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def test_forming_batches_is_deterministic():
    assert form_batches(epoch(300), 8, 2000) == form_batches(epoch(300), 8, 2000)


def test_batch_size_1_keeps_the_order_of_the_manifest():
    examples = epoch(600)
    assert form_batches(examples, 1, None) == [[example] for example in examples]


def test_empty_epoch_has_no_batches():
    assert form_batches([], 8, None) == []
