"""Several processes have the same results as one."""

import multiprocessing
import socket
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from emotalk.training import train as module
from emotalk.training.batches import plan_steps, select_share
from emotalk.training.distributed import init_process_group
from emotalk.training.train import TrainingFiles, train
from tests.benchmarks.material import make_model_settings
from tests.unit.training.conftest import CPU, STEADY, example
from tests.unit.training.steady import prepare_network_without_dropout


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(1, 1), (1, 4), (3, 1), (3, 2), (8, 1)])
def test_shares_of_all_processes_are_the_examples_of_the_step(settings, count, batch_size, accumulate):
    examples = [example("cross", position) | {"num_frames": 60 + position % 7} for position in range(23)]
    for group in plan_steps(examples, settings(batch_size=batch_size, accumulate=accumulate)):
        shares = [select_share(group, rank, count) for rank in range(count)]
        positions = sorted(row["position"] for share in shares for part in share for row in part)
        assert positions == sorted(row["position"] for batch in group for row in batch)
        assert all(part for share in shares for part in share)


def test_shares_are_balanced_over_the_batches_of_a_step():
    group = [[example("cross", position)] for position in range(8)]
    assert [len(select_share(group, rank, 2)) for rank in range(2)] == [4, 4]


def worker(rank: int, count: int, port: int, args: tuple) -> None:
    import os

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count)}
    torch.set_num_threads(1)
    module.prepare_network = prepare_network_without_dropout
    with init_process_group(CPU) as group:
        train(*args, device=CPU, group=group)


@pytest.fixture
def shared(clips, manifest, settings, tmp_path):
    """Train in `count` processes; returns the folder and the losses."""

    def start(folder: str, count: int, **changes) -> tuple[Path, list[float]]:
        changes = {"model": make_model_settings(STEADY), "learning_rate": 1e-4} | changes
        args = TrainingFiles(clips, manifest, tmp_path / folder), settings(**changes)
        if count == 1:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "prepare_network", prepare_network_without_dropout)
                train(*args, device=CPU)
        else:
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                port = unused.getsockname()[1]
            run = partial(worker, count=count, port=port, args=args)
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([module.__name__])  # Otherwise each process imports torch.
            processes = [context.Process(target=run, args=(rank,)) for rank in range(count)]
            for process in processes:
                process.start()
            for process in processes:
                process.join(300)
                assert process.exitcode == 0
        return tmp_path / folder, pq.read_table(tmp_path / folder / "metrics.parquet")["loss"].to_pylist()

    return start


@pytest.mark.parametrize("changes", [{"batch_size": 3}, {"batch_size": 1, "accumulate": 2}])
def test_two_processes_have_the_losses_of_one(shared, changes):
    """With shares of different sizes, empty shares, and several batches."""
    _, expected = shared("one", 1, **changes)
    folder, losses = shared("two", 2, **changes)
    assert losses == pytest.approx(expected, rel=1e-5)
    assert not list(folder.rglob("*.partial"))
    assert len(list(folder.glob("checkpoints/*/*.pth"))) == 2


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_run_continues_with_another_number_of_processes(shared, first, then):
    _, expected = shared("whole", 1)
    shared("moved", first, epochs=2)
    folder, losses = shared("moved", then, epochs=4)
    assert losses == pytest.approx(expected, rel=1e-5)
    assert len(list(folder.glob("checkpoints/*/run.json"))) == 1
