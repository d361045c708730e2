"""What makes a stage stale: another result of it, and nothing else."""

import json

import numpy as np
import pytest

from emotalk.stages import STAGE_VERSIONS
from tests.golden.stages import STORED, figures

_GOLDEN = json.loads(STORED.read_text(encoding="utf-8"))
_RAISE = "raise its version in emotalk/stages.py, say so in CHANGELOG.md, and run: python -m tests.golden"


@pytest.mark.parametrize("stage", _GOLDEN["figures"])
def test_a_stage_that_computes_otherwise_has_another_version(finished_folder, stage):
    found, stored = figures(finished_folder / "results")[stage], _GOLDEN["figures"][stage]
    is_same = found.keys() == stored.keys() and all(_is_close(found[name], stored[name]) for name in stored)
    if STAGE_VERSIONS[stage] != _GOLDEN["versions"][stage]:
        pytest.fail(f"The version of stage {stage} was changed; run: python -m tests.golden")
    assert is_same, f"Stage {stage} computes something else than before: {_RAISE}"


def _is_close(found, stored) -> bool:
    """Equal words; numbers equal but for what processors round differently, which training enlarges."""
    try:
        return np.allclose(np.array(found, float), np.array(stored, float), rtol=1e-2, atol=1e-4)
    except (TypeError, ValueError):
        return found == stored
