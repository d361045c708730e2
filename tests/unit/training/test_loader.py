"""Prefetched batches are the batches of the plan, in its order."""

import threading
from dataclasses import fields, replace
from functools import partial

import pytest
import torch

from emotalk.data.clips import ClipStore
from emotalk.errors import TrainingError
from emotalk.training.batches import BatchMaker, load_batches, prefetch
from emotalk.training.features import FeatureStore, _digest, load_cached_features
from emotalk.training.train import prepare_network
from tests.unit.training.conftest import example

CPU = torch.device("cpu")
PLAN = [[example("cross")], [example("self"), example("random")], [example("random")]]


@pytest.fixture
def network(settings):
    return prepare_network(settings(), CPU)


@pytest.fixture
def make_batch(clips, network):
    return BatchMaker(ClipStore(clips), network.conv_frames, "every")


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return one == other


@pytest.mark.parametrize("times", [1, 4])
def test_prefetching_keeps_the_batches_and_their_order(make_batch, times):
    """For plans that are shorter and longer than the number of prefetched batches."""
    expected = list(load_batches(PLAN * times, make_batch, CPU))
    batches = list(prefetch(PLAN * times, make_batch))
    assert [batch.num_examples for batch in batches] == [1, 2, 1] * times
    assert all(map(same, expected, batches))


def test_prefetching_is_limited_to_three_batches(make_batch):
    started = threading.Semaphore(0)
    calls = []

    def read(examples):
        calls.append(examples)
        started.release()
        return make_batch(examples)

    batches = prefetch(PLAN * 4, read)
    next(batches)
    assert all(started.acquire(timeout=10) for _ in range(4))
    batches.close()
    assert len(calls) == 4


def test_error_while_prefetching_is_raised_for_its_batch(make_batch):
    def read(examples):
        if examples is PLAN[1]:
            raise TrainingError("broken")
        return make_batch(examples)

    batches = prefetch(PLAN, read)
    assert next(batches).num_examples == 1
    with pytest.raises(TrainingError, match="broken"):
        next(batches)


@pytest.mark.parametrize("load", [prefetch, partial(load_batches, device=CPU)])
def test_loading_does_not_use_the_random_generator_of_training(make_batch, load):
    state = torch.get_rng_state()
    list(load(PLAN, make_batch))
    assert torch.equal(torch.get_rng_state(), state)


def test_missing_clips_are_an_error_before_the_first_batch(make_batch):
    plan = [*PLAN, [example("self") | {"audio_c1e2": "gone"}]]
    with pytest.raises(TrainingError, match="does not contain 1 clips of the manifest, for example gone"):
        next(load_batches(plan, make_batch, CPU))


def test_cached_features_give_the_outputs_of_the_waveforms(make_batch, network, tmp_path):
    network.eval()
    make_cached_batch = BatchMaker(
        make_batch.store,
        make_batch.conv_frames,
        "every",
        load_cached_features(network, make_batch.store, tmp_path / "f"),
    )
    for examples in PLAN:
        plain, cached = make_batch(examples), make_cached_batch(examples)
        assert cached.audio.are_features
        with torch.no_grad():
            expected = network(plain.audio.content, plain.audio.emotion, plain.layout)
            outputs = network.reconstruct(cached.audio.content, cached.audio.emotion, cached.layout)
        for output, reference in zip(outputs, expected, strict=True):
            torch.testing.assert_close(output, reference, atol=1e-5, rtol=1e-4)


def test_features_are_computed_once_and_shared_by_equal_stacks(make_batch, network, tmp_path):
    folder = tmp_path / "features"
    load_cached_features(network, make_batch.store, folder)
    before = set(folder.iterdir())
    assert len(before) == 2  # The random encoders differ.
    ours, theirs = network.audio_encoder_cont.feature_extractor, network.audio_encoder_emo.wav2vec2.feature_extractor
    theirs.load_state_dict(ours.state_dict())
    content, emotion = load_cached_features(network, make_batch.store, folder)
    assert before <= set(folder.iterdir())  # Other runs may need them.
    kept = next(path for path in folder.iterdir() if path.stem == _digest(network.audio_encoder_cont, make_batch.store))
    assert content is emotion
    shared = replace(make_batch, features=(content, emotion))(PLAN[0])
    assert shared.audio.content is shared.audio.emotion
    written = kept.stat().st_mtime_ns
    load_cached_features(network, make_batch.store, folder)
    assert kept.stat().st_mtime_ns == written


def test_partial_feature_files_are_not_used(make_batch, network, tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    load_cached_features(network, make_batch.store, folder)
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name + ".partial"))
        path.with_name(path.name + ".partial").write_bytes(b"half")
    stores = load_cached_features(network, make_batch.store, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == expected
    assert all(isinstance(store, FeatureStore) for store in stores)


def test_full_disk_is_an_error_before_features_are_written(make_batch, network, tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1, 1, 10))
    with pytest.raises(TrainingError, match=r"cache_features needs .* are free. Free disk space, or set"):
        load_cached_features(network, make_batch.store, tmp_path / "features")
