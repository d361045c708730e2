"""Finished runs of the workflow, made once for all tests of this folder."""

import shutil
from pathlib import Path

import pytest

from tests.project import TINY_RUN, Project


def finish(project: Project, target: str) -> Path:
    """Run Snakemake for a target and return the folder of the project."""
    done = project.run("--cores", "2", target)
    assert done.returncode == 0, done.stderr
    return project.folder


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory) -> Path:
    """Folder of a finished tiny run."""
    return finish(Project.from_checkout(tmp_path_factory.mktemp("finished"), TINY_RUN), "all")


@pytest.fixture
def finished(finished_folder, tmp_path) -> Project:
    """A copy of the finished run that a test may change."""
    return Project(finished_folder).copy(tmp_path / "run")


@pytest.fixture(scope="session")
def own_data_folder(finished_folder, tmp_path_factory) -> Path:
    """Folder of a second run, whose recordings are a user's files and not outputs of the workflow."""
    config = TINY_RUN | {"recipe": "demo", "data": "data", "corpora": ["RAVDESS", "HDTF"]}
    project = Project.from_checkout(tmp_path_factory.mktemp("own"), config)
    shutil.copytree(finished_folder / "results/demo_corpus", project.folder / "data")
    return finish(project, "extract")


@pytest.fixture
def own_data(own_data_folder, tmp_path) -> Project:
    """A copy of the second run that a test may change."""
    return Project(own_data_folder).copy(tmp_path / "run")
