"""The training step against the training report's own: `python -m tests.benchmarks.step --help`.

All variants run in one process, in turn, on the same clips. What is compared is the time for a reconstructed frame, and
what is printed are medians over the alternations.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch

from emotalk.device import choose_kernels, choose_precision
from tests.benchmarks import tables
from tests.benchmarks.bench import Bench, Variant, Work, variants
from tests.benchmarks.material import ENCODERS, WEIGHTS
from tests.benchmarks.measuring import matmul_rate, operations, peak_mb, reset_peak, seconds
from tests.benchmarks.sweep import LENGTHS_S, sweep

REFERENCE = "reference (report's step)"
PAIRS_AN_EPOCH = {"report": 720, "paper": 1440}
EPOCHS = 80


def measure(bench: Bench, chosen: list[Variant], alternations: int) -> dict[str, dict[str, list[float]]]:
    """Seconds a frame and peak memory of the reference and of each variant in turn; the first turn warms up."""
    if any(variant.compiled for variant in chosen):
        bench.network.compile_layers()
    found: dict[str, dict[str, list[float]]] = {}
    for turn in range(alternations + 1):
        for name, variant in [(REFERENCE, None), *((variant.name, variant) for variant in chosen)]:
            work, frames = _job(bench, variant, turn)
            reset_peak(bench.device)
            facts = found.setdefault(name, {"seconds": [], "peak_mb": []})
            if turn == 0:
                work()
                continue
            facts["seconds"].append(seconds(work, bench.device) / frames)
            facts["peak_mb"].append(peak_mb(bench.device))
            print(f"turn {turn}, {name}: {facts['seconds'][-1] * frames:.2f} s", flush=True)
    return found


def _job(bench: Bench, variant: Variant | None, turn: int) -> tuple[Work, int]:
    """A step, and how many frames it reconstructs; all jobs of a turn have its first example."""
    size = variant.batch_size if variant else 1
    examples = [bench.examples[(turn + i) % len(bench.examples)] for i in range(size)]
    if variant is None:
        return bench.reference_step(examples[0]), bench.reference_frames(examples[0])
    return bench.step(variant, examples), sum(example["num_frames"] for example in examples)


def _operations_a_frame(bench: Bench, variant: Variant | None) -> float:
    """Operations of one pair, a frame: what must be computed, not what checkpointing computes again."""
    single = Variant(1, variant.precision, cached=variant.cached) if variant else None
    work, frames = _job(bench, single, 0)
    return operations(work) / frames


def table(bench: Bench, chosen: list[Variant], found: dict[str, dict[str, list[float]]]) -> list[tables.Row]:
    """One row for the reference and for each variant."""
    mean_frames = statistics.mean(example["num_frames"] for example in bench.examples)
    rates = {precision: matmul_rate(bench.device, precision) for precision in {v.precision for v in chosen}}
    by_name = {variant.name: variant for variant in chosen}
    counted = {name: _operations_a_frame(bench, by_name.get(name)) for name in found}
    rows: list[tables.Row] = []
    for name, facts in found.items():
        a_frame = statistics.median(facts["seconds"])
        ratios = [r / own for r, own in zip(found[REFERENCE]["seconds"], facts["seconds"], strict=True)]
        work = counted[name]
        precision = by_name[name].precision if name in by_name else "fp32"
        rows.append(
            {
                "variant": name,
                "pairs_a_second": 1 / (a_frame * mean_frames),
                "ratio": statistics.median(ratios),
                "peak_mb": max(facts["peak_mb"]),
                "operations_a_pair": work * mean_frames,
                "matmul_fraction": work / a_frame / rates.get(precision, float("nan")),
                "minutes_for_80_epochs": EPOCHS * PAIRS_AN_EPOCH[bench.recipe] * a_frame * mean_frames / 60,
            }
        )
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Our training step against the training report's.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--size", choices=list(ENCODERS), default="full", help="size of the two encoders")
    parser.add_argument("--recipe", choices=list(WEIGHTS), default="report", help="recipe of our steps")
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of the variants to measure, 'batch 1, fp32' for example")
    parser.add_argument("--sweep", nargs="*", type=float, metavar="S", help="cost by seconds of audio instead")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for csv and png")
    parser.add_argument("--json", type=Path, help="file for the main figures")
    given = parser.parse_args()
    device = torch.device(given.device)
    choose_kernels(device)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(given.size, given.recipe, device, Path(folder), num_pairs=32)
        if given.sweep is not None:
            rows = sweep(bench, Path(folder), given.sweep or LENGTHS_S, choose_precision("auto", device))
            tables.show(rows)
            tables.write(rows, given.out / "sweep", x="length_s", y="seconds", label="a step (s)")
            return
        difference = bench.loss_difference()
        chosen = [variant for variant in variants(device) if given.only is None or variant.name in given.only]
        rows = table(bench, chosen, measure(bench, chosen, given.alternations))
    tables.show(rows)
    print(f"our loss on one pair differs from the reference's by {difference:.1e} of it")
    label = "speed, in multiples of the reference's"
    tables.write(rows, given.out / f"step_{given.recipe}", x="variant", y="ratio", label=label)
    if given.json:
        given.json.write_text(json.dumps(_figures(rows, difference), indent=2), encoding="utf-8")


def _figures(rows: list[tables.Row], difference: float) -> dict[str, object]:
    ours = [row for row in rows if row["variant"] != REFERENCE]
    best = max(ours, key=lambda row: row["ratio"])
    singles = [row["ratio"] for row in ours if str(row["variant"]).startswith("batch 1, fp32")]
    return {
        "ratio_batch1_fp32": max(singles, default=None),
        "ratio_best": best["ratio"],
        "matmul_fraction": best["matmul_fraction"],
        "peak_mb": best["peak_mb"],
        "best": best["variant"],
        "loss_difference": difference,
        "rows": rows,
    }


if __name__ == "__main__":
    main()
