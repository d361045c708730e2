import numpy as np
import pandas as pd
import pytest

from emotalk.data.pairing import NO_CLIP, PseudoPairSampler, RandomPairSampler
from emotalk.emotions import RAVDESS_EMOTIONS


def ravdess(actors=24, repetitions=2) -> pd.DataFrame:
    """Table of all clips of RAVDESS: 60 clips per actor."""
    rows = [
        (str(actor), intensity, statement, emotion, True)
        for actor in range(1, actors + 1)
        for emotion in RAVDESS_EMOTIONS
        for intensity in (1, 2)
        for statement in (1, 2)
        for _ in range(repetitions)
        if (emotion, intensity) != ("neutral", 2)
    ]
    return pd.DataFrame(rows, columns=["subject", "intensity", "statement", "emotion", "is_whole"]).assign(corpus="R")


def draw(clips, seed=0, members=None):
    return PseudoPairSampler(clips, np.arange(len(clips)) if members is None else members).draw(
        np.random.default_rng(seed)
    )


def test_ravdess_has_4704_combinations():
    clips = ravdess()
    assert len(clips) == 1440
    assert PseudoPairSampler(clips, np.arange(1440)).num_combinations == 4704


def test_clips_of_a_pair_have_matching_labels():
    clips, pairs = ravdess(), draw(ravdess())
    assert (pairs.kind == "cross").all()
    c1e2, c2e1, c1e1, c2e2 = (
        clips.loc[rows].reset_index(drop=True)
        for rows in (pairs.audio_c1e2, pairs.audio_c2e1, pairs.track_c1e1, pairs.track_c2e2)
    )
    for other in (c2e1, c1e1, c2e2):
        assert (other["subject"] == c1e2["subject"]).all()
        assert (other["intensity"] == c1e2["intensity"]).all()
    assert (c1e2["emotion"] != c2e1["emotion"]).all()
    assert (c1e2["statement"] != c2e1["statement"]).all()
    assert (c1e1["statement"] == c1e2["statement"]).all()
    assert (c1e1["emotion"] == c2e1["emotion"]).all()
    assert (c2e2["statement"] == c2e1["statement"]).all()
    assert (c2e2["emotion"] == c1e2["emotion"]).all()


def test_an_epoch_uses_every_clip_once_with_new_partners():
    clips = ravdess(actors=3)
    first, second = draw(clips, 0), draw(clips, 1)
    assert sorted(first.audio_c1e2) == sorted(second.audio_c1e2) == list(range(len(clips)))
    partners = [dict(zip(pairs.audio_c1e2, pairs.audio_c2e1, strict=True)) for pairs in (first, second)]
    assert sum(partners[0][i] != partners[1][i] for i in range(len(clips))) > len(clips) / 2


def test_repetitions_and_partners_are_drawn_uniformly():
    clips = ravdess(actors=1)
    pairs = PseudoPairSampler(clips, np.arange(len(clips)))
    drawn = np.concatenate([pairs.draw(np.random.default_rng(seed)).audio_c2e1 for seed in range(300)])
    counts = np.bincount(drawn, minlength=len(clips))
    assert counts.min() > 0.7 * counts.mean()
    assert counts.max() < 1.3 * counts.mean()


def test_partners_come_from_the_members_only():
    clips = ravdess(actors=2)
    members = np.flatnonzero(clips["subject"] == "2")
    pairs = draw(clips, members=members)
    for part in (pairs.audio_c1e2, pairs.audio_c2e1, pairs.track_c1e1, pairs.track_c2e2):
        assert np.isin(part, members).all()


def test_a_clip_without_partner_is_a_self_example():
    clips = ravdess(actors=1, repetitions=1)
    clips.loc[len(clips)] = ["EdMarkey", None, None, None, True, "H"]
    clips.loc[len(clips)] = ["1", 1, 1, "happy", False, "R"]
    pairs = draw(clips)
    is_self = pairs.kind == "self"
    assert sorted(pairs.audio_c1e2[is_self]) == [len(clips) - 2, len(clips) - 1]
    assert (pairs.audio_c2e1[is_self] == NO_CLIP).all()
    assert len(clips) - 1 not in pairs.audio_c2e1


