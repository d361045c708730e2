"""The same workflow on real recordings, where they are at hand; they are never part of the project."""

from pathlib import Path

import pandas as pd
import pytest

from tests.project import TINY_RUN

DATA = Path(__file__).parents[3] / "shared/data/3D-ETF-mini"
RECIPES = {"paper": ["RAVDESS", "HDTF"], "report": ["RAVDESS"]}

pytestmark = pytest.mark.skipif(not Path(DATA).is_dir(), reason=f"the real recordings are not at {DATA}")


@pytest.mark.parametrize("recipe", RECIPES)
def test_real_recordings_become_weights_metrics_and_a_page(project, recipe):
    copy = project(
        TINY_RUN
        | {
            "data": str(DATA),
            "corpora": RECIPES[recipe],
            "smooth": {"enabled": False},
            "slice": {"max_frames": 300},
            "split": {"RAVDESS": {"validation": [2], "test": [3]}, "HDTF": {"validation": 0.2, "test": 0.2}},
            "pair": {"recipe": recipe},
        }
    )
    done = copy.run("--cores", "2", "all")
    assert done.returncode == 0, done.stderr
    results = copy.folder / "results"
    recordings = pd.read_parquet(results / "recordings.parquet")
    assert (recordings["status"] != "excluded").all()
    assert (recordings["corpus"] == "RAVDESS").sum() == 180
    if recipe == "paper":
        longer = recordings.set_index("recording_id").loc["WRA_LongClip2_000"]
        assert (longer["status"], longer["num_frames"]) == ("repaired", 810)
        assert "track has 812 frames, the audio 810" in longer["reasons"][0]
    metrics = pd.read_csv(results / "evaluation/metrics.csv")
    assert metrics["value"].notna().all()
    assert (results / "weights/emotalk.pth").exists()
    assert "3" in (results / "report/index.html").read_text()
