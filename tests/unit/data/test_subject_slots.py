"""Subject slots of the training speakers."""

import pandas as pd
import pytest

from emotalk.config.corpus import PairSettings
from emotalk.data.subject_slots import assign_slots
from emotalk.errors import CorpusError


def table(*rows):
    """Clips of (corpus, subject, intensity, split); those of RAVDESS have its file names."""
    clips = pd.DataFrame(rows, columns=["corpus", "subject", "intensity", "split"])
    names = [f"01-01-03-01-01-01-{int(row[1]):02}" if row[0] == "RAVDESS" else f"take{i}" for i, row in enumerate(rows)]
    return clips.assign(recording_id=names)


def test_actors_have_the_slot_of_their_number_and_other_training_speakers_a_free_one():
    clips = table(
        ("RAVDESS", "1", 1, "train"),
        ("RAVDESS", "3", 2, "train"),
        ("RAVDESS", "2", 1, "test"),
        ("mine", "ben", None, "train"),
        ("mine", "anna", None, "train"),
        ("mine", "anna", None, "train"),
    )
    slots, names = assign_slots(clips, PairSettings(), 24)
    assert slots.tolist() == [0, 2, 1, 3, 1, 1]  # Slot 1 is free in training, because actor 2 is held out.
    assert names == {"RAVDESS/1": 0, "RAVDESS/3": 2, "mine/anna": 1, "mine/ben": 3}


def test_shared_corpora_unknown_and_held_out_speakers_have_the_unlabelled_slot():
    clips = table(
        ("HDTF", "A", None, "train"),
        ("HDTF", "B", None, "train"),
        ("mine", None, None, "train"),
        ("mine", "unknown", None, "train"),
        ("mine", "anna", None, "train"),
        ("mine", "ben", None, "test"),
    )
    slots, names = assign_slots(clips, PairSettings(unlabelled_subject=0), 24)
    assert slots.tolist() == [0, 0, 0, 0, 1, 0]
    assert names == {"mine/anna": 1}


def test_more_speakers_than_slots_are_an_error_with_the_setting_that_shares_them():
    clips = table(*(("mine", f"s{i:02}", None, "train") for i in range(25)))
    message = r"25 speakers need .* 24 of the network's 24 .*pair\.shared_slot_corpora to \[HDTF, mine\]"
    with pytest.raises(CorpusError, match=message):
        assign_slots(clips, PairSettings(), 24)
    slots, names = assign_slots(clips, PairSettings(shared_slot_corpora=["mine"]), 24)
    assert set(slots) == {0}
    assert names == {}


@pytest.mark.parametrize(
    ("speakers", "advice"),
    [
        (130, r"leave out speakers\.$"),
        (
            128,
            r"set model\.num_subject_slots to 128; the released EmoTalk code cannot load .* more than 24 slots\.",
        ),
    ],
)
def test_a_larger_slot_table_is_advised_as_far_as_the_manifest_can_store_the_index(speakers, advice):
    clips = table(*(("mine", f"s{i:03}", None, "train") for i in range(speakers)))
    with pytest.raises(CorpusError, match=advice) as error:
        assign_slots(clips, PairSettings(), 24)
    assert ("model.num_subject_slots" in str(error.value)) == (speakers <= 128)


def test_each_speaker_has_a_slot_of_its_own_in_a_larger_table():
    clips = table(*(("mine", f"s{i:03}", None, "train") for i in range(128)))
    slots, names = assign_slots(clips, PairSettings(), 128)
    assert slots.tolist() == list(range(128))
    assert names["mine/s127"] == 127


def test_only_recordings_with_names_of_ravdess_have_the_slot_of_an_actor():
    clips = table(("RAVDESS", "1", 1, "train"), ("mine", "1", 1, "train"), ("shared", "3", 2, "train"))
    slots, names = assign_slots(clips, PairSettings(shared_slot_corpora=["shared"], unlabelled_subject=5), 24)
    assert slots.tolist() == [0, 1, 5]
    assert names == {"RAVDESS/1": 0, "mine/1": 1}


def test_actors_of_a_corpus_with_a_shared_slot_share_it():
    clips = table(("RAVDESS", "2", 1, "train"), ("RAVDESS", "3", 1, "train"))
    slots, names = assign_slots(clips, PairSettings(shared_slot_corpora=["RAVDESS"]), 24)
    assert slots.tolist() == [0, 0]
    assert names == {}
