"""The two pairing strategies with equal numbers of steps: `python -m tests.benchmarks.strategies`.

The demo is trained twice through Snakemake: with the pseudo-pairs of the paper, and with the random pairs of the public
training report, whose other settings (no classification loss, velocity loss of the first clip) are used too. The second
run has as many epochs as give the number of steps of the first. Both are evaluated on the same test split.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from emotalk.config.reading import merge
from tests.project import Project

_PSEUDO = {"recipe": "demo", "evaluate": {"required_improvement": None}}
_RANDOM = merge(
    _PSEUDO,
    {
        "pair": {"strategy": "random"},
        "train": {"loss_weights": {"classification": 0.0}, "velocity_on": "first"},
    },
)
_BATCH_SIZE = 2
"""Of recipe demo."""
_ROWS = (("emotion_shift", "upper"), ("motion_kept", "mouth"), ("cross_mae", "all"), ("mae", "mouth"))


def main() -> None:
    """Train and evaluate both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8, help="epochs of the run with pseudo-pairs (default 8)")
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pseudo = Project.from_checkout(Path(folder, "pseudo"), merge(_PSEUDO, {"train": {"epochs": args.epochs}}))
        _run(pseudo, "evaluate", args.cores)
        steps = args.epochs * _steps_per_epoch(pseudo)
        random = Project.from_checkout(Path(folder, "random"), merge(_RANDOM, {"train": {"epochs": 1}}))
        _run(random, "pair", args.cores)
        epochs = round(steps / _steps_per_epoch(random))
        random.configure(merge(_RANDOM, {"train": {"epochs": epochs}}))
        _run(random, "evaluate", args.cores)
        columns = {
            "paper's pseudo-pairs": _results(pseudo) | {"steps": steps},
            "report's random pairs": _results(random) | {"steps": epochs * _steps_per_epoch(random)},
        }
    print(pd.DataFrame(columns).to_string(float_format="%.4g"))


def _run(project: Project, rule: str, cores: int) -> None:
    if project.start(rule, "--cores", str(cores)).wait():
        raise SystemExit((project.folder / "output.txt").read_text())


def _steps_per_epoch(project: Project) -> int:
    filters = [("split", "=", "train"), ("epoch", "=", 1)]
    rows = pq.read_table(project.folder / "results/manifest.parquet", columns=["position"], filters=filters)
    return -(-len(rows) // _BATCH_SIZE)


def _results(project: Project) -> dict[str, Any]:
    metrics = pd.read_csv(project.folder / "results/evaluation/metrics.csv")
    values = metrics[metrics["predictor"] == "model"].set_index(["metric", "region"])["value"]
    return {f"{metric}, {region}": values.get((metric, region)) for metric, region in _ROWS}


if __name__ == "__main__":
    main()
