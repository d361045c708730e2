"""Choice of the face and detection of cuts in synthetic pictures, with fakes of MediaPipe."""

import numpy as np
import pytest

from emotalk.capture.faces import Faces, View, choose_face, follow_face, head_pose, hide_other_faces, is_cut, overlap
from emotalk.capture.landmarks import Landmarks
from emotalk.capture.video import Frame

LEFT, RIGHT = np.array([10, 10, 50, 50], np.float32), np.array([100, 10, 180, 90], np.float32)


def boxes(*each):
    return np.array(each, np.float32).reshape(-1, 4)


def test_overlap_is_intersection_over_union():
    assert overlap(LEFT, LEFT) == 1
    assert overlap(LEFT, RIGHT) == 0
    assert overlap(np.array([0, 0, 2, 1]), np.array([1, 0, 3, 1])) == pytest.approx(1 / 3)


def test_the_overlapping_face_is_chosen_else_the_largest():
    assert choose_face(boxes(LEFT, RIGHT), None) == 1
    assert choose_face(boxes(LEFT, RIGHT), LEFT + 3) == 0
    assert choose_face(boxes(LEFT, RIGHT), LEFT + 500) == 1
    assert choose_face(boxes(), LEFT) is None


def test_only_other_faces_are_hidden():
    image = np.full((100, 200, 3), 255, np.uint8)
    hidden = hide_other_faces(image, boxes(LEFT, RIGHT), 1)
    assert not hidden[10:50, 10:50].any()
    assert (hidden[10:90, 100:180] == 255).all()
    assert (hide_other_faces(image, boxes(LEFT, LEFT + 10), 1)[20:60, 20:60] == 255).all()
    assert image.all()


def picture(seed, light=1.0, shift=0):
    """Return blurred noise with a color cast that depends on the seed."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (8, 8, 3)) * random.random(3)
    whole = np.kron(np.roll(coarse, shift, axis=1), np.ones((16, 16, 1))) * light
    return whole.clip(0, 255).astype(np.uint8)


def views(first, second, box=LEFT, other=LEFT):
    return View.from_image(first, box), View.from_image(second, other)


def test_another_picture_is_a_cut():
    assert is_cut(*views(picture(0), picture(1)))
    assert is_cut(*views(picture(0), picture(1), LEFT, RIGHT))


def test_changes_of_light_and_motion_are_not_cuts():
    assert not is_cut(*views(picture(0), picture(0, light=0.6)))
    assert not is_cut(*views(picture(0), picture(0, shift=2), LEFT, RIGHT))
    assert not is_cut(*views(picture(0), picture(0), LEFT, RIGHT))


@pytest.mark.parametrize("shape", [(1080, 1920, 3), (90, 120, 3), (20, 17, 3)])
def test_a_view_can_have_any_size(shape):
    assert View.from_image(np.zeros(shape, np.uint8), LEFT).thumbnail.shape == (16, 16)


def turned(yaw=0.0, pitch=0.0, roll=0.0):
    y, p, r = np.radians((yaw, -pitch, roll))
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    about_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(about_y) @ about_x @ about_z
    matrix[:3, 3] = 1, 2, -30
    return matrix


def test_the_head_pose_is_recovered_from_a_matrix():
    np.testing.assert_allclose(head_pose(turned(20, -10, 5)), [20, -10, 5, 1, 2, -30], atol=1e-4)


def test_yaw_is_positive_to_the_right_and_pitch_up():
    forward = turned(yaw=30, pitch=15)[:3, :3] @ [0, 0, 1]
    assert forward[0] > 0
    assert forward[1] > 0


class FakeDetector:
    """Fake detector with given results."""

    def __init__(self, *found):
        self._found = iter(found)

    def detect(self, image):
        each = boxes(*next(self._found))
        return each, np.full(len(each), 0.9, np.float32)


class FakeLandmarker:
    """Fake landmarker that finds a face at `LEFT`, else at `RIGHT`, if the picture is not black there."""

    def __init__(self):
        self.restarts, self.images = 0, []

    def restart(self):
        self.restarts += 1

    def detect(self, image, seconds):
        self.images.append(image)
        found = [box for box in (LEFT, RIGHT) if image[int(box[1]) + 5, int(box[0]) + 5].any()]
        return Landmarks(np.zeros(52, np.float32), turned(), found[0]) if found else None


def frames(*pictures):
    return [Frame(number / 30, image) for number, image in enumerate(pictures)]


def with_faces(*faces, background=40):
    image = np.full((100, 200, 3), background, np.uint8)
    image[:, ::2, 0] = 0
    image[[int(box[1]) + 5 for box in (LEFT, RIGHT)], [int(box[0]) + 5 for box in (LEFT, RIGHT)]] = 0
    for box in faces:
        image[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 200
    return image


def test_the_larger_of_two_faces_is_tracked():
    samples = list(
        follow_face(frames(*[with_faces(LEFT, RIGHT)] * 2), FakeDetector([LEFT, RIGHT], [RIGHT]), FakeLandmarker())
    )
    assert samples[0].num_faces == 2
    np.testing.assert_array_equal(samples[0].box, RIGHT)
    assert samples[0].confidence == pytest.approx(0.9)


def test_landmarks_on_another_face_are_discarded():
    landmarker = FakeLandmarker()
    detector = FakeDetector([RIGHT], [LEFT, RIGHT])
    samples = list(follow_face(frames(with_faces(RIGHT), with_faces(LEFT, RIGHT)), detector, landmarker))
    np.testing.assert_array_equal(samples[0].box, RIGHT)
    assert np.isnan(samples[1].values).all()
    assert landmarker.restarts == 1


def test_a_face_without_detection_is_tracked_with_confidence_0():
    samples = list(follow_face(frames(with_faces(LEFT)), FakeDetector([]), FakeLandmarker()))
    assert (samples[0].num_faces, samples[0].confidence) == (1, 0.0)
    assert not np.isnan(samples[0].values).any()


def test_a_face_is_tracked_while_only_another_face_is_detected():
    detector = FakeDetector([LEFT], [RIGHT], [LEFT, RIGHT])
    samples = list(follow_face(frames(*[with_faces(LEFT, RIGHT)] * 3), detector, FakeLandmarker()))
    assert all((sample.box == LEFT).all() for sample in samples)
    assert [sample.confidence for sample in samples] == pytest.approx([0.9, 0.0, 0.9])


def test_a_cut_restarts_tracking_with_the_largest_face():
    landmarker = FakeLandmarker()
    detector = FakeDetector([LEFT], [], [LEFT, RIGHT])
    pictures = frames(with_faces(LEFT), np.zeros((100, 200, 3), np.uint8), 255 - with_faces(background=100)[::-1])
    faces = Faces.from_samples(follow_face(pictures, detector, landmarker))
    np.testing.assert_array_equal(faces.is_cut, [False, False, True])
    assert landmarker.restarts == 1
    assert not landmarker.images[2][12:48, 12:48].any()


def test_samples_are_stacked():
    assert Faces.from_samples(()).values.shape == (0, 52)
    faces = Faces.from_samples(
        follow_face(frames(with_faces(), with_faces(LEFT)), FakeDetector([], [LEFT]), FakeLandmarker())
    )
    np.testing.assert_array_equal(faces.is_found, [False, True])
    assert faces.pose.shape == (2, 6)
