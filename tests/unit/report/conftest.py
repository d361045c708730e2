"""Recordings on disk, and what the corpus stages make of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emotalk.config.config import Config
from emotalk.data.discovery import make_sources
from emotalk.data.index import index_corpora
from emotalk.data.manifest import write_manifest
from emotalk.data.slicing import slice_corpus
from emotalk.data.smoothing import smooth_corpus
from emotalk.report.data_page import write_data_page


@dataclass(frozen=True)
class Data:
    """Paths of the results of the corpus stages."""

    recordings: Path
    tracks: list[Path]
    clips: list[Path]
    manifest: Path
    page: Path


def speech(num_frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise that is loud where the mouth is open, and its (T, 52) track."""
    rng = np.random.default_rng(seed)
    opening = np.convolve(rng.standard_normal(num_frames + 4), np.ones(5) / 3, mode="valid").clip(0, 1)
    track = np.repeat(opening[:, None], 52, axis=1) * rng.uniform(0.2, 0.8, 52) + 0.01 * rng.random((num_frames, 52))
    loudness = np.repeat(opening, 534)[: num_frames * 1600 // 3]
    return 0.2 * loudness * rng.standard_normal(len(loudness)), track.astype(np.float32)


@pytest.fixture
def make_data(tmp_path):
    """Function that writes recordings by stem, runs the corpus stages, and writes the data page."""

    def make(tracks: dict[str, np.ndarray | None], *, corpus: str = "C", **changes: Any) -> Data:
        folder, out = tmp_path / "data" / corpus, tmp_path / "out"
        for part in ("audio", "blendshape"):
            (folder / part).mkdir(parents=True)
        out.mkdir()
        for seed, (stem, track) in enumerate(tracks.items()):
            wav, own_track = speech(60 if track is None else len(track), seed)
            soundfile.write(folder / f"audio/{stem}.wav", wav, 16_000)
            np.save(folder / f"blendshape/{stem}.npy", own_track if track is None else track)
        settings = {"data": "x", "results": "y", "corpora": [corpus], **changes}
        config = Config.model_validate(settings)
        tables = (out / "recordings.parquet", [out / f"{corpus}.parquet"], [out / "c.arrow"], out / "m.parquet")
        data = Data(*tables, out / "page.html")
        sources = make_sources([corpus], tmp_path / "data", config.sources)
        index_corpora(sources, data.recordings, settings=config.index, strict=False, threads=1)
        smooth = config.smooth if config.smooth.enabled else None
        smooth_corpus(data.recordings, data.tracks[0], corpus=corpus, settings=smooth)
        slice_corpus(data.recordings, data.tracks[0], data.clips[0], corpus=corpus, max_frames=150)
        options = {"settings": config.pair, "split": config.split, "epochs": 1, "seed": 1}
        write_manifest(data.clips, data.manifest, **options)
        files = {"recordings": data.recordings, "tracks": data.tracks, "clips": data.clips, "manifest": data.manifest}
        write_data_page(data.page, **files, captured={}, min_confidence=0.3)
        return data

    return make
