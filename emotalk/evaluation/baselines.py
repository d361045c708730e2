"""Baselines that a useful model must beat."""

from collections.abc import Callable

import numpy as np

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest

BASELINES = ("mean_face", "still_face", "nearest_clip")
"""Names of the baselines of `make_baselines`."""


def compute_mean_face(store: ClipStore, manifest: Manifest) -> np.ndarray:
    """Return the mean over all frames of the training clips, (52,) float32."""
    total, count = np.zeros(NUM_CHANNELS), 0
    for clip_id in manifest.training_clips():
        track = store[clip_id].track
        total += track.sum(axis=0, dtype=np.float64)
        count += len(track)
    return (total / count).astype(np.float32)


def stretch_track(track: np.ndarray, num_frames: int) -> np.ndarray:
    """Stretch a (T, C) track to `num_frames` by linear interpolation, keeping its first and last frame."""
    positions = np.linspace(0, len(track) - 1, num_frames)
    low = positions.astype(int)
    high = np.minimum(low + 1, len(track) - 1)
    return (track[low] + (positions - low)[:, None] * (track[high] - track[low])).astype(np.float32)


class NearestClip:
    """Motion of the most similar training clip, stretched to the requested length.

    Clips are compared by sentence, then emotion, then intensity, then length. If the split is by subject, the nearest
    clip is from another speaker, because the test subjects are not in the training split.
    """

    def __init__(self, store: ClipStore, manifest: Manifest) -> None:
        columns = ["clip_id", "corpus", "statement", "is_whole", "emotion", "intensity", "start_frame", "stop_frame"]
        clips = store.metadata().select(columns).to_pandas().set_index("clip_id")
        clips["num_frames"] = clips["stop_frame"] - clips["start_frame"]
        # Statement numbers are specific to a corpus, and a part of a cut recording has only a part of its statement.
        clips["sentence"] = (clips["corpus"] + ": " + clips["statement"]).where(clips["is_whole"])
        self._store, self._clips = store, clips
        self._training = clips.loc[manifest.training_clips()]

    def __call__(self, clip_id: str, num_frames: int) -> np.ndarray:
        """Return the track, (num_frames, 52)."""
        target, candidates = self._clips.loc[clip_id], self._training
        for name in ("sentence", "emotion", "intensity"):
            matching = candidates[candidates[name] == target[name]]
            candidates = matching if len(matching) else candidates
        nearest = (candidates["num_frames"] - target["num_frames"]).abs().idxmin()
        return stretch_track(self._store[nearest].track, num_frames)


def make_baselines(store: ClipStore, manifest: Manifest) -> dict[str, Callable[[str, int], np.ndarray]]:
    """Return each baseline by name, as a function of a clip id and a number of frames that returns a (T, 52) track."""
    mean = compute_mean_face(store, manifest)
    still = np.zeros(NUM_CHANNELS, np.float32)
    return {
        "mean_face": lambda clip_id, num_frames: np.broadcast_to(mean, (num_frames, NUM_CHANNELS)),
        "still_face": lambda clip_id, num_frames: np.broadcast_to(still, (num_frames, NUM_CHANNELS)),
        "nearest_clip": NearestClip(store, manifest),
    }
