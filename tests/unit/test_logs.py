"""Job logs and exit codes."""

import logging

import pytest

from emotalk.errors import Interrupted, TrainingError
from emotalk.logs import INTERRUPTED_EXIT_CODE, LOG_FILE_ONLY, copy_log_to, job_log
from emotalk.progress import Progress, format_rate


@pytest.fixture(autouse=True)
def reset_logging():
    """Reset logging to the state of a new process."""
    root = logging.getLogger()
    handlers, level, root.handlers = root.handlers, root.level, []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def exit_code_of(error: BaseException, *paths, **options) -> int:
    logging.getLogger().handlers.clear()
    with pytest.raises(SystemExit) as exit_info, job_log(*paths, **options):
        raise error
    return exit_info.value.code


def test_an_error_of_the_input_is_logged_without_traceback(tmp_path):
    assert exit_code_of(TrainingError("Too little memory."), tmp_path / "a.log") == 1
    assert (tmp_path / "a.log").read_text().rstrip().endswith("Error: Too little memory.")


def test_an_interruption_has_its_own_exit_code(tmp_path):
    assert exit_code_of(Interrupted("Stopped by SIGTERM."), tmp_path / "a.log") == INTERRUPTED_EXIT_CODE == 75
    assert "Error" not in (tmp_path / "a.log").read_text()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(28, "No space left on device", "x.parquet"),
            "Error: [Errno 28] No space left on device:",
        ),
        (PermissionError(13, "Permission denied", "x"), "Free disk space or change the permissions"),
    ],
)
def test_a_full_disk_or_missing_permission_is_not_a_bug(tmp_path, error, message):
    assert exit_code_of(error, tmp_path / "a.log") == 1
    assert message in (tmp_path / "a.log").read_text()
    assert "Traceback" not in (tmp_path / "a.log").read_text()


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(5, "Input/output error")])
def test_a_bug_is_logged_with_its_traceback(tmp_path, error):
    assert exit_code_of(error, tmp_path / "a.log") == 1
    text = (tmp_path / "a.log").read_text()
    assert "This is a bug in the program" in text
    assert "Traceback" in text


def test_a_second_file_gets_the_same_lines_and_keeps_earlier_lines(tmp_path):
    """The log of a run has the lines of all attempts; Snakemake deletes the log of a job before a retry."""
    for attempt in ("first", "second"):
        logging.getLogger().handlers.clear()
        with job_log(tmp_path / "a.log"), copy_log_to(tmp_path / "run.log"):
            logging.info("%s attempt", attempt)
    assert "first" not in (tmp_path / "a.log").read_text()
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split()[-2] for line in lines] == ["first", "second"]


def test_lines_of_another_process_in_the_same_log_are_kept(tmp_path):
    logging.getLogger().handlers.clear()
    with job_log(tmp_path / "a.log"):
        logging.info("first")
        with open(tmp_path / "a.log", "a", encoding="utf-8") as other:
            other.write("from the other\n")
        logging.info("last")
    assert [line.split()[-1] for line in (tmp_path / "a.log").read_text().splitlines()] == ["first", "other", "last"]


def test_tables_for_the_log_file_are_not_shown_on_the_terminal(tmp_path, capsys):
    logging.getLogger().handlers.clear()
    with job_log(tmp_path / "a.log"):
        logging.info("A table of 200 rows", extra=LOG_FILE_ONLY)
        logging.info("One line")
    assert "A table of 200 rows" in (tmp_path / "a.log").read_text()
    shown = capsys.readouterr().err
    assert "One line" in shown
    assert "table" not in shown


def test_log_lines_stand_above_a_progress_bar(capsys, monkeypatch):
    logging.getLogger().handlers.clear()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with job_log(None), Progress(2, "Slicing", "recordings") as display:
        display.advance()
        logging.info("a.wav is excluded")
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert any(line.endswith("a.wav is excluded") and "Slicing" not in line for line in lines)


@pytest.mark.parametrize(("seconds", "text"), [(0.5, "2.0 per second"), (12.34, "12.3 s each")])
def test_slow_work_is_shown_in_seconds(seconds, text):
    assert format_rate(seconds) == text
