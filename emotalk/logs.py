"""Logging of one job: to its file and to the terminal, errors as sentences instead of tracebacks."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotalk.errors import EmoTalkError


@contextmanager
def job_log(path: str | Path) -> Iterator[None]:
    """Send log lines and warnings of the enclosed work to `path` and to standard error.

    An :class:`EmoTalkError` ends the process with exit code 1 and its message; anything else is a defect of the
    program and keeps its traceback, which goes to the file too.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(path, mode="w", encoding="utf-8")
    terminal = logging.StreamHandler(sys.stderr)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[file, terminal]
    )
    logging.captureWarnings(True)
    try:
        yield
    except EmoTalkError as error:
        logging.error("Error: %s", "\n".join([str(error), *getattr(error, "__notes__", [])]))
        sys.exit(1)
    except Exception:
        logging.exception("This is a defect of the program, not of your data; please report it with these lines:")
        sys.exit(1)
