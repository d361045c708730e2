import numpy as np
import pytest

from emotalk.data.clips import ClipStore, clip_row, write_clips
from emotalk.errors import CorpusError


def write(path, names, *, seed=0):
    rng = np.random.default_rng(seed)
    clips = {}
    rows = []
    for name in names:
        frames = int(rng.integers(10, 60))
        clip = rng.integers(-9, 9, frames * 1600 // 3).astype(np.int16), rng.random((frames, 52)).astype(np.float32)
        labels = dict(corpus="C", recording_id=name, start_frame=0, stop_frame=frames, is_whole=True)
        labels |= dict(subject="1", emotion=None, intensity=None, statement=None, repetition=None)
        rows.append(clip_row(name, *clip, labels))
        clips[name] = clip
    assert write_clips(path, rows) == len(rows)
    return clips


def test_clips_of_several_files_are_read_unchanged(tmp_path):
    first = write(tmp_path / "a", [f"a{i}" for i in range(150)])
    second = write(tmp_path / "b", ["b0"], seed=1)
    store = ClipStore([tmp_path / "a", tmp_path / "b"])
    assert len(store) == store.metadata().num_rows == 151
    for name, (waveform, track) in (first | second).items():
        clip = store[name]
        assert (clip.waveform == waveform).all()
        assert (clip.track == track).all()


def test_two_clips_with_the_same_id_are_an_error(tmp_path):
    write(tmp_path / "a", ["Own_phone_take1"])
    write(tmp_path / "b", ["Own_phone_take1"], seed=1)
    with pytest.raises(CorpusError, match="Two clips have the id Own_phone_take1"):
        ClipStore([tmp_path / "a", tmp_path / "b"])


def test_arrays_are_views_of_the_memory_map(tmp_path):
    write(tmp_path / "a", ["a0"])
    clip = ClipStore([tmp_path / "a"])["a0"]
    assert not clip.waveform.flags.owndata
    assert not clip.waveform.flags.writeable
    assert not clip.track.flags.writeable


def test_the_digest_depends_on_contents_not_on_the_order_of_files(tmp_path):
    write(tmp_path / "a", ["a0"])
    write(tmp_path / "b", ["b0"], seed=1)
    write(tmp_path / "c", ["b0"], seed=2)
    a, b, c = (tmp_path / name for name in "abc")
    assert ClipStore([a, b]).digest() == ClipStore([b, a]).digest()
    assert ClipStore([a, b]).digest() != ClipStore([a, c]).digest()


@pytest.mark.parametrize("content", [b"", b"not arrow at all", b"ARROW1"])
def test_the_error_for_an_invalid_clip_store_has_its_path(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CorpusError, match=r"x is not a clip store .*--forcerun slice"):
        ClipStore([tmp_path / "x"])


def test_a_damaged_clip_is_an_error_only_when_it_is_read(tmp_path):
    clips = write(tmp_path / "a", ["a0", "a1"])
    content = bytearray((tmp_path / "a").read_bytes())
    offset = content.index(clips["a1"][1].tobytes())
    content[offset + 5] ^= 1
    (tmp_path / "a").write_bytes(content)
    store = ClipStore([tmp_path / "a"])
    assert (store["a0"].track == clips["a0"][1]).all()
    with pytest.raises(CorpusError, match=r"Clip a1 in the clip store is damaged.*--forcerun slice"):
        store["a1"]
