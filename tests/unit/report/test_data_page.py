"""The page about the data for few, many and unusual recordings."""

import numpy as np
import pandas as pd
import pytest

from emotalk.blendshapes import channel_indices
from emotalk.report.conspicuous import find_conspicuous
from emotalk.report.data_verdict import describe_data
from tests.browser import LOW_CONTRAST, OVERFLOW, needs_browser, run_in_page
from tests.unit.report.conftest import speech

COUNT = "return [...document.querySelectorAll('[data-clip]')].length;"


def ravdess(subjects, emotions=(3, 4), statements=(1, 2)):
    return {f"01-01-0{e}-01-0{s}-01-{n:02d}": None for n in subjects for e in emotions for s in statements}


@needs_browser
def test_names_in_chinese_and_names_with_html_are_shown_as_they_are(make_data):
    page = make_data({"小明_高兴": None, "小红<b>_生气": None, "a&b": None}).page
    assert "<b>_" not in page.read_text()
    text = run_in_page(page, "return document.querySelector('#recordings').textContent;")
    for name in ("小明_高兴", "小红<b>_生气", "a&b"):
        assert name in text
    fits, wide = run_in_page(page, OVERFLOW, size=(360, 800))
    assert (fits, wide) == (True, [])
    assert run_in_page(page, LOW_CONTRAST, is_dark=True) == []


@needs_browser
def test_many_recordings_fit_into_5_megabytes(make_data):
    tracks = {f"{number:04d}": None for number in range(200)}
    page = make_data(tracks).page
    assert page.stat().st_size < 5e6
    assert 5 <= run_in_page(page, COUNT) <= 25
    assert run_in_page(page, OVERFLOW, size=(360, 800))[0]


def test_one_recording_is_enough_for_a_page(make_data):
    page = make_data({"only": None}).page
    assert "1 of 1 recordings are usable: 0.0 minutes, speakers: 1." in page.read_text()


def test_the_worst_recordings_come_first(make_data):
    _, smooth = speech(60, 1)
    noise = np.random.default_rng(0).standard_normal(smooth.shape).astype(np.float32)
    trembling = (smooth + 0.3 * noise).clip(0, 1)
    beyond = smooth.copy()
    beyond[20, channel_indices(["jawOpen"])] = 1.2
    late = np.roll(speech(300, 3)[1], 6, axis=0)
    data = make_data({"fine": None, "trembling": trembling, "beyond": beyond, "late": late}, smooth={"enabled": False})
    findings = find_conspicuous(pd.read_parquet(data.recordings), data.tracks, 0.3)
    first = {finding.kind: finding for finding in reversed(findings)}
    assert first["jitter"].key == ("C", "trembling")
    assert first["range"].key == ("C", "beyond")
    assert first["range"].text == "jawOpen is 0.20 outside of 0 to 1"
    assert first["offset"].key == ("C", "late")
    assert "frames late" in first["offset"].text


def test_pseudo_pairs_are_counted_by_the_emotion_words_of_ravdess_with_calm(make_data):
    data = make_data(ravdess((1, 2, 21, 22, 23, 24), emotions=(2, 8)), corpus="RAVDESS")
    text = data.page.read_text()
    assert '<th scope="col">calm</th>' in text
    assert '<th scope="row">surprised</th>' in text
    assert "surprise<" not in text


@pytest.mark.parametrize(
    ("offset", "confidence", "expected"),
    [(0.5, 0.9, None), (4.0, 0.9, "4.0 frames late"), (-3.0, 0.9, "3.0 frames early"), (4.0, 0.1, "is unknown")],
)
def test_an_offset_of_a_corpus_is_named_if_it_is_certain(offset, confidence, expected):
    counts = [{"found": 3, "usable": 3, "excluded": 0, "minutes": 1.0, "subjects": 1}]
    offsets = {"C": {"offset": offset, "confidence": confidence}}
    statements, concerns = describe_data(counts, [], offsets, [], jitter=(2.0, 1.0), min_confidence=0.3)
    assert "Smoothing removes 50 % of the jitter." in statements
    assert (concerns == []) == (expected is None)
    assert expected is None or expected in concerns[0]
