"""A job's log, and its exit codes."""

import logging

import pytest

from emotalk.errors import Interrupted, TrainingError
from emotalk.logs import INTERRUPTED_EXIT_CODE, job_log


@pytest.fixture(autouse=True)
def own_handlers():
    """Logging as a fresh process has it."""
    root = logging.getLogger()
    before, level, root.handlers = root.handlers, root.level, []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = before
    root.setLevel(level)
    logging.captureWarnings(False)


def end_of(error: BaseException, *paths, **options) -> int:
    logging.getLogger().handlers.clear()
    with pytest.raises(SystemExit) as ended, job_log(*paths, **options):
        raise error
    return ended.value.code


def test_an_error_of_the_input_is_a_sentence(tmp_path):
    assert end_of(TrainingError("Too little memory."), tmp_path / "a.log") == 1
    assert (tmp_path / "a.log").read_text().rstrip().endswith("Error: Too little memory.")


def test_an_interruption_has_an_exit_code_of_its_own(tmp_path):
    assert end_of(Interrupted("Stopped by SIGTERM."), tmp_path / "a.log") == INTERRUPTED_EXIT_CODE == 75
    assert "Error" not in (tmp_path / "a.log").read_text()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(28, "No space left on device", "x.parquet"),
            "Error: [Errno 28] No space left on device:",
        ),
        (PermissionError(13, "Permission denied", "x"), "Make room or give access"),
    ],
)
def test_a_full_or_closed_disk_is_no_defect_of_the_program(tmp_path, error, said):
    assert end_of(error, tmp_path / "a.log") == 1
    assert said in (tmp_path / "a.log").read_text()
    assert "Traceback" not in (tmp_path / "a.log").read_text()


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(5, "Input/output error")])
def test_a_defect_keeps_its_traceback(tmp_path, error):
    assert end_of(error, tmp_path / "a.log") == 1
    text = (tmp_path / "a.log").read_text()
    assert "This is a defect of the program" in text
    assert "Traceback" in text


def test_what_all_attempts_said_is_kept_beside_the_last_ones(tmp_path):
    """Snakemake deletes a job's log before it tries again."""
    log, attempts = tmp_path / "a.log", tmp_path / "attempts.log"
    end_of(Interrupted("first"), log, attempts)
    log.unlink()
    end_of(Interrupted("second"), log, attempts, goes_on=True)
    assert "first" not in log.read_text()
    assert attempts.read_text().index("first") < attempts.read_text().index("second")
    end_of(Interrupted("another day"), log, attempts)
    assert "first" not in attempts.read_text()


def test_after_an_error_of_the_input_another_attempt_ends_at_once(tmp_path):
    log, attempts = tmp_path / "a.log", tmp_path / "attempts.log"
    end_of(TrainingError("Too little memory."), log, attempts)
    for _ in range(2):
        assert end_of(AssertionError("not reached"), log, attempts, goes_on=True) == 1
        assert log.read_text().rstrip().endswith("Error: Too little memory. (Not tried again.)")
    assert "not reached" not in attempts.read_text()


def test_after_an_interruption_another_attempt_goes_on(tmp_path):
    log, attempts = tmp_path / "a.log", tmp_path / "attempts.log"
    end_of(Interrupted("Stopped by SIGUSR1."), log, attempts)
    logging.getLogger().handlers.clear()
    with job_log(log, attempts, goes_on=True):
        logging.info("goes on")
    assert "goes on" in attempts.read_text()


def test_what_a_started_process_writes_to_the_same_log_is_not_overwritten(tmp_path):
    logging.getLogger().handlers.clear()
    with job_log(tmp_path / "a.log"):
        logging.info("first")
        with open(tmp_path / "a.log", "a", encoding="utf-8") as other:
            other.write("from the other\n")
        logging.info("last")
    assert [line.split()[-1] for line in (tmp_path / "a.log").read_text().splitlines()] == ["first", "other", "last"]
