"""MediaPipe's face detector and FaceLandmarker, and the file that holds both; MediaPipe is imported nowhere else."""

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
    """SHA-256 of the model's file, which the installed MediaPipe can open.

    Raises
    ------
    CaptureError
        If the file is missing or another one than this program knows, or the extra `[capture]` or a library of the
        system that it needs is not installed.
    """
    if not path.is_file():
        raise CaptureError(
            f"There is no model {path}. Download it once: {_download(path)} (or name the file by --model)."
        )
    digest = file_digest(path)
    if digest != MODEL_SHA256:
        raise CaptureError(
            f"{path} is not the model that this program knows: its SHA-256 is {digest}, not {MODEL_SHA256}. "
            f"Download it again: {_download(path)}"
        )
    try:
        import av  # noqa: F401

        with native_log_hidden(), Detector(path):  # Loads MediaPipe's own library, which an import does not.
            return digest
    except ModuleNotFoundError as error:
        raise CaptureError(f"Capturing needs {error.name}, which is not installed. Install it: {_INSTALL}") from None
    except (ImportError, OSError) as error:
        raise CaptureError(
            f"MediaPipe cannot be loaded ({error}). It needs libraries of the system; on Debian and Ubuntu install "
            f"them as root: {_SYSTEM_LIBRARIES}"
        ) from None


def _download(path: Path) -> str:
    return f"curl -L -o {path} {MODEL_URL}"


def _mediapipe() -> ModuleType:
    import mediapipe

    return mediapipe


@contextmanager
def native_log_hidden() -> Iterator[None]:
    """Context in which what libraries write to standard error past Python is dropped.

    MediaPipe writes a dozen lines for each video that tell users nothing, and none of its log levels stops them.
    """
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, _STDERR)
        os.close(kept)


@contextmanager
def _errors_said() -> Iterator[None]:
    """Context in which errors of MediaPipe are errors of this package: other videos go on."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise CaptureError(f"MediaPipe cannot work on it ({error})") from None


def _as_image(image: np.ndarray) -> object:
    mediapipe = _mediapipe()
    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)


class Detector:
    """The bundle's face detector.

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
        with _errors_said():
            detections = self._detector.detect(_as_image(image)).detections
        boxes = [each.bounding_box for each in detections]
        corners = [(b.origin_x, b.origin_y, b.origin_x + b.width, b.origin_y + b.height) for b in boxes]
        scores = [each.categories[0].score for each in detections]
        return np.array(corners, np.float32).reshape(-1, 4), np.array(scores, np.float32)


@dataclass(frozen=True)
class Landmarks:
    """What MediaPipe measures of a face in one frame.

    Attributes
    ----------
    values : (52,) float32
        Coefficients in our order; `tongueOut`, which MediaPipe has not, is 0.
    matrix : (4, 4) float
        Facial transformation matrix.
    box : (4,) float32
        Left, top, right, bottom of the landmarks in pixels.
    """

    values: np.ndarray
    matrix: np.ndarray
    box: np.ndarray


class Landmarker:
    """MediaPipe's FaceLandmarker in video mode, following one face.

    Parameters
    ----------
    model
        The bundle `face_landmarker.task`.
    """

    def __init__(self, model: Path) -> None:
        self._model = model.read_bytes()
        self._landmarker = self._made()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._landmarker.close()

    def restart(self) -> None:
        """Forget the face that was followed, and what its landmarks are smoothed with."""
        self._landmarker.close()
        self._landmarker = self._made()

    def _made(self) -> "FaceLandmarker":
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
        """Landmarks in an (H, W, 3) uint8 picture that follows the one before; None if there is no face."""
        if self._first_s is None:
            self._first_s = seconds
        # Times must be whole milliseconds from 0 that increase.
        self._last_ms = max(round((seconds - self._first_s) * 1000), self._last_ms + 1)
        with _errors_said():
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
