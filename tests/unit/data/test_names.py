import pytest

from emotalk.data.names import RecordingName, clean_id, pairing_key, parse_hdtf, parse_ravdess


def test_a_ravdess_stem_tells_everything():
    assert parse_ravdess("01-01-05-02-01-02-24") == RecordingName("24", "angry", 2, "1", 2)


@pytest.mark.parametrize(
    "stem", ["01-01-09-01-01-01-01", "01-01-01-03-01-01-01", "01-01-01-01-01-01-25", "01-02-01-01-01-01-01", "song", ""]
)
def test_a_stem_out_of_range_is_no_ravdess_name(stem):
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
def test_an_hdtf_speaker_is_the_name_without_its_trailing_digit_except_radio_shows(stem, speaker):
    assert parse_hdtf(stem) == RecordingName(speaker)


def test_pairing_ignores_the_modality_of_ravdess_only_and_folders_elsewhere():
    assert pairing_key("ravdess", "03-01-05-02-01-02-24") == pairing_key("ravdess", "01-01-05-02-01-02-24")
    assert pairing_key("hdtf", "WDA_A_000") == "WDA_A_000"
    assert pairing_key("generic", "anna/take1") == "take1"


@pytest.mark.parametrize(
    ("key", "recording_id"), [("take 1", "take 1"), ("anna/day2/take", "anna.day2.take"), ("Ünï", "Ünï")]
)
def test_names_that_files_and_tables_can_hold_are_ids(key, recording_id):
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
def test_other_names_are_refused_and_their_ids_are_harmless(key):
    recording_id, said = clean_id(key)
    assert said is not None
    assert recording_id.isprintable()
    assert "/" not in recording_id
    assert len(recording_id) <= 150
    recording_id.encode()
