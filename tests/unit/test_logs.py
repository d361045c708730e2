"""A job's log, and its exit codes."""

import logging

import pytest

from emotalk.errors import Interrupted, TrainingError
from emotalk.logs import INTERRUPTED_EXIT_CODE, also_logged, job_log


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


def test_a_second_file_gets_the_same_lines_and_keeps_those_of_before(tmp_path):
    """A run's own log has the lines of all attempts; Snakemake deletes a job's log before it tries again."""
    for attempt in ("first", "second"):
        logging.getLogger().handlers.clear()
        with job_log(tmp_path / "a.log"), also_logged(tmp_path / "run.log"):
            logging.info("%s attempt", attempt)
    assert "first" not in (tmp_path / "a.log").read_text()
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split()[-2] for line in lines] == ["first", "second"]


def test_what_a_started_process_writes_to_the_same_log_is_not_overwritten(tmp_path):
    logging.getLogger().handlers.clear()
    with job_log(tmp_path / "a.log"):
        logging.info("first")
        with open(tmp_path / "a.log", "a", encoding="utf-8") as other:
            other.write("from the other\n")
        logging.info("last")
    assert [line.split()[-1] for line in (tmp_path / "a.log").read_text().splitlines()] == ["first", "other", "last"]
