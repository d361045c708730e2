"""Conversions between seconds, audio samples and motion frames: their one home.

Audio is 16 kHz and motion 30 fps, so a frame holds 533 1/3 samples. Only multiples of three frames fall on a
whole sample; cuts are made there and nowhere else.
"""

SAMPLING_RATE = 16_000
FPS = 30
EXACT_FRAMES = 3
"""Cuts at multiples of this many frames fall on a whole sample (3 frames = 1,600 samples)."""


def frame_to_sample(frame: int) -> int:
    """Sample at which `frame` begins, rounded down (exact at multiples of three frames)."""
    return frame * SAMPLING_RATE // FPS


def frames_in(num_samples: int, sampling_rate: int = SAMPLING_RATE) -> int:
    """Number of motion frames that audio covers completely (rounded down)."""
    return num_samples * FPS // sampling_rate


def frames_to_predict(num_samples: int) -> int:
    """Number of frames that the released network predicts for 16 kHz audio (rounded up)."""
    return -(-num_samples * FPS // SAMPLING_RATE)
