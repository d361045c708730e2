"""The workflow on real recordings, which are not part of the project; skipped if they are missing."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.conftest import SHARED
from tests.project import TINY_RUN

DATA = SHARED / "data/3D-ETF-mini"

pytestmark = pytest.mark.skipif(not Path(DATA).is_dir(), reason=f"there are no real recordings at {DATA}")


def test_original_audio_a_phone_capture_and_talking_heads_are_usable(project, tmp_path):
    take = tmp_path / "takes/anna"
    take.mkdir(parents=True)
    shutil.copy(SHARED / "data/livelink/S88-001.csv", take)
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(64.72 * 44_100))
    soundfile.write(take / "S88-001.wav", noise, 44_100)
    splits = {"RAVDESS": {"validation": [], "test": []}, "HDTF": {"validation": 0.2, "test": 0.2}}
    copy = project(
        TINY_RUN
        | {
            "data": str(DATA),
            "corpora": ["RAVDESS", "HDTF", "Phone"],
            "sources": {
                "RAVDESS": {"audio": str(SHARED / "data/ravdess-original")},
                "Phone": {"audio": str(tmp_path / "takes"), "tracks": str(tmp_path / "takes")},
            },
            "split": splits | {"Phone": {"validation": 0.0, "test": 0.0}},
        }
    )
    done = copy.run("--cores", "2", "data_page")
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(copy.folder / "results/recordings.parquet").set_index("recording_id")
    original = rows.loc["01-01-02-01-01-02-01"]
    assert (original["status"], original["sampling_rate"], original["num_audio_channels"]) == ("ok", 48_000, 2)
    assert original["wav_path"].endswith("03-01-02-01-01-02-01.wav")
    capture = rows.loc["anna.S88-001"]
    assert (capture["status"], capture["num_frames"]) == ("repaired", 1941)
    assert capture["reasons"][0].startswith("track_gap")
    assert (rows.loc["WRA_LongClip2_000", "status"], rows.loc["WRA_LongClip2_000", "num_frames"]) == ("repaired", 810)
    assert (rows["status"] != "excluded").sum() == 2 + 6 + 1
    assert "anna.S88-001" in (copy.folder / "results/report/data.html").read_text()


@pytest.mark.long
def test_real_recordings_give_weights_metrics_and_a_report(project):
    copy = project(
        TINY_RUN
        | {
            "data": str(DATA),
            "corpora": ["RAVDESS", "HDTF"],
            "smooth": {"enabled": False},
            "slice": {"max_frames": 300},
            "split": {"RAVDESS": {"validation": [2], "test": [3]}, "HDTF": {"validation": 0.2, "test": 0.2}},
        }
    )
    done = copy.run("--cores", "2", "all")
    assert done.returncode == 0, done.stderr
    results = copy.folder / "results"
    recordings = pd.read_parquet(results / "recordings.parquet")
    assert (recordings["status"] != "excluded").all()
    assert (recordings["corpus"] == "RAVDESS").sum() == 180
    long_clip = recordings.set_index("recording_id").loc["WRA_LongClip2_000"]
    assert (long_clip["status"], long_clip["num_frames"]) == ("repaired", 810)
    assert "track has 812 frames, the audio 810" in long_clip["reasons"][0]
    metrics = pd.read_csv(results / "evaluation/metrics.csv")
    assert metrics["value"].notna().all()
    assert (results / "weights/emotalk.pth").exists()
    assert all(corpus in (results / "report/data.html").read_text() for corpus in ("RAVDESS", "HDTF"))
