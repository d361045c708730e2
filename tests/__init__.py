"""Tests. Each pytest process has its own cores, because trainings that share cores slow each other down."""

import os

if os.environ.get("PYTEST_XDIST_WORKER") and hasattr(os, "sched_setaffinity"):
    # In this module, because torch reads the affinity once, when it is imported.
    _number, _count = (os.environ[f"PYTEST_XDIST_WORKER{part}"] for part in ("", "_COUNT"))
    _cores = sorted(os.sched_getaffinity(0))
    if len(_cores) == os.cpu_count():  # Otherwise a test or a user has set the affinity.
        os.sched_setaffinity(0, _cores[int(_number.removeprefix("gw")) :: int(_count)] or _cores)
