"""Renew the stored results: `python -m tests.golden`, after a stage's version was raised."""

import tempfile
from pathlib import Path

from tests.golden.stages import store
from tests.project import TINY_RUN, Project

with tempfile.TemporaryDirectory() as folder:
    project = Project.from_checkout(Path(folder), TINY_RUN)
    done = project.run("--cores", "2", "all")
    assert done.returncode == 0, done.stderr
    store(Path(folder) / "results")
