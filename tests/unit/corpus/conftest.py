from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from emotalk.config import checked_config, read_schema
from emotalk.corpus.faults import Rules
from emotalk.corpus.index import index_corpora
from emotalk.corpus.sources import sources_of

SCHEMA = read_schema(Path(__file__).parents[3] / "workflow/schemas/config.schema.yaml")


def settings(corpora, **changes) -> dict:
    """A configuration with the schema's defaults."""
    model = {name: {"source": "random"} for name in ("content_encoder", "emotion_encoder")}
    return checked_config({"data": "x", "model": model, "corpora": list(corpora), **changes}, SCHEMA)


@pytest.fixture
def data(tmp_path) -> Path:
    """Empty folders of both corpora."""
    for corpus in ("RAVDESS", "HDTF"):
        for part in ("audio", "blendshape"):
            (tmp_path / corpus / part).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def record(data):
    """Write a recording: noise of some frames and a track of some frames (None: no file)."""

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
    """Index corpora below `data`; returns the rows by id."""

    def run(corpora=("RAVDESS",), *, strict=False, threads=1, **changes):
        out = data / "recordings.parquet"
        config = settings(corpora, **changes)
        index_corpora(
            sources_of(corpora, data, config["sources"]),
            out,
            rules=Rules.of(config["index"], config["faults"]),
            strict=strict,
            threads=threads,
        )
        return {row["recording_id"]: row for row in pq.read_table(out).to_pylist()}

    return run
