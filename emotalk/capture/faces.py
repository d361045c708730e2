"""One face in the frames of a video: which one it is, what MediaPipe measures of it, and where the picture is cut.

MediaPipe's FaceLandmarker smooths landmarks only while it follows a single face, and its coefficients depend on that.
So it always follows one; which one that is, is decided with the bundle's own face detector, by hiding the other faces
in the frames in which it looks for one.
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
"""Of the head; see :func:`pose_of`."""
BOX = ("left_px", "top_px", "right_px", "bottom_px")
"""Of the landmarks, in the upright picture."""

_HIDDEN_MARGIN = 0.2
"""Part of its size by which a hidden face's box is enlarged: the detector's boxes leave out hair and chin."""

_HISTOGRAM_CUT, _HISTOGRAM_SURE_CUT, _CORRELATION_CUT, _OVERLAP_CUT = 0.25, 0.4, 0.5, 0.5
_THUMBNAIL = 16


_NUMBERS = 3 + NUM_CHANNELS + len(POSE) + len(BOX)


@dataclass(frozen=True)
class FaceSample:
    """What is known of one frame.

    Attributes
    ----------
    seconds
        Time of the frame.
    values : (52,) float32
        Coefficients in our order, NaN where no face was found.
    num_faces
        Faces in the picture.
    confidence
        The face detector's score of this face, 0.5 to 1; 0 where it does not find it (MediaPipe follows landmarks
        through profile views and hands in which the detector finds nothing).
    pose, box : (6,), (4,) float32
        Of `POSE` and `BOX`, NaN where no face was found.
    is_cut
        Whether another scene begins.
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
    """Samples of a whole video, N frames: the attributes of :class:`FaceSample`, stacked."""

    seconds: np.ndarray
    values: np.ndarray
    num_faces: np.ndarray
    confidence: np.ndarray
    pose: np.ndarray
    box: np.ndarray
    is_cut: np.ndarray

    @classmethod
    def from_samples(cls, samples: Iterable[FaceSample]) -> Self:
        """Stack samples as they come: 280 bytes per frame, 30 MB per hour at 30 fps."""
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
        """Where a face was found, (N,) bool."""
        return ~np.isnan(self.box[:, 0])


@dataclass(frozen=True)
class View:
    """A frame as far as it is compared with another.

    Attributes
    ----------
    histogram : (512,) float
        Parts of the picture with each colour, 8 levels per channel.
    thumbnail : (16, 16) float
        Brightness.
    box : (4,) float
        Of the face.
    """

    histogram: np.ndarray
    thumbnail: np.ndarray
    box: np.ndarray

    @classmethod
    def from_image(cls, image: np.ndarray, box: np.ndarray) -> Self:
        """View of an (H, W, 3) uint8 picture."""
        step = max(1, min(image.shape[:2]) // 128)
        small = image[::step, ::step]
        levels = (small >> 5).astype(np.int32) @ (64, 8, 1)
        histogram = np.bincount(levels.ravel(), minlength=512) / levels.size
        rows, columns = (np.linspace(0, size, _THUMBNAIL, endpoint=False).astype(int) for size in small.shape[:2])
        sums = np.add.reduceat(np.add.reduceat(small.mean(axis=2), rows, axis=0), columns, axis=1)
        areas = np.outer(np.diff(rows, append=small.shape[0]), np.diff(columns, append=small.shape[1]))
        return cls(histogram, sums / areas, box)


def is_cut(before: View, after: View) -> bool:
    """Whether two frames show unlike scenes.

    Colours and composition must both change, and the face jump unless the colours change much: lamps change colours
    and no composition, camera and head change composition and hardly colours. Two shots of the same composition, or
    two people before one wall, are not told apart.
    """
    colours = 1 - float(np.minimum(before.histogram, after.histogram).sum())
    if colours < _HISTOGRAM_CUT or _correlation(before.thumbnail, after.thumbnail) > _CORRELATION_CUT:
        return False
    return colours >= _HISTOGRAM_SURE_CUT or overlap(before.box, after.box) < _OVERLAP_CUT


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum() + 1e-9))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Area that two boxes (left, top, right, bottom) share, as a part of their union."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    union = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - shared
    return shared / union if union > 0 else 0.0


