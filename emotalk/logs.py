"""Logging of one job to its file and to the terminal; errors of the input are logged without traceback."""

import errno
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from emotalk.errors import EmoTalkError, Interrupted

INTERRUPTED_EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: the job can be resumed by running it again."""
_FORMAT, _TIME = "%(asctime)s %(message)s", "%H:%M:%S"
LOG_FILE_ONLY = {"log_file_only": True}
"""Argument `extra` of a logger for long tables, which are not shown on the terminal."""
_BUG = "This is a bug in the program, not a problem of your data. Please report it with these lines:"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


@contextmanager
def job_log(path: str | Path | None, *, append: bool = False, level: int = logging.INFO) -> Iterator[None]:
    """Send log lines and warnings of the context to `path` and to standard error.

    An :class:`EmoTalkError` ends the process with exit code 1 and its message, an :class:`Interrupted` with
    `INTERRUPTED_EXIT_CODE`. Any other exception is a bug, and its traceback is logged.

    Parameters
    ----------
    path
        Log file; None for standard error only.
    append
        If true, keep the lines of the process that started this one.
    level
        Lowest level that is logged; above INFO, the file is created with its first line.
    """
    handlers: list[logging.Handler] = [_TerminalHandler()]
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if not append:
            Path(path).unlink(missing_ok=True)
        # Append, because a launcher and its processes write to the same file.
        handlers.append(logging.FileHandler(path, "a", encoding="utf-8", delay=level > logging.INFO))
    logging.basicConfig(level=level, format=_FORMAT, datefmt=_TIME, handlers=handlers)
    logging.captureWarnings(True)
    try:
        yield
    except EmoTalkError as error:
        logging.error("Error: %s", " ".join([str(error), *getattr(error, "__notes__", [])]))
        sys.exit(1)
    except Interrupted as stop:
        logging.warning("%s", stop)
        sys.exit(INTERRUPTED_EXIT_CODE)
    except KeyboardInterrupt:
        logging.warning("Stopped by Ctrl-C.")
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            logging.exception("%s", _BUG)
        else:
            logging.error("Error: %s. Free disk space or change the permissions, then run the command again.", error)
        sys.exit(1)
    except Exception:
        logging.exception("%s", _BUG)
        sys.exit(1)


class _TerminalHandler(logging.Handler):
    """Handler that writes to standard error above the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless it is for the log file only."""
        if not getattr(record, "log_file_only", False):
            try:
                tqdm.write(self.format(record), file=sys.stderr)
            except OSError:
                self.handleError(record)


@contextmanager
def copy_log_to(path: Path) -> Iterator[None]:
    """Also append the log lines of the context to a second file."""
    handler = logging.FileHandler(path, "a", encoding="utf-8")
    handler.setFormatter(logging.Formatter(f"%(asctime)s {_FORMAT.partition(' ')[2]}", "%Y-%m-%d %H:%M:%S"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
