"""Logging of one job: to its file and to the terminal, errors as sentences instead of tracebacks."""

import errno
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotalk.errors import EmoTalkError, Interrupted

INTERRUPTED_EXIT_CODE = 75
"""What sysexits.h calls a temporary failure: try again, and the work goes on."""
_ERROR = "Error: "
_NOT_AGAIN = " (Not tried again.)"
_DEFECT = "This is a defect of the program, not of your data; please report it with these lines:"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


@contextmanager
def job_log(
    path: str | Path | None,
    attempts: str | Path | None = None,
    *,
    goes_on: bool = False,
    level: int = logging.INFO,
) -> Iterator[None]:
    """Send log lines and warnings of the enclosed work to `path` and to standard error.

    An :class:`EmoTalkError` ends the process with exit code 1 and its message; an :class:`Interrupted` with
    `INTERRUPTED_EXIT_CODE`; anything else is a defect of the program and keeps its traceback, which goes to the file
    too.

    Parameters
    ----------
    path
        None for standard error alone.
    attempts
        Second file that gets the same, for jobs that are tried again: Snakemake deletes `path` before each attempt.
    goes_on
        Whether the same job wrote to these files before, in an earlier attempt or in its launcher. They are added to
        then; and if `attempts` ends with an error of the user's input, which trying again does not mend, so does this.
    level
        Least level of what is logged; above INFO, files are made only when there is something to tell.
    """
    files = [Path(file) for file in (path, attempts) if file is not None]
    last = _last_line(files[-1]) if goes_on and files else ""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not goes_on:
            file.unlink(missing_ok=True)
        # Always at the end: a launcher and the processes that it starts write to one file.
        handlers.append(logging.FileHandler(file, "a", encoding="utf-8", delay=level > logging.INFO))
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)
    logging.captureWarnings(True)
    if last.startswith(_ERROR):
        logging.error("%s%s", last.removesuffix(_NOT_AGAIN), _NOT_AGAIN)
        sys.exit(1)
    try:
        yield
    except EmoTalkError as error:
        logging.error("%s%s", _ERROR, " ".join([str(error), *getattr(error, "__notes__", [])]))
        sys.exit(1)
    except Interrupted as stop:
        logging.warning("%s", stop)
        sys.exit(INTERRUPTED_EXIT_CODE)
    except KeyboardInterrupt:
        logging.warning("Stopped at once.")
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            logging.exception("%s", _DEFECT)
        else:
            logging.error("%s%s. Make room or give access, and type the command again.", _ERROR, error)
        sys.exit(1)
    except Exception:
        logging.exception("%s", _DEFECT)
        sys.exit(1)


def _last_line(path: Path) -> str:
    """Last message of a log, without its time."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return lines[-1].partition(" ")[2] if lines else ""