def test_one_statement_or_one_emotion_gives_no_pair():
    clips = ravdess(actors=1)
    for selected in (clips["statement"] == 1, clips["emotion"] == "sad"):
        assert (draw(clips[selected].reset_index(drop=True)).kind == "self").all()


def test_a_missing_corner_gives_no_pair():
    clips = pd.DataFrame(
        [("1", 1, 1, "sad", True), ("1", 1, 2, "happy", True), ("1", 1, 1, "happy", True)],
        columns=["subject", "intensity", "statement", "emotion", "is_whole"],
    ).assign(corpus="R")
    assert (draw(clips).kind == "self").all()


def listed_squares(clips) -> set[tuple[int, int, int, int]]:
    """All (c1e2, c2e1, c1e1, c2e2) by exhaustive search."""
    cells = {tuple(row): i for i, row in enumerate(clips[["intensity", "statement", "emotion"]].to_numpy())}
    return {
        (first, second, cells[intensity, c1, e1], cells[intensity, c2, e2])
        for (intensity, c1, e2), first in cells.items()
        for (other_intensity, c2, e1), second in cells.items()
        if intensity == other_intensity
        and c1 != c2
        and e1 != e2
        and (intensity, c1, e1) in cells
        and (intensity, c2, e2) in cells
    }


def test_all_squares_of_an_incomplete_grid_are_drawn_uniformly():
    rng = np.random.default_rng(0)
    clips = pd.DataFrame(
        [
            ("1", intensity, c, e, True, "R")
            for intensity in (1, 2)
            for c in range(6)
            for e in "abcd"
            if rng.random() < 0.7
        ],
        columns=["subject", "intensity", "statement", "emotion", "is_whole", "corpus"],
    )
    expected = listed_squares(clips)
    pairs = PseudoPairSampler(clips, np.arange(len(clips)))
    assert pairs.num_combinations == len(expected)
    drawn = [pairs.draw(np.random.default_rng(seed)) for seed in range(2000)]
    parts = ("audio_c1e2", "audio_c2e1", "track_c1e1", "track_c2e2")
    rows = np.concatenate(
        [np.stack([getattr(examples, part) for part in parts], 1)[examples.kind == "cross"] for examples in drawn]
    )
    squares, counts = np.unique(rows, axis=0, return_counts=True)
    assert set(map(tuple, squares.tolist())) == expected
    counts_by_clip = pd.Series(counts).groupby(squares[:, 0])
    assert (counts_by_clip.max() / counts_by_clip.mean()).max() < 1.35


def test_many_sentences_are_paired_without_listing_the_squares():
    """3,000 sentences with 7 emotions give 378 million pairs."""
    statements, emotions = np.meshgrid(np.arange(3000), list("abcdefg"))
    clips = pd.DataFrame({"statement": statements.ravel(), "emotion": emotions.ravel()}).assign(
        corpus="A", subject="1", intensity=1, is_whole=True
    )
    pairs = PseudoPairSampler(clips, np.arange(len(clips)))
    assert pairs.num_combinations == 3000 * 2999 * 7 * 6
    assert (pairs.draw(np.random.default_rng(0)).kind == "cross").all()


def test_equal_subject_names_in_two_corpora_are_different_subjects():
    clips = pd.DataFrame(
        [("1", 1, 1, "sad", "A"), ("1", 1, 2, "happy", "A"), ("1", 1, 1, "happy", "B"), ("1", 1, 2, "sad", "B")],
        columns=["subject", "intensity", "statement", "emotion", "corpus"],
    ).assign(is_whole=True)
    assert (draw(clips).kind == "self").all()


@pytest.mark.parametrize("num_clips", [2, 7, 100])
def test_random_pairs_have_different_clips_with_their_own_motion(num_clips):
    pairs = RandomPairSampler(np.arange(num_clips)).draw(np.random.default_rng(0))
    assert len(pairs.kind) == num_clips // 2
    used = np.concatenate([pairs.audio_c1e2, pairs.audio_c2e1])
    assert len(set(used)) == len(used)
    assert (pairs.track_c1e1 == pairs.audio_c1e2).all()
    assert (pairs.track_c2e2 == pairs.audio_c2e1).all()
