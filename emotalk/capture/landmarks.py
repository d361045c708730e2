"""MediaPipe's face detector and FaceLandmarker, and the model file of both; no other module imports MediaPipe."""

import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.errors import CaptureError
from emotalk.provenance import file_digest

if TYPE_CHECKING:
    from mediapipe.tasks.python.vision import FaceLandmarker

MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
MODEL_URL = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
_INSTALL = "pip install -c requirements.lock '.[capture]'"
_SYSTEM_LIBRARIES = "apt-get install libegl1 libgles2 libgl1 libglib2.0-0"
_STDERR = 2
_DETECTOR = "face_detector.tflite"


def check_model(path: Path) -> str:
    """Check that the model is the supported one and MediaPipe can open it; return its SHA-256.

    Raises
    ------
    CaptureError
        If the file is missing or has another SHA-256, or the extra `[capture]` or a required system library is not
        installed.
    """
    if not path.is_file():
        raise CaptureError(
            f"Model {path} does not exist. Download it once: {_download_command(path)} (or set another file with "
            "--model)."
        )
    digest = file_digest(path)
    if digest != MODEL_SHA256:
        raise CaptureError(
            f"{path} is not the supported model: its SHA-256 is {digest}, not {MODEL_SHA256}. "
            f"Download it again: {_download_command(path)}"
        )
    try:
        import av  # noqa: F401

        with hide_native_log(), Detector(path):  # Loads MediaPipe's native library; the import alone does not.
            return digest
    except ModuleNotFoundError as error:
        raise CaptureError(f"Capture needs {error.name}, which is not installed. Install it: {_INSTALL}") from None
    except (ImportError, OSError) as error:
        raise CaptureError(
            f"MediaPipe cannot be loaded ({error}). It needs system libraries; on Debian and Ubuntu, install them as "
            f"root: {_SYSTEM_LIBRARIES}"
        ) from None


def _download_command(path: Path) -> str:
    return f"curl -L -o {path} {MODEL_URL}"


def _mediapipe() -> ModuleType:
    import mediapipe

    return mediapipe


@contextmanager
def hide_native_log() -> Iterator[None]:
    """Discard output of native libraries to standard error.

    MediaPipe writes a dozen irrelevant lines for each video, and no log level disables them.
    """
    sys.stderr.flush()
    stderr_copy = os.dup(_STDERR)
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), _STDERR)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr_copy, _STDERR)
        os.close(stderr_copy)


@contextmanager
def _mediapipe_errors() -> Iterator[None]:
    """Convert errors of MediaPipe to `CaptureError`, so that the capture of other videos continues."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise CaptureError(f"MediaPipe cannot process it ({error})") from None


def _as_image(image: np.ndarray) -> object:
    mediapipe = _mediapipe()
    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)


class Detector:
    """Face detector of the bundle.

    Parameters
    ----------
    model
        The bundle `face_landmarker.task`.
    """

    def __init__(self, model: Path) -> None:
        tasks = _mediapipe().tasks
        with zipfile.ZipFile(model) as bundle:
            base = tasks.BaseOptions(model_asset_buffer=bundle.read(_DETECTOR))
        options = tasks.vision.FaceDetectorOptions(base_options=base)
        self._detector = tasks.vision.FaceDetector.create_from_options(options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._detector.close()

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the F faces in an (H, W, 3) uint8 picture.

        Returns
        -------
        Boxes (F, 4) float32 as left, top, right, bottom in pixels, and their scores (F,) float32, 0.5 to 1.
        """
        with _mediapipe_errors():
            detections = self._detector.detect(_as_image(image)).detections
        boxes = [each.bounding_box for each in detections]
        corners = [(b.origin_x, b.origin_y, b.origin_x + b.width, b.origin_y + b.height) for b in boxes]
        scores = [each.categories[0].score for each in detections]
        return np.array(corners, np.float32).reshape(-1, 4), np.array(scores, np.float32)


@dataclass(frozen=True)
class Landmarks:
    """Measurements of a face in one frame.

    Attributes
    ----------
    values : (52,) float32
        Coefficients in the order of `CHANNELS`; `tongueOut` is 0, because MediaPipe does not measure it.
    matrix : (4, 4) float
        Facial transformation matrix.
    box : (4,) float32
        Left, top, right, bottom of the landmarks in pixels.
    """

    values: np.ndarray
    matrix: np.ndarray
    box: np.ndarray


class Landmarker:
    """MediaPipe's FaceLandmarker in video mode, which tracks one face.

    Parameters
    ----------
    model
        The bundle `face_landmarker.task`.
    """

    def __init__(self, model: Path) -> None:
        self._model = model.read_bytes()
        self._landmarker = self._create()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._landmarker.close()

    def restart(self) -> None:
        """Reset tracking and smoothing."""
        self._landmarker.close()
        self._landmarker = self._create()

    def _create(self) -> "FaceLandmarker":
        tasks = _mediapipe().tasks
        self._first_s: float | None = None
        self._last_ms = -1
        options = tasks.vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_buffer=self._model),
            running_mode=tasks.vision.RunningMode.VIDEO,
            num_faces=1,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        return tasks.vision.FaceLandmarker.create_from_options(options)

    def detect(self, image: np.ndarray, seconds: float) -> Landmarks | None:
        """Measure the face in the next (H, W, 3) uint8 picture of a video; None without a face."""
        if self._first_s is None:
            self._first_s = seconds
        # MediaPipe needs increasing times in whole milliseconds.
        self._last_ms = max(round((seconds - self._first_s) * 1000), self._last_ms + 1)
        with _mediapipe_errors():
            result = self._landmarker.detect_for_video(_as_image(image), self._last_ms)
        if not result.face_landmarks:
            return None
        points = np.array([(point.x, point.y) for point in result.face_landmarks[0]])
        corners = np.concatenate([points.min(axis=0), points.max(axis=0)])
        height, width = image.shape[:2]
        scores = {each.category_name: each.score for each in result.face_blendshapes[0]}
        return Landmarks(
            np.array([scores.get(name, 0.0) for name in CHANNELS], np.float32),
            np.array(result.facial_transformation_matrixes[0]),
            (corners * (width, height, width, height)).astype(np.float32),
        )
