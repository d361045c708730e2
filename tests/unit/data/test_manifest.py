import numpy as np
import pyarrow.parquet as pq
import pytest

from emotalk.config.corpus import PairSettings, SplitSettings
from emotalk.data.manifest import MANIFEST_SCHEMA, Manifest, write_manifest
from emotalk.emotions import EMOTIONS, RAVDESS_EMOTIONS
from emotalk.errors import CorpusError
from tests.clips import ClipWriter

SPLIT = {"RAVDESS": {"validation": [2], "test": [3]}, "HDTF": {"validation": 0.0, "test": 0.0}}


@pytest.fixture
def clips(tmp_path):
    """Three actors with all emotions and statements, and two clips of HDTF, 30 frames each."""
    path = tmp_path / "clips.arrow"
    with ClipWriter(path) as writer:

        def write(clip_id, corpus, **labels):
            unknown = dict.fromkeys(("emotion", "intensity", "statement", "repetition"))
            common = dict(
                clip_id=clip_id, corpus=corpus, recording_id=clip_id, start_frame=0, stop_frame=30, is_whole=True
            )
            writer.write(common | unknown | labels, np.zeros(16_000, np.int16), np.zeros((30, 52), np.float32))

        for actor in (1, 2, 3):
            for emotion in RAVDESS_EMOTIONS:
                for intensity in (1, 2) if emotion != "neutral" else (1,):
                    for statement in (1, 2):
                        name = f"{emotion}-{intensity}-{statement}-{actor}"
                        write(
                            name,
                            "RAVDESS",
                            subject=str(actor),
                            emotion=emotion,
                            intensity=intensity,
                            statement=str(statement),
                        )
        write("head1", "HDTF", subject="A")
        write("head2", "HDTF", subject="7")
    return [path]


@pytest.fixture
def manifest(clips, tmp_path):
    def make(**changes):
        options = {"epochs": 3, "seed": 1, "split": SPLIT}
        options |= {name: changes.pop(name) for name in list(changes) if name in options}
        split = {corpus: SplitSettings(**settings) for corpus, settings in options.pop("split").items()}
        write_manifest(clips, tmp_path / "m", settings=PairSettings(**changes), split=split, **options)
        table = pq.read_table(tmp_path / "m")
        assert table.schema.equals(MANIFEST_SCHEMA)
        return table.to_pandas()

    return make


def test_an_epoch_of_pseudo_pairs_uses_every_training_clip_once(manifest):
    table = manifest()
    train = table[table["split"] == "train"]
    assert set(train["epoch"]) == {1, 2, 3}
    for _, epoch in train.groupby("epoch"):
        assert epoch["audio_c1e2"].is_unique
        assert len(epoch) == 30 + 2
        assert epoch["position"].tolist() == list(range(32))
        assert set(epoch.loc[epoch["kind"] == "self", "audio_c1e2"]) == {"head1", "head2"}


def test_splits_share_no_subject(manifest):
    table = manifest()
    parts = ["audio_c1e2", "audio_c2e1", "track_c1e1", "track_c2e2"]
    for split, actor in (("validation", "2"), ("test", "3")):
        for part in parts:
            assert set(table.loc[table["split"] == split, part].str[-1]) == {actor}
    assert len(table[table["split"] == "test"]) == 30


def test_indices_follow_the_labels(manifest):
    table = manifest(unlabelled_intensity=1, unlabelled_subject=9)
    cross = table[table["kind"] == "cross"]
    assert (cross["subject"] == cross["audio_c1e2"].str[-1].astype(int) - 1).all()
    assert (cross["intensity"] == cross["audio_c1e2"].str.split("-").str[1].astype(int) - 1).all()
    classes = dict(zip(RAVDESS_EMOTIONS, (4, 4, 3, 5, 0, 2, 1, 6), strict=True))
    assert (cross["emotion_e2"] == cross["audio_c1e2"].str.split("-").str[0].map(classes)).all()
    assert (cross["emotion_e1"] == cross["audio_c2e1"].str.split("-").str[0].map(classes)).all()
    self_examples = table[table["kind"] == "self"]
    labels = self_examples[["subject", "intensity", "emotion_e1", "emotion_e2"]]
    assert set(labels.itertuples(index=False, name=None)) == {(9, 1, -1, -1)}


