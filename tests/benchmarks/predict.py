"""Prediction of long recordings: `python -m tests.benchmarks.predict --size small|full`.

Measures peak memory and speed (in multiples of real time) for one and for ten minutes of audio.
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
    """Predict noise of this length in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        with soundfile.SoundFile(path, "w", _RATE, 1, "PCM_16") as file:
            rng = np.random.default_rng(0)
            for _ in range(int(seconds)):
                file.write(0.1 * rng.standard_normal(_RATE))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
            elapsed, peak_mb = executor.submit(_predict, size, path, device).result()
    return {"size": size, "seconds": seconds, "elapsed_s": elapsed, "real_time": seconds / elapsed, "peak_mb": peak_mb}


def _predict(size: str, path: Path, device: str) -> tuple[float, float]:
    torch.manual_seed(0)
    network = build_network(ENCODERS[size], ENCODERS[size]).to(device)
    start = time.perf_counter()
    predict_speech(network, AudioFile.from_path(path), intensity=0, subject=0)
    elapsed = time.perf_counter() - start
    if device == "cuda":
        return elapsed, torch.cuda.max_memory_allocated() / 1e6
    return elapsed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Memory and speed of prediction.")
    parser.add_argument("--size", choices=tuple(ENCODERS), default="small")
    parser.add_argument("--seconds", type=float, nargs="+", default=[60, 600], help="lengths of the audio")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="output file")
    args = parser.parse_args()
    rows = [measure(args.size, seconds, args.device) for seconds in args.seconds]
    show(rows)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
