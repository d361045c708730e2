"""Evaluation of a network with a constant prediction, whose metrics are known."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from emotalk.blendshapes import channel_indices
from emotalk.config.prediction import EvaluateSettings
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import MANIFEST_SCHEMA, Manifest
from emotalk.errors import EvaluationError
from emotalk.evaluation.baselines import NearestClip, compute_mean_face, stretch_track
from emotalk.evaluation.clip_scores import Swap, _score_swap
from emotalk.evaluation.evaluate import check_improvement, evaluate, mouth_improvement
from emotalk.model import EmoTalk
from emotalk.model.card import write_card
from emotalk.model.emotion_references import EmotionReferences
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.weights import save_weights
from emotalk.report.names import name_clips
from emotalk.report.shown_clips import select_player_clips
from tests.clips import ClipWriter
from tests.conftest import TINY


@pytest.fixture
def clips(tmp_path):
    """Two training clips with constant values 0.2 (20 frames) and 0.5 (10 frames), two test clips with 0.4 and 0.6."""
    with ClipWriter(tmp_path / "clips.arrow") as writer:
        for name, num_frames, value in (("a", 20, 0.2), ("b", 10, 0.5), ("t0", 30, 0.4), ("t1", 31, 0.6)):
            labels = dict(
                clip_id=name, corpus="C", recording_id=name, start_frame=0, stop_frame=num_frames, is_whole=True
            )
            labels |= dict.fromkeys(("subject", "emotion", "intensity", "statement", "repetition"))
            track = np.full((num_frames, 52), value, np.float32)
            writer.write(labels, np.zeros(num_frames * 1600 // 3, np.int16), track)
    return [tmp_path / "clips.arrow"]


def write_manifest(path, test=("t0", "t1")):
    rows = [("train", 1, "a", 0), ("train", 1, "b", 5)] + [("test", 0, name, 9) for name in test]
    common = dict(kind="self", intensity=0, emotion_e1=-1, emotion_e2=-1, num_frames=10, position=0)
    table = [
        dict(split=split, epoch=epoch, audio_c1e2=clip_id, subject=subject, **common)
        for split, epoch, clip_id, subject in rows
    ]
    pq.write_table(pa.Table.from_pylist(table, schema=MANIFEST_SCHEMA), path)
    return path


@pytest.fixture
def manifest(tmp_path):
    return write_manifest(tmp_path / "manifest.parquet")


@pytest.fixture
def score(clips, manifest, tmp_path):
    """Function that evaluates a network whose prediction is always 0.5."""

    def run(clips=clips, manifest=manifest, **changes):
        network = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))
        torch.nn.init.constant_(network.bs_map_r.bias, 0.5)
        save_weights(network, tmp_path, "emotalk")
        write_card(tmp_path / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}})
        features = network.encode_emotion(torch.randn(16_000))
        EmotionReferences({("happy", "normal"): features}, {("happy", "normal"): "clip"}).save(
            tmp_path / "emotalk.emotions.safetensors"
        )
        out = dict(predictions=tmp_path / "predictions", swapped=tmp_path / "swapped", metrics=tmp_path / "metrics.csv")
        out |= dict(by_name=tmp_path / "by_name")
        out |= dict(by_clip=tmp_path / "clips.parquet", channels=tmp_path / "channels.csv")
        out |= dict(groups=tmp_path / "groups.csv", comparisons=tmp_path / "comparisons.csv")
        settings = EvaluateSettings(bootstrap_draws=100, **changes)
        evaluate(
            tmp_path / "emotalk.json", clips, manifest, **out, settings=settings, seed=1, device=torch.device("cpu")
        )
        return pd.read_csv(tmp_path / "metrics.csv")

    return run


def test_the_mean_face_is_the_mean_over_all_training_frames(clips, manifest):
    np.testing.assert_allclose(
        compute_mean_face(ClipStore(clips), Manifest(manifest)), (20 * 0.2 + 10 * 0.5) / 30, atol=1e-6
    )


def test_the_table_has_the_errors_of_the_model_and_the_baselines(score):
    table = score()
    assert list(table.columns) == ["metric", "region", "predictor", "value", "low", "high", "unit"]
    assert set(table["region"]) == {"all", "mouth", "jaw", "brows", "eyes", "cheeks", "upper"}
    mae = table[(table["metric"] == "mae") & (table["region"] == "mouth")].set_index("predictor")
    expected = {"model": 0.1, "mean_face": 0.2, "still_face": 0.5, "nearest_clip": (0.2 + 0.4) / 2}
    assert mae["value"].to_dict() == pytest.approx(expected, abs=1e-6)
    assert mae.loc["still_face", ["low", "high"]].tolist() == pytest.approx([0.4, 0.6])
    assert (table.loc[table["metric"] == "velocity_error", "value"].abs() < 1e-6).all()


def test_the_values_of_each_clip_are_written_with_the_predicted_subject(score, tmp_path):
    table = score()
    clips = pd.read_parquet(tmp_path / "clips.parquet")
    means = clips.groupby(["metric", "region", "predictor"])["value"].mean()
    for row in table.to_dict("records"):
        assert means[row["metric"], row["region"], row["predictor"]] == pytest.approx(row["value"])
    assert set(clips["predicted_subject"]) == {"mean"}
    assert pd.read_csv(tmp_path / "channels.csv").shape == (52, 3)


def test_a_track_is_stretched_linearly():
    track = np.array([[0.0], [1.0], [4.0]], np.float32)
    np.testing.assert_allclose(stretch_track(track, 5)[:, 0], [0, 0.5, 1, 2.5, 4])
    np.testing.assert_allclose(stretch_track(track, 3), track)


def test_each_prediction_has_all_frames_of_its_clip(score, tmp_path):
    score()
    shapes = {path.stem: np.load(path).shape for path in (tmp_path / "predictions").iterdir()}
    assert shapes == {"t0": (30, 52), "t1": (31, 52)}


@pytest.mark.parametrize("subject", ["mean", "own", 3])
def test_the_subject_can_be_the_mean_the_own_subject_or_an_index(score, subject):
    mae = score(subject=subject).query("metric == 'mae' and predictor == 'model'")
    assert mae["value"].tolist() == pytest.approx([0.1] * 7, abs=1e-6)


def test_an_empty_test_split_gives_empty_tables_and_a_warning(score, manifest, tmp_path, caplog):
    write_manifest(manifest, test=())
    assert score().empty
    assert "the test split has no clips" in caplog.text
    check_improvement(tmp_path / "metrics.csv", tmp_path / "check.txt", required=None)
    with pytest.raises(EvaluationError, match="required_improvement cannot be checked"):
        check_improvement(tmp_path / "metrics.csv", tmp_path / "check.txt", required=0.2)


def metrics(model: float) -> pd.DataFrame:
    rows = [("mae", "mouth", "model", model), ("mae", "mouth", "mean_face", 0.2), ("mae", "all", "model", 9.0)]
    return pd.DataFrame(rows, columns=["metric", "region", "predictor", "value"])


def test_the_improvement_is_relative_to_the_mean_face():
    assert mouth_improvement(metrics(0.15)) == pytest.approx(0.25)
    assert mouth_improvement(metrics(0.3)) == pytest.approx(-0.5)


@pytest.mark.parametrize(("model", "required", "passes"), [(0.15, 0.2, True), (0.17, 0.2, False), (0.3, None, True)])
def test_a_model_below_the_required_improvement_is_an_error_with_both_numbers(tmp_path, model, required, passes):
    metrics(model).to_csv(tmp_path / "m.csv", index=False)
    if passes:
        check_improvement(tmp_path / "m.csv", tmp_path / "check.txt", required=required)
        assert "mean face" in (tmp_path / "check.txt").read_text()
    else:
        with pytest.raises(EvaluationError, match=r"is 15\.0% below .*required_improvement is 20\.0%"):
            check_improvement(tmp_path / "m.csv", tmp_path / "check.txt", required=required)


@pytest.fixture
def paired(tmp_path):
    """Three training clips and three test clips of two sentences, with one emotion swap in the test split."""
    rows = [
        ("train_a", "dogs", "happy", 1, 20, 0.2),
        ("train_b", "kids", "sad", 2, 30, 0.5),
        ("train_c", "dogs", "sad", 1, 21, 0.1),
        ("dogs_sad", "dogs", "sad", 1, 24, 0.4),
        ("kids_happy", "kids", "happy", 1, 30, 0.6),
        ("dogs_happy", "dogs", "happy", 1, 26, 0.8),
    ]
    with ClipWriter(tmp_path / "paired.arrow") as writer:
        for name, statement, emotion, intensity, frames, value in rows:
            labels = dict(clip_id=name, corpus="C", recording_id=name, start_frame=0, stop_frame=frames, is_whole=True)
            labels |= dict(subject="1", statement=statement, emotion=emotion, intensity=intensity, repetition=1)
            writer.write(labels, np.zeros(frames * 1600 // 3, np.int16), np.full((frames, 52), value, np.float32))
    common = dict(intensity=0, num_frames=10, position=0, subject=0)
    table = [
        dict(split="train", epoch=1, kind="self", audio_c1e2=name, emotion_e1=-1, emotion_e2=-1, **common)
        for name in ("train_a", "train_b", "train_c")
    ]
    cross = dict(audio_c1e2="dogs_sad", audio_c2e1="kids_happy", track_c1e1="dogs_happy", emotion_e1=3, emotion_e2=5)
    table.append(dict(split="test", epoch=0, kind="cross", **cross, **common))
    pq.write_table(pa.Table.from_pylist(table, schema=MANIFEST_SCHEMA), tmp_path / "paired.parquet")
    return [tmp_path / "paired.arrow"], tmp_path / "paired.parquet"


def test_the_nearest_clip_has_the_same_sentence_then_the_same_emotion(paired):
    nearest = NearestClip(ClipStore(paired[0]), Manifest(paired[1]))
    assert nearest("dogs_sad", 7).shape == (7, 52)
    for clip_id, face in (("dogs_sad", 0.1), ("dogs_happy", 0.2), ("kids_happy", 0.5)):
        np.testing.assert_allclose(nearest(clip_id, 5), face, atol=1e-6)


def test_a_swap_is_compared_with_the_clip_that_has_the_content_and_the_other_emotion(paired, score, tmp_path):
    rows = score(clips=paired[0], manifest=paired[1]).set_index(["metric", "region", "predictor"])["value"]
    # The prediction is always 0.5, dogs_happy is 0.8, and the training mean is (20*.2 + 30*.5 + 21*.1) / 71.
    assert rows["cross_mae", "mouth", "model"] == pytest.approx(0.3, abs=1e-6)
    assert rows["cross_mae", "mouth", "own_emotion"] == pytest.approx(0.3, abs=1e-6)
    assert rows["cross_mae", "mouth", "mean_face"] == pytest.approx(0.8 - 21.1 / 71, abs=1e-6)
    # The nearest training clip to dogs_happy is train_a with value 0.2.
    assert rows["cross_mae", "mouth", "nearest_clip"] == pytest.approx(0.6, abs=1e-6)
    assert rows["emotion_shift", "upper", "model"] == pytest.approx(0, abs=1e-6)
    assert rows["emotion_shift", "upper", "by_name"] == pytest.approx(0, abs=1e-6)
    assert rows["cross_mae", "mouth", "by_name"] == rows["cross_mae", "mouth", "model"]
    assert rows["emotion_accuracy", "all", "most_frequent"] == 1
    assert np.load(tmp_path / "swapped/dogs_sad.npy").shape == (26, 52)
    assert np.load(tmp_path / "by_name/dogs_sad.npy").shape == (26, 52)


def test_player_clips_have_the_predictions_with_both_emotions(paired, score, tmp_path):
    score(clips=paired[0], manifest=paired[1])
    by_clip = pd.read_parquet(tmp_path / "clips.parquet")
    folders = dict(predictions=tmp_path / "predictions", swapped=tmp_path / "swapped")
    store = ClipStore(paired[0])
    names = name_clips(store.metadata().to_pandas().set_index("clip_id"))
    (clip,) = select_player_clips(by_clip, store, Manifest(paired[1]), names, **folders)
    assert clip.label == "C speaker 1 · sad · sentence dogs · take 1 · dogs_sad · best"
    assert "emotion of another clip: C speaker 1 · happy · sentence kids" in clip.note
    num_frames = {name: len(track) for name, track in clip.tracks.items()}
    assert num_frames == {"captured": 24, "model": 24, "model, happy": 26}


def test_half_of_the_captured_change_is_an_emotion_shift_of_one_half():
    face, change = np.linspace(0, 1, 52), np.zeros(52)
    change[channel_indices(["browInnerUp"])] = 0.4
    motion = 0.1 * np.sin(np.arange(20))[:, None] * np.ones(52)
    true = np.zeros((20, 52))
    swap = Swap(own=face + motion, swapped=face + change / 2 + motion, true=true, target=true + change)
    rows = {(row.metric, row.region): row.value for row in _score_swap("clip", "model", swap)}
    assert rows["emotion_shift", "upper"] == pytest.approx(0.5)
    assert rows["motion_kept", "mouth"] == pytest.approx(1)
