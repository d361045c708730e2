"""Speed of our training step relative to that of the training report: `python -m tests.benchmarks.step --help`.

All variants run alternately in one process with the same clips. The figures are medians over the alternations of the
time per reconstructed frame.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch

from emotalk.device import choose_precision, configure_kernels
from tests.benchmarks import tables
from tests.benchmarks.bench import Bench, Variant, Work, variants
from tests.benchmarks.material import ENCODERS, WEIGHTS
from tests.benchmarks.measuring import matmul_rate, operations, peak_mb, reset_peak, seconds
from tests.benchmarks.sweep import LENGTHS_S, sweep

REFERENCE = "reference (report's step)"
PAIRS_PER_EPOCH = {"report": 720, "paper": 1440}
EPOCHS = 80


def measure(bench: Bench, chosen: list[Variant], alternations: int) -> dict[str, dict[str, list[float]]]:
    """Seconds per frame and peak memory of the reference and of each variant; the first turn is a warm-up."""
    if any(variant.compiled for variant in chosen):
        bench.network.compile_layers()
    results: dict[str, dict[str, list[float]]] = {}
    for turn in range(alternations + 1):
        for name, variant in [(REFERENCE, None), *((variant.name, variant) for variant in chosen)]:
            work, frames = _job(bench, variant, turn)
            reset_peak(bench.device)
            samples = results.setdefault(name, {"seconds": [], "peak_mb": []})
            if turn == 0:
                work()
                continue
            samples["seconds"].append(seconds(work, bench.device) / frames)
            samples["peak_mb"].append(peak_mb(bench.device))
            print(f"turn {turn}, {name}: {samples['seconds'][-1] * frames:.2f} s", flush=True)
    return results


def _job(bench: Bench, variant: Variant | None, turn: int) -> tuple[Work, int]:
    """Step and its number of reconstructed frames; all steps of a turn use the same first example."""
    size = variant.batch_size if variant else 1
    examples = [bench.examples[(turn + i) % len(bench.examples)] for i in range(size)]
    if variant is None:
        return bench.reference_step(examples[0]), bench.reference_frames(examples[0])
    return bench.step(variant, examples), sum(example["num_frames"] for example in examples)


def _operations_per_frame(bench: Bench, variant: Variant | None) -> float:
    """Operations per frame for one pair, without recomputation by gradient checkpointing."""
    single = Variant(1, variant.precision, cached=variant.cached) if variant else None
    work, frames = _job(bench, single, 0)
    return operations(work) / frames


def table(bench: Bench, chosen: list[Variant], results: dict[str, dict[str, list[float]]]) -> list[tables.Row]:
    """Table with one row for the reference and for each variant."""
    mean_frames = statistics.mean(example["num_frames"] for example in bench.examples)
    rates = {precision: matmul_rate(bench.device, precision) for precision in {v.precision for v in chosen}}
    by_name = {variant.name: variant for variant in chosen}
    operation_counts = {name: _operations_per_frame(bench, by_name.get(name)) for name in results}
    rows: list[tables.Row] = []
    for name, samples in results.items():
        seconds_per_frame = statistics.median(samples["seconds"])
        ratios = [r / own for r, own in zip(results[REFERENCE]["seconds"], samples["seconds"], strict=True)]
        work = operation_counts[name]
        precision = by_name[name].precision if name in by_name else "fp32"
        rows.append(
            {
                "variant": name,
                "pairs_per_second": 1 / (seconds_per_frame * mean_frames),
                "ratio": statistics.median(ratios),
                "peak_mb": max(samples["peak_mb"]),
                "operations_per_pair": work * mean_frames,
                "matmul_fraction": work / seconds_per_frame / rates.get(precision, float("nan")),
                "minutes_for_80_epochs": EPOCHS * PAIRS_PER_EPOCH[bench.recipe] * seconds_per_frame * mean_frames / 60,
            }
        )
    return rows


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description="Speed of our training step relative to the training report.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--size", choices=list(ENCODERS), default="full", help="size of the two encoders")
    parser.add_argument("--recipe", choices=list(WEIGHTS), default="report", help="recipe of our steps")
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of the variants to measure, 'batch 1, fp32' for example")
    parser.add_argument(
        "--sweep", nargs="*", type=float, metavar="S", help="measure the cost for these lengths of audio (s) instead"
    )
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for csv and png")
    parser.add_argument("--json", type=Path, help="output file of the main figures")
    args = parser.parse_args()
    device = torch.device(args.device)
    configure_kernels(device)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.size, args.recipe, device, Path(folder), num_pairs=32)
        if args.sweep is not None:
            rows = sweep(bench, Path(folder), args.sweep or LENGTHS_S, choose_precision("auto", device))
            tables.show(rows)
            tables.write(rows, args.out / "sweep", x="length_s", y="seconds", label="time per step (s)")
            return
        difference = bench.loss_difference()
        chosen = [variant for variant in variants(device) if args.only is None or variant.name in args.only]
        rows = table(bench, chosen, measure(bench, chosen, args.alternations))
    tables.show(rows)
    print(f"relative difference between our loss and the reference for one pair: {difference:.1e}")
    label = "speed relative to the reference"
    tables.write(rows, args.out / f"step_{args.recipe}", x="variant", y="ratio", label=label)
    if args.json:
        args.json.write_text(json.dumps(_figures(rows, difference), indent=2), encoding="utf-8")


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
