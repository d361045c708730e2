import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import Wav2Vec2Config

from emotalk.corpus.clip_files import ClipWriter
from emotalk.corpus.clips import ClipStore
from emotalk.corpus.manifest import MANIFEST
from emotalk.errors import EvaluationError
from emotalk.evaluation.check import check_improvement, mouth_improvement
from emotalk.evaluation.evaluate import evaluate, mean_face
from emotalk.model import EmoTalk
from emotalk.model.card import write_card
from emotalk.model.weights import save_weights
from emotalk.training.schedule import Schedule
from tests.conftest import TINY


@pytest.fixture
def clips(tmp_path):
    """Two training clips with faces of 0.2 (20 frames) and 0.5 (10 frames), two test clips of 0.4 and 0.6."""
    with ClipWriter(tmp_path / "clips.arrow") as writer:
        for name, frames, value in (("a", 20, 0.2), ("b", 10, 0.5), ("t0", 30, 0.4), ("t1", 31, 0.6)):
            labels = dict(clip_id=name, corpus="C", recording_id=name, start_frame=0, stop_frame=frames, is_whole=True)
            labels |= dict.fromkeys(("subject", "emotion", "intensity", "statement", "repetition"))
            track = np.full((frames, 52), value, np.float32)
            writer.write(labels, np.zeros(frames * 1600 // 3, np.int16), track)
    return [tmp_path / "clips.arrow"]


def write_manifest(path, test=("t0", "t1")):
    rows = [("train", 1, "a", 0), ("train", 1, "b", 5)] + [("test", 0, name, 9) for name in test]
    common = dict(kind="self", intensity=0, emotion_e1=-1, emotion_e2=-1, num_frames=10, position=0)
    table = [dict(split=s, epoch=e, audio_c1e2=clip, subject=p, **common) for s, e, clip, p in rows]
    pq.write_table(pa.Table.from_pylist(table, schema=MANIFEST), path)
    return path


@pytest.fixture
def manifest(tmp_path):
    return write_manifest(tmp_path / "manifest.parquet")


@pytest.fixture
def scored(clips, manifest, tmp_path):
    """Score a network that always shows a face of 0.5."""

    def run(**changes):
        network = EmoTalk.from_configs(Wav2Vec2Config(**TINY), Wav2Vec2Config(**TINY))
        torch.nn.init.constant_(network.bs_map_r.bias, 0.5)
        save_weights(network, tmp_path, "emotalk")
        write_card(tmp_path / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}})
        out = dict(predictions=tmp_path / "predictions", metrics=tmp_path / "metrics.csv")
        settings = dict(person="mean", bootstrap_draws=100, seed=1, device=torch.device("cpu"))
        evaluate(tmp_path / "emotalk.json", clips, manifest, **out, **(settings | changes))
        return pd.read_csv(tmp_path / "metrics.csv")

    return run


def test_the_mean_face_weighs_every_training_frame_alike(clips, manifest):
    np.testing.assert_allclose(mean_face(ClipStore(clips), Schedule(manifest)), (20 * 0.2 + 10 * 0.5) / 30, atol=1e-6)


def test_the_table_has_the_errors_of_the_model_beside_both_baselines(scored):
    table = scored()
    assert list(table.columns) == ["metric", "region", "predictor", "value", "low", "high", "unit"]
    assert set(table["region"]) == {"all", "mouth", "brows", "eyes"}
    mae = table[(table["metric"] == "mae") & (table["region"] == "mouth")].set_index("predictor")
    assert mae["value"].to_dict() == pytest.approx({"model": 0.1, "mean_face": 0.2, "still_face": 0.5}, abs=1e-6)
    assert mae.loc["still_face", ["low", "high"]].tolist() == pytest.approx([0.4, 0.6])
    assert (table.loc[table["metric"] == "velocity_error", "value"].abs() < 1e-6).all()


def test_predictions_are_written_by_clip_with_every_frame(scored, tmp_path):
    scored()
    shapes = {path.stem: np.load(path).shape for path in (tmp_path / "predictions").iterdir()}
    assert shapes == {"t0": (30, 52), "t1": (31, 52)}


@pytest.mark.parametrize("person", ["mean", "own", 3])
def test_the_subject_may_be_the_mean_the_own_slot_or_an_index(scored, person):
    assert len(scored(person=person)) == 24


def test_an_empty_test_split_is_one_clear_error(scored, manifest):
    write_manifest(manifest, test=())
    with pytest.raises(EvaluationError, match="The test split holds no clip"):
        scored()


def metrics(model: float) -> pd.DataFrame:
    rows = [("mae", "mouth", "model", model), ("mae", "mouth", "mean_face", 0.2), ("mae", "all", "model", 9.0)]
    return pd.DataFrame(rows, columns=["metric", "region", "predictor", "value"])


def test_improvement_is_relative_to_the_mean_face():
    assert mouth_improvement(metrics(0.15)) == pytest.approx(0.25)
    assert mouth_improvement(metrics(0.3)) == pytest.approx(-0.5)


@pytest.mark.parametrize(("model", "required", "passes"), [(0.15, 0.2, True), (0.17, 0.2, False), (0.3, None, True)])
def test_a_model_that_falls_short_is_refused_with_both_numbers(tmp_path, model, required, passes):
    metrics(model).to_csv(tmp_path / "m.csv", index=False)
    if passes:
        check_improvement(tmp_path / "m.csv", tmp_path / "check.txt", required=required)
        assert "mean face" in (tmp_path / "check.txt").read_text()
    else:
        with pytest.raises(EvaluationError, match=r"lies 15\.0% below .* asks for 20\.0%"):
            check_improvement(tmp_path / "m.csv", tmp_path / "check.txt", required=required)
