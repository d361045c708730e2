"""Projects for tests of the workflow."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import TINY_RUN, Project


@pytest.fixture
def project(tmp_path) -> Callable[..., Project]:
    """Function that copies the project with a configuration."""
    return lambda config: Project.from_checkout(tmp_path, config)


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory) -> Path:
    """Folder of a finished tiny run, shared by all tests."""
    project = Project.from_checkout(tmp_path_factory.mktemp("finished"), TINY_RUN)
    done = project.run("--cores", "2", "all")
    assert done.returncode == 0, done.stderr
    return project.folder


@pytest.fixture
def finished(finished_folder, tmp_path) -> Project:
    """A copy of the finished run that a test may change."""
    return Project(finished_folder).copy(tmp_path / "run")
