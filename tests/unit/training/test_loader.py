"""Batches that other processes read ahead are the batches that this one reads."""

import pickle
from dataclasses import fields

import pytest
import torch

from emotalk.corpus.alignments import Alignments
from emotalk.corpus.clips import ClipStore
from emotalk.errors import TrainingError
from emotalk.training.batches import BatchMaker
from emotalk.training.features import FeatureStore, cached_features
from emotalk.training.loader import load_batches
from emotalk.training.preparation import prepare_network
from tests.unit.training.conftest import example

CPU = torch.device("cpu")
PLAN = [[example("cross")], [example("self"), example("random")], [example("random")]]


@pytest.fixture
def network(settings):
    return prepare_network(settings(), CPU)[0]


@pytest.fixture
def make(clips, alignments, network):
    return BatchMaker(ClipStore(clips), Alignments(alignments), network.conv_frames, "every")


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return one == other


def test_workers_give_the_batches_of_the_plan_in_its_order(make):
    alone = list(load_batches(PLAN, make, CPU, workers=0))
    ahead = list(load_batches(PLAN, make, CPU, workers=2))
    assert [batch.num_examples for batch in ahead] == [1, 2, 1]
    assert all(map(same, alone, ahead))


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_draws_nothing_from_the_generators_of_training(make, workers):
    state = torch.get_rng_state()
    list(load_batches(PLAN, make, CPU, workers))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_that_are_missing_are_named_before_anything_is_computed(make, workers):
    plan = [*PLAN, [example("self") | {"audio_c1e2": "gone"}]]
    with pytest.raises(TrainingError, match="1 clips of the manifest are not in the clip store, gone first"):
        next(load_batches(plan, make, CPU, workers))


def test_stores_go_to_another_process_as_paths(make, network, tmp_path):
    """A pickled memory map would be a copy of all data."""
    content, _ = cached_features(network, make.store, tmp_path / "features")
    for store in (make.store, make.alignments, content):
        assert len(pickle.dumps(store)) < 2000
    again = pickle.loads(pickle.dumps(make))
    assert same(again(PLAN[0]), make(PLAN[0]))


def test_cached_features_give_the_losses_of_the_waveforms(make, network, tmp_path):
    network.eval()
    cached = BatchMaker(
        make.store, make.alignments, make.conv_frames, "every", cached_features(network, make.store, tmp_path / "f")
    )
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
    assert len(list(folder.iterdir())) == 2  # random encoders differ
    ours, theirs = network.audio_encoder_cont.feature_extractor, network.audio_encoder_emo.wav2vec2.feature_extractor
    theirs.load_state_dict(ours.state_dict())
    cached_features(network, make.store, folder)
    (kept,) = folder.iterdir()
    written = kept.stat().st_mtime_ns
    cached_features(network, make.store, folder)
    assert kept.stat().st_mtime_ns == written


def test_a_cache_that_was_cut_off_is_not_taken_for_one(make, network, tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / "0123456789abcdef.partial").write_bytes(b"half")
    stores = cached_features(network, make.store, folder)
    assert not list(folder.glob("*.partial"))
    assert all(isinstance(store, FeatureStore) for store in stores)


def test_a_full_disk_is_told_before_features_are_written(make, network, tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1, 1, 10))
    with pytest.raises(TrainingError, match=r"cache_features needs .* are free. Make room, or set it to false"):
        cached_features(network, make.store, tmp_path / "features")
