"""The last valid checkpoint is never lost, and errors say what to do."""

import errno
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
from emotalk.provenance import file_digest
from emotalk.training.checkpoint_file import (
    BackgroundWriter,
    checksum_path,
    read_checkpoint,
    read_verified,
    write_checkpoint,
)
from emotalk.training.checkpoints import Checkpoints, Position, parse_position
from emotalk.training.signals import StopRequest
from tests.benchmarks.material import PLAIN

IDENTITY = {"seed": 1}


def content(epoch: int, step: int = 0, size: int = 10) -> dict:
    model = {"weight": torch.full((size,), float(epoch))}
    history = [{"epoch": each, "split": "validation", "loss": float(each)} for each in range(1, epoch + 1)]
    return {"epoch": epoch, "step": step, "loss": 0.5, "identity": IDENTITY, "model": model, "history": history}


def checkpoints(path: Path, identity=IDENTITY, **changes) -> Checkpoints:
    """Checkpoints of a run in a folder of runs."""
    folder = Checkpoints(path, identity, PLAIN.model_copy(update={"epochs": 80} | changes))
    folder.path.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of epochs 1 and 2."""
    folder = checkpoints(tmp_path / "runs")
    folder._write(content(1))
    folder._write(content(2))
    return folder


def epoch_of_newest(folder) -> int | None:
    newest = folder.load_newest()
    return parse_position(newest[0]).epoch if newest else None


def test_newest_checkpoint_has_the_highest_epoch_and_step_regardless_of_its_time(tmp_path):
    folder = checkpoints(tmp_path)
    names = ["epoch9_20260101T000000", "epoch10_20250101T000000", "epoch10_step2_20240101T000000"]
    for name in (*names, "epoch10_step11_20230101T000000", "epoch2_20270101T000000"):
        (folder.path / f"emotalk_model_{name}.pth").touch()
    (folder.path / "notes.pth").touch()
    positions = [parse_position(path) for path in folder.list_newest_first()]
    assert positions == [Position(10, 11), Position(10, 2), Position(10), Position(9), Position(2)]


def test_sha256sum_can_check_the_checksum_file(folder):
    newest = folder.list_newest_first()[0]
    digest, name = checksum_path(newest).read_text().split()
    assert name == newest.name
    assert digest == hashlib.sha256(newest.read_bytes()).hexdigest()
    subprocess.run(
        ["sha256sum", "--check", checksum_path(newest).name], cwd=folder.path, check=True, capture_output=True
    )


def test_last_and_best_checkpoints_are_kept(tmp_path):
    """Epoch 1 has the lowest validation loss."""
    folder = checkpoints(tmp_path, keep_best=1)
    for epoch in range(1, 6):
        folder._write(content(epoch, step=3))
        folder._write(content(epoch))
    assert [parse_position(path) for path in folder.list_newest_first()] == [Position(5, 3), Position(5), Position(1)]
    assert len(list(folder.path.iterdir())) == 6


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_truncated_newest_checkpoint_is_renamed_and_the_previous_one_used(folder, cut, caplog):
    newest = folder.list_newest_first()[0]
    newest.write_bytes(newest.read_bytes()[:cut])
    assert epoch_of_newest(folder) == 1
    assert "is damaged: its SHA-256 is" in caplog.text
    assert newest.with_name(newest.name + ".broken").exists()


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_one_flipped_bit_is_detected(folder, fraction, caplog):
    newest = folder.list_newest_first()[0]
    data = bytearray(newest.read_bytes())
    data[int(fraction * len(data))] ^= 1
    newest.write_bytes(data)
    assert epoch_of_newest(folder) == 1
    assert "is damaged" in caplog.text


def test_checkpoint_without_checksum_is_used_with_a_warning(folder, caplog):
    """For example if only the .pth files were copied."""
    checksum_path(folder.list_newest_first()[0]).unlink()
    assert epoch_of_newest(folder) == 2
    assert "has no checksum file" in caplog.text


def test_checkpoint_that_the_disk_cannot_read_is_damaged(folder, monkeypatch, caplog):
    newest = folder.list_newest_first()[0]

    def digest(path):
        if path == newest:
            raise OSError(errno.EIO, "Input/output error")
        return file_digest(path)

    monkeypatch.setattr("emotalk.training.checkpoint_file.file_digest", digest)
    assert epoch_of_newest(folder) == 1
    assert "cannot be read (Input/output error)" in caplog.text


def test_folder_that_cannot_be_flushed_keeps_its_checkpoint_with_a_checksum(tmp_path, monkeypatch):
    """As on some network file systems."""

    def fail(folder):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("emotalk.training.checkpoint_file._sync_folder", fail)
    write_checkpoint(tmp_path / "c.pth", content(1))
    assert checksum_path(tmp_path / "c.pth").exists()
    assert read_verified(tmp_path / "c.pth")["epoch"] == 1


def test_if_all_checkpoints_are_damaged_each_is_named_and_training_does_not_start_over(folder):
    for path in folder.list_newest_first():
        path.write_bytes(b"noise")
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"is damaged.*is damaged.*No valid checkpoint is left\. Run with"):
            folder.load_newest()


def test_valid_checkpoint_is_not_renamed_if_memory_is_too_small(folder, monkeypatch):
    def raise_memory_error(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(torch, "load", raise_memory_error)
    with pytest.raises((TrainingError, MemoryError)):
        folder.load_newest()
    monkeypatch.undo()
    assert epoch_of_newest(folder) == 2


def test_checkpoint_of_another_run_is_an_error_with_keys_and_values(folder, tmp_path):
    other = checkpoints(tmp_path / "runs", {"seed": 2, "split": [3]})
    for path in folder.path.iterdir():
        shutil.copy(path, other.path)
    with pytest.raises(
        TrainingError,
        match=r"belongs to another run: seed: 1 in that run, 2 in this run; split: not set in that run, \[3\] in",
    ):
        other.load_newest()
    assert len(other.list_newest_first()) == 2


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_code_in_a_checkpoint_is_never_executed(folder, tmp_path, caplog):
    newest = folder.list_newest_first()[0]
    torch.save(content(2) | {"extra": Malicious(tmp_path / "run_by_pickle")}, newest)
    digest = hashlib.sha256(newest.read_bytes()).hexdigest()
    checksum_path(newest).write_text(f"{digest}  {newest.name}\n")
    assert epoch_of_newest(folder) == 1
    assert "is damaged or contains pickled code; it was not loaded" in caplog.text
    assert "weights_only" not in caplog.text
    assert not (tmp_path / "run_by_pickle").exists()


@pytest.mark.parametrize("data", [b"", b"noise" * 50])
def test_error_names_a_damaged_checkpoint(tmp_path, data):
    (tmp_path / "c.pth").write_bytes(data)
    with pytest.raises(TrainingError, match=r"c\.pth is not a readable checkpoint"):
        read_checkpoint(tmp_path / "c.pth")


def test_error_names_a_file_that_is_not_a_checkpoint(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "c.pth")
    with pytest.raises(TrainingError, match=r"c\.pth is not a checkpoint of this program"):
        read_checkpoint(tmp_path / "c.pth")


def write_with_size_limit(size: int, path: Path) -> subprocess.CompletedProcess:
    """Write a checkpoint of 400 kB in a process that limits files to `size` bytes."""
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
    checkpoints(Path({str(path)!r}), keep_last=1)._write(content(3, size=100_000))
except TrainingError as error:
    sys.exit(str(error))
"""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("size", [0, 1000, 200_000, 400_000])
def test_full_disk_keeps_all_checkpoints_and_is_an_error(folder, size):
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    done = write_with_size_limit(size, folder.path.parent)
    assert re.search(r"Cannot write the checkpoint .*: \[Errno 27\] File too large", done.stderr)
    assert "Earlier checkpoints are unchanged. Free disk space" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
    assert epoch_of_newest(folder) == 2


