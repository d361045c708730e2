"""Speaking long recordings: `python -m tests.benchmarks.predict --size small|full`.

Peak memory of a process that speaks one minute and of one that speaks ten, and how many times real time each takes.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import torch

from emotalk.inference.windows import AudioFile, predict_speech
from emotalk.model.pretrained import build_network
from tests.benchmarks.material import ENCODERS
from tests.benchmarks.tables import Row, show

_RATE = 16_000


def measure(size: str, seconds: float, device: str) -> Row:
    """Speak noise of this length in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        with soundfile.SoundFile(path, "w", _RATE, 1, "PCM_16") as file:
            rng = np.random.default_rng(0)
            for _ in range(int(seconds)):
                file.write(0.1 * rng.standard_normal(_RATE))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as one:
            taken, peak_mb = one.submit(_speak, size, path, device).result()
    return {"size": size, "seconds": seconds, "taken_s": taken, "real_time": seconds / taken, "peak_mb": peak_mb}


def _speak(size: str, path: Path, device: str) -> tuple[float, float]:
    torch.manual_seed(0)
    network = build_network(ENCODERS[size], ENCODERS[size]).to(device)
    start = time.perf_counter()
    predict_speech(network, AudioFile.from_path(path), intensity=0, subject=0)
    taken = time.perf_counter() - start
    if device == "cuda":
        return taken, torch.cuda.max_memory_allocated() / 1e6
    return taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="Memory and speed of prediction.")
    parser.add_argument("--size", choices=tuple(ENCODERS), default="small")
    parser.add_argument("--seconds", type=float, nargs="+", default=[60, 600])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [measure(given.size, seconds, given.device) for seconds in given.seconds]
    show(rows)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
