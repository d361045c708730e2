"""What the command `emotalk` does, by the names of its subcommands."""

import argparse
import logging
from pathlib import Path

_LOG = logging.getLogger(__name__)


def predict(given: argparse.Namespace) -> None:
    """Speak recordings."""
    from emotalk.config.use import PredictSettings
    from emotalk.device import choose_device, usable_cores
    from emotalk.errors import EvaluationError
    from emotalk.inference.predict import predict_files

    device = choose_device(int(given.device == "auto"), usable_cores())
    settings = PredictSettings(
        intensity=given.intensity,
        subject=given.subject,
        emotion_from=given.emotion_from,
        smooth=given.smooth,
        blink_seed=given.blinks,
        formats=given.format,
        window_s=given.window,
    )
    left_out = predict_files(given.audio, given.out, settings, weights=given.weights, device=device)
    if left_out:
        raise EvaluationError(f"All but {len(left_out)} were spoken; not {', '.join(left_out)}.")


def convert(given: argparse.Namespace) -> None:
    """Bring motion into another format."""
    from emotalk.errors import FormatError
    from emotalk.formats.files import kind_of, read_motion, write_motion
    from emotalk.formats.tracks import TrackFormat
    from emotalk.timing import FPS

    kind = kind_of(given.target)
    if kind == "npy" and given.fps not in (None, FPS):
        raise FormatError(f"A track (npy) has {FPS} frames a second; --fps is for other formats.")
    motion = read_motion(given.source, TrackFormat.from_settings(given.channels, given.npy_fps, given.scale))
    unseen = int((~motion.is_seen).sum())
    if unseen:
        _LOG.warning("%s shows no face in %d of %d rows.", given.source, unseen, len(motion.seconds))
    if rate := FPS if kind == "npy" else given.fps:
        motion = motion.at(rate)
    given.target.parent.mkdir(parents=True, exist_ok=True)
    write_motion(given.target, motion, kind, head=given.head)
    shown = (given.target, len(motion.seconds), motion.seconds[-1], motion.rate)
    _LOG.info("%s: %d frames, %.2f s, %d a second", *shown)


def preview(given: argparse.Namespace) -> None:
    """Make a page with a face."""
    from emotalk.formats.files import read_motion
    from emotalk.report.player import write_preview
    from emotalk.timing import FPS

    motion = read_motion(given.motion).at(FPS)
    write_preview(given.out, motion.values, title=Path(given.motion).name, audio=given.audio)


def capture(given: argparse.Namespace) -> None:
    """Make recordings from videos."""
    from emotalk.capture import capture_videos
    from emotalk.config.corpus import CaptureSettings
    from emotalk.parallel import usable_cores

    settings = CaptureSettings(model=str(given.model), on_cut=given.on_cut)
    capture_videos(given.videos, given.out, settings, processes=given.processes or usable_cores())


def app(given: argparse.Namespace) -> None:
    """Serve the page to try weights."""
    from emotalk.app.server import run
    from emotalk.device import choose_device, usable_cores

    device = choose_device(int(given.device == "auto"), usable_cores())
    run(given.weights or [Path("results/weights")], device=device, host=given.host, port=given.port, share=given.share)
