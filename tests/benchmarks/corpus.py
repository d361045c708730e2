"""Preparing corpora of growing size, index to manifest: `python -m tests.benchmarks.corpus --recordings N`.

Beside it the floor, in the same run and with as many processes as the stages have threads: reading, resampling and
writing the same bytes with soundfile and soxr, and nothing else.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from emotalk.config import checked_config, read_schema
from emotalk.corpus.faults import Rules
from emotalk.corpus.index import index_corpora
from emotalk.corpus.manifest import write_manifest
from emotalk.corpus.slicing import slice_corpus
from emotalk.corpus.smoothing import Smoothing, smooth_corpus
from emotalk.corpus.sources import sources_of
from tests.benchmarks.recordings import corpora, write_recordings
from tests.benchmarks.tables import show

_SCHEMA = Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml"
_RATE = 16_000


def measure(num_recordings: int, *, rate: int, threads: int, epochs: int, folder: Path) -> dict[str, Any]:
    """Floor and stages over this many recordings."""
    hours = write_recordings(folder / "data", num_recordings, rate)
    floor_s = _floor(folder, threads)
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as one:
        seconds, again_s, peak_mb = one.submit(_prepare, folder, num_recordings, threads, epochs).result()
    total = sum(seconds.values())
    return {
        "recordings": num_recordings,
        "hours": hours,
        **{f"{stage}_s": value for stage, value in seconds.items()},
        "total_s": total,
        "floor_s": floor_s,
        "ratio_to_floor": total / floor_s,
        "again_s": again_s,
        "hours_a_second": hours / total,
        "peak_mb": peak_mb,
    }


def _floor(folder: Path, processes: int) -> float:
    """Seconds of the floor; processes are started before."""
    out = folder / "floor"
    out.mkdir()
    wavs = sorted((folder / "data").glob("*/audio/*.wav"))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(partial(_copy, out=out), wavs[:processes], chunksize=1)
        os.sync()  # What was written before is not to be waited for in between.
        start = time.perf_counter()
        for _ in pool.imap_unordered(partial(_copy, out=out), wavs, chunksize=8):
            pass
        taken = time.perf_counter() - start
    shutil.rmtree(out)
    return taken


def _copy(wav: Path, out: Path) -> None:
    samples, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    waveform = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if rate != _RATE:
        waveform = soxr.resample(waveform, rate, _RATE, quality="HQ")
    name = f"{wav.parents[1].name}_{wav.stem}"
    soundfile.write(out / f"{name}.wav", waveform, _RATE, subtype="PCM_16")
    track = np.load(wav.parents[1] / "blendshape" / f"{wav.stem}.npy")
    for copy in ("tracks", "clips"):  # The stages keep motion twice, smoothed and cut.
        np.save(out / f"{name}_{copy}.npy", track)


def _prepare(folder: Path, num_recordings: int, threads: int, epochs: int) -> tuple[dict[str, float], float, float]:
    """Seconds of each stage, seconds of doing it again with nothing changed, and the process's peak of memory in MB."""
    seconds: dict[str, float] = {}
    os.sync()
    _stages(folder, num_recordings, threads, epochs, partial(_timed, seconds))
    peak_mb = (_peak_kb(resource.RUSAGE_SELF) + threads * _peak_kb(resource.RUSAGE_CHILDREN)) / 1024
    again: dict[str, float] = {}
    _stages(folder, num_recordings, threads, epochs, partial(_timed, again))
    return seconds, sum(again.values()), peak_mb


def _peak_kb(who: int) -> int:
    """Largest memory of this process, or of the largest of its helpers, pages shared by both counted for each."""
    return resource.getrusage(who).ru_maxrss


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start


def _stages(folder: Path, num_recordings: int, threads: int, epochs: int, timed: Callable[[str], Any]) -> None:
    """Index to manifest, as the rules call them, with the schema's defaults and smoothing."""
    names = list(corpora(num_recordings))
    layouts = {name: {"layout": "hdtf" if name == "HDTF" else "ravdess"} for name in names}
    model = {name: {"source": "random"} for name in ("content_encoder", "emotion_encoder")}
    split = {name: {"validation": [21, 22], "test": [23, 24]} for name in names if name != "HDTF"}
    given = {"data": str(folder / "data"), "corpora": names, "sources": layouts, "split": split, "model": model}
    config = checked_config(given, read_schema(_SCHEMA))
    recordings, earlier = folder / "recordings.parquet", folder / "earlier"
    with timed("index"):
        index_corpora(
            sources_of(names, config["data"], config["sources"]),
            recordings,
            rules=Rules.of(config["index"], config["faults"]),
            strict=True,
            threads=threads,
            earlier=earlier / recordings.name,
        )
    smoothing = Smoothing(**config["smooth"] | {"enabled": True})
    clips = []
    for corpus in names:
        tracks = folder / f"{corpus}.parquet"
        with timed("smooth"):
            options: dict[str, Any] = {"corpus": corpus, "threads": threads}
            smooth_corpus(recordings, tracks, smoothing=smoothing, earlier=earlier / tracks.name, **options)
        clips.append(folder / f"{corpus}.arrow")
        with timed("slice"):
            most = config["slice"]["max_frames"]
            slice_corpus(recordings, tracks, clips[-1], max_frames=most, earlier=earlier / clips[-1].name, **options)
    with timed("pair"):
        chosen = {name: config["pair"][name] for name in ("recipe", "calm", "unlabelled_level", "unlabelled_person")}
        write_manifest(
            clips, folder / "manifest.parquet", epochs=epochs, seed=config["seed"], split=config["split"], **chosen
        )


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="Index, smooth, slice and pair corpora of growing size.")
    parser.add_argument("--recordings", type=int, nargs="+", default=[200, 2_000, 20_000])
    parser.add_argument("--rate", type=int, default=_RATE, help="sampling rate of the recordings")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=80, help="epochs of the manifest")
    parser.add_argument("--folder", type=Path, help="where to work, with room for four times the recordings")
    parser.add_argument("--json", type=Path, help="file for the figures: those of the last size, and all in 'runs'")
    given = parser.parse_args()
    runs = []
    for number in given.recordings:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            options = {"rate": given.rate, "threads": given.threads, "epochs": given.epochs}
            runs.append(measure(number, **options, folder=Path(name)))
        show(runs)
    if given.json:
        given.json.write_text(json.dumps(runs[-1] | {"runs": runs}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
