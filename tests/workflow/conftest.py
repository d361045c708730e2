import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "emotalk", "config", "profiles", "resources/demo.yaml")


class Project:
    """A copy of the project in which the workflow runs, and whose files a test may change."""

    def __init__(self, folder: Path, config: dict) -> None:
        self.folder = folder
        for part in PARTS:
            source, target = ROOT / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, target, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}))
        self.configure(config)

    def configure(self, config: dict) -> None:
        (self.folder / "test.yaml").write_text(yaml.safe_dump(config))

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run snakemake as a user does, in the copy, with the copy's package."""
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "test.yaml"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=600, check=False)

    def jobs(self, *arguments: str) -> set[str]:
        """Rules that a dry run would run."""
        done = self.run("-n", *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        table = (done.stdout + done.stderr).rpartition("Job stats:")[2].partition("\n\n")[0].splitlines()[3:]
        return {line.split()[0] for line in table} - {"total", "all"}


TINY_RUN = {
    "data": "demo",
    "results": "results",
    "demo": {"actors": 3},
    "split": {"RAVDESS": {"validation": [2], "test": [3]}},
    "model": {name: {"source": "random", "sizes": TINY} for name in ("content_encoder", "emotion_encoder")},
    "train": {"epochs": 1, "batch_size": 8, "schedule": "constant"},
    "evaluate": {"required_improvement": None},
}
"""The demo, small enough for a test."""


@pytest.fixture
def project(tmp_path) -> Callable[..., Project]:
    """Make a copy of the project with this configuration over the default."""
    return lambda config: Project(tmp_path, config)


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory) -> Path:
    """The tiny run, finished once for all tests."""
    project = Project(tmp_path_factory.mktemp("finished"), TINY_RUN)
    done = project.run("--cores", "2", "all")
    assert done.returncode == 0, done.stderr
    return project.folder


@pytest.fixture
def finished(finished_folder, tmp_path) -> Project:
    """A copy of the finished run, which a test may spoil; times are kept, so that nothing is stale."""
    shutil.copytree(finished_folder, tmp_path / "run", symlinks=True)
    project = Project.__new__(Project)
    project.folder = tmp_path / "run"
    return project
