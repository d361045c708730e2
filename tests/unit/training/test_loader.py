"""Batches that are read ahead are the batches of the plan, in its order."""

import threading
from dataclasses import fields, replace
from functools import partial

import pytest
import torch

from emotalk.data.clips import ClipStore
from emotalk.errors import TrainingError
from emotalk.training.batches import BatchMaker, load_batches, read_ahead
from emotalk.training.features import FeatureStore, _digest, cached_features
from emotalk.training.train import prepare_network
from tests.unit.training.conftest import example

CPU = torch.device("cpu")
PLAN = [[example("cross")], [example("self"), example("random")], [example("random")]]


@pytest.fixture
def network(settings):
    return prepare_network(settings(), CPU)


@pytest.fixture
def make(clips, network):
    return BatchMaker(ClipStore(clips), network.conv_frames, "every")


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return one == other


@pytest.mark.parametrize("times", [1, 4])
def test_a_thread_gives_the_batches_of_the_plan_in_its_order(make, times):
    """Of plans shorter and longer than it reads ahead."""
    alone = list(load_batches(PLAN * times, make, CPU))
    ahead = list(read_ahead(PLAN * times, make))
    assert [batch.num_examples for batch in ahead] == [1, 2, 1] * times
    assert all(map(same, alone, ahead))


def test_reading_ahead_begins_before_a_batch_is_asked_for_and_goes_only_so_far(make):
    begun = threading.Semaphore(0)
    read = []

    def watched(examples):
        read.append(examples)
        begun.release()
        return make(examples)

    batches = read_ahead(PLAN * 4, watched)
    next(batches)
    assert all(begun.acquire(timeout=10) for _ in range(4))
    batches.close()
    assert len(read) == 4


def test_what_goes_wrong_while_reading_ahead_is_raised_where_the_batch_is_wanted(make):
    def broken(examples):
        if examples is PLAN[1]:
            raise TrainingError("broken")
        return make(examples)

    batches = read_ahead(PLAN, broken)
    assert next(batches).num_examples == 1
    with pytest.raises(TrainingError, match="broken"):
        next(batches)


@pytest.mark.parametrize("load", [read_ahead, partial(load_batches, device=CPU)])
def test_loading_draws_nothing_from_the_generators_of_training(make, load):
    state = torch.get_rng_state()
    list(load(PLAN, make))
    assert torch.equal(torch.get_rng_state(), state)


def test_clips_that_are_missing_are_named_before_anything_is_computed(make):
    plan = [*PLAN, [example("self") | {"audio_c1e2": "gone"}]]
    with pytest.raises(TrainingError, match="1 clips of the manifest are not in the clip store, gone first"):
        next(load_batches(plan, make, CPU))


def test_cached_features_give_the_losses_of_the_waveforms(make, network, tmp_path):
    network.eval()
    cached = BatchMaker(make.store, make.conv_frames, "every", cached_features(network, make.store, tmp_path / "f"))
    for examples in PLAN:
        plain, quick = make(examples), cached(examples)
        assert quick.heard.are_features
        with torch.no_grad():
            expected = network(plain.heard.content, plain.heard.emotion, plain.layout)
            found = network.reconstruct(quick.heard.content, quick.heard.emotion, quick.layout)
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)


def test_features_are_computed_once_shared_by_equal_stacks_and_renewed_for_others(make, network, tmp_path):
    folder = tmp_path / "features"
    cached_features(network, make.store, folder)
    before = set(folder.iterdir())
    assert len(before) == 2  # random encoders differ
    ours, theirs = network.audio_encoder_cont.feature_extractor, network.audio_encoder_emo.wav2vec2.feature_extractor
    theirs.load_state_dict(ours.state_dict())
    content, emotion = cached_features(network, make.store, folder)
    assert before <= set(folder.iterdir())  # Other runs may need them.
    kept = next(path for path in folder.iterdir() if path.stem == _digest(network.audio_encoder_cont, make.store))
    assert content is emotion
    shared = replace(make, features=(content, emotion))(PLAN[0])
    assert shared.heard.content is shared.heard.emotion
    written = kept.stat().st_mtime_ns
    cached_features(network, make.store, folder)
    assert kept.stat().st_mtime_ns == written


def test_a_cache_that_was_cut_off_is_not_taken_for_one(make, network, tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    cached_features(network, make.store, folder)
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name + ".partial"))
        path.with_name(path.name + ".partial").write_bytes(b"half")
    stores = cached_features(network, make.store, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == expected
    assert all(isinstance(store, FeatureStore) for store in stores)


def test_a_full_disk_is_told_before_features_are_written(make, network, tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1, 1, 10))
    with pytest.raises(TrainingError, match=r"cache_features needs .* are free. Make room, or set it to false"):
        cached_features(network, make.store, tmp_path / "features")
