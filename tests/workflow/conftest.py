"""A project for tests of the workflow."""

from collections.abc import Callable

import pytest

from tests.project import Project


@pytest.fixture
def project(tmp_path) -> Callable[..., Project]:
    """Function that copies the project with a configuration."""
    return lambda config: Project.from_checkout(tmp_path, config)
