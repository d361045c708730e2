import pytest

from emotalk.corpus.names import RecordingName, pairing_key, parse_hdtf, parse_ravdess


def test_a_ravdess_stem_tells_everything():
    assert parse_ravdess("01-01-05-02-01-02-24") == RecordingName("24", "angry", 2, 1, 2)


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
    ],
)
def test_an_hdtf_speaker_is_the_name_without_its_trailing_digit_except_radio_shows(stem, speaker):
    assert parse_hdtf(stem) == RecordingName(speaker)


def test_pairing_ignores_the_modality_of_ravdess_only():
    assert pairing_key("RAVDESS", "03-01-05-02-01-02-24") == pairing_key("RAVDESS", "01-01-05-02-01-02-24")
    assert pairing_key("HDTF", "WDA_A_000") == "WDA_A_000"
