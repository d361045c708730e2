"""Data preparation from index to manifest: `python -m tests.benchmarks.corpus --recordings N`.

The stages are compared with a lower bound in the same run and with the same number of processes: reading, resampling
and writing the same data with soundfile and soxr.
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
from emotalk.data.discovery import make_sources
from emotalk.data.index import index_corpora
from emotalk.data.manifest import write_manifest
from emotalk.data.slicing import slice_corpus
from emotalk.data.smoothing import smooth_corpus
from tests.benchmarks.recordings import corpora, write_recordings
from tests.benchmarks.tables import show

_RECIPES = Path(__file__).parents[2] / "config/recipes"
_RATE = 16_000
_POLL_S = 0.1


def measure(num_recordings: int, *, rate: int, threads: int, epochs: int, folder: Path) -> dict[str, Any]:
    """Measure the lower bound and all stages."""
    hours = write_recordings(folder / "data", num_recordings, rate)
    floor_s = _floor(folder, threads)
    stages = _stages(folder, num_recordings, threads, epochs)
    os.sync()
    seconds: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for name, stage in stages:
        elapsed, peak = _run_in_process(stage)
        seconds[f"{name}_s"] = seconds.get(f"{name}_s", 0.0) + elapsed
        peaks[name] = max(peak, peaks.get(name, 0.0))
    total = sum(seconds.values())
    return {
        "recordings": num_recordings,
        "hours": hours,
        **seconds,
        "total_s": total,
        "floor_s": floor_s,
        "ratio_to_floor": total / floor_s,
        "hours_per_second": hours / total,
        **{f"{name}_mb": peak for name, peak in peaks.items()},
        "peak_mb": max(peaks.values()),
    }


def _run_in_process(stage: Callable[[], None]) -> tuple[float, float]:
    """Run a stage in a separate process, as Snakemake does; returns seconds and peak memory in MB."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as executor:
        return executor.submit(_run_with_monitor, stage).result()


def _run_with_monitor(stage: Callable[[], None]) -> tuple[float, float]:
    peak, done = 0.0, threading.Event()

    def poll() -> None:
        nonlocal peak
        while not done.wait(_POLL_S):
            peak = max(peak, _memory_mb())

    monitor = threading.Thread(target=poll)
    monitor.start()
    start = time.perf_counter()
    try:
        stage()
        elapsed = time.perf_counter() - start
    finally:
        done.set()
        monitor.join()
    return elapsed, max(peak, _memory_mb())


def _memory_mb() -> float:
    """Memory of this process and its children, with shared memory counted once (proportional set size of Linux)."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text(encoding="ascii").split()
    total = 0
    for process in (own, *children):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # The process has exited.
            continue
    return total / 1024


def _floor(folder: Path, processes: int) -> float:
    """Seconds of the lower bound, without the start of the processes."""
    out = folder / "floor"
    out.mkdir()
    wavs = sorted((folder / "data").glob("*/audio/*.wav"))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(partial(_copy, out=out), wavs[:processes], chunksize=1)
        os.sync()  # Otherwise earlier writes would slow down the measurement.
        start = time.perf_counter()
        for _ in pool.imap_unordered(partial(_copy, out=out), wavs, chunksize=8):
            pass
        elapsed = time.perf_counter() - start
    shutil.rmtree(out)
    return elapsed


def _copy(wav: Path, out: Path) -> None:
    samples, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    waveform = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if rate != _RATE:
        waveform = soxr.resample(waveform, rate, _RATE, quality="HQ")
    name = f"{wav.parents[1].name}_{wav.stem}"
    soundfile.write(out / f"{name}.wav", waveform, _RATE, subtype="PCM_16")
    track = np.load(wav.parents[1] / "blendshape" / f"{wav.stem}.npy")
    for copy in ("tracks", "clips"):  # The stages write motion twice: smoothed tracks and clips.
        np.save(out / f"{name}_{copy}.npy", track)


def _stages(folder: Path, num_recordings: int, threads: int, epochs: int) -> list[tuple[str, Callable[[], None]]]:
    """Stages from index to manifest with the calls of the rules, default settings and smoothing."""
    names = list(corpora(num_recordings))
    layouts = {name: {"layout": "hdtf" if name == "HDTF" else "ravdess"} for name in names}
    model = {name: {"source": "random"} for name in ("content_encoder", "emotion_encoder")}
    split = {name: {"validation": [21, 22], "test": [23, 24]} for name in names if name != "HDTF"}
    settings = {"data": str(folder / "data"), "corpora": names, "sources": layouts, "split": split, "model": model}
    config = load_config([settings], recipes=_RECIPES)
    recordings = folder / "recordings.parquet"
    sources = make_sources(names, config.data, config.sources)
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
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time and memory of index, smooth, slice and pair.")
    parser.add_argument("--recordings", type=int, nargs="+", default=[200, 2_000, 20_000])
    parser.add_argument("--rate", type=int, default=_RATE, help="sampling rate of the recordings")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=80, help="number of epochs of the manifest")
    parser.add_argument("--folder", type=Path, help="working folder, with space for four times the recordings")
    parser.add_argument("--json", type=Path, help="output file: figures of the largest size, and all in 'runs'")
    args = parser.parse_args()
    runs = []
    for number in args.recordings:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            options = {"rate": args.rate, "threads": args.threads, "epochs": args.epochs}
            runs.append(measure(number, **options, folder=Path(name)))
        show(runs)
    if args.json:
        args.json.write_text(json.dumps(runs[-1] | {"runs": runs}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
