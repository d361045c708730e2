"""Tracking of one face in a video with MediaPipe, and detection of cuts.

MediaPipe's FaceLandmarker smooths landmarks only when it tracks a single face, and its coefficients depend on the
smoothing. It is therefore always set to one face. The face is selected with the face detector of the same bundle: the
other faces are hidden in frames in which the FaceLandmarker searches for a face.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.capture.landmarks import Detector, Landmarker, Landmarks
from emotalk.capture.video import Frame

POSE = ("yaw_deg", "pitch_deg", "roll_deg", "x_cm", "y_cm", "z_cm")
"""Columns of the head pose; see :func:`head_pose`."""
BOX = ("left_px", "top_px", "right_px", "bottom_px")
"""Columns of the bounding box of the landmarks, in the upright picture."""

_HIDDEN_MARGIN = 0.2
"""Margin around the box of a hidden face, as a fraction of its size: boxes of the detector exclude hair and chin."""

_HISTOGRAM_CUT, _HISTOGRAM_SURE_CUT, _CORRELATION_CUT, _OVERLAP_CUT = 0.25, 0.4, 0.5, 0.5
_THUMBNAIL = 16


_NUMBERS = 3 + NUM_CHANNELS + len(POSE) + len(BOX)


@dataclass(frozen=True)
class FaceSample:
    """Measurements in one frame.

    Attributes
    ----------
    seconds
        Time of the frame.
    values : (52,) float32
        Coefficients in the order of `CHANNELS`; NaN if no face was found.
    num_faces
        Number of faces in the picture.
    confidence
        Score of the face detector for this face, 0.5 to 1; 0 if the detector does not find it (MediaPipe tracks
        landmarks through profile views and hands, where the detector finds no face).
    pose, box : (6,), (4,) float32
        Values of `POSE` and `BOX`; NaN if no face was found.
    is_cut
        Whether a new scene begins with this frame.
    """

    seconds: float
    values: np.ndarray
    num_faces: int
    confidence: float
    pose: np.ndarray
    box: np.ndarray
    is_cut: bool


@dataclass(frozen=True)
class Faces:
    """Samples of the N frames of a video: the attributes of :class:`FaceSample`, stacked."""

    seconds: np.ndarray
    values: np.ndarray
    num_faces: np.ndarray
    confidence: np.ndarray
    pose: np.ndarray
    box: np.ndarray
    is_cut: np.ndarray

    @classmethod
    def from_samples(cls, samples: Iterable[FaceSample]) -> Self:
        """Stack samples from an iterator; they need 280 bytes per frame, 30 MB per hour at 30 fps."""
        seconds, numbers = array("d"), array("f")
        for sample in samples:
            seconds.append(sample.seconds)
            numbers.extend((sample.num_faces, sample.confidence, sample.is_cut))
            for part in (sample.values, sample.pose, sample.box):
                numbers.frombytes(part.astype(np.float32).tobytes())
        table = np.array(numbers, np.float32).reshape(len(seconds), _NUMBERS)
        parts = np.split(table, np.cumsum((1, 1, 1, NUM_CHANNELS, len(POSE))), axis=1)
        count, confidence, is_cut, values, pose, box = parts
        return cls(
            np.array(seconds),
            values,
            count[:, 0].astype(np.int16),
            confidence[:, 0],
            pose,
            box,
            is_cut[:, 0].astype(bool),
        )

    @property
    def is_found(self) -> np.ndarray:
        """Whether a face was found in each frame, (N,) bool."""
        return ~np.isnan(self.box[:, 0])


@dataclass(frozen=True)
class View:
    """Properties of a frame for the detection of cuts.

    Attributes
    ----------
    histogram : (512,) float
        Fraction of pixels with each colour, 8 levels per channel.
    thumbnail : (16, 16) float
        Brightness.
    box : (4,) float
        Bounding box of the face.
    """

    histogram: np.ndarray
    thumbnail: np.ndarray
    box: np.ndarray

    @classmethod
    def from_image(cls, image: np.ndarray, box: np.ndarray) -> Self:
        """Compute the view of an (H, W, 3) uint8 picture."""
        step = max(1, min(image.shape[:2]) // 128)
        small = image[::step, ::step]
        levels = (small >> 5).astype(np.int32) @ (64, 8, 1)
        histogram = np.bincount(levels.ravel(), minlength=512) / levels.size
        rows, columns = (np.linspace(0, size, _THUMBNAIL, endpoint=False).astype(int) for size in small.shape[:2])
        sums = np.add.reduceat(np.add.reduceat(small.mean(axis=2), rows, axis=0), columns, axis=1)
        areas = np.outer(np.diff(rows, append=small.shape[0]), np.diff(columns, append=small.shape[1]))
        return cls(histogram, sums / areas, box)


def is_cut(before: View, after: View) -> bool:
    """Detect a cut between two frames.

    At a cut, both the colours and the composition change, and either the face moves or the colours change strongly. A
    change of light changes only the colours; camera and head motion change mainly the composition. Two shots with the
    same composition, or of two people in front of the same wall, are not detected.
    """
    colours = 1 - float(np.minimum(before.histogram, after.histogram).sum())
    if colours < _HISTOGRAM_CUT or _correlation(before.thumbnail, after.thumbnail) > _CORRELATION_CUT:
        return False
    return colours >= _HISTOGRAM_SURE_CUT or overlap(before.box, after.box) < _OVERLAP_CUT


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum() + 1e-9))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the intersection over union of two boxes (left, top, right, bottom)."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    union = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - shared
    return shared / union if union > 0 else 0.0


def choose_face(boxes: np.ndarray, before: np.ndarray | None) -> int | None:
    """Choose the face to track: the face that overlaps most with the previous one, else the largest.

    Parameters
    ----------
    boxes : (F, 4)
        Left, top, right, bottom.
    before : (4,)
        Last box of the tracked face.

    Returns
    -------
    Index in `boxes`; None without faces.
    """
    if not len(boxes):
        return None
    if before is not None:
        overlaps = [overlap(box, before) for box in boxes]
        if max(overlaps) > 0:
            return int(np.argmax(overlaps))
    return int(np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))


def hide_other_faces(image: np.ndarray, boxes: np.ndarray, chosen: int) -> np.ndarray:
    """Return the picture with all faces except the chosen one black; overlaps with the chosen face stay visible."""
    hidden = image.copy()
    for number, box in enumerate(boxes):
        if number != chosen:
            hidden[_area(box, image.shape, _HIDDEN_MARGIN)] = 0
    area = _area(boxes[chosen], image.shape, _HIDDEN_MARGIN)
    hidden[area] = image[area]
    return hidden


def _area(box: np.ndarray, shape: tuple[int, ...], margin: float) -> tuple[slice, slice]:
    size = box[2:] - box[:2]
    left, top = np.maximum(box[:2] - margin * size, 0).astype(int)
    right, bottom = np.minimum(box[2:] + margin * size, (shape[1], shape[0])).astype(int)
    return slice(top, bottom), slice(left, right)


def head_pose(matrix: np.ndarray) -> np.ndarray:
    """Compute head rotation in degrees and translation in cm, (6,) float32 as `POSE`, from a (4, 4) matrix.

    The matrix is MediaPipe's facial transformation matrix. Its axes are those of the camera: x to the right of the
    picture, y up, z towards the viewer, so that a face is at negative z. The rotation is Ry(yaw) Rx(-pitch) Rz(roll): a
    face with positive yaw looks to the right of the picture, with positive pitch up, and with positive roll is rotated
    counter-clockwise. Centimetres refer to MediaPipe's model of an average head and an assumed camera: differences are
    meaningful, absolute distances are not.
    """
    yaw = np.arctan2(matrix[0, 2], matrix[2, 2])
    pitch = np.arcsin(np.clip(matrix[1, 2], -1, 1))
    roll = np.arctan2(matrix[1, 0], matrix[1, 1])
    return np.array([*np.degrees((yaw, pitch, roll)), *matrix[:3, 3]], np.float32)


def follow_face(frames: Iterable[Frame], detector: Detector, landmarker: Landmarker) -> Iterator[FaceSample]:
    """Track one face in a video, and yield a sample for each frame."""
    scene: View | None = None
    last: np.ndarray | None = None
    tracked: np.ndarray | None = None
    for frame in frames:
        boxes, scores = detector.detect(frame.image)
        begins_scene = False
        chosen = choose_face(boxes, last)
        if chosen is not None:
            view = View.from_image(frame.image, boxes[chosen])
            begins_scene = scene is not None and is_cut(scene, view)
            scene = view
        if begins_scene:
            landmarker.restart()
            last = tracked = None
            chosen = choose_face(boxes, last)
        if tracked is not None and chosen is not None and not overlap(boxes[chosen], tracked):
            chosen = None  # The detector finds only other faces, for example because this face is in profile.
        image = frame.image
        if tracked is None and chosen is not None and len(boxes) > 1:
            image = hide_other_faces(image, boxes, chosen)
        landmarks = landmarker.detect(image, frame.seconds)
        if landmarks is not None and _is_other_face(landmarks.box, boxes, chosen):
            landmarker.restart()
            landmarks = None
        tracked = None if landmarks is None else landmarks.box
        last = last if tracked is None else tracked
        confidence = 0.0 if landmarks is None or chosen is None else float(scores[chosen])
        yield _sample(frame.seconds, landmarks, max(len(boxes), int(landmarks is not None)), confidence, begins_scene)


def _is_other_face(box: np.ndarray, boxes: np.ndarray, chosen: int | None) -> bool:
    """Whether landmarks with this box are on another face than the chosen one."""
    return chosen is not None and (not overlap(box, boxes[chosen]) or choose_face(boxes, box) != chosen)


def _sample(
    seconds: float, landmarks: Landmarks | None, num_faces: int, confidence: float, begins_scene: bool
) -> FaceSample:
    if landmarks is None:
        values, pose, box = (np.full(size, np.nan, np.float32) for size in (NUM_CHANNELS, len(POSE), len(BOX)))
    else:
        values, pose, box = landmarks.values, head_pose(landmarks.matrix), landmarks.box
    return FaceSample(seconds, values, num_faces, confidence, pose, box, begins_scene)
