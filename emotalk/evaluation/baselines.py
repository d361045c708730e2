"""What a network must beat: faces that cost nothing to predict."""

from collections.abc import Callable, Sequence

import numpy as np

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest


def mean_face(store: ClipStore, schedule: Manifest) -> np.ndarray:
    """Mean over all frames of the training clips, (52,)."""
    total, count = np.zeros(NUM_CHANNELS), 0
    for clip_id in schedule.training_clips():
        track = store[clip_id].track
        total += track.sum(axis=0, dtype=np.float64)
        count += len(track)
    return (total / count).astype(np.float32)


def stretched(track: np.ndarray, num_frames: int) -> np.ndarray:
    """Track of another length, linearly from its first to its last frame."""
    at = np.linspace(0, len(track) - 1, num_frames)
    low = at.astype(int)
    high = np.minimum(low + 1, len(track) - 1)
    return (track[low] + (at - low)[:, None] * (track[high] - track[low])).astype(np.float32)


class NearestClip:
    """The training clip that says the same, stretched to the length asked for.

    Nearest is: the same sentence if there is one, then the same emotion, then the same intensity, then the length; of
    someone else, as training never heard the speakers of the test.
    """

    def __init__(self, store: ClipStore, schedule: Manifest) -> None:
        columns = ["clip_id", "corpus", "statement", "is_whole", "emotion", "intensity", "start_frame", "stop_frame"]
        labels = store.labels().select(columns).to_pandas().set_index("clip_id")
        labels["num_frames"] = labels["stop_frame"] - labels["start_frame"]
        # Statements are numbered within a corpus, and parts of a cut recording say parts of them.
        labels["sentence"] = (labels["corpus"] + ": " + labels["statement"]).where(labels["is_whole"])
        self._store, self._labels = store, labels
        self._training = labels.loc[schedule.training_clips()]

    def __call__(self, clip_id: str, num_frames: int) -> np.ndarray:
        """Track (num_frames, 52)."""
        wanted, candidates = self._labels.loc[clip_id], self._training
        for name in ("sentence", "emotion", "intensity"):
            same = candidates[candidates[name] == wanted[name]]
            candidates = same if len(same) else candidates
        nearest = (candidates["num_frames"] - wanted["num_frames"]).abs().idxmin()
        return stretched(self._store[nearest].track, num_frames)


def baseline_tracks(store: ClipStore, schedule: Manifest) -> dict[str, Callable[[str, int], np.ndarray]]:
    """Each baseline by its name: a function of a clip's id and a number of frames, which gives (T, 52)."""
    mean = mean_face(store, schedule)
    still = np.zeros(NUM_CHANNELS, np.float32)
    return {
        "mean_face": lambda clip_id, num_frames: np.broadcast_to(mean, (num_frames, NUM_CHANNELS)),
        "still_face": lambda clip_id, num_frames: np.broadcast_to(still, (num_frames, NUM_CHANNELS)),
        "nearest_clip": NearestClip(store, schedule),
    }


def bootstrap_interval(
    values: Sequence[float], *, draws: int, seed: int, weights: Sequence[float] | None = None
) -> tuple[float, float]:
    """95 % interval of the weighted mean over clips, by drawing clips with replacement (percentile, Efron 1979)."""
    rng = np.random.default_rng(seed)
    numbers = np.asarray(values)
    shares = np.ones(len(numbers)) if weights is None else np.asarray(weights)
    drawn = rng.integers(len(numbers), size=(draws, len(numbers)))
    means = (numbers * shares)[drawn].sum(axis=1) / np.maximum(shares[drawn].sum(axis=1), 1e-12)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
