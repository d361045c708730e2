import pandas as pd
import pytest

from emotalk.config.corpus import SplitSettings
from emotalk.data.splits import split_clips, split_names, split_unit

ACTORS = [str(i) for i in range(1, 25)]


def test_named_subjects_are_assigned_to_their_split():
    assigned = split_names(ACTORS, validation=[21, 22], test=["23", 24], seed=1)
    assert [name for name in ACTORS if assigned[name] == "validation"] == ["21", "22"]
    assert [name for name in ACTORS if assigned[name] == "test"] == ["23", "24"]
    assert sum(split == "train" for split in assigned.values()) == 20


def test_a_fraction_selects_that_share_of_subjects_by_seed():
    first = split_names(ACTORS, validation=0.1, test=0.25, seed=1)
    assert sum(split == "validation" for split in first.values()) == 2
    assert sum(split == "test" for split in first.values()) == 6
    assert first == split_names(reversed(ACTORS), validation=0.1, test=0.25, seed=1)
    assert first != split_names(ACTORS, validation=0.1, test=0.25, seed=2)


def test_a_nonzero_fraction_selects_at_least_one_of_three_subjects():
    assert sorted(split_names("abc", validation=0.05, test=0.05, seed=1).values()) == ["test", "train", "validation"]
    assert set(split_names("abc", validation=0.0, test=0, seed=1).values()) == {"train"}
    assert set(split_names("ab", validation=0.5, test=0.5, seed=1).values()) == {"train"}


def test_adding_a_subject_changes_few_assignments():
    before = split_names(ACTORS, validation=0.25, test=0.25, seed=1)
    after = split_names([*ACTORS, "new"], validation=0.25, test=0.25, seed=1)
    assert sum(before[name] != after[name] for name in ACTORS) <= 2


def test_requested_actors_may_have_leading_zeros():
    assigned = split_names(ACTORS, validation=["07", 8], test=["09"], seed=1)
    assert [name for name in ACTORS if assigned[name] != "train"] == ["7", "8", "9"]


def test_subjects_may_have_leading_zeros():
    assigned = split_names(["00", "01", "02", "03"], validation=["02"], test=[3, 0], seed=1)
    assert assigned == {"00": "test", "01": "train", "02": "validation", "03": "test"}


def test_an_exact_match_has_precedence_over_leading_zeros():
    assigned = split_names(["010", "10", "011"], validation=["010"], test=["none"], seed=1)
    assert assigned == {"010": "validation", "10": "train", "011": "train"}


def test_none_holds_nothing_out():
    assert set(split_names(ACTORS, validation="none", test="none", seed=1).values()) == {"train"}


def clips(recordings: dict[str, tuple[str, int]]) -> pd.DataFrame:
    """Table of clips of 300 frames from the subject and number of clips of each recording."""
    rows = [
        (subject, recording, 300 * i, 300 * (i + 1))
        for recording, (subject, count) in recordings.items()
        for i in range(count)
    ]
    return pd.DataFrame(rows, columns=["subject", "recording_id", "start_frame", "stop_frame"])


@pytest.mark.parametrize(
    ("recordings", "settings", "unit"),
    [
        ({"a": ("me", 1), "b": ("you", 1), "c": ("they", 1)}, {}, "subject"),
        ({"a": ("me", 1), "b": ("me", 1), "c": ("you", 1)}, {}, "recording"),
        ({"a": ("me", 9)}, {}, "time"),
        ({"a": ("me", 1), "b": ("you", 1)}, {"test": ["you"]}, "subject"),
        ({"a": ("me", 9)}, {"by": "recording"}, "recording"),
    ],
)
def test_the_unit_of_a_split_depends_on_the_number_of_subjects_and_recordings(recordings, settings, unit):
    assert split_unit(clips(recordings), SplitSettings(**settings)) == unit


def test_one_subject_with_eight_recordings_is_split_by_recording():
    table = clips({f"take{i}": ("me", 2) for i in range(8)})
    split = split_clips(table, SplitSettings(), corpus="Phone", seed=1)
    assert split.value_counts().to_dict() == {"train": 12, "validation": 2, "test": 2}
    assert (split.groupby(table["recording_id"]).nunique() == 1).all()


def test_a_long_recording_is_split_by_time_with_gaps_of_one_clip():
    table = clips({"talk": ("me", 20)}).sample(frac=1, random_state=0)
    split = split_clips(table, SplitSettings(by="time", validation=0.1, test=0.2), corpus="Talk", seed=1)
    ordered = split[table.sort_values("start_frame").index].tolist()
    assert ordered == ["train"] * 12 + [None] + ["validation"] * 2 + [None] + ["test"] * 4


def test_a_recording_too_short_to_split_is_used_for_training():
    split = split_clips(clips({"a": ("me", 4)}), SplitSettings(by="time"), corpus="Talk", seed=1)
    assert set(split) == {"train"}
