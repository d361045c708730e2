from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotalk.blendshapes import CHANNELS
from emotalk.data.names import parse_hdtf, parse_ravdess
from emotalk.demo.corpus import write_demo_corpus
from emotalk.timing import frames_in

RECIPE = Path(__file__).parents[3] / "resources/demo.yaml"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    write_demo_corpus(RECIPE, out, actors=3, seed=1)
    return out


def track(corpus: Path, stem: str, corpus_name: str = "RAVDESS") -> np.ndarray:
    return np.load(corpus / corpus_name / "blendshape" / f"{stem}.npy")


def channel(track: np.ndarray, name: str) -> np.ndarray:
    return track[:, CHANNELS.index(name)]


def test_both_corpora_have_the_layout_and_names_of_3d_etf(corpus):
    ravdess = [parse_ravdess(path.stem) for path in (corpus / "RAVDESS/audio").iterdir()]
    assert len(ravdess) == len(set(ravdess)) == 90
    assert {name.emotion for name in ravdess} == set("neutral calm happy sad angry fearful disgust surprised".split())
    assert {name.statement for name in ravdess} == {"1", "2"}
    hdtf = [parse_hdtf(path.stem) for path in (corpus / "HDTF/audio").iterdir()]
    assert len({name.subject for name in hdtf}) >= 3


def test_every_wav_is_16_khz_mono_with_the_length_of_its_track(corpus):
    for wav in corpus.rglob("*.wav"):
        info = soundfile.info(wav)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        motion = np.load(wav.parents[1] / "blendshape" / f"{wav.stem}.npy")
        assert motion.shape == (frames_in(info.frames), 52)
        assert motion.dtype == np.float32


def test_one_recording_is_longer_than_a_clip(corpus):
    assert max(len(np.load(path)) for path in (corpus / "HDTF/blendshape").iterdir()) > 900


def test_the_corpus_depends_only_on_the_seed(corpus, tmp_path):
    write_demo_corpus(RECIPE, tmp_path, actors=3, seed=1)
    for path in corpus.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(corpus)).read_bytes()


def test_the_jaw_follows_the_loudness_without_delay(corpus):
    samples, _ = soundfile.read(corpus / "RAVDESS/audio/01-01-01-01-01-01-01.wav")
    jaw = channel(track(corpus, "01-01-01-01-01-01-01"), "jawOpen")
    centres = (np.arange(len(jaw)) * 1600 / 3).astype(int)
    loudness = np.array([samples[max(0, c - 267) : c + 267].std() for c in centres])
    by_delay = {d: np.corrcoef(loudness[3:-3], np.roll(jaw, d)[3:-3])[0, 1] for d in range(-3, 4)}
    assert max(by_delay, key=by_delay.get) == 0
    assert by_delay[0] > 0.9


def test_the_upper_face_follows_the_emotion_and_its_intensity(corpus):
    brows = {
        code: channel(track(corpus, f"01-01-{code}-01-01-01"), "browDownLeft").mean()
        for code in ("05-01", "05-02", "01-01", "08-01")
    }
    assert brows["05-02"] > brows["05-01"] > 0.25
    assert abs(brows["01-01"]) < 0.02
    assert channel(track(corpus, "01-01-08-01-01-01-01"), "browInnerUp").mean() > 0.25


def test_anger_is_louder_than_sadness(corpus):
    rms = {
        code: soundfile.read(corpus / f"RAVDESS/audio/01-01-{code}-01-01-01-01.wav")[0].std() for code in ("04", "05")
    }
    assert rms["05"] > 2 * rms["04"]


def test_audio_is_neither_silent_nor_clipped(corpus):
    peaks = [np.abs(soundfile.read(path)[0]).max() for path in corpus.rglob("*.wav")]
    assert min(peaks) > 0.02
    assert max(peaks) < 0.99


def test_jitter_gives_small_negative_values_as_in_captures(corpus):
    values = track(corpus, "01-01-01-01-01-01-01")
    assert -0.05 < values.min() < 0