def choose_face(boxes: np.ndarray, before: np.ndarray | None) -> int | None:
    """Which of several faces to follow: the one that continues the face before, else the largest.

    Parameters
    ----------
    boxes : (F, 4)
        Left, top, right, bottom.
    before : (4,)
        Where the face was last.

    Returns
    -------
    Its position in `boxes`; None if there is no face.
    """
    if not len(boxes):
        return None
    if before is not None:
        overlaps = [overlap(box, before) for box in boxes]
        if max(overlaps) > 0:
            return int(np.argmax(overlaps))
    return int(np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))


def without_others(image: np.ndarray, boxes: np.ndarray, chosen: int) -> np.ndarray:
    """Picture in which all faces but the chosen one are black; where boxes overlap, the chosen one stays."""
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


def pose_of(matrix: np.ndarray) -> np.ndarray:
    """Head rotation in degrees and translation in cm, (6,) float32 as `POSE`, of a facial transformation matrix (4, 4).

    Axes are the camera's: x to the right of the picture, y up, z towards the viewer, so that a face lies at negative z.
    Rotation is Ry(yaw) Rx(-pitch) Rz(roll): a face with positive yaw looks to the right of the picture, with positive
    pitch up, and with positive roll is turned counter-clockwise. Centimetres are those of MediaPipe's model of an
    average head, seen by an assumed camera: they tell changes, not distances.
    """
    yaw = np.arctan2(matrix[0, 2], matrix[2, 2])
    pitch = np.arcsin(np.clip(matrix[1, 2], -1, 1))
    roll = np.arctan2(matrix[1, 0], matrix[1, 1])
    return np.array([*np.degrees((yaw, pitch, roll)), *matrix[:3, 3]], np.float32)


def follow_face(frames: Iterable[Frame], detector: Detector, landmarker: Landmarker) -> Iterator[FaceSample]:
    """Follow one face through a video; yield a sample for each frame."""
    scene: View | None = None
    last: np.ndarray | None = None
    followed: np.ndarray | None = None
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
            last = followed = None
            chosen = choose_face(boxes, last)
        if followed is not None and chosen is not None and not overlap(boxes[chosen], followed):
            chosen = None  # The detector finds others only: this face is in profile, say.
        image = frame.image
        if followed is None and chosen is not None and len(boxes) > 1:
            image = without_others(image, boxes, chosen)
        landmarks = landmarker.detect(image, frame.seconds)
        if landmarks is not None and _is_another(landmarks.box, boxes, chosen):
            landmarker.restart()
            landmarks = None
        followed = None if landmarks is None else landmarks.box
        last = last if followed is None else followed
        confidence = 0.0 if landmarks is None or chosen is None else float(scores[chosen])
        yield _sample(frame.seconds, landmarks, max(len(boxes), int(landmarks is not None)), confidence, begins_scene)


def _is_another(box: np.ndarray, boxes: np.ndarray, chosen: int | None) -> bool:
    """Whether landmarks with this box lie on another face than the chosen one."""
    return chosen is not None and (not overlap(box, boxes[chosen]) or choose_face(boxes, box) != chosen)


def _sample(
    seconds: float, landmarks: Landmarks | None, num_faces: int, confidence: float, begins_scene: bool
) -> FaceSample:
    if landmarks is None:
        values, pose, box = (np.full(size, np.nan, np.float32) for size in (NUM_CHANNELS, len(POSE), len(BOX)))
    else:
        values, pose, box = landmarks.values, pose_of(landmarks.matrix), landmarks.box
    return FaceSample(seconds, values, num_faces, confidence, pose, box, begins_scene)
