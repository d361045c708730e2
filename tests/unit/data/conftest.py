from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from emotalk.config.config import Config
from emotalk.data.discovery import make_sources
from emotalk.data.index import index_corpora


def settings(corpora, **changes) -> Config:
    """A configuration with default values."""
    return Config.model_validate({"data": "x", "results": "y", "corpora": list(corpora), **changes})


@pytest.fixture
def data(tmp_path) -> Path:
    """Create empty folders for RAVDESS and HDTF."""
    for corpus in ("RAVDESS", "HDTF"):
        for part in ("audio", "blendshape"):
            (tmp_path / corpus / part).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def record(data):
    """Write a recording: audio of noise and a random track; `track=False` and `wav=False` omit a file."""

    def write(stem, *, corpus="RAVDESS", frames=60, track_frames=None, rate=16_000, track=None, wav=True):
        rng = np.random.default_rng(len(stem) + frames)
        if wav:
            samples = 0.1 * rng.standard_normal(-(-frames * rate // 30))
            soundfile.write(data / corpus / "audio" / f"{stem}.wav", samples, rate, subtype="PCM_16")
        if track is None:
            track = rng.random((track_frames or frames, 52)).astype(np.float32)
        if track is not False:
            np.save(data / corpus / "blendshape" / f"{stem}.npy", track)

    return write


@pytest.fixture
def index(data):
    """Index corpora below `data`; return the rows by id."""

    def run(corpora=("RAVDESS",), *, strict=False, threads=1, **changes):
        out = data / "recordings.parquet"
        config = settings(corpora, **changes)
        index_corpora(
            make_sources(corpora, data, config.sources),
            out,
            settings=config.index,
            strict=strict,
            threads=threads,
        )
        return {row["recording_id"]: row for row in pq.read_table(out).to_pylist()}

    return run
