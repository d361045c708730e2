"""Pairing: selects the clips of each training example, redrawn for each epoch.

There are two strategies: the pseudo-pairs of the paper and the random pairs of the training report (docs/method.md,
sections "Losses" and "Data"). All data is columnar: a clip is represented by its row number in the table of clips.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

NO_CLIP = -1


@dataclass(frozen=True)
class Examples:
    """Examples of one epoch in training order; each array has one entry per example.

    Attributes
    ----------
    kind : (E,) str
        `cross` (a pseudo-pair: cross, self, velocity and classification terms), `self` (a single clip: self and
        velocity terms) or `random` (two unrelated clips, each with its own motion).
    audio_c1e2, audio_c2e1, track_c1e1, track_c2e2 : (E,) int
        Row numbers of the clips: `audio_c1e2` has content c1 and emotion e2, and so on. `NO_CLIP` where the kind does
        not use the clip. The target of the self term, `track_c1e2`, is the track of the clip `audio_c1e2`.
    """

    kind: np.ndarray
    audio_c1e2: np.ndarray
    audio_c2e1: np.ndarray
    track_c1e1: np.ndarray
    track_c2e2: np.ndarray


class PseudoPairSampler:
    """Pseudo-pairs of the paper: one subject, one intensity, two sentences (c1, c2) and two emotions (e1, e2).

    The recordings of one subject and one intensity form a grid of (sentence, emotion) cells; repetitions share a cell.
    A pair is two cells that differ in sentence and emotion, provided that the other two corners of the rectangle also
    exist. Only uncut recordings can be paired, because the parts of a cut recording have different content.

    Parameters
    ----------
    clips
        Table of clips: columns `corpus, subject, intensity, statement, emotion, is_whole`.
    members : (M,) int
        Rows used in an epoch, both as first clips and as partners.

    Source
    ------
    Paper, section 3.1 and equation 2; docs/method.md, section "Losses".
    """

    def __init__(self, clips: pd.DataFrame, members: np.ndarray) -> None:
        self._members = members
        cell_columns = ["corpus", "subject", "intensity", "statement", "emotion"]
        chosen = clips.loc[members, [*cell_columns, "is_whole"]]
        labelled = chosen[chosen["is_whole"] & chosen[cell_columns].notna().all(axis=1)]
        cell_of = labelled.groupby(cell_columns, observed=True).ngroup()
        self._cell = np.full(len(clips), NO_CLIP)
        self._cell[labelled.index] = cell_of
        self._grouped = labelled.index.to_numpy()[np.argsort(cell_of.to_numpy(), kind="stable")]
        self._cell_size, self._cell_start = _blocks(cell_of.to_numpy())
        self._rectangles = _Rectangles(labelled[cell_columns].assign(cell=cell_of).drop_duplicates("cell"))

    @property
    def num_combinations(self) -> int:
        """Number of ordered combinations (subject, intensity, c1, c2, e1, e2) with all four clips."""
        return int(self._rectangles.count.sum())

    def draw(self, rng: np.random.Generator) -> Examples:
        """Draw one epoch: every member once as `audio_c1e2`, in random order, with random partners if there are any."""
        audio_c1e2 = rng.permutation(self._members)
        cell = self._cell[audio_c1e2]
        choices = np.append(self._rectangles.count, 0)[cell]  # NO_CLIP is -1 and indexes the appended 0.
        is_paired = choices > 0
        corners = self._rectangles.corners(cell[is_paired], rng.integers(choices[is_paired]))
        partners = []
        for cells in corners:
            clips = np.full(len(audio_c1e2), NO_CLIP)
            clips[is_paired] = self._grouped[self._cell_start[cells] + rng.integers(self._cell_size[cells])]
            partners.append(clips)
        return Examples(np.where(is_paired, "cross", "self"), audio_c1e2, *partners)


class _Rectangles:
    """All pairs of cells that form a pseudo-pair, by number; listing them would take memory quadratic in the cells.

    A rectangle is two sentences with the same two emotions: two *couples* (sentence, e1, e2) with equal e1 and e2. Only
    the couples are listed, at most one per cell and emotion.

    Parameters
    ----------
    cells
        One row per cell, with its number in column `cell`.
    """

    def __init__(self, cells: pd.DataFrame) -> None:
        speaker, sentence = ["corpus", "subject", "intensity"], ["corpus", "subject", "intensity", "statement"]
        coded = cells[["cell"]].assign(
            speaker=cells.groupby(speaker, observed=True).ngroup(),
            sentence=cells.groupby(sentence, observed=True).ngroup(),
            emotion=cells.groupby("emotion", observed=True).ngroup(),
        )
        couples = coded.merge(coded.drop(columns="speaker"), on="sentence", suffixes=("_e2", "_e1"))
        couples = couples[couples["emotion_e1"] != couples["emotion_e2"]].sort_values(["cell_e2", "cell_e1"])
        block = couples.groupby(["speaker", "emotion_e2", "emotion_e1"]).ngroup().to_numpy()
        self._cell_e1, self._cell_e2 = couples["cell_e1"].to_numpy(), couples["cell_e2"].to_numpy()
        self._in_blocks = np.argsort(block, kind="stable")
        size, start = _blocks(block)
        self._start = start[block]
        self._rank = np.empty(len(block), int)
        self._rank[self._in_blocks] = np.arange(len(block)) - self._start[self._in_blocks]
        self._ends = np.cumsum(size[block] - 1)
        """Cumulative number of rectangles, up to and including each couple."""
        self._starts_of_rectangles = self._ends - (size[block] - 1)
        self.count = np.bincount(self._cell_e2, weights=size[block] - 1, minlength=len(cells)).astype(int)
        """Number of rectangles that have each cell as (c1, e2)."""
        self._first = np.cumsum(self.count) - self.count

    def corners(self, cell: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cells (c2,e1), (c1,e1), (c2,e2) of rectangle `number` among the rectangles of each cell (c1,e2)."""
        rectangle = self._first[cell] + number
        couple = np.searchsorted(self._ends, rectangle, side="right")
        rank = rectangle - self._starts_of_rectangles[couple]
        rank += rank >= self._rank[couple]
        other = self._in_blocks[self._start[couple] + rank]
        return self._cell_e1[other], self._cell_e1[couple], self._cell_e2[other]


def _blocks(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count of each label 0, 1, …, and start of its block in the sorted labels."""
    size = np.bincount(labels)
    return size, np.cumsum(size) - size


class RandomPairSampler:
    """Random pairs of the training report: two different clips A and B, each with its own motion.

    In the notation of the paper, A is `audio_c1e2` with target `track_c1e1`, and B is `audio_c2e1` with target
    `track_c2e2`. An epoch has half as many pairs as clips and uses each clip at most once.
    """

    def __init__(self, members: np.ndarray) -> None:
        self._members = members

    def draw(self, rng: np.random.Generator) -> Examples:
        """Draw the random pairs of one epoch."""
        num_pairs = len(self._members) // 2
        first, second = rng.permutation(self._members)[: 2 * num_pairs].reshape(2, num_pairs)
        return Examples(np.full(num_pairs, "random"), first, second, first, second)


Sampler = PseudoPairSampler | RandomPairSampler