def test_checkpoint_is_written_without_size_limit(folder):
    assert write_with_size_limit(resource.RLIM_INFINITY, folder.path.parent).returncode == 0
    assert epoch_of_newest(folder) == 3


@pytest.fixture
def read_only():
    """Read-only folder with a checkpoint; root drops its privileges during the test."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        run = checkpoints(path)
        run._write(content(1))
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


def test_read_only_folder_keeps_its_checkpoint_and_is_an_error(read_only):
    folder = checkpoints(read_only)
    with pytest.raises(TrainingError, match=r"Cannot write .*: .*Permission denied.*make the folder writable"):
        folder._write(content(2))
    assert epoch_of_newest(folder) == 1
    with (
        pytest.raises(TrainingError, match=r"is not writable \(Permission denied\). Make it writable, or set"),
        folder.locked(StopRequest()),
    ):
        pass
    with pytest.raises(TrainingError, match=r"inside/\w+ is not writable \(Permission denied\)"):
        checkpoints(read_only / "inside")


@pytest.mark.parametrize("with_checksum", [True, False])
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.tensor([1.0, torch.nan]), r"Tensor weight in \S+ contains NaN or infinite values"),
        (torch.tensor([1, 2]), r"Tensor weight in \S+ has type int64"),
    ],
)
def test_invalid_parameter_is_named_even_if_the_checksum_is_correct(folder, weight, message, with_checksum, caplog):
    newest = folder.list_newest_first()[0]
    if with_checksum:
        write_checkpoint(newest, content(2) | {"model": {"weight": weight}})
    else:
        torch.save(content(2) | {"model": {"weight": weight}}, newest)
        checksum_path(newest).unlink()
    assert epoch_of_newest(folder) == 1
    assert re.search(message, caplog.text)


def test_next_process_removes_only_partial_files_of_a_killed_one(folder):
    (folder.path / "notes.partial").write_bytes(b"mine")
    before = sorted(folder.path.iterdir())
    (folder.path / "emotalk_model_epoch3_20260101T000000.pth.partial").write_bytes(b"half")
    (folder.path / "emotalk_model_epoch3_20260101T000000.pth.sha256").write_bytes(b"0  x")
    with folder.locked(StopRequest()):
        assert sorted(folder.path.iterdir()) == before


def test_process_waits_for_another_that_trains_the_same_run(folder, caplog):
    lock = FileLock(folder.path.with_suffix(".lock"), thread_local=False)
    lock.acquire()
    threading.Timer(1.5, lock.release).start()
    with folder.locked(StopRequest()):
        assert "Another process trains this run" in caplog.text


def test_signal_stops_waiting(folder):
    stop = StopRequest()
    stop.signal = "SIGTERM"
    with (
        FileLock(folder.path.with_suffix(".lock")),
        pytest.raises(Interrupted, match=r"Stopped by SIGTERM\. Training was waiting for another process"),
        folder.locked(stop),
    ):
        pass


def test_written_copy_does_not_change_while_training_continues():
    release, written = threading.Event(), []

    def write(content):
        release.wait()
        written.append(content["model"]["weight"].clone())

    weight = torch.zeros(3)
    with BackgroundWriter(write) as writer:
        writer.submit({"model": {"weight": weight}})
        weight.add_(1)
        release.set()
    assert written[0].tolist() == [0, 0, 0]


def test_training_waits_for_writing_if_memory_is_too_small_for_a_copy(monkeypatch, caplog):
    monkeypatch.setattr("emotalk.training.checkpoint_file.available_memory_bytes", lambda: 11)
    written = []
    with BackgroundWriter(written.append) as writer:
        writer.submit({"weight": torch.zeros(3)})
        assert len(written) == 1
    assert "Not enough host memory for a copy" in caplog.text


def test_error_in_the_background_thread_is_raised():
    def write(content):
        raise TrainingError("disk full")

    with pytest.raises(TrainingError, match="disk full"), BackgroundWriter(write) as writer:
        writer.submit({})
        while writer._pending and not writer._pending.done():
            pass
        writer.check()


def test_intact_checkpoint_passes_verification(tmp_path):
    write_checkpoint(tmp_path / "c.pth", content(1))
    assert read_verified(tmp_path / "c.pth")["epoch"] == 1
