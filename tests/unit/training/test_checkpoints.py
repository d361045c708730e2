"""Whatever happens to a checkpoint, the last good one is never lost, and the error says what to do."""

import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from emotalk.errors import Interrupted, TrainingError
from emotalk.training.checkpoint_file import (
    BackgroundWriter,
    checksum_of,
    read_checkpoint,
    read_verified,
    write_checkpoint,
)
from emotalk.training.checkpoints import Checkpoints, Position, position_of
from emotalk.training.signals import StopRequest
from tests.benchmarks.material import PLAIN

IDENTITY = {"seed": 1}


def content(epoch: int, step: int = 0, size: int = 10) -> dict:
    model = {"weight": torch.full((size,), float(epoch))}
    history = [{"epoch": each, "split": "validation", "loss": float(each)} for each in range(1, epoch + 1)]
    return {"epoch": epoch, "step": step, "loss": 0.5, "identity": IDENTITY, "model": model, "history": history}


def checkpoints(path: Path, identity=IDENTITY, **changes) -> Checkpoints:
    """Those of a run below a folder."""
    found = Checkpoints(path, identity, PLAIN.model_copy(update={"epochs": 80} | changes))
    found.path.mkdir(exist_ok=True)
    return found


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, of the first and the second epoch."""
    folder = checkpoints(tmp_path / "runs")
    folder._store(content(1))
    folder._store(content(2))
    return folder


def epoch_of_newest(folder) -> int | None:
    found = folder.newest()
    return position_of(found[0]).epoch if found else None


def test_the_newest_is_the_one_of_the_highest_epoch_and_step_whatever_the_clock_said(tmp_path):
    folder = checkpoints(tmp_path)
    names = ["epoch9_20260101T000000", "epoch10_20250101T000000", "epoch10_step2_20240101T000000"]
    for name in (*names, "epoch10_step11_20230101T000000", "epoch2_20270101T000000"):
        (folder.path / f"emotalk_model_{name}.pth").touch()
    (folder.path / "notes.pth").touch()
    found = [position_of(path) for path in folder.all()]
    assert found == [Position(10, 11), Position(10, 2), Position(10), Position(9), Position(2)]


def test_the_checksum_is_what_sha256sum_reads(folder):
    newest = folder.all()[0]
    digest, name = checksum_of(newest).read_text().split()
    assert name == newest.name
    assert digest == hashlib.sha256(newest.read_bytes()).hexdigest()
    subprocess.run(["sha256sum", "--check", checksum_of(newest).name], cwd=folder.path, check=True, capture_output=True)


def test_the_last_ones_and_those_of_the_best_epochs_are_kept(tmp_path):
    """Of the validation losses in the history the first epoch's is the lowest."""
    folder = checkpoints(tmp_path, keep_best=1)
    for epoch in range(1, 6):
        folder._store(content(epoch, step=3))
        folder._store(content(epoch))
    assert [position_of(path) for path in folder.all()] == [Position(5, 3), Position(5), Position(1)]
    assert len(list(folder.path.iterdir())) == 6


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_newest_is_put_aside_and_the_one_before_taken(folder, cut, caplog):
    newest = folder.all()[0]
    newest.write_bytes(newest.read_bytes()[:cut])
    assert epoch_of_newest(folder) == 1
    assert "is damaged: its SHA-256 is" in caplog.text
    assert newest.with_name(newest.name + ".broken").exists()


@pytest.mark.parametrize("place", [0.01, 0.5, 0.99])
def test_one_flipped_bit_is_noticed(folder, place, caplog):
    newest = folder.all()[0]
    data = bytearray(newest.read_bytes())
    data[int(place * len(data))] ^= 1
    newest.write_bytes(data)
    assert epoch_of_newest(folder) == 1
    assert "is damaged" in caplog.text


def test_a_checkpoint_without_its_checksum_is_not_trusted(folder, caplog):
    checksum_of(folder.all()[0]).unlink()
    assert epoch_of_newest(folder) == 1
    assert "has no checksum" in caplog.text


