"""Pairing: which clips make a training example, drawn anew for each epoch.

The two recipes are the paper's pseudo-pairs and the training report's random pairs (DOMAIN.md, sections 2 and 3).
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
        Table of clips: columns `subject, intensity, statement, emotion, is_whole`.
    members : (M,) int
        Rows that an epoch visits; partners come from them too.

    Source
    ------
    Paper, section 3.1 and equation 2; DOMAIN.md, section 2.
    """

    def __init__(self, clips: pd.DataFrame, members: np.ndarray) -> None:
        self._members = members
        corners = ["subject", "intensity", "statement", "emotion"]
        chosen = clips.loc[members, [*corners, "is_whole"]]
        labelled = chosen[chosen["is_whole"] & chosen[corners].notna().all(axis=1)]
        cell_of = labelled.groupby(corners, observed=True).ngroup()
        self._cell = np.full(len(clips), NO_CLIP)
        self._cell[labelled.index] = cell_of
        self._grouped = labelled.index.to_numpy()[np.argsort(cell_of.to_numpy(), kind="stable")]
        self._cell_size = np.bincount(cell_of.to_numpy())
        self._cell_start = np.cumsum(self._cell_size) - self._cell_size
        cells = labelled[corners].assign(cell=cell_of).drop_duplicates("cell")
        self._squares = _squares(cells)
        self._num_squares = np.bincount(self._squares["cell_c1e2"], minlength=len(self._cell_size))
        self._first_square = np.cumsum(self._num_squares) - self._num_squares

    @property
    def num_combinations(self) -> int:
        """Ordered combinations of (actor, intensity, e1, e2, c1) that the clips admit."""
        return len(self._squares)

    def draw(self, rng: np.random.Generator) -> Examples:
        """Every member once as `audio_c1e2`, in random order, with partners drawn anew; `self` where none exists."""
        audio_c1e2 = rng.permutation(self._members)
        cell = self._cell[audio_c1e2]
        choices = (
            np.where(cell == NO_CLIP, 0, self._num_squares[cell]) if len(self._num_squares) else np.zeros_like(cell)
        )
        is_paired = choices > 0
        square = self._first_square[cell[is_paired]] + rng.integers(choices[is_paired])
        partners = []
        for corner in ("c2e1", "c1e1", "c2e2"):
            cells = self._squares[f"cell_{corner}"].to_numpy()[square]
            clips = np.full(len(audio_c1e2), NO_CLIP)
            clips[is_paired] = self._grouped[self._cell_start[cells] + rng.integers(self._cell_size[cells])]
            partners.append(clips)
        return Examples(np.where(is_paired, "cross", "self"), audio_c1e2, *partners)


def _squares(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells (c1,e2), (c2,e1), (c1,e1), (c2,e2) of each pair, grouped by the first."""
    shared = ["subject", "intensity"]
    both = cells.merge(cells, on=shared, suffixes=("_c1e2", "_c2e1"))
    both = both[(both["statement_c1e2"] != both["statement_c2e1"]) & (both["emotion_c1e2"] != both["emotion_c2e1"])]
    for corner, statement, emotion in (("c1e1", "c1e2", "c2e1"), ("c2e2", "c2e1", "c1e2")):
        other = cells.rename(
            columns={"statement": f"statement_{statement}", "emotion": f"emotion_{emotion}", "cell": f"cell_{corner}"}
        )
        both = both.merge(other, on=[*shared, f"statement_{statement}", f"emotion_{emotion}"])
    return both.sort_values(["cell_c1e2", "cell_c2e1"], ignore_index=True)


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
