"""Pairing: which clips make a training example, drawn anew for each epoch.

The two recipes are the paper's pseudo-pairs and the training report's random pairs (docs/method.md).
Everything is columnar: a clip is its row number in the table of clips.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

NO_CLIP = -1


@dataclass(frozen=True)
class Examples:
    """Examples of one epoch in the order of training, one entry an example.

    Attributes
    ----------
    kind : (E,) str
        `cross` (a pseudo-pair: cross, self, velocity and classification terms), `self` (the clip alone: self and
        velocity terms) or `random` (two unrelated clips, each with its own motion).
    audio_c1e2, audio_c2e1, track_c1e1, track_c2e2 : (E,) int
        Rows of the clips of each part: content c1 spoken with emotion e2, and so on; `NO_CLIP` where the kind has no
        such part. The self term's target, `track_c1e2`, belongs to the clip of `audio_c1e2`.
    """

    kind: np.ndarray
    audio_c1e2: np.ndarray
    audio_c2e1: np.ndarray
    track_c1e1: np.ndarray
    track_c2e2: np.ndarray


class PseudoPairs:
    """The paper's pairs: one actor, one intensity, two sentences (c1, c2) and two emotions (e1, e2).

    Sentences spoken by one actor with one intensity form a grid of (sentence, emotion) cells; repetitions share a
    cell. A pair is two cells that differ in both, whose two other corners exist as well. Only recordings left in one
    piece can be paired: parts of a cut recording do not say the same words.

    Parameters
    ----------
    clips
        Table of clips: columns `corpus, subject, intensity, statement, emotion, is_whole`.
    members : (M,) int
        Rows that an epoch visits; partners come from them too.

    Source
    ------
    Paper, section 3.1 and equation 2; docs/method.md, section "Data".
    """

    def __init__(self, clips: pd.DataFrame, members: np.ndarray) -> None:
        self._members = members
        corners = ["corpus", "subject", "intensity", "statement", "emotion"]
        chosen = clips.loc[members, [*corners, "is_whole"]]
        labelled = chosen[chosen["is_whole"] & chosen[corners].notna().all(axis=1)]
        cell_of = labelled.groupby(corners, observed=True).ngroup()
        self._cell = np.full(len(clips), NO_CLIP)
        self._cell[labelled.index] = cell_of
        self._grouped = labelled.index.to_numpy()[np.argsort(cell_of.to_numpy(), kind="stable")]
        self._cell_size, self._cell_start = _blocks(cell_of.to_numpy())
        self._squares = _Squares(labelled[corners].assign(cell=cell_of).drop_duplicates("cell"))

    @property
    def num_combinations(self) -> int:
        """Ordered combinations of (actor, intensity, e1, e2, c1) that the clips admit."""
        return int(self._squares.count.sum())

    def draw(self, rng: np.random.Generator) -> Examples:
        """Every member once as `audio_c1e2`, in random order, with partners drawn anew; `self` where none exists."""
        audio_c1e2 = rng.permutation(self._members)
        cell = self._cell[audio_c1e2]
        choices = np.append(self._squares.count, 0)[cell]  # NO_CLIP, -1, is the place of the 0.
        is_paired = choices > 0
        corners = self._squares.corners(cell[is_paired], rng.integers(choices[is_paired]))
        partners = []
        for cells in corners:
            clips = np.full(len(audio_c1e2), NO_CLIP)
            clips[is_paired] = self._grouped[self._cell_start[cells] + rng.integers(self._cell_size[cells])]
            partners.append(clips)
        return Examples(np.where(is_paired, "cross", "self"), audio_c1e2, *partners)


class _Squares:
    """All pairs of cells that make a pseudo-pair, numbered but never listed: their number can be the cells' squared.

    A square is two sentences, each spoken with the same two emotions: two of the *couples* (sentence, e1, e2) that
    agree in e1 and e2. So only the couples are listed, at most one a cell and emotion.

    Parameters
    ----------
    cells
        One row a cell, with its number in column `cell`.
    """

    def __init__(self, cells: pd.DataFrame) -> None:
        place, sentence = ["corpus", "subject", "intensity"], ["corpus", "subject", "intensity", "statement"]
        coded = cells[["cell"]].assign(
            place=cells.groupby(place, observed=True).ngroup(),
            sentence=cells.groupby(sentence, observed=True).ngroup(),
            emotion=cells.groupby("emotion", observed=True).ngroup(),
        )
        couples = coded.merge(coded.drop(columns="place"), on="sentence", suffixes=("_e2", "_e1"))
        couples = couples[couples["emotion_e1"] != couples["emotion_e2"]].sort_values(["cell_e2", "cell_e1"])
        block = couples.groupby(["place", "emotion_e2", "emotion_e1"]).ngroup().to_numpy()
        self._cell_e1, self._cell_e2 = couples["cell_e1"].to_numpy(), couples["cell_e2"].to_numpy()
        self._in_blocks = np.argsort(block, kind="stable")
        size, start = _blocks(block)
        self._start = start[block]
        self._rank = np.empty(len(block), int)
        self._rank[self._in_blocks] = np.arange(len(block)) - self._start[self._in_blocks]
        self._ends = np.cumsum(size[block] - 1)
        """Squares of all couples up to and with each."""
        self._begins = self._ends - (size[block] - 1)
        self.count = np.bincount(self._cell_e2, weights=size[block] - 1, minlength=len(cells)).astype(int)
        """Squares that each cell is (c1, e2) of."""
        self._first = np.cumsum(self.count) - self.count

    def corners(self, cell: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cells (c2,e1), (c1,e1), (c2,e2) of the square with this number among those of the cell (c1,e2)."""
        square = self._first[cell] + number
        couple = np.searchsorted(self._ends, square, side="right")
        rank = square - self._begins[couple]
        rank += rank >= self._rank[couple]
        other = self._in_blocks[self._start[couple] + rank]
        return self._cell_e1[other], self._cell_e1[couple], self._cell_e2[other]


def _blocks(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each label 0, 1, … occurs, and where its occurrences begin once the labels are sorted."""
    size = np.bincount(labels)
    return size, np.cumsum(size) - size


class RandomPairs:
    """The training report's pairs: two different clips A and B, each used with its own motion.

    In the roles of the paper, A is `audio_c1e2` and its own motion `track_c1e1`, B is `audio_c2e1` and `track_c2e2`.
    An epoch has half as many pairs as there are clips, and visits each clip at most once.
    """

    def __init__(self, members: np.ndarray) -> None:
        self._members = members

    def draw(self, rng: np.random.Generator) -> Examples:
        """One epoch of random pairs."""
        num_pairs = len(self._members) // 2
        first, second = rng.permutation(self._members)[: 2 * num_pairs].reshape(2, num_pairs)
        return Examples(np.full(num_pairs, "random"), first, second, first, second)
