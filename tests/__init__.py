"""Tests. Each process of pytest has cores of its own: trainings that share theirs wait for each other's threads."""

import os

if os.environ.get("PYTEST_XDIST_WORKER") and hasattr(os, "sched_setaffinity"):
    # Here, as torch looks once, when it is loaded.
    _number, _count = (os.environ[f"PYTEST_XDIST_WORKER{part}"] for part in ("", "_COUNT"))
    _cores = sorted(os.sched_getaffinity(0))
    if len(_cores) == os.cpu_count():  # Else this is a process that a test has started, or someone has chosen.
        os.sched_setaffinity(0, _cores[int(_number.removeprefix("gw")) :: int(_count)] or _cores)
