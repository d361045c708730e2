"""Cost of a step as a function of the length of a clip."""

import statistics
from pathlib import Path

from tests.benchmarks.bench import Bench, Variant
from tests.benchmarks.material import write_clips
from tests.benchmarks.measuring import peak_mb, reset_peak, seconds
from tests.benchmarks.tables import Row

LENGTHS_S = [1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0]


def sweep(bench: Bench, folder: Path, lengths_s: list[float], precision: str) -> list[Row]:
    """Cost of a step on one clip; `ratio` is the cost per second of audio relative to the first length."""
    rows: list[Row] = []
    for length in lengths_s:
        frames = round(length * 30) // 3 * 3
        store = write_clips(folder / f"sweep{frames}.arrow", [frames])
        example = {"kind": "self", "audio_c1e2": "c0", "audio_c2e1": None, "num_frames": frames}
        work = bench.step(
            Variant(1, precision), [example | {"subject": 0, "intensity": 1}], bench.make_batch_maker(store)
        )
        work()
        reset_peak(bench.device)
        elapsed = statistics.median(seconds(work, bench.device) for _ in range(3))
        seconds_per_second = elapsed / length
        ratio = seconds_per_second * rows[0]["length_s"] / rows[0]["seconds"] if rows else 1.0
        rows.append({"length_s": length, "seconds": elapsed, "ratio": ratio, "peak_mb": peak_mb(bench.device)})
        print(f"{length:g} s of audio: {elapsed:.2f} s per step", flush=True)
    return rows
