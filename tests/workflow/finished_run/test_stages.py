"""A stage version is raised if, and only if, the result of the stage changes."""

import json

import numpy as np
import pytest

from emotalk.stages import STAGE_VERSIONS
from tests.golden.stages import STORED, figures

_GOLDEN = json.loads(STORED.read_text(encoding="utf-8"))
_RAISE = "raise its version in emotalk/stages.py, add it to CHANGELOG.md, and run: python -m tests.golden"


@pytest.mark.parametrize("stage", _GOLDEN["figures"])
def test_a_stage_with_a_changed_result_has_a_new_version(finished_folder, stage):
    computed, stored = figures(finished_folder / "results")[stage], _GOLDEN["figures"][stage]
    is_same = computed.keys() == stored.keys() and all(_is_close(computed[name], stored[name]) for name in stored)
    if STAGE_VERSIONS[stage] != _GOLDEN["versions"][stage]:
        pytest.fail(f"The version of stage {stage} was changed; run: python -m tests.golden")
    assert is_same, f"The result of stage {stage} has changed: {_RAISE}"


def _is_close(computed, stored) -> bool:
    """Compare texts exactly, and numbers with a tolerance for rounding differences that training amplifies."""
    try:
        return np.allclose(np.array(computed, float), np.array(stored, float), rtol=1e-2, atol=1e-4)
    except (TypeError, ValueError):
        return computed == stored
