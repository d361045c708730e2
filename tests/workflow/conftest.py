from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import TINY_RUN, Project


@pytest.fixture
def project(tmp_path) -> Callable[..., Project]:
    """Make a copy of the project with this configuration over the default."""
    return lambda config: Project.new(tmp_path, config)


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory) -> Path:
    """The tiny run, finished once for all tests."""
    project = Project.new(tmp_path_factory.mktemp("finished"), TINY_RUN)
    done = project.run("--cores", "2", "all")
    assert done.returncode == 0, done.stderr
    return project.folder


@pytest.fixture
def finished(finished_folder, tmp_path) -> Project:
    """A copy of the finished run, which a test may spoil."""
    return Project(finished_folder).copy(tmp_path / "run")