def test_calm_can_be_unlabelled(manifest):
    table = manifest(calm="ignored")
    calm = table["audio_c1e2"].str.startswith("calm")
    assert set(table.loc[calm, "emotion_e2"]) == {-1}
    assert EMOTIONS.index("neutral") in set(table.loc[~calm, "emotion_e2"])


def test_more_epochs_do_not_change_earlier_rows(manifest):
    three, five = manifest(epochs=3), manifest(epochs=5)
    assert five.iloc[: len(three)].equals(three)
    assert len(five) > len(three)


def test_the_manifest_depends_only_on_the_seed(manifest):
    assert manifest().equals(manifest())
    assert not manifest().equals(manifest(seed=2))


def test_num_frames_is_the_total_length_of_all_reconstructions(manifest):
    table = manifest()
    assert set(table.loc[table["kind"] == "cross", "num_frames"]) == {90}
    assert set(table.loc[table["kind"] == "self", "num_frames"]) == {30}


def test_random_pairs_are_half_as_many_as_clips_and_have_intensity_1_and_subject_0(manifest):
    table = manifest(strategy="random")
    train = table[table["split"] == "train"]
    assert set(train.groupby("epoch").size()) == {32 // 2}
    assert set(train["kind"]) == {"random"}
    assert (train["track_c1e1"] == train["audio_c1e2"]).all()
    assert (train["track_c2e2"] == train["audio_c2e1"]).all()
    assert set(zip(table["intensity"], table["subject"], strict=True)) == {(1, 0)}


@pytest.mark.parametrize("strategy", ["pseudo", "random"])
def test_the_test_split_has_every_clip_once_with_any_strategy(manifest, strategy):
    table = manifest(strategy=strategy)
    test = table[table["split"] == "test"]
    assert test["audio_c1e2"].is_unique
    assert len(test) == 30


def test_no_training_clip_is_an_error(manifest):
    split = {"RAVDESS": {"validation": [1], "test": [2, 3]}, "HDTF": {"validation": ["A"], "test": [7]}}
    with pytest.raises(CorpusError, match="There are no training clips"):
        manifest(split=split)


def test_a_missing_test_split_is_a_warning(manifest, tmp_path):
    split = {"RAVDESS": {"validation": [2], "test": "none"}, "HDTF": {"validation": "none", "test": "none"}}
    table = manifest(split=split)
    assert set(table["split"]) == {"train", "validation"}
    notes = Manifest(tmp_path / "m").notes
    assert notes["held_out"]["RAVDESS"] == {"by": "subject", "validation": ["2"], "test": []}
    assert "There is no test split: the model cannot be evaluated." in notes["warnings"][0]


@pytest.mark.parametrize("name", ["A0", "a"])
def test_an_unknown_held_out_subject_is_an_error_that_lists_the_available_ones(manifest, name):
    with pytest.raises(CorpusError, match=rf"split\.HDTF\.validation has {name}, .* Available: 7, A\."):
        manifest(split={**SPLIT, "HDTF": {"validation": [name], "test": 0}})


def test_a_split_by_recording_is_a_warning(manifest, tmp_path):
    manifest(split={**SPLIT, "HDTF": {"by": "recording", "validation": "none", "test": ["head1"]}})
    notes = Manifest(tmp_path / "m").notes
    assert notes["held_out"]["HDTF"] == {"by": "recording", "validation": [], "test": ["head1"]}
    assert any(
        "HDTF is split by recording, so training and held-out splits have the same speakers" in warning
        for warning in notes["warnings"]
    )


def test_missing_pseudo_pairs_are_a_warning(manifest, tmp_path):
    manifest(split={"RAVDESS": {"validation": "none", "test": [1, 2, 3]}, "HDTF": {"test": 0, "validation": 0}})
    assert any("There are no pseudo-pairs" in warning for warning in Manifest(tmp_path / "m").notes["warnings"])
    assert any("fewer training clips (2)" in warning for warning in Manifest(tmp_path / "m").notes["warnings"])
