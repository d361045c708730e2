import pytest

from emotalk.data.names import Labels, clean_id, pairing_key, parse_hdtf, parse_ravdess


def test_a_ravdess_stem_has_all_labels():
    assert parse_ravdess("01-01-05-02-01-02-24") == Labels("24", "angry", 2, "1", 2)


@pytest.mark.parametrize(
    "stem", ["01-01-09-01-01-01-01", "01-01-01-03-01-01-01", "01-01-01-01-01-01-25", "01-02-01-01-01-01-01", "song", ""]
)
def test_an_invalid_ravdess_stem_is_not_parsed(stem):
    assert parse_ravdess(stem) is None


@pytest.mark.parametrize(
    ("stem", "speaker"),
    [
        ("WDA_EdMarkey0_000", "EdMarkey"),
        ("WRA_LongClip2_000", "LongClip"),
        ("RD_Radio34_000", "Radio34"),
        ("WDA_KatieHill_000", "KatieHill"),
        ("WDA_EdMarkey0_000_part2", "EdMarkey"),
    ],
)
def test_an_hdtf_subject_is_the_name_without_trailing_digit_except_radio_shows(stem, speaker):
    assert parse_hdtf(stem) == Labels(speaker)


def test_pairing_keys_ignore_the_modality_of_ravdess_and_folders():
    assert pairing_key("ravdess", "03-01-05-02-01-02-24") == pairing_key("ravdess", "01-01-05-02-01-02-24")
    assert pairing_key("hdtf", "WDA_A_000") == "WDA_A_000"
    assert pairing_key("generic", "anna/take1") == "take1"


@pytest.mark.parametrize(
    ("key", "recording_id"), [("take 1", "take 1"), ("anna/day2/take", "anna.day2.take"), ("Ünï", "Ünï")]
)
def test_valid_names_become_ids(key, recording_id):
    assert clean_id(key) == (recording_id, None)


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd",
        "-rf",
        "a\nb",
        "a\x00b",
        "back\\slash",
        "x" * 200,
        ".hidden",
        "\udcff",
        "ü" * 100,
        "\u202eabc",
    ],
)
def test_invalid_names_have_a_problem_and_a_safe_id(key):
    recording_id, problem = clean_id(key)
    assert problem is not None
    assert recording_id.isprintable()
    assert "/" not in recording_id
    assert len(recording_id) <= 150
    recording_id.encode()
