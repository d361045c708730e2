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
_FORMAT, _TIME = "%(asctime)s %(message)s", "%H:%M:%S"
_DEFECT = "This is a defect of the program, not of your data; please report it with these lines:"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


@contextmanager
def job_log(path: str | Path | None, *, append: bool = False, level: int = logging.INFO) -> Iterator[None]:
    """Send log lines and warnings of the enclosed work to `path` and to standard error.

    An :class:`EmoTalkError` ends the process with exit code 1 and its message; an :class:`Interrupted` with
    `INTERRUPTED_EXIT_CODE`; anything else is a defect of the program and keeps its traceback, which goes to the file
    too.

    Parameters
    ----------
    path
        None for standard error alone.
    append
        Whether the file has lines of a process that started this one, which are kept.
    level
        Lowest level of what is logged; above INFO, the file is made only when there is something to log.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if not append:
            Path(path).unlink(missing_ok=True)
        # Always at the end: a launcher and the processes that it starts write to one file.
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
        logging.warning("Stopped at once.")
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            logging.exception("%s", _DEFECT)
        else:
            logging.error("Error: %s. Make room or give access, and run the command again.", error)
        sys.exit(1)
    except Exception:
        logging.exception("%s", _DEFECT)
        sys.exit(1)


@contextmanager
def also_logged(path: Path) -> Iterator[None]:
    """Context whose log lines are added to a second file, too."""
    handler = logging.FileHandler(path, "a", encoding="utf-8")
    handler.setFormatter(logging.Formatter(f"%(asctime)s {_FORMAT.partition(' ')[2]}", "%Y-%m-%d %H:%M:%S"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
