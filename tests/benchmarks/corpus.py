"""Preparing corpora of growing size, index to manifest: `python -m tests.benchmarks.corpus --recordings N`.

Beside it the floor, in the same run and with as many processes as the stages have threads: reading, resampling and
writing the same bytes with soundfile and soxr, and nothing else.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from emotalk.config.config import load_config
from emotalk.config.corpus import SmoothSettings
from emotalk.data.discovery import Source
from emotalk.data.index import index_corpora
from emotalk.data.manifest import write_manifest
from emotalk.data.slicing import slice_corpus
from emotalk.data.smoothing import smooth_corpus
from tests.benchmarks.recordings import corpora, write_recordings
from tests.benchmarks.tables import show

_RECIPES = Path(__file__).parents[2] / "config/recipes"
_RATE = 16_000
_GLANCE_S = 0.1


def measure(num_recordings: int, *, rate: int, threads: int, epochs: int, folder: Path) -> dict[str, Any]:
    """Floor and stages over this many recordings."""
    hours = write_recordings(folder / "data", num_recordings, rate)
    floor_s = _floor(folder, threads)
    stages = _stages(folder, num_recordings, threads, epochs)
    os.sync()
    first = [_alone(stage) for _, stage in stages]
    total = sum(seconds for seconds, _ in first)
    seconds: dict[str, float] = {}
    for (name, _), (taken, _) in zip(stages, first, strict=True):
        seconds[f"{name}_s"] = seconds.get(f"{name}_s", 0.0) + taken
    peaks: dict[str, float] = {}
    for (name, _), (_, peak) in zip(stages, first, strict=True):
        peaks[name] = max(peak, peaks.get(name, 0.0))
    return {
        "recordings": num_recordings,
        "hours": hours,
        **seconds,
        "total_s": total,
        "floor_s": floor_s,
        "ratio_to_floor": total / floor_s,
        "hours_a_second": hours / total,
        **{f"{name}_mb": peak for name, peak in peaks.items()},
        "peak_mb": max(peaks.values()),
    }


def _alone(stage: Callable[[], None]) -> tuple[float, float]:
    """Seconds of a stage, and its peak of memory in MB, in a process of its own as Snakemake runs it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as one:
        return one.submit(_watched, stage).result()


def _watched(stage: Callable[[], None]) -> tuple[float, float]:
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(_GLANCE_S):
            peak = max(peak, _memory_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        stage()
        taken = time.perf_counter() - start
    finally:
        done.set()
        watcher.join()
    return taken, max(peak, _memory_mb())


def _memory_mb() -> float:
    """Memory of this process and its helpers together, what they share counted once (Linux: proportional set size)."""
    own = os.getpid()
    helpers = Path(f"/proc/{own}/task/{own}/children").read_text(encoding="ascii").split()
    total = 0
    for process in (own, *helpers):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # It has just ended.
            continue
    return total / 1024


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


def _stages(folder: Path, num_recordings: int, threads: int, epochs: int) -> list[tuple[str, Callable[[], None]]]:
    """Index to manifest, as the rules call them, with the default settings and smoothing."""
    names = list(corpora(num_recordings))
    layouts = {name: {"layout": "hdtf" if name == "HDTF" else "ravdess"} for name in names}
    model = {name: {"source": "random"} for name in ("content_encoder", "emotion_encoder")}
    split = {name: {"validation": [21, 22], "test": [23, 24]} for name in names if name != "HDTF"}
    given = {"data": str(folder / "data"), "corpora": names, "sources": layouts, "split": split, "model": model}
    config = load_config([given], recipes=_RECIPES)
    recordings = folder / "recordings.parquet"
    sources = [Source.from_settings(name, config.data, config.sources[name]) for name in names]
    index = partial(index_corpora, sources, recordings, settings=config.index, strict=True, threads=threads)
    stages = [("index", index)]
    smoothing = SmoothSettings()
    clips = [folder / f"{corpus}.arrow" for corpus in names]
    for corpus, store in zip(names, clips, strict=True):
        tracks = folder / f"{corpus}.parquet"
        options: dict[str, Any] = {"corpus": corpus, "threads": threads}
        stages.append(("smooth", partial(smooth_corpus, recordings, tracks, settings=smoothing, **options)))
        max_frames = config.slice.max_frames
        stages.append(("slice", partial(slice_corpus, recordings, tracks, store, max_frames=max_frames, **options)))
    options = {"settings": config.pair, "split": config.split, "epochs": epochs, "seed": config.seed}
    stages.append(("pair", partial(write_manifest, clips, folder / "manifest.parquet", **options)))
    return stages


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
