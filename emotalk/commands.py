"""Subcommands of `emotalk`; each function has the name of its subcommand."""

import argparse
import logging
from pathlib import Path

_LOG = logging.getLogger(__name__)


def predict(args: argparse.Namespace) -> None:
    """Predict motion for recordings."""
    from emotalk.config.use import PredictSettings
    from emotalk.device import choose_device, usable_cores
    from emotalk.errors import EvaluationError
    from emotalk.inference.predict import predict_files

    device = choose_device(int(args.device == "auto"), usable_cores())
    settings = PredictSettings(
        intensity=args.intensity,
        subject=args.subject,
        emotion_from=args.emotion_from,
        smooth=args.smooth,
        blink_seed=args.blinks,
        formats=args.format,
        window_s=args.window,
    )
    left_out = predict_files(args.audio, args.out, settings, weights=args.weights, device=device)
    if left_out:
        raise EvaluationError(f"{len(left_out)} recordings could not be predicted: {', '.join(left_out)}.")


def convert(args: argparse.Namespace) -> None:
    """Convert motion to another format."""
    from emotalk.errors import FormatError
    from emotalk.formats.files import kind_from_name, read_motion, write_motion
    from emotalk.formats.tracks import TrackFormat
    from emotalk.timing import FPS

    kind = kind_from_name(args.target)
    if kind == "npy" and args.fps not in (None, FPS):
        raise FormatError(f"A track (npy) has {FPS} frames per second; use --fps only for other formats.")
    motion = read_motion(args.source, TrackFormat.from_settings(args.channels, args.npy_fps, args.scale))
    if num_without_face := int((~motion.has_face).sum()):
        _LOG.warning("%s: no face in %d of %d rows.", args.source, num_without_face, len(motion.seconds))
    if rate := FPS if kind == "npy" else args.fps:
        motion = motion.at(rate)
    args.target.parent.mkdir(parents=True, exist_ok=True)
    write_motion(args.target, motion, kind, head=args.head)
    log_values = (args.target, len(motion.seconds), motion.seconds[-1], motion.rate)
    _LOG.info("%s: %d frames, %.2f s, %d frames per second", *log_values)


def preview(args: argparse.Namespace) -> None:
    """Write a page that shows motion on a drawn face."""
    from emotalk.formats.files import read_motion
    from emotalk.report.player import write_preview
    from emotalk.timing import FPS

    motion = read_motion(args.motion).at(FPS)
    write_preview(args.out, motion.values, title=Path(args.motion).name, audio=args.audio)


def capture(args: argparse.Namespace) -> None:
    """Make recordings from videos."""
    from emotalk.capture import capture_videos
    from emotalk.config.corpus import CaptureSettings
    from emotalk.parallel import usable_cores

    settings = CaptureSettings(model=str(args.model), on_cut=args.on_cut)
    capture_videos(args.videos, args.out, settings, processes=args.processes or usable_cores())


def scan(args: argparse.Namespace) -> None:
    """Write a settings file for a folder of recordings."""
    from emotalk.data.scan import scan_folder

    scan_folder(args.folder, args.out, recipe=args.recipe)


def export(args: argparse.Namespace) -> None:
    """Write weights as ONNX."""
    from emotalk.inference.onnx import export_onnx

    export_onnx(args.weights, args.onnx, fp16=args.fp16, overwrite=args.overwrite)


def app(args: argparse.Namespace) -> None:
    """Serve the page to try weights."""
    from emotalk.app.server import run
    from emotalk.device import choose_device, usable_cores

    device = choose_device(int(args.device == "auto"), usable_cores())
    run(args.weights or [Path("results/weights")], device=device, host=args.host, port=args.port, share=args.share)
