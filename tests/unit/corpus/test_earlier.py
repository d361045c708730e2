"""What an earlier run made is taken over where nothing has changed, and only there."""

import shutil

import numpy as np
import pytest

from emotalk.corpus import inspection, slicing, smoothing
from emotalk.corpus.clips import ClipStore
from emotalk.corpus.faults import Rules
from emotalk.corpus.index import collect_recordings, index_corpora, inspect_corpora
from emotalk.corpus.smoothing import Smoothing
from emotalk.corpus.sources import sources_of
from tests.unit.corpus.conftest import settings

STEMS = [f"WDA_Speaker{i}x_000" for i in range(12)]
OFF = Smoothing(False, 5, 2, False)


@pytest.fixture
def prepare(data, tmp_path, monkeypatch):
    """Index, smooth and slice the HDTF half; returns the clips and how many recordings each stage read."""
    counts = dict.fromkeys(("index", "smooth", "slice"), 0)

    def counted(name, function):
        def call(*given, **named):
            counts[name] += 1
            return function(*given, **named)

        return call

    monkeypatch.setattr(inspection, "inspect_audio", counted("index", inspection.inspect_audio))
    monkeypatch.setattr(smoothing, "read_track", counted("smooth", smoothing.read_track))
    monkeypatch.setattr(slicing, "read_samples", counted("slice", slicing.read_samples))

    def run(*, chosen=OFF, max_frames=30, threads=1, **changes):
        counts.update(dict.fromkeys(counts, 0))
        config = settings(["HDTF"], **changes)
        table, tracks, clips, kept = (tmp_path / name for name in ("r", "t", "c", "earlier"))
        rules = Rules.of(config["index"], config["faults"])
        sources = sources_of(["HDTF"], data, config["sources"])
        index_corpora(sources, table, rules=rules, strict=False, earlier=kept / "r")
        common = {"corpus": "HDTF", "threads": threads}
        smoothing.smooth_corpus(table, tracks, smoothing=chosen, earlier=kept / "t", **common)
        slicing.slice_corpus(table, tracks, clips, max_frames=max_frames, earlier=kept / "c", **common)
        return ClipStore([clips]), dict(counts)

    return run


@pytest.fixture
def twelve(record):
    for number, stem in enumerate(STEMS):
        record(stem, corpus="HDTF", frames=60 + number)


def none(**some):
    return {"index": 0, "smooth": 0, "slice": 0} | some


def test_helpers_write_the_same_bytes(twelve, prepare, tmp_path):
    prepare()
    alone = [(tmp_path / name).read_bytes() for name in "tc"]
    shutil.rmtree(tmp_path / "earlier")
    prepare(threads=3)
    assert [(tmp_path / name).read_bytes() for name in "tc"] == alone


def test_nothing_is_made_again_where_nothing_changed(twelve, prepare):
    first, counts = prepare()
    assert counts == none(index=12, smooth=12, slice=12)
    again, counts = prepare()
    assert counts == none()
    assert again.digest() == first.digest()


def test_an_added_recording_does_not_reprocess_the_others(twelve, prepare, record):
    prepare()
    record("WDA_Added_000", corpus="HDTF", frames=90)
    store, counts = prepare()
    assert counts == none(index=1, smooth=1, slice=1)
    assert set(store.labels()["recording_id"].to_pylist()) == {*STEMS, "WDA_Added_000"}


def test_a_removed_and_a_changed_recording_are_seen(twelve, prepare, record, data):
    prepare()
    (data / "HDTF/audio" / f"{STEMS[0]}.wav").unlink()
    np.save(data / f"HDTF/blendshape/{STEMS[1]}.npy", np.full((61, 52), 0.5) + np.arange(61)[:, None] / 200)
    store, counts = prepare()
    assert counts == none(index=1, smooth=1, slice=1)
    assert STEMS[0] not in store.labels()["recording_id"].to_pylist()
    clip = store[f"HDTF_{STEMS[1]}_000000"]
    assert clip.track[:3, 0] == pytest.approx([0.5, 0.505, 0.51])


def test_what_was_excluded_is_looked_at_again(twelve, prepare, data):
    (data / f"HDTF/audio/{STEMS[0]}.wav").write_bytes(b"")
    prepare()
    assert prepare()[1] == none(index=1)


def test_other_settings_reprocess_what_they_concern(twelve, prepare):
    prepare()
    assert prepare(max_frames=60)[1] == none(slice=12)
    smoothed = Smoothing(True, 5, 2, False)
    assert prepare(max_frames=60, chosen=smoothed)[1] == none(smooth=12, slice=12)
    assert prepare(max_frames=60, chosen=smoothed, index={"min_frames": 20})[1] == none(index=12)


def test_what_is_taken_over_equals_what_is_made_anew(twelve, prepare, record, tmp_path):
    prepare()
    record("WDA_Added_000", corpus="HDTF", frames=90)
    taken = prepare()[0].digest()
    for kept in (tmp_path / "earlier").iterdir():
        kept.unlink()
    assert prepare()[0].digest() == taken


@pytest.mark.parametrize("name", ["r", "t", "c"])
def test_a_damaged_store_costs_time_and_nothing_else(twelve, prepare, tmp_path, name):
    first, _ = prepare()
    digest = first.digest()
    del first
    (tmp_path / "earlier" / name).unlink()
    (tmp_path / "earlier" / name).write_bytes(b"PAR1 and so on")
    assert prepare()[0].digest() == digest


def test_where_files_cannot_have_two_names_all_is_made_again(twelve, prepare, monkeypatch):
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError(1, "Operation not permitted")))
    prepare()
    assert prepare()[1] == none(index=12, smooth=12, slice=12)


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_together_are_the_whole(twelve, data, tmp_path, shards):
    config = settings(["HDTF"])
    rules = Rules.of(config["index"], config["faults"])
    sources = sources_of(["HDTF"], data, config["sources"])
    index_corpora(sources, tmp_path / "whole", rules=rules, strict=True)
    parts = [tmp_path / f"part{shard}" for shard in range(shards)]
    for shard, part in enumerate(parts):
        inspect_corpora(sources, part, rules=rules, shard=shard, shards=shards)
    collect_recordings(parts, tmp_path / "collected", corpora=["HDTF"], rules=rules, strict=True)
    assert (tmp_path / "collected").read_bytes() == (tmp_path / "whole").read_bytes()
    clips = []
    for shard in range(shards):
        names = [tmp_path / f"{kind}{shard}" for kind in "tc"]
        options = {"corpus": "HDTF", "shard": shard, "shards": shards}
        smoothing.smooth_corpus(tmp_path / "whole", names[0], smoothing=OFF, **options)
        slicing.slice_corpus(tmp_path / "whole", *names, max_frames=30, **options)
        clips.append(names[1])
    smoothing.smooth_corpus(tmp_path / "whole", tmp_path / "t", corpus="HDTF", smoothing=OFF)
    slicing.slice_corpus(tmp_path / "whole", tmp_path / "t", tmp_path / "c", corpus="HDTF", max_frames=30)
    assert ClipStore(clips).digest() == ClipStore([tmp_path / "c"]).digest()