def test_when_all_are_damaged_each_is_named_and_nothing_begins_anew_unasked(folder):
    for path in folder.all():
        path.write_bytes(b"noise")
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"is damaged.*is damaged.*No other checkpoint is left. Remove these"):
            folder.newest()


def test_a_proven_checkpoint_that_memory_cannot_hold_is_not_put_aside(folder, monkeypatch):
    def no_memory(*given, **options):
        raise MemoryError

    monkeypatch.setattr(torch, "load", no_memory)
    with pytest.raises((TrainingError, MemoryError)):
        folder.newest()
    monkeypatch.undo()
    assert epoch_of_newest(folder) == 2


def test_a_checkpoint_of_another_run_is_refused_with_keys_and_values(folder, tmp_path):
    other = checkpoints(tmp_path / "runs", {"seed": 2, "split": [3]})
    for path in folder.path.iterdir():
        shutil.copy(path, other.path)
    with pytest.raises(
        TrainingError, match=r"is of another run: seed: 1 there, 2 here; split: not set there, \[3\] he"
    ):
        other.newest()
    assert len(other.all()) == 2


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_code_in_a_checkpoint_is_never_run(folder, tmp_path, caplog):
    newest = folder.all()[0]
    torch.save(content(2) | {"extra": Malicious(tmp_path / "run_by_pickle")}, newest)
    digest = hashlib.sha256(newest.read_bytes()).hexdigest()
    checksum_of(newest).write_text(f"{digest}  {newest.name}\n")
    assert epoch_of_newest(folder) == 1
    assert "holds more than data, or is damaged; it is not loaded" in caplog.text
    assert "weights_only" not in caplog.text
    assert not (tmp_path / "run_by_pickle").exists()


@pytest.mark.parametrize("data", [b"", b"noise" * 50])
def test_a_damaged_checkpoint_is_named(tmp_path, data):
    (tmp_path / "c.pth").write_bytes(data)
    with pytest.raises(TrainingError, match=r"c\.pth is no readable checkpoint"):
        read_checkpoint(tmp_path / "c.pth")


def test_something_else_than_a_checkpoint_is_named(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "c.pth")
    with pytest.raises(TrainingError, match=r"c\.pth is no checkpoint of this program"):
        read_checkpoint(tmp_path / "c.pth")


def full_disk_at(size: int, path: Path) -> subprocess.CompletedProcess:
    """Write a checkpoint of 400 kB in a process whose files cannot grow beyond `size` bytes."""
    script = f"""
import signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
from emotalk.errors import TrainingError
from tests.unit.training.test_checkpoints import content
from tests.unit.training.test_checkpoints import checkpoints
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
try:
    checkpoints(Path({str(path)!r}), keep_last=1)._store(content(3, size=100_000))
except TrainingError as error:
    sys.exit(str(error))
"""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("size", [0, 1000, 200_000, 400_000])
def test_a_disk_that_fills_at_any_byte_costs_no_checkpoint_and_says_so(folder, size):
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    done = full_disk_at(size, folder.path.parent)
    assert "could not be written: [Errno 27] File too large" in done.stderr
    assert "The ones before it are as they were. Make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
    assert epoch_of_newest(folder) == 2


def test_a_disk_with_room_takes_it(folder):
    assert full_disk_at(resource.RLIM_INFINITY, folder.path.parent).returncode == 0
    assert epoch_of_newest(folder) == 3


