from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHARED

MODEL = SHARED / "data/models/face_landmarker.task"
VIDEOS = SHARED / "data/video"


@pytest.fixture
def model() -> Path:
    """MediaPipe model; tests are skipped if it or the extra is missing."""
    pytest.importorskip("av", reason="the extra [capture] is not installed")
    pytest.importorskip("mediapipe", reason="the extra [capture] is not installed")
    if not MODEL.exists() or not VIDEOS.exists():
        pytest.skip(f"{MODEL} or {VIDEOS} is absent")
    return MODEL


@pytest.fixture
def images(model):
    """Function that returns the first frames, 25 per second, of a video by stem and number of frames."""
    return _images


@cache
def _images(stem: str, count: int) -> tuple[np.ndarray, ...]:
    from itertools import islice

    from emotalk.capture.video import VideoReader

    return tuple(frame.image for frame in islice(VideoReader(VIDEOS / f"{stem}.mp4"), count))