@pytest.fixture
def read_only():
    """A folder with a checkpoint that this process may not write: root gives its rights up for a while."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        run = checkpoints(path)
        run._store(content(1))
        run.path.chmod(0o555)
        path.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
            yield path
            os.seteuid(0)
        else:
            yield path
        run.path.chmod(0o755)
        path.chmod(0o755)


def test_a_read_only_folder_keeps_its_checkpoint_and_says_what_to_do(read_only):
    folder = checkpoints(read_only)
    with pytest.raises(TrainingError, match=r"could not be written: .*Permission denied.*make the folder writable"):
        folder._store(content(2))
    assert epoch_of_newest(folder) == 1
    with (
        pytest.raises(TrainingError, match=r"cannot be written \(Permission denied\). Make it writable, or set"),
        folder.locked(StopRequest()),
    ):
        pass
    with pytest.raises(TrainingError, match=r"inside/\w+ cannot be written \(Permission denied\)"):
        checkpoints(read_only / "inside")


@pytest.mark.parametrize("with_checksum", [True, False])
@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (torch.tensor([1.0, torch.nan]), r"Tensor weight in \S+ holds values that are NaN or infinite"),
        (torch.tensor([1, 2]), r"Tensor weight in \S+ is of type int64"),
    ],
)
def test_a_parameter_that_no_training_writes_is_named_whatever_the_checksum_says(
    folder, weight, said, with_checksum, caplog
):
    newest = folder.all()[0]
    if with_checksum:
        write_checkpoint(newest, content(2) | {"model": {"weight": weight}})
    else:
        torch.save(content(2) | {"model": {"weight": weight}}, newest)
        with pytest.raises(TrainingError, match=said):
            read_checkpoint(newest)
    assert epoch_of_newest(folder) == 1
    assert not with_checksum or re.search(said, caplog.text)


def test_what_a_killed_writer_left_is_removed_by_the_next_run_and_nothing_else(folder):
    (folder.path / "notes.partial").write_bytes(b"mine")
    before = sorted(folder.path.iterdir())
    (folder.path / "emotalk_model_epoch3_20260101T000000.pth.partial").write_bytes(b"half")
    (folder.path / "emotalk_model_epoch3_20260101T000000.pth.sha256").write_bytes(b"0  x")
    with folder.locked(StopRequest()):
        assert sorted(folder.path.iterdir()) == before


def test_a_process_waits_for_another_that_trains_the_same_run(folder, caplog):
    lock = FileLock(folder.path.with_suffix(".lock"), thread_local=False)
    lock.acquire()
    threading.Timer(1.5, lock.release).start()
    with folder.locked(StopRequest()):
        assert "Another process trains this run" in caplog.text


def test_a_signal_ends_the_waiting(folder):
    stop = StopRequest()
    stop.signal = "SIGTERM"
    with (
        FileLock(folder.path.with_suffix(".lock")),
        pytest.raises(Interrupted, match=r"Stopped by SIGTERM\. It was waiting for another process"),
        folder.locked(stop),
    ):
        pass


def test_training_computes_on_while_a_copy_is_written():
    """The thing itself changes meanwhile; what is written is what it was."""
    release, written = threading.Event(), []

    def write(given):
        release.wait()
        written.append(given["model"]["weight"].clone())

    weight = torch.zeros(3)
    with BackgroundWriter(write) as writer:
        writer.submit({"model": {"weight": weight}})
        weight.add_(1)
        release.set()
    assert written[0].tolist() == [0, 0, 0]


def test_without_memory_for_a_copy_training_waits(monkeypatch, caplog):
    monkeypatch.setattr("emotalk.training.checkpoint_file.free_memory", lambda: 11)
    written = []
    with BackgroundWriter(written.append) as writer:
        writer.submit({"weight": torch.zeros(3)})
        assert len(written) == 1
    assert "no room for a copy" in caplog.text


def test_what_goes_wrong_behind_trainings_back_is_told():
    def write(given):
        raise TrainingError("disk full")

    with pytest.raises(TrainingError, match="disk full"), BackgroundWriter(write) as writer:
        writer.submit({})
        while writer._pending and not writer._pending.done():
            pass
        writer.check()


def test_a_complete_file_passes(tmp_path):
    write_checkpoint(tmp_path / "c.pth", content(1))
    assert read_verified(tmp_path / "c.pth")["epoch"] == 1
